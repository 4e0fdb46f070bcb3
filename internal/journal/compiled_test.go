package journal

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAStatementIsCompiledOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "some.db")
	db, err := openSQLite(dataSource(path, "immediate", 0, "journal_mode(WAL)"))
	must(t, err)
	db.SetMaxOpenConns(1)
	compiled := func() (n int) {
		conn, err := db.Conn(t.Context())
		must(t, err)
		defer conn.Close()
		must(t, conn.Raw(func(c any) error { n = len(c.(*sqliteConn).compiled); return nil }))
		return n
	}
	_, err = db.Exec(`CREATE TABLE a (b INTEGER); CREATE TABLE c (d INTEGER)`)
	must(t, err)
	before := compiled()
	for i := range 3 {
		_, err := db.Exec(`INSERT INTO a (b) VALUES ($1)`, i)
		must(t, err)
	}
	for i := range 3 {
		var got, now int64
		must(t, db.QueryRow(`SELECT b, `+sqliteNow+` FROM a WHERE b = $1 AND `+sqliteNow+` > 0`, i).Scan(&got, &now))
		if got != int64(i) || now < 1_700_000_000_000 {
			t.Errorf("%d: got %d at %d", i, got, now)
		}
	}
	if n := compiled() - before; n != 2 {
		t.Errorf("%d statements were compiled for 2 texts", n)
	}
	must(t, db.Close())
	open, _ := filepath.Glob("/proc/self/fd/*") // nothing where there is no /proc
	for _, fd := range open {
		if name, err := os.Readlink(fd); err == nil && name == path {
			t.Errorf("%s is still open", path)
		}
	}
}

// When a caller leaves in the middle of a statement, database/sql makes another
// connection. It must leave the companions in place when it is closed, too.
func TestAConnectionThatTakesTheOthersPlaceKeepsTheCompanions(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	fill(t, j, 3)
	files, err := j.engine.(*embedded).open(intents)
	must(t, err)
	for _, db := range files.handles {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		_, err := db.ExecContext(ctx, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n`)
		if ctx.Err() == nil {
			t.Errorf("it ended without end: %v", err)
		}
	}
	accept(t, j, submission("tides"), "id-more")
	if n := len(list(t, j, All)); n != 4 {
		t.Errorf("%d rows, want 4", n)
	}
	j.Close()
	for _, companion := range companions {
		if _, err := os.Stat(filepath.Join(dir, fileName+companion)); err != nil {
			t.Error(err)
		}
	}
}
