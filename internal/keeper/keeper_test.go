// These tests hold what a keeper does without anybody asking, on fake time: over
// real journals, with a gateway and a saver made of functions.

package keeper

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
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

	prefix  string // of its ids
	strange int    // polls of jobs that it did not accept
}

func (g *gateway) Submit(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
	if g.submit != nil {
		if err := g.submit(); err != nil {
			return pixazo.Job{}, err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	id := fmt.Sprint(g.prefix, "id-", len(g.begun))
	g.begun[id] = time.Now()
	return pixazo.Job{RequestID: id, Status: pixazo.Queued}, nil
}

func (g *gateway) Status(_ context.Context, id string, _ pixazo.StatusOptions) (pixazo.Job, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.polls++
	if g.begun[id].IsZero() {
		g.strange++
	}
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
	return newHouseOf(t, dir, g, "gateway", account)
}

// newHouseOf is newHouse for a gateway and a key.
func newHouseOf(t *testing.T, dir string, g *gateway, name string, account func() string) *house {
	t.Helper()
	if g == nil {
		g = &gateway{takes: 10 * time.Minute, end: pixazo.Completed}
	}
	if g.begun == nil {
		g.begun = map[string]time.Time{}
	}
	o := journal.Options{Dir: dir, Gateway: name}
	if strings.HasPrefix(dir, "postgres:") {
		o.Dir, o.Database, o.FakeTime = "", dir, true
	}
	h := &house{gateway: g, journal: journal.New(o)}
	h.tracker = jobs.New(g, h.journal, jobs.Options{Account: account})
	h.saver = &saver{journal: h.journal}
	h.keeper = New(Options{
		Tracker: h.tracker, Journal: h.journal, Save: h.saver.save, Gateway: name, Account: account, Version: "1", Logger: slog.New(slog.DiscardHandler),
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
	sent := make(chan struct{})
	close(sent)
	return h.aloneWhile(t, sent)
}

// aloneWhile runs the keeper of a process of its own, which submits until sent is
// closed.
func (h *house) aloneWhile(t *testing.T, sent chan struct{}) (ended chan struct{}) {
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		h.keeper.RunAlone(t.Context(), sent)
	}()
	return ended
}

// aloneSending runs the keeper of a process of its own, whose submission the gateway
// accepts after four minutes.
func (h *house) aloneSending(t *testing.T) (ended chan struct{}) {
	h.gateway.submit = func() error { time.Sleep(4 * time.Minute); return nil }
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if _, err := h.submit(t, "tides"); err != nil {
			t.Error(err)
		}
	}()
	return h.aloneWhile(t, sent)
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

// savedOnce wants one video to have been saved.
func (h *house) savedOnce(t *testing.T) {
	t.Helper()
	h.saver.mu.Lock()
	defer h.saver.mu.Unlock()
	if len(h.saver.saved) != 1 {
		t.Errorf("saved %q", h.saver.saved)
	}
}

func TestAVideoIsFollowedSavedAndTold(t *testing.T) {
	t.Parallel()
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
		h.savedOnce(t)
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
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, t.TempDir(), nil)
		defer h.close()
		full := errors.New("the disk is full")
		h.saver.fail = []error{full, full, full, full, full}
		if _, err := h.submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		ended := h.alone(t)
		time.Sleep(12 * time.Minute) // it is polled once in 66 s at least
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
	t.Parallel()
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
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  pixazo.Status
		wait time.Duration // until when a call waits for the job, from shortly before its end
		want string
	}{
		{"a failure", pixazo.Failed, 0, "Video failed"},
		{"a call attends it", pixazo.Completed, 90 * time.Second, ""},
		{"a call attended it by a clock that ran ahead", pixazo.Completed, 24 * time.Hour, "Video saved"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, t.TempDir(), &gateway{takes: 10 * time.Minute, end: tt.end})
				defer h.close()
				if _, err := h.submit(t, "tides"); err != nil {
					t.Fatal(err)
				}
				ended := h.alone(t)
				if tt.wait > 0 {
					time.Sleep(9*time.Minute + 50*time.Second)
					if err := h.journal.Attend(t.Context(), "id-0", time.Now().Add(tt.wait)); err != nil {
						t.Fatal(err)
					}
				}
				<-ended
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
	t.Parallel()
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
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, t.TempDir(), &gateway{takes: 100 * time.Hour, end: pixazo.Completed})
		defer h.close()
		if _, err := h.submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		h.keeper.lifetime = 80 * time.Minute // not six hours, in each second of which it looks
		begun := time.Now()
		<-h.alone(t)
		if stayed := time.Since(begun); stayed < h.keeper.lifetime || stayed > h.keeper.lifetime+time.Minute {
			t.Errorf("it stayed for %s, want %s", stayed, h.keeper.lifetime)
		}
		if len(h.notices) != 1 || h.notices[0].Title != "Video takes long" {
			t.Errorf("notices %q", h.notices)
		}
	})
}

