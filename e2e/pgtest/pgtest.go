// Package pgtest gives tests a PostgreSQL: the one that PIXAZO_TEST_DATABASE_URL
// names, or a cluster of its own that ends with the test program.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Run runs the tests of a package that wait for databases, disks and processes: more
// of them at once than there are processors.
func Run(m *testing.M) int {
	_ = flag.Set("test.parallel", "8")
	return m.Run()
}

// Engines runs f for the embedded database and for PostgreSQL, side by side. place
// makes a place for a journal of its own: a directory, or the URL of a schema.
func Engines(t *testing.T, f func(t *testing.T, place func(testing.TB) string)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, func(t testing.TB) string { return t.TempDir() })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		base(t)
		f(t, URL)
	})
}

// URL returns the URL of a schema that was made for the test and goes with it, or
// with the cluster.
// It skips the test where there is no PostgreSQL, unless PIXAZO_TEST_POSTGRES is
// set.
func URL(t testing.TB) string {
	t.Helper()
	base := base(t)
	schema := "test_" + strings.ToLower(rand.Text())
	Exec(t, base, "CREATE SCHEMA "+schema)
	if os.Getenv("PIXAZO_TEST_DATABASE_URL") != "" {
		t.Cleanup(func() { Exec(t, base, "DROP SCHEMA "+schema+" CASCADE") })
	}
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal("PIXAZO_TEST_DATABASE_URL must be a URL")
	}
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String()
}

// base returns the URL of the database that has the schemas.
func base(t testing.TB) string {
	t.Helper()
	if url := os.Getenv("PIXAZO_TEST_DATABASE_URL"); url != "" {
		return url
	}
	url, err := start()
	wanted(t, err)
	return url
}

// wanted ends a test for which no cluster could be started.
func wanted(t testing.TB, err error) {
	t.Helper()
	if err != nil && os.Getenv("PIXAZO_TEST_POSTGRES") == "" {
		t.Skip("no PostgreSQL (install it, or set PIXAZO_TEST_DATABASE_URL): ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// SetClock has the clock of database, a URL, differ from the right time by ahead, an
// interval such as "-1 hour". It returns the URL for those who are to see that, from now
// on and after further calls.
func SetClock(t testing.TB, database, ahead string) string {
	t.Helper()
	for _, name := range []string{"clock_timestamp()", "statement_timestamp()"} {
		Exec(t, database, "CREATE OR REPLACE FUNCTION "+name+" RETURNS timestamptz LANGUAGE sql AS $$ SELECT pg_catalog."+name+" + interval '"+ahead+"' $$")
	}
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("search_path", query.Get("search_path")+",pg_catalog") // else that is searched first
	u.RawQuery = query.Encode()
	return u.String()
}

// Exec runs statements on the database at url.
func Exec(t testing.TB, url, statements string) {
	t.Helper()
	ctx := context.Background() // the test's is done in a cleanup
	conn, err := pgx.Connect(ctx, url)
	if err == nil {
		_, err = conn.Exec(ctx, statements)
		err = errors.Join(err, conn.Close(ctx))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Cluster is a PostgreSQL of a test's own, which may be stopped and started.
type Cluster struct {
	URL string
	dir string // its data and its socket
	bin string
}

// start starts the cluster that the tests of this program share. A shell ends it
// when this program has ended, however that was, and its pipe is closed.
var start = sync.OnceValues(func() (string, error) {
	c, err := newCluster("")
	if err != nil {
		return "", err
	}
	end := c.command("pg_ctl", "-D", c.dir, "-m", "immediate", "stop")
	watch := exec.Command("sh", "-c", `trap "" INT TERM HUP; cat >/dev/null; "$@" >/dev/null 2>&1; rm -rf `+c.dir, "sh")
	watch.Args = append(watch.Args, end.Args...)
	watch.Dir = "/"
	if alive, err = watch.StdinPipe(); err != nil {
		return "", err
	}
	return c.URL, watch.Start()
})

// alive keeps the pipe open as long as this program runs.
//
//lint:ignore U1000 the garbage collector would close a pipe that nothing holds
var alive io.Closer

// NewCluster starts a cluster of the test's own, below parent or where temporary
// files are. It skips the test as URL does.
func NewCluster(t testing.TB, parent string) *Cluster {
	t.Helper()
	c, err := newCluster(parent)
	wanted(t, err)
	t.Cleanup(func() {
		_ = c.Stop()
		_ = os.RemoveAll(c.dir)
	})
	return c
}

func newCluster(parent string) (*Cluster, error) {
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
		if len(found) == 0 {
			return nil, err
		}
		initdb = found[len(found)-1]
	}
	if runtime.GOOS == "windows" {
		return nil, errors.New("no cluster is made on Windows")
	}
	dir, err := os.MkdirTemp(parent, "pixazo-pg-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, bin: filepath.Dir(initdb)}
	if os.Getuid() == 0 { // whom PostgreSQL refuses
		if err := os.Chown(dir, 65534, 65534); err != nil {
			return nil, err
		}
	}
	out, err := c.command("initdb", "--no-sync", "-A", "trust", "-U", "pixazo", "-E", "UTF8", "--no-locale", "-D", dir).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	c.URL = (&url.URL{Scheme: "postgres", User: url.UserPassword("pixazo", "top-secret"), Path: "/postgres", RawQuery: url.Values{"host": {dir}}.Encode()}).String()
	return c, c.Start()
}

// Start starts a cluster that was stopped, with further settings such as
// "default_transaction_read_only=on".
func (c *Cluster) Start(settings ...string) error {
	options := "-k " + c.dir + " -c listen_addresses= -c fsync=off"
	for _, s := range settings {
		options += " -c " + s
	}
	return run(c.command("pg_ctl", "-w", "-D", c.dir, "-l", filepath.Join(c.dir, "log"), "-o", options, "start"))
}

// Stop stops the cluster as a crash would.
func (c *Cluster) Stop() error { return c.StopIn("immediate") }

// StopIn stops the cluster in one of the modes of pg_ctl: immediate, or fast.
func (c *Cluster) StopIn(mode string) error {
	return run(c.command("pg_ctl", "-w", "-D", c.dir, "-m", mode, "stop"))
}

// run does not read what a command prints: the server would keep the pipe open.
func run(cmd *exec.Cmd) error {
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return nil
}

// command is a program of PostgreSQL, run by somebody who is not root.
func (c *Cluster) command(name string, args ...string) *exec.Cmd {
	args = append([]string{filepath.Join(c.bin, name)}, args...)
	if os.Getuid() == 0 {
		args = append([]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/"
	return cmd
}
