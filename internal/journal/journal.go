// Package journal stores submissions and jobs. Each has a row, which is written
// before money is spent and again after.
//
// Several processes share a journal, and any of them may be killed at any
// moment. An intent and its outcome are synced to the disk before anybody is
// told of them. The process that sends a request holds a lease on its intent. An
// intent whose lease has ended is uncertain: readers derive that, and nobody has
// to write it.
package journal

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	intentLease = 30 * time.Second // of an intent, from when it was written or last renewed
	pollLease   = 30 * time.Second // of a poll; no status request takes longer
	maxAhead    = 2 * time.Minute  // a stored time further ahead was written under another clock

	defaultBusy = 10 * time.Second
	statusBusy  = 2 * time.Second // Options.Busy for statuses: to lose one costs little, and its caller waits for the answer
)

// Options says where a journal is, and which of its rows are seen.
type Options struct {
	Dir     string // of the database; made when it is needed; "" if the settings name none
	Gateway string // the gateway's origin, or "sandbox"; rows of other gateways are not seen
	Limits  Limits // on submissions

	File     string // name of the database in Dir; "" means journal.db
	Database string // URL of a PostgreSQL database to use instead of the file; "" for none
	KeepDays int    // how many days Tidy keeps ended jobs; 0 means for ever

	// FakeTime is for tests in a bubble of testing/synctest over PostgreSQL. Times are
	// then those of the bubble instead of the database's. Changes are polled for once
	// a second, since the bubble's time stands still while a connection is read.
	FakeTime bool

	// MediaOrigin is the origin of media addresses that are stored without one: the
	// sandbox's, whose port is another one in each process. "" for none.
	MediaOrigin string

	Busy   time.Duration // how long to wait for another process's transaction; 0 means 10 s
	Logger *slog.Logger  // nil means none
}

// Journal is one process's access to the journal. It is safe for concurrent use.
// Each method sees the rows of its ctx's owner (see WithOwner), unless it says
// otherwise. Errors have code journal_unavailable unless the method says more.
type Journal struct {
	engine
	dialect

	gateway     string
	limits      Limits
	keepDays    int
	mediaOrigin string
	log         *slog.Logger

	ahead atomic.Int64 // nanoseconds by which the database's clock is ahead of this computer's, see measure

	mu        sync.Mutex
	unwritten []Intent     // with outcomes that the database could not take yet
	onSignal  func(string) // see Hear; nil for none
}

// engine opens, migrates and locks the database: SQLite's (sqlite.go) or PostgreSQL's
// (postgres.go).
type engine interface {
	// write runs f on the handle for p. It runs f again, on another database or
	// connection, when the database turned out to be damaged or replaced, or a
	// connection broke before the commit. So f must not rely on what an earlier run did.
	write(ctx context.Context, p purpose, f func(context.Context, *sql.DB) error) error
	// read runs f in the same way. f only reads; it is not called if there is no
	// database.
	read(ctx context.Context, f func(context.Context, querier) error) error
	// newestAside returns the path of the damaged database that any process set aside
	// last, and when; "" when there is none.
	newestAside() (path string, at time.Time)
	exists() bool
	state() string
	close()
}

// dialect holds the pieces of SQL in which the engines differ. SQLite needs none: it
// has one writer at a time.
type dialect struct {
	now        func() string // returns an expression for the present time, in milliseconds
	lock       string        // SELECT that waits until no other decision is under way, and returns the time
	forUpdate  string
	skipLocked string
	fakeTime   bool // now is the time of this process
}

// purpose is what a database handle is used for. Each purpose has connections of its
// own, so that none waits for another.
type purpose int

const (
	intents  purpose = iota
	outcomes         // must not wait behind intents that wait for a lock
	statuses         // may be lost: the gateway can be asked again
	purposes         // their number
)

// New returns the journal of o. The database is opened at the first use, so that the
// program starts quickly.
func New(o Options) *Journal {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	o.Busy = cmp.Or(o.Busy, defaultBusy)
	j := &Journal{gateway: o.Gateway, limits: o.Limits, keepDays: o.KeepDays, mediaOrigin: o.MediaOrigin, log: o.Logger}
	if o.Database == "" {
		j.engine = &embedded{dir: o.Dir, file: cmp.Or(o.File, fileName), busy: o.Busy, log: o.Logger, unwritten: j.Unwritten}
		j.now = func() string { return sqliteNow }
	} else {
		j.engine, j.dialect = newPostgres(o)
	}
	j.fakeTime = o.FakeTime
	return j
}

// Now returns the present time by the clock of the journal's times, which for a team is
// the database's: the replicas' own may differ.
func (j *Journal) Now() time.Time { return time.Now().Add(time.Duration(j.ahead.Load())) }

// measure notes, for Now, and returns how far the database's clock is ahead of this
// computer's. It showed now at some time between asked and the present, so what was noted
// before is changed only as far as it can't be right.
func (j *Journal) measure(asked, now time.Time) (ahead time.Duration) {
	ahead = min(max(time.Duration(j.ahead.Load()), time.Until(now)), now.Sub(asked))
	j.ahead.Store(int64(ahead))
	return ahead
}

type ownerKey struct{}

// WithOwner returns a ctx with an owner; "" is the only user of a server over stdio.
func WithOwner(ctx context.Context, owner string) context.Context {
	return context.WithValue(ctx, ownerKey{}, owner)
}