func TestWhatEndsAKeeper(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(t *testing.T, dir string, h *house)
	}{
		{"a newer one", func(t *testing.T, dir string, _ *house) {
			newer := newHouse(t, dir, &gateway{takes: time.Hour})
			ended := newer.alone(t) // until the test's context is done
			t.Cleanup(func() { <-ended; newer.close() })
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
			if tt.name == "a state directory that is gone" {
				deletesOpenFiles(t)
			}
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
				if took := time.Since(begun); took > 2*time.Second {
					t.Errorf("it ended after %s", took)
				}
				if tt.name == "a state directory that is gone" {
					if _, err := os.Stat(dir); err == nil {
						t.Error("it was made again")
					}
				}
			})
		})
	}
}

// One that was taken over, or asked to end, stays until what it sends is
// answered, and Stop waits for it as long.
func TestAKeeperEndsAfterItsSubmission(t *testing.T) {
	t.Parallel()
	for _, takenOver := range []bool{true, false} {
		t.Run(fmt.Sprint("taken over: ", takenOver), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				h := newHouse(t, dir, &gateway{takes: time.Hour, end: pixazo.Completed})
				defer h.close()
				if _, err := h.submit(t, "tides"); err != nil {
					t.Fatal(err)
				}
				sent := make(chan struct{})
				ended := h.aloneWhile(t, sent)
				time.Sleep(time.Minute)
				want := 1
				if takenOver {
					newer := newHouse(t, dir, h.gateway)
					defer newer.close()
					newer.alone(t)
					time.Sleep(5500 * time.Millisecond) // between two looks
					want = 2
				}
				stopped := make(chan int, 1)
				go func() {
					n, err := Stop(t.Context(), h.journal)
					if err != nil {
						t.Error(err)
					}
					stopped <- n
				}()
				time.Sleep(4 * time.Minute) // longer than any lease
				if isClosed(ended) || len(stopped) > 0 {
					t.Errorf("in the middle of a submission: ended %t, told as ended %t", isClosed(ended), len(stopped) > 0)
				}
				close(sent)
				<-ended
				if n := <-stopped; n != want {
					t.Errorf("%d keepers ended, want %d", n, want)
				}
			})
		})
	}
}

// The newer keeper has taken the watch over from the older one, which is still sending. If
// it ended, nobody would watch the video once it is accepted.
func TestANewerKeeperStaysForTheSubmissionOfAnOlderOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		older := newHouse(t, dir, nil)
		defer older.close()
		ended := older.aloneSending(t)
		time.Sleep(time.Minute)
		newer := newHouse(t, dir, older.gateway)
		defer newer.close()
		newerEnded := newer.alone(t)
		<-ended
		<-newerEnded
		newer.savedOnce(t)
		if len(newer.notices) != 1 {
			t.Errorf("notices %q", newer.notices)
		}
	})
}

