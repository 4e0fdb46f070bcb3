// These tests hold what happens to the journal's files: damage, full and
// read-only disks, files that were deleted, replaced or never were a journal.

package journal

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"pixazo-mcp/pixazo"
)

const asidePrefix = "journal" + asidePart

func TestReadingMakesNoFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	j := open(t, dir)
	if rows := list(t, j, All); len(rows) != 0 {
		t.Error(rows)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a list made %v, %v", dir, err)
	}
}

func TestAJournalOfTheFirstVersionIsMigrated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, fileName))
	check(t, err)
	_, err = db.Exec(first + "PRAGMA user_version = 1; INSERT INTO jobs (gateway, state, request_id) VALUES ('" + at(dir).Gateway + "', 'accepted', 'id-0')")
	check(t, errors.Join(err, db.Close()))
	j := open(t, dir)
	accept(t, j, submission("tides"), "id-1")
	if rows := list(t, j, All); len(rows) != 2 || rows[1].Job.RequestID != "id-0" {
		t.Errorf("%+v", rows)
	}
}

// fill submits n videos and returns their ids.
func fill(t *testing.T, j *Journal, n int) (ids []string) {
	for i := range n {
		id := fmt.Sprintf("id-%03d", i)
		accept(t, j, submission(fmt.Sprintf("%s %d", strings.Repeat("a long prompt ", 100), i)), id)
		ids = append(ids, id)
	}
	return ids
}

// overwrite puts garbage over a part of a file.
func overwrite(t *testing.T, path string, from, to float64) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a, b := int(float64(len(raw))*from)&^4095, int(float64(len(raw))*to)&^4095
	copy(raw[a:b], bytes.Repeat([]byte("garbage "), (b-a)/8+1))
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedJournalIsReplacedWithWhatCanBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir)
	fill(t, j, 200)
	check(t, j.KeepCallback(t.Context(), "n-1", "id-1"))
	j.Close()
	overwrite(t, filepath.Join(dir, fileName), 0.4, 0.6)

	j = open(t, dir, Limits{PerHour: 1000})
	page, err := j.List(t.Context(), All, 1000, "")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(page.Rows); n < 50 || n >= 200 {
		t.Errorf("%d of 200 rows were copied, want those outside the damage", n)
	}
	if page.Left == 1000 {
		t.Error("the limit begins at 0 again")
	}
	if page.Notice == "" || !strings.Contains(page.Notice, asidePrefix) {
		t.Errorf("notice %q, want the name of the old file", page.Notice)
	}
	if c, err := j.NextCallback(t.Context()); err != nil || c == nil || c.Nonce != "n-1" {
		t.Errorf("the callback that was acknowledged: %+v, %v", c, err)
	}
	known := submission(page.Rows[0].Prompt)
	if _, other, err := j.Intend(t.Context(), known); err != nil || other == nil {
		t.Errorf("a request that was copied: %+v, %v; want its job", other, err)
	}
	_, _, err = j.Intend(t.Context(), submission("unheard of"))
	if !pixazo.IsCode(err, pixazo.DuplicateUncertain) || !strings.Contains(err.Error(), asidePrefix) {
		t.Errorf("a request that may have been in the damaged journal: %v", err)
	}
	intend(t, j, allowed(submission("unheard of")))
	j.Close()

	// Two hours later nothing is held back any more.
	entries, _ := filepath.Glob(filepath.Join(dir, asidePrefix+"*"))
	for _, path := range entries {
		at := time.Now().Add(-replacedSpan - time.Minute).UTC().Format(asideTime)
		name := filepath.Base(path)
		if err := os.Rename(path, filepath.Join(dir, asidePrefix+at+name[len(asidePrefix)+len(at):])); err != nil {
			t.Fatal(err)
		}
	}
	intend(t, open(t, dir), submission("something else"))
}

