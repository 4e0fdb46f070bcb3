// This file looks at a journal without using it.

package jobs

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
)

// JournalReport is what CheckJournal found.
type JournalReport struct {
	Path   string // of the database
	Exists bool   // the first submission makes it
	Jobs   int    // of all gateways
	Notice string // of an earlier journal that was set aside, or ""
}

// CheckJournal reads the journal in stateDir without writing to it, and checks
// every page. A damaged one is an error; the next server that uses it sets it
// aside, and brings one of an earlier version up to date. It waits at most 10 s
// for a journal that others have locked.
func CheckJournal(stateDir string) (JournalReport, error) {
	j := &journal{dir: stateDir, log: slog.New(slog.DiscardHandler)}
	report := JournalReport{Path: j.path(), Notice: j.notice()}
	info, err := os.Lstat(j.path())
	if errors.Is(err, fs.ErrNotExist) {
		return report, nil
	}
	report.Exists = true
	if err != nil {
		return report, err
	}
	wal := func() bool { // has one that is not empty
		info, err := os.Lstat(j.path() + "-wal")
		return err == nil && info.Size() > 0
	}
	if _, err := os.Lstat(j.path() + "-wal"); info.Mode().IsRegular() && info.Size() < smallestFile && (info.Size() > 0 || err == nil) {
		return report, fmt.Errorf("%w: it is cut off at %d bytes", errDamaged, info.Size())
	}
	// Even to read, SQLite would make the companions of a journal that nobody
	// has open, and leave them there. Such a one is read without locks; when a
	// server begins to write meanwhile, what was read means nothing.
	alone := !wal()
	report.Jobs, err = j.look(alone)
	if err != nil && alone && wal() {
		report.Jobs, err = j.look(false)
	}
	if damaged(err) && !errors.Is(err, errDamaged) {
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	return report, err
}

// look checks the journal as a whole and counts its jobs.
func (j *journal) look(alone bool) (count int, err error) {
	how := "&mode=ro"
	if alone {
		how = "&immutable=1"
	}
	db, err := sql.Open("sqlite", dataSource(j.path(), "deferred", busyTimeout)+how)
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }()
	if err := intact(db); err != nil {
		return 0, err
	}
	if version, err := schemaVersion(db); err != nil || version == 0 {
		return 0, err // 0: nothing is in it yet
	}
	err = db.QueryRow("SELECT count(*) FROM jobs").Scan(&count)
	return count, err
}
