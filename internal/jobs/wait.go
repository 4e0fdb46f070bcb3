// This file waits for jobs: one poll loop a job, shared by all who wait for
// it, and waits that come and go.

package jobs

import (
	"context"
	"sync"
	"time"

	"pixazo-mcp/pixazo"
)

// End says why a wait ended.
type End int

// The reasons for which a wait ends without an error.
const (
	Finished End = iota // the job has ended, with a video or without
	Expired             // the time was up
	Busy                // too many waits at once; the job was asked for once
	Draining            // the program is ending
)

// Outcome is what a wait saw last.
type Outcome struct {
	Job     pixazo.Job // Status is "" if no poll succeeded
	End     End
	LastErr error // why the newest poll failed; nil if it did not
}

// Progress is what a waiting caller hears.
type Progress struct {
	Job    pixazo.Job
	Waited time.Duration // since this wait began
	Age    time.Duration // since the job was submitted; 0 when not known
}

// Wait follows a job until it ends, timeout passes or the program ends; when
// ctx is cancelled it returns what it saw last together with ctx's error. A
// wait of any length gives the first poll 2 s to be answered. report, which
// may be nil, is called from this goroutine at each poll and at least every
// 5 s.
//
// A failed poll does not end the wait, except with missing_api_key,
// unauthorized, out_of_credits, invalid_argument, or not_found past the job's
// first 30 s.
func (t *Tracker) Wait(ctx context.Context, requestID string, timeout time.Duration, report func(Progress)) (Outcome, error) {
	if err := pixazo.CheckRequestID(requestID); err != nil {
		return Outcome{}, err
	}
	start := time.Now()
	if !t.enter() {
		job, err := t.Status(ctx, requestID)
		return Outcome{Job: job, End: Busy}, err
	}
	defer t.exit()
	l := t.attach(requestID)
	defer t.leave(l)

	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	end, over, draining := Expired, false, t.draining.Done()
	for {
		seen, changed := l.look()
		switch {
		case seen.final && seen.job.Done():
			return Outcome{Job: seen.job, End: Finished}, nil
		case seen.final:
			return Outcome{Job: seen.job, LastErr: seen.err}, seen.err
		case over && seen.polls > 0:
			return Outcome{Job: seen.job, End: end, LastErr: seen.err}, nil
		}
		if report != nil && !over {
			age, _ := t.known(requestID).age()
			report(Progress{Job: seen.job, Waited: time.Since(start), Age: age})
		}
		select {
		case <-changed:
			tick.Reset(reportEvery)
		case <-tick.C:
		case <-deadline.C:
			if over {
				return Outcome{Job: seen.job, End: end, LastErr: seen.err}, nil
			}
			over = true
			deadline.Reset(firstLook)
		case <-draining:
			end, over, draining = Draining, true, nil
			deadline.Reset(firstLook)
		case <-ctx.Done():
			return Outcome{Job: seen.job, End: end, LastErr: seen.err}, ctx.Err()
		}
	}
}

// loop is the one stream of polls of a job while somebody waits for it.
type loop struct {
	requestID string
	cancel    context.CancelFunc
	waiters   int // guarded by Tracker.mu

	mu      sync.Mutex
	latest  sight
	changed chan struct{} // closed, and replaced, at each poll
}

// sight is what a loop saw last.
type sight struct {
	job   pixazo.Job
	err   error // why the newest poll failed; nil if it did not
	polls int
	final bool // no more polls: the job has ended, or err says that polling is no use
}

func (l *loop) look() (sight, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latest, l.changed
}

func (l *loop) show(job pixazo.Job, err error, final bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latest = sight{job, err, l.latest.polls + 1, final}
	close(l.changed)
	l.changed = make(chan struct{})
}

// enter counts a wait in, unless there are too many.
func (t *Tracker) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waits >= t.options.MaxWaits {
		return false
	}
	t.waits++
	return true
}

func (t *Tracker) exit() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waits--
}

// Follow keeps a job polled, as if somebody waited for it, until stop is
// called or the job ends. What is seen comes by OnChange.
func (t *Tracker) Follow(requestID string) (stop func()) {
	l := t.attach(requestID)
	return sync.OnceFunc(func() { t.leave(l) })
}

// attach adds a waiter to the job's loop, starting the loop if there is none.
func (t *Tracker) attach(requestID string) *loop {
	known := t.known(requestID).job
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.loops[requestID]
	if l == nil {
		ctx, cancel := context.WithCancel(context.Background())
		l = &loop{requestID: requestID, cancel: cancel, changed: make(chan struct{}), latest: sight{job: known}}
		t.loops[requestID] = l
		go t.run(ctx, l)
	}
	l.waiters++
	return l
}

func (t *Tracker) leave(l *loop) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.waiters--
	if l.waiters == 0 {
		t.end(l)
	}
}

// end stops l; whoever waits next starts a loop of their own. t.mu is held.
func (t *Tracker) end(l *loop) {
	l.cancel()
	if t.loops[l.requestID] == l {
		delete(t.loops, l.requestID)
	}
}

// run polls at once, then on the documented schedule, until the job ends,
// polling is no use, or nobody waits any more.
func (t *Tracker) run(ctx context.Context, l *loop) {
	start := time.Now()
	for {
		if !sleep(ctx, time.Until(t.known(l.requestID).notBefore)) {
			return
		}
		job, err := t.Status(ctx, l.requestID)
		if ctx.Err() != nil {
			return
		}
		if job.Done() {
			err = nil // it has ended, whether it can be asked for again or not
		}
		age, known := t.known(l.requestID).age()
		if !known {
			age = time.Since(start)
		}
		// Status has already seen to the 404 of a job too young to be visible.
		final := job.Done() || pixazo.IsCode(err,
			pixazo.MissingAPIKey, pixazo.Unauthorized, pixazo.OutOfCredits, pixazo.NotFound, pixazo.InvalidArgument)
		if final {
			t.mu.Lock()
			t.end(l)
			t.mu.Unlock()
		}
		l.show(job, err, final)
		if final {
			return
		}
		if !sleep(ctx, pixazo.PollDelay(age, t.options.Rand())) {
			return
		}
	}
}

// sleep reports whether d passed before ctx was done.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
