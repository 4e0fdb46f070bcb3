// This file tells listeners of changes, whether a poll or a callback of this process
// saw them, or another process wrote them into the journal.

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
	maxTold  = 1000            // rows in Tracker.told
	clockSet = 2 * time.Minute // no change is told so late: a difference this large means that the clock was set back
)

// Event is a change of a job: of its status, of its saved files, or that it was
// added to the journal.
type Event struct {
	Row   journal.Row // without a request_id for a submission whose outcome is unknown
	Added bool
}

// Listen calls f at each change of a job of any owner, from any goroutine, until stop
// is called. f must not block. Changes that other processes write are told only while
// this process waits for a job or follows one.
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

// told is the state of a row that listeners were last told.
type told struct {
	state     string // as stateOf returns it
	changedAt time.Time
}

// Added tells listeners at once of a submission that a keeper made for this process.
func (t *Tracker) Added(row journal.Row) {
	if row.Job.RequestID != "" {
		t.tell(row, true)
	}
}

// tell calls the listeners, unless they know this state of the row: the changes that
// this process wrote are read from the journal again later.
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

// supersedes reports whether last is a later state than row's. One that seems to be
// much later was written before the clock was set back, and does not count.
func (last told) supersedes(row journal.Row) bool {
	later := last.changedAt.Sub(row.ChangedAt)
	return later > 0 && later < clockSet
}

// isTold reports whether listeners were told this state of the row, or a later one. The
// caller holds t.mu.
func (t *Tracker) isTold(row journal.Row) bool {
	last, ok := t.told[row.ID]
	return ok && row.ID != 0 && (last.state == stateOf(row) || last.supersedes(row))
}

// noteTold records that listeners are told this state of the row. The caller holds t.mu.
func (t *Tracker) noteTold(row journal.Row) {
	if len(t.told) >= maxTold {
		clear(t.told)
	}
	if !t.told[row.ID].supersedes(row) {
		t.told[row.ID] = told{stateOf(row), row.ChangedAt}
	}
}

// stateOf returns a text of those parts of a row whose changes listeners are told.
func stateOf(row journal.Row) string {
	return fmt.Sprint(row.State, row.Job.Status, row.Saved, row.Save.Error)
}

// interest adds more to the number of waits and follows. While it is above 0, readNews
// runs.
func (t *Tracker) interest(more int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.interested += more
	switch {
	case t.interested > 0 && t.endNews == nil:
		ctx, cancel := context.WithCancel(context.Background())
		begin := time.Now().Truncate(time.Millisecond) // as the journal keeps times
		t.endNews = cancel
		t.running.Go(func() { t.readNews(ctx, begin) })
	case t.interested == 0 && t.endNews != nil:
		t.endNews()
		t.endNews = nil
	}
}

// readNews tells listeners what other processes write from begin on, until ctx ends.
func (t *Tracker) readNews(ctx context.Context, begin time.Time) {
	var newest int64 // the highest Row.ID so far
	t.journal.Watch(ctx, begin, func(rows []journal.Row) {
		highest := newest
		for _, row := range rows {
			t.found(row, begin, newest)
			highest = max(highest, row.ID)
		}
		newest = highest
	})
}

// found shows and tells a row that has changed in the journal. If its ID is above
// newest, it is a new row. A submission under way, and one that was refused, is not
// told.
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
	outcome := before == stateOf(journal.Row{State: journal.Submitting}) // the submission was seen under way before
	t.show(row, nil)
	t.tell(row, outcome || row.ID > newest && (row.State == journal.Foreign || !row.SubmittedAt.Before(begin)))
}