func TestAJournalThatIsNoneIsReplaced(t *testing.T) {
	for name, content := range map[string][]byte{
		"text":    []byte(strings.Repeat("this is not a database\n", 100)),
		"cut off": []byte("SQLite format 3\x00"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, fileName), content, 0o600); err != nil {
				t.Fatal(err)
			}
			j := open(t, dir)
			if _, _, err := j.Intend(t.Context(), submission("tides")); !pixazo.IsCode(err, pixazo.DuplicateUncertain) {
				t.Errorf("got %v, want that it is held back", err)
			}
			accept(t, j, allowed(submission("tides")), "id-1")
			kept, _ := filepath.Glob(filepath.Join(dir, asidePrefix+"*"+ending))
			if len(kept) != 1 {
				t.Fatalf("kept %q, want one file", kept)
			}
			if raw, err := os.ReadFile(kept[0]); err != nil || !bytes.Equal(raw, content) {
				t.Errorf("the old file was changed: %q, %v", raw, err)
			}
		})
	}
}

func TestFilesThatGoAwayWhileInUse(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows deletes no file that is open")
	}
	for _, tt := range []struct {
		name   string
		remove func(t *testing.T, dir string)
		rows   int  // listed after a further submission
		broken bool // the further submission is refused
	}{
		{"the directory", func(t *testing.T, dir string) { check(t, os.RemoveAll(dir)) }, 1, false},
		{"the directory, and a file takes its place", func(t *testing.T, dir string) {
			check(t, os.RemoveAll(dir))
			check(t, os.WriteFile(dir, nil, 0o600))
		}, 0, true},
		{"the database", func(t *testing.T, dir string) { check(t, os.Remove(filepath.Join(dir, fileName))) }, 1, false},
		{"the -wal", func(t *testing.T, dir string) { check(t, os.Remove(filepath.Join(dir, fileName+"-wal"))) }, 4, false},
		{"the -shm", func(t *testing.T, dir string) { check(t, os.Remove(filepath.Join(dir, fileName+"-shm"))) }, 4, false},
		{"the -wal and the -shm", func(t *testing.T, dir string) {
			check(t, os.Remove(filepath.Join(dir, fileName+"-wal")))
			check(t, os.Remove(filepath.Join(dir, fileName+"-shm")))
		}, 4, false},
		{"nothing", func(*testing.T, string) {}, 4, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			j := open(t, dir)
			fill(t, j, 3)
			tt.remove(t, dir)
			in, _, err := j.Intend(t.Context(), submission("one more"))
			if tt.broken {
				if !pixazo.IsCode(err, pixazo.JournalUnavailable) {
					t.Errorf("got %v; it would be paid for and forgotten", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			conclude(t, j, in, pixazo.Job{RequestID: "id-more", Status: pixazo.Queued}, nil)
			for _, companion := range companions { // else this process and the next one would not see each other's locks
				if _, err := os.Stat(filepath.Join(dir, fileName+companion)); err != nil {
					t.Error(err)
				}
			}
			j.Close()
			other := open(t, dir)
			if rows := list(t, other, All); len(rows) != tt.rows || rows[0].Job.RequestID != "id-more" {
				t.Errorf("another process lists %d rows, want %d: %+v", len(rows), tt.rows, rows)
			}
		})
	}
}

// The -wal and -shm are deleted while two processes have the journal open. SQLite would not
// write the rows of the deleted -wal into the database when one of the two closes it, so
// the journal must do that itself.
func TestTheCompanionsGoAwayWhileTwoProcessesUseThem(t *testing.T) {
	if dir := os.Getenv("JOURNAL_OTHER_DIR"); dir != "" { // the other process
		j := open(t, dir)
		list(t, j, All)
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	if runtime.GOOS == "windows" {
		t.Skip("Windows deletes no file that is open")
	}
	dir := t.TempDir()
	j := open(t, dir)
	fill(t, j, 3)
	other := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	other.Env = append(os.Environ(), "JOURNAL_OTHER_DIR="+dir)
	in, err := other.StdinPipe()
	check(t, err)
	out, err := other.StdoutPipe()
	check(t, err)
	check(t, other.Start())
	defer func() { _ = in.Close(); _ = other.Wait() }()
	if _, err := io.ReadFull(out, make([]byte, len("ready"))); err != nil {
		t.Fatal(err)
	}
	for _, companion := range companions {
		check(t, os.Remove(filepath.Join(dir, fileName+companion)))
	}
	accept(t, j, submission("one more"), "id-more")
	if rows := list(t, j, All); len(rows) != 4 {
		t.Errorf("%d rows are left of 4", len(rows))
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What a killed process leaves is in the -wal, and SQLite says nothing when it
// takes that for an old one.
func TestFilesThatAreDamagedAfterAKill(t *testing.T) {
	t.Parallel()
	write := func(name string, content []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) { check(t, os.WriteFile(filepath.Join(dir, name), content, 0o600)) }
	}
	version := func(number int) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			db, err := sql.Open("sqlite", filepath.Join(dir, fileName))
			check(t, err)
			_, err = db.Exec(fmt.Sprintf("PRAGMA user_version = %d", number))
			check(t, errors.Join(err, db.Close()))
		}
	}
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		code   pixazo.Code // of the same request; "" when it is answered with its job
		says   string
		rows   int // listed
	}{
		{"nothing", func(*testing.T, string) {}, "", "", 3},
		{"an empty database", write(fileName, nil), "", "", 3},
		{"a database that is cut off", write(fileName, []byte("SQLite format 3\x00")), "", "", 3},
		{"a -wal of something else", write(fileName+"-wal", bytes.Repeat([]byte("garbage "), 9000)), pixazo.DuplicateUncertain, asidePrefix, 0},
		{"a -wal of zeros", write(fileName+"-wal", make([]byte, 90000)), pixazo.DuplicateUncertain, asidePrefix, 0},
		{"a -wal whose header is damaged", func(t *testing.T, dir string) {
			raw, err := os.ReadFile(filepath.Join(dir, fileName+"-wal"))
			check(t, err)
			raw[20]++
			write(fileName+"-wal", raw)(t, dir)
		}, pixazo.DuplicateUncertain, asidePrefix, 0},
		{"a lock of something else", write("journal.lock", bytes.Repeat([]byte("garbage "), 900)), pixazo.JournalUnavailable, "journal.lock can't be locked", 3},
		{"a version below 0", version(-1), pixazo.JournalUnavailable, "already exists", 3},
		{"a version of the future", version(99), "", "", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			running, dir := t.TempDir(), t.TempDir()
			fill(t, open(t, running), 3)
			check(t, os.CopyFS(dir, os.DirFS(running)))
			tt.damage(t, dir)
			j := open(t, dir)
			_, other, err := j.Intend(t.Context(), submission(fmt.Sprintf("%s %d", strings.Repeat("a long prompt ", 100), 1)))
			switch {
			case tt.code == "" && (err != nil || other == nil || other.Job.RequestID != "id-001"):
				t.Errorf("the same request: %+v, %v; want its job", other, err)
			case tt.code != "" && (!pixazo.IsCode(err, tt.code) || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("the same request: %v, want %s with %q", err, tt.code, tt.says)
			}
			if rows := list(t, j, All); len(rows) != tt.rows {
				t.Errorf("%d rows, want %d", len(rows), tt.rows)
			}
		})
	}
}

