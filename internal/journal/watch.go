// This file reports what any process writes into the journal, and passes signals
// between the replicas of a team.

package journal

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	watchEvery = time.Second     // how often the file is looked at
	watchSlack = 5 * time.Second // a change may be written this long after the time it bears
)

// Watch calls f with the rows of any owner whose state, status or saved files
// anybody changed since begin, and with submissions that were under way then,
// until ctx ends. A row may come again unchanged. It calls signal with each
// Signal, and "" when some may have been lost. Neither may block; one that is nil
// is not called.
func (j *Journal) Watch(ctx context.Context, begin time.Time, f func([]Row), signal func(string)) {
	j.watch(ctx, j, begin, f, signal)
}

// Signal gives a text to the Watch of every process of the journal, this one too.
// With the embedded database it is heard in this process alone.
func (j *Journal) Signal(ctx context.Context, text string) error { return j.signal(ctx, text) }

// hearers are the signal functions of the Watches in this process.
type hearers struct {
	mu  sync.Mutex
	all map[*func(string)]bool
}

func (h *hearers) signal(_ context.Context, text string) error {
	h.mu.Lock()
	all := slices.Collect(maps.Keys(h.all))
	h.mu.Unlock()
	for _, f := range all {
		(*f)(text)
	}
	return nil
}

// watch is Watch for an engine whose version is read once a second.
func (h *hearers) watch(ctx context.Context, j *Journal, begin time.Time, f func([]Row), signal func(string)) {
	if signal != nil {
		h.mu.Lock()
		if h.all == nil {
			h.all = map[*func(string)]bool{}
		}
		h.all[&signal] = true
		h.mu.Unlock()
		defer func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			delete(h.all, &signal)
		}()
	}
	if f == nil {
		<-ctx.Done()
		return
	}
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
		var rows []Row
		err := j.read(ctx, func(ctx context.Context, q querier) (err error) {
			rows, err = j.many(ctx, q, `WHERE gateway = $1 AND changed_at >= $2 AND (changed_at >= $3 OR state = 'submitting') ORDER BY changed_at LIMIT $4`,
				j.gateway, since, begin, page)
			return err
		})
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
