// This file submits requests: once each, even if the caller leaves. The intent is
// written into the journal before, and the outcome after.

package jobs

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

const (
	renewEvery     = 10 * time.Second // how often the lease of a submission under way is renewed
	renewAgain     = time.Second      // the same while the journal can't be used
	rowTime        = time.Second / 2  // for reading the row of a submission under way, when its caller is to be answered
	refreshTimeout = 5 * time.Second  // for asking the state of an earlier submission's job
	joinedEvery    = time.Second / 2  // the longest pause between two looks at the earlier submission that a call has joined
	joinedLimit    = time.Minute      // how long the journal may be away meanwhile
)

// SubmitOptions says how a request is submitted.
type SubmitOptions struct {
	AllowDuplicate bool
	Nonce          string        // names the submission in the journal, which has each name once; "" means a random one
	Listen         time.Duration // the longest time until Submit returns; 0 means that it returns with the outcome
	SaveTo         string        // absolute path of the folder to save the video in; "" not to save it
	Notify         bool          // whether a desktop notice is wanted
}

// Submission is the result of Submit.
type Submission struct {
	Row journal.Row // in state Submitting if Listen passed before the outcome was known; the submission goes on

	// Duplicate says that the video was not ordered again: Row is of the same request,
	// which was submitted Age ago. ByForm says that the two are the same only in their
	// normal form.
	Duplicate bool
	ByForm    bool
	Age       time.Duration

	// JournalErr says why the accepted job could not be written into the journal; nil
	// if it was.
	JournalErr *pixazo.Error
}

// Submit sends p to the gateway once, and returns the outcome. If ctx is cancelled, it
// returns at once; a POST under way goes on to its end, but is not tried again. If
// Listen passes, it returns the submission as it stands, and all of it goes on.
//
// If the same request was submitted before, Submit may return that submission instead:
// one whose video is still being made, or that was accepted a short while ago. It waits
// for the outcome of one under way, in any process. If the outcome is unknown, the request
// is refused. An earlier submission with the same Nonce is returned whatever became of
// it. See journal.Intend.
//
// Errors are those of pixazo.Client.Submit, duplicate_uncertain, limit_reached
// and journal_unavailable; cancelled when nothing was submitted.
func (t *Tracker) Submit(ctx context.Context, p *pixazo.Prepared, o SubmitOptions) (Submission, error) {
	if err := ctx.Err(); err != nil {
		return Submission{}, cancelled(err)
	}
	o.Nonce = cmp.Or(o.Nonce, rand.Text())
	wanted, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	detach := context.AfterFunc(ctx, giveUp)
	t.submissions.Add(1)
	s, err := Await(ctx, o.Listen, func() (Submission, error) {
		defer t.submissions.Done()
		defer giveUp()
		defer detach()
		return t.submit(wanted, p, o)
	}, func(ctx context.Context) journal.Row {
		if row, err := t.journal.ByNonce(ctx, o.Nonce); err == nil && row != nil {
			return *row
		}
		// There is no row if this call joined another submission, or still waits for the journal.
		return journal.Row{Owner: journal.Owner(ctx), State: journal.Submitting, Prompt: p.Prompt, Request: p.Description, SubmittedAt: t.journal.Now()}
	})
	if err == nil {
		detach() // once Submit has returned, the end of ctx has no effect
	}
	return s, err
}

// Await runs submit in the background, and returns its result if it comes before ctx is
// done and before listen has passed; 0 means no limit. Otherwise submit goes on. After
// listen Await returns what the row of underWay says, which has rowTime to read it, and
// when ctx is done submission_uncertain.
func Await(ctx context.Context, listen time.Duration, submit func() (Submission, error), underWay func(context.Context) journal.Row) (Submission, error) {
	type outcome struct {
		Submission
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		s, err := submit()
		done <- outcome{s, err}
	}()
	var passed <-chan time.Time
	if listen > 0 {
		passed = time.After(listen)
	}
	select {
	case o := <-done:
		return o.Submission, o.err
	case <-passed:
	case <-ctx.Done():
	}
	reading, cancel := context.WithTimeout(ctx, rowTime)
	defer cancel()
	row := underWay(reading)
	select {
	case o := <-done: // the result came while the row was read
		return o.Submission, o.err
	default:
	}
	if err := ctx.Err(); err != nil {
		return Submission{}, &pixazo.Error{Code: pixazo.SubmissionUncertain, Message: "the call was cancelled while the video request was on its way, and the request goes on", Err: err}
	}
	if s, known, err := SubmissionOf(row); known { // its result is on its way
		return s, err
	}
	return Submission{Row: row}, nil
}

