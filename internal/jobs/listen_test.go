// This file tests that each change is heard of, once, whoever saw it.

package jobs_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

// hearing is a listener that keeps what it heard.
type hearing struct {
	mu   sync.Mutex
	said []string
}

func hear(t *testing.T, tracker *jobs.Tracker) *hearing {
	h := &hearing{}
	t.Cleanup(tracker.Listen(func(row jobs.Row) {
		said := strings.TrimSpace(fmt.Sprint(row.Job.RequestID, " ", jobs.ViewOf(row, time.Now(), 0).Status))
		if len(row.Saved) > 0 {
			said += " saved " + row.Saved[0].Path
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.said = append(h.said, said)
	}))
	return h
}

// want fails the test unless this was heard since the last call, in any order of
// jobs.
func (h *hearing) want(t *testing.T, want ...string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	slices.Sort(h.said)
	slices.Sort(want)
	if !slices.Equal(h.said, want) {
		t.Errorf("heard %q, want %q", h.said, want)
	}
	h.said = nil
}

func TestEachChangeIsHeardOnceInEveryProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		state := pixazo.Processing
		g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) { return finished(id, state), nil }}
		g.submit = func(_ context.Context, p *pixazo.Prepared, _ pixazo.SubmitOptions) (pixazo.Job, error) {
			time.Sleep(3 * time.Second)
			switch p.Prompt {
			case "uncertain":
				return pixazo.Job{}, failing(pixazo.SubmissionUncertain, "")
			case "refused":
				return pixazo.Job{}, failing(pixazo.OutOfCredits, "")
			}
			return pixazo.Job{RequestID: p.Prompt, Status: pixazo.Queued}, nil
		}
		own := openTracker(t, g, dir)
		submit(t, own, prompt("earlier"))
		other, idle := openTracker(t, g, dir), openTracker(t, g, dir)
		time.Sleep(time.Minute)
		ownHeard, otherHeard, idleHeard := hear(t, own), hear(t, other), hear(t, idle)
		defer other.Follow(t.Context(), "")() // it polls nothing, and hears by the journal alone
		all := func(want ...string) {
			t.Helper()
			time.Sleep(1100 * time.Millisecond)
			ownHeard.want(t, want...)
			otherHeard.want(t, want...)
			idleHeard.want(t)
		}
		all()
		submit(t, own, prompt("id-1"))
		all("id-1 QUEUED")
		for range 3 { // the same status again is no change
			if _, err := own.Status(t.Context(), "id-1"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(1100 * time.Millisecond)
		}
		all("id-1 PROCESSING")
		if _, err := own.Observe(t.Context(), pixazo.Job{RequestID: "id-1", Status: "RENDERING"}); err != nil {
			t.Fatal(err)
		}
		all("id-1 RENDERING")
		time.Sleep(time.Hour)
		state = pixazo.Completed
		for _, id := range []string{"id-1", "earlier", "elsewhere"} {
			if _, err := own.Status(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		all("id-1 COMPLETED", "earlier COMPLETED", "elsewhere COMPLETED")
		for _, path := range []string{"/a.mp4", "/b.mp4"} {
			if err := own.AddSaved(t.Context(), "id-1", []jobs.SavedFile{{Path: path}}); err != nil {
				t.Fatal(err)
			}
			all("id-1 COMPLETED saved " + path)
		}
		_, _ = own.Submit(t.Context(), prompt("refused"), jobs.SubmitOptions{})
		_, _ = own.Submit(t.Context(), prompt("uncertain"), jobs.SubmitOptions{})
		all("UNCERTAIN")
	})
}

// A poll of one's own is heard of at once, and by nobody twice.
func TestOwnChangesAreHeardAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
			return pixazo.Job{RequestID: id, Status: pixazo.Status(fmt.Sprint("STEP ", poll))}, nil
		}}
		tracker := newTracker(t, g)
		heard := hear(t, tracker)
		defer tracker.Follow(t.Context(), "id-1")()
		for poll := range 5 {
			time.Sleep(time.Millisecond)
			heard.want(t, fmt.Sprint("id-1 STEP ", poll))
			time.Sleep(4900 * time.Millisecond) // the journal was looked at since
			heard.want(t)
			time.Sleep(99 * time.Millisecond)
		}
	})
}

// A callback reaches a waiting call without a poll, and each owner's alone.
func TestACallbackIsHeardByWhoeverWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{}
		tracker := newTracker(t, g)
		heard := hear(t, tracker)
		ctx := journal.WithOwner(t.Context(), "alice")
		s, err := tracker.Submit(ctx, request(), jobs.SubmitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		id, start := s.Row.Job.RequestID, time.Now()
		time.AfterFunc(500*time.Millisecond, func() {
			if _, err := tracker.Observe(ctx, finished(id, pixazo.Completed)); err != nil {
				t.Error(err)
			}
		})
		outcome, err := tracker.Wait(ctx, id, time.Minute, nil)
		if took := time.Since(start); err != nil || outcome.End != jobs.Finished || took != 500*time.Millisecond {
			t.Errorf("after %v: %+v, %v; want the end at 500ms", took, outcome, err)
		}
		synctest.Wait() // those who wait hear it before those who listen
		heard.want(t, id+" QUEUED", id+" PROCESSING", id+" COMPLETED")
		if row, err := tracker.Find(t.Context(), id); row != nil || err != nil {
			t.Errorf("somebody else finds %+v, %v", row, err)
		}
	})
}

func TestWhoStopsListeningHearsNothing(t *testing.T) {
	tracker := newTracker(t, &fakeGateway{})
	heard := &hearing{}
	stop := tracker.Listen(func(jobs.Row) { heard.said = append(heard.said, "something") })
	mustSubmit(t, tracker)
	stop()
	submit(t, tracker, prompt("another"))
	heard.want(t, "something")
}
