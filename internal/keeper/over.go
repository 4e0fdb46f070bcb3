// This file holds what other processes do about keepers: a server starts one where it
// is missing, and commands list them or end them.

package keeper

import (
	"context"
	"slices"
	"strings"
	"time"

	"pixazo-mcp/internal/journal"
)

// WatchOver has a keeper started, once a minute, when something is to be done
// that nobody watches, until ctx is done. When none can be started, k does it in
// this process.
func WatchOver(ctx context.Context, k *Keeper, start func() error) {
	idle := "" // the state of the journal in which there was nothing to do
	for journal.Sleep(ctx, idleLook) {
		k.o.Journal.WriteOutcomes()
		state := k.o.Journal.State()
		if state == idle {
			continue
		}
		rows, err := k.work(ctx)
		if err != nil {
			continue
		}
		held, err := k.o.Journal.Leases(ctx, WatchLease(k.o.Gateway, k.o.Account()))
		pending := slices.ContainsFunc(rows, func(row journal.Row) bool {
			_, tell := noticeOf(row, time.Now())
			return tell || row.Pending() || toSave(row)
		})
		switch {
		case err != nil:
		case !pending && !k.strays:
			idle = state
		case pending && len(held) == 0 && start() != nil:
			k.Run(ctx)
		}
	}
}

// Running says which keepers hold leases, by version and process, or "".
func Running(leases []journal.Lease) string {
	var all []string
	for _, l := range leases {
		if strings.HasPrefix(l.Name, watchLease) {
			all = append(all, "version "+l.Holder[:max(strings.LastIndexByte(l.Holder, ' '), 0)])
		}
	}
	return strings.Join(all, ", ")
}

// Stop asks all keepers of a journal to end once their submissions are sent, and
// returns how many there were when they have, or ctx is done.
func Stop(ctx context.Context, j *journal.Journal) (n int, err error) {
	if !j.Exists() {
		return 0, nil
	}
	err = j.Take(ctx, journal.Lease{Name: stopLease, Holder: holder(""), Until: time.Now().Add(stopFor)})
	for err == nil {
		var held []journal.Lease
		held, err = j.Leases(ctx, "")
		keepers := map[string]bool{}
		for _, l := range held {
			if l.Name != stopLease {
				keepers[l.Holder] = true // which may have two for a moment
			}
		}
		if n = max(n, len(keepers)); err != nil || len(keepers) == 0 {
			return n, err
		}
		if !journal.Sleep(ctx, 200*time.Millisecond) {
			err = ctx.Err()
		}
	}
	return n, err
}
