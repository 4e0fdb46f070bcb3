// This file runs a keeper as a process of its own: it holds a lease, and decides
// when to end.

package keeper

import (
	"context"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
)

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
		if sent {
			k.o.Journal.WriteOutcomes()
		}
		if sent && !k.o.Journal.Exists() && !k.o.Journal.Unwritten() {
			return
		}
		pending := k.look(ctx)
		if sent && (!pending && !k.o.Journal.Unwritten() || time.Since(w.begun) > k.lifetime) {
			break
		}
		k.sleep(ctx, lookAt)
	}
	k.finish(context.WithoutCancel(ctx), w.lease, submitting)
}

// watch is what a keeper process knows of its lease.
type watch struct {
	lease   journal.Lease
	renewed time.Time // zero until the lease was taken
	begun   time.Time
	first   bool // there was no journal yet, so another keeper that has the lease began later
}

// goesOn takes or renews the lease of w, once there is a journal. It returns false
// when a newer keeper has it, or all keepers are asked to end. A journal that
// can't be read or written says nothing.
func (k *Keeper) goesOn(ctx context.Context, w *watch) bool {
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
	case w.renewed.IsZero() && !w.first || has == "": // or the journal was replaced, or a clock was set
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
