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
// is work and no keeper watches, it calls start to start one. If that fails, k does the
// work in this process.
func WatchOver(ctx context.Context, looks <-chan time.Time, k *Keeper, start func() error) {
	for {
		select {
		case <-looks:
		case <-ctx.Done():
			return
		}
		k.o.Journal.WriteOutcomes()
		if k.due(k.pending) {
			k.pending = k.lookOver(ctx, start)
		}
	}
}

// lookOver is one look of WatchOver. It reports whether there is work, or may be, as when
// the journal can't be read, or will be once the lease of an intent has ended, at which
// nobody writes to the journal.
func (k *Keeper) lookOver(ctx context.Context, start func() error) (pending bool) {
	rows, err := k.work(ctx)
	if err != nil {
		return true
	}
	work := slices.ContainsFunc(rows, func(row journal.Row) bool {
		_, due := noticeOf(row, time.Now())
		return due || row.Pending() || row.ToSave()
	})
	if !work {
		return slices.ContainsFunc(rows, func(row journal.Row) bool { return row.State == journal.Submitting })
	}
	if held, err := k.o.Journal.Leases(ctx, WatchLease(k.o.Gateway, k.o.Account())); err != nil || len(held) > 0 {
		return true
	}
	// On a full disk a keeper can't write the lease by which later looks would know of it, so
	// each look would start one more. Whether leases can be written is tried with one that
	// ends at once.
	if err := k.o.Journal.TakeLease(ctx, journal.Lease{Name: startLease, Until: time.Now()}); err != nil {
		k.o.Logger.Warn("no keeper is started while the journal can't be written", "error", err)
		return true
	}
	if err := start(); err != nil {
		k.o.Logger.Warn("no keeper could be started: this server does its work", "error", err)
		k.pending = true
		k.Run(ctx)
	}
	return true
}

// Running returns version and process of each keeper that runs; "" if none does.
func Running(leases []journal.Lease) string {
	var all []string
	for _, l := range leases {
		if strings.HasPrefix(l.Name, watchLease) {
			all = append(all, "version "+l.Holder)
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
			err = j.TakeLease(ctx, journal.Lease{Name: stopLease, Until: begun.Add(stopFor)})
		}
		held, leasesErr := j.Leases(ctx, watchLease)
		err = cmp.Or(err, leasesErr)
		n = max(n, len(held))
		if len(held) == 0 && (n > 0 || time.Since(begun) > startTime) {
			return n, err
		}
		if !journal.Sleep(ctx, 200*time.Millisecond) {
			err = cmp.Or(err, ctx.Err())
		}
	}
	return n, err
}