// A newer keeper takes the watch and ends, killed or with nothing to do, while the older
// one is still sending. The older one must then watch its own submission.
func TestAKeeperWatchesAgainWhenANewerOneHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, t.TempDir(), nil)
		defer h.close()
		ended := h.aloneSending(t)
		time.Sleep(time.Minute)
		newer := h.keeper.newLease(t.Context())
		newer.Until = time.Now().Add(time.Minute)
		if err := h.journal.TakeLease(t.Context(), newer); err != nil {
			t.Fatal(err)
		}
		<-ended
		h.savedOnce(t)
	})
}

// The older keeper began before the clock was set back by an hour.
func TestTheNewestKeeperWatchesAfterTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h, before := newHouse(t, dir, nil), newHouse(t, dir, nil)
		defer h.close()
		defer before.close()
		watch := WatchLease("gateway", "key")
		older := journal.Lease{Name: fmt.Sprintf("%s%016x x", watch, time.Now().Add(time.Hour).UnixMilli()), Until: time.Now().Add(time.Minute)}
		if err := h.journal.TakeLease(t.Context(), older); err != nil {
			t.Fatal(err)
		}
		if _, err := h.submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		ended := h.alone(t)
		time.Sleep(30 * time.Second)
		if _, newer := before.keeper.keepLease(t.Context(), older, time.Now()); !newer || isClosed(ended) {
			t.Errorf("the older one is relieved: %t, the newer one ended: %t", newer, isClosed(ended))
		}
		<-ended
		h.savedOnce(t)
	})
}

// A keeper looks once a second whether there is a journal, in which a newer keeper may have
// taken the watch by then.
func TestAKeeperFromBeforeTheJournalLeavesTheWatchToANewerOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		older, newer := newHouse(t, dir, &gateway{takes: time.Hour}), newHouse(t, dir, &gateway{takes: time.Hour})
		defer older.close()
		defer newer.close()
		newer.keeper.lifetime = time.Minute
		sent := make(chan struct{})
		olderEnded := older.aloneWhile(t, sent)
		time.Sleep(time.Millisecond)
		if _, err := newer.submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		close(sent)
		newerEnded := newer.alone(t)
		time.Sleep(2 * time.Second)
		if !isClosed(olderEnded) || isClosed(newerEnded) {
			t.Errorf("ended: the older one %t, the newer one %t", isClosed(olderEnded), isClosed(newerEnded))
		}
		<-newerEnded
	})
}

// On Windows the program can't be replaced before its process has ended.
func TestAStopWaitsForTheEndOfASave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, t.TempDir(), &gateway{end: pixazo.Completed})
		defer h.close()
		saving := make(chan struct{})
		h.keeper.o.Save = func(ctx context.Context, _ journal.Row, _ func(string) error) error {
			close(saving)
			<-ctx.Done()
			time.Sleep(time.Second) // while it removes its unfinished file
			return ctx.Err()
		}
		if _, err := h.submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		ended := h.alone(t)
		<-saving
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if n, err := Stop(ctx, h.journal); n != 1 || err != nil {
			t.Errorf("Stop: %d, %v", n, err)
		}
		synctest.Wait()
		if !isClosed(ended) {
			t.Error("it goes on")
		}
		if row := h.row(t, "id-0"); row.Save.Tries != 0 {
			t.Errorf("%d tries, want that none counts", row.Save.Tries)
		}
	})
}

func TestASaveGoesOnWhenANewerKeeperTakesOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		g := &gateway{takes: 0, end: pixazo.Completed}
		older, newer := newHouse(t, dir, g), newHouse(t, dir, g)
		defer older.close()
		defer newer.close()
		saving, save := make(chan struct{}), older.keeper.o.Save
		older.keeper.o.Save = func(ctx context.Context, row journal.Row, named func(string) error) error {
			close(saving)
			if !journal.Sleep(ctx, 5*time.Minute) {
				return ctx.Err()
			}
			return save(ctx, row, named)
		}
		if _, err := older.submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		olderEnded := older.alone(t)
		<-saving
		newerEnded := newer.alone(t)
		<-olderEnded
		<-newerEnded
		older.savedOnce(t)
		if len(newer.saver.saved) > 0 {
			t.Error("the newer one saved it as well")
		}
	})
}

