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
	maxAhead = 2 * time.Minute  // a stored time further ahead was written under another clock
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
	o     Options
	wake  chan struct{}
	tasks sync.WaitGroup

	// What look found the last time, and in which version of the journal.
	version int64
	looked  time.Time
	due     time.Time // when the next save is
	pending bool

	accounts []string // of the keys it had: a new key does not lose the jobs of the old one

	mu       sync.Mutex
	followed map[int64]func() // what ends following a row
	saving   map[int64]bool
}

// New returns a keeper.
func New(o Options) *Keeper {
	return &Keeper{o: o, wake: make(chan struct{}, 1), followed: map[int64]func(){}, saving: map[int64]bool{}}
}

// WatchLease is the name of the lease of whoever watches the jobs of a gateway
// and an account.
func WatchLease(gateway, account string) string { return watchLease + gateway + " " + account }

// Run works until ctx is done. It looks at the journal once a second while
// something is pending, else once a minute, and reads it only when somebody has
// written to it.
func (k *Keeper) Run(ctx context.Context) {
	defer k.end()
	defer k.o.Tracker.Listen(func(jobs.Event) { k.hurry() })()
	seen, pending := "", false
	for ctx.Err() == nil {
		if state := k.o.Journal.State(); pending || state != seen {
			seen, pending = state, k.look(ctx)
		}
		k.sleep(ctx, pending)
	}
}

// RunAlone is Run for a process of its own. It ends also when nothing is pending
// and submitting is closed, when a newer keeper has taken over, when it is asked
// to, when the journal is gone, and after six hours; but not before submitting is
// closed.
func (k *Keeper) RunAlone(ctx context.Context, submitting <-chan struct{}) {
	defer k.end()
	defer k.o.Tracker.Listen(func(jobs.Event) { k.hurry() })()
	w := watch{lease: journal.Lease{Name: WatchLease(k.o.Gateway, k.o.Account()), Holder: holder(k.o.Version)}, begun: time.Now()}
	for ctx.Err() == nil && k.goesOn(ctx, &w) {
		sent := closed(submitting)
		if sent && k.o.Journal.Unwritten() {
			k.o.Journal.WriteOutcomes()
		}
		if sent && !k.o.Journal.Exists() && !k.o.Journal.Unwritten() {
			return
		}
		pending := k.look(ctx)
		if sent && (!pending && !k.o.Journal.Unwritten() || time.Since(w.begun) > lifetime) {
			break
		}
		k.sleep(ctx, true)
	}
	k.finish(context.WithoutCancel(ctx), w.lease, submitting)
}

// watch is a keeper's place among others.
type watch struct {
	lease   journal.Lease
	renewed time.Time // zero until the lease was taken
	begun   time.Time
}

// goesOn takes or renews the lease of w, once there is a journal. It returns false
// when a newer keeper has it, or all keepers are asked to end. A journal that
// can't be read or written says nothing.
func (k *Keeper) goesOn(ctx context.Context, w *watch) bool {
	if !k.o.Journal.Exists() {
		return true
	}
	held, err := k.o.Journal.Leases(ctx, "")
	if err != nil {
		return true
	}
	has := ""
	for _, l := range held {
		switch l.Name {
		case w.lease.Name:
			has = l.Holder
		case stopLease:
			// By this process's own clock: one that began since is not meant.
			if asked := stopFor - time.Until(l.Until); asked <= time.Since(w.begun) {
				k.o.Logger.Info("asked to end")
				return false
			}
		}
	}
	w.lease.Until = time.Now().Add(leaseFor)
	kept := true
	switch {
	case w.renewed.IsZero() || has == "": // or the journal was replaced, or a clock was set
		err = k.o.Journal.Take(ctx, w.lease)
	case has != w.lease.Holder:
		kept = false
	case time.Since(w.renewed) > leaseFor/3:
		kept, err = k.o.Journal.Keep(ctx, w.lease)
	default:
		return true
	}
	switch {
	case err != nil:
	case !kept:
		k.o.Logger.Info("a newer keeper has taken over")
		return false
	default:
		w.renewed = time.Now()
	}
	return true
}

