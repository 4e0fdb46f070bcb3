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
	dir      string
	file     string // name in dir
	gateway  string
	limits   Limits
	keepDays int

	mediaOrigin string
	busy        time.Duration
	log         *slog.Logger

	mu      sync.Mutex
	current *files // nil while none is open
	closed  bool

	onlyExisting bool
	unwritten    []outcome // that the database could not take yet

	hearers map[int]func(string) // of signals
	heard   int                  // number of the newest
}

// New returns the journal of o. It is opened at its first use, so that starting
// the program costs nothing.
func New(o Options) *Journal {
	j := &Journal{dir: o.Dir, file: cmp.Or(o.File, fileName), gateway: o.Gateway, limits: o.Limits, keepDays: o.KeepDays, mediaOrigin: o.MediaOrigin, busy: cmp.Or(o.Busy, defaultBusy), log: o.Logger}
	if j.log == nil {
		j.log = slog.New(slog.DiscardHandler)
	}
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
	j.mu.Lock()
	defer j.mu.Unlock()
	j.onlyExisting = true
}

// Close writes the outcomes that could not be written before and lets go of the
// journal. From then on nothing is written, or submitted.
func (j *Journal) Close() {
	j.WriteOutcomes()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closeLocked()
	j.closed = true
}

func (j *Journal) closeLocked() {
	if j.current == nil {
		return
	}
	if err := j.current.close(); err != nil {
		j.log.Warn("closing the journal failed", "error", err)
	}
	j.current = nil
}

// unavailable is the error of every use of a journal that can't be used.
func unavailable(err error) error {
	if _, ok := errors.AsType[*pixazo.Error](err); ok || err == nil {
		return err
	}
	return &pixazo.Error{Code: pixazo.JournalUnavailable, Message: "the journal can't be used: " + text.Clean(err.Error(), 300), Err: err}
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
	return tx.Commit()
}

// querier is a database, or a transaction of one.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// one returns the row that the rest of a SELECT names, nil when there is none.
func (j *Journal) one(ctx context.Context, q querier, rest string, args ...any) (*Row, error) {
	r, err := scan(q.QueryRowContext(ctx, `SELECT `+columns(time.Now())+` FROM jobs `+rest, args...).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r.Job = j.absolute(r.Job)
	return &r, nil
}

// many returns the rows that the rest of a SELECT names.
func (j *Journal) many(ctx context.Context, q querier, rest string, args ...any) ([]Row, error) {
	return query(ctx, q, func(from func(...any) error) (Row, error) {
		r, err := scan(from)
		r.Job = j.absolute(r.Job)
		return r, err
	}, `SELECT `+columns(time.Now())+` FROM jobs `+rest, args...)
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
