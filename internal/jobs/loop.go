// This file polls jobs: one loop a job, shared by all who wait for it or follow
// it, at the pace of the most impatient.

package jobs

import (
	"context"
	"sync"
	"time"

	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

const (
	maxAttending = 64 // turns at once for jobs that somebody waits for: more would only wait for the client and the journal

	// Polls of followed jobs under way at once. They leave most of what the client
	// has for polls to the jobs that somebody waits for.
	maxFollowing = 8
	followPause  = 400 * time.Millisecond // a slot is used again after this: 20 polls a second

	slowly = time.Minute // between polls that are no use before somebody mends something

	// How often, and for how long ahead, the journal is told that somebody waits
	// for a job, so that its end needs no notice.
	attendEvery = 15 * time.Second
	attendFor   = 30 * time.Second

	followTo = 48 * time.Hour // older jobs are not polled unless somebody waits for them
)

// loop is the one stream of polls of a job in this process.
type loop struct {
	key    jobKey
	ctx    context.Context // of the job's owner; done when nobody needs the polls
	cancel context.CancelFunc
	wake   chan struct{} // somebody waits now for a job that was only followed
	begun  time.Time

	// Guarded by Tracker.mu.
	waiters, followers int
	latest             snapshot
	changed            chan struct{} // closed, and replaced, at each look
}

// snapshot is the result of the newest look: a poll, or the row as another one
// left it.
type snapshot struct {
	row    journal.Row
	err    error // why the newest poll failed; nil if it did not
	looked bool  // since somebody waits
}

// isFinal reports whether the job has ended, or nobody knows it.
func (s snapshot) isFinal() bool {
	return s.row.Job.Done() || s.row.State == "" && hopeless(s.err)
}

// Follow keeps a job of ctx's owner polled, less often than while somebody waits
// for it, until stop is called or it ends, and whatever the gateway answers.
// What is seen comes by Listen. Without a requestID no job is polled, and only
// what other processes write is looked for.
func (t *Tracker) Follow(ctx context.Context, requestID string) (stop func()) {
	t.interest(1)
	if requestID == "" {
		return sync.OnceFunc(func() { t.interest(-1) })
	}
	l := t.attach(jobKey{journal.Owner(ctx), requestID}, nil, 0, 1)
	return sync.OnceFunc(func() {
		t.detach(l, 0, 1)
		t.interest(-1)
	})
}

// attach adds waiters and followers to the job's loop, which begins with row if
// there is none. A waiter needs another look, since the newest of a job that was
// only followed may be a minute old.
func (t *Tracker) attach(key jobKey, row *journal.Row, waiters, followers int) *loop {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.loops[key]
	if l == nil {
		ctx, cancel := context.WithCancel(journal.WithOwner(context.Background(), key.owner))
		l = &loop{key: key, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1), begun: time.Now(), changed: make(chan struct{})}
		l.latest.row = journal.Row{Owner: key.owner, Job: pixazo.Job{RequestID: key.id}}
		if row != nil {
			l.latest.row = *row
		}
		t.loops[key] = l
		t.running.Go(func() { t.run(l) })
	} else if waiters > 0 && l.waiters == 0 {
		l.latest.looked = false
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	l.waiters += waiters
	l.followers += followers
	return l
}

func (t *Tracker) detach(l *loop, waiters, followers int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.waiters -= waiters
	l.followers -= followers
	if l.waiters+l.followers == 0 {
		t.end(l)
	}
}

// end ends the polls of l; whoever waits next begins a loop of their own. The
// caller holds t.mu.
func (t *Tracker) end(l *loop) {
	l.cancel()
	if t.loops[l.key] == l {
		delete(t.loops, l.key)
	}
}

// look returns the newest snapshot, and what is closed at the next one.
func (t *Tracker) look(l *loop) (snapshot, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return l.latest, l.changed
}

// show gives those who attend a job its row as it stands, with the error of the
// newest poll. The end of the job ends its loop; the end with an error ends the
// waits and leaves the loop to those who follow.
func (t *Tracker) show(row journal.Row, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.loops[keyOf(row)]
	if l == nil {
		return
	}
	if err != nil && l.latest.row.LastCheckedAt.After(row.LastCheckedAt) {
		row = l.latest.row // somebody saw more while the poll was under way
	}
	if row.Job.Done() {
		err = nil // why a later poll failed does not matter
	}
	l.latest = snapshot{row: row, err: err, looked: true}
	close(l.changed)
	l.changed = make(chan struct{})
	if row.Job.Done() || l.latest.isFinal() && l.followers == 0 {
		t.end(l)
	}
}

// hopeless reports whether another poll will hardly help before somebody mends
// something.
func hopeless(err error) bool {
	return pixazo.IsCode(err, pixazo.MissingAPIKey, pixazo.Unauthorized, pixazo.OutOfCredits, pixazo.NotFound, pixazo.InvalidArgument)
}

// run looks at once and then at the pace of those who are attached, until
// nobody is or the job has ended.
func (t *Tracker) run(l *loop) {
	var told time.Time              // when the journal was told that somebody waits
	var due, interval time.Duration // of the next turn, and since the last poll; 0 when it is still to be found out
	for l.ctx.Err() == nil {
		t.mu.Lock()
		attended := l.waiters > 0
		t.mu.Unlock()
		slots := t.following
		if attended {
			slots = t.attending
		}
		select {
		case slots <- struct{}{}:
		case <-l.wake:
			interval = 0
			continue
		case <-l.ctx.Done():
			return
		}
		if now := time.Now(); attended && !t.options.Team && now.Sub(told) >= attendEvery { // a team gets no notices
			told = now
			_ = t.journal.Attend(l.ctx, l.key.id, now.Add(attendFor))
		}
		var polled bool
		due, interval, polled = t.turn(l, attended, interval)
		if polled && !attended {
			time.AfterFunc(followPause, func() { <-slots })
		} else {
			<-slots
		}
		select {
		case <-time.After(due):
		case <-l.wake:
			interval = 0
		case <-l.ctx.Done():
		}
	}
}

// turn polls the job of l if interval has passed since its last poll in any
// process, or else shows the row as the other's poll left it. It returns when
// the next turn is due, and the interval that is to have passed then.
func (t *Tracker) turn(l *loop, attended bool, interval time.Duration) (due, next time.Duration, polled bool) {
	seen, _ := t.look(l)
	var row *journal.Row // as it was seen last
	var err error
	if seen.row.State != "" {
		row = &seen.row
	} else if row, err = t.known(l.ctx, l.key.id); row != nil {
		seen.row = *row
	}
	if interval == 0 {
		interval = t.interval(l, seen.row, attended)
	}
	if err != nil && row == nil {
		t.show(seen.row, err)
		return slowly, 0, false
	}
	if left, err := t.held(l.key); left > 0 {
		t.show(seen.row, err)
		return left, 0, false
	}
	if age, ok := age(seen.row); !attended && ok && age > followTo {
		return followTo, 0, false // until somebody waits for it
	}
	if granted, err := t.journal.Claim(l.ctx, l.key.id, interval); !granted {
		if now, _ := t.Find(l.ctx, l.key.id); now != nil {
			seen.row = *now
		}
		if err == nil || time.Since(seen.row.PolledAt).Abs() < interval { // else nobody can claim a poll, and each process polls for itself
			t.show(seen.row, nil)
			next = t.interval(l, seen.row, attended)
			return max(min(time.Until(seen.row.PolledAt.Add(next)), next), time.Second), next, false // PolledAt is by another clock
		}
	}
	answer, err := t.poll(l.ctx, l.key.id, row, true)
	if err != nil && l.ctx.Err() == nil {
		t.show(answer.Row, err)
	}
	next = t.interval(l, answer.Row, attended)
	if hopeless(err) {
		return slowly, next, true
	}
	return max(next, min(pixazo.RetryAfter(err), retryLimit)), next, true
}

// held returns how much longer the gateway asked not to be polled for a job, and
// with which error.
func (t *Tracker) held(key jobKey) (time.Duration, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.memories[key]
	return time.Until(m.notBefore), m.err
}

// interval returns how long to wait between two polls of a job: an eighth of its
// age, within limits, give or take 10 %. The age counts from the job's creation,
// so that a second wait goes on where the first one stopped. With callbacks polls
// are only for those that were missed.
func (t *Tracker) interval(l *loop, row journal.Row, attended bool) time.Duration {
	age, ok := age(row)
	if !ok {
		age = time.Since(l.begun)
	}
	least, most := 5*time.Second, time.Minute
	switch {
	case attended && t.options.Callbacks:
		least, most = 15*time.Second, 15*time.Second
	case attended:
		least, most = time.Second, 15*time.Second
	case t.options.Callbacks:
		least, most = sweepAfter, sweepAfter
	case age > 6*time.Hour:
		least, most = 10*time.Minute, 10*time.Minute
	}
	return time.Duration(float64(min(max(age/8, least), most)) * (0.9 + 0.2*t.options.Rand()))
}
