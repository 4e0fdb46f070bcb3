// These tests look at a large journal: what every call does must not take longer,
// the more jobs there are.

package journal

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"modernc.org/sqlite"

	"pixazo-mcp/e2e/pgtest"
	"pixazo-mcp/pixazo"
)

// large is how many jobs there are: 20,000, or a million with
// PIXAZO_TEST_MILLION=1. One in fifty is unfinished; a hundredth as many people
// have made them.
func large() int {
	if os.Getenv("PIXAZO_TEST_MILLION") != "" {
		return 1_000_000
	}
	return 20_000
}

// grow fills a journal: a job a minute, the newest of them unfinished.
func grow(t testing.TB, j *Journal, jobs int) {
	t.Helper()
	addJobs(t, j, jobs)
	must(t, j.write(t.Context(), outcomes, func(_ context.Context, db *sql.DB) error {
		tidy := `ANALYZE`
		if j.lock != "" {
			tidy = `VACUUM ANALYZE` // as a server does by itself
		}
		_, err := db.ExecContext(context.WithoutCancel(t.Context()), tidy)
		return err
	}))
}

// addJobs is grow without statistics, as a new journal is.
func addJobs(t testing.TB, j *Journal, jobs int) {
	t.Helper()
	must(t, j.write(t.Context(), outcomes, func(_ context.Context, db *sql.DB) error {
		ctx := context.WithoutCancel(t.Context()) // longer than a write may take
		const step = 20_000
		for from := 0; from < jobs; from += step {
			if _, err := db.ExecContext(ctx, `INSERT INTO jobs (gateway, owner, account, state, request_id, nonce, fingerprint, prompt, request, status, ended,
					output, submitted_at, created_at, updated_at, completed_at, checked_at, polled_at, changed_at, sweep_at, save_folder, saved_files)
				WITH RECURSIVE n(i) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $2),
					j AS (SELECT i, CASE WHEN i >= $3 THEN 0 ELSE 1 END AS ended, $4 + i * 60000 AS at FROM n)
				SELECT $5, 'owner-' || (i % $6), 'key', 'accepted', 'id-' || i, 'n-' || i, 'print-' || (i % 1000), 'A lighthouse keeper explains the tides ' || i, '{"orientation":"landscape"}',
					CASE ended WHEN 1 THEN 'COMPLETED' ELSE 'PROCESSING' END, ended, '{"video_urls":["https://v.example/' || i || '.mp4"]}',
					at, at, at, CASE ended WHEN 1 THEN at + 600000 ELSE 0 END, at, at, at + 600000 * ended, at, '/videos', '[]' FROM j`,
				from, min(from+step, jobs), jobs-jobs/50, time.Now().UnixMilli()-int64(jobs)*60_000, "https://gateway.example", jobs/100); err != nil {
				return err
			}
		}
		return nil
	}))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// calls are what is measured and explained: with the index that each must use.
func calls(t testing.TB, j *Journal, jobs int) []call {
	id := func(n int) string { return fmt.Sprint("id-", jobs-1-n%(jobs/50)) } // of an unfinished job
	owner := func(n int) context.Context {
		return WithOwner(context.Background(), fmt.Sprint("owner-", (jobs-1-n%(jobs/50))%(jobs/100)))
	}
	run := fmt.Sprint(time.Now().UnixNano())
	page := func(filter Filter) func(n int) error {
		return func(n int) error {
			_, err := j.List(owner(n), filter, 20, "")
			return err
		}
	}
	return []call{
		{"a page of list_videos", page(All), "jobs_owner"},
		{"a page of the pending", page(Pending), "jobs_owner"},
		{"a page of the uncertain", page(OnlyUncertain), "jobs_"},
		{"Intend: duplicates and limits", func(n int) error {
			_, _, err := j.Intend(owner(n), Intent{Row: Row{Prompt: "tides", Fingerprint: fmt.Sprint(run, n), Nonce: fmt.Sprint(run, n)}})
			return err
		}, "jobs_fingerprint"},
		{"a claim of a poll", func(n int) error {
			_, err := j.Claim(owner(n), id(n), 0)
			return err
		}, "jobs_request_id"},
		{"a look at a job", func(n int) error {
			_, err := j.Find(owner(n), id(n))
			return err
		}, "jobs_request_id"},
		{"an observation", func(n int) error {
			_, err := j.Observe(owner(n), pixazo.Job{RequestID: id(n), Status: pixazo.Processing})
			return err
		}, "jobs_request_id"},
		{"an observation of a job made elsewhere", func(n int) error {
			job := pixazo.Job{RequestID: idAt(time.Now(), n), Status: pixazo.Processing}
			if _, err := j.Observe(owner(n), job); err != nil {
				return err
			}
			_, err := j.Observe(owner(n), job)
			return err
		}, "jobs_uncertain"},
		{"a callback", func(n int) error {
			_, err := j.Settle(owner(n), fmt.Sprint("n-", n), pixazo.Job{RequestID: idAt(time.Now(), n)})
			return err
		}, "jobs_nonce"},
		{"a sweep", func(int) error {
			_, err := j.Due(context.Background(), 5*time.Minute, 20)
			return err
		}, "jobs_sweep"},
		{"what keepers look for", func(int) error {
			_, err := j.Work(context.Background(), 48*time.Hour)
			return err
		}, "jobs_request_id"},
		{"what replicas save", func(int) error {
			_, err := j.Saves(context.Background(), 48*time.Hour, 100)
			return err
		}, "jobs_to_save"},
		{"what changed lately", func(int) error {
			return j.changed(context.Background(), time.Now().UnixMilli()-5000, func([]Row) {})
		}, "jobs_changed"},
		{"how long videos take", func(int) error {
			_, err := j.Typical(context.Background())
			return err
		}, "jobs_completed"},
		{"the use of a day", func(int) error {
			_, err := j.Usage(context.Background(), time.Now().Add(-time.Hour))
			return err
		}, "jobs_submitted"},
		{"the end of old rows", func(int) error {
			_, err := j.Tidy(context.Background())
			return err
		}, "jobs_changed"},
	}
}

type call struct {
	name  string
	f     func(n int) error
	index string
}

func largeOptions(place string) Options {
	o := at(place)
	o.Limits = Limits{PerHour: 1000, PerDay: 20_000, PerUser: 1000}
	o.KeepDays = 3650
	return o
}

func TestALargeJournalIsReadByItsIndexes(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		j := New(largeOptions(place(t)))
		t.Cleanup(j.Close)
		const jobs = 20_000
		grow(t, j, jobs)
		wantIndexes(t, j, calls(t, j, jobs))
	})
}

