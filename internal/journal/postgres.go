// This file connects to, migrates and locks the journal in PostgreSQL, which the
// replicas of a team share. All times are those of the database's clock.

package journal

import (
	"context"
	"database/sql"
	"database/sql/driver"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	connectTimeout = 5 * time.Second
	migrateTimeout = 5 * time.Minute
	logEvery       = 10 * time.Second // how often it is logged that the database can't be used

	// A replica that is cut off in a transaction holds the lock for all others for idleLimit.
	idleTimeout = "idle_in_transaction_session_timeout"
	idleLimit   = "3s" // as PostgreSQL shows it

	// The schema of the tables, or in which they will be made. It need not be the first of
	// the search_path, in which replicas that log in under several names may differ.
	pgSchema  = `COALESCE((SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE pg_class.oid = to_regclass('jobs')), current_schema())`
	pgLock    = `pg_advisory_xact_lock(7012, hashtext(` + pgSchema + `))::text` // for all decisions and migrations
	pgChannel = `'pixazo_' || hashtext(` + pgSchema + `)`
)

// connections holds the most connections for each purpose. Decisions need few, since
// they run one after the other.
var connections = [purposes]int{intents: 2, outcomes: 2, statuses: 8}

// postgres implements engine with PostgreSQL.
type postgres struct {
	config  *pgx.ConnConfig
	broken  error // why there is no config; nil if there is one
	handles [purposes]*sql.DB
	turns   [purposes]chan struct{} // an element for each connection in use
	busy    time.Duration           // how long one use of the database may take
	log     *slog.Logger

	migrated atomic.Bool

	mu     sync.Mutex
	logged time.Time
}

// newPostgres returns the engine of o, which connects at its first use.
func newPostgres(o Options) (*postgres, dialect) {
	p := &postgres{busy: o.Busy, log: o.Logger}
	d := dialect{
		now:       func() string { return `(extract(epoch FROM statement_timestamp()) * 1000)::bigint` },
		lock:      `SELECT ` + pgLock + `, (extract(epoch FROM clock_timestamp()) * 1000)::bigint`,
		forUpdate: ` FOR UPDATE`, skipLocked: ` FOR UPDATE SKIP LOCKED`,
	}
	if o.FakeTime {
		d.now = func() string { return fmt.Sprint(time.Now().UnixMilli()) }
	}
	config, err := pgx.ParseConfig(o.Database)
	if err != nil { // its text may hold the password
		p.broken = errors.New("the database URL can't be read: it must be like postgres://user:password@host:5432/name")
		p.log.Error("no video can be made", "error", p.broken)
		return p, d
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	for name, value := range map[string]string{"application_name": "pixazo-mcp", "statement_timeout": fmt.Sprint(o.Busy.Milliseconds()), idleTimeout: idleLimit} {
		if config.RuntimeParams[name] == "" {
			config.RuntimeParams[name] = value
		}
	}
	config.RuntimeParams["default_transaction_isolation"] = "read committed" // a transaction that waited for the lock sees what others decided
	for _, other := range config.Fallbacks {                                 // of several servers, connect to the one that accepts writes
		if (other.Host != config.Host || other.Port != config.Port) && config.ValidateConnect == nil {
			config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
		}
	}
	if config.RuntimeParams[idleTimeout] == idleLimit {
		config.ValidateConnect = checkSettings(config.ValidateConnect)
	}
	p.config = config
	for i, n := range connections {
		p.handles[i] = sql.OpenDB(connector{stdlib.GetConnector(*config), p})
		p.turns[i] = make(chan struct{}, n)
		p.handles[i].SetMaxOpenConns(n)
		p.handles[i].SetMaxIdleConns(n)
		p.handles[i].SetConnMaxIdleTime(5 * time.Minute)
	}
	return p, d
}

// checkSettings returns a function that calls before, and then checks that a new
// connection has the settings in config. A pooler that gives each transaction another
// connection does not pass them on. With it neither prepared statements nor LISTEN
// can be relied upon, and an outcome that was paid for might not be written.
func checkSettings(before pgconn.ValidateConnectFunc) pgconn.ValidateConnectFunc {
	return func(ctx context.Context, conn *pgconn.PgConn) error {
		if before != nil {
			if err := before(ctx, conn); err != nil {
				return err
			}
		}
		result := conn.ExecParams(ctx, "SHOW "+idleTimeout, nil, nil, nil, nil).Read()
		if result.Err != nil {
			return result.Err
		}
		if shown := string(result.Rows[0][0]); shown != idleLimit {
			return fmt.Errorf("a pooler before the database does not pass on what a connection asks for (%s is %s, not %s): "+
				"connect to PostgreSQL itself, or through a pooler in session mode that passes it on", idleTimeout, text.Clean(shown, 20), idleLimit)
		}
		return nil
	}
}

// connector makes connections that accept any string (see CheckNamedValue), and are not
// used again if they have died (see ResetSession).
type connector struct {
	driver.Connector
	p *postgres
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return connection{conn.(*stdlib.Conn), c.p}, nil
}

type connection struct {
	*stdlib.Conn
	p *postgres
}

// ResetSession returns an error, after which another connection is made, if this one was
// idle and the database does not answer on it within a quarter of the time that a use
// has. It may have died unnoticed, as by a failover or in a firewall, and the other idle
// ones with it.
func (c connection) ResetSession(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, c.p.busy/4)
	defer cancel()
	err := c.Conn.ResetSession(limited)
	if err != nil && ctx.Err() == nil {
		c.p.closeIdle()
	}
	return err
}

