package journal

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/e2e/pgtest"
	"pixazo-mcp/pixazo"
)

// These tests hold what the team server keeps in the journal, on both engines.

func TestSessions(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		synctest.Test(t, func(t *testing.T) {
			dir := place(t)
			first, second := open(t, dir), open(t, dir)
			s := Session{ID: "a1", Owner: "ann"}
			check(t, first.OpenSession(t.Context(), s))
			time.Sleep(20 * time.Hour)
			check(t, second.UseSession(t.Context(), "a1"))
			time.Sleep(20 * time.Hour)
			got, err := first.FindSession(t.Context(), "a1")
			if err != nil || got == nil || got.Owner != "ann" || got.Subscriptions != nil || time.Since(got.SeenAt) != 20*time.Hour {
				t.Errorf("%+v, %v", got, err)
			}
			if got, err := first.FindSession(t.Context(), "b2"); got != nil || err != nil {
				t.Errorf("one that nobody opened: %+v, %v", got, err)
			}
			time.Sleep(5 * time.Hour)
			if got, err := first.FindSession(t.Context(), "a1"); got != nil || err != nil {
				t.Errorf("one that was idle for a day: %+v, %v", got, err)
			}
			check(t, first.OpenSession(t.Context(), Session{ID: "c3"})) // which forgets the idle one
			for id, want := range map[string]bool{"a1": false, "c3": true} {
				if ended, err := second.EndSession(t.Context(), id); ended != want || err != nil {
					t.Errorf("%s ended: %t, %v; want %t", id, ended, err, want)
				}
			}
		})
	})
}

func TestSubscriptionsOfOneSessionAtTwoReplicas(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		dir := place(t)
		first, second := open(t, dir), open(t, dir)
		check(t, first.OpenSession(t.Context(), Session{ID: "a1", Owner: "ann"}))
		var want []string
		var work sync.WaitGroup
		for i := range 20 {
			j, uri := []*Journal{first, second}[i%2], fmt.Sprint("pixazo://videos/", i)
			if i%4 < 2 {
				want = append(want, uri)
			}
			work.Go(func() {
				err := j.Subscribe(t.Context(), "a1", uri, true)
				if err == nil && i%4 >= 2 {
					err = j.Subscribe(t.Context(), "a1", uri, false)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
		check(t, first.Subscribe(t.Context(), "a1", want[0], true)) // once more
		got, err := second.FindSession(t.Context(), "a1")
		check(t, err)
		slices.Sort(want)
		if slices.Sort(got.Subscriptions); !slices.Equal(got.Subscriptions, want) {
			t.Errorf("got %q, want %q", got.Subscriptions, want)
		}
		check(t, first.Subscribe(t.Context(), "none", "pixazo://videos/1", true))
		if got, err := first.FindSession(t.Context(), "none"); got != nil || err != nil {
			t.Errorf("a session that nobody opened: %+v, %v", got, err)
		}
	})
}

func TestDueJobsGoToOneReplica(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		synctest.Test(t, func(t *testing.T) {
			dir := place(t)
			first, second := open(t, dir), open(t, dir)
			due := func(j *Journal, limit int, want ...string) {
				t.Helper()
				rows, err := j.Due(t.Context(), 5*time.Minute, limit)
				var ids []string
				for _, r := range rows {
					ids = append(ids, r.Job.RequestID)
				}
				slices.Sort(ids)
				if err != nil || !slices.Equal(ids, want) {
					t.Errorf("due %q, %v; want %q", ids, err, want)
				}
			}
			accept(t, first, submission("old"), "id-0")
			time.Sleep(25 * time.Hour)
			for _, id := range []string{"id-1", "id-2", "id-3", "id-done"} {
				accept(t, first, submission(id), id)
			}
			observe(t, first, pixazo.Job{RequestID: "id-done", Status: pixazo.Completed})
			observe(t, first, pixazo.Job{RequestID: "foreign", Status: pixazo.Queued})
			due(first, 20) // just submitted
			time.Sleep(5 * time.Minute)
			if granted, err := first.Claim(t.Context(), "id-3", 0); !granted || err != nil {
				t.Error(granted, err)
			}
			due(first, 20, "id-1", "id-2")
			due(second, 20)
			time.Sleep(5 * time.Minute)
			rows, err := first.Due(t.Context(), 5*time.Minute, 1)
			if len(rows) != 1 || err != nil {
				t.Errorf("%+v, %v", rows, err)
			}
			rest := slices.DeleteFunc([]string{"id-1", "id-2", "id-3"}, func(id string) bool { return id == rows[0].Job.RequestID })
			due(second, 20, rest...)
			time.Sleep(25 * time.Hour)
			due(first, 20)
		})
	})
}

