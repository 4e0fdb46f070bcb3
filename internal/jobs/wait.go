// This file waits for jobs.

package jobs

import (
	"context"
	"time"

	"pixazo-mcp/internal/journal"
)

const (
	reportEvery = 5 * time.Second // report is called at least this often

	// A wait whose timeout passes before the first snapshot lasts up to this much
	// longer, so that a timeout of 0 still returns a status.
	firstLookGrace = 2 * time.Second
)

// End says why a wait ended.
type End int

// The reasons for which a wait ends without an error.
const (
	Finished End = iota // the job has ended, with a video or without
	Expired             // the timeout passed
	Busy                // too many waits at once: the gateway was asked only once
	Draining            // the program is ending
)

// Outcome is the result of a wait.
type Outcome struct {
	Row     *journal.Row // not nil, but empty if none is known; must not be changed
	End     End
	LastErr error // why the newest poll failed; nil if it did not
}

// Progress is what Wait reports.
type Progress struct {
	Row    *journal.Row  // must not be changed
	Err    error         // why the newest poll failed; nil if it did not
	Waited time.Duration // since this wait began
	Age    time.Duration // since the job was submitted; 0 when not known
}

// Wait waits until a job ends, timeout passes or the program ends. When ctx is
// cancelled, it returns the newest outcome together with ctx's error. report, which
// may be nil, is called at once, at each poll and at least every 5 s, never twice at the
// same time. A failed poll does not end the wait.
//
// Errors: invalid_argument; for a job that is not in the journal also not_found, or the
// error because of which the gateway can't be asked.
func (t *Tracker) Wait(ctx context.Context, requestID string, timeout time.Duration, report func(Progress)) (_ Outcome, err error) {
	var row *journal.Row
	aside(func() { row, err = t.known(ctx, requestID) })
	if err != nil {
		return Outcome{Row: &journal.Row{}}, err
	}
	start := time.Now()
	defer t.waits.Add(-1)
	if t.waits.Add(1) > int64(t.options.MaxWaits) {
		return t.busy(ctx, requestID)
	}
	if row != nil && row.Job.Done() {
		timeout = 0 // one poll, for fresh addresses
	}
	l := t.attach(jobKey{journal.Owner(ctx), requestID}, row, 1, 0)
	defer t.detach(l, 1, 0)

	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	end, over, draining := Expired, false, t.draining.Done()
	for {
		seen, changed := t.look(l)
		outcome := Outcome{Row: &seen.row, End: end, LastErr: seen.err}
		if seen.row.Job.Done() {
			outcome = Outcome{Row: &seen.row, End: Finished}
		}
		switch {
		case seen.fresh && seen.isFinal():
			return outcome, outcome.LastErr
		case seen.fresh && over:
			return outcome, nil
		}
		if report != nil && !over {
			aside(func() {
				age, _ := t.age(seen.row)
				report(Progress{&seen.row, seen.err, time.Since(start), age})
			})
		}
		select {
		case <-changed:
			tick.Reset(reportEvery)
		case <-tick.C:
		case <-deadline.C:
			if over {
				return outcome, nil
			}
			over = true
			deadline.Reset(firstLookGrace)
		case <-draining:
			end, over, draining = Draining, true, nil
			deadline.Reset(firstLookGrace)
		case <-ctx.Done():
			return outcome, ctx.Err()
		}
	}
}

// busy returns the outcome of one wait too many: the status of the job as it is now.
func (t *Tracker) busy(ctx context.Context, requestID string) (o Outcome, err error) {
	aside(func() {
		var seen journal.Observation
		seen, err = t.Status(ctx, requestID)
		o = Outcome{Row: &seen.Row, End: Busy}
	})
	return o, err
}

// aside calls f on another goroutine and returns, or panics, as f does. A goroutine keeps
// a stack as large as it once needed; for thousands of goroutines that then wait, that
// is most of the memory.
func aside(f func()) {
	ended := make(chan any)
	go func() {
		defer func() { ended <- recover() }()
		f()
	}()
	if failure := <-ended; failure != nil {
		panic(failure)
	}
}