// Owner returns the owner in ctx, "" if there is none.
func Owner(ctx context.Context) string {
	owner, _ := ctx.Value(ownerKey{}).(string)
	return owner
}

// OnlyExisting makes the journal fail from now on where it would make a new database
// in the place of one that is gone, unless an outcome waits to be written.
func (j *Journal) OnlyExisting() {
	if e, ok := j.engine.(*embedded); ok {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.onlyExisting = true
	}
}

// Exists reports whether there is a database file. For PostgreSQL it returns true.
func (j *Journal) Exists() bool { return j.exists() }

// State returns a text that changes when anybody writes to the journal; with
// PostgreSQL it changes each minute. It opens no database.
func (j *Journal) State() string { return j.state() }

// Close writes the outcomes that could not be written before, and closes the
// database. All later uses fail.
func (j *Journal) Close() {
	j.WriteOutcomes()
	j.close()
}

var (
	errClosed  = errors.New("the program is ending")
	errOpening = errors.New("it is still being opened, since another process has its lock")
	errGone    = errors.New("the journal is gone")
	errNoPlace = errors.New("there is no state directory; set --state-dir (PIXAZO_STATE_DIR)")
)

// unavailable returns err with code journal_unavailable, unless it has a code
// already; nil for nil.
func unavailable(err error) error {
	if _, ok := errors.AsType[*pixazo.Error](err); ok || err == nil {
		return err
	}
	return unavailableFor(err.Error(), err)
}

func unavailableFor(why string, err error) error {
	return &pixazo.Error{Code: pixazo.JournalUnavailable, Message: "the journal can't be used: " + text.Clean(why, 300), Err: err}
}

// decide runs f in a transaction. No other transaction of decide, in any process,
// runs at the same time, so that duplicates and limits are decided one by one. now is
// the time by the journal's clock.
func (j *Journal) decide(ctx context.Context, p purpose, f func(ctx context.Context, tx *sql.Tx, now time.Time) error) error {
	return j.write(ctx, p, func(ctx context.Context, db *sql.DB) error {
		return transaction(ctx, db, func(tx *sql.Tx) error {
			now := time.Now()
			if j.lock != "" {
				var locked string
				var ms int64
				if err := tx.QueryRowContext(ctx, j.lock).Scan(&locked, &ms); err != nil {
					return err
				}
				if asked := now; !j.fakeTime {
					now = fromMilli(ms)
					j.measure(asked, now)
				}
			}
			return f(ctx, tx, now)
		})
	})
}

// change runs f in a transaction of purpose statuses.
func (j *Journal) change(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
	return j.write(ctx, statuses, func(ctx context.Context, db *sql.DB) error {
		return transaction(ctx, db, func(tx *sql.Tx) error { return f(ctx, tx) })
	})
}

// exec runs one statement, and returns how many rows it affected.
func (j *Journal) exec(ctx context.Context, p purpose, statement string, args ...any) (n int64, err error) {
	err = j.write(ctx, p, func(ctx context.Context, db *sql.DB) error {
		result, err := db.ExecContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		n, err = result.RowsAffected()
		return err
	})
	return n, err
}

// transaction runs f in a transaction of db, and commits it unless f fails.
func transaction(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return errCommit{err}
	}
	return nil
}

// errCommit is the error of a commit. The transaction may have been committed all the
// same.
type errCommit struct{ error }

func (e errCommit) Unwrap() error { return e.error }

// querier is a database, or a transaction of one.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// one returns the first row of many, nil when there is none.
func (j *Journal) one(ctx context.Context, q querier, rest string, args ...any) (*Row, error) {
	return single(j.many(ctx, q, rest, args...))
}

// single returns the first that was found, nil when there is none.
func single[T any](found []T, err error) (*T, error) {
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// many returns the rows of a SELECT, of which rest is what follows the table's name.
func (j *Journal) many(ctx context.Context, q querier, rest string, args ...any) ([]Row, error) {
	return query(ctx, q, j.scan, `SELECT `+j.columns()+` FROM jobs `+rest, args...)
}

// readMany is many outside of a transaction.
func (j *Journal) readMany(ctx context.Context, rest string, args ...any) ([]Row, error) {
	return readAll(ctx, j, j.scan, `SELECT `+j.columns()+` FROM jobs `+rest, args...)
}

// readAll is query outside of a transaction.
func readAll[T any](ctx context.Context, j *Journal, read func(scan func(...any) error) (T, error), statement string, args ...any) (found []T, err error) {
	err = j.read(ctx, func(ctx context.Context, q querier) (err error) {
		found, err = query(ctx, q, read, statement, args...)
		return err
	})
	return found, err
}

// changeAll is readAll for a statement that changes rows and returns them.
func changeAll[T any](ctx context.Context, j *Journal, read func(scan func(...any) error) (T, error), statement string, args ...any) (found []T, err error) {
	err = j.write(ctx, statuses, func(ctx context.Context, db *sql.DB) (err error) {
		found, err = query(ctx, db, read, statement, args...)
		return err
	})
	return found, err
}

// query runs a statement and calls read for each row. It returns what read returned.
func query[T any](ctx context.Context, q querier, read func(scan func(...any) error) (T, error), statement string, args ...any) (found []T, err error) {
	rows, err := q.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		one, err := read(rows.Scan)
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, rows.Err()
}
