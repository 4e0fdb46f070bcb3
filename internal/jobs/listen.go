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
	state     string // those parts of the row whose changes are told
	changedAt time.Time
}

// Added tells listeners at once of a submission that a keeper made for this process.
func (t *Tracker) Added(row journal.Row) {
	if row.Job.RequestID != "" {
		t.tell(row)
	}
}

// tell calls the listeners, unless they know this state of the row.
func (t *Tracker) tell(row journal.Row) {
	if t.isNews(row) {
		t.callListeners(row)
	}
}

func (t *Tracker) callListeners(row journal.Row) {
	t.mu.Lock()
	listeners := slices.Collect(maps.Keys(t.listeners))
	t.mu.Unlock()
	for _, f := range listeners {
		(*f)(row)
	}
}

// isNews reports whether listeners were told neither this state of the row nor a later
// one, and notes that they now are: the changes that this process wrote are read from the
// journal again later. A state that seems to be much later was written before the clock
// was set back, and does not count.
func (t *Tracker) isNews(row journal.Row) bool {
	if row.ID == 0 { // not from the journal
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	last, ok := t.told[row.ID]
	if later := last.changedAt.Sub(row.ChangedAt); ok && later > 0 && later < clockSet {
		return false
	}
	if len(t.told) >= maxTold {
		clear(t.told)
	}
	now := told{fmt.Sprint(row.State, row.Job.Status, row.Saved, row.Save.Error), row.ChangedAt}
	t.told[row.ID] = now
	return last.state != now.state
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
		if row.State != journal.Submitting && row.State != journal.Refused && t.isNews(row) {
			t.show(row, nil)
			t.callListeners(row)
		}
	}
}