// A state directory that is a link to a disk that was taken out is an error. An empty list
// would say that there are no videos.
func TestALinkThatLeadsNowhereIsNoEmptyJournal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Symlink(filepath.Join(t.TempDir(), "gone"), dir); err != nil {
		t.Skipf("links: %v", err)
	}
	for _, dir := range []string{dir, filepath.Join(dir, "pixazo-mcp")} {
		if _, err := open(t, dir).List(t.Context(), All, 10, ""); !pixazo.IsCode(err, pixazo.JournalUnavailable) || !strings.Contains(err.Error(), "state: it is a link that leads nowhere") {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestALinkIsFollowedToARegularFileOnly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need a privilege there")
	}
	device, notes := filepath.Join(t.TempDir(), "fifo"), filepath.Join(t.TempDir(), "notes.txt")
	check(t, os.WriteFile(notes, []byte("not a journal"), 0o644))
	if out, err := exec.Command("mkfifo", "-m", "644", device).CombinedOutput(); err != nil {
		t.Skipf("mkfifo: %v %s", err, out)
	}
	for target, says := range map[string]string{
		os.DevNull: "not a regular file", device: "not a regular file", t.TempDir(): "not a regular file", notes: "is no database",
		filepath.Join(t.TempDir(), "gone"): fileName + " is a link that leads nowhere", fileName: fileName + " is a link that leads nowhere",
	} {
		dir := t.TempDir()
		check(t, os.Symlink(target, filepath.Join(dir, fileName)))
		before, broken := os.Stat(target)
		if _, _, err := open(t, dir).Intend(t.Context(), submission("tides")); !pixazo.IsCode(err, pixazo.JournalUnavailable) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v", target, err)
		}
		if _, err := Check(dir); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: a check says %v", target, err)
		}
		if _, err := open(t, dir).List(t.Context(), All, 10, ""); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: a list says %v", target, err)
		}
		if broken != nil {
			continue
		}
		if after, err := os.Stat(target); err != nil || after.Mode() != before.Mode() {
			t.Errorf("%s has mode %v, %v; had %v", target, after.Mode(), err, before.Mode())
		}
	}
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "real.db")
	check(t, os.WriteFile(elsewhere, nil, 0o644))
	check(t, os.Symlink(elsewhere, filepath.Join(dir, fileName)))
	j := open(t, dir)
	accept(t, j, submission("tides"), "id-1")
	before := j.State()
	accept(t, j, submission("moon"), "id-2")
	if j.State() == before {
		t.Error("nobody notices what is written behind a link")
	}
	if info, err := os.Stat(elsewhere); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want the journal there, readable to nobody else", info, err)
	}
}

