// This file is the journal on disk: where it is, how it is opened, and what
// happens when it can't be used.
//
// It is an SQLite database, since several servers run at once and any of them
// may be killed at any moment. Money hangs on the order of its writes, so an
// intent and its outcome are synced to disk (synchronous=FULL). A status that
// was merely seen can be asked for again and is written without waiting for
// the disk (NORMAL), through a handle of its own.

package jobs

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
	"slices"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	journalName = "journal.db"
	useTries    = 3 // at most, while the journal is being replaced
)

// companions are the endings of the files that SQLite keeps beside a database.
var companions = []string{"-wal", "-shm"}

// How long to wait for another process's transaction. A status that is not
// recorded costs little, and its caller waits for the answer.
var (
	busyTimeout     = 10 * time.Second
	seenBusyTimeout = 2 * time.Second

	smallestFile int64 = 512 // bytes of the smallest SQLite database
)

// migrations take a journal from version i to i+1. They are never changed once
// released; PRAGMA user_version counts them.
var migrations = []string{`
CREATE TABLE jobs (
	row          INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of submission or of first sight
	gateway      TEXT NOT NULL,    -- origin; "sandbox" for the emulator, whose port changes
	request_id   TEXT,             -- NULL until it is known
	state        TEXT NOT NULL,    -- see state.go
	fingerprint  TEXT,             -- of the body sent; NULL for a job made elsewhere
	prompt       TEXT NOT NULL DEFAULT '',
	request      TEXT NOT NULL DEFAULT '', -- the other fields, attachments described only (JSON)
	process      INTEGER NOT NULL DEFAULT 0, -- id of the submitting process
	host         TEXT NOT NULL DEFAULT '',   -- and where it runs
	failure      TEXT NOT NULL DEFAULT '',   -- why a submission was not accepted (JSON)
	status       TEXT NOT NULL DEFAULT '',   -- the gateway's word
	error        TEXT NOT NULL DEFAULT '',   -- the gateway's words
	video_urls   TEXT NOT NULL DEFAULT '',   -- one a line
	media_type   TEXT NOT NULL DEFAULT '',
	polling_url  TEXT NOT NULL DEFAULT '',
	saved_path   TEXT NOT NULL DEFAULT '',
	submitted_at INTEGER NOT NULL DEFAULT 0, -- times are Unix milliseconds, 0 when not known
	created_at   INTEGER NOT NULL DEFAULT 0,
	updated_at   INTEGER NOT NULL DEFAULT 0,
	completed_at INTEGER NOT NULL DEFAULT 0,
	checked_at   INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX jobs_request_id ON jobs (gateway, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX jobs_fingerprint ON jobs (gateway, fingerprint, row);
CREATE INDEX jobs_submitted ON jobs (gateway, submitted_at);
CREATE INDEX jobs_submitting ON jobs (gateway) WHERE state = 'submitting';
`, `
ALTER TABLE jobs RENAME COLUMN saved_path TO saved_files; -- JSON; nothing was written there before
ALTER TABLE jobs ADD COLUMN upload INTEGER NOT NULL DEFAULT 0; -- milliseconds that sending large attachments may take
`}

// journal is one process's view of the journal. It is opened at its first use,
// so that starting the program costs nothing.
type journal struct {
	dir     string // "" when there is no place for it
	gateway string
	log     *slog.Logger

	mu        sync.Mutex
	current   *opened // nil while none is open
	closed    bool
	unwritten []outcome // that the journal could not take yet
}

// opened is a journal file in use.
type opened struct {
	file os.FileInfo

	// A handle has one connection, since one writer at a time is SQLite's rule
	// anyway. An outcome must not queue behind whoever waits for another
	// process's lock, so it has a handle of its own.
	synced   *sql.DB // intents and lists
	outcomes *sql.DB
	seen     *sql.DB // statuses
}