// A keeper that has just begun holds no lease yet, and there may be no journal in which it
// could be asked to end. Stop must wait for it all the same.
func TestAKeeperIsStoppedBeforeItsFirstSubmissionIsWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, t.TempDir(), &gateway{takes: time.Hour, end: pixazo.Completed})
		defer h.close()
		sent := make(chan struct{})
		ended := h.aloneWhile(t, sent)
		time.AfterFunc(500*time.Millisecond, func() { _, _ = h.submit(t, "tides") })
		time.AfterFunc(10*time.Second, func() { close(sent) })
		begun := time.Now()
		if n, err := Stop(t.Context(), h.journal); n != 1 || err != nil {
			t.Errorf("Stop: %d, %v", n, err)
		}
		synctest.Wait()
		if took := time.Since(begun); !isClosed(ended) || took < 10*time.Second {
			t.Errorf("ended: %t, after %s", isClosed(ended), took)
		}
		<-ended
	})
}

func TestAKeeperBegunAfterAStopStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, t.TempDir(), nil)
		defer h.close()
		if _, err := h.submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		if n, err := Stop(t.Context(), h.journal); n != 0 || err != nil {
			t.Errorf("Stop: %d, %v", n, err)
		}
		time.Sleep(time.Second)
		ended := h.alone(t)
		time.Sleep(5 * time.Minute)
		if isClosed(ended) {
			t.Error("it ended")
		}
		<-ended
	})
}

func TestEachGatewayAndKeyHasItsKeeper(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		key := func(name string) func() string { return func() string { return name } }
		var all []*house
		var ends []chan struct{}
		for _, h := range []*house{
			newHouseOf(t, dir, &gateway{takes: 10 * time.Minute, end: pixazo.Completed}, "gateway", key("a")),
			newHouseOf(t, dir, &gateway{takes: 10 * time.Minute, end: pixazo.Completed}, "another", key("a")),
			newHouseOf(t, dir, &gateway{takes: 10 * time.Minute, end: pixazo.Completed, prefix: "b"}, "gateway", key("b")),
		} {
			defer h.close()
			if _, err := h.submit(t, "tides "+h.gateway.prefix); err != nil {
				t.Fatal(err)
			}
			all, ends = append(all, h), append(ends, h.alone(t))
		}
		time.Sleep(time.Minute)
		for i := range ends {
			if isClosed(ends[i]) {
				t.Errorf("keeper %d was taken over", i)
			}
		}
		for i, h := range all {
			<-ends[i]
			if len(h.saver.saved) != 1 || h.gateway.strange > 0 {
				t.Errorf("keeper %d saved %q and asked for %d jobs of others", i, h.saver.saved, h.gateway.strange)
			}
		}
	})
}

// The key file may be written anew, after a 401 for instance.
func TestANewKeyDoesNotLoseTheJobsOfTheOldOne(t *testing.T) {
	t.Parallel()
	for _, alone := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var key atomic.Value
			key.Store("old")
			h := newHouseOf(t, t.TempDir(), nil, "gateway", func() string { return key.Load().(string) })
			defer h.close()
			if _, err := h.submit(t, "tides"); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			if alone {
				ended = h.alone(t)
			} else {
				go func() { defer close(ended); h.keeper.Run(ctx) }()
			}
			time.Sleep(time.Minute)
			key.Store("new")
			time.Sleep(20 * time.Minute)
			cancel()
			<-ended
			if len(h.saver.saved) != 1 {
				t.Errorf("alone %t: saved %q", alone, h.saver.saved)
			}
		})
	}
}

