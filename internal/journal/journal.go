// Package journal keeps what was submitted and what became of it: a row a
// submission or job, written before money is spent and after.
//
// Several processes share a journal, and any of them may be killed at any
// moment. An intent and its outcome are synced to the disk before anybody is
// told of them. Whoever sends holds a lease of its intent; one whose lease has
// ended is uncertain, which readers derive and nobody has to write.
package journal

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"time"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	intentLease = 30 * time.Second // of an intent, from its writing or its last renewal
	pollLease   = 30 * time.Second // of a poll; no status request takes longer
	maxAhead    = 2 * time.Minute  // a stored time further ahead was written under another clock

	defaultBusy = 10 * time.Second
	statusBusy  = 2 * time.Second // a status that is not written costs little, and its caller waits for the answer
)

// Options says where a journal is and whose rows of it are seen.
type Options struct {
	Dir     string // of the database; made when it is needed; "" when there is no place for it
	Gateway string // the gateway's origin, or "sandbox"; rows of other gateways are not seen
	Limits  Limits // on submissions

	File     string // name of the database in Dir; "" means journal.db
	Database string // URL of a PostgreSQL database that has the journal instead; "" for the file
	KeepDays int    // how long Tidy leaves ended jobs; 0 means for ever

	// FakeTime is for tests in a bubble of testing/synctest over PostgreSQL: the
	// bubble's clock counts, and the database is looked at once a second, since the
	// clock stands while a connection is read.
	FakeTime bool

	// MediaOrigin is the origin of media addresses that are kept without one: the
	// sandbox's, whose port is another one in each process. "" for none.
	MediaOrigin string

	Busy   time.Duration // how long to wait for another process's transaction; 0 means 10 s
	Logger *slog.Logger  // nil means none
}

// Journal is one process's view of the journal. It is safe for concurrent use.
// Each method answers for the owner of its ctx (see WithOwner). Errors have code
// journal_unavailable unless the method says more.
type Journal struct {
	engine
	dialect

	gateway     string
	limits      Limits
	keepDays    int
	mediaOrigin string
	log         *slog.Logger

	mu        sync.Mutex
	unwritten []Intent // whose outcomes the database could not take yet
	hear      func(string)
}

// engine opens, migrates and locks the database that has the rows: the embedded one
// (sqlite.go) or PostgreSQL (postgres.go).
type engine interface {
	// write runs f on the handle for p. When the database turns out to be damaged or
	// replaced, or a connection broke before its commit, f runs again, on another one:
	// it must then forget what it did before.
	write(ctx context.Context, p purpose, f func(context.Context, *sql.DB) error) error
	// read likewise runs f, which only reads, unless there is no database.
	read(ctx context.Context, f func(context.Context, querier) error) error
	// version returns a number that is another one after any other process, or
	// another method, has written to the journal; 0 while there is none.
	version(ctx context.Context) (int64, error)
	// watch implements Watch.
	watch(ctx context.Context, j *Journal, begin time.Time, f func([]Row))
	// signal implements Signal.
	signal(ctx context.Context, j *Journal, text string) error
	// newestAside returns the path of the last damaged database that was set
	// aside, by whichever process, and when; "" when there is none.
	newestAside() (path string, at time.Time)
	exists() bool
	state() string
	close()
}

// dialect holds the pieces of SQL in which the engines differ.
type dialect struct {
	now        func() string // an expression: the time by the clock that counts, in milliseconds
	lock       string        // a SELECT that waits for all decisions of others and returns the time; "" where there is one writer anyway
	forUpdate  string
	skipLocked string
	fakeTime   bool // now is this process's
}

// purpose names a database handle by its use. Each use has connections of its own, so
// that none waits for another.
type purpose int

const (
	intents  purpose = iota
	outcomes         // must not queue behind intents that wait for a lock
	statuses         // can be asked for again
	purposes
)

// New returns the journal of o. It is opened at its first use, so that starting
// the program costs nothing.
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