// asNobody runs the named test again as a user who owns nothing, with dir in the
// environment. It reports whether this is that run.
func asNobody(t *testing.T, dir string) bool {
	if os.Getenv("JOURNAL_TEST_DIR") != "" {
		return true
	}
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("only root on Linux can become another user")
	}
	program := filepath.Join(filepath.Dir(dir), "journal.test")
	raw, err := os.ReadFile(os.Args[0])
	check(t, err)
	check(t, os.WriteFile(program, raw, 0o755))
	for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755)
	}
	cmd := exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "JOURNAL_TEST_DIR="+dir, "TMPDIR=/tmp")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("as another user: %v\n%s", err, out)
	}
	return false
}

// closedJournal returns the folder of a journal of three videos that is not open.
func closedJournal(t *testing.T) (dir string) {
	dir = filepath.Join(t.TempDir(), "state")
	j := open(t, dir)
	fill(t, j, 3)
	j.Close()
	return dir
}

func TestAJournalThatMayOnlyBeReadIsListed(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("JOURNAL_TEST_DIR")
	if dir == "" {
		dir = closedJournal(t)
		for _, name := range []string{fileName, fileName + "-wal", fileName + "-shm", "journal.lock"} {
			check(t, os.Chmod(filepath.Join(dir, name), 0o644))
		}
	}
	if !asNobody(t, dir) {
		return
	}
	j := open(t, dir)
	if rows := list(t, j, All); len(rows) != 3 {
		t.Errorf("%d rows, want 3", len(rows))
	}
	if row := find(t, j, "id-001"); row == nil {
		t.Error("a job is not found")
	}
	if _, _, err := j.Intend(t.Context(), submission("tides")); !pixazo.IsCode(err, pixazo.JournalUnavailable) {
		t.Errorf("a submission: %v, want that nothing is submitted", err)
	}
}

// SQLite says only that it can't open the file.
func TestAJournalOfAnotherUserIsToldAsSuch(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("JOURNAL_TEST_DIR")
	if dir == "" {
		dir = closedJournal(t)
	}
	if !asNobody(t, dir) {
		return
	}
	const want = "unable to open database file (14): it may belong to another user, as after sudo"
	if _, err := open(t, dir).List(t.Context(), All, 20, ""); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a list: %v, want %q", err, want)
	}
	if _, err := Check(dir); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a check: %v, want %q", err, want)
	}
}