// With IN, PostgreSQL may run a SELECT ... LIMIT for each row of the table, as where it
// takes the table for small, and then finds other rows each time.
func TestDueJobsAreNoMoreThanAskedForWhateverThePlan(t *testing.T) {
	t.Parallel()
	place := pgtest.URL(t)
	synctest.Test(t, func(t *testing.T) {
		j := open(t, place+"&enable_hashjoin=off&enable_mergejoin=off")
		for n := range 5 {
			accept(t, j, submission(fmt.Sprint(n)), fmt.Sprint("id-", n))
			if n == 0 {
				pgtest.Exec(t, place, "ANALYZE jobs")
			}
		}
		time.Sleep(10 * time.Minute)
		for _, want := range []int{2, 2, 1, 0} {
			if rows, err := j.Due(t.Context(), 5*time.Minute, 2); len(rows) != want || err != nil {
				t.Errorf("%d due, %v; want %d", len(rows), err, want)
			}
		}
	})
}

// A callback goes to one replica, and to another one when it was not followed up.
func TestCallbacksGoToOneReplicaAtATime(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		synctest.Test(t, func(t *testing.T) {
			dir := place(t)
			first, second := open(t, dir), open(t, dir)
			keep := func(nonce, id string) { t.Helper(); check(t, first.KeepCallback(t.Context(), nonce, id)) }
			next := func(j *Journal, want string) (c Callback) {
				t.Helper()
				found, err := j.NextCallback(t.Context())
				if found != nil {
					c = *found
				}
				if err != nil || (found == nil) != (want == "") || c.RequestID != want {
					t.Errorf("next %+v, %v; want %q", c, err, want)
				}
				return c
			}
			next(first, "")
			keep("n-1", "id-1")
			c := next(first, "id-1")
			if c.Nonce != "n-1" || !c.CalledAt.Equal(time.Now()) {
				t.Errorf("%+v", c)
			}
			next(second, "")
			keep("n-1", "id-1") // while the gateway is asked
			next(second, "")
			check(t, first.EndCallback(t.Context(), c))
			c = next(second, "id-1")
			check(t, second.EndCallback(t.Context(), c))
			next(first, "")

			begun, asked := time.Now(), []int{}
			keep("n-2", "id-2")
			for range 300 {
				if c, err := second.NextCallback(t.Context()); err != nil || c != nil {
					asked = append(asked, int(time.Since(begun).Seconds()))
				}
				time.Sleep(time.Second)
			}
			if want := []int{0, 2, 4, 6, 9, 14, 21, 32, 48, 72, 108, 162, 222, 282}; !slices.Equal(asked, want) {
				t.Errorf("not followed up, it comes after %d s; want %d", asked, want)
			}
			keep("n-2", "id-2") // again: it is not left for a minute
			time.Sleep(2 * time.Second)
			check(t, first.EndCallback(t.Context(), next(first, "id-2")))

			for n := range 5 {
				err := first.KeepCallback(t.Context(), "n-3", fmt.Sprint("id-", n))
				if pixazo.IsCode(err, pixazo.JournalUnavailable) != (n == maxCallbacks) || err != nil && n < maxCallbacks {
					t.Errorf("the job number %d for one submission: %v", n+1, err)
				}
			}
			keep("n-3", "id-0")

			_, err := first.exec(t.Context(), statuses, `DELETE FROM callbacks WHERE nonce = 'n-3'`)
			check(t, err)
			keep("n-4", "id-0")
			_, err = first.exec(t.Context(), statuses, `ANALYZE`) // PostgreSQL plans for a table of one row
			check(t, err)
			for n := range 3 {
				keep(fmt.Sprint("n-5-", n), fmt.Sprint("id-", n))
			}
			for range 4 {
				if c, err := first.NextCallback(t.Context()); err != nil || c == nil {
					t.Errorf("one of four that are due is not given: %v", err)
				}
			}
			next(first, "")

			keep("n-6", "id-6")
			o := at(dir)
			o.Gateway = "https://other.example"
			other := New(o)
			defer other.Close()
			next(other, "")
			row := accept(t, first, submission("tides"), "id-7")
			if found, err := other.ByNonce(t.Context(), row.Nonce); found != nil || err != nil {
				t.Errorf("the submission of another gateway: %+v, %v", found, err)
			}
		})
	})
}

