// This file is the embedded database: where it is, how it is opened and
// migrated, and when it is still the file that everybody uses.
//
// Money hangs on the order of its writes, so an intent and its outcome are
// synced to the disk (synchronous=FULL). A status that was merely seen can be
// asked for again and is written without waiting for the disk (NORMAL), through
// a handle of its own. An outcome must not queue behind whoever waits for another
// process's lock, so it has one too.

package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"modernc.org/sqlite"

	"pixazo-mcp/internal/disk"
	"pixazo-mcp/pixazo"
)

const (
	fileName = "journal.db" // unless Options says another
	useTries = 3            // at most, while the journal is being replaced

	staleAgain = 100 * time.Millisecond // pause before the next try after readsDeletedWAL

	smallestFile = 512        // bytes of the smallest SQLite database
	walMagic     = 0x377f0682 // begins a -wal; its last bit may be set (sqlite.org/fileformat2.html, section 4.1)
)

// companions are the endings of the files that SQLite keeps beside a database.
var companions = []string{"-wal", "-shm"}

// embedded implements engine with SQLite, in a file.
type embedded struct {
	dir       string // made when it is needed; "" when there is no place for it
	file      string // name in dir
	busy      time.Duration
	log       *slog.Logger
	unwritten func() bool // whether outcomes wait to be written

	opening      atomic.Pointer[opening] // the newest try to open them; nil once one has succeeded
	mu           sync.Mutex
	current      *files // nil while none is open
	closed       bool
	onlyExisting bool
	failed       error // of the last try to open them, nil for none
	failedAt     time.Time
	failedAfter  time.Duration // how long that try would have waited for the lock
}

// opening is a try to open the files, which holds mu from begun until ended is closed.
type opening struct {
	begun time.Time
	ended chan struct{}
}

// files are the database's files in use. A handle has one connection, since one
// writer at a time is SQLite's rule anyway.
type files struct {
	path         string
	db, wal, shm os.FileInfo
	handles      [purposes + 1]*sql.DB
}

const reads = purposes // of the embedded database

func (f *files) close() error {
	var errs []error
	for _, db := range f.handles {
		if db != nil {
			errs = append(errs, closeUnused(db))
		}
	}
	return errors.Join(errs...)
}

// closeUnused closes db, and waits at most half a second until nobody uses its
// connection any more: as long as one is open, others share its view of the -shm.
func closeUnused(db *sql.DB) error {
	err := db.Close()
	for pause := time.Millisecond; db.Stats().OpenConnections > 0 && pause < 300*time.Millisecond; pause *= 2 {
		time.Sleep(pause)
	}
	return err
}

// inPlace reports whether f are the files that another process would open: only
// a successful look at the same files says so. The -shm counts too: it has the
// locks, and the order of what is in the -wal.
func (f *files) inPlace() bool {
	return f.db != nil && sameFile(f.path, f.db) && (f.wal == nil || sameFile(f.path+"-wal", f.wal)) && (f.shm == nil || sameFile(f.path+"-shm", f.shm))
}

func sameFile(path string, was os.FileInfo) bool {
	now, err := os.Stat(path)
	return err == nil && os.SameFile(now, was)
}

// identity is the file at path, to be known again. On Windows a FileInfo looks
// for its identity at the first comparison, which is made here and may fail: Wine
// shows none of a -shm that is in use.
func identity(path string) (os.FileInfo, error) {
	info, err := os.Stat(path)
	if err == nil && !os.SameFile(info, info) {
		return nil, fmt.Errorf("%s can't be told from other files", path)
	}
	return info, err
}

// write runs f on the journal, opened for writing. A damaged journal is replaced
// and f runs again on the new one; so it does when the files were deleted or
// replaced meanwhile, by another process or by a person, since what is written
// to the old ones is found by nobody.
func (e *embedded) write(ctx context.Context, p purpose, f func(context.Context, *sql.DB) error) error {
	for try := 1; ; try++ {
		o, err := e.open(p)
		if err == nil {
			err = f(ctx, o.handles[p])
		}
		stale := readsDeletedWAL(err)
		if stale {
			e.drop(o)
		}
		switch {
		case o == nil || try == useTries:
			return e.unavailable(err)
		case damaged(err):
			if err := e.replace(o, err); err != nil {
				return e.unavailable(err)
			}
		case stale && Sleep(ctx, staleAgain):
		case o.inPlace() || p == reads && !e.exists():
			return e.unavailable(err)
		}
	}
}

