// This file replaces a damaged journal: its files are renamed and kept, and the jobs
// and callbacks that can still be read are copied into a new one. It also rescues what is
// in a -wal that was deleted.

package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var errDamaged = errors.New("the journal is damaged")

func damaged(err error) bool {
	return errors.Is(err, errDamaged) || code(err, sqlite3.SQLITE_CORRUPT) || code(err, sqlite3.SQLITE_NOTADB)
}

// readsDeletedWAL reports whether err, which is not that of a commit, says that the
// -shm tells of what is not in the -wal. That is so after the -wal was deleted, until
// the last connection from before that is closed, which may be another process's.
func readsDeletedWAL(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	_, commit := errors.AsType[errCommit](err)
	return ok && !commit && e.Code() == sqlite3.SQLITE_IOERR_SHORT_READ
}

const (
	ending, asidePart = ".db", "-damaged-"
	asideTime         = "20060102T150405.000Z"
)

// replace renames the files of the damaged journal o and makes a new one with the
// rows that can still be read. If another process has done so already, it only closes
// o.
func (e *embedded) replace(o *files, cause error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current == o {
		e.closeLocked()
	}
	unlock, err := e.lock(e.busy)
	if err != nil {
		return err
	}
	defer unlock()
	if !sameFile(o.path, o.db) {
		return nil
	}
	aside := filepath.Join(e.dir, e.name()+asidePart+time.Now().UTC().Format(asideTime)+ending)
	// The database is renamed last: a new one must not find the old companions.
	for _, suffix := range append(slices.Clone(companions), "") {
		if err := os.Rename(o.path+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w, and can't be set aside while another program has it open (%v): quit the other clients, then try again", errDamaged, err)
		}
	}
	if info, err := os.Stat(aside); err == nil && info.Size() == 0 {
		// SQLite would delete the -wal of an empty file, which may have every row.
		_ = os.Truncate(aside, smallestFile)
	}
	fresh, err := e.openLocked()
	if err != nil {
		return err
	}
	kept := copyRows(aside, fresh.handles[intents])
	e.current = fresh
	e.log.Error("the journal was damaged and set aside; a new one has the rows that could be read", "kept_as", aside, "rows", kept, "cause", cause)
	return nil
}

// copyRows copies the jobs and callbacks of the database file from that can be read
// into to: from the first to the damage and, if there is one, from the last to the
// damage. It returns how many jobs it copied.
func copyRows(from string, to *sql.DB) (copied int) {
	for _, order := range []string{"ASC", "DESC"} {
		for _, how := range []string{shared, unlocked} {
			if err := readFile(from, how, time.Second, func(db *sql.DB) error {
				n, err := copyInOrder(db, to, "jobs", order)
				copied += n
				_, _ = copyInOrder(db, to, "callbacks", order) // the first version has none
				return err
			}); err == nil {
				return copied
			}
		}
	}
	return copied
}

// copyInOrder copies rows of a table in the given order until one can't be read. It
// leaves out rows that the new journal has already, or does not accept.
func copyInOrder(from, to *sql.DB, table, order string) (copied int, err error) {
	rows, err := from.Query(`SELECT * FROM ` + table + ` NOT INDEXED ORDER BY rowid ` + order)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return 0, err
	}
	values, places, marks := make([]any, len(columns)), make([]any, len(columns)), make([]string, len(columns))
	for i := range columns {
		places[i], marks[i] = &values[i], fmt.Sprintf("$%d", i+1)
	}
	insert := fmt.Sprintf(`INSERT OR IGNORE INTO %s (%s) VALUES (%s)`, table, strings.Join(columns, ", "), strings.Join(marks, ", "))
	err = transaction(context.Background(), to, func(tx *sql.Tx) error {
		for rows.Next() {
			if err := rows.Scan(places...); err != nil {
				return nil
			}
			if result, err := tx.Exec(insert, values...); err == nil {
				n, _ := result.RowsAffected()
				copied += int(n)
			}
		}
		return nil
	})
	return copied, errors.Join(err, rows.Err())
}

// rescue writes what the journal in use has in its -wal into the database file,
// when that file is in place and its -wal was deleted. Nobody may write to the deleted
// one after that, so the other handles are closed before. Another process that has
// rescued it already has replaced the -shm. e.mu and the lock are held.
func (e *embedded) rescue() {
	if o := e.current; o != nil && sameFile(o.path, o.db) && (o.shm == nil || sameFile(o.path+"-shm", o.shm)) {
		if _, err := os.Lstat(o.path + "-wal"); errors.Is(err, fs.ErrNotExist) {
			for p, db := range o.handles {
				if purpose(p) != outcomes {
					_ = closeUnused(db)
				}
			}
			_, _ = o.handles[outcomes].Exec("PRAGMA wal_checkpoint(TRUNCATE)")
		}
	}
}

// lock keeps other processes from opening or replacing the journal until unlock
// is called or this process ends. It waits for another one at most busy. It uses SQLite's
// lock on a database of its own, since that works on every platform and ends with the
// process.
func (e *embedded) lock(busy time.Duration) (unlock func(), err error) {
	path := filepath.Join(e.dir, e.name()+".lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // not with SQLite's mode
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dataSource(path, "exclusive", busy))
	if err != nil {
		return nil, err
	}
	tx, err := db.Begin()
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("%s can't be locked: %s", path, err.Error()) // says nothing of the journal itself
	}
	return func() {
		_ = tx.Rollback()
		_ = db.Close()
	}, nil
}

// name returns the name of the database file without its ending.
func (e *embedded) name() string { return strings.TrimSuffix(e.file, ending) }

func (e *embedded) newestAside() (path string, at time.Time) {
	entries, _ := os.ReadDir(e.dir) // in the order of their names
	for _, entry := range slices.Backward(entries) {
		stamp, ok := strings.CutPrefix(strings.TrimSuffix(entry.Name(), ending), e.name()+asidePart)
		if at, err := time.Parse(asideTime, stamp); ok && err == nil {
			return filepath.Join(e.dir, entry.Name()), at
		}
	}
	return "", time.Time{}
}

// notice tells a user of the damaged journal that was set aside last; "" if there is
// none.
func notice(e engine) string {
	kept, _ := e.newestAside()
	if kept == "" {
		return ""
	}
	return "An earlier journal was damaged and is kept as " + kept + "; this one has the rows of it that could be read."
}