func (o *opened) close() error {
	var errs []error
	for _, db := range []*sql.DB{o.seen, o.outcomes, o.synced} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// unavailable is the error of every use of a journal that can't be used.
func unavailable(err error) error {
	var e *pixazo.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &pixazo.Error{Code: pixazo.JournalUnavailable, Message: "the record of submissions can't be used: " + text.Clean(err.Error(), 300), Err: err}
}

// use runs f on the journal. A journal found damaged is set aside, and f runs
// again on a fresh one; so it does when the file was replaced meanwhile, by
// another process or by a user who deleted it, since what is written to the
// old one is found by nobody.
func (j *journal) use(f func(o *opened) error) error {
	for try := 1; ; try++ {
		o, err := j.open()
		if err == nil {
			err = f(o)
		}
		switch {
		case o == nil || try == useTries:
			return unavailable(err)
		case damaged(err):
			if err := j.replace(o, err); err != nil {
				return unavailable(err)
			}
		case j.inPlace(o):
			return unavailable(err)
		}
	}
}

func (j *journal) path() string { return filepath.Join(j.dir, journalName) }

// inPlace reports whether o is still the file at the journal's path.
func (j *journal) inPlace(o *opened) bool {
	now, err := os.Stat(j.path())
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return os.SameFile(now, o.file)
}

// open returns the journal at the path. With an error, what it returns says
// which file was tried, nil if there is none.
func (j *journal) open() (*opened, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.current != nil && j.inPlace(j.current) {
		return j.current, nil
	}
	j.closeLocked()
	if j.closed {
		return nil, errors.New("the program is ending")
	}
	if j.dir == "" {
		return nil, errors.New("there is no state directory; set --state-dir (PIXAZO_STATE_DIR)")
	}
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return nil, err
	}
	// No connection may be on its way to the old file while it is replaced: it
	// would find, or make, the companions of the new one.
	unlock, err := j.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	info, err := os.Lstat(j.path())
	if _, walErr := os.Lstat(j.path() + "-wal"); err == nil && info.Mode().IsRegular() && info.Size() < smallestFile && (info.Size() > 0 || walErr == nil) {
		// SQLite would take it for a new one, and throw away what the -wal has.
		return &opened{file: info}, fmt.Errorf("%w: it is cut off at %d bytes", errDamaged, info.Size())
	}
	if errors.Is(err, fs.ErrNotExist) {
		for _, companion := range companions { // of a file that was deleted alone
			if err := os.Remove(j.path() + companion); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
	}
	// SQLite would make the file readable to others; it gives its companions
	// the mode of this one.
	f, err := os.OpenFile(j.path(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	o := &opened{}
	o.file, err = f.Stat()
	if err == nil && o.file.Mode().Perm()&0o077 != 0 {
		_ = f.Chmod(0o600) // a file that was there; Windows has no such modes
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	o.synced, err = j.connect("FULL", busyTimeout)
	if err != nil {
		return o, err
	}
	if err := migrate(o.synced); err != nil {
		_ = o.synced.Close()
		return o, err
	}
	if o.outcomes, err = j.connect("FULL", busyTimeout); err == nil {
		o.seen, err = j.connect("NORMAL", seenBusyTimeout)
	}
	if err != nil {
		_ = o.close()
		return o, err
	}
	j.current = o
	return o, nil
}

// connect opens a handle whose statements wait busy for another's transaction.
func (j *journal) connect(synchronous string, busy time.Duration) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dataSource(j.path(), "immediate", busy,
		"journal_mode(WAL)", "journal_size_limit(0)", "synchronous("+synchronous+")"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	// Switching a new file to WAL fails at once when another process does the
	// same, whatever the busy timeout.
	for deadline := time.Now().Add(busyTimeout); ; {
		err = db.Ping()
		if !code(err, sqlite3.SQLITE_BUSY) || time.Now().After(deadline) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err == nil {
		err = keepCompanions(db)
	}
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return db, nil
}

// keepCompanions has the last connection to close empty the -wal file instead
// of deleting the companions. It would delete them by name, and when the journal
// was replaced meanwhile, they are those of the new one.
func keepCompanions(db *sql.DB) error {
	conn, err := db.Conn(context.Background())
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(c any) error {
		_, err := c.(sqlite.FileControl).FileControlPersistWAL("main", 1)
		return err
	})
}

func dataSource(path, begin string, busy time.Duration, pragmas ...string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/… on Windows
	}
	query := url.Values{"_txlock": {begin}, "_pragma": append(pragmas, fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()))}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String()
}

// migrate brings the journal to the newest version and checks it as a whole:
// a damaged page should be found before money depends on it.
func migrate(db *sql.DB) error {
	if err := intact(db); err != nil {
		return err
	}
	version, err := schemaVersion(db)
	if err != nil || version == len(migrations) {
		return err // without a write, so that a locked journal can be read
	}
	return transaction(context.Background(), db, func(tx *sql.Tx) error {
		version, err := schemaVersion(tx) // again: another process may have been quicker
		if err != nil || version == len(migrations) {
			return err
		}
		for _, migration := range migrations[version:] {
			if _, err := tx.Exec(migration); err != nil {
				return err
			}
		}
		_, err = tx.Exec(fmt.Sprintf("PRAGMA user_version = %d", len(migrations)))
		return err
	})
}

// intact checks every page.
func intact(db *sql.DB) error {
	var found string
	if err := db.QueryRow("PRAGMA quick_check(1)").Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, found)
	}
	return nil
}