// read runs f on the journal as it is. A journal that does not exist, or has no tables yet,
// has no rows: f is not called. One that can't be opened for writing is read without.
func (e *embedded) read(ctx context.Context, f func(context.Context, querier) error) error {
	if _, err := os.Lstat(filepath.Join(e.dir, e.file)); e.dir == "" || errors.Is(err, fs.ErrNotExist) {
		return unavailable(blocked(e.dir))
	}
	opened := false
	err := e.write(ctx, reads, func(ctx context.Context, db *sql.DB) error {
		opened = true
		return f(ctx, db)
	})
	if opened || damaged(err) || errors.Is(err, errClosed) || errors.Is(err, errNoDatabase) {
		return err
	}
	path, err := e.resolve() // its directory or disk takes no writes
	if err == nil {
		err = e.peek(path, func(db *sql.DB) error {
			tables := 0 // counted, since the schema's version may be damaged
			if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&tables); err != nil || tables == 0 {
				return err
			}
			return f(ctx, db)
		})
	}
	return e.unavailable(err)
}

// unavailable returns err as a journal_unavailable error. It adds the path of the database
// to an error of SQLite, which does not name it.
func (e *embedded) unavailable(err error) error {
	_, coded := errors.AsType[*pixazo.Error](err)
	if _, ok := errors.AsType[*sqlite.Error](err); ok && !coded && !strings.Contains(err.Error(), e.dir) {
		err = fmt.Errorf("%w, in %s", err, filepath.Join(e.dir, e.file)) // a long path may be cut off
	}
	return unavailable(err)
}

// blocked returns an error if a file, or a link that leads nowhere, such as one to a disk
// that was taken out, is in the place of dir or of a folder above it. The system says of
// what would lie there only that it does not exist.
func blocked(dir string) error {
	for ; dir != "" && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return nil
		} else if err == nil {
			return &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
		}
		if _, err := os.Lstat(dir); err == nil {
			return &fs.PathError{Op: "open", Path: dir, Err: errors.New("it is a link that leads nowhere")}
		}
	}
	return nil
}

// resolve returns the path of the database file. A link is followed once, here;
// what it leads to must be a regular file, since opening another one, such as a
// device, would change its mode. It opens no file, see checkTarget.
func (e *embedded) resolve() (string, error) {
	path := filepath.Join(e.dir, e.file)
	info, err := os.Lstat(path)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		target, broken := filepath.EvalSymlinks(path)
		if broken != nil {
			return path, fmt.Errorf("%s is a link that leads nowhere: %s", path, broken.Error())
		}
		path = target
		info, err = os.Lstat(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	return path, err
}

// open returns the journal at the path, opening it if it is not the one in use.
// With an error, what it returns says which files were tried, nil if none were. For reads
// and statuses it waits only statusBusy for the lock, even while a submission waits longer,
// since their callers go on without the journal.
func (e *embedded) open(p purpose) (*files, error) {
	asked, busy := time.Now(), e.busy
	if p >= statuses {
		asked, busy = asked.Add(-time.Second), min(statusBusy, busy)
	}
	if err := e.enter(p, busy); err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	switch {
	case e.current != nil && e.current.inPlace():
		return e.current, nil
	case e.failed != nil && e.failedAt.After(asked) && e.failedAfter >= busy: // not one after the other, each until its timeout
		return nil, e.failed
	}
	e.failed = nil
	if e.closed {
		return nil, errClosed
	}
	if e.dir == "" {
		return nil, errNoPlace
	}
	if e.onlyExisting && !e.unwritten() && !e.exists() {
		e.closeLocked()
		return nil, errGone
	}
	if err := disk.MakeFolder(e.dir, 0o700); err != nil {
		return nil, err
	}
	// No connection may be on its way to the old file while it is replaced: it
	// would find, or make, the companions of the new one.
	ended := make(chan struct{})
	defer close(ended)
	e.opening.Store(&opening{time.Now(), ended})
	unlock, err := e.lock(busy)
	if err != nil {
		e.failed, e.failedAt, e.failedAfter = err, time.Now(), busy
		return nil, err
	}
	defer unlock()
	e.rescue()
	e.closeLocked()
	o, err := e.openLocked()
	switch {
	case err == nil:
		e.current = o
		e.opening.Store(nil)
	case !damaged(err):
		e.failed, e.failedAt, e.failedAfter = err, time.Now(), busy
	}
	return o, err
}

// enter locks e.mu. For reads and statuses it fails once another call has been opening the
// files for as long as busy.
func (e *embedded) enter(p purpose, busy time.Duration) error {
	for !e.mu.TryLock() {
		o := e.opening.Load()
		if o == nil || p < statuses {
			e.mu.Lock()
			return nil
		}
		select {
		case <-o.ended:
		case <-time.After(time.Until(o.begun.Add(busy))):
			return errOpening
		}
	}
	return nil
}

// drop closes o, so that the next use opens the files anew.
func (e *embedded) drop(o *files) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current == o {
		e.closeLocked()
	}
}

