// Package keeper does what is to be done for videos without anybody asking: it
// follows the unfinished ones, saves the finished ones and gives notice. It does
// so in a process of its own that a server starts for each submission, so that
// neither the client's end nor the server's loses a video; or, where there are
// to be no such processes, in the server's.
//
// Servers and keepers share nothing but the journal.
package keeper

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

const (
	within   = 48 * time.Hour   // how old a job is that is still followed
	lifetime = 6 * time.Hour    // of a keeper, from its start
	lookAt   = time.Second      // how often the journal is looked at while something is pending
	idleLook = time.Minute      // how often while nothing is
	leaseFor = 60 * time.Second // of the watch, renewed three times as often
	stopFor  = time.Minute      // how long keepers are asked to end

	adoptEvery = 10 * time.Minute // how often jobs of other keys are looked at
	adoptAfter = 15 * time.Minute // since the gateway last answered for one of them
	adoptFor   = 10 * time.Second // how long the gateway is asked for them

	maxSaving = 4               // downloads at once
	maxAhead  = 2 * time.Minute // a stored time further ahead was written under another clock
)

// The names of the leases. A keeper has one as long as it lives.
const (
	watchLease = "watch " // with gateway and account: of whoever watches their jobs
	sendLease  = "send "  // with the holder: of one that only ends what it sends
	stopLease  = "stop"   // of whoever asks all keepers to end
)

// The pauses before a failed download is tried again, each with a fresh link.
var saveAgain = []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute}

// Options is what a Keeper works with.
type Options struct {
	Tracker *jobs.Tracker
	Journal *journal.Journal

	// Save saves the video of a finished job in the folder of its row. The row's
	// name is the one of an earlier try, if any; named is called with a new one
	// before anything is written under it. Where the files are goes into the
	// journal.
	Save func(ctx context.Context, row journal.Row, named func(name string) error) error

	Notify  func(context.Context, Notice) error // nil when there is no desktop
	Gateway string                              // its name in the journal
	Account func() string                       // names the key as it is now, by hash
	Version string
	Logger  *slog.Logger
}

// Keeper does the work of one gateway and one key.
type Keeper struct {
	o        Options
	lifetime time.Duration
	wake     chan struct{}
	tasks    sync.WaitGroup

	accounts []string  // of the keys it had: a new key does not lose the jobs of the old one
	adopted  time.Time // when jobs of other keys were looked at
	strays   bool      // whether there were any

	downloads chan struct{} // a slot for each save under way

	mu       sync.Mutex
	followed map[int64]func() // what ends following a row
	saving   map[int64]bool
}

// New returns a keeper.
func New(o Options) *Keeper {
	return &Keeper{o: o, lifetime: lifetime, wake: make(chan struct{}, 1), downloads: make(chan struct{}, maxSaving), followed: map[int64]func(){}, saving: map[int64]bool{}}
}

// WatchLease is the name of the lease of whoever watches the jobs of a gateway
// and an account.
func WatchLease(gateway, account string) string { return watchLease + gateway + " " + account }