// The key was replaced while no keeper ran, or the one that runs can't use its key
// any more: a process with the new key goes on, and asks for what is not its own
// only now and then.
func TestAProcessWithANewKeyTakesOverTheJobsOfTheOldOne(t *testing.T) {
	t.Parallel()
	for _, alone := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			g := &gateway{takes: 30 * time.Minute, end: pixazo.Completed}
			before := newHouseOf(t, dir, g, "gateway", func() string { return "old" })
			if _, err := before.submit(t, "tides"); err != nil {
				t.Fatal(err)
			}
			before.close()
			h := newHouseOf(t, dir, g, "gateway", func() string { return "new" })
			defer h.close()
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			if alone { // as a server has it, which looks once a minute
				go func() {
					defer close(ended)
					WatchOver(ctx, time.Tick(IdleLook), h.keeper, func() error { return errors.New("none") })
				}()
			} else {
				go func() { defer close(ended); h.keeper.Run(ctx) }()
			}
			time.Sleep(10 * time.Minute)
			g.mu.Lock()
			if g.polls > 0 {
				t.Errorf("%d polls of a job that somebody may follow", g.polls)
			}
			g.mu.Unlock()
			time.Sleep(30 * time.Minute)
			cancel()
			<-ended
			h.savedOnce(t)
		})
	}
}

// A save that the process's end cuts off is no try.
func TestASaveThatIsCutOffCountsAsNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, t.TempDir(), &gateway{end: pixazo.Completed})
		defer h.close()
		row, err := h.submit(t, "tides")
		if err != nil {
			t.Fatal(err)
		}
		h.keeper.o.Save = func(ctx context.Context, _ journal.Row, _ func(string) error) error {
			<-ctx.Done()
			return ctx.Err()
		}
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			h.keeper.Run(ctx)
			cancel()
		}
		if r := h.row(t, row.Job.RequestID); r.Save.Tries != 0 || r.Save.Error != "" {
			t.Errorf("%+v", r.Save)
		}
		h.keeper.o.Save = h.saver.save
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		h.keeper.Run(ctx)
		h.savedOnce(t)
	})
}

func TestALostLeaseIsTakenAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, t.TempDir(), nil)
		defer h.close()
		if _, err := h.submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		ended := h.alone(t)
		time.Sleep(time.Minute)
		held, err := h.journal.Leases(t.Context(), watchLease)
		if err != nil || len(held) != 1 {
			t.Fatalf("%+v, %v", held, err)
		}
		if err := h.journal.EndLease(t.Context(), held[0].Name); err != nil { // as a journal that replaced a damaged one has none
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if again, _ := h.journal.Leases(t.Context(), watchLease); isClosed(ended) || len(again) != 1 || again[0].Holder != held[0].Holder {
			t.Errorf("ended %t, leases %+v", isClosed(ended), again)
		}
		<-ended
		h.savedOnce(t)
	})
}

func TestATryThatIsDueByAnotherClockIsMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, t.TempDir(), &gateway{end: pixazo.Completed})
		defer h.close()
		row, err := h.submit(t, "tides")
		if err == nil {
			err = h.journal.EndSave(t.Context(), row.ID, "the disk is full", time.Now().Add(24*time.Hour))
		}
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		<-h.alone(t)
		if took := time.Since(begun); len(h.saver.saved) != 1 || took > time.Minute {
			t.Errorf("saved %q within %s", h.saver.saved, took)
		}
	})
}

func TestOldJobsAreLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, t.TempDir(), &gateway{takes: 100 * time.Hour, end: pixazo.Completed})
		defer h.close()
		if _, err := h.submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(jobs.MaxAge + time.Minute)
		begun := time.Now()
		<-h.alone(t)
		if took := time.Since(begun); took > 5*time.Second || h.gateway.polls > 0 {
			t.Errorf("it stayed for %s and polled %d times", took, h.gateway.polls)
		}
	})
}