// CheckNamedValue replaces what PostgreSQL does not accept in a string: NUL, and
// bytes that are not UTF-8.
func (connection) CheckNamedValue(v *driver.NamedValue) error {
	if s := reflect.ValueOf(v.Value); s.Kind() == reflect.String {
		v.Value = strings.ReplaceAll(strings.ToValidUTF8(s.String(), "\uFFFD"), "\x00", "\uFFFD")
	}
	return nil
}

func (p *postgres) write(ctx context.Context, purpose purpose, f func(context.Context, *sql.DB) error) error {
	return p.retry(ctx, purpose, f)
}

func (p *postgres) read(ctx context.Context, f func(context.Context, querier) error) error {
	return p.retry(ctx, statuses, func(ctx context.Context, db *sql.DB) error { return f(ctx, db) })
}

// retry runs f, and once more if the connection broke before a commit.
func (p *postgres) retry(ctx context.Context, purpose purpose, f func(context.Context, *sql.DB) error) error {
	ctx, cancel := context.WithTimeout(ctx, p.busy)
	defer cancel()
	err := p.use(ctx, purpose, f)
	if _, unknown := errors.AsType[errCommit](err); connectionLost(err) && !unknown && ctx.Err() == nil {
		p.closeIdle() // they are to a server that was restarted or demoted
		err = p.use(ctx, purpose, f)
	}
	return p.explain(ctx, err)
}

// closeIdle closes the connections that are not in use.
func (p *postgres) closeIdle() {
	for i, db := range p.handles {
		db.SetMaxIdleConns(0)
		db.SetMaxIdleConns(connections[i])
	}
}

// use runs f on the handle for purpose, after the migrations, and when a connection
// is free. f uses one connection at a time.
func (p *postgres) use(ctx context.Context, purpose purpose, f func(context.Context, *sql.DB) error) error {
	if p.broken != nil {
		return p.broken
	}
	if !p.migrated.Load() {
		if err := p.migrate(ctx); err != nil {
			return err
		}
		p.migrated.Store(true)
	}
	select { // first come, first served; database/sql picks any waiter, and some would wait for ever
	case p.turns[purpose] <- struct{}{}:
		defer func() { <-p.turns[purpose] }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return f(ctx, p.handles[purpose])
}

//go:embed postgres.sql
var triggers string

// pgMigrations returns the migrations that take a database from version i to i+1: those of
// SQLite, with what PostgreSQL writes differently.
func pgMigrations() []string {
	return []string{strings.ReplaceAll(first, "INTEGER PRIMARY KEY AUTOINCREMENT", "BIGSERIAL PRIMARY KEY"), second + triggers}
}

// migrate brings the tables to the newest version.
func (p *postgres) migrate(ctx context.Context) error {
	db, steps := p.handles[intents], pgMigrations()
	if version, err := pgVersion(ctx, db); err != nil || version >= len(steps) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), migrateTimeout)
	defer cancel()
	return upgrade(ctx, db, steps,
		`SET LOCAL statement_timeout = 0; SELECT `+pgLock+`; CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)`, pgVersion,
		fmt.Sprintf(`INSERT INTO schema_version (version) VALUES (%d)`, len(steps)))
}

// pgVersion returns the version of the tables, 0 when there are none.
func pgVersion(ctx context.Context, q querier) (version int, err error) {
	var there bool
	err = q.QueryRowContext(ctx, `SELECT to_regclass('schema_version') IS NOT NULL`).Scan(&there)
	if err == nil && there {
		err = q.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM schema_version`).Scan(&version)
	}
	return version, err
}

// connectionLost reports whether a connection broke or was not made, or its server is
// shutting down or read-only, or ended a transaction that was idle for too long. A new
// connection may lead to another server.
func connectionLost(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return strings.HasPrefix(e.Code, "57P") || e.Code == "25006" || e.Code == "25P03"
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// explain returns err as a caller may see it, without the database's address. It logs
// the whole error, at most once in logEvery.
func (p *postgres) explain(ctx context.Context, err error) error {
	if _, ours := errors.AsType[*pixazo.Error](err); ours || err == nil {
		return err
	}
	words, left := "", errors.Is(ctx.Err(), context.Canceled)
	_, unmade := errors.AsType[*pgconn.ConnectError](err)
	switch {
	case left:
		words = "the caller has left"
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		words = "the database does not answer in time"
	case connectionLost(err) || unmade:
		words = "the database can't be reached, or takes no writes"
	default:
		if e, ok := errors.AsType[*pgconn.PgError](err); ok {
			words = "the database answers: " + e.Message
		}
	}
	p.mu.Lock()
	quiet := words == "" || left || time.Since(p.logged) < logEvery
	if !quiet {
		p.logged = time.Now()
	}
	p.mu.Unlock()
	if !quiet {
		p.log.Warn("the database can't be used", "error", err)
	}
	if words == "" {
		return unavailable(err)
	}
	return unavailableFor(words, err)
}

func (p *postgres) close() {
	for _, db := range p.handles {
		if db != nil {
			_ = db.Close()
		}
	}
}

func (p *postgres) state() string { return time.Now().UTC().Format("2006-01-02 15:04") }

func (p *postgres) exists() bool { return true }

func (p *postgres) newestAside() (string, time.Time) { return "", time.Time{} }
