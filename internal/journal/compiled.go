// This file makes the connections to the embedded database. Each keeps its statements
// compiled: SQLite takes longer to compile one than to run it.

package journal

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"time"

	"modernc.org/sqlite"
)

// sqliteNow is a parameter of any statement: the time at which it runs, in Unix
// milliseconds.
const sqliteNow = "$now"

// openSQLite returns a handle for a data source of modernc.org/sqlite.
func openSQLite(source string) (*sql.DB, error) {
	c, err := sqlite.NewConnector(source)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(sqliteConnector{c}), nil
}

type sqliteConnector struct{ driver.Connector }

// Connect implements driver.Connector. database/sql calls it again after a caller has
// left in the middle of a statement.
func (c sqliteConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	own := &sqliteConn{conn.(sqliteDriverConn), map[string]driver.Stmt{}}
	// The last connection to close empties the -wal file instead of deleting the
	// companions. It would delete them by name, and when the journal was replaced
	// meanwhile, they are those of the new one.
	if _, err := own.FileControlPersistWAL("main", 1); err != nil {
		return nil, errors.Join(err, own.Close())
	}
	return own, nil
}

// sqliteDriverConn is what the journal uses of the driver's connection.
type sqliteDriverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.SessionResetter
	driver.Validator
	sqlite.FileControl
}

// sqliteConn is a connection that compiles each statement once. A statement must not
// run while rows of the same text are being read.
type sqliteConn struct {
	sqliteDriverConn
	compiled map[string]driver.Stmt
}

// ExecContext implements driver.ExecerContext.
func (c *sqliteConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	stmt, err := c.compile(query)
	if err != nil {
		return nil, err
	}
	return stmt.(driver.StmtExecContext).ExecContext(ctx, withNow(query, args))
}

// QueryContext implements driver.QueryerContext.
func (c *sqliteConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	stmt, err := c.compile(query)
	if err != nil {
		return nil, err
	}
	return stmt.(driver.StmtQueryContext).QueryContext(ctx, withNow(query, args))
}

// compile returns the compiled statement. The journal has fewer than a hundred.
func (c *sqliteConn) compile(query string) (driver.Stmt, error) {
	if stmt := c.compiled[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := c.Prepare(query)
	if err == nil {
		c.compiled[query] = stmt
	}
	return stmt, err
}

// withNow adds sqliteNow to the arguments of a statement that uses it.
func withNow(query string, args []driver.NamedValue) []driver.NamedValue {
	if !strings.Contains(query, sqliteNow) {
		return args
	}
	return append(args[:len(args):len(args)], driver.NamedValue{Name: sqliteNow[1:], Ordinal: len(args) + 1, Value: time.Now().UnixMilli()})
}

// Close implements driver.Conn. SQLite keeps a database open that has a statement.
func (c *sqliteConn) Close() error {
	for _, stmt := range c.compiled {
		_ = stmt.Close()
	}
	return c.sqliteDriverConn.Close()
}
