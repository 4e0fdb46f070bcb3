// This file makes every step of the journal fail. What it guards: nothing is
// submitted that could not be written down, statuses and waits go on without a
// journal, an outcome that could not be written is told and logged, and a
// damaged journal costs nothing that was written after it.

package jobs_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"modernc.org/sqlite"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/pixazo"
)

// hooked are statements to run on each new connection to a journal, by its
// directory.
var hooked sync.Map

func init() {
	sqlite.RegisterConnectionHook(func(conn sqlite.ExecQuerierContext, dsn string) error {
		path, _, _ := strings.Cut(strings.TrimPrefix(dsn, "file://"), "?")
		if statement, ok := hooked.Load(filepath.FromSlash(strings.TrimSuffix(path, "/journal.db"))); ok {
			_, err := conn.ExecContext(context.Background(), statement.(string), nil)
			return err
		}
		return nil
	})
}

// written is a directory whose journal has 50 jobs of some size.
func written(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	tracker := openTracker(t, &fakeGateway{}, jobs.Options{StateDir: dir})
	for i := range 50 {
		submit(t, tracker, prompt("video %d %s", i, strings.Repeat("x", 3000)))
	}
	end(tracker) // which moves everything into the one file
	return dir
}

// overwrite puts garbage into a file, at from up to the end less to.
func overwrite(t testing.TB, path string, from, to int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, int(info.Size()-from-to)), from); err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsSubmittedThatCanNotBeWrittenDown(t *testing.T) {
	jobs.ShortenBusyTimeouts(t, 50*time.Millisecond)
	for _, tt := range []struct {
		name string
		dir  func(t *testing.T) string
		want string
	}{
		{"no state directory", func(*testing.T) string { return "" }, "--state-dir (PIXAZO_STATE_DIR)"},
		{"the state directory is a file", func(t *testing.T) string {
			dir := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(dir, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return dir
		}, "file"},
		{"the journal is a directory", func(t *testing.T) string {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "journal.db"), 0o700); err != nil {
				t.Fatal(err)
			}
			return dir
		}, "directory"},
		{"read-only", func(t *testing.T) string {
			dir := written(t)
			hooked.Store(dir, "PRAGMA query_only = 1")
			return dir
		}, "readonly"},
		{"full disk, at the first table", func(t *testing.T) string {
			dir := t.TempDir()
			hooked.Store(dir, "PRAGMA max_page_count = 1")
			return dir
		}, "full"},
		{"full disk, at the intent", func(t *testing.T) string {
			dir := written(t)
			hooked.Store(dir, "PRAGMA max_page_count = 1") // no more than there are
			return dir
		}, "full"},
		{"locked", func(t *testing.T) string {
			dir := written(t)
			execute(t, raw(t, dir), "BEGIN IMMEDIATE")
			return dir
		}, "locked"},
		{"locked before its first table", func(t *testing.T) string {
			dir := t.TempDir()
			db := raw(t, dir)
			if err := os.WriteFile(filepath.Join(dir, "journal.db"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			execute(t, db, "BEGIN EXCLUSIVE")
			return dir
		}, "locked"},
		{"a statement fails", func(t *testing.T) string {
			dir := written(t)
			execute(t, raw(t, dir), "CREATE TRIGGER fault BEFORE INSERT ON jobs BEGIN SELECT RAISE(ABORT, 'the disk is on fire'); END")
			return dir
		}, "the disk is on fire"},
		{"a newer version", func(t *testing.T) string {
			dir := written(t)
			execute(t, raw(t, dir), "PRAGMA user_version = 99")
			return dir
		}, "it has version 99 and this program knows 2: it was written by a newer pixazo-mcp"},
		{"its lock is a directory", func(t *testing.T) string {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "journal.lock"), 0o700); err != nil {
				t.Fatal(err)
			}
			return dir
		}, "is a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := &fakeGateway{}
			dir := tt.dir(t)
			tracker := openTracker(t, g, jobs.Options{StateDir: dir})
			for range 2 {
				s, err := tracker.Submit(t.Context(), prompt("one more %s", strings.Repeat("y", 9000)), false)
				if !pixazo.IsCode(err, pixazo.JournalUnavailable) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Submit = %+v, %v; want journal_unavailable with %q", s, err, tt.want)
				}
				if job, err := tracker.Status(t.Context(), "id-1"); err != nil || job.Status != pixazo.Processing {
					t.Errorf("Status = %+v, %v; want the gateway's answer", job, err)
				}
				if outcome, err := tracker.Wait(t.Context(), "id-2", 0, nil); err != nil || outcome.Job.Status != pixazo.Processing {
					t.Errorf("Wait = %+v, %v; want the gateway's answer", outcome, err)
				}
			}
			if g.submissions != 0 {
				t.Errorf("%d submissions, want none", g.submissions)
			}
			if aside := setAside(t, dir); len(aside) != 0 {
				t.Errorf("%q was set aside", aside)
			}
		})
	}
}