// Run works until ctx is done. It looks at the journal once a second while
// something is pending, or an outcome could not be written, else once a minute, and
// then reads it only when somebody has written to it.
func (k *Keeper) Run(ctx context.Context) {
	defer k.end()
	defer k.o.Tracker.Listen(func(jobs.Event) { k.hurry() })()
	seen, pending := "", false
	for ctx.Err() == nil {
		k.o.Journal.WriteOutcomes()
		if state := k.o.Journal.State(); pending || k.strays || state != seen {
			seen, pending = state, k.look(ctx)
		}
		pause := idleLook
		if pending || k.o.Journal.Unwritten() {
			pause = lookAt
		}
		k.sleep(ctx, pause)
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (k *Keeper) hurry() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// sleep waits until the next look.
func (k *Keeper) sleep(ctx context.Context, pause time.Duration) {
	select {
	case <-time.After(pause):
	case <-k.wake:
	case <-ctx.Done():
	}
}

// end stops what Run began and waits for it.
func (k *Keeper) end() {
	k.mu.Lock()
	for row, stop := range k.followed {
		stop()
		delete(k.followed, row)
	}
	k.mu.Unlock()
	k.tasks.Wait()
}

// look begins what is to be done, and reports whether anything is pending.
func (k *Keeper) look(ctx context.Context) (pending bool) {
	rows, err := k.work(ctx)
	if err == nil {
		return k.begin(ctx, rows)
	}
	k.o.Logger.Warn("the journal could not be looked at", "error", err)
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.followed)+len(k.saving) > 0
}

// begin starts the tasks of rows in the background: it follows jobs that are
// unfinished, saves their videos and gives notices. It ends following jobs that are
// not in rows, and reports whether any task but notices is left.
func (k *Keeper) begin(ctx context.Context, rows []journal.Row) (pending bool) {
	follow := map[int64]bool{}
	for _, row := range rows {
		switch {
		case row.Pending():
			follow[row.ID], pending = true, true
			k.follow(ctx, row)
		case toSave(row):
			pending = true
			k.save(ctx, row)
		}
		k.tell(ctx, row)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for row, stop := range k.followed {
		if !follow[row] {
			stop()
			delete(k.followed, row)
		}
	}
	return pending || len(k.saving) > 0
}

// work returns the rows of the keys that this keeper had, and of those whose jobs
// the present key can be asked for: the jobs of other keys for which the gateway
// answers nobody any more, such as those of a key that was replaced, are asked for
// now and then, and taken over as far as it answers.
func (k *Keeper) work(ctx context.Context) (own []journal.Row, err error) {
	rows, err := k.o.Journal.Work(ctx, within)
	if err != nil {
		return nil, err
	}
	account := k.o.Account()
	if !slices.Contains(k.accounts, account) {
		k.accounts, k.adopted = append(k.accounts, account), time.Time{}
	}
	asks := account != "" && time.Since(k.adopted) >= adoptEvery
	if asks {
		k.adopted = time.Now()
	}
	ctx, cancel := context.WithTimeout(ctx, adoptFor)
	defer cancel()
	k.strays = false
	for _, row := range rows {
		if slices.Contains(k.accounts, row.Account) {
			own = append(own, row)
			continue
		}
		if !row.Pending() && !toSave(row) {
			continue
		}
		k.strays = true
		if !asks || time.Since(row.SubmittedAt) < adoptAfter || time.Since(row.LastCheckedAt).Abs() < adoptAfter || ctx.Err() != nil {
			continue
		}
		if _, err := k.o.Tracker.Status(journal.WithOwner(ctx, row.Owner), row.Job.RequestID); err == nil {
			k.o.Logger.Info("a job of another key goes on with the present one", "request_id", row.Job.RequestID)
			_ = k.o.Journal.Adopt(ctx, row.ID, account)
			own = append(own, row)
		}
	}
	return own, nil
}

func (k *Keeper) follow(ctx context.Context, row journal.Row) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.followed[row.ID] == nil {
		k.followed[row.ID] = k.o.Tracker.Follow(journal.WithOwner(context.WithoutCancel(ctx), row.Owner), row.Job.RequestID)
	}
}

// toSave reports whether the row's video is to be saved by itself, now or later.
func toSave(row journal.Row) bool {
	return row.Job.Status == pixazo.Completed && row.Save.Folder != "" && len(row.Saved) == 0 && row.Save.Tries < journal.MaxSaves
}

// save saves the row's video unless it is not due, or somebody is at it.
func (k *Keeper) save(ctx context.Context, row journal.Row) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.saving[row.ID] || !row.Save.Due(time.Now()) {
		return
	}
	k.saving[row.ID] = true
	k.tasks.Go(func() {
		k.trySave(journal.WithOwner(ctx, row.Owner), row)
		k.mu.Lock()
		delete(k.saving, row.ID)
		k.mu.Unlock()
		k.hurry()
	})
}

// trySave saves the row's video, if its turn comes to this process, and writes
// how it ended.
func (k *Keeper) trySave(ctx context.Context, row journal.Row) {
	select {
	case k.downloads <- struct{}{}:
		defer func() { <-k.downloads }()
	case <-ctx.Done():
		return
	}
	release, err := k.o.Journal.HoldSave(ctx, row.ID, true)
	if err != nil || release == nil {
		return
	}
	defer release()
	failure, next := "", time.Time{}
	if err := k.o.Save(ctx, row, func(name string) error { return k.o.Journal.NameSave(ctx, row.ID, name) }); err != nil {
		if ctx.Err() != nil { // another process goes on
			return
		}
		failure = k.o.Tracker.Shown(err).Error()
		next = time.Now().Add(saveAgain[min(row.Save.Tries, len(saveAgain)-1)])
		k.o.Logger.Warn("a video could not be saved", "request_id", row.Job.RequestID, "try", row.Save.Tries+1, "error", err)
	}
	if err := k.o.Journal.EndSave(context.WithoutCancel(ctx), row.ID, failure, next); err != nil {
		k.o.Logger.Warn("how a save ended could not be written", "request_id", row.Job.RequestID, "error", err)
	}
}