func schemaVersion(db interface {
	QueryRow(string, ...any) *sql.Row
}) (version int, err error) {
	if err := db.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return 0, err
	}
	if version > len(migrations) {
		return 0, fmt.Errorf("it has version %d and this program knows %d: it was written by a newer pixazo-mcp; update this one, or set --state-dir (PIXAZO_STATE_DIR) to another directory", version, len(migrations))
	}
	return version, nil
}

var errDamaged = errors.New("the journal is damaged")

func damaged(err error) bool {
	return errors.Is(err, errDamaged) || code(err, sqlite3.SQLITE_CORRUPT) || code(err, sqlite3.SQLITE_NOTADB)
}

// code reports whether err is SQLite's primary result code.
func code(err error, primary int) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code()&0xff == primary
}

// replace sets the damaged journal o aside under a dated name, so that nothing
// in it is lost for good, and makes room for a fresh one. When somebody else
// has done so already, it only lets go of the old file.
func (j *journal) replace(o *opened, cause error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.current == o {
		j.closeLocked()
	}
	unlock, err := j.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if !j.inPlace(o) {
		return nil
	}
	aside := filepath.Join(j.dir, "journal-damaged-"+time.Now().UTC().Format("20060102T150405.000Z")+".db")
	// The file itself goes last: a fresh one must not find companions of it.
	for _, suffix := range append(companions, "") {
		if err := os.Rename(j.path()+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	j.log.Error("the journal is damaged and was set aside; a fresh one is begun, so duplicates of earlier submissions are not known", "kept_as", aside, "cause", cause)
	return nil
}

// lock keeps other processes from opening or replacing the journal until unlock
// is called or this process ends. SQLite's own lock on an empty database does
// both on every platform.
func (j *journal) lock() (unlock func(), err error) {
	path := filepath.Join(j.dir, "journal.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // not with SQLite's mode
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dataSource(path, "exclusive", busyTimeout))
	if err != nil {
		return nil, err
	}
	tx, err := db.Begin()
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return func() {
		_ = tx.Rollback()
		_ = db.Close()
	}, nil
}

// notice says what a reader of the journal should know of it, or "": the last
// damaged journal that was set aside, by whichever process.
func (j *journal) notice() string {
	entries, _ := os.ReadDir(j.dir) // in the order of their names
	for _, entry := range slices.Backward(entries) {
		if name := entry.Name(); strings.HasPrefix(name, "journal-damaged-") && strings.HasSuffix(name, ".db") {
			return "The earlier record was damaged and is kept as " + filepath.Join(j.dir, name) + "; this one begins after it."
		}
	}
	return ""
}

func (j *journal) close() {
	j.retry()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closeLocked()
	j.closed = true
}

func (j *journal) closeLocked() {
	if j.current == nil {
		return
	}
	if err := j.current.close(); err != nil {
		j.log.Warn("closing the journal failed", "error", err)
	}
	j.current = nil
}

// transaction runs f in one transaction, all of it or nothing.
func transaction(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}
