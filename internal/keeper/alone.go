// This file runs a keeper in a process of its own, which holds a lease and decides
// when to end.

package keeper

import (
	"context"
	"time"

	"pixazo-mcp/internal/journal"
)

// RunAlone is Run for a keeper process. It returns once submitting is closed, which
// says that the submission has ended, and one of these holds: ctx is done, nothing
// is pending, a newer keeper has taken the lease, keepers are asked to end, the
// journal is gone, or six hours have passed.
func (k *Keeper) RunAlone(ctx context.Context, submitting <-chan struct{}) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer k.end() // before stop, so that saves go on in a process that a newer keeper has relieved
	defer k.o.Tracker.Listen(func(journal.Row) { k.wakeUp() })()
	w := watch{lease: journal.Lease{Name: WatchLease(k.o.Gateway, k.o.Account()), Holder: holder(k.o.Version)}, begun: time.Now(), stop: stop}
	for ctx.Err() == nil && k.keepLease(ctx, &w) {
		sent := isClosed(submitting)
		if sent {
			k.o.Journal.WriteOutcomes()
		}
		if sent && !k.o.Journal.Exists() && !k.o.Journal.Unwritten() {
			return
		}
		pending := k.look(ctx)
		if sent && !k.hasRead && !k.o.Journal.Unwritten() && time.Since(w.begun) > unreadFor {
			break // nothing was submitted; once the journal can be read, a server starts another keeper
		}
		if sent && (!pending && !k.o.Journal.Unwritten() || time.Since(w.begun) > k.lifetime) {
			break
		}
		k.sleep(ctx, pendingLook)
	}
	if ctx.Err() != nil { // saves are cut off, and Stop waits for their end
		k.end()
	}
	k.finish(context.WithoutCancel(ctx), w.lease, submitting)
}

// watch holds the state of a keeper's lease.
type watch struct {
	lease   journal.Lease
	renewed time.Time // zero until the lease was taken
	begun   time.Time // when the process began
	first   bool      // this process began before there was a journal, so any other holder began later
	stop    func()    // cuts off the saves of this process
}

// keepLease takes or renews the lease of w, if there is a journal. It returns false
// when a newer keeper holds the lease, or all keepers are asked to end. A journal
// that can't be read or written is no reason to end.
func (k *Keeper) keepLease(ctx context.Context, w *watch) bool {
	if !k.o.Journal.Exists() {
		w.first = true
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
			// A process that began after the request is not meant.
			if asked := stopFor - time.Until(l.Until); asked <= time.Since(w.begun) {
				k.o.Logger.Info("asked to end")
				w.stop()
				return false
			}
		}
	}
	w.lease.Until = time.Now().Add(leaseFor)
	kept := true
	switch {
	case w.renewed.IsZero() && !w.first || has == "": // a lease can vanish when the journal is replaced or a clock is set
		err = k.o.Journal.TakeLease(ctx, w.lease)
	case has != w.lease.Holder:
		kept = false
	case time.Since(w.renewed) > leaseFor/3:
		kept, err = k.o.Journal.RenewLease(ctx, w.lease)
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

// finish gives the lease up and waits until submitting is closed. Meanwhile a lease
// of another name shows that this process still runs.
func (k *Keeper) finish(ctx context.Context, lease journal.Lease, submitting <-chan struct{}) {
	sending := journal.Lease{Name: sendLease + lease.Holder, Holder: lease.Holder}
	for !isClosed(submitting) {
		sending.Until = time.Now().Add(leaseFor)
		_ = k.o.Journal.TakeLease(ctx, sending)
		_ = k.o.Journal.EndLease(ctx, lease)
		select {
		case <-submitting:
		case <-time.After(leaseFor / 3):
		}
	}
	_ = k.o.Journal.EndLease(ctx, lease)
	_ = k.o.Journal.EndLease(ctx, sending)
}
