// This file has what other processes do with keepers: a server starts one where none
// runs, and commands list or end them.

package keeper

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"pixazo-mcp/internal/journal"
)

// WatchOver looks at the journal at each tick of looks until ctx is done. When there
// is work and no keeper holds the lease for it, it calls start to start one. If that
// fails, k does the work in this process.
func WatchOver(ctx context.Context, looks <-chan time.Time, k *Keeper, start func() error) {
	idle := "" // Journal.State when there was nothing to do
	for {
		select {
		case <-looks:
		case <-ctx.Done():
			return
		}
		k.o.Journal.WriteOutcomes()
		if state := k.o.Journal.State(); state != idle && k.lookOver(ctx, start) {
			idle = state
		}
	}
}

// lookOver is one look of WatchOver. It reports whether there is nothing to do.
func (k *Keeper) lookOver(ctx context.Context, start func() error) bool {
	rows, err := k.work(ctx)
	if err != nil {
		return false
	}
	held, err := k.o.Journal.Leases(ctx, WatchLease(k.o.Gateway, k.o.Account()))
	if err != nil {
		return false
	}
	pending := slices.ContainsFunc(rows, func(row journal.Row) bool {
		_, due := noticeOf(row, time.Now())
		return due || row.Pending() || row.ToSave()
	})
	if pending && len(held) == 0 {
		if err := start(); err != nil {
			k.o.Logger.Warn("no keeper could be started: this server does its work", "error", err)
			k.Run(ctx)
		}
	}
	return !pending && !k.othersExist
}

// Running returns version and process of each keeper that holds a lease to watch;
// "" if none does.
func Running(leases []journal.Lease) string {
	var all []string
	for _, l := range leases {
		if strings.HasPrefix(l.Name, watchLease) {
			all = append(all, "version "+l.Holder[:max(strings.LastIndexByte(l.Holder, ' '), 0)])
		}
	}
	return strings.Join(all, ", ")
}

// Stop asks all keepers of a journal to end once their submissions have ended. It
// returns when they have, or ctx is done, with how many there were. While it sees none it
// waits for startTime, since a keeper that has just begun has no lease yet, and perhaps
// no journal.
func Stop(ctx context.Context, j *journal.Journal) (n int, err error) {
	for begun, asked := time.Now(), false; err == nil; {
		if !asked && j.Exists() {
			begun, asked = time.Now(), true
			err = j.TakeLease(ctx, journal.Lease{Name: stopLease, Holder: holder(""), Until: begun.Add(stopFor)})
		}
		held, leasesErr := j.Leases(ctx, "")
		err = cmp.Or(err, leasesErr)
		keepers := map[string]bool{}
		for _, l := range held {
			if l.Name != stopLease {
				keepers[l.Holder] = true // one keeper may hold two leases for a moment
			}
		}
		n = max(n, len(keepers))
		if len(keepers) == 0 && (n > 0 || time.Since(begun) > startTime) {
			return n, err
		}
		if !journal.Sleep(ctx, 200*time.Millisecond) {
			err = cmp.Or(err, ctx.Err())
		}
	}
	return n, err
}
