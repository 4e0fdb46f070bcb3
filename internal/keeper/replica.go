// This file does the work of a keeper in each replica of a team server. There is no
// leader: claims in the journal decide which replica polls a job or saves a video.

package keeper

import (
	"context"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
)

const (
	replicaLook = 10 * time.Second // between two looks for work, of which a dead replica may have left some
	replicaRows = 100              // videos that one replica saves, or has waiting for a download slot
)

// RunReplica is Run for one of several replicas: it works on the jobs of all keys
// until ctx is done. With callbacks, it does not poll each unfinished job, but
// sweeps those whose callback may have been missed (see jobs.Tracker.Sweep).
func (k *Keeper) RunReplica(ctx context.Context, callbacks bool) {
	defer k.end()
	defer k.o.Tracker.Listen(func(journal.Row) { k.wakeUp() })()
	defer k.o.Tracker.Follow(ctx, "")() // so that Listen hears what other replicas write
	if callbacks {
		k.tasks.Go(func() { k.o.Tracker.Sweep(ctx) })
	}
	k.tasks.Go(func() { // apart from the looks, which may be a minute apart when the database is slow
		for journal.Sleep(ctx, pendingLook) {
			k.o.Journal.WriteOutcomes()
		}
	})
	for ctx.Err() == nil {
		begun := time.Now()
		var rows []journal.Row
		var err error
		if callbacks {
			rows, err = k.o.Journal.Saves(ctx, jobs.MaxAge, replicaRows)
		} else {
			rows, err = k.o.Journal.Work(ctx, jobs.MaxAge)
		}
		if err != nil {
			k.o.Logger.Warn("the journal could not be looked at", "error", err)
			journal.Sleep(ctx, errorPause) // and not longer for a look that took long: it may have waited for the network
			continue
		}
		k.begin(ctx, rows)
		// The next look waits 50 times as long as this one took, so that reading leaves the
		// database to others, however many rows there are.
		if journal.Sleep(ctx, min(max(pendingLook, 50*time.Since(begun)), IdleLook)) {
			k.sleep(ctx, replicaLook)
		}
	}
}
