// These tests damage the pages of a journal, one kind of damage each.

package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pixazo-mcp/pixazo"
)

// long returns a submission whose row does not fit into one page.
func long(n int) Intent {
	in := submission(fmt.Sprintf("video %d", n))
	in.Prompt += strings.Repeat(" and a long prompt", 300)
	return in
}

// pagesWith returns the numbers of the pages that contain a text.
func pagesWith(raw []byte, text string) (pages []int) {
	for at := 0; at < len(raw); at += pageSize {
		if strings.Contains(string(raw[at:at+pageSize]), text) {
			pages = append(pages, at/pageSize)
		}
	}
	return pages
}

const pageSize = 4096

func TestWhatCanBeReadOfADamagedJournalIsKept(t *testing.T) {
	t.Parallel()
	const n = 40
	zero := func(raw []byte, page int) { clear(raw[page*pageSize : (page+1)*pageSize]) }
	for name, c := range map[string]struct {
		damage func(raw []byte) []byte
		least  int // rows that are kept
	}{
		"cut off between pages": {func(raw []byte) []byte { return raw[:len(raw)-20*pageSize] }, 10},
		"cut off in a page":     {func(raw []byte) []byte { return raw[:len(raw)-pageSize+96] }, 30},
		"two rows": {func(raw []byte) []byte {
			zero(raw, pagesWith(raw, "video 5 and")[0])
			zero(raw, pagesWith(raw, "video 35 and")[0])
			return raw
		}, 20},
		"the end of a long row": {func(raw []byte) []byte {
			zero(raw, pagesWith(raw, "polling-5.")[0])
			return raw
		}, n - 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			j := open(t, dir)
			for i := range n {
				conclude(t, j, intend(t, j, long(i)), pixazo.Job{RequestID: fmt.Sprintf("id-%03d", i), PollingURL: fmt.Sprintf("polling-%d.", i)}, nil)
			}
			j.Close()
			path := filepath.Join(dir, fileName)
			raw, err := os.ReadFile(path)
			check(t, err)
			check(t, os.WriteFile(path, c.damage(raw), 0o600))

			j = open(t, dir)
			if kept := len(list(t, j, All)); kept < c.least {
				t.Errorf("%d of %d rows were copied, want at least %d", kept, n, c.least)
			}
			for i := range n {
				if _, other, err := j.Intend(t.Context(), long(i)); other == nil && !pixazo.IsCode(err, pixazo.DuplicateUncertain) {
					t.Errorf("request %d would be sent again: %v", i, err)
				}
			}
		})
	}
}

// A large gap of unreadable rows must not keep the newest rows from being copied: the rules
// on duplicates and limits look at those.
func TestTheNewestRowsBehindALargeGapAreKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir)
	for i := range 40 {
		accept(t, j, long(i), fmt.Sprintf("id-%03d", i))
	}
	check(t, j.write(t.Context(), outcomes, func(ctx context.Context, db *sql.DB) error {
		// One page has rows on both sides of the gap in the numbers.
		_, err := db.ExecContext(ctx, fmt.Sprintf("UPDATE jobs SET row = row + %d WHERE row > 20; VACUUM", 2*mostUnreadable))
		return err
	}))
	j.Close()
	path := filepath.Join(dir, fileName)
	raw, err := os.ReadFile(path)
	check(t, err)
	for _, row := range []string{"video 19 and", "video 20 and"} {
		page := pagesWith(raw, row)[0]
		clear(raw[page*pageSize : (page+1)*pageSize])
	}
	check(t, os.WriteFile(path, raw, 0o600))

	j = open(t, dir)
	for id, want := range map[string]bool{"id-000": true, "id-019": false, "id-020": false, "id-039": true} {
		if row := find(t, j, id); (row != nil) != want {
			t.Errorf("%s: found %t, want %t", id, row != nil, want)
		}
	}
}

// ofOneJob makes a journal that has one job, id-1, and returns its directory and the path
// of its file.
func ofOneJob(t *testing.T) (dir, path string) {
	dir = t.TempDir()
	j := open(t, dir)
	defer j.Close()
	accept(t, j, submission("tides"), "id-1")
	return dir, filepath.Join(dir, fileName)
}

