// Package jobs keeps track of video jobs between the tools and the gateway: it
// submits once whatever becomes of the caller, remembers what was seen, and
// polls each job once however many wait for it.
package jobs

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"pixazo-mcp/pixazo"
)

// Gateway is what the tracker needs of the gateway; *pixazo.Client is one.
// Submit must not cut off a request under way when ctx is cancelled: the
// context only says whether the video is still wanted.
type Gateway interface {
	Submit(ctx context.Context, req pixazo.VideoRequest) (pixazo.Job, error)
	Status(ctx context.Context, requestID, pollingURL string) (pixazo.Job, error)
}

const (
	defaultMaxWaits = 64
	concurrentPolls = 32               // polls under way at once, over all jobs
	notYetVisible   = 30 * time.Second // how long after submission a 404 means nothing
	reportEvery     = 5 * time.Second  // a waiter hears something at least this often
	firstLook       = 2 * time.Second  // past its end, a wait that has seen no poll yet gets this much more
)

// Options adjusts a Tracker; the zero value is right for the program.
type Options struct {
	MaxWaits int            // waits at once before Wait stops waiting; 0 means 64
	Rand     func() float64 // random numbers in [0, 1) that spread the polls; nil means math/rand
	Logger   *slog.Logger   // nil means none
}

// Tracker submits and follows jobs. It is safe for concurrent use.
type Tracker struct {
	gateway Gateway
	options Options
	log     *slog.Logger

	draining context.Context // done when the program ends
	drain    context.CancelFunc
	polls    chan struct{} // a slot for each poll under way

	mu          sync.Mutex
	jobs        map[string]record
	loops       map[string]*loop
	waits       int
	submissions sync.WaitGroup
}

// record is what this process knows of a job.
type record struct {
	job       pixazo.Job
	submitted time.Time // when this process got its request_id; zero for jobs made elsewhere
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
		polls: make(chan struct{}, concurrentPolls),
		jobs:  map[string]record{},
		loops: map[string]*loop{},
	}
	t.draining, t.drain = context.WithCancel(context.Background())
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	return t
}

// Drain ends the tracker: nothing more is submitted, waits end with what they
// know, and submissions in flight are waited for until ctx ends.
func (t *Tracker) Drain(ctx context.Context) {
	t.mu.Lock() // so that no submission begins between the check and the wait
	t.drain()
	t.mu.Unlock()
	finished := make(chan struct{})
	go func() {
		t.submissions.Wait()
		close(finished)
	}()
	select {
	case <-finished:
	case <-ctx.Done():
		t.log.Error("gave up waiting for a submission in flight: look at the Pixazo dashboard before making the video again")
	}
}

// Submit sends req to the gateway, once. When ctx is cancelled meanwhile, a
// POST under way goes on to its end and only the caller stops waiting for it,
// with submission_uncertain.
//
// Errors are those of pixazo.Client.Submit, and cancelled when nothing was
// submitted.
func (t *Tracker) Submit(ctx context.Context, req pixazo.VideoRequest) (pixazo.Job, error) {
	if err := ctx.Err(); err != nil {
		return pixazo.Job{}, &pixazo.Error{Code: pixazo.Cancelled, Message: "the call was cancelled before anything was submitted", Err: err}
	}
	t.mu.Lock()
	if t.draining.Err() != nil {
		t.mu.Unlock()
		return pixazo.Job{}, &pixazo.Error{Code: pixazo.Cancelled, Message: "the server is shutting down; nothing was submitted"}
	}
	t.submissions.Add(1)
	t.mu.Unlock()

	type outcome struct {
		job pixazo.Job
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		defer t.submissions.Done()
		wanted, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(t.draining, cancel)()
		job, err := t.gateway.Submit(wanted, req)
		if err != nil {
			id := requestIDOf(err)
			if id != "" { // uncertain, but if it was accepted this is the way to it
				t.remember(pixazo.Job{RequestID: id}, time.Now())
			}
			t.log.Warn("submission failed", "request_id", id, "error", err)
		} else {
			t.remember(job, time.Now())
			t.log.Info("video submitted", "request_id", job.RequestID, "status", job.Status, "caller_left", ctx.Err() != nil)
		}
		done <- outcome{job, err}
	}()
	select {
	case o := <-done:
		return o.job, o.err
	case <-ctx.Done():
	}
	select {
	case o := <-done: // both at once: what is known counts
		return o.job, o.err
	default:
		return pixazo.Job{}, &pixazo.Error{Code: pixazo.SubmissionUncertain, Message: "the call was cancelled while the video request was on its way, and the request goes on", Err: ctx.Err()}
	}
}

// requestIDOf is the request_id that err names, or "".
func requestIDOf(err error) string {
	if e, ok := errors.AsType[*pixazo.Error](err); ok {
		return e.RequestID
	}
	return ""
}

// Status asks the gateway where a job stands and remembers the answer. A job
// that the gateway does not show in the first 30 s after its submission is
// answered as it is known here; its Status may be "".
//
// Errors are those of pixazo.Client.Status.
func (t *Tracker) Status(ctx context.Context, requestID string) (pixazo.Job, error) {
	known := t.known(requestID)
	job, err := t.gateway.Status(ctx, requestID, known.job.PollingURL)
	if err == nil {
		return t.remember(job, time.Time{}), nil
	}
	if age, ok := known.age(); ok && age < notYetVisible && pixazo.IsCode(err, pixazo.NotFound) {
		return known.job, nil
	}
	return known.job, err
}

// known is what this process knows of a job, at least its request_id.
func (t *Tracker) known(requestID string) record {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.jobs[requestID]
	r.job.RequestID = requestID
	return r
}

// remember records job as it stands now, keeping what the newest answer left
// out, and returns it.
func (t *Tracker) remember(job pixazo.Job, submitted time.Time) pixazo.Job {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.jobs[job.RequestID]
	if job.PollingURL == "" {
		job.PollingURL = r.job.PollingURL
	}
	if job.CreatedAt.IsZero() {
		job.CreatedAt = r.job.CreatedAt
	}
	if !submitted.IsZero() {
		r.submitted = submitted
	}
	r.job = job
	t.jobs[job.RequestID] = r
	return job
}

// age is how long ago the job was created, by the best witness there is: this
// process's own clock, the gateway, or the time inside the request_id.
func (r record) age() (time.Duration, bool) {
	for _, created := range []time.Time{r.submitted, r.job.CreatedAt, pixazo.IDTime(r.job.RequestID)} {
		// Clocks differ a little; a time further ahead says nothing.
		if age := time.Since(created); !created.IsZero() && age > -notYetVisible {
			return max(age, 0), true
		}
	}
	return 0, false
}
