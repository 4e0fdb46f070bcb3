// This file polls jobs. Each job has one loop in this process, which all who wait for
// the job or follow it share. The loop polls more often while somebody waits.

package jobs

import (
	"context"
	"sync"
	"time"

	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

const (
	// The most polls under way at once of jobs that somebody waits for. Each holds its slot
	// for at least attendTurn, so there are at most 400 polls a second. More at once would
	// have to wait for the gateway's client and the journal; more a second would leave too
	// little of the processor to other calls when thousands begin to wait at once.
	maxAttending = 64
	attendTurn   = 160 * time.Millisecond

	// The same for jobs that are only followed: at most 20 polls a second, which leaves
	// most of the client's capacity to the others.
	maxFollowing = 8
	followTurn   = 400 * time.Millisecond

	hopelessPause = time.Minute // between polls that fail until a person corrects something

	// While somebody waits for a job, the journal is told every attendEvery that this
	// is so for attendFor, so that its end needs no notice.
	attendEvery = 15 * time.Second
	attendFor   = 30 * time.Second
)

// MaxAge is how long after its submission a job is polled without anybody waiting for it,
// and its video saved without a call.
const MaxAge = 48 * time.Hour

// Recent reports whether row was submitted less than MaxAge ago.
func (t *Tracker) Recent(row Row) bool { return t.journal.Now().Sub(row.SubmittedAt) < MaxAge }

// loop polls one job.
type loop struct {
	key    jobKey
	ctx    context.Context // with the job's owner; done when nobody waits or follows any more
	cancel context.CancelFunc
	wake   chan struct{} // gets an element when somebody begins to wait for a followed job
	begun  time.Time

	// Guarded by Tracker.mu.
	waiters, followers int
	latest             *snapshot
	changed            chan struct{} // closed, and replaced, at each new snapshot
}

// snapshot is what is known of a job after a poll, or after the row was read that
// another poll has written. It is never changed.
type snapshot struct {
	row   journal.Row
	err   error // why the newest poll failed; nil if it did not
	fresh bool  // made since somebody waits
}

// isFinal reports whether the job has ended, or can't be found.
func (s *snapshot) isFinal() bool {
	return s.row.Job.Done() || s.row.State == "" && hopeless(s.err)
}

// Follow polls a job of ctx's owner, less often than Wait does, until stop is called
// or the job ends; no error ends it. Changes are told by Listen. With an empty
// requestID it polls no job; then it only makes Listen hear what other processes write.
func (t *Tracker) Follow(ctx context.Context, requestID string) (stop func()) {
	if requestID == "" {
		t.interest(1)
		return sync.OnceFunc(func() { t.interest(-1) })
	}
	l := t.attach(jobKey{journal.Owner(ctx), requestID}, nil, 0, 1)
	return sync.OnceFunc(func() { t.detach(l, 0, 1) })
}

// attach adds waiters and followers to the job's loop, and one interest. If there is no
// loop, it starts one, with row as the first snapshot. The first waiter makes a loop
// poll at once, since the snapshot of a followed job may be a minute old.
func (t *Tracker) attach(key jobKey, row *journal.Row, waiters, followers int) *loop {
	t.interest(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.loops[key]
	if l == nil {
		ctx, cancel := context.WithCancel(journal.WithOwner(context.Background(), key.owner))
		l = &loop{key: key, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1), begun: time.Now(), changed: make(chan struct{})}
		l.latest = &snapshot{row: journal.Row{Owner: key.owner, Job: pixazo.Job{RequestID: key.id}}}
		if row != nil {
			l.latest = &snapshot{row: *row}
		}
		t.loops[key] = l
		t.running.Go(func() { t.run(l) })
	} else if waiters > 0 && l.waiters == 0 {
		l.latest = &snapshot{row: l.latest.row, err: l.latest.err}
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	l.waiters += waiters
	l.followers += followers
	return l
}

// detach removes what attach added, and ends l if nobody waits or follows any more.
func (t *Tracker) detach(l *loop, waiters, followers int) {
	t.interest(-1)
	t.mu.Lock()
	defer t.mu.Unlock()
	l.waiters -= waiters
	l.followers -= followers
	if l.waiters+l.followers == 0 {
		t.end(l)
	}
}

// end ends the polls of l. The next attach starts another loop. The caller holds t.mu.
func (t *Tracker) end(l *loop) {
	l.cancel()
	if t.loops[l.key] == l {
		delete(t.loops, l.key)
	}
}

// look returns the newest snapshot, and a channel that is closed at the next one.
func (t *Tracker) look(l *loop) (*snapshot, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return l.latest, l.changed
}

// show makes row and err, the error of the newest poll, the snapshot of the job's loop,
// and wakes those who wait for it. If the job has ended and the journal has recorded
// that, the loop ends. If the journal could not, or the job can't be found, only the
// waits end, and the loop goes on for those who follow the job.
func (t *Tracker) show(row journal.Row, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.loops[keyOf(row)]
	if l == nil {
		return
	}
	if err != nil && l.latest.row.LastCheckedAt.After(row.LastCheckedAt) {
		row = l.latest.row // became known while the poll was under way
	}
	if row.Job.Done() {
		err = nil // the error of a later poll does not matter
	}
	l.latest = &snapshot{row: row, err: err, fresh: true}
	close(l.changed)
	l.changed = make(chan struct{})
	unwritten := t.memories[l.key].row
	if l.latest.isFinal() && (l.followers == 0 || row.Job.Done() && (unwritten == nil || !unwritten.Job.Done())) {
		t.end(l)
	}
}

// hopeless reports whether polls will fail with err until a person corrects something.
func hopeless(err error) bool {
	return pixazo.IsCode(err, pixazo.MissingAPIKey, pixazo.Unauthorized, pixazo.OutOfCredits, pixazo.NotFound, pixazo.InvalidArgument)
}

// run takes turns until l ends, the first at once.
func (t *Tracker) run(l *loop) {
	var told time.Time         // when the journal was last told that somebody waits
	var interval time.Duration // between the last poll and the next one; 0 for one that turn chooses
	for l.ctx.Err() == nil {
		t.mu.Lock()
		attended := l.waiters > 0
		t.mu.Unlock()
		slots, least := t.following, followTurn
		if attended {
			slots, least = t.attending, attendTurn
		}
		select {
		case slots <- struct{}{}:
		case <-l.wake:
			interval = 0
			continue
		case <-l.ctx.Done():
			return
		}
		begun := time.Now()
		var pause time.Duration
		var polled bool
		aside(func() {
			if now := time.Now(); attended && !t.options.Team && now.Sub(told) >= attendEvery { // a team gets no notices
				told = now
				_ = t.journal.Attend(l.ctx, l.key.id, now.Add(attendFor))
			}
			pause, interval, polled = t.turn(l, attended, interval)
		})
		if polled {
			time.AfterFunc(least-time.Since(begun), func() { <-slots })
		} else {
			<-slots
		}
		select {
		case <-time.After(pause):
		case <-l.wake:
			interval = 0
		case <-l.ctx.Done():
		}
	}
}

// turn polls the job of l if interval has passed since its last poll in any process.
// Otherwise it shows the row as that poll has left it. It returns the pause before the
// next turn, and the interval for it.
func (t *Tracker) turn(l *loop, attended bool, interval time.Duration) (pause, next time.Duration, polled bool) {
	latest, _ := t.look(l)
	seen := latest.row
	var row *journal.Row // as it is known; nil if it is not
	var err error
	if seen.State != "" {
		row = &seen
	} else if row, err = t.known(l.ctx, l.key.id); row != nil {
		seen = *row
	}
	if interval == 0 {
		interval = t.interval(l, seen, attended)
	}
	if err != nil && row == nil {
		t.show(seen, err)
		return hopelessPause, 0, false
	}
	if left, err := t.held(l.key); left > 0 {
		t.show(seen, err)
		return left, 0, false
	}
	if age, ok := t.age(seen); !attended && ok && age > MaxAge {
		return MaxAge, 0, false // until somebody waits for it
	}
	if granted, err := t.journal.Claim(l.ctx, l.key.id, interval); !granted {
		if now, _ := t.Find(l.ctx, l.key.id); now != nil {
			seen = *now
		}
		since := t.journal.Now().Sub(seen.PolledAt)
		// With an error no process can claim a poll, so each one polls by itself.
		if err == nil || since.Abs() < interval {
			t.show(seen, nil)
			next = t.interval(l, seen, attended)
			return max(min(next-since, next), time.Second), next, false // limited, since clocks may be set
		}
	}
	answer, err := t.poll(l.ctx, l.key.id, row, true)
	if err != nil && l.ctx.Err() == nil {
		t.show(answer.Row, err)
	}
	next = t.interval(l, answer.Row, attended)
	if hopeless(err) {
		return hopelessPause, next, true
	}
	return max(next, min(pixazo.RetryAfter(err), retryLimit)), next, true
}

// held returns for how much longer the gateway asked not to be polled for a job, and
// the error with which it did.
func (t *Tracker) held(key jobKey) (time.Duration, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.memories[key]
	return time.Until(m.notBefore), m.err
}

// interval returns how long to wait between two polls of a job: an eighth of its
// age, within limits, give or take 10 %. The age counts from the job's creation,
// so that a second wait goes on where the first one stopped. With callbacks, polls
// are needed only in case one was missed.
func (t *Tracker) interval(l *loop, row journal.Row, attended bool) time.Duration {
	age, ok := t.age(row)
	if !ok {
		age = time.Since(l.begun)
	}
	callbacks := t.options.CallbackURL != nil
	least, most := 5*time.Second, time.Minute
	switch {
	case attended && callbacks:
		least, most = 15*time.Second, 15*time.Second
	case attended:
		least, most = time.Second, 15*time.Second
	case callbacks:
		least, most = sweepAfter, sweepAfter
	case age > 6*time.Hour:
		least, most = 10*time.Minute, 10*time.Minute
	}
	return time.Duration(float64(min(max(age/8, least), most)) * (0.9 + 0.2*t.options.Rand()))
}
