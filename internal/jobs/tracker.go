// Package jobs keeps track of video jobs between the tools and the gateway: it
// submits once whatever becomes of the caller, remembers what was seen, and
// polls each job once however many wait for it.
package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

// Gateway is what the tracker needs of the gateway; *pixazo.Client is one.
// Submit sends p once whatever ctx says, and must not cut it off: ctx
// only says whether it may be tried again.
type Gateway interface {
	Submit(ctx context.Context, p *pixazo.Prepared, o pixazo.SubmitOptions) (pixazo.Job, error)
	Status(ctx context.Context, requestID string, o pixazo.StatusOptions) (pixazo.Job, error)
}

const (
	defaultMaxWaits = 64

	notYetVisible  = 30 * time.Second       // how long after submission a 404 means nothing
	reportEvery    = 5 * time.Second        // a waiter hears something at least this often
	refreshTimeout = 5 * time.Second        // for the present state of a duplicate
	joinEvery      = 100 * time.Millisecond // how often a submission in flight elsewhere is looked at
	typicalFor     = time.Minute            // how long the typical duration is not looked up again
	firstLook      = 2 * time.Second        // past its end, a wait that has seen no poll yet gets this much more
)

// Options adjusts a Tracker.
type Options struct {
	// StateDir is where the journal is kept; it is made when it is needed.
	// Without it nothing can be submitted.
	StateDir string

	// Gateway names the gateway in the journal, whose jobs are its own: its
	// origin, or "sandbox".
	Gateway string

	// MaxPerHour is how many videos may be submitted within an hour, over all
	// processes that share StateDir; 0 means any number.
	MaxPerHour int

	MaxWaits int            // waits at once before Wait stops waiting; 0 means 64
	Rand     func() float64 // random numbers in [0, 1) that spread the polls; nil means math/rand
	Logger   *slog.Logger   // nil means none
}

// Tracker submits and follows jobs. It is safe for concurrent use.
type Tracker struct {
	gateway Gateway
	options Options
	log     *slog.Logger

	journal  *journal
	draining context.Context // done when the program ends
	drain    context.CancelFunc

	mu          sync.Mutex
	jobs        map[string]known
	loops       map[string]*loop
	waits       int
	submissions sync.WaitGroup
	changed     func(requestID string, added bool)
	typical     time.Duration
	typicalAt   time.Time // when typical was looked up
	complained  time.Time // when the log last heard that a status was not recorded
}

// known is what this process remembers of a job: enough to follow it also when
// the journal can't be used.
type known struct {
	job       pixazo.Job
	submitted time.Time // zero for jobs made elsewhere
	notBefore time.Time // until when the gateway asked not to be asked again
}

// New returns a tracker of the gateway's jobs.
func New(gateway Gateway, options Options) *Tracker {
	if options.MaxWaits == 0 {
		options.MaxWaits = defaultMaxWaits
	}
	if options.Rand == nil {
		options.Rand = rand.Float64
	}
	t := &Tracker{
		gateway: gateway, options: options, log: options.Logger,
		jobs:  map[string]known{},
		loops: map[string]*loop{},
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	t.journal = &journal{dir: options.StateDir, gateway: options.Gateway, log: t.log}
	t.draining, t.drain = context.WithCancel(context.Background())
	return t
}

// OnChange has f called, from any goroutine, when a job was added to the
// journal by this process (added), or the gateway gave a job another status.
// It must be called before the tracker is used.
func (t *Tracker) OnChange(f func(requestID string, added bool)) { t.changed = f }

// Close lets go of the journal, once Finish has returned and nothing calls the
// tracker any more. From then on nothing is recorded, or submitted.
func (t *Tracker) Close() { t.journal.close() }

// Drain begins the end: waits end with what they know, and a submission that was
// not accepted is not tried again.
func (t *Tracker) Drain() { t.drain() }

// Finish waits for submissions in flight until ctx ends. No Submit may begin any
// more.
func (t *Tracker) Finish(ctx context.Context) {
	select {
	case <-done(&t.submissions):
	case <-ctx.Done(): // longer than any submission takes
		t.log.Error("gave up waiting for a submission in flight: look at the Pixazo dashboard before making the video again")
	}
}

// done is closed when group has nothing left to wait for.
func done(group *sync.WaitGroup) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	return done
}

