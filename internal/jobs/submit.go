// This file submits: once, whatever becomes of the caller, with an intent in the
// journal before and the outcome after.

package jobs

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	renewEvery     = 10 * time.Second // how often the lease of a submission under way is renewed
	refreshTimeout = 5 * time.Second  // for the present state of a duplicate
	joinedEvery    = time.Second / 2  // how often a submission under way is looked at by those who joined it
)

// SubmitOptions says how a request is submitted.
type SubmitOptions struct {
	AllowDuplicate bool
	Nonce          string        // names the submission in the journal; "" means a random one
	Listen         time.Duration // how long the call lasts at most, whatever the gateway takes; 0 means until the outcome is known
	SaveTo         string        // absolute path of the folder that the video is to be saved in; "" when it is not
	Notify         bool          // whether a desktop notice is wanted
}

// Submission is what became of a Submit.
type Submission struct {
	Row  journal.Row
	Left int // videos that the limits leave; -1 when there is no limit or it is not known

	// Duplicate says that no video was added: the same request was submitted Age
	// ago. ByForm says that it is the same only in its normal form.
	Duplicate bool
	ByForm    bool
	Age       time.Duration

	// StillSending says that Listen passed before the outcome was known. The
	// submission goes on, and Row has no request_id yet.
	StillSending bool

	Warnings []string // on what may not work as it was meant

	// JournalErr says why the journal does not have the accepted job; nil when it
	// does.
	JournalErr *pixazo.Error
}

// Submit sends p to the gateway, once. When ctx is cancelled meanwhile, the caller
// stops listening, and what was not accepted is not tried again; a POST under way
// goes on to its end. When Listen passes, all of it goes on.
//
// The same request, submitted before and still being made, or accepted a short
// while ago, is answered with that job; one still in flight, in any process, is
// joined; one whose outcome is unknown is refused (see journal.Intend).
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
	}, func() journal.Row {
		if row, err := t.journal.ByNonce(ctx, o.Nonce); err == nil && row != nil {
			return *row
		}
		// It has none when it joined another one, or still waits for the journal.
		return journal.Row{Owner: journal.Owner(ctx), State: journal.Submitting, Prompt: p.Prompt, Request: p.Description, SubmittedAt: time.Now()}
	})
	if err == nil {
		detach() // the end of ctx, after the call was answered, means nothing
	}
	return s, err
}

// Await returns what submit returns, if that is before ctx is done and before
// listen has passed, which may be 0 for no limit. Else the submission goes on: it is
// answered as it stands, by underWay, or, when ctx is done, as uncertain.
func Await(ctx context.Context, listen time.Duration, submit func() (Submission, error), underWay func() journal.Row) (Submission, error) {
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
	row := underWay()
	select {
	case o := <-done: // it came while the row was read
		return o.Submission, o.err
	default:
	}
	if err := ctx.Err(); err != nil {
		return Submission{}, &pixazo.Error{Code: pixazo.SubmissionUncertain, Message: "the call was cancelled while the video request was on its way, and the request goes on", Err: err}
	}
	return Submission{Row: row, Left: -1, StillSending: row.Job.RequestID == ""}, nil
}

func cancelled(err error) error {
	return &pixazo.Error{Code: pixazo.Cancelled, Message: "the call was cancelled before anything was submitted", Err: err}
}

// submit submits, or joins the submission that stands in the way. ctx only says
// whether the video is still wanted.
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
		if s, stands, err := t.join(ctx, *other); stands {
			s.ByForm = other.Exact != p.Exact
			return s, err
		}
	}
}

// send sends p, whose intent is in the journal.
func (t *Tracker) send(ctx context.Context, p *pixazo.Prepared, in journal.Intent) (Submission, error) {
	job, err := t.post(ctx, p, in)
	// The outcome is written before anything else is done with it.
	row, journalErr := t.journal.Conclude(in, job, err)
	if journalErr != nil {
		// This line may be the only trace of a video that is paid for.
		t.log.Error("the outcome of a submission could not be written into the journal",
			"request_id", cmp.Or(job.RequestID, requestIDOf(err)), "error", journalErr.Error(), "outcome", err)
	}
	s := Submission{Row: row, Left: in.Left}
	s.JournalErr, _ = errors.AsType[*pixazo.Error](journalErr)
	if row.Nonce != in.Nonce { // the gateway named the job of an earlier submission
		s.Duplicate, s.Age = true, max(time.Since(row.SubmittedAt), 0)
	}
	if row.State == journal.Accepted || row.State == journal.Uncertain {
		t.show(row, nil)
		t.tell(row, !s.Duplicate)
	}
	if err != nil && row.State != journal.Accepted { // when somebody has seen its job, it was accepted
		t.log.Warn("submission failed", "request_id", requestIDOf(err), "error", err)
		return Submission{}, err
	}
	t.log.Info("video submitted", "request_id", row.Job.RequestID, "status", row.Job.Status)
	return s, nil
}

