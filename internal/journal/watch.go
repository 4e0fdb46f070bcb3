// This file reports changes that any process writes into the journal, and passes
// signals between the replicas of a team.

package journal

import (
	"context"
	"time"
)

const (
	watchEvery = time.Second     // how often Watch looks at the state of the journal
	watchSlack = 5 * time.Second // a change may be written up to this long after its changed_at
)

// Watch calls f, until ctx ends, with the rows of all owners whose state, status or
// saved files changed since begin. A row may come again unchanged. f must not block. On
// PostgreSQL Watch also passes what any process sends with Signal to the function that
// was given to Hear.
func (j *Journal) Watch(ctx context.Context, begin time.Time, f func([]Row)) {
	if p, ok := j.engine.(*postgres); ok && p.broken == nil && !j.fakeTime {
		p.watch(ctx, j, begin, f)
		return
	}
	seen, again := "", false // a file's times are coarse: after each change, one more look is taken again
	read := begin            // all changes dated before it were read
	for Sleep(ctx, watchEvery) {
		now := time.Now().Round(0) // the wall clock, by which changes are dated; it may be set back
		if now.Before(begin) {
			begin = now
		}
		if now.Before(read) {
			read = now
		}
		state := j.State()
		if state == seen && !again && !j.fakeTime {
			continue
		}
		if j.changed(ctx, max(milli(begin), milli(read.Add(-watchSlack))), f) == nil {
			seen, again, read = state, state != seen, now
		}
	}
}

// Signal passes a text to every process that runs Watch on this journal, this one
// included. With SQLite only this process receives it.
func (j *Journal) Signal(ctx context.Context, text string) error {
	if p, ok := j.engine.(*postgres); ok && !j.fakeTime {
		return p.signal(ctx, text)
	}
	j.receive(text)
	return nil
}

// Hear makes f be called with each text that is passed to Signal, and with "" when
// some may have been lost. f must not block.
func (j *Journal) Hear(f func(text string)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.onSignal = f
}

// receive calls the function of Hear with a signal.
func (j *Journal) receive(text string) {
	j.mu.Lock()
	f := j.onSignal
	j.mu.Unlock()
	if f != nil {
		f(text)
	}
}

// changed calls f with the rows of all owners that changed at or after since.
func (j *Journal) changed(ctx context.Context, since int64, f func([]Row)) error {
	const page = 1000
	for {
		rows, err := j.readMany(ctx, `WHERE gateway = $1 AND changed_at >= $2 ORDER BY changed_at LIMIT $3`, j.gateway, since, page)
		if err != nil {
			return err
		}
		if len(rows) > 0 {
			f(rows)
		}
		if len(rows) < page || milli(rows[page-1].ChangedAt) == since {
			return nil
		}
		since = milli(rows[page-1].ChangedAt)
	}
}

// Sleep waits for d, and returns false if ctx was done before that. Packages that
// import this one use it, too.
func Sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
