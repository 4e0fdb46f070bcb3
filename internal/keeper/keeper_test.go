// These tests hold what a keeper does without anybody asking, on fake time: over
// real journals, with a gateway and a saver made of functions.

package keeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

// gateway accepts what it gets and finishes a job takes after its submission.
type gateway struct {
	mu     sync.Mutex
	takes  time.Duration
	submit func() error
	begun  map[string]time.Time
	polls  int
	end    pixazo.Status
}

func (g *gateway) Submit(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
	if g.submit != nil {
		if err := g.submit(); err != nil {
			return pixazo.Job{}, err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	id := fmt.Sprint("id-", len(g.begun))
	g.begun[id] = time.Now()
	return pixazo.Job{RequestID: id, Status: pixazo.Queued}, nil
}

func (g *gateway) Status(_ context.Context, id string, _ pixazo.StatusOptions) (pixazo.Job, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.polls++
	job := pixazo.Job{RequestID: id, Status: pixazo.Processing, CreatedAt: g.begun[id]}
	if time.Since(g.begun[id]) >= g.takes {
		job.Status, job.VideoURLs = g.end, []string{"https://media.example/" + id + ".mp4"}
	}
	return job, nil
}

// saver notes what it saves, once fail has no more errors for it.
type saver struct {
	journal *journal.Journal
	mu      sync.Mutex
	fail    []error
	at      []time.Time
	saved   []string
}

func (s *saver) save(ctx context.Context, row journal.Row, named func(string) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = append(s.at, time.Now())
	if err := named(row.Job.RequestID + ".mp4"); err != nil {
		return err
	}
	if len(s.fail) > 0 {
		err := s.fail[0]
		s.fail = s.fail[1:]
		return err
	}
	s.saved = append(s.saved, row.Job.RequestID)
	return s.journal.AddSaved(ctx, row.Job.RequestID, []journal.SavedFile{{Path: "/videos/" + row.Job.RequestID + ".mp4"}})
}

func account() string { return "key" }

// house is all of one process, over a directory that others share.
type house struct {
	keeper  *Keeper
	tracker *jobs.Tracker
	journal *journal.Journal
	gateway *gateway
	saver   *saver
	mu      sync.Mutex
	notices []Notice
}

func newHouse(t *testing.T, dir string, g *gateway) *house {
	t.Helper()
	if g == nil {
		g = &gateway{takes: 10 * time.Minute, end: pixazo.Completed}
	}
	if g.begun == nil {
		g.begun = map[string]time.Time{}
	}
	h := &house{gateway: g, journal: journal.New(journal.Options{Dir: dir, Gateway: "gateway"})}
	h.tracker = jobs.New(g, h.journal, jobs.Options{Account: account})
	h.saver = &saver{journal: h.journal}
	h.keeper = New(Options{
		Tracker: h.tracker, Journal: h.journal, Save: h.saver.save, Gateway: "gateway", Account: account, Version: "1", Logger: slog.New(slog.DiscardHandler),
		Notify: func(_ context.Context, n Notice) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.notices = append(h.notices, n)
			return nil
		},
	})
	return h
}

func (h *house) submit(t *testing.T, prompt string) (journal.Row, error) {
	t.Helper()
	p, err := pixazo.Prepare(pixazo.VideoRequest{Prompt: prompt})
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.tracker.Submit(t.Context(), p, jobs.SubmitOptions{SaveTo: "/videos", Notify: true})
	return s.Row, err
}

// alone runs the keeper of a process of its own, which has nothing to submit.
func (h *house) alone(t *testing.T) (ended chan struct{}) {
	ended = make(chan struct{})
	sent := make(chan struct{})
	close(sent)
	go func() {
		defer close(ended)
		h.keeper.RunAlone(t.Context(), sent)
	}()
	return ended
}

func (h *house) close() {
	h.tracker.Drain()
	h.tracker.Close()
}

func (h *house) row(t *testing.T, id string) journal.Row {
	t.Helper()
	row, err := h.journal.Find(t.Context(), id)
	if err != nil || row == nil {
		t.Fatalf("row of %s: %+v, %v", id, row, err)
	}
	return *row
}

func TestAVideoIsFollowedSavedAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, t.TempDir(), nil)
		defer h.close()
		if _, err := h.submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		<-h.alone(t)
		if took := time.Since(begun); took < 10*time.Minute || took > 12*time.Minute {
			t.Errorf("it ended after %s, want soon after the video", took)
		}
		if len(h.saver.saved) != 1 {
			t.Errorf("saved %q", h.saver.saved)
		}
		if len(h.notices) != 1 || h.notices[0] != (Notice{"Video saved", "“tides”\nid-0.mp4"}) {
			t.Errorf("notices %q", h.notices)
		}
		if h.gateway.polls > 40 {
			t.Errorf("%d polls in 10 minutes", h.gateway.polls)
		}
		if held, _ := h.journal.Leases(t.Context(), "watch"); len(held) != 0 {
			t.Errorf("the watch is still held: %+v", held)
		}
	})
}

func TestAFailingSaveIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, t.TempDir(), nil)
		defer h.close()
		full := errors.New("the disk is full")
		h.saver.fail = []error{full, full, full, full, full}
		if _, err := h.submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		ended := h.alone(t)
		time.Sleep(11 * time.Minute)
		if row := h.row(t, "id-0"); row.Save.Error != "the disk is full" || row.Save.Name != "id-0.mp4" {
			t.Errorf("after the first failure the row has %+v", row.Save)
		}
		<-ended
		var pauses []time.Duration
		for i := 1; i < len(h.saver.at); i++ {
			pauses = append(pauses, h.saver.at[i].Sub(h.saver.at[i-1]).Round(10*time.Second))
		}
		if fmt.Sprint(pauses) != "[1m0s 5m0s 30m0s]" {
			t.Errorf("tried again after %v", pauses)
		}
		if len(h.notices) != 1 || h.notices[0].Title != "Video could not be saved" {
			t.Errorf("notices %q", h.notices)
		}
	})
}

func TestOneOfManyProcessesDoesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		g := &gateway{takes: 10 * time.Minute, end: pixazo.Completed}
		var all []*house
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for range 4 {
			h := newHouse(t, dir, g)
			all = append(all, h)
			running.Go(func() { h.keeper.Run(ctx) })
		}
		if _, err := all[0].submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		cancel()
		running.Wait()
		saved, notices := 0, 0
		for _, h := range all {
			saved, notices = saved+len(h.saver.saved), notices+len(h.notices)
			h.close()
		}
		if saved != 1 || notices != 1 || g.polls > 40 {
			t.Errorf("%d saves, %d notices, %d polls; want one of each, and one stream of polls", saved, notices, g.polls)
		}
	})
}

func TestWhenThereIsNoNotice(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  pixazo.Status
		wait bool // a call waits for the job
		want string
	}{
		{"a failure", pixazo.Failed, false, "Video failed"},
		{"a call attends it", pixazo.Completed, true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, t.TempDir(), &gateway{takes: 10 * time.Minute, end: tt.end})
				defer h.close()
				if _, err := h.submit(t, "tides"); err != nil {
					t.Fatal(err)
				}
				if tt.wait {
					if err := h.journal.Attend(t.Context(), "id-0", time.Now().Add(time.Hour)); err != nil {
						t.Fatal(err)
					}
				}
				<-h.alone(t)
				got := ""
				for _, n := range h.notices {
					got += n.Title
				}
				if got != tt.want {
					t.Errorf("notices %q, want %q", got, tt.want)
				}
			})
		})
	}
}

func TestAnUncertainOneIsToldAndKeepsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, t.TempDir(), nil)
		defer h.close()
		h.gateway.submit = func() error { return &pixazo.Error{Code: pixazo.SubmissionUncertain, Message: "no answer"} }
		if _, err := h.submit(t, "tides"); err == nil {
			t.Fatal("accepted")
		}
		begun := time.Now()
		<-h.alone(t)
		if time.Since(begun) > 5*time.Second {
			t.Errorf("it stayed for %s", time.Since(begun))
		}
		if len(h.notices) != 1 || h.notices[0].Title != "Video request uncertain" {
			t.Errorf("notices %q", h.notices)
		}
	})
}

func TestAStalledOneIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, t.TempDir(), &gateway{takes: 100 * time.Hour, end: pixazo.Completed})
		defer h.close()
		if _, err := h.submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		ended := h.alone(t)
		time.Sleep(2 * time.Hour)
		if len(h.notices) != 1 || h.notices[0].Title != "Video takes long" {
			t.Errorf("notices %q", h.notices)
		}
		begun := time.Now()
		<-ended
		if stayed := time.Since(begun) + 2*time.Hour; stayed < lifetime || stayed > lifetime+time.Minute {
			t.Errorf("it stayed for %s, want six hours", stayed)
		}
	})
}

func TestWhatEndsAKeeper(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(t *testing.T, dir string, h *house)
	}{
		{"a newer one", func(t *testing.T, dir string, _ *house) {
			newer := newHouse(t, dir, &gateway{takes: time.Hour})
			ended := newer.alone(t)
			t.Cleanup(func() { newer.close() })
			_ = ended
		}},
		{"being asked to", func(t *testing.T, dir string, h *house) {
			other := journal.New(journal.Options{Dir: dir, Gateway: "another gateway"})
			defer other.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if n, err := Stop(ctx, other); err != nil || n != 1 {
				t.Errorf("Stop: %d, %v", n, err)
			}
		}},
		{"a state directory that is gone", func(t *testing.T, dir string, _ *house) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				h := newHouse(t, dir, &gateway{takes: time.Hour, end: pixazo.Completed})
				defer h.close()
				if _, err := h.submit(t, "tides"); err != nil {
					t.Fatal(err)
				}
				h.journal.OnlyExisting()
				ended := h.alone(t)
				time.Sleep(time.Minute)
				begun := time.Now()
				tt.end(t, dir, h)
				<-ended
				if took := time.Since(begun); took > time.Minute {
					t.Errorf("it ended after %s", took)
				}
				if tt.name == "a state directory that is gone" {
					if _, err := os.Stat(dir); err == nil {
						t.Error("it was made again")
					}
				}
				if tt.name == "a newer one" {
					time.Sleep(2 * time.Hour) // until that one has ended
				}
			})
		})
	}
}

func TestPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, t.TempDir(), nil)
		defer h.close()
		pending := func(want bool) {
			t.Helper()
			if got, err := Pending(t.Context(), h.journal, "gateway", "key"); err != nil || got != want {
				t.Errorf("pending: %t, %v; want %t", got, err, want)
			}
		}
		pending(false)
		if _, err := h.submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		pending(true)
		if got, _ := Pending(t.Context(), h.journal, "gateway", "another key"); got {
			t.Error("another key's jobs are taken for its own")
		}
		ended := h.alone(t)
		time.Sleep(time.Minute)
		pending(false) // it is watched
		<-ended
		pending(false)
	})
}
