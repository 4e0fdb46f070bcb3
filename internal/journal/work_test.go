package journal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/e2e/pgtest"
	"pixazo-mcp/pixazo"
)

// These tests hold what is done without anybody asking: once, by one process.

func TestSavingIsClaimedOnce(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		synctest.Test(t, func(t *testing.T) {
			dir := place(t)
			first, second := open(t, dir), open(t, dir)
			s := submission("tides")
			s.Save.Folder, s.Account, s.Save.Notify = "/videos", "key", true
			row := accept(t, first, s, "id-1")
			hold := func(j *Journal, want bool) (release func()) {
				t.Helper()
				release, err := j.HoldSave(t.Context(), row.ID, true)
				if err != nil || (release != nil) != want {
					t.Fatalf("held: %t, %v; want %t", release != nil, err, want)
				}
				return release
			}
			due := func(want int) {
				t.Helper()
				if rows, err := second.Saves(t.Context(), time.Hour, 10); err != nil || len(rows) != want {
					t.Errorf("%d are to be saved now, %v; want %d", len(rows), err, want)
				}
			}
			hold(first, false) // not finished
			due(0)
			observe(t, first, pixazo.Job{RequestID: "id-1", Status: pixazo.Completed})
			due(1)
			release := hold(first, true)
			hold(second, false)
			due(0)
			time.Sleep(10 * time.Minute)
			hold(second, false)
			release()
			killed := open(t, dir)
			release = hold(killed, true)
			defer release() // which does nothing any more
			killed.Close()
			time.Sleep(59 * time.Second)
			hold(second, false)
			time.Sleep(2 * time.Second)
			release = hold(second, true)
			check(t, second.EndSave(t.Context(), row.ID, "the disk is full", time.Now().Add(time.Minute)))
			release()
			hold(first, false)
			if r := find(t, first, "id-1"); r.Save.Error != "the disk is full" || r.Save.Tries != 1 {
				t.Errorf("%+v", r.Save)
			}
			time.Sleep(time.Minute)
			release = hold(first, true)
			if err := first.AddSaved(t.Context(), "id-1", []SavedFile{{Path: "/videos/1.mp4"}}); err != nil {
				t.Fatal(err)
			}
			release()
			time.Sleep(time.Hour)
			hold(second, false) // whether the file is still there or not
			check(t, second.NameSave(t.Context(), row.ID, "1.mp4"))
			for _, order := range []struct{ folder, name string }{{"/videos", ""}, {"/other", ""}} { // a name counts in its folder, as long as it is not saved
				check(t, first.OrderSave(t.Context(), *find(t, first, "id-1"), order.folder))
				if r := find(t, second, "id-1"); !r.ToSave() || r.Save.Folder != order.folder || r.Save.Name != order.name || r.Save.Error != "" {
					t.Errorf("ordered %+v, saved %+v", r.Save, r.Saved)
				}
				check(t, second.NameSave(t.Context(), row.ID, "2.mp4"))
				check(t, second.EndSave(t.Context(), row.ID, "the disk is full", time.Now().Add(time.Minute)))
			}
			check(t, first.OrderSave(t.Context(), *find(t, first, "id-1"), "/other"))
			if r := find(t, second, "id-1"); r.Save.Name != "2.mp4" {
				t.Errorf("ordered again %+v", r.Save)
			}
			hold(second, true)()
			unsaved := find(t, first, "id-1")
			check(t, second.AddSaved(t.Context(), "id-1", []SavedFile{{Path: "/other/2.mp4"}}))
			check(t, first.OrderSave(t.Context(), *unsaved, "/videos"))
			if r := find(t, first, "id-1"); len(r.Saved) != 1 {
				t.Errorf("an order took the file away that came at the same time: %+v", r)
			}
			for _, want := range []bool{true, false} {
				if got, err := second.ClaimNotice(t.Context(), row.ID); got != want || err != nil {
					t.Errorf("the notice: %t, %v; want %t", got, err, want)
				}
			}
		})
	})
}

func TestWork(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		j := open(t, place(t))
		s := submission("tides")
		s.Account = "key"
		accept(t, j, s, "id-1")
		other := submission("another key's")
		other.Account = "other"
		accept(t, j, other, "id-2")
		observe(t, j, pixazo.Job{RequestID: "foreign", Status: pixazo.Queued})
		work := func() (ids []string) {
			rows, err := j.Work(t.Context(), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				ids = append(ids, r.Job.RequestID+" of "+r.Account)
			}
			return ids
		}
		if ids := work(); !slices.Equal(ids, []string{"id-1 of key", "id-2 of other"}) {
			t.Errorf("work %q, want the jobs of all keys", ids)
		}
		observe(t, j, pixazo.Job{RequestID: "id-1", Status: pixazo.Completed})
		check(t, j.Adopt(t.Context(), find(t, j, "id-2").ID, "key"))
		if ids := work(); !slices.Equal(ids, []string{"id-2 of key"}) {
			t.Errorf("work %q, want none for the first: it is neither saved nor told of", ids)
		}
	})
}

