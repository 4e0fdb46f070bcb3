// This file follows up the gateway's callbacks, and polls jobs whose callback may
// have been missed.

package jobs

import (
	"context"
	"sync"
	"time"

	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

const (
	maxHeeding = 16                     // callbacks that are followed up at once
	heedEvery  = 500 * time.Millisecond // how often the journal is looked at for callbacks that another process took
	heedFor    = 24 * time.Hour         // how long the gateway is asked again when it does not answer
	busyPause  = 250 * time.Millisecond // before the next try to claim a poll, while another one is under way or was just made

	sweepEvery = time.Minute
	sweepAfter = 5 * time.Minute // jobs that nobody asked for since then are swept
	sweepMost  = 20              // jobs at once
)

// Callback writes into the journal that a callback to the address of nonce named a
// job. That is only a hint: some process asks the gateway for the job, at once and at
// most once a second, and observes its answer. A submission whose own answer is lost,
// still to come, or a refusal gets the job if the two fit (see journal.Settle). A
// callback that is of no use is dropped.
//
// Errors: invalid_argument for what is no request_id; journal_unavailable, after
// which the gateway should deliver the callback again.
func (t *Tracker) Callback(ctx context.Context, nonce, requestID string) error {
	if err := pixazo.CheckRequestID(requestID); err != nil {
		return err
	}
	row, err := t.journal.ByNonce(ctx, nonce)
	if err != nil || !concerns(row, requestID) {
		return err
	}
	if err := t.journal.KeepCallback(ctx, nonce, requestID); err != nil {
		return err
	}
	t.submissions.Go(t.heed)
	return nil
}

// concerns reports whether the gateway is to be asked for a job that was named for
// the submission of row. One that was answered with a refusal may have been accepted all
// the same.
func concerns(row *journal.Row, requestID string) bool {
	return row != nil && !row.Job.Done() && (row.Job.RequestID == "" || row.Job.RequestID == requestID)
}

// heed follows up the callbacks in the journal, one after the other, until none is
// due or the program ends. It leaves them to others when enough are at it.
func (t *Tracker) heed() {
	select {
	case t.heeding <- struct{}{}:
		defer func() { <-t.heeding }()
	default:
		return
	}
	for t.draining.Err() == nil {
		t.looking <- struct{}{}
		c, err := t.journal.NextCallback(t.draining)
		<-t.looking
		if err != nil || c == nil {
			return
		}
		if t.followUp(*c) || t.journal.Now().Sub(c.CalledAt) > heedFor {
			_ = t.journal.EndCallback(context.Background(), *c) // else it is followed up again
		}
	}
}

// followUp asks the gateway for the job that a callback named. It returns false when
// the callback is to be followed up again: the gateway did not answer, does not know
// the job yet, or asked not to be asked now, or the journal did not take the answer.
func (t *Tracker) followUp(c journal.Callback) (done bool) {
	for begun := time.Now(); ; {
		row, err := t.journal.ByNonce(t.draining, c.Nonce)
		if err != nil || !concerns(row, c.RequestID) {
			return err == nil
		}
		if left, _ := t.held(jobKey{row.Owner, c.RequestID}); left > 0 {
			return false
		}
		ctx := journal.WithOwner(t.draining, row.Owner)
		if row.Job.RequestID == "" {
			return t.settle(ctx, *row, c.RequestID)
		}
		granted, err := t.journal.Claim(ctx, c.RequestID, explicitEvery)
		if granted {
			if _, err := t.poll(ctx, c.RequestID, row, true); err != nil {
				return pixazo.IsCode(err, pixazo.NotFound)
			}
			now, err := t.journal.ByNonce(t.draining, c.Nonce)
			return err == nil && (now == nil || !now.LastCheckedAt.Equal(row.LastCheckedAt))
		}
		if err != nil || time.Since(begun) > explicitEvery || !journal.Sleep(t.draining, busyPause) {
			return false
		}
	}
}

// settle gives a submission without a request_id the job that a callback named, if
// the gateway knows it and it fits. It returns what followUp does.
func (t *Tracker) settle(ctx context.Context, row journal.Row, requestID string) (done bool) {
	ctx, cancel := context.WithTimeout(ctx, pollLimit)
	defer cancel()
	job, err := t.gateway.Status(ctx, requestID, pixazo.StatusOptions{Background: true})
	age, known := t.age(row)
	switch {
	case pixazo.IsCode(err, pixazo.NotFound) && (!known || age > notYetVisible): // made up
	case err != nil:
		t.obey(jobKey{row.Owner, requestID}, nil, err)
		return false
	default:
		seen, err := t.journal.Settle(context.WithoutCancel(ctx), row.Nonce, job)
		if err != nil {
			return false
		}
		if seen.Row.Job.RequestID == requestID {
			t.log.Info("a callback settled a submission", "request_id", requestID, "status", seen.Row.Job.Status)
			t.spread(seen)
			return true
		}
	}
	return journal.Sleep(t.draining, explicitEvery) // while it is kept, it is not asked for again
}

// Sweep follows up, until ctx is done, the callbacks that other processes took and
// did not follow up, and asks once a minute for unfinished jobs of all owners that
// nobody asked for in five minutes, since their callback may have been missed.
func (t *Tracker) Sweep(ctx context.Context) {
	var heeding sync.WaitGroup
	defer heeding.Wait()
	heeding.Go(func() {
		for journal.Sleep(ctx, heedEvery) {
			heeding.Go(t.heed)
		}
	})
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
