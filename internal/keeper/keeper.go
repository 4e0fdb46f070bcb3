// Package keeper works on video jobs in the background: it polls unfinished ones,
// saves finished videos and shows desktop notices. A server starts a keeper, which
// is a process of its own, for each submission, so that no video is lost when the
// client or the server ends. Where keepers are switched off, the server's own
// process does the same work.
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
)

const (
	lifetime    = 6 * time.Hour    // of a keeper process
	pendingLook = time.Second      // how often a keeper looks whether the journal was written to, while something is pending
	dueLook     = 5 * time.Second  // how often it reads the journal then, if nobody wrote to it: saves and notices fall due
	IdleLook    = time.Minute      // between two looks while nothing is pending
	errorPause  = 10 * time.Second // before the next look when one has failed
	leaseFor    = 60 * time.Second // of a keeper process; it is renewed three times as often
	unleasedFor = 5 * time.Minute  // how long a keeper stays that could not write its lease even once
	stopFor     = time.Minute      // how long a request to end stands
	startTime   = 2 * pendingLook  // how long a keeper that begins may take until its lease shows it

	adoptEvery = 10 * time.Minute // between two tries to take over jobs of other keys
	adoptAfter = 15 * time.Minute // a job is taken over only if the gateway has not answered for it this long
	adoptFor   = 10 * time.Second // one try, over all these jobs

	maxSaving = 4               // downloads at once
	maxAhead  = 2 * time.Minute // a stored time further ahead was written under another clock
)

// The names of the leases in the journal.
const (
	watchLease = "watch " // + gateway, account, time and a random text: a keeper process has one as long as it runs; the latest watches
	stopLease  = "stop"   // all keepers are asked to end
	startLease = "start"  // shows a server that the journal can be written
)

// retryPauses are the pauses before a failed download is tried again, each with a
// fresh link.
var retryPauses = []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute}

// Options configure a Keeper.
type Options struct {
	Tracker *jobs.Tracker
	Journal *journal.Journal

	// Save saves the video of a finished job in the folder that its row names, and
	// records the files in the journal. If the row has no file name from an earlier
	// try, Save calls named with the name that it chose, before it writes the file.
	Save func(ctx context.Context, row journal.Row, named func(name string) error) error

	Notify  func(context.Context, Notice) error // shows a notice; nil when there is no desktop
	Gateway string                              // its name in the journal
	Account func() string                       // hash of the present key
	Version string
	Logger  *slog.Logger
}

// Keeper works on the jobs of one gateway and one key.
type Keeper struct {
	o        Options
	lifetime time.Duration
	wake     chan struct{} // ends the pause before the next look
	tasks    sync.WaitGroup

	leased      bool      // whether this process has had its lease
	accounts    []string  // hashes of the keys since the start: after a change of key the jobs of the old one go on
	adoptedAt   time.Time // when jobs of other keys were last asked for
	othersExist bool      // whether the last look found unfinished jobs of other keys

	seen    string    // Journal.State at the last look
	seenAt  time.Time // when that was
	pending bool      // whether it has found something to do

	downloads chan struct{} // holds an element for each download under way

	mu       sync.Mutex
	followed map[int64]func() // by row; each function ends the polls of its job
	saving   map[int64]bool   // by row
}

// New returns a keeper.
func New(o Options) *Keeper {
	return &Keeper{o: o, lifetime: lifetime, wake: make(chan struct{}, 1), downloads: make(chan struct{}, maxSaving), followed: map[int64]func(){}, saving: map[int64]bool{}}
}

// WatchLease returns how the names of the leases begin that keepers of a gateway and an
// account have.
func WatchLease(gateway, account string) string { return watchLease + gateway + " " + account + " " }

// Run works until ctx is done. It looks whether the journal was written to once a second
// while something is pending or an outcome could not be written, else once a minute.
func (k *Keeper) Run(ctx context.Context) {
	defer k.end()
	defer k.o.Tracker.Listen(func(journal.Row) { k.wakeUp() })()
	for ctx.Err() == nil {
		k.o.Journal.WriteOutcomes()
		if k.due(k.pending) {
			k.pending = k.look(ctx)
		}
		pause := IdleLook
		if k.pending || k.o.Journal.Unwritten() {
			pause = pendingLook
		}
		k.sleep(ctx, pause)
	}
}