// A computer whose clock was 30 days behind at the submission, and is right now.
func TestAJobOfAClockThatWasBehindIsWorkedOn(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		synctest.Test(t, func(t *testing.T) {
			j := open(t, place(t))
			s := submission("tides")
			s.Save.Folder = "/videos"
			late, id := 30*24*time.Hour, idAt(time.Now().Add(30*24*time.Hour), 1)
			accept(t, j, s, id)
			observe(t, j, pixazo.Job{RequestID: idAt(time.Now().Add(late), 2), Status: pixazo.Queued}) // made elsewhere
			for _, at := range []time.Duration{late + time.Minute, 50 * time.Minute} {
				time.Sleep(at)
				if rows, err := j.Work(t.Context(), time.Hour); err != nil || len(rows) != 1 || rows[0].Job.RequestID != id {
					t.Errorf("after %s: %+v, %v", at, rows, err)
				}
			}
			observe(t, j, pixazo.Job{RequestID: id, Status: pixazo.Completed})
			if rows, err := j.Saves(t.Context(), time.Hour, 10); err != nil || len(rows) != 1 {
				t.Errorf("to be saved: %+v, %v", rows, err)
			}
			time.Sleep(10 * time.Minute)
			if rows, err := j.Work(t.Context(), time.Hour); err != nil || len(rows) != 0 {
				t.Errorf("an hour later: %+v, %v", rows, err)
			}
			if rows, err := j.Saves(t.Context(), time.Hour, 10); err != nil || len(rows) != 0 {
				t.Errorf("to be saved an hour later: %+v, %v", rows, err)
			}
			j.Close()
		})
	})
}

func TestWhatACommandWaitsFor(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		j := open(t, place(t))
		waits := func() []string {
			t.Helper()
			found, err := j.JobsByGateway(t.Context(), nil)
			check(t, err)
			return found[j.gateway]
		}
		for _, id := range []string{"not-to-save", "to-save", "saved"} {
			s := submission(id)
			if id != "not-to-save" {
				s.Save.Folder = "/videos"
			}
			accept(t, j, s, id)
		}
		observe(t, j, pixazo.Job{RequestID: "foreign", Status: pixazo.Queued})
		if ids := waits(); !slices.Equal(ids, []string{"not-to-save", "to-save", "saved"}) {
			t.Errorf("%q, want those that were submitted here", ids)
		}
		for _, id := range []string{"not-to-save", "to-save", "saved"} {
			observe(t, j, pixazo.Job{RequestID: id, Status: pixazo.Completed})
		}
		check(t, j.AddSaved(t.Context(), "saved", []SavedFile{{Path: "/videos/v.mp4"}}))
		if ids := waits(); !slices.Equal(ids, []string{"to-save"}) {
			t.Errorf("%q, want the one that nobody has saved", ids)
		}
		for after, want := range map[time.Duration]int{time.Minute: 0, 0: 1} {
			check(t, j.EndSave(t.Context(), find(t, j, "to-save").ID, "as scripted", time.Now().Add(after)))
			if ids := waits(); len(ids) != want {
				t.Errorf("%q when the next try is due in %s", ids, after)
			}
		}
	})
}

// A process that is killed does not end its leases; that of another one deletes them.
func TestLeases(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		synctest.Test(t, func(t *testing.T) {
			j := open(t, place(t))
			defer j.Close()
			take := func(name, holder string, lasts time.Duration) {
				t.Helper()
				check(t, j.TakeLease(t.Context(), Lease{name, holder, time.Now().Add(lasts)}))
			}
			kept := func(want int) {
				t.Helper()
				var n int
				if check(t, j.read(t.Context(), func(ctx context.Context, q querier) error {
					return q.QueryRowContext(ctx, `SELECT COUNT(*) FROM leases`).Scan(&n)
				})); n != want {
					t.Errorf("%d leases are kept, want %d", n, want)
				}
			}
			if held, err := j.Leases(t.Context(), "watch"); len(held) != 0 || err != nil {
				t.Errorf("%+v, %v", held, err)
			}
			take("watch", "old", time.Minute)
			take("watch", "new", time.Minute)
			take("watch 2", "", 90*time.Second)
			if held, err := j.Leases(t.Context(), "wat"); len(held) != 2 || held[0].Holder != "new" || err != nil {
				t.Errorf("%+v, %v", held, err)
			}
			time.Sleep(time.Minute)
			if held, err := j.Leases(t.Context(), "watch"); len(held) != 1 || held[0].Name != "watch 2" || err != nil {
				t.Errorf("the first one lasts: %+v, %v", held, err)
			}
			take("watch 3", "", time.Minute)
			kept(3)
			check(t, j.EndLease(t.Context(), "watch 3"))
			kept(1)
			check(t, j.EndLease(t.Context(), "watch 2"))
			kept(0)
		})
	})
}

func TestAJournalThatIsGoneIsNotMadeAgain(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows deletes no file that is open")
	}
	dir := filepath.Join(t.TempDir(), "state")
	j := open(t, dir)
	in := intend(t, j, submission("tides"))
	j.OnlyExisting()
	check(t, os.RemoveAll(dir))
	if err := j.TakeLease(t.Context(), Lease{Name: "watch"}); !errors.Is(err, errGone) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("it was made again")
	}
	// An outcome that is not written anywhere else makes it.
	if _, err := j.Conclude(in, pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil); err == nil {
		t.Error("the first try writes nothing")
	}
	j.Close()
	if row := find(t, open(t, dir), "id-1"); row == nil {
		t.Error("the outcome is lost")
	}
}