func TestJournalIsUsedAgainOnceItCanBe(t *testing.T) {
	jobs.ShortenBusyTimeouts(t, 50*time.Millisecond)
	dir := written(t)
	tracker := openTracker(t, &fakeGateway{}, jobs.Options{StateDir: dir})
	lock := raw(t, dir)
	execute(t, lock, "BEGIN IMMEDIATE")
	if r, err := tracker.Find("own-1"); err != nil || r == nil {
		t.Errorf("Find in a locked journal = %+v, %v; want the job", r, err)
	}
	if _, err := tracker.Submit(t.Context(), request(), false); !pixazo.IsCode(err, pixazo.JournalUnavailable) {
		t.Errorf("error %v, want journal_unavailable", err)
	}
	execute(t, lock, "ROLLBACK")
	submit(t, tracker, request())
}

func TestOutcomeThatCanNotBeWrittenIsToldAndLogged(t *testing.T) {
	jobs.ShortenBusyTimeouts(t, 50*time.Millisecond)
	for _, tt := range []struct {
		name  string
		fault func(t *testing.T, dir string)
		want  string
	}{
		{"locked", func(t *testing.T, dir string) { execute(t, raw(t, dir), "BEGIN IMMEDIATE") }, "locked"},
		{"a statement fails", func(t *testing.T, dir string) {
			execute(t, raw(t, dir), "CREATE TRIGGER fault BEFORE UPDATE ON jobs BEGIN SELECT RAISE(ABORT, 'the disk is on fire'); END")
		}, "the disk is on fire"},
		{"a newer version took over", func(t *testing.T, dir string) { execute(t, raw(t, dir), "ALTER TABLE jobs RENAME TO videos") }, "no such table"},
	} {
		for _, failure := range []error{nil, failing(pixazo.SubmissionUncertain, "id-1")} {
			t.Run(fmt.Sprint(tt.name, ", ", failure), func(t *testing.T) {
				dir := t.TempDir()
				var log bytes.Buffer
				tracker := openTracker(t, &fakeGateway{submit: func(context.Context, *pixazo.Prepared) (pixazo.Job, error) {
					tt.fault(t, dir)
					if failure != nil {
						return pixazo.Job{}, failure
					}
					return pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil
				}}, jobs.Options{StateDir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
				s, err := tracker.Submit(t.Context(), request(), false)
				if err != failure || err == nil && (s.Job.RequestID != "id-1" || !pixazo.IsCode(s.JournalErr, pixazo.JournalUnavailable) || !strings.Contains(s.JournalErr.Error(), tt.want)) {
					t.Errorf("Submit = %+v, %v; want the job, and journal_unavailable with %q", s, err, tt.want)
				}
				if line, _, _ := strings.Cut(log.String(), "\n"); !strings.Contains(line, "level=ERROR") || !strings.Contains(line, "request_id=id-1") || !strings.Contains(line, tt.want) {
					t.Errorf("the log has %q, without the request_id or the cause", log.String())
				}
				if job, err := tracker.Status(t.Context(), "id-1"); err != nil || job.Status != pixazo.Processing {
					t.Errorf("Status = %+v, %v; want the gateway's answer", job, err)
				}
			})
		}
	}
}

// setAside are the damaged journals kept in dir.
func setAside(t testing.TB, dir string) []string {
	t.Helper()
	entries, _ := os.ReadDir(dir)
	var aside []string
	for _, entry := range entries {
		if name := entry.Name(); strings.HasPrefix(name, "journal-damaged-") && strings.HasSuffix(name, ".db") {
			aside = append(aside, filepath.Join(dir, name))
		}
	}
	return aside
}

func TestDamagedJournalIsSetAside(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, path string)
	}{
		{"garbage for a header", func(t *testing.T, path string) { overwrite(t, path, 0, 8192) }},
		{"garbage all over", func(t *testing.T, path string) { overwrite(t, path, 0, 0) }},
		{"garbage in the middle", func(t *testing.T, path string) { overwrite(t, path, 3*4096, 2*4096) }},
		{"cut off", func(t *testing.T, path string) {
			if err := os.Truncate(path, 10*4096); err != nil {
				t.Fatal(err)
			}
		}},
		{"another kind of file", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("request_id,prompt\n1,tides\n"+strings.Repeat("text ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := written(t)
			path := filepath.Join(dir, "journal.db")
			tt.damage(t, path)
			damaged, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			tracker := openTracker(t, &fakeGateway{}, jobs.Options{StateDir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			submit(t, tracker, request())
			aside := setAside(t, dir)
			if len(aside) != 1 {
				t.Fatalf("set aside: %q, want one file", aside)
			}
			if kept, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(kept, damaged) {
				t.Errorf("what was set aside is not what was there: %v", err)
			}
			if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), aside[0]) {
				t.Errorf("the log does not tell of it: %s", log.String())
			}
			// Told by every process, whichever found the damage.
			for _, tracker := range []*jobs.Tracker{tracker, openTracker(t, &fakeGateway{}, jobs.Options{StateDir: dir})} {
				records, _, notice, err := tracker.List(t.Context(), jobs.All, 10, "")
				if err != nil || len(records) != 1 || !strings.Contains(notice, aside[0]) {
					t.Errorf("List = %d records, notice %q, %v; want the new one, and the old file named", len(records), notice, err)
				}
			}
		})
	}
}

func TestDamageFoundByManyAtOnceSetsOneFileAside(t *testing.T) {
	for _, perTracker := range []int{1, 5} {
		for range 5 {
			dir := written(t)
			overwrite(t, filepath.Join(dir, "journal.db"), 4096, 0)
			g := &fakeGateway{}
			var calls sync.WaitGroup
			var mu sync.Mutex
			var want []string
			begin := make(chan struct{})
			for i := range 4 {
				tracker := openTracker(t, g, jobs.Options{StateDir: dir})
				for n := range perTracker {
					calls.Go(func() {
						<-begin
						id := submit(t, tracker, prompt("video %d of tracker %d", n, i))
						mu.Lock()
						defer mu.Unlock()
						want = append(want, id)
					})
				}
			}
			close(begin)
			calls.Wait()
			got := ids(list(t, openTracker(t, g, jobs.Options{StateDir: dir}), jobs.All))
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("recorded %q, want %q", got, want)
			}
			if aside := setAside(t, dir); len(aside) != 1 {
				t.Errorf("set aside: %q, want one file", aside)
			}
		}
	}
}

