// This file inspects a journal without writing to it.

package journal

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// Report is what Check found.
type Report struct {
	Path   string // of the database
	Exists bool   // false until the first submission makes it
	Jobs   int    // their number, over all gateways
	Notice string // of an earlier journal that was set aside; "" for none

	Leases []Lease // those that have not ended: they show which keepers run
}

// Check reads every page of the journal in dir without writing to it. A damaged
// journal is an error; one of an earlier version is none, and is not upgraded. Check
// waits at most 10 s for a journal that others have locked.
func Check(dir string) (Report, error) {
	e := &embedded{dir: dir, file: fileName, busy: defaultBusy, log: slog.New(slog.DiscardHandler)}
	report := Report{Path: filepath.Join(dir, fileName), Notice: notice(e)}
	if _, err := os.Lstat(report.Path); errors.Is(err, fs.ErrNotExist) {
		return report, nil
	}
	report.Exists = true
	path, err := e.resolve()
	if err == nil {
		err = e.checkTarget(path)
	}
	if err != nil {
		return report, err
	}
	err = e.peek(path, func(db *sql.DB) error {
		info, err := os.Stat(path)
		if err == nil {
			err = looksDamaged(path, info)
		}
		if err == nil {
			err = inspect(&report, db)
		}
		return err
	})
	if damaged(err) && !errors.Is(err, errDamaged) {
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	return report, err
}

// inspect checks every page, counts the jobs and reads the leases.
func inspect(report *Report, db *sql.DB) error {
	if err := intact(db); err != nil {
		return err
	}
	ctx := context.Background()
	version, err := schemaVersion(ctx, db)
	if err == nil && version == len(migrations) {
		err = timesAgree(ctx, db)
	}
	if err != nil || version == 0 {
		return err // version 0: there are no tables yet
	}
	if err := db.QueryRow("SELECT count(*) FROM jobs").Scan(&report.Jobs); err != nil {
		return err
	}
	report.Leases, err = query(ctx, db, scanLease, selectLeases(sqliteNow), "")
	return err
}

const magic = "SQLite format 3\x00" // with which each database begins

// errNoDatabase is within the error of checkTarget for a file that is no database.
var errNoDatabase = errors.New("is no database")

// checkTarget returns an error if path, which resolve has returned, is what a link leads
// to and neither empty nor a database: such a file would be taken for a damaged journal
// and renamed. This process must have no connection to the file: closing the file here
// would end its locks on it (sqlite.org/howtocorrupt.html, section 2.2).
func (e *embedded) checkTarget(path string) error {
	if path == filepath.Join(e.dir, e.file) {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	first := make([]byte, len(magic))
	if n, _ := io.ReadFull(f, first); n > 0 && string(first) != magic {
		return fmt.Errorf("%s, to which %s is a link, %w", path, e.file, errNoDatabase)
	}
	return nil
}

// looksDamaged is the error of a file that is too short for a database, whose last
// page is not whole, or whose -wal begins as none does. SQLite would take the first and
// the last for new ones, and throw away what the -wal has.
func looksDamaged(path string, info os.FileInfo) error {
	wal, err := os.Lstat(path + "-wal")
	switch {
	case info.Size() < smallestFile && (info.Size() > 0 || err == nil),
		endsInPage(path, info.Size()) && (err != nil || wal.Size() == 0): // else the -wal has the page, as after a disk was full
		return fmt.Errorf("%w: it is cut off at %d bytes", errDamaged, info.Size())
	case err == nil && wal.Mode().IsRegular() && !beginsAsWAL(path+"-wal"):
		return fmt.Errorf("%w: its -wal does not begin as one", errDamaged)
	}
	return nil
}

// endsInPage reports whether the last page of the database file at path is not whole.
func endsInPage(path string, size int64) bool {
	header := firstBytes(path, 18)
	if header == nil {
		return false
	}
	page := int64(binary.BigEndian.Uint16(header[16:])) // 1 for 64 KiB
	return page > 1 && size%page != 0
}

// beginsAsWAL reports whether the file at path begins as a -wal does, with a header
// that has the right checksum: SQLite reads nothing of one that has another. One that has
// nothing behind the header, which is synced before that, or can't be read, may be one.
func beginsAsWAL(path string) bool {
	header := firstBytes(path, 32+1)
	if header == nil {
		return true
	}
	magic := binary.BigEndian.Uint32(header)
	var order binary.ByteOrder = binary.LittleEndian
	if magic&1 == 1 {
		order = binary.BigEndian
	}
	var sum [2]uint32
	for i := 0; i < 24; i += 8 {
		sum[0] += order.Uint32(header[i:]) + sum[1]
		sum[1] += order.Uint32(header[i+4:]) + sum[0]
	}
	return magic&^1 == walMagic && sum[0] == binary.BigEndian.Uint32(header[24:]) && sum[1] == binary.BigEndian.Uint32(header[28:])
}

// firstBytes returns the first n bytes of the file at path; nil if it has fewer, or can't
// be read.
func firstBytes(path string, n int) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	first := make([]byte, n)
	if _, err := io.ReadFull(f, first); err != nil {
		return nil
	}
	return first
}

// peek runs f on the database file at path without writing anything. To read a
// journal that nobody has open, SQLite would make its companions, so such a one is
// opened without locks. f runs again if it fails while others write to the files: what it
// read without locks may be half of a change.
func (e *embedded) peek(path string, f func(*sql.DB) error) error {
	for try := 1; ; try++ {
		before, how := e.state(), unlocked
		if info, err := os.Lstat(path + "-wal"); err == nil && info.Size() > 0 {
			how = shared
		}
		err := readFile(path, how, e.busy, f)
		if err == nil || try == useTries || e.state() == before {
			if code(err, sqlite3.SQLITE_CANTOPEN) {
				err = fmt.Errorf("%w: it may belong to another user, as after sudo", err)
			}
			return err
		}
	}
}

// The ways to open a database file for readFile.
const (
	shared   = "&mode=ro"     // while others may write
	unlocked = "&immutable=1" // while nobody does
)

// readFile runs f on the database file at path, opened in one of these ways.
func readFile(path, how string, busy time.Duration, f func(*sql.DB) error) error {
	db, err := openSQLite(dataSource(path, "deferred", busy) + how)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	return f(db)
}