// SubmissionOf returns what Submit would return for a submission with this row. known
// is false while it is under way.
func SubmissionOf(row journal.Row) (s Submission, known bool, err error) {
	switch row.State {
	case journal.Submitting:
		return Submission{}, false, nil
	case journal.Accepted, journal.Foreign:
		return Submission{Row: row}, true, nil
	}
	if row.Failure != nil {
		return Submission{}, true, row.Failure
	}
	return Submission{}, true, &pixazo.Error{Code: pixazo.SubmissionUncertain, RequestID: row.Job.RequestID,
		Message: "it is not known whether the gateway took the request: the process that sent it ended, or could not write to the journal in time"}
}

// cancelled returns the error of a call that was cancelled before its POST.
func cancelled(err error) error {
	return &pixazo.Error{Code: pixazo.Cancelled, Message: "the call was cancelled before anything was submitted", Err: err}
}

// submit writes the intent and sends p, or joins the earlier submission that forbids
// that. When ctx is done, the video is no longer wanted; it stops no POST under way.
func (t *Tracker) submit(ctx context.Context, p *pixazo.Prepared, o SubmitOptions) (Submission, error) {
	for {
		in, other, err := t.journal.Intend(ctx, journal.Intent{AllowDuplicate: o.AllowDuplicate, Row: journal.Row{
			Prompt: p.Prompt, Request: p.Description, Fingerprint: p.Fingerprint, Exact: p.Exact,
			Nonce: o.Nonce, Account: t.options.Account(), Save: journal.Save{Folder: o.SaveTo, Notify: o.Notify},
		}})
		switch {
		case err != nil && ctx.Err() != nil:
			return Submission{}, cancelled(ctx.Err())
		case err != nil:
			return Submission{}, err
		case other == nil:
			return t.send(ctx, p, in)
		}
		if s, joined, err := t.join(ctx, *other); joined || other.Nonce == o.Nonce {
			s.ByForm = other.Exact != p.Exact
			return s, err
		}
	}
}

// send sends p, whose intent is in the journal, and writes the outcome.
func (t *Tracker) send(ctx context.Context, p *pixazo.Prepared, in journal.Intent) (Submission, error) {
	job, err := t.post(ctx, p, in)
	// The outcome is written before anything else is done with it.
	row, journalErr := t.journal.Conclude(in, job, err)
	if journalErr != nil {
		// This line may be the only trace of a video that is paid for.
		t.log.Error("the outcome of a submission could not be written into the journal",
			"request_id", row.Job.RequestID, "error", journalErr.Error(), "outcome", err)
	}
	s := Submission{Row: row, JournalErr: pixazo.AsError(journalErr, pixazo.JournalUnavailable)}
	if row.Nonce != in.Nonce { // the gateway answered with the job of an earlier submission
		s.Duplicate, s.Age = true, max(t.journal.Now().Sub(row.SubmittedAt), 0)
	}
	if row.State == journal.Accepted || row.State == journal.Uncertain {
		t.show(row, nil)
		t.tell(row)
	}
	if err != nil && row.State != journal.Accepted { // despite err it is accepted if a poll has found its job
		t.log.Warn("submission failed", "error", err)
		return Submission{}, err
	}
	t.log.Info("video submitted", "request_id", row.Job.RequestID, "status", row.Job.Status)
	return s, nil
}