type ownerKey struct{}

// WithOwner returns ctx for calls of owner; "" is the one person of stdio.
func WithOwner(ctx context.Context, owner string) context.Context {
	return context.WithValue(ctx, ownerKey{}, owner)
}

// Owner returns whose call ctx is.
func Owner(ctx context.Context) string {
	owner, _ := ctx.Value(ownerKey{}).(string)
	return owner
}

// OnlyExisting has the journal made no more when it is gone, unless an outcome
// waits to be written.
func (j *Journal) OnlyExisting() {
	if e, ok := j.engine.(*embedded); ok {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.onlyExisting = true
	}
}

// Exists reports whether there is a journal at the path. One in PostgreSQL is
// always taken to be there.
func (j *Journal) Exists() bool { return j.exists() }

// State returns a text that is another one after anybody has written to the
// journal; in PostgreSQL it is another one each minute. Nothing is opened for it.
func (j *Journal) State() string { return j.state() }

// Close writes the outcomes that could not be written before and lets go of the
// journal. From then on nothing is written, or submitted.
func (j *Journal) Close() {
	j.WriteOutcomes()
	j.close()
}

var (
	errClosed  = errors.New("the program is ending")
	errGone    = errors.New("the journal is gone")
	errNoPlace = errors.New("there is no state directory; set --state-dir (PIXAZO_STATE_DIR)")
)

// unavailable is the error of every use of a journal that can't be used.
func unavailable(err error) error {
	if _, ok := errors.AsType[*pixazo.Error](err); ok || err == nil {
		return err
	}
	return unavailableFor(err.Error(), err)
}

func unavailableFor(why string, err error) error {
	return &pixazo.Error{Code: pixazo.JournalUnavailable, Message: "the journal can't be used: " + text.Clean(why, 300), Err: err}
}

// decide runs f in a transaction that no other decision about money, in any
// process, runs beside. now is the time by the clock that counts.
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
				if !j.fakeTime {
					now = fromMilli(ms)
				}
			}
			return f(ctx, tx, now)
		})
	})
}

// change runs f in a transaction about what can be asked for again.
func (j *Journal) change(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
	return j.write(ctx, statuses, func(ctx context.Context, db *sql.DB) error {
		return transaction(ctx, db, func(tx *sql.Tx) error { return f(ctx, tx) })
	})
}

// exec runs one statement, and returns how many rows it has written.
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

// transaction runs f in one transaction of db, all of it or nothing.
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

// errCommit is the error of a failed commit: the transaction may have been carried
// out all the same.
type errCommit struct{ error }

func (e errCommit) Unwrap() error { return e.error }

// querier is a database, or a transaction of one.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// one returns the row that the rest of a SELECT names, nil when there is none.
func (j *Journal) one(ctx context.Context, q querier, rest string, args ...any) (*Row, error) {
	return single(j.many(ctx, q, rest, args...))
}

// single returns the first of rows, nil when there is none.
func single(rows []Row, err error) (*Row, error) {
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// many returns the rows that the rest of a SELECT names.
func (j *Journal) many(ctx context.Context, q querier, rest string, args ...any) ([]Row, error) {
	return j.rows(ctx, q, `SELECT `+j.columns()+` FROM jobs `+rest, args...)
}

// readMany is many on the journal as it is.
func (j *Journal) readMany(ctx context.Context, rest string, args ...any) (rows []Row, err error) {
	err = j.read(ctx, func(ctx context.Context, q querier) (err error) {
		rows, err = j.many(ctx, q, rest, args...)
		return err
	})
	return rows, err
}

// rows returns the rows that a statement answers with, by columns.
func (j *Journal) rows(ctx context.Context, q querier, statement string, args ...any) ([]Row, error) {
	return query(ctx, q, func(from func(...any) error) (Row, error) {
		r, err := scan(from)
		r.Job.Media = j.absolute(r.Job.Media)
		return r, err
	}, statement, args...)
}

// query returns what read makes of each row of a statement.
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