// Submission is what became of a Submit.
type Submission struct {
	Job pixazo.Job

	// Duplicate says that nothing was submitted now: the same request was,
	// Age ago.
	Duplicate bool
	Age       time.Duration

	// JournalErr says why the journal does not have the accepted job; nil when
	// it does.
	JournalErr error
}

// Submit sends p to the gateway, once, with its intent in the journal before
// and its outcome after. When ctx is cancelled meanwhile, a POST under way goes
// on to its end and only the caller stops waiting for it, with
// submission_uncertain.
//
// The same request, accepted in the last 10 minutes and not failed, is
// answered with that job; one still in flight, in any process, is joined; one
// whose outcome is unknown is refused for a day (duplicate_uncertain).
// allowDuplicate submits all the same.
//
// Errors are those of pixazo.Client.Submit, duplicate_uncertain, limit_reached
// and journal_unavailable; cancelled when nothing was submitted.
func (t *Tracker) Submit(ctx context.Context, p *pixazo.Prepared, allowDuplicate bool) (Submission, error) {
	if err := ctx.Err(); err != nil {
		return Submission{}, cancelled(err)
	}
	type outcome struct {
		submission Submission
		err        error
	}
	done := make(chan outcome, 1)
	t.submissions.Go(func() {
		submission, err := t.submit(ctx, p, allowDuplicate)
		done <- outcome{submission, err}
	})
	select {
	case o := <-done:
		return o.submission, o.err
	case <-ctx.Done():
	}
	select {
	case o := <-done: // both at once: what is known counts
		return o.submission, o.err
	default:
		return Submission{}, &pixazo.Error{Code: pixazo.SubmissionUncertain, Message: "the call was cancelled while the video request was on its way, and the request goes on", Err: ctx.Err()}
	}
}

func cancelled(err error) error {
	return &pixazo.Error{Code: pixazo.Cancelled, Message: "the call was cancelled before anything was submitted", Err: err}
}

// submit is Submit without its caller, whom ctx speaks for: it only says
// whether the video is still wanted.
func (t *Tracker) submit(ctx context.Context, p *pixazo.Prepared, allowDuplicate bool) (Submission, error) {
	for {
		in, other, err := t.journal.intend(ctx, p, allowDuplicate, t.options.MaxPerHour)
		switch {
		case err != nil && ctx.Err() != nil:
			return Submission{}, cancelled(ctx.Err())
		case err != nil:
			return Submission{}, err
		case other == nil:
			return t.send(ctx, p, in)
		}
		if submission, stands, err := t.join(ctx, *other); stands {
			return submission, err
		}
	}
}

// send submits p, whose intent is in the journal.
func (t *Tracker) send(ctx context.Context, p *pixazo.Prepared, in intent) (Submission, error) {
	var job pixazo.Job
	err := ctx.Err()
	if err != nil {
		err = cancelled(err)
	} else {
		again, cancel := context.WithCancel(ctx)
		defer context.AfterFunc(t.draining, cancel)()
		job, err = t.gateway.Submit(again, p, pixazo.SubmitOptions{})
		cancel()
	}
	journalErr := t.journal.conclude(in, job, err)
	if journalErr != nil {
		// The one line that must not be missed: it may hold the only trace.
		t.log.Error("the outcome of a submission could not be recorded", "request_id", cmp.Or(job.RequestID, requestIDOf(err)), "error", journalErr.Error(), "outcome", err)
	}
	if err != nil {
		id := requestIDOf(err)
		if id != "" { // uncertain, but if it was accepted this is the way to it
			t.remember(pixazo.Job{RequestID: id}, time.Now())
		}
		t.log.Warn("submission failed", "request_id", id, "error", err)
		if pixazo.IsCode(err, pixazo.SubmissionUncertain) {
			t.tell(id, true)
		}
		return Submission{}, err
	}
	t.remember(job, time.Now())
	t.log.Info("video submitted", "request_id", job.RequestID, "status", job.Status)
	t.tell(job.RequestID, true)
	return Submission{Job: job, JournalErr: journalErr}, nil
}