// raw is the database of a journal, past the journal.
func raw(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(dir, "journal.db"))+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// While a video can't be saved, since another process is at it or the journal can't be
// written, the keeper looks every 5 s or when the journal was written to, and not as fast
// as it can.
func TestASaveThatCanNotBeginIsTriedAgainAfterAPause(t *testing.T) {
	t.Parallel()
	for name, hinder := range map[string]func(t *testing.T, h *house, db *sql.DB) (end func()){
		"another process saves it": func(t *testing.T, h *house, _ *sql.DB) func() {
			release, err := h.journal.HoldSave(t.Context(), h.row(t, "id-0").ID, false)
			if err != nil || release == nil {
				t.Fatal("not held: ", err)
			}
			return release
		},
		"the disk is full": func(t *testing.T, _ *house, db *sql.DB) func() {
			execute(t, db, "CREATE TRIGGER full BEFORE UPDATE OF save_until ON jobs BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END")
			return func() { execute(t, db, "DROP TRIGGER full") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				var looks atomic.Int32
				dir := t.TempDir()
				h := newHouseOf(t, dir, &gateway{takes: 0, end: pixazo.Completed}, "gateway", func() string {
					if looks.Add(1) > 500 {
						cancel() // else the clock of the bubble would stand for ever
					}
					return "key"
				})
				defer h.close()
				if _, err := h.submit(t, "tides"); err != nil {
					t.Fatal(err)
				}
				end := hinder(t, h, raw(t, dir))
				ended := make(chan struct{})
				go func() { defer close(ended); h.keeper.Run(ctx) }()
				time.Sleep(time.Minute)
				if n := looks.Load(); n > 40 {
					t.Errorf("it looked %d times in a minute", n)
				}
				end()
				time.Sleep(time.Minute)
				h.savedOnce(t)
				cancel()
				<-ended
			})
		})
	}
}

// The row may be a minute old when the save has its turn among the downloads.
func TestASaveGoesOnFromWhatOtherProcessesDid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, t.TempDir(), &gateway{takes: 0, end: pixazo.Completed})
		defer h.close()
		if _, err := h.submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		if _, err := h.tracker.Status(t.Context(), "id-0"); err != nil {
			t.Fatal(err)
		}
		old := h.row(t, "id-0")
		if err := h.journal.NameSave(t.Context(), old.ID, "tides.mp4"); err != nil {
			t.Fatal(err)
		}
		name := ""
		h.keeper.o.Save = func(_ context.Context, row journal.Row, _ func(string) error) error {
			name = row.Save.Name
			return errors.New("as scripted")
		}
		if recorded, err := h.keeper.TrySave(t.Context(), old); !recorded || err != nil || name != "tides.mp4" {
			t.Errorf("%t, %v, saved as %q", recorded, err, name)
		}
	})
}

func TestANoticeThatCanNotBeClaimedIsGivenLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newHouse(t, dir, &gateway{takes: 0, end: pixazo.Failed})
		defer h.close()
		if _, err := h.submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		db := raw(t, dir)
		execute(t, db, "CREATE TRIGGER full BEFORE UPDATE OF told_at ON jobs BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END")
		ended := h.alone(t)
		time.Sleep(10 * time.Second)
		if isClosed(ended) {
			t.Error("it has ended")
		}
		execute(t, db, "DROP TRIGGER full")
		<-ended
		if len(h.notices) != 1 {
			t.Errorf("notices %q", h.notices)
		}
	})
}

// Nobody else may be there to watch the video.
func TestAKeeperStaysWhileTheJournalCanNotBeRead(t *testing.T) {
	t.Parallel()
	statement := func(s string) func(string) error {
		return func(file string) error {
			db, err := sql.Open("sqlite", file)
			if err != nil {
				return err
			}
			_, err = db.Exec(s)
			return errors.Join(err, db.Close())
		}
	}
	for _, tt := range []struct {
		name       string
		hide, show func(file string) error
	}{
		{"without its table", statement("ALTER TABLE jobs RENAME TO hidden"), statement("ALTER TABLE hidden RENAME TO jobs")},
		{"behind a link to itself", func(file string) error {
			deletesOpenFiles(t)
			return errors.Join(os.Rename(file, file+".away"), os.Symlink(file, file))
		}, func(file string) error { return os.Rename(file+".away", file) }},
	} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			h := newHouse(t, dir, nil)
			defer h.close()
			if _, err := h.submit(t, "tides"); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "journal.db")
			if err := tt.hide(file); err != nil {
				t.Fatal(err)
			}
			ended := h.alone(t)
			time.Sleep(time.Minute)
			if isClosed(ended) {
				t.Errorf("%s: it has ended", tt.name)
			}
			if err := tt.show(file); err != nil {
				t.Fatal(err)
			}
			<-ended
			h.savedOnce(t)
		})
	}
}

