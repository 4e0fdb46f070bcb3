// This file tells what anybody writes into the journal, and passes on what the
// processes of a team tell each other.

package journal

import (
	"context"
	"maps"
	"slices"
	"time"
)

const (
	watchEvery = time.Second     // how often the file is looked at
	watchSlack = 5 * time.Second // a change may be written this long after the time it bears
)

// Watch calls f with the rows of any owner whose state, status or saved files
// anybody changed since begin, and with submissions that were under way then,
// until ctx ends. A row may come again unchanged. It calls signal with each
// Signal. Neither may block; nil is not called.
func (j *Journal) Watch(ctx context.Context, begin time.Time, f func([]Row), signal func(string)) {
	defer j.hear(signal)()
	if f == nil {
		<-ctx.Done()
		return
	}
	var version int64
	for since := begin.Add(-watchSlack); sleep(ctx, watchEvery); {
		now := time.Now()
		v, err := j.Version(ctx)
		if err != nil || v == version {
			continue
		}
		rows, err := j.changed(ctx, since)
		if err != nil {
			continue
		}
		rows = slices.DeleteFunc(rows, func(r Row) bool { return r.ChangedAt.Before(begin) && r.State != Submitting })
		if len(rows) > 0 {
			f(rows)
		}
		version, since = v, now.Add(-watchSlack)
	}
}

// Signal gives a text to the Watch of every process of the journal, this one too.
// With the embedded database it is heard in this process alone.
func (j *Journal) Signal(ctx context.Context, text string) error {
	j.mu.Lock()
	hearers := slices.Collect(maps.Values(j.hearers))
	j.mu.Unlock()
	for _, hearer := range hearers {
		hearer(text)
	}
	return nil
}

// hear has signal called until stop is called.
func (j *Journal) hear(signal func(string)) (stop func()) {
	if signal == nil {
		return func() {}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.hearers == nil {
		j.hearers = map[int]func(string){}
	}
	j.heard++
	number := j.heard
	j.hearers[number] = signal
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.hearers, number)
	}
}

// changed returns the rows of all owners that changed at or after since, in the
// order of their changes.
func (j *Journal) changed(ctx context.Context, since time.Time) (rows []Row, err error) {
	err = j.read(ctx, func(q querier) (err error) {
		rows, err = j.many(ctx, q, `WHERE gateway = $1 AND changed_at >= $2 ORDER BY changed_at LIMIT 1000`, j.gateway, milli(since))
		return err
	})
	return rows, err
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