// In its first minutes a database has no statistics: what every poll does must take
// the best index then too.
func TestANewJournalIsReadByItsIndexes(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		at := place(t)
		j := New(largeOptions(at))
		t.Cleanup(j.Close)
		if list(t, j, All); j.lock != "" { // PostgreSQL may count the rows at any time, and then the journal is not new
			pgtest.Exec(t, at, "ALTER TABLE jobs SET (autovacuum_enabled = false)")
		}
		const jobs = 2000
		addJobs(t, j, jobs)
		often := slices.DeleteFunc(calls(t, j, jobs), func(c call) bool {
			return !slices.Contains([]string{"jobs_request_id", "jobs_nonce", "jobs_uncertain"}, c.index)
		})
		if j.lock != "" {
			often = append(often, call{"what a NOTIFY names", func(n int) error {
				more := make(chan string, 20)
				for n := range cap(more) {
					more <- fmt.Sprint(n)
				}
				return (&listener{j: j, f: func([]Row) {}}).handle(t.Context(), fmt.Sprint(n), more)
			}, "jobs_pkey"})
		}
		wantIndexes(t, j, often)
	})
}

func wantIndexes(t *testing.T, j *Journal, all []call) {
	t.Helper()
	rec := record(t, j)
	for _, c := range all {
		rec.take()
		must(t, c.f(1))
		plans := ""
		for _, s := range rec.take() {
			plan := rec.explain(t, s)
			plans += plan
			if strings.Contains(plan, "Seq Scan on jobs") || strings.Contains(plan, "SCAN jobs\n") || strings.Contains(plan, "jobs_submitted (gateway=?)\n") {
				t.Errorf("%s looks at every row:\n%s\n%s", c.name, s.query, plan)
			}
		}
		if !strings.Contains(plans, c.index) {
			t.Errorf("%s does not use %s:\n%s", c.name, c.index, plans)
		}
	}
}