// smallDisk returns a directory on a disk of that size.
func smallDisk(t *testing.T, size string) string {
	dir := t.TempDir()
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("only root on Linux can mount a small disk")
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("mount: %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	return dir
}

// fillDisk leaves nothing free on the disk of dir, and returns what frees it.
func fillDisk(t *testing.T, dir string) (empty func()) {
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	check(t, err)
	for _, size := range []int{64 << 10, 4 << 10, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	check(t, f.Close())
	return func() { check(t, os.Remove(path)) }
}

func TestAFullDisk(t *testing.T) {
	dir := smallDisk(t, "1m")
	j := open(t, dir)
	fill(t, j, 3)
	in := intend(t, j, submission("tides"))
	// The -wal is written over from its beginning once it was emptied, so that
	// it has no room of its own left.
	check(t, j.write(t.Context(), intents, func(_ context.Context, db *sql.DB) error {
		_, err := db.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
		return err
	}))
	empty := fillDisk(t, dir)

	begun := time.Now()
	if _, err := j.Conclude(in, pixazo.Job{RequestID: "id-tides", Status: pixazo.Queued}, nil); err == nil {
		t.Fatal("the outcome was written to a full disk")
	}
	if _, row, err := j.Intend(t.Context(), submission("tides")); err != nil || row == nil || row.Job.RequestID != "id-tides" {
		t.Errorf("the same request: %+v, %v; want the job that is known here", row, err)
	}
	if _, _, err := j.Intend(t.Context(), submission("another")); !pixazo.IsCode(err, pixazo.JournalUnavailable) || !strings.Contains(err.Error(), dir) {
		t.Errorf("another request: %v, want that nothing is submitted, and which disk is full", err)
	}
	for name, reader := range map[string]*Journal{"this process": j, "one that was started on the full disk": open(t, dir)} {
		if rows := list(t, reader, All); len(rows) != 4 {
			t.Errorf("%s lists %d rows, want 4", name, len(rows))
		}
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	empty()
	intend(t, j, submission("another"))
	if row := find(t, open(t, dir), "id-tides"); row == nil || row.State != Accepted {
		t.Errorf("once there is room another process finds %+v", row)
	}
}

// On a disk that is almost full SQLite may make the file but not the tables in it.
func TestAJournalWithoutTablesHasNoRows(t *testing.T) {
	dir := smallDisk(t, "64k")
	if _, _, err := open(t, dir).Intend(t.Context(), submission("tides")); !pixazo.IsCode(err, pixazo.JournalUnavailable) {
		t.Fatalf("a submission: %v, want that the journal can't be made", err)
	}
	if info, err := os.Stat(filepath.Join(dir, fileName)); err != nil || info.Size() == 0 {
		t.Fatalf("the file: %v, %v; want one that was begun", info, err)
	}
	if rows := list(t, open(t, dir), All); len(rows) != 0 {
		t.Errorf("it lists %+v", rows)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if r, err := Check(dir); err != nil || r.Exists {
		t.Errorf("none: %+v, %v", r, err)
	}
	j := open(t, dir)
	fill(t, j, 200)
	if r, err := Check(dir); err != nil || !r.Exists || r.Jobs != 200 {
		t.Errorf("in use: %+v, %v", r, err)
	}
	j.Close()
	before, _ := os.ReadDir(dir)
	if r, err := Check(dir); err != nil || r.Jobs != 200 {
		t.Errorf("closed: %+v, %v", r, err)
	}
	overwrite(t, filepath.Join(dir, fileName), 0.4, 0.6)
	if _, err := Check(dir); !errors.Is(err, errDamaged) {
		t.Errorf("damaged: %v", err)
	}
	if after, _ := os.ReadDir(dir); len(after) != len(before) {
		t.Errorf("it left %v, there was %v", after, before)
	}
}

// A call that begins to write before the files are opened again writes to the deleted -wal.
// The -shm then describes what only that file has. This test holds that the journal can be
// used all the same, and is not taken for damaged.
func TestDeletedWALWhileOthersWrite(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows deletes no file that is open")
	}
	const jobs = 8
	write := func(ctx context.Context, j *Journal, who int) {
		for n := 0; ctx.Err() == nil; n++ {
			job := pixazo.Job{RequestID: fmt.Sprintf("id-%03d", n%jobs), Status: pixazo.Status(fmt.Sprint("STEP ", who, n))}
			_, _ = j.Observe(ctx, job)
			_, _ = j.List(ctx, All, 100, "")
		}
	}
	if dir := os.Getenv("JOURNAL_TEST_WRITER"); dir != "" { // the other process
		j := open(t, dir)
		list(t, j, All)
		ctx, stop := context.WithCancel(t.Context())
		fmt.Println("ready")
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
		write(ctx, j, 9)
		return
	}
	for range 4 {
		dir := t.TempDir()
		j := open(t, dir)
		fill(t, j, jobs)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var others sync.WaitGroup
		for i := range 3 {
			others.Go(func() { write(ctx, j, i) })
		}
		end := startWriter(t, dir)
		check(t, os.Remove(filepath.Join(dir, fileName+"-wal")))
		for n := range 5 {
			accept(t, j, submission(fmt.Sprint("another ", n)), fmt.Sprint("id-other-", n))
		}
		end()
		stop()
		others.Wait()
		j.Close()
		if rows := list(t, open(t, dir), All); len(rows) != jobs+5 {
			t.Errorf("%d rows are left of %d", len(rows), jobs+5)
		}
		if kept, _ := filepath.Glob(filepath.Join(dir, asidePrefix+"*")); kept != nil {
			t.Errorf("the journal was taken for damaged: %q", kept)
		}
	}
}

// startWriter runs the test in another process, which writes to the journal in dir until
// end is called.
func startWriter(t *testing.T, dir string) (end func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "JOURNAL_TEST_WRITER="+dir)
	stdin, err := cmd.StdinPipe()
	check(t, err)
	stdout, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && lines.Text() != "ready" {
	}
	return func() {
		check(t, stdin.Close())
		_, _ = io.Copy(io.Discard, stdout)
		check(t, cmd.Wait())
	}
}

// TestALockThatIsHeld: one that another process holds, as while it is suspended, made
// each call wait for those before it, each until its own timeout.
func TestALockThatIsHeld(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir)
	fill(t, j, 3)
	j.Close()
	held, err := (&embedded{dir: dir, file: fileName, busy: time.Second}).lock(time.Second)
	check(t, err)
	defer held()
	o := at(dir)
	o.Busy = 2 * time.Second
	j = New(o)
	defer j.Close()
	begun := time.Now()
	var calls sync.WaitGroup
	for n := range 20 {
		calls.Go(func() {
			if _, _, err := j.Intend(t.Context(), submission(fmt.Sprint("another ", n))); !pixazo.IsCode(err, pixazo.JournalUnavailable) {
				t.Errorf("a submission got %v", err)
			}
		})
		calls.Go(func() {
			if page, err := j.List(t.Context(), All, 100, ""); err != nil || len(page.Rows) != 3 {
				t.Errorf("a list has %d rows, error %v", len(page.Rows), err)
			}
		})
	}
	calls.Wait()
	if took := time.Since(begun); took > 20*o.Busy/2 {
		t.Errorf("all of them took %s, as if each waited for itself", took)
	}
}

// A read gives up waiting for the journal's lock after statusBusy. A submission that waits
// at the same time must not fail with it: it has longer.
func TestAReaderGivesUpForItselfAlone(t *testing.T) {
	t.Parallel()
	e := &embedded{dir: t.TempDir(), file: fileName, busy: defaultBusy, log: slog.New(slog.DiscardHandler)}
	defer e.close()
	e.failed, e.failedAt, e.failedAfter = errors.New("locked"), time.Now().Add(time.Hour), statusBusy
	if _, err := e.open(reads); err != e.failed {
		t.Errorf("another reader got %v", err)
	}
	if _, err := e.open(intents); err != nil {
		t.Errorf("a submission got %v", err)
	}
}

// A submission waits long for a lock that another process holds. Calls that only read do
// not wait for the submission: they read the journal as it is.
func TestAReaderDoesNotWaitForASubmission(t *testing.T) {
	t.Parallel()
	o := at(t.TempDir())
	j := New(o)
	fill(t, j, 3)
	j.Close()
	unlock, err := (&embedded{dir: o.Dir, file: fileName}).lock(time.Second)
	check(t, err)
	o.Busy = time.Minute
	j = New(o)
	defer j.Close()
	submitted := make(chan error)
	go func() {
		_, _, err := j.Intend(t.Context(), submission("another"))
		submitted <- err
	}()
	for j.engine.(*embedded).opening.Load() == nil {
		time.Sleep(time.Millisecond)
	}
	begun := time.Now()
	for range 3 {
		if page, err := j.List(t.Context(), All, 100, ""); err != nil || len(page.Rows) != 3 {
			t.Errorf("a list has %d rows, error %v", len(page.Rows), err)
		}
	}
	if took := time.Since(begun); took > o.Busy/3 {
		t.Errorf("three lists took %s", took)
	}
	unlock()
	check(t, <-submitted)
}
