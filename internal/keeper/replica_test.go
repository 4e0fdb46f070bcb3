// These tests hold what the replicas of a team do without anybody asking.

package keeper

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/e2e/pgtest"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

// overBoth runs f on fake time at a place for the embedded database and, with
// PIXAZO_TEST_POSTGRES, at one in PostgreSQL.
func overBoth(t *testing.T, f func(t *testing.T, place string)) {
	if os.Getenv("PIXAZO_TEST_POSTGRES") == "" {
		synctest.Test(t, func(t *testing.T) { f(t, t.TempDir()) })
		return
	}
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		where := place(t)
		synctest.Test(t, func(t *testing.T) { f(t, where) })
	})
}

// submitAs submits a request of an owner, whose video has a folder of its own.
func (h *house) submitAs(t *testing.T, owner, prompt string) string {
	t.Helper()
	p, err := pixazo.Prepare(pixazo.VideoRequest{Prompt: prompt})
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.tracker.Submit(journal.WithOwner(t.Context(), owner), p, jobs.SubmitOptions{SaveTo: "/videos/" + owner})
	if err != nil {
		t.Fatal(err)
	}
	return s.Row.Job.RequestID
}

// The videos of all owners, and of all keys, are followed and saved once, below
// their owner's folder, while nobody waits. With callbacks they are swept.
func TestReplicasFollowAndSaveEachVideoOnce(t *testing.T) {
	t.Parallel()
	for _, callbacks := range []bool{false, true} {
		t.Run(fmt.Sprint("callbacks ", callbacks), func(t *testing.T) {
			overBoth(t, func(t *testing.T, dir string) {
				g := &gateway{takes: 4 * time.Minute, end: pixazo.Completed}
				var all []*house
				var mu sync.Mutex
				folders := map[string]string{}
				ctx, cancel := context.WithCancel(t.Context())
				var replicas sync.WaitGroup
				for i := range 3 {
					h := newHouseOf(t, dir, g, "gateway", func() string { return fmt.Sprint("key ", i) })
					defer h.close()
					save := h.keeper.o.Save
					h.keeper.o.Save = func(ctx context.Context, row journal.Row, named func(string) error) error {
						mu.Lock()
						folders[row.Owner] += row.Save.Folder
						mu.Unlock()
						time.Sleep(3 * time.Second)
						return save(ctx, row, named)
					}
					all = append(all, h)
					replicas.Go(func() { h.keeper.RunReplica(ctx, callbacks) })
				}
				for i := range 10 {
					all[i%3].submitAs(t, fmt.Sprint("owner-", i), "tides")
				}
				time.Sleep(8 * time.Minute)
				cancel()
				replicas.Wait()
				for i := range 10 {
					owner := fmt.Sprint("owner-", i)
					if folders[owner] != "/videos/"+owner {
						t.Errorf("the video of %s was saved in %q, want once in its folder", owner, folders[owner])
					}
				}
				if most := 10 * 2; callbacks && g.polls > most {
					t.Errorf("%d polls, want at most %d: one in five minutes", g.polls, most)
				}
				for _, h := range all {
					if len(h.notices) > 0 {
						t.Errorf("notices %v", h.notices)
					}
				}
			})
		})
	}
}

// Until it is written, the end of the process would lose it.
func TestAReplicaWritesAnOutcomeAsSoonAsTheJournalTakesIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newHouse(t, dir, &gateway{takes: time.Minute, end: pixazo.Completed})
		defer h.close()
		h.submitAs(t, "alice", "first") // makes the database
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); h.keeper.RunReplica(ctx, true) }()
		time.Sleep(3 * time.Second) // the next look is in 8 s
		db := raw(t, dir)
		execute(t, db, full("UPDATE ON jobs"))
		if h.submitAs(t, "alice", "tides"); !h.journal.Unwritten() {
			t.Error("nothing failed")
		}
		time.Sleep(3 * time.Second)
		execute(t, db, "DROP TRIGGER full")
		time.Sleep(2 * time.Second)
		if h.journal.Unwritten() {
			t.Error("the outcome is not written")
		}
		cancel()
		<-ended
	})
}

// slow is where a log goes whose every line takes 2 s to write.
type slow struct{ lines int }

func (s *slow) Write(p []byte) (int, error) {
	s.lines++
	time.Sleep(2 * time.Second)
	return len(p), nil
}

// A look that failed after a long time says that the database can't be reached, not that
// it has much to do.
func TestAReplicaLooksAgainSoonAfterALookThatFailedSlowly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := newHouse(t, dir, &gateway{takes: time.Minute, end: pixazo.Completed})
		defer h.close()
		h.submitAs(t, "alice", "tides") // makes the database
		execute(t, raw(t, dir), "ALTER TABLE jobs RENAME TO hidden")
		var log slow // what a failing look says makes it take long
		h.keeper.o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		h.keeper.RunReplica(ctx, true)
		if log.lines < 5 {
			t.Errorf("it looked %d times in a minute", log.lines)
		}
	})
}

// What a replica was doing when it was killed, another one does within a lease.
func TestAReplicaIsReplacedWithinALease(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, dir string) {
		g := &gateway{takes: time.Minute, end: pixazo.Completed}
		killed, other := newHouse(t, dir, g), newHouse(t, dir, g)
		defer other.close()
		id := killed.submitAs(t, "alice", "tides")
		time.Sleep(2 * time.Minute)
		ctx := journal.WithOwner(t.Context(), "alice")
		if _, err := killed.tracker.Status(ctx, id); err != nil {
			t.Fatal(err)
		}
		row, err := killed.journal.Find(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		release, err := killed.journal.HoldSave(ctx, row.ID, true)
		if release == nil || err != nil {
			t.Fatal(err)
		}
		defer release()
		killed.close()
		running, cancel := context.WithTimeout(t.Context(), 75*time.Second)
		defer cancel()
		other.keeper.RunReplica(running, true)
		other.savedOnce(t)
	})
}