// post has the gateway's client send the request, and keeps its lease meanwhile.
func (t *Tracker) post(ctx context.Context, p *pixazo.Prepared, in journal.Intent) (pixazo.Job, error) {
	if err := ctx.Err(); err != nil {
		return pixazo.Job{}, cancelled(err)
	}
	lease, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	t.submissions.Go(func() {
		for journal.Sleep(lease, renewEvery) {
			_ = t.journal.Renew(context.WithoutCancel(lease), in) // a failed one matters only when the lease has ended, which the next try notices
		}
	})
	again, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.draining, cancel)()
	return t.gateway.Submit(again, p, pixazo.SubmitOptions{CallbackURL: t.options.CallbackURL(in.Nonce), Again: func(ctx context.Context) error {
		err := t.journal.Renew(ctx, in)
		if err == nil {
			return nil
		}
		// Another process may have seen the intent as uncertain, and acted on that.
		return &pixazo.Error{Code: pixazo.Cancelled, Err: err, Message: "the request was not sent any more: " + words(err)}
	}})
}

// join answers a submission by an earlier one of the same request, waiting for
// its outcome if it is still in flight. The earlier one does not stand in the
// way when it was given up before anything was sent, or its job failed.
func (t *Tracker) join(ctx context.Context, r journal.Row) (_ Submission, stands bool, _ error) {
	nonce, at := r.Nonce, r.SubmittedAt
	for pause := lookAgain; r.State == journal.Submitting; pause = min(2*pause, joinedEvery) {
		if !journal.Sleep(ctx, pause) {
			return Submission{}, true, unseen(ctx.Err())
		}
		now, err := t.journal.ByNonce(ctx, nonce)
		if err != nil || now == nil {
			return Submission{}, true, unseen(cmp.Or(ctx.Err(), err, errors.New("the journal was replaced")))
		}
		r = *now
	}
	if r.State == journal.Refused {
		return Submission{}, !pixazo.IsCode(r.Failure, pixazo.Cancelled), r.Failure
	}
	stands = true
	if r.Job.RequestID != "" { // a status may settle an uncertain one
		r, stands = t.refresh(ctx, r)
	}
	if r.State == journal.Accepted || r.State == journal.Foreign {
		return Submission{Row: r, Left: -1, Duplicate: true, Age: max(time.Since(at), 0)}, stands, nil
	}
	return Submission{}, true, &pixazo.Error{Code: pixazo.DuplicateUncertain, RequestID: r.Job.RequestID, Message: fmt.Sprintf(
		"the same request was sent at %s and its outcome is unknown: it may have been accepted and billed", at.Format(time.RFC3339))}
}

// refresh asks for the present state of an earlier submission's job, since what
// the journal has may be minutes old, and the URLs with it. A job that turns out
// to have failed stands in nobody's way once the journal knows as well.
func (t *Tracker) refresh(ctx context.Context, r journal.Row) (now journal.Row, stands bool) {
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

// unseen returns the error of a call that joined another one and did not see its
// outcome. "Nothing was submitted" would be wrong.
func unseen(cause error) error {
	return &pixazo.Error{Code: pixazo.SubmissionUncertain, Err: cause,
		Message: "the same request was on its way by another call, and this one did not learn what became of it: " + words(cause)}
}

// words returns what err says, without its code.
func words(err error) string {
	if e, ok := errors.AsType[*pixazo.Error](err); ok {
		return e.Message
	}
	return text.Clean(err.Error(), 300)
}

// requestIDOf returns the request_id that err names, or "".
func requestIDOf(err error) string {
	if e, ok := errors.AsType[*pixazo.Error](err); ok {
		return e.RequestID
	}
	return ""
}