// finish waits until submitting is closed and leaves the lease. As long as that
// takes, another lease shows that this process is still there.
func (k *Keeper) finish(ctx context.Context, lease journal.Lease, submitting <-chan struct{}) {
	sending := journal.Lease{Name: sendLease + lease.Holder, Holder: lease.Holder}
	for !closed(submitting) {
		sending.Until = time.Now().Add(leaseFor)
		_ = k.o.Journal.Take(ctx, sending)
		_ = k.o.Journal.Leave(ctx, lease)
		select {
		case <-submitting:
		case <-time.After(leaseFor / 3):
		}
	}
	_ = k.o.Journal.Leave(ctx, lease)
	if !sending.Until.IsZero() {
		_ = k.o.Journal.Leave(ctx, sending)
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
func (k *Keeper) sleep(ctx context.Context, pending bool) {
	pause := idleLook
	if pending {
		pause = lookAt
	}
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

// look begins what is to be done, and reports whether anything is pending. It
// reads the journal when somebody has written to it, when a save is due, and else
// once in half a minute, when a notice may be.
func (k *Keeper) look(ctx context.Context) (pending bool) {
	version, err := k.o.Journal.Version(ctx)
	if err == nil && version == k.version && time.Since(k.looked) < idleLook/2 && time.Now().Before(k.due) {
		return k.pending
	}
	k.due = time.Now().Add(idleLook)
	defer func() { k.version, k.looked, k.pending = version, time.Now(), pending }()
	rows, err := k.work(ctx)
	if err != nil {
		k.o.Logger.Warn("the journal could not be looked at", "error", err)
		return k.busy()
	}
	follow := map[int64]bool{}
	for _, row := range rows {
		switch {
		case row.Pending():
			follow[row.ID], pending = true, true
			k.follow(ctx, row)
		case toSave(row):
			pending = true
			if next := row.Save.Next; next.After(time.Now()) && next.Before(k.due) {
				k.due = next
			}
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

// work returns the rows of the keys that this keeper had.
func (k *Keeper) work(ctx context.Context) (rows []journal.Row, err error) {
	if account := k.o.Account(); !slices.Contains(k.accounts, account) {
		k.accounts = append(k.accounts, account)
	}
	for _, account := range k.accounts {
		more, err := k.o.Journal.Work(ctx, account, within)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

func (k *Keeper) busy() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.followed)+len(k.saving) > 0
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
	granted, err := k.o.Journal.ClaimSave(ctx, row.ID)
	if err != nil || !granted {
		return
	}
	under, cancel := context.WithCancel(ctx)
	defer cancel()
	k.tasks.Go(func() {
		for wait(under, 20*time.Second) {
			_ = k.o.Journal.RenewSave(under, row.ID)
		}
	})
	err = k.o.Save(ctx, row, func(name string) error { return k.o.Journal.NameSave(ctx, row.ID, name) })
	cancel()
	failure, next := "", time.Time{}
	switch {
	case ctx.Err() != nil: // the process ends; another one goes on
		return
	case err != nil:
		failure = k.o.Tracker.Shown(err).Error()
		next = time.Now().Add(saveAgain[min(row.Save.Tries, len(saveAgain)-1)])
		k.o.Logger.Warn("a video could not be saved", "request_id", row.Job.RequestID, "try", row.Save.Tries+1, "error", err)
	}
	if err := k.o.Journal.EndSave(ctx, row.ID, failure, next); err != nil {
		k.o.Logger.Warn("how a save ended could not be written", "request_id", row.Job.RequestID, "error", err)
	}
}

// wait reports whether d passed before ctx was done.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// tell gives the row's notice when there is one to be given.
func (k *Keeper) tell(ctx context.Context, row journal.Row) {
	now := time.Now()
	notice, due := noticeDue(row, now)
	if !due {
		return
	}
	first, err := k.o.Journal.Tell(ctx, row.ID)
	attended := row.Save.Attended.After(now) && row.Save.Attended.Before(now.Add(maxAhead))
	if err != nil || !first || k.o.Notify == nil || attended {
		return
	}
	k.tasks.Go(func() {
		if err := k.o.Notify(context.WithoutCancel(ctx), notice); err != nil {
			k.o.Logger.Debug("no notice could be given", "error", err)
		}
	})
}

// noticeDue returns the notice of a row that wants one and had none.
func noticeDue(row journal.Row, now time.Time) (Notice, bool) {
	if !row.Save.Notify || !row.Save.Told.IsZero() {
		return Notice{}, false
	}
	return noticeOf(row, now)
}