// due reports whether the journal is to be read now. It is if somebody wrote to it since it
// was last read. It also is dueLook after that if work is pending, here or for jobs of other
// keys, since such work falls due without a write.
func (k *Keeper) due(pending bool) bool {
	state := k.o.Journal.State()
	if state == k.seen && !((pending || k.othersExist) && time.Since(k.seenAt) >= dueLook) {
		return false
	}
	k.seen, k.seenAt = state, time.Now()
	return true
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// wakeUp ends the present sleep, or else the next one.
func (k *Keeper) wakeUp() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// sleep returns after pause, or at once after wakeUp or when ctx is done.
func (k *Keeper) sleep(ctx context.Context, pause time.Duration) {
	select {
	case <-time.After(pause):
	case <-k.wake:
	case <-ctx.Done():
	}
}

// end stops all polls, and waits for saves and notices under way.
func (k *Keeper) end() {
	k.mu.Lock()
	for row, stop := range k.followed {
		stop()
		delete(k.followed, row)
	}
	k.mu.Unlock()
	k.tasks.Wait()
}

// look reads the journal and starts the tasks that are due. It reports whether any
// task is left, now or later; it assumes so if the journal can't be read.
func (k *Keeper) look(ctx context.Context) (pending bool) {
	rows, err := k.work(ctx)
	if err == nil {
		return k.begin(ctx, rows)
	}
	k.o.Logger.Warn("the journal could not be read", "error", err)
	journal.Sleep(ctx, errorPause)
	return true
}

// begin starts the tasks of rows in the background: it polls unfinished jobs, saves
// videos and shows notices. It ends the polls of jobs that are not in rows, and
// reports whether any task is left, now or later.
func (k *Keeper) begin(ctx context.Context, rows []journal.Row) (pending bool) {
	follow := map[int64]bool{}
	for _, row := range rows {
		switch {
		case row.State == journal.Submitting: // its keeper may no longer watch once it is accepted
			pending = true
		case row.Pending():
			follow[row.ID], pending = true, true
			k.follow(ctx, row)
		case row.ToSave():
			pending = true
			k.save(ctx, row)
		}
		if err := k.notify(ctx, row); err != nil {
			pending = true
		}
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

// work returns the rows with something to do that this keeper works on: those
// submitted with a key that it had since its start, and those that it takes over
// now. It tries to take over jobs of other keys for which the gateway has not
// answered in a while, such as those of a key that was replaced: every 10 minutes
// it asks for them with the present key, and each job for which it gets an answer
// is its own from then on.
func (k *Keeper) work(ctx context.Context) (own []journal.Row, err error) {
	rows, err := k.o.Journal.Work(ctx, jobs.MaxAge)
	if err != nil {
		return nil, err
	}
	account := k.o.Account()
	if !slices.Contains(k.accounts, account) {
		k.accounts, k.adoptedAt = append(k.accounts, account), time.Time{}
	}
	asks := account != "" && time.Since(k.adoptedAt) >= adoptEvery
	if asks {
		k.adoptedAt = time.Now()
	}
	ctx, cancel := context.WithTimeout(ctx, adoptFor)
	defer cancel()
	k.othersExist = false
	for _, row := range rows {
		if slices.Contains(k.accounts, row.Account) {
			own = append(own, row)
			continue
		}
		if !row.Pending() && !row.ToSave() {
			continue
		}
		k.othersExist = true
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

// follow has the row's job polled until end or begin stops that.
func (k *Keeper) follow(ctx context.Context, row journal.Row) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.followed[row.ID] == nil {
		k.followed[row.ID] = k.o.Tracker.Follow(journal.WithOwner(context.WithoutCancel(ctx), row.Owner), row.Job.RequestID)
	}
}

// save starts to save the row's video in the background, if a try is due and none
// is under way.
func (k *Keeper) save(ctx context.Context, row journal.Row) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.saving[row.ID] || !row.Save.Due(k.o.Journal.Now()) {
		return
	}
	k.saving[row.ID] = true
	k.tasks.Go(func() {
		recorded, _ := k.TrySave(journal.WithOwner(ctx, row.Owner), row)
		k.mu.Lock()
		delete(k.saving, row.ID)
		k.mu.Unlock()
		if recorded { // otherwise the next look finds what this one did
			k.wakeUp()
		}
	})
}

// TrySave saves the row's video, unless another process does or no try is due. It
// returns true if it recorded in the journal how the try ended. Its error says why the
// journal could not be written.
func (k *Keeper) TrySave(ctx context.Context, row journal.Row) (recorded bool, err error) {
	select {
	case k.downloads <- struct{}{}:
		defer func() { <-k.downloads }()
	case <-ctx.Done():
		return false, nil
	}
	release, err := k.o.Journal.HoldSave(ctx, row.ID, true)
	if err != nil || release == nil {
		return false, err
	}
	defer release()
	if now, err := k.o.Journal.Find(ctx, row.Job.RequestID); err == nil && now != nil {
		row = *now // another process may have tried since
	}
	failure, next := "", time.Time{}
	if err := k.o.Save(ctx, row, func(name string) error { return k.o.Journal.NameSave(ctx, row.ID, name) }); err != nil {
		if ctx.Err() != nil { // another process goes on
			return false, nil
		}
		failure = k.o.Tracker.Shown(err).Error()
		next = time.Now().Add(retryPauses[min(row.Save.Tries, len(retryPauses)-1)])
		k.o.Logger.Warn("a video could not be saved", "request_id", row.Job.RequestID, "try", row.Save.Tries+1, "error", err)
	}
	if err = k.o.Journal.EndSave(context.WithoutCancel(ctx), row.ID, failure, next); err != nil {
		k.o.Logger.Warn("how a save ended could not be written", "request_id", row.Job.RequestID, "error", err)
	}
	return err == nil, err
}