// join answers a submission by an earlier one of the same request, waiting for
// its outcome if it is still in flight. The earlier one does not stand in the
// way when it was given up before anything was sent, or its job failed.
func (t *Tracker) join(ctx context.Context, r Record) (_ Submission, stands bool, _ error) {
	for r.state == submitting {
		if !sleep(ctx, joinEvery) {
			return Submission{}, true, unseen(ctx.Err())
		}
		now, err := t.journal.read(ctx, r)
		if err != nil {
			return Submission{}, true, unseen(cmp.Or(ctx.Err(), err))
		}
		r = now
	}
	switch r.state {
	case refused:
		return Submission{}, !pixazo.IsCode(r.failure, pixazo.Cancelled), r.failure
	case uncertain:
		return Submission{}, true, &pixazo.Error{Code: pixazo.DuplicateUncertain, RequestID: r.Job.RequestID, Message: fmt.Sprintf(
			"the same request was sent at %s and its outcome is unknown: it may have been accepted and billed", r.SubmittedAt.Format(time.RFC3339))}
	}
	t.remember(r.Job, r.SubmittedAt)
	// What the journal has may be minutes old, and the URLs with it.
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	if now, err := t.Status(ctx, r.Job.RequestID); err == nil && now.Status != "" {
		r.Job = now
	}
	stands = true
	if r.Job.Status.Failed() { // once the journal knows as well, it is no duplicate
		seen, err := t.journal.find(r.Job.RequestID)
		stands = err != nil || seen == nil || !seen.Job.Status.Failed()
	}
	return Submission{Job: r.Job, Duplicate: true, Age: max(time.Since(r.SubmittedAt), 0)}, stands, nil
}

// unseen is the error of a call that joined another one and did not see its
// outcome. "Nothing was submitted" would be wrong.
func unseen(cause error) error {
	return &pixazo.Error{Code: pixazo.SubmissionUncertain, Err: cause,
		Message: "the same request was on its way by another call, and this one did not learn what became of it: " + text.Clean(cause.Error(), 300)}
}

// requestIDOf is the request_id that err names, or "".
func requestIDOf(err error) string {
	if e, ok := errors.AsType[*pixazo.Error](err); ok {
		return e.RequestID
	}
	return ""
}

// Status asks the gateway where a job stands, and records the answer. A job
// that the gateway does not show in the first 30 s after its submission is
// answered as it is known here; its Status may be "".
//
// Errors are those of pixazo.Client.Status.
func (t *Tracker) Status(ctx context.Context, requestID string) (pixazo.Job, error) {
	if err := pixazo.CheckRequestID(requestID); err != nil {
		return pixazo.Job{}, err
	}
	known := t.known(requestID)
	if left := time.Until(known.notBefore); left > 0 {
		return known.job, &pixazo.Error{Code: pixazo.RateLimited, RequestID: requestID, RetryAfter: left,
			Message: fmt.Sprintf("the gateway asked not to be asked again for another %s", (left + time.Second).Truncate(time.Second))}
	}
	job, err := t.gateway.Status(ctx, requestID, pixazo.StatusOptions{PollingURL: known.job.PollingURL})
	if err == nil {
		return t.record(job), nil
	}
	if after := pixazo.RetryAfter(err); after > 0 {
		t.mu.Lock()
		k := t.jobs[requestID]
		k.job.RequestID, k.notBefore = requestID, time.Now().Add(after)
		t.jobs[requestID] = k
		t.mu.Unlock()
	}
	if age, ok := known.age(); ok && age < notYetVisible && pixazo.IsCode(err, pixazo.NotFound) {
		return known.job, nil
	}
	return known.job, err
}

