// This file reports what any process writes into the journal, and passes signals
// between the replicas of a team.

package journal

import (
	"context"
	"time"
)

const (
	watchEvery = time.Second     // how often the file is looked at
	watchSlack = 5 * time.Second // a change may be written this long after the time it bears
)

// Watch calls f with the rows of any owner whose state, status or saved files
// anybody changed since begin, and with submissions that were under way then,
// until ctx ends. A row may come again unchanged. f must not block. On PostgreSQL
// it also hears the signals of all processes, which Hear is told of.
func (j *Journal) Watch(ctx context.Context, begin time.Time, f func([]Row)) {
	j.watch(ctx, j, begin, f)
}

// Signal gives a text to every process of the journal that watches it, this one
// too. With the embedded database it is heard in this process alone.
func (j *Journal) Signal(ctx context.Context, text string) error { return j.signal(ctx, j, text) }

// Hear has f called with each Signal, and with "" when some may have been lost. It
// must not block.
func (j *Journal) Hear(f func(text string)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.hear = f
}

// heard passes on a signal.
func (j *Journal) heard(text string) {
	j.mu.Lock()
	f := j.hear
	j.mu.Unlock()
	if f != nil {
		f(text)
	}
}

func (*embedded) watch(ctx context.Context, j *Journal, begin time.Time, f func([]Row)) {
	j.look(ctx, begin, f)
}

func (*embedded) signal(_ context.Context, j *Journal, text string) error {
	j.heard(text)
	return nil
}

// look is Watch for an engine whose version is read once a second.
func (j *Journal) look(ctx context.Context, begin time.Time, f func([]Row)) {
	var version int64
	for since := begin.Add(-watchSlack); Sleep(ctx, watchEvery); {
		now := time.Now()
		v, err := j.version(ctx)
		if err != nil || v == version {
			continue
		}
		if j.changed(ctx, milli(since), milli(begin), f) == nil {
			version, since = v, now.Add(-watchSlack)
		}
	}
}

// changed calls f with the rows of all owners that changed at or after begin, and
// with submissions under way that were written at or after since.
func (j *Journal) changed(ctx context.Context, since, begin int64, f func([]Row)) error {
	const page = 1000
	for {
		rows, err := j.readMany(ctx, `WHERE gateway = $1 AND changed_at >= $2 AND (changed_at >= $3 OR state = 'submitting') ORDER BY changed_at LIMIT $4`,
			j.gateway, since, begin, page)
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

// Sleep reports whether d passed before ctx was done. The rooms above wait with it,
// too.
func Sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
