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
	aside := filepath.Join(filepath.Dir(o.path), e.name()+asidePart+time.Now().UTC().Format(asideTime)+ending)
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
	if err := os.WriteFile(o.path, nil, 0o600); err != nil { // or a link in its place would lead nowhere
		return err
	}
	e.log.Error("the journal was damaged and is set aside", "kept_as", aside, "cause", cause)
	fresh, err := e.openLocked()
	if err != nil {
		return err
	}
	e.current = fresh
	return nil
}

// refill copies the rows of a damaged journal that was just set aside into the new one,
// which has none yet: also when an earlier process was killed before it had done so, or
// had no room on the disk.
func (e *embedded) refill(to *sql.DB) error {
	aside, at := e.newestAside()
	if aside == "" || time.Since(at).Abs() > replacedSpan {
		return nil
	}
	var has bool
	if err := to.QueryRow(`SELECT EXISTS (SELECT 1 FROM jobs)`).Scan(&has); err != nil || has {
		return err
	}
	kept, err := copyRows(aside, to)
	if err == nil && kept > 0 {
		e.log.Warn("the new journal has the rows of the damaged one that could be read", "kept_as", aside, "rows", kept)
	}
	return err
}

// mostUnreadable is how many row numbers in succession are tried of which none can be
// read; a damaged page has a few dozen rows, or leads to the pages of a few thousand.
const mostUnreadable = 10_000

// tolerant has SQLite read a file that is cut off, or whose schema is damaged in part.
const tolerant = "&_pragma=writable_schema(1)"

// copyRows copies the jobs and callbacks of the database file from that can be read
// into to, and returns how many jobs that are. Its error says why to can't be written.
func copyRows(from string, to *sql.DB) (copied int, err error) {
	err = transaction(context.Background(), to, func(tx *sql.Tx) error {
		for _, how := range []string{shared, unlocked} {
			var writeErr error
			unread := readFile(from, how+tolerant, time.Second, func(db *sql.DB) (unread error) {
				if _, _, writeErr = copyTable(db, tx, "callbacks"); writeErr != nil { // the first version has none
					return writeErr
				}
				var n int
				n, unread, writeErr = copyTable(db, tx, "jobs")
				copied += n
				return errors.Join(unread, writeErr)
			})
			if unread == nil || writeErr != nil {
				return writeErr
			}
		}
		return nil
	})
	return copied, err
}

// copyTable copies the rows of a table, in the columns that both databases have. It
// leaves out rows that can't be read, and those that to has already or does not accept.
// unread is the error of the last row that could not be read.
func copyTable(from *sql.DB, to *sql.Tx, table string) (copied int, unread, err error) {
	columns, unread := columnsOf(from, table)
	if unread != nil {
		return 0, unread, nil
	}
	known, err := columnsOf(to, table)
	if err != nil {
		return 0, nil, err
	}
	columns = slices.DeleteFunc(columns, func(name string) bool { return !slices.Contains(known, name) }) // a later version may have more
	marks := make([]string, len(columns))
	for i := range columns {
		marks[i] = fmt.Sprintf("$%d", i+1)
	}
	list := strings.Join(columns, ", ")
	insert := fmt.Sprintf(`INSERT OR IGNORE INTO %s (%s) VALUES (%s)`, table, list, strings.Join(marks, ", "))
	read := fmt.Sprintf(`SELECT rowid, %s FROM %s NOT INDEXED `, list, table)
	next := int64(0)
	add := func(number int64, values []any) error {
		var result sql.Result
		if result, err = to.Exec(insert, values...); err == nil {
			n, _ := result.RowsAffected()
			copied += int(n)
		} else if code(err, sqlite3.SQLITE_CONSTRAINT) {
			err = nil
		}
		next = number + 1
		return err
	}
	for failed := 0; failed < mostUnreadable; failed++ {
		begun := next
		failure := readRows(from, read+"WHERE rowid >= $1 ORDER BY rowid", next, len(columns), func(number int64, values []any) error {
			if number < next { // a damaged page leads back
				return errDamaged
			}
			return add(number, values)
		})
		if failure == nil || err != nil {
			return copied, unread, err
		}
		if unread = failure; next > begun {
			failed = 0
		}
		next++
	}
	_ = readRows(from, read+"WHERE rowid >= $1 ORDER BY rowid DESC", next, len(columns), add) // so that the newest ones are not lost behind a large gap
	return copied, unread, err
}

// readRows calls f with the number and the values of each row that statement finds from
// the number first on, until one can't be read or f fails.
func readRows(db *sql.DB, statement string, first int64, columns int, f func(number int64, values []any) error) error {
	rows, err := db.Query(statement, first)
	if err != nil {
		return err
	}
	defer rows.Close()
	values, places := make([]any, columns+1), make([]any, columns+1)
	for i := range values {
		places[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return err
		}
		number, _ := values[0].(int64)
		if err := f(number, values[1:]); err != nil {
			return err
		}
	}
	return rows.Err()
}

// columnsOf returns the names of a table's columns.
func columnsOf(db querier, table string) ([]string, error) {
	rows, err := db.QueryContext(context.Background(), `SELECT * FROM `+table+` LIMIT 0`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return rows.Columns()
}

// rescue handles a -wal that was deleted, alone or with the -shm, while the database file is
// still there: it writes the rows of the deleted -wal, which this process has open, into the
// database file. Rows that were written to the deleted -wal later would be lost, so all
// handles but one are closed before. If another process has done it already, there is a new
// -shm, and rescue does nothing. e.mu and the lock are held.
func (e *embedded) rescue() {
	gone := func(path string) bool {
		_, err := os.Lstat(path)
		return errors.Is(err, fs.ErrNotExist)
	}
	o := e.current
	if o == nil || !sameFile(o.path, o.db) || !gone(o.path+"-wal") ||
		o.shm != nil && !gone(o.path+"-shm") && !sameFile(o.path+"-shm", o.shm) {
		return
	}
	for p, db := range o.handles {
		if purpose(p) != outcomes {
			_ = closeUnused(db)
		}
	}
	_, _ = o.handles[outcomes].Exec("PRAGMA wal_checkpoint(TRUNCATE)")
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
	dir := e.dir
	if path, err := e.resolve(); err == nil && dir != "" {
		dir = filepath.Dir(path) // replace keeps it beside the file that a link leads to
	}
	entries, _ := os.ReadDir(dir) // in the order of their names
	for _, entry := range slices.Backward(entries) {
		stamp, ok := strings.CutPrefix(strings.TrimSuffix(entry.Name(), ending), e.name()+asidePart)
		if at, err := time.Parse(asideTime, stamp); ok && err == nil {
			return filepath.Join(dir, entry.Name()), at
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