// damageInUse damages a journal that trackers have open, and has another
// tracker find it.
func damageInUse(t testing.TB, dir string) {
	t.Helper()
	overwrite(t, filepath.Join(dir, "journal.db"), 0, 0)
	for _, name := range []string{"journal.db-wal", "journal.db-shm"} {
		if err := os.Truncate(filepath.Join(dir, name), 0); err != nil {
			t.Fatal(err)
		}
	}
	list(t, openTracker(t, &fakeGateway{}, jobs.Options{StateDir: dir}), jobs.All)
	if aside := setAside(t, dir); len(aside) != 1 {
		t.Fatalf("set aside: %q, want one file", aside)
	}
}

// A process that has the old file open must not go on writing to it: nobody
// else would find what it writes, and the limits would be counted apart.
func TestTrackersFollowAJournalThatWasReplaced(t *testing.T) {
	for _, tt := range []struct {
		name    string
		replace func(t testing.TB, dir string)
	}{
		{"set aside by another process", func(t testing.TB, dir string) {
			old := filepath.Join(dir, "journal.db")
			for _, suffix := range []string{"-wal", "-shm", ""} {
				if err := os.Rename(old+suffix, filepath.Join(dir, "journal-damaged-x.db"+suffix)); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"deleted by the user", func(t testing.TB, dir string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if runtime.GOOS == "windows" {
				t.Skip("Windows does not let go of a file in use")
			}
			dir := filepath.Join(t.TempDir(), "state")
			g := &fakeGateway{}
			var trackers []*jobs.Tracker
			for i := range 3 {
				trackers = append(trackers, openTracker(t, g, jobs.Options{StateDir: dir}))
				submit(t, trackers[i], prompt("before %d", i))
			}
			tt.replace(t, dir)
			for i, tracker := range trackers {
				submit(t, tracker, prompt("after %d", i))
			}
			for _, tracker := range trackers {
				if got, want := prompts(list(t, tracker, jobs.All)), []string{"after 2", "after 1", "after 0"}; !slices.Equal(got, want) {
					t.Errorf("listed %q, want %q", got, want)
				}
			}
		})
	}
}

// The row numbers begin again in a fresh journal: an outcome must not be
// written to, or read from, somebody else's row.
func TestOutcomeIsKeptWhenTheJournalIsReplacedMeanwhile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not let go of a file in use")
	}
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		other := openTracker(t, &fakeGateway{submit: func(context.Context, *pixazo.Prepared) (pixazo.Job, error) {
			return pixazo.Job{RequestID: "id-other", Status: pixazo.Queued}, nil
		}}, jobs.Options{StateDir: dir})
		joined := make(chan error, 1)
		tracker := openTracker(t, &fakeGateway{submit: func(context.Context, *pixazo.Prepared) (pixazo.Job, error) {
			joining := openTracker(t, &fakeGateway{}, jobs.Options{StateDir: dir})
			list(t, joining, jobs.All)
			go func() {
				s, err := joining.Submit(t.Context(), prompt("in flight"), false)
				if err == nil {
					err = fmt.Errorf("it was answered with %s", s.Job.RequestID)
				}
				joined <- err
			}()
			synctest.Wait() // it has seen the intent, and looks again in a moment
			damageInUse(t, dir)
			submit(t, other, prompt("another video")) // gets the row that this one had
			if err := <-joined; !pixazo.IsCode(err, pixazo.SubmissionUncertain) {
				t.Errorf("the call that joined got %v, want submission_uncertain", err)
			}
			return pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil
		}}, jobs.Options{StateDir: dir})
		submit(t, tracker, prompt("in flight"))
		got := map[string]string{}
		for _, r := range list(t, other, jobs.All) {
			got[r.Job.RequestID] = r.Prompt
		}
		if len(got) != 2 || got["id-1"] != "in flight" || got["id-other"] != "another video" {
			t.Errorf("recorded %v, want both videos under their own request_ids", got)
		}
		if r, err := tracker.Find("id-1"); err != nil || r == nil || r.SubmittedAt.IsZero() {
			t.Errorf("Find = %+v, %v; want the submission with its time", r, err)
		}
	})
}
