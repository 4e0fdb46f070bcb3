// This file tells listeners what changes, whoever saw it: a poll or a callback
// of this process, or another process that wrote it into the journal.

package jobs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"pixazo-mcp/internal/journal"
)

const (
	maxTold  = 1000            // rows
	clockSet = 2 * time.Minute // no news of this process come so late
)

// Event is a change of a job: of its status, of its saved files, or that it was
// added to the journal.
type Event struct {
	Row   journal.Row // without a request_id for a submission whose outcome is unknown
	Added bool
}

// Listen has f called at each change of a job of any owner, from any goroutine,
// until stop is called. f must not block. What other processes write is heard
// while this process waits for a job or follows one.
func (t *Tracker) Listen(f func(Event)) (stop func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listeners[&f] = true
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.listeners, &f)
	}
}

// told holds the state of a row, as stateOf returns it, of which listeners heard last.
type told struct {
	state     string
	changedAt time.Time
}

// Added takes in a submission that a keeper made for this process, so that
// listeners hear of it at once.
func (t *Tracker) Added(row journal.Row) {
	if row.Job.RequestID != "" {
		t.tell(row, true)
	}
}

// tell calls the listeners, unless they were told of the row as it stands: the
// journal also tells, and later, what this process wrote itself.
func (t *Tracker) tell(row journal.Row, added bool) {
	t.mu.Lock()
	known := t.isTold(row)
	t.noteTold(row)
	listeners := slices.Collect(maps.Keys(t.listeners))
	t.mu.Unlock()
	if known {
		return
	}
	for _, f := range listeners {
		(*f)(Event{row, added})
	}
}

// supersedes reports whether listeners heard of a later state than row's. One that
// seems to be much later was written before the clock was set back, and does not count.
func (last told) supersedes(row journal.Row) bool {
	later := last.changedAt.Sub(row.ChangedAt)
	return later > 0 && later < clockSet
}

// isTold reports whether listeners know the row as it stands, or a later state of it.
// The caller holds t.mu.
func (t *Tracker) isTold(row journal.Row) bool {
	last, ok := t.told[row.ID]
	return ok && row.ID != 0 && (last.state == stateOf(row) || last.supersedes(row))
}

// noteTold keeps how listeners know a row. The caller holds t.mu.
func (t *Tracker) noteTold(row journal.Row) {
	if len(t.told) >= maxTold {
		clear(t.told)
	}
	if !t.told[row.ID].supersedes(row) {
		t.told[row.ID] = told{stateOf(row), row.ChangedAt}
	}
}

// stateOf returns what listeners are told of when it changes.
func stateOf(row journal.Row) string {
	return fmt.Sprint(row.State, row.Job.Status, row.Saved, row.Save.Error)
}

// interest counts those who want to hear of what other processes write.
func (t *Tracker) interest(more int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.interested += more
	switch {
	case t.interested > 0 && t.news == nil:
		ctx, cancel := context.WithCancel(context.Background())
		begin := time.Now().Truncate(time.Millisecond) // as the journal keeps times
		t.news = cancel
		t.running.Go(func() { t.readNews(ctx, begin) })
	case t.interested == 0 && t.news != nil:
		t.news()
		t.news = nil
	}
}

// readNews tells what other processes write from begin on.
func (t *Tracker) readNews(ctx context.Context, begin time.Time) {
	var newest int64 // of the rows that were seen
	t.journal.Watch(ctx, begin, func(rows []journal.Row) {
		highest := newest
		for _, row := range rows {
			t.found(row, begin, newest)
			highest = max(highest, row.ID)
		}
		newest = highest
	})
}

// found shows and tells a row that the journal says has changed. A row with a
// number above newest was not seen before.
func (t *Tracker) found(row journal.Row, begin time.Time, newest int64) {
	t.mu.Lock()
	known, before := t.isTold(row), t.told[row.ID].state
	silent := row.State == journal.Submitting || row.State == journal.Refused
	if silent {
		t.noteTold(row)
	}
	t.mu.Unlock()
	if silent || known {
		return
	}
	outcome := before == stateOf(journal.Row{State: journal.Submitting}) // of a submission that was seen under way
	t.show(row, nil)
	t.tell(row, outcome || row.ID > newest && (row.State == journal.Foreign || !row.SubmittedAt.Before(begin)))
}