// Each call of a server whose journal can't be read, as that of another user can't be,
// or can't be written, leaves a keeper.
func TestAKeeperThatNeverHadItsLeaseEnds(t *testing.T) {
	t.Parallel()
	deletesOpenFiles(t)
	for name, spoil := range map[string]func(t *testing.T, h *house, dir string){
		"unread": func(t *testing.T, _ *house, dir string) {
			file := filepath.Join(dir, "journal.db")
			if err := os.Symlink(file, file); err != nil {
				t.Fatal(err)
			}
		},
		"on a full disk, with a video pending": func(t *testing.T, h *house, dir string) {
			if _, err := h.submit(t, "tides"); err != nil {
				t.Fatal(err)
			}
			execute(t, raw(t, dir), full("INSERT ON leases"))
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			h := newHouse(t, dir, &gateway{takes: 24 * time.Hour, end: pixazo.Completed})
			defer h.close()
			spoil(t, h, dir)
			begun := time.Now()
			<-h.alone(t)
			if took := time.Since(begun); took < unleasedFor || took > unleasedFor+time.Minute {
				t.Errorf("%s: it ended after %s", name, took)
			}
		})
	}
}

func deletesOpenFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows deletes no file that is open")
	}
}

// An outcome that could not be written is what brings a journal back.
func TestAnUnwrittenOutcomeIsWrittenIntoADirectoryThatWasDeleted(t *testing.T) {
	deletesOpenFiles(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "state")
		h := newHouse(t, dir, nil)
		defer h.close()
		h.gateway.submit = func() error { // while the POST is under way
			return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600))
		}
		sent := make(chan struct{})
		ended := h.aloneWhile(t, sent)
		if row, err := h.submit(t, "tides"); err != nil || row.Job.RequestID != "id-0" {
			t.Fatalf("%+v, %v", row, err)
		}
		h.journal.OnlyExisting()
		close(sent)
		time.Sleep(time.Minute)
		if isClosed(ended) || !h.journal.Unwritten() {
			t.Fatalf("ended %t, unwritten %t", isClosed(ended), h.journal.Unwritten())
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		<-ended
		if row := h.row(t, "id-0"); row.State != journal.Accepted || len(h.saver.saved) != 1 {
			t.Errorf("the row is %+v, saved %q", row, h.saver.saved)
		}
	})
}

// Another process would take the submission for uncertain until this one submits
// again.
func TestAnUnwrittenOutcomeIsWrittenOnceItCanBe(t *testing.T) {
	t.Parallel()
	deletesOpenFiles(t)
	for name, run := range map[string]func(*Keeper, context.Context){
		"server": func(k *Keeper, ctx context.Context) { k.Run(ctx) },
		"server of keepers": func(k *Keeper, ctx context.Context) {
			WatchOver(ctx, time.Tick(IdleLook), k, func() error { return nil })
		},
		"replica": func(k *Keeper, ctx context.Context) { k.RunReplica(ctx, true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "state")
				h := newHouse(t, dir, nil)
				defer h.close()
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					run(h.keeper, ctx)
				}()
				h.gateway.submit = func() error { return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)) }
				if row, err := h.submit(t, "tides"); err != nil || row.Job.RequestID != "id-0" || !h.journal.Unwritten() {
					t.Fatalf("%+v, %v", row, err)
				}
				time.Sleep(10 * time.Minute)
				if err := os.Remove(dir); err != nil {
					t.Fatal(err)
				}
				time.Sleep(IdleLook + time.Second)
				if h.journal.Unwritten() {
					t.Error("it is not written")
				}
				cancel()
				<-ended
			})
		})
	}
}

