// This file follows up the gateway's callbacks, and polls jobs whose callback may
// have been missed.

package jobs

import (
	"context"
	"slices"
	"time"

	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

const (
	maxHints   = 10_000                 // submissions whose callbacks are being looked at
	maxNamed   = 4                      // request_ids that are looked at for one of them
	maxHeeding = 16                     // looks at once
	hintFor    = time.Hour              // how long a look that fails is tried again
	busyPause  = 250 * time.Millisecond // before a look, while another poll of the job is under way
	lookFor    = 900 * time.Millisecond // how long a callback is not answered before the look is over: it is to be within a second

	sweepEvery = time.Minute
	sweepAfter = 5 * time.Minute // jobs that nobody asked for since then are swept
	sweepMost  = 20              // jobs at once
)

// hint holds the jobs that callbacks named for a submission, until the gateway has
// confirmed or denied them. Guarded by Tracker.mu.
type hint struct {
	named []string // request_ids, oldest first
	newer bool     // a callback came since the last look began
}

// Callback notes that a callback to the address of nonce named a job. That is only
// a hint: the gateway is asked for the job, soon and at most once a second, and
// its answer is observed. A submission whose own answer is lost or still to come
// gets the job if the two fit (see journal.Settle). Callback returns once the
// answer is recorded, or, when that takes long and the id is in the journal, once
// the next sweep is to ask for the job; one that is of no use is dropped.
//
// Errors: invalid_argument for what is no request_id; journal_unavailable, after
// which the gateway should deliver the callback again.
func (t *Tracker) Callback(ctx context.Context, nonce, requestID string) error {
	if err := pixazo.CheckRequestID(requestID); err != nil {
		return err
	}
	row, err := t.journal.ByNonce(ctx, nonce)
	if err != nil || !hinted(row, []string{requestID}) {
		return err
	}
	if err := t.hold(nonce, requestID); err != nil {
		return err
	}
	for begun := time.Now(); hinted(row, []string{requestID}); { // what is held in memory is lost when this process is killed
		if time.Since(begun) > lookFor || !journal.Sleep(ctx, lookAgain) {
			if row.Job.RequestID != "" {
				return t.journal.SweepSoon(context.WithoutCancel(ctx), nonce)
			}
			return &pixazo.Error{Code: pixazo.JournalUnavailable, Message: "the submission is not settled yet"}
		}
		if row, err = t.journal.ByNonce(ctx, nonce); err != nil {
			return err
		}
	}
	return nil
}

// hold has what callbacks of a submission named looked at.
func (t *Tracker) hold(nonce, requestID string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.hints[nonce]
	if h == nil {
		if len(t.hints) >= maxHints {
			return &pixazo.Error{Code: pixazo.JournalUnavailable, Message: "too many callbacks at once"}
		}
		h = &hint{}
		t.hints[nonce] = h
		t.submissions.Go(func() { t.heed(nonce, h) })
	}
	h.newer = true
	if !slices.Contains(h.named, requestID) {
		h.named = append(h.named[max(len(h.named)+1-maxNamed, 0):], requestID)
	}
	return nil
}

// hinted reports whether the gateway is to be asked for a submission because its
// callbacks named these jobs.
func hinted(row *journal.Row, named []string) bool {
	return row != nil && row.State != journal.Refused && !row.Job.Done() &&
		(row.Job.RequestID == "" || slices.Contains(named, row.Job.RequestID))
}

// heed asks the gateway about the jobs that callbacks named in h, and again when
// another callback comes meanwhile. When the gateway or the journal does not answer,
// it tries again for an hour, less and less often, or until the program ends.
func (t *Tracker) heed(nonce string, h *hint) {
	begun, backoff := time.Now(), explicitEvery
	for {
		t.mu.Lock()
		named := slices.Clone(h.named)
		h.newer = false
		t.mu.Unlock()
		found := t.lookAt(nonce, named)
		pause := explicitEvery
		switch found {
		case lookedAt:
			backoff = explicitEvery
		case lookBusy:
			pause = busyPause
		case lookFailed:
			pause, backoff = backoff, min(2*backoff, slowly)
		}
		ends := !t.rest(h, pause) || found == lookedAt || time.Since(begun) > hintFor
		t.mu.Lock()
		if ends && !h.newer {
			delete(t.hints, nonce)
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
	}
}

// rest waits for pause, or until the end of the second in which another callback
// comes. It returns false when the program ends first.
func (t *Tracker) rest(h *hint, pause time.Duration) bool {
	for newer := false; pause > 0 && !newer; pause -= explicitEvery {
		if !journal.Sleep(t.draining, min(pause, explicitEvery)) {
			return false
		}
		t.mu.Lock()
		newer = h.newer
		t.mu.Unlock()
	}
	return true
}

// looked is the result of asking the gateway because of a hint.
type looked int

const (
	lookedAt   looked = iota // the gateway has answered, or there is nothing to ask
	lookBusy                 // another poll is under way, or has just been
	lookFailed               // the gateway or the journal did not answer
)

// lookAt asks the gateway for the job of a submission that callbacks named.
func (t *Tracker) lookAt(nonce string, named []string) looked {
	t.heeding <- struct{}{}
	defer func() { <-t.heeding }()
	row, err := t.journal.ByNonce(context.Background(), nonce)
	switch {
	case err != nil:
		return lookFailed
	case !hinted(row, named):
		return lookedAt
	}
	ctx, id := journal.WithOwner(context.Background(), row.Owner), row.Job.RequestID
	if id == "" {
		return t.settle(ctx, *row, named)
	}
	granted, err := t.journal.Claim(ctx, id, explicitEvery)
	switch {
	case err != nil:
		return lookFailed
	case !granted:
		return lookBusy
	}
	if _, err := t.poll(ctx, id, row, true); err != nil && !pixazo.IsCode(err, pixazo.NotFound) {
		return lookFailed
	}
	return lookedAt
}

// settle gives a submission without a request_id one of the jobs that its callbacks
// named, if the gateway knows it and it fits.
func (t *Tracker) settle(ctx context.Context, row journal.Row, named []string) looked {
	ctx, cancel := context.WithTimeout(ctx, pollLimit)
	defer cancel()
	found := lookedAt
	for _, id := range slices.Backward(named) {
		job, err := t.gateway.Status(ctx, id, pixazo.StatusOptions{Background: true})
		age, known := age(row)
		switch {
		case pixazo.IsCode(err, pixazo.NotFound) && (!known || age > notYetVisible): // made up
			continue
		case err != nil:
			found = lookFailed
			continue
		}
		seen, err := t.journal.Settle(context.WithoutCancel(ctx), row.Nonce, job)
		switch {
		case err != nil:
			found = lookFailed
		case seen.Row.Job.RequestID == id:
			t.log.Info("a callback settled a submission", "request_id", id, "status", seen.Row.Job.Status)
			t.spread(seen)
			return lookedAt
		}
	}
	return found
}

// Sweep asks once a minute, until ctx is done, for unfinished jobs of all owners
// that nobody asked for in five minutes, since their callback may have been missed,
// and for those whose callback could not be followed up at once.
func (t *Tracker) Sweep(ctx context.Context) {
	for journal.Sleep(ctx, sweepEvery) {
		rows, err := t.journal.Due(ctx, sweepAfter, sweepMost)
		if err != nil {
			t.log.Warn("the journal could not be looked at for unfinished jobs", "error", err)
		}
		for _, row := range rows {
			owners := journal.WithOwner(ctx, row.Owner)
			if left, _ := t.held(keyOf(row)); left > 0 || ctx.Err() != nil {
				continue
			}
			if granted, err := t.journal.Claim(owners, row.Job.RequestID, explicitEvery); granted && err == nil {
				_, _ = t.poll(owners, row.Job.RequestID, &row, true)
			}
		}
	}
}