// List returns at most limit records of the journal, newest first, and the
// cursor of the next page, "" after the last one. It never asks the gateway.
// notice, when not "", is something to know of the journal as a whole.
//
// Errors: invalid_argument for a cursor that List did not make, and
// journal_unavailable.
func (t *Tracker) List(ctx context.Context, filter Filter, limit int, cursor string) (records []Record, next, notice string, err error) {
	records, next, err = t.journal.list(ctx, filter, limit, cursor)
	return records, next, t.journal.notice(), err
}

// Find returns the journal's record of a job, nil when there is none.
func (t *Tracker) Find(requestID string) (*Record, error) { return t.journal.find(requestID) }

// Typical is how long videos take as a rule: the median of the newest finished
// ones in the journal, 0 when fewer than three are known.
func (t *Tracker) Typical() time.Duration {
	t.mu.Lock()
	fresh, d := time.Since(t.typicalAt) < typicalFor, t.typical
	t.mu.Unlock()
	if fresh {
		return d
	}
	d, err := t.journal.typical()
	if err != nil || d == 0 {
		return 0 // it is only an estimate, and may be there next time
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.typical, t.typicalAt = d, time.Now()
	return d
}

// SavedPath is where the first video of a job is saved, "" when it is not or the
// file is gone.
func (t *Tracker) SavedPath(requestID string) string {
	r, err := t.journal.find(requestID)
	if err != nil || r == nil {
		return ""
	}
	return r.savedPath()
}

// known is what is known of a job, at least its request_id.
func (t *Tracker) known(requestID string) known {
	t.mu.Lock()
	k, ok := t.jobs[requestID]
	t.mu.Unlock()
	if !ok {
		if r, err := t.journal.find(requestID); err == nil && r != nil {
			k = known{job: r.Job, submitted: r.SubmittedAt}
			t.mu.Lock()
			if newer, ok := t.jobs[requestID]; ok {
				k = newer
			}
			t.jobs[requestID] = k
			t.mu.Unlock()
		}
	}
	k.job.RequestID = requestID
	return k
}

// remember keeps job as it stands now, with what the newest answer left out,
// and returns it.
func (t *Tracker) remember(job pixazo.Job, submitted time.Time) pixazo.Job {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.jobs[job.RequestID]
	if k.job.Done() && !job.Done() {
		return k.job // a slow answer from before the end
	}
	if job.PollingURL == "" {
		job.PollingURL = k.job.PollingURL
	}
	if job.CreatedAt.IsZero() {
		job.CreatedAt = k.job.CreatedAt
	}
	if !submitted.IsZero() {
		k.submitted = submitted
	}
	k.job = job
	t.jobs[job.RequestID] = k
	return job
}

// record remembers what the gateway just said of a job, here and in the
// journal, and tells of a change. A journal that can't be used costs no more
// than a line in the log now and then: the answer is there.
func (t *Tracker) record(job pixazo.Job) pixazo.Job {
	before := t.known(job.RequestID)
	added := before.job.Status == "" && before.submitted.IsZero() // made elsewhere, seen for the first time
	job = t.remember(job, time.Time{})
	if err := t.journal.note(job); err != nil {
		t.mu.Lock()
		complain := time.Since(t.complained) > time.Minute
		if complain {
			t.complained = time.Now()
		}
		t.mu.Unlock()
		if complain {
			t.log.Warn("a status could not be recorded", "request_id", job.RequestID, "error", err.Error())
		}
	}
	if job.Status != before.job.Status {
		t.tell(job.RequestID, added)
	}
	return job
}

func (t *Tracker) tell(requestID string, added bool) {
	if t.changed != nil {
		t.changed(requestID, added)
	}
}

// age is how long ago the job was created, by the best witness there is: this
// program's own clock, the gateway, or the time inside the request_id.
func (k known) age() (time.Duration, bool) {
	for _, created := range []time.Time{k.submitted, k.job.CreatedAt, pixazo.IDTime(k.job.RequestID)} {
		// Clocks differ a little; a time further ahead says nothing.
		if age := time.Since(created); !created.IsZero() && age > -notYetVisible {
			return max(age, 0), true
		}
	}
	return 0, false
}
