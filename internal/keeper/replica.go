// This file does a keeper's work in each replica of a team server. There is no
// leader: claims in the journal decide which replica polls or saves.

package keeper

import (
	"context"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
)

const (
	replicaLook = 10 * time.Second // how often it looks for what is due, or was left behind
	replicaRows = 100              // at most this many videos being saved, or waiting for that, in one replica
)

// RunReplica is Run for one of several replicas: it works for the jobs of all keys
// until ctx is done. With callbacks, unfinished jobs are not followed but swept
// (see jobs.Tracker.Sweep).
func (k *Keeper) RunReplica(ctx context.Context, callbacks bool) {
	defer k.end()
	defer k.o.Tracker.Listen(func(jobs.Event) { k.hurry() })()
	defer k.o.Tracker.Follow(ctx, "")() // to hear of what other replicas see
	if callbacks {
		k.tasks.Go(func() { k.o.Tracker.Sweep(ctx) })
	}
	for ctx.Err() == nil {
		k.o.Journal.WriteOutcomes()
		begun := time.Now()
		var rows []journal.Row
		var err error
		if callbacks {
			rows, err = k.o.Journal.Saves(ctx, within, replicaRows)
		} else {
			rows, err = k.o.Journal.Work(ctx, within)
		}
		if err != nil {
			k.o.Logger.Warn("the journal could not be looked at", "error", err)
		} else {
			k.begin(ctx, rows)
		}
		// The next look waits 50 times as long as this one took, so that reading leaves the
		// database to others, however many rows there are.
		if journal.Sleep(ctx, min(max(lookAt, 50*time.Since(begun)), idleLook)) {
			k.sleep(ctx, replicaLook)
		}
	}
}