// exists implements engine. A file that can't be looked at is taken to be there.
func (e *embedded) exists() bool {
	_, err := os.Stat(filepath.Join(e.dir, e.file))
	return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR)
}

// state looks at the files' sizes and times only, and opens nothing.
func (e *embedded) state() string {
	state := ""
	path, _ := e.resolve() // the -wal is beside the file that a link leads to
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(path + suffix); err == nil {
			state += fmt.Sprintln(info.Size(), info.ModTime().UnixNano())
		}
	}
	return state
}

func (e *embedded) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closeLocked()
	e.closed = true
}

func (e *embedded) closeLocked() {
	if e.current == nil {
		return
	}
	if err := e.current.close(); err != nil {
		e.log.Warn("closing the journal failed", "error", err)
	}
	e.current = nil
}

// openLocked opens the database file and brings it up to date. The lock is held.
func (e *embedded) openLocked() (*files, error) {
	path, err := e.resolve()
	if err == nil {
		err = e.checkTarget(path)
	}
	if err != nil {
		return nil, err
	}
	o := &files{path: path}
	if o.db, err = identity(path); err == nil {
		if err := looksDamaged(path, o.db); err != nil {
			return o, err
		}
	}
	if err := e.makeFile(o); err != nil {
		return nil, err
	}
	for p := range o.handles {
		if o.handles[p], err = e.connect(path, purpose(p)); err == nil && purpose(p) == intents {
			if err = migrate(o.handles[p]); err == nil {
				err = e.refill(o.handles[p])
			}
		}
		if err != nil {
			break
		}
	}
	if err == nil {
		o.wal, err = identity(path + "-wal")
	}
	o.shm, _ = identity(o.path + "-shm") // not there when another handle of this process has the one that was deleted
	if err != nil {
		_ = o.close()
	}
	return o, err
}

// makeFile makes the database file, readable to nobody else, if there is none.
// SQLite gives its companions the mode of this file.
func (e *embedded) makeFile(o *files) error {
	if o.db == nil {
		for _, companion := range companions { // of a file that was deleted alone
			if err := os.Remove(o.path + companion); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	} else if _, err := os.Lstat(o.path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		// The -shm describes a -wal that was deleted. A process that has it open notices
		// that it is gone, and opens the files anew.
		_ = os.Remove(o.path + "-shm")
	}
	f, err := os.OpenFile(o.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		_ = f.Chmod(0o600) // a file that was there; Windows has no such modes
	}
	if err := f.Close(); err != nil {
		return err
	}
	o.db, err = identity(o.path)
	return err
}

// connect opens a handle, whose statements wait for another's transaction. The
// lock is held: switching a new file to WAL fails when another process does the same.
func (e *embedded) connect(path string, p purpose) (*sql.DB, error) {
	synchronous, busy, readOnly := "FULL", e.busy, 0
	if p >= statuses {
		synchronous, busy = "NORMAL", min(statusBusy, e.busy)
	}
	if p == reads {
		readOnly = 1
	}
	db, err := openSQLite(dataSource(path, "immediate", busy, "journal_mode(WAL)", "journal_size_limit(0)",
		"synchronous("+synchronous+")", "fullfsync(1)", fmt.Sprintf("query_only(%d)", readOnly)))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if err := db.Ping(); err != nil { // which connects
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

func dataSource(path, begin string, busy time.Duration, pragmas ...string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/… on Windows
	}
	query := url.Values{"_txlock": {begin}, "_pragma": append(pragmas, fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()))}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String()
}

// code reports whether err is SQLite's primary result code.
func code(err error, primary int) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code()&0xff == primary
}
