// This file runs a keeper in a process of its own, which shows by a lease that it runs
// and decides when to end.

package keeper

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"time"

	"pixazo-mcp/internal/journal"
)

// RunAlone is Run for a keeper process. It returns once submitting is closed, which
// says that the submission has ended, and one of these holds: ctx is done, nothing is
// pending, a newer keeper watches, keepers are asked to end, the journal is gone, six
// hours have passed, or five minutes without a lease. While an outcome can't be written,
// only ctx and being asked end it. One that a newer keeper has relieved ends its saves
// first; with ctx done, or asked to end, it cuts them off.
func (k *Keeper) RunAlone(ctx context.Context, submitting <-chan struct{}) {
	tasks, cut := context.WithCancel(ctx)
	defer cut()
	defer k.o.Tracker.Listen(func(journal.Row) { k.wakeUp() })()
	defer context.AfterFunc(tasks, k.wakeUp)()
	ctx, begun := context.WithoutCancel(ctx), time.Now()
	lease := k.newLease(ctx)
	defer func() { _ = k.o.Journal.EndLease(ctx, lease.Name) }()
	defer k.end()
	for relieved := false; ; k.sleep(ctx, pendingLook) {
		sent := isClosed(submitting)
		if sent {
			k.o.Journal.WriteOutcomes()
		}
		if k.due(true) {
			stopped, newer := k.keepLease(ctx, lease, begun)
			if stopped && tasks.Err() == nil {
				k.o.Logger.Info("asked to end")
				cut()
			}
			if newer && !relieved {
				k.o.Logger.Info("a newer keeper has taken over")
			}
			relieved = newer // one that is sending watches again if the newer one ends
			if relieved || tasks.Err() != nil {
				k.pending = k.begin(tasks, nil)
			} else {
				k.pending = k.look(tasks)
			}
		}
		age := time.Since(begun)
		switch {
		case !sent:
		case tasks.Err() != nil:
			return
		case k.o.Journal.Unwritten():
		case !k.pending, !k.o.Journal.Exists(), age > k.lifetime:
			return
		case !k.leased && age > unleasedFor: // nothing can be submitted or saved; once the journal can be written, a server starts another keeper
			return
		}
	}
}

// newLease returns the lease of a keeper that begins now. Of two keepers of a gateway and
// an account, the later one has the greater name, also if the clock was set back.
func (k *Keeper) newLease(ctx context.Context) journal.Lease {
	watch, begun := WatchLease(k.o.Gateway, k.o.Account()), time.Now().UnixMilli()
	held, _ := k.o.Journal.Leases(ctx, watch)
	for _, l := range held {
		var other int64
		_, _ = fmt.Sscanf(l.Name[len(watch):], "%x", &other)
		begun = max(begun, other+1)
	}
	return journal.Lease{Name: fmt.Sprintf("%s%016x %s", watch, begun, rand.Text()), Holder: fmt.Sprintf("%s pid %d", k.o.Version, os.Getpid())}
}

// keepLease renews own, the lease of this process, before it runs out, unless there is no
// journal. It reports whether this process is asked to end, and whether a newer keeper
// watches the same jobs. begun is when this process began.
func (k *Keeper) keepLease(ctx context.Context, own journal.Lease, begun time.Time) (stopped, newer bool) {
	held, err := k.o.Journal.Leases(ctx, "")
	if err != nil || !k.o.Journal.Exists() { // no reason to end
		return false, false
	}
	watch, kept := own.Name[:strings.LastIndexByte(own.Name, ' ')-16], false // the name up to the time, see newLease
	for _, l := range held {
		switch left := time.Until(l.Until); {
		case l.Name == own.Name:
			kept = left > leaseFor*2/3
		case l.Name == stopLease: // a process that began after the request is not meant
			stopped = stopFor-left <= time.Since(begun)
		case strings.HasPrefix(l.Name, watch):
			newer = newer || l.Name > own.Name
		}
	}
	if !kept {
		own.Until = time.Now().Add(leaseFor)
		kept = k.o.Journal.TakeLease(ctx, own) == nil
	}
	k.leased = k.leased || kept
	return stopped, newer
}