// countStarts counts how many keepers a server's WatchOver starts until the end of the
// test. They are only counted.
func countStarts(t *testing.T, k *Keeper) *atomic.Int64 {
	var started atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		WatchOver(ctx, time.Tick(IdleLook), k, func() error { started.Add(1); return nil })
	}()
	t.Cleanup(func() { cancel(); <-over })
	return &started
}

func TestAServerStartsAMissingKeeper(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newHouse(t, dir, &gateway{takes: 20 * time.Minute, end: pixazo.Completed})
		defer h.close()
		alone := newHouse(t, dir, h.gateway)
		defer alone.close()
		begun := time.Now()
		started := countStarts(t, h.keeper)
		expect := func(what string, want bool, wait time.Duration) {
			t.Helper()
			started.Store(0)
			time.Sleep(wait)
			if n := started.Load(); n > 0 != want {
				t.Errorf("%s: %d keepers were started", what, n)
			}
		}
		expect("no journal", false, 10*time.Minute)
		if _, err := h.submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		expect("a job that nobody watches", true, time.Minute+time.Second)
		lease := journal.Lease{Name: WatchLease("gateway", "key"), Holder: "a keeper that is killed then", Until: time.Now().Add(leaseFor)}
		if err := h.journal.TakeLease(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
		expect("a keeper watches", false, 59*time.Second)
		expect("the keeper was killed and wrote nothing more", true, 90*time.Second)
		<-alone.alone(t)
		expect("the job is done", false, 10*time.Minute)

		h.gateway.submit = func() error { return &pixazo.Error{Code: pixazo.SubmissionUncertain, Message: "no answer"} }
		if _, err := h.submit(t, "another"); err == nil {
			t.Fatal("accepted")
		}
		expect("an uncertain one that nobody was told of", true, time.Minute+time.Second)
		<-alone.alone(t)

		time.Sleep(time.Minute - time.Since(begun)%time.Minute - 10*time.Second) // its lease lasts beyond the next look
		if _, _, err := h.journal.Intend(t.Context(), journal.Intent{Row: journal.Row{Nonce: "killed", Fingerprint: "killed", Account: "key", Save: journal.Save{Notify: true}}}); err != nil {
			t.Fatal(err)
		}
		expect("one that is being sent", false, 15*time.Second)
		expect("the process that sent it was killed and wrote nothing more", true, time.Minute)
	})
}

// A keeper that can't write its lease, as on a full disk, stays, and is not seen by the
// next look, which would start another one.
func TestAServerStartsNoKeeperThatCanWriteNoLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newHouse(t, dir, nil)
		defer h.close()
		if _, err := h.submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		db := raw(t, dir)
		execute(t, db, `CREATE TRIGGER full BEFORE INSERT ON leases BEGIN SELECT RAISE(ABORT, 'full'); END`)
		started := countStarts(t, h.keeper)
		time.Sleep(5*IdleLook + time.Second)
		if n := started.Load(); n > 0 {
			t.Errorf("%d keepers were started", n)
		}
		execute(t, db, "DROP TRIGGER full")
		time.Sleep(IdleLook)
		if started.Load() == 0 {
			t.Error("no keeper was started when the journal could be written again")
		}
	})
}

func TestAServerThatCanStartNoKeeperWatchesByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, t.TempDir(), nil)
		defer h.close()
		if _, err := h.submit(t, "tides"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() {
			defer close(over)
			WatchOver(ctx, time.Tick(IdleLook), h.keeper, func() error { return errors.New("no keeper can be started") })
		}()
		time.Sleep(15 * time.Minute)
		cancel()
		<-over
		if len(h.saver.saved) != 1 || len(h.notices) != 1 {
			t.Errorf("saved %q, notices %q", h.saver.saved, h.notices)
		}
	})
}