func TestADamagedJournalOfALaterVersionIsKept(t *testing.T) {
	t.Parallel()
	dir, path := ofOneJob(t)
	db, err := sql.Open("sqlite", path)
	check(t, err)
	_, err = db.Exec("ALTER TABLE jobs ADD COLUMN later TEXT NOT NULL DEFAULT 'x'; PRAGMA user_version = 9")
	check(t, errors.Join(err, db.Close()))
	overwrite(t, path, 0.9, 1)
	if rows := list(t, open(t, dir), All); len(rows) != 1 || rows[0].Job.RequestID != "id-1" {
		t.Errorf("%+v, want the row", rows)
	}
}

func TestADamagedJournalBehindALinkIsReplaced(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), t.TempDir()
	j := open(t, elsewhere)
	fill(t, j, 20)
	j.Close()
	target := filepath.Join(elsewhere, fileName)
	overwrite(t, target, 0.9, 1)
	if err := os.Symlink(target, filepath.Join(dir, fileName)); err != nil {
		t.Skip(err)
	}
	j = New(Options{Dir: dir, Gateway: at(elsewhere).Gateway})
	defer j.Close()
	page, err := j.List(t.Context(), All, 100, "")
	if err != nil || len(page.Rows) < 10 || !strings.Contains(page.Notice, filepath.Join(elsewhere, asidePrefix)) {
		t.Errorf("%d rows, notice %q, %v; want what can be read, and where the damaged file is", len(page.Rows), page.Notice, err)
	}
	if _, _, err := j.Intend(t.Context(), submission("tides")); !pixazo.IsCode(err, pixazo.DuplicateUncertain) {
		t.Errorf("got %v, want that it is held back", err)
	}
}

func TestTheRowsOfADamagedJournalAreCopiedAfterAKill(t *testing.T) {
	t.Parallel()
	dir, path := ofOneJob(t)
	// The damaged file was renamed, and its process killed before it made a new one.
	check(t, os.Rename(path, filepath.Join(dir, asidePrefix+time.Now().UTC().Format(asideTime)+ending)))
	check(t, os.Remove(path+"-wal"))
	check(t, os.WriteFile(path, nil, 0o600))

	j := open(t, dir)
	if _, other, err := j.Intend(t.Context(), submission("tides")); err != nil || other == nil || other.Job.RequestID != "id-1" {
		t.Errorf("the request that was sent before: %+v, %v; want its job", other, err)
	}
	if rows := list(t, j, All); len(rows) != 1 {
		t.Errorf("%d rows, want the one that could be read", len(rows))
	}
}

// A power cut, or a kill, leaves these. What was committed is in the database.
func TestAWALWithoutCommitsIsNoDamage(t *testing.T) {
	t.Parallel()
	for name, wal := range map[string][]byte{"empty": {}, "a part of the header": make([]byte, 20), "a header that was not synced": make([]byte, 32)} {
		dir, path := ofOneJob(t)
		check(t, os.WriteFile(path+"-wal", wal, 0o600))
		if r, err := Check(dir); err != nil || r.Jobs != 1 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		j := open(t, dir)
		accept(t, j, submission("tide pools"), "id-2")
		if rows := list(t, j, All); len(rows) != 2 {
			t.Errorf("%s: %d rows, want 2", name, len(rows))
		}
	}
}

// Without locks a reader may see half of what others write meanwhile.
func TestAJournalThatIsWrittenMeanwhileIsReadAgain(t *testing.T) {
	t.Parallel()
	none := readFile(filepath.Join(t.TempDir(), "none"), shared, defaultBusy, (*sql.DB).Ping) // can't be opened
	for _, failed := range []error{errDamaged, none} {
		dir, path := ofOneJob(t)
		e := &embedded{dir: dir, file: fileName, busy: defaultBusy}
		runs := 0
		err := e.peek(path, func(*sql.DB) error {
			runs++
			if runs > 1 {
				return nil
			}
			j := open(t, dir)
			accept(t, j, submission("tide pools"), "id-2")
			j.Close() // which empties the -wal
			return failed
		})
		if runs != 2 || err != nil {
			t.Errorf("%d runs, %v; want a second one", runs, err)
		}
		runs = 0
		if err := e.peek(path, func(*sql.DB) error { runs++; return failed }); runs != 1 || !errors.Is(err, failed) {
			t.Errorf("nobody wrote: %d runs, %v; want one, and its error", runs, err)
		}
	}
}