func TestUsage(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		synctest.Test(t, func(t *testing.T) {
			j := open(t, place(t))
			defer j.Close()
			begin := time.Now() // midnight
			for _, owner := range []string{"ann", "bob", "ann"} {
				ctx := WithOwner(t.Context(), owner)
				in, _, err := j.Intend(ctx, submission("of "+owner+time.Now().String()))
				check(t, err)
				conclude(t, j, in, pixazo.Job{RequestID: in.Nonce, Status: pixazo.Queued}, nil)
				time.Sleep(12 * time.Hour)
			}
			conclude(t, j, intend(t, j, submission("lost")), pixazo.Job{}, uncertain)
			conclude(t, j, intend(t, j, submission("refused")), pixazo.Job{}, &pixazo.Error{Code: pixazo.OutOfCredits})
			intend(t, j, submission("under way"))
			want := []Used{{"ann", "2000-01-01", 1, 0}, {"bob", "2000-01-01", 1, 0}, {"", "2000-01-02", 0, 1}, {"ann", "2000-01-02", 1, 0}}
			if used, err := j.Usage(t.Context(), begin); err != nil || !slices.Equal(used, want) {
				t.Errorf("%+v, %v; want %+v", used, err, want)
			}
			if used, err := j.Usage(t.Context(), begin.AddDate(0, 0, 1)); err != nil || !slices.Equal(used, want[2:]) {
				t.Errorf("since the second day %+v, %v", used, err)
			}
		})
	})
}

func TestTidyDeletesWhatEndedLongAgo(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		synctest.Test(t, func(t *testing.T) {
			dir := place(t)
			o := at(dir)
			o.KeepDays = 7
			j, forEver := New(o), open(t, dir)
			defer j.Close()
			defer forEver.Close()
			finish := func(id string) {
				accept(t, j, submission(id), id)
				observe(t, j, pixazo.Job{RequestID: id, Status: pixazo.Completed})
			}
			finish("old")
			accept(t, j, submission("unfinished"), "unfinished")
			conclude(t, j, intend(t, j, submission("lost")), pixazo.Job{}, uncertain)
			time.Sleep(4 * 24 * time.Hour)
			finish("new")
			time.Sleep(4 * 24 * time.Hour)
			if n, err := forEver.Tidy(t.Context()); n != 0 || err != nil {
				t.Errorf("for ever: %d, %v", n, err)
			}
			if n, err := j.Tidy(t.Context()); n != 1 || err != nil {
				t.Errorf("%d deleted, %v; want 1", n, err)
			}
			if rows := list(t, j, All); len(rows) != 3 || find(t, j, "old") != nil {
				t.Errorf("%d rows are left, want 3: %+v", len(rows), rows)
			}
		})
	})
}

func TestTidyMakesNoJournal(t *testing.T) {
	j := New(Options{Dir: t.TempDir(), KeepDays: 1})
	defer j.Close()
	if n, err := j.Tidy(t.Context()); n != 0 || err != nil || j.Exists() {
		t.Errorf("%d deleted, %v; there is a journal: %t", n, err, j.Exists())
	}
}

func TestTheLimitOfAUser(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		j := open(t, place(t), Limits{PerHour: 5, PerUser: 2})
		for _, tt := range []struct {
			owner string
			left  int // -1: the limit is reached
		}{{"ann", 1}, {"ann", 0}, {"ann", -1}, {"bob", 1}, {"bob", 0}, {"cay", 0}, {"cay", -1}} {
			ctx := WithOwner(t.Context(), tt.owner)
			_, _, err := j.Intend(ctx, submission("tides"+submission("").Nonce))
			page, _ := j.List(ctx, All, 10, "")
			if tt.left < 0 && !pixazo.IsCode(err, pixazo.LimitReached) || tt.left >= 0 && (err != nil || page.Left != tt.left) {
				t.Errorf("%s: %d left, %v; want %d", tt.owner, page.Left, err, tt.left)
			}
		}
	})
}