// BenchmarkLargeJournal measures the calls beside other programs; only medians count.
//
//	PIXAZO_TEST_MILLION=1 go test -run - -bench Large -timeout 30m ./internal/journal
func BenchmarkLargeJournal(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgres"} {
		b.Run(engine, func(b *testing.B) {
			var dir string
			if engine == "sqlite" {
				dir = b.TempDir()
			} else {
				dir = pgtest.URL(b)
			}
			j := New(largeOptions(dir))
			b.Cleanup(j.Close)
			grow(b, j, large())
			for _, c := range calls(b, j, large()) {
				b.Run(strings.ReplaceAll(c.name, " ", "-"), func(b *testing.B) {
					var took []time.Duration
					for n := 0; b.Loop(); n++ {
						begun := time.Now()
						must(b, c.f(n))
						took = append(took, time.Since(begun))
					}
					slices.Sort(took)
					b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/median")
				})
			}
		})
	}
}

// recorder keeps the statements that a journal runs.
type recorder struct {
	mu         sync.Mutex
	statements []statement
	db         *sql.DB // to explain them on
	prefix     string
}

type statement struct {
	query string
	args  []driver.NamedValue
}

func record(t *testing.T, j *Journal) *recorder {
	r := &recorder{}
	open := func(c driver.Connector) *sql.DB {
		db := sql.OpenDB(recording{c, r})
		t.Cleanup(func() { db.Close() })
		db.SetMaxOpenConns(1)
		return db
	}
	switch e := j.engine.(type) {
	case *postgres:
		r.db, r.prefix = e.handles[intents], "EXPLAIN "
		for i := range e.handles {
			old := e.handles[i]
			e.handles[i] = open(connector{stdlib.GetConnector(*e.config), e})
			if i > 0 {
				old.Close()
			}
		}
		t.Cleanup(func() { r.db.Close() })
	case *embedded:
		files, err := e.open(intents)
		must(t, err)
		r.prefix = "EXPLAIN QUERY PLAN "
		for i, old := range files.handles {
			c, err := sqlite.NewConnector(dataSource(files.path, "immediate", time.Second))
			must(t, err)
			files.handles[i] = open(sqliteConnector{c})
			if r.db == nil {
				r.db = old
				t.Cleanup(func() { old.Close() })
			} else {
				old.Close()
			}
		}
	}
	return r
}

func (r *recorder) take() []statement {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.statements
	r.statements = nil
	return slices.DeleteFunc(all, func(s statement) bool {
		return !strings.Contains(s.query, "jobs") || strings.Contains(s.query, "VALUES")
	})
}

// explain returns the plan of a statement, one node a line.
func (r *recorder) explain(t *testing.T, s statement) (plan string) {
	t.Helper()
	args := make([]any, len(s.args))
	for i, a := range s.args {
		args[i] = a.Value
	}
	rows, err := r.db.Query(r.prefix+s.query, args...)
	must(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	must(t, err)
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(sql.NullString)
		}
		must(t, rows.Scan(values...))
		plan += values[len(values)-1].(*sql.NullString).String + "\n"
	}
	must(t, rows.Err())
	return plan
}

type recording struct {
	driver.Connector
	r *recorder
}

func (c recording) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	return recorded{conn, c.r}, err
}

type recorded struct {
	driver.Conn
	r *recorder
}

func (c recorded) note(query string, args []driver.NamedValue) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.r.statements = append(c.r.statements, statement{query, args})
}

func (c recorded) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.note(query, args)
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c recorded) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.note(query, args)
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c recorded) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

func (c recorded) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}