// post sends the request by the gateway's client, and renews the lease of the intent
// meanwhile.
func (t *Tracker) post(ctx context.Context, p *pixazo.Prepared, in journal.Intent) (pixazo.Job, error) {
	if err := ctx.Err(); err != nil {
		return pixazo.Job{}, cancelled(err)
	}
	lease, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	t.submissions.Go(func() {
		for pause := renewEvery; journal.Sleep(lease, pause); {
			pause = renewEvery
			err := t.journal.Renew(context.WithoutCancel(lease), in) // if this fails until the lease has ended, Again returns an error
			if pixazo.IsCode(err, pixazo.JournalUnavailable) {
				pause = renewAgain
			}
		}
	})
	again, cancel := t.UntilDrain(ctx)
	defer cancel()
	o := pixazo.SubmitOptions{Again: func(ctx context.Context) error {
		err := t.journal.Renew(ctx, in)
		if err == nil {
			return nil
		}
		// Another process may have seen the intent as uncertain, and acted on that.
		return &pixazo.Error{Code: pixazo.Cancelled, Err: err, Message: "the request was not sent any more: " + pixazo.AsError(err, pixazo.JournalUnavailable).Message}
	}}
	if t.options.CallbackURL != nil {
		o.CallbackURL = t.options.CallbackURL(in.Nonce)
	}
	return t.gateway.Submit(again, p, o)
}

// join waits for the outcome of r, an earlier submission of the same request, and
// returns it. joined is false if r no longer forbids another submission: it was
// cancelled before anything was sent, or its job failed.
func (t *Tracker) join(ctx context.Context, r journal.Row) (_ Submission, joined bool, _ error) {
	nonce, at, read := r.Nonce, r.SubmittedAt, time.Now()
	for pause := lookAgain; r.State == journal.Submitting; pause = min(2*pause, joinedEvery) {
		if !journal.Sleep(ctx, pause) {
			return Submission{}, true, unseen(ctx.Err())
		}
		switch now, err := t.journal.ByNonce(ctx, nonce); {
		case err == nil && now != nil:
			r, read = *now, time.Now()
		case err == nil:
			return Submission{}, true, unseen(errors.New("the journal was replaced"))
		case ctx.Err() != nil || time.Since(read) > joinedLimit:
			return Submission{}, true, unseen(cmp.Or(ctx.Err(), err))
		}
	}
	if r.State == journal.Refused {
		return Submission{}, !pixazo.IsCode(r.Failure, pixazo.Cancelled), r.Failure
	}
	joined = true
	if r.Job.RequestID != "" { // an answer of the gateway may settle an uncertain one
		r, joined = t.refresh(ctx, r)
	}
	if r.State == journal.Accepted || r.State == journal.Foreign {
		return Submission{Row: r, Duplicate: true, Age: max(t.journal.Now().Sub(at), 0)}, joined, nil
	}
	return Submission{}, true, &pixazo.Error{Code: pixazo.DuplicateUncertain, RequestID: r.Job.RequestID, Message: fmt.Sprintf(
		"the same request was sent at %s and its outcome is unknown: it may have been accepted and billed", at.Format(time.RFC3339))}
}

// refresh asks the gateway for an earlier submission's job, since the journal's row and
// its URLs may be minutes old, and returns the row as it is now. forbids is false if the
// job has failed and the journal has recorded that, so that Intend allows another one.
func (t *Tracker) refresh(ctx context.Context, r journal.Row) (now journal.Row, forbids bool) {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	if seen, err := t.Status(ctx, r.Job.RequestID); err == nil && seen.Row.Job.Status != "" {
		r = seen.Row
	}
	if !r.Job.Status.Failed() {
		return r, true
	}
	written, err := t.journal.Find(ctx, r.Job.RequestID)
	return r, err != nil || written == nil || !written.Job.Status.Failed()
}

// unseen returns the error of a call that joined another one and did not learn its
// outcome. It is uncertain, since the other one may be accepted.
func unseen(cause error) error {
	return &pixazo.Error{Code: pixazo.SubmissionUncertain, Err: cause,
		Message: "the same request was on its way by another call, and this one did not learn what became of it: " + pixazo.AsError(cause, pixazo.Cancelled).Message}
}
