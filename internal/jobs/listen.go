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

// told is the state of a row that listeners were last told.
type told struct {
	state     string // as stateOf returns it
	changedAt time.Time
}

// Added tells listeners at once of a submission that a keeper made for this process.
func (t *Tracker) Added(row journal.Row) {
	if row.Job.RequestID != "" {
		t.tell(row)
	}
}

// tell calls the listeners, unless they know this state of the row: the changes that
// this process wrote are read from the journal again later.
func (t *Tracker) tell(row journal.Row) {
	t.mu.Lock()
	known := t.isTold(row)
	if len(t.told) >= maxTold {
		clear(t.told)
	}
	if !t.told[row.ID].supersedes(row) {
		t.told[row.ID] = told{stateOf(row), row.ChangedAt}
	}
	listeners := slices.Collect(maps.Keys(t.listeners))
	t.mu.Unlock()
	if known {
		return
	}
	for _, f := range listeners {
		(*f)(row)
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
		t.running.Go(func() { t.journal.Watch(ctx, begin, t.readNews) })
	case t.interested == 0 && t.endNews != nil:
		t.endNews()
		t.endNews = nil
	}
}

// readNews shows and tells rows that have changed in the journal. A submission under
// way, and one that was refused, is not told.
func (t *Tracker) readNews(rows []journal.Row) {
	for _, row := range rows {
		t.mu.Lock()
		known := t.isTold(row)
		t.mu.Unlock()
		if !known && row.State != journal.Submitting && row.State != journal.Refused {
			t.show(row, nil)
			t.tell(row)
		}
	}
}
