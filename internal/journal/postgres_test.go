// These tests hold what is PostgreSQL's alone: many replicas at once, clocks that
// are wrong, connections that break, a database that is away.

package journal

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/e2e/pgtest"
	"pixazo-mcp/pixazo"
)

func TestReplicasDecideOneAfterTheOther(t *testing.T) {
	t.Parallel()
	for _, settings := range []string{"", "&default_transaction_isolation=repeatable%20read"} {
		t.Run(settings, func(t *testing.T) { decideOneAfterTheOther(t, pgtest.URL(t)+settings) })
	}
}

func decideOneAfterTheOther(t *testing.T, place string) {
	const users, limit, perUser = 4, 10, 4
	var wg sync.WaitGroup
	var mu sync.Mutex
	sent := map[string]int{} // by owner
	requests := map[string]int{}
	for replica := range 4 {
		o := at(place)
		o.Limits, o.Busy = Limits{PerHour: limit, PerUser: perUser}, time.Minute
		j := New(o) // which makes the tables, all at once
		t.Cleanup(j.Close)
		for user := range users {
			wg.Go(func() {
				owner := fmt.Sprint("user-", user)
				for n := range 6 {
					s := Intent{Row: Row{Prompt: "tides", Fingerprint: fmt.Sprint(n), Nonce: fmt.Sprint(replica, user, n)}}
					_, other, err := j.Intend(WithOwner(t.Context(), owner), s)
					mu.Lock()
					switch {
					case err == nil && other == nil:
						sent[owner]++
						requests[owner+s.Fingerprint]++
					case err != nil && !pixazo.IsCode(err, pixazo.LimitReached):
						t.Error(err)
					}
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	all := 0
	for owner, n := range sent {
		if all += n; n > perUser {
			t.Errorf("%s sent %d, the limit is %d", owner, n, perUser)
		}
	}
	if all != limit {
		t.Errorf("%d were sent, the limit is %d", all, limit)
	}
	for request, n := range requests {
		if n > 1 {
			t.Errorf("%s was sent %d times", request, n)
		}
	}
}

// In a bubble of synctest the clock of this process is decades behind.
func TestAReplicaWithAWrongClock(t *testing.T) {
	t.Parallel()
	place := pgtest.URL(t)
	o := at(place)
	o.Limits = Limits{PerHour: 3, PerUser: 2}
	right := New(o)
	t.Cleanup(right.Close)
	accept(t, right, submission("tides"), "id-1")
	if granted, err := right.Claim(t.Context(), "id-1", time.Minute); !granted || err != nil {
		t.Fatal(granted, err)
	}
	var in Intent
	synctest.Test(t, func(t *testing.T) {
		wrong := New(o)
		defer wrong.Close()
		if _, other, err := wrong.Intend(t.Context(), submission("tides")); other == nil || err != nil {
			t.Errorf("the same request: %+v, %v; want that it stands in the way", other, err)
		}
		if granted, err := wrong.Claim(t.Context(), "id-1", time.Second); granted || err != nil {
			t.Errorf("a poll under way: %t, %v", granted, err)
		}
		in = intend(t, wrong, submission("moon"))
		check(t, wrong.Renew(t.Context(), in))
		_, _, err := wrong.Intend(t.Context(), submission("sun"))
		if !pixazo.IsCode(err, pixazo.LimitReached) || !strings.Contains(err.Error(), "--max-videos-per-user") || pixazo.RetryAfter(err) > time.Hour+time.Second {
			t.Errorf("got %v, want the limit of a user for an hour", err)
		}
		check(t, wrong.TakeLease(t.Context(), Lease{"watch", "wrong", time.Now().Add(time.Minute)}))
	})
	if rows := list(t, right, Pending); len(rows) != 2 {
		t.Errorf("%d rows under way, want 2: %+v", len(rows), rows)
	}
	if time.Since(in.SubmittedAt).Abs() > time.Minute {
		t.Errorf("submitted at %s, want the database's time", in.SubmittedAt)
	}
	if held, err := right.Leases(t.Context(), ""); len(held) != 1 || err != nil || time.Until(held[0].Until) < 50*time.Second {
		t.Errorf("leases %+v, %v", held, err)
	}
}

// While notifications wait, the row of one that was handled may have a newer change than
// theirs. What waits is read again if the connection is lost now.
func TestTheMarkOfAListenerPassesNoChangeThatWaits(t *testing.T) {
	t.Parallel()
	j := open(t, pgtest.URL(t))
	row, err := j.ByNonce(t.Context(), intend(t, j, submission("tides")).Nonce)
	check(t, err)
	number := fmt.Sprint(row.ID)
	l := listener{j: j, p: j.engine.(*postgres), f: func([]Row) {}}
	waiting := make(chan string, 1000)
	for range 501 {
		waiting <- number
	}
	for _, want := range []bool{false, true} {
		check(t, l.handle(t.Context(), number, waiting))
		if moved := l.mark > 0; moved != want || len(waiting) == 0 != want {
			t.Errorf("the mark is %d with %d that wait", l.mark, len(waiting))
		}
	}
}

func TestAClockThatDiffersFromTheDatabasesIsLogged(t *testing.T) {
	t.Parallel()
	o := at(pgtest.URL(t))
	watched := func(t *testing.T) string {
		var logged func() string
		o.Logger, logged = logFile(t)
		j := New(o)
		defer j.Close()
		ctx, cancel := context.WithCancel(t.Context())
		j.Hear(func(string) { cancel() })
		j.Watch(ctx, time.Now(), func([]Row) {})
		return logged()
	}
	const differ = "clock and this computer's differ"
	if logged := watched(t); strings.Contains(logged, differ) {
		t.Errorf("with the same clock: %s", logged)
	}
	synctest.Test(t, func(t *testing.T) { // where it is the year 2000
		if logged := watched(t); !strings.Contains(logged, differ) {
			t.Errorf("decades apart: %q", logged)
		}
	})
}

// Times that are compared with the journal's are by the database's clock, also after that
// or this computer's was set.
func TestNowIsTheDatabasesTime(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	j := open(t, pgtest.SetClock(t, database, "20 seconds"))
	is := func(at time.Time, ahead time.Duration) bool { return (time.Until(at) - ahead).Abs() < 5*time.Second }
	in := intend(t, j, submission("tides"))
	if now, ended := j.Now(), j.withOutcome(in, pixazo.Job{}, nil).ChangedAt; !is(now, 20*time.Second) || !is(ended, 20*time.Second) {
		t.Errorf("it is %s, and an outcome is of %s", now, ended)
	}
	listening := make(chan struct{})
	j.Hear(func(string) { close(listening) })
	go j.Watch(t.Context(), time.Now(), func([]Row) {})
	<-listening
	pgtest.SetClock(t, database, "-3 hours")
	for begun := time.Now(); !is(j.Now(), -3*time.Hour); time.Sleep(100 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("it is still %s, although the clock was set", j.Now())
		}
	}
	check(t, j.OpenSession(t.Context(), Session{ID: "a1"}))
	if s, err := j.FindSession(t.Context(), "a1"); err != nil || s == nil || !is(s.SeenAt, 0) {
		t.Errorf("a session that was just opened: %+v, %v", s, err)
	}
}

func TestTextsThatPostgreSQLRefuses(t *testing.T) {
	t.Parallel()
	j := open(t, pgtest.URL(t))
	const bad = "a\x00b\xffc"
	s := submission(bad)
	s.Request, s.Save.Folder = bad, bad
	in := intend(t, j, s)
	row := conclude(t, j, in, pixazo.Job{RequestID: "id-1", Status: bad, Error: bad, Media: pixazo.Media{VideoURLs: []string{bad}}, PollingURL: bad}, nil)
	if want := "a\uFFFDb\uFFFDc"; row.Prompt != want || row.Job.Error != want {
		t.Errorf("kept %q, %q", row.Prompt, row.Job.Error)
	}
	observe(t, j, pixazo.Job{RequestID: "id-1", Status: pixazo.Status(bad), Error: bad})
	if _, err := j.Find(WithOwner(t.Context(), bad), bad); err != nil {
		t.Error(err)
	}
	check(t, j.OpenSession(t.Context(), Session{ID: bad, Subscriptions: []string{bad}}))
	check(t, j.Signal(t.Context(), bad))
}

// logFile returns a logger and a function that returns what was logged, also while a
// journal may log more.
func logFile(t *testing.T) (l *slog.Logger, logged func() string) {
	f, err := os.CreateTemp(t.TempDir(), "")
	check(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return slog.New(slog.NewTextHandler(f, nil)), func() string {
		t.Helper()
		said, err := os.ReadFile(f.Name())
		check(t, err)
		return string(said)
	}
}

// watching is a Watch and what it told.
type watching struct {
	rows    chan Row
	signals chan string
}

func watch(t *testing.T, j *Journal) watching {
	w := watching{make(chan Row, 1000), make(chan string, 1000)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	j.Hear(func(s string) { w.signals <- s })
	go func() {
		defer close(done)
		j.Watch(ctx, time.Now(), func(rows []Row) {
			for _, r := range rows {
				w.rows <- r
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// until waits for a row for which f holds.
func (w watching) until(t *testing.T, f func(Row) bool) {
	t.Helper()
	for timeout := time.After(time.Minute); ; {
		select {
		case r := <-w.rows:
			if f(r) {
				return
			}
		case <-timeout:
			t.Fatal("nothing was heard")
		}
	}
}

func is(id string, status pixazo.Status) func(Row) bool {
	return func(r Row) bool { return r.Job.RequestID == id && r.Job.Status == status }
}

// heard waits until w hears signals.
func (w watching) heard(t *testing.T, j *Journal) {
	t.Helper()
	for timeout := time.After(time.Minute); ; {
		_ = j.Signal(t.Context(), "ready")
		select {
		case s := <-w.signals:
			if s != "" {
				return
			}
		case <-time.After(10 * time.Millisecond):
		case <-timeout:
			t.Fatal("no signal was heard")
		}
	}
}

func TestOneReplicaHearsTheOther(t *testing.T) {
	place := pgtest.URL(t)
	a, b := open(t, place), open(t, place)
	w := watch(t, b)
	w.heard(t, a)
	accept(t, a, submission("tides"), "id-1")
	w.until(t, is("id-1", pixazo.Queued))
	var took []time.Duration
	for n := range 50 {
		status := pixazo.Status(fmt.Sprint("STATUS-", n))
		observe(t, a, pixazo.Job{RequestID: "id-1", Status: status})
		committed := time.Now()
		w.until(t, is("id-1", status))
		took = append(took, time.Since(committed))
	}
	slices.Sort(took)
	t.Logf("from the commit to the other replica: %s at the median, %s at most", took[len(took)/2], took[len(took)-1])

	// A connection that is lost loses nothing.
	kill(t, place)
	observe(t, a, pixazo.Job{RequestID: "id-1", Status: pixazo.Completed})
	w.until(t, is("id-1", pixazo.Completed))
	for lost := false; !lost; { // that signals may have been lost is told as well
		select {
		case s := <-w.signals:
			lost = s == ""
		case <-time.After(time.Minute):
			t.Fatal("nobody says that signals may have been lost")
		}
	}
	w.heard(t, b)
	if err := a.Signal(t.Context(), strings.Repeat("x", 8000)); !pixazo.IsCode(err, pixazo.JournalUnavailable) {
		t.Errorf("a signal that is too long: %v", err)
	}
}

func TestReplicasWithDifferentSearchPathsHearAndLockEachOther(t *testing.T) {
	first, err := url.Parse(pgtest.URL(t))
	must(t, err)
	second, err := url.Parse(pgtest.URL(t))
	must(t, err)
	a := open(t, first.String())
	accept(t, a, submission("tides"), "id-1")
	q := second.Query()
	q.Set("search_path", q.Get("search_path")+","+first.Query().Get("search_path")) // the tables are not in its first schema
	second.RawQuery = q.Encode()
	b := open(t, second.String())
	w := watch(t, b)
	w.heard(t, a)
	accept(t, a, submission("rain"), "id-2")
	w.until(t, is("id-2", pixazo.Queued))

	// A decision of one waits for that of the other.
	ended := make(chan struct{})
	err = a.decide(t.Context(), intents, func(context.Context, *sql.Tx, time.Time) error {
		go func() {
			defer close(ended)
			_ = b.decide(t.Context(), intents, func(context.Context, *sql.Tx, time.Time) error { return nil })
		}()
		select {
		case <-ended:
			t.Error("two decisions at once")
		case <-time.After(300 * time.Millisecond):
		}
		return nil
	})
	if <-ended; err != nil {
		t.Error(err)
	}
}

// A file is added while another replica gives the job to the submission whose outcome was
// lost.
func TestAFileIsNotLostWhileItsJobGoesToAnotherRow(t *testing.T) {
	t.Parallel()
	place := pgtest.URL(t)
	a, b := open(t, place), open(t, place)
	in := intend(t, a, submission("tides"))
	job := pixazo.Job{RequestID: idAt(time.Now().Add(time.Second), 1), Status: pixazo.Completed}
	observe(t, b, job)
	added := make(chan error, 1)
	check(t, a.decide(t.Context(), outcomes, func(ctx context.Context, tx *sql.Tx, _ time.Time) error {
		settled, _, err := a.settle(ctx, tx, job, true, `nonce = $5`, in.Nonce)
		if !settled {
			t.Error("it does not fit")
		}
		go func() { added <- b.AddSaved(t.Context(), job.RequestID, []SavedFile{{Path: "/videos/tides.mp4"}}) }()
		for waits := false; err == nil && !waits; { // for this transaction
			err = tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid)`).Scan(&waits)
		}
		return err
	}))
	check(t, <-added)
	if row := find(t, a, job.RequestID); row.Nonce != in.Nonce || len(row.Saved) != 1 {
		t.Errorf("%+v", row)
	}
}

// kill ends all connections of a schema's programs, as a failover does.
func kill(t *testing.T, place string) {
	pgtest.Exec(t, place, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pixazo-mcp' AND pid <> pg_backend_pid()`)
}

func TestADatabaseThatIsAwayAndComesBack(t *testing.T) {
	t.Parallel()
	c := pgtest.NewCluster(t, "")
	logger, logged := logFile(t)
	o := at(c.URL)
	o.Logger = logger
	j := New(o)
	t.Cleanup(j.Close)
	w := watch(t, j)
	in, second := intend(t, j, submission("tides")), intend(t, j, submission("moon"))
	check(t, c.Stop())
	secret := func(err error) {
		t.Helper()
		if !pixazo.IsCode(err, pixazo.JournalUnavailable) || strings.Contains(err.Error(), "/tmp") {
			t.Errorf("got %v; want journal_unavailable, and not where the database is", err)
		}
	}
	_, _, err := j.Intend(t.Context(), submission("sun"))
	secret(err)
	_, err = j.List(t.Context(), All, 10, "")
	secret(err)
	secret(j.Ping(t.Context()))
	_, err = j.Claim(t.Context(), "id-1", 0)
	secret(err)
	if row, err := j.Conclude(in, pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil); err == nil || row.State != Accepted {
		t.Errorf("concluded as %+v, %v", row, err)
	}
	if row := func() *Row { r, _ := j.Find(t.Context(), "id-1"); return r }(); row == nil {
		t.Error("the outcome is forgotten")
	}
	check(t, c.Start())
	w.until(t, is("id-1", pixazo.Queued)) // Watch has written it
	w.heard(t, j)
	conclude(t, j, second, pixazo.Job{RequestID: "id-2", Status: pixazo.Queued}, nil)
	if j.Unwritten() {
		t.Error("it waits to be written")
	}

	check(t, c.Stop())
	check(t, c.Start("default_transaction_read_only=on"))
	_, _, err = j.Intend(t.Context(), submission("sun"))
	secret(err)
	if rows := list(t, j, All); len(rows) != 2 {
		t.Errorf("%d rows listed on a read-only database, want 2", len(rows))
	}
	check(t, c.Stop())
	check(t, c.Start())
	intend(t, j, submission("sun")) // connections to what is gone are of no matter
	if strings.Contains(logged(), "top-secret") {
		t.Error("the password is in the log")
	}
}

func TestADatabaseThatIsSlow(t *testing.T) {
	t.Parallel()
	place := pgtest.URL(t)
	o := at(place)
	o.Busy = 5 * time.Second
	j := New(o)
	t.Cleanup(j.Close)
	in := intend(t, j, submission("tides"))
	db, err := sql.Open("pgx", place)
	check(t, err)
	defer db.Close()
	tx, err := db.Begin()
	check(t, err)
	_, err = tx.Exec(`LOCK TABLE jobs IN SHARE ROW EXCLUSIVE MODE`) // which lets others read
	check(t, err)
	begun := time.Now()
	if _, _, err := j.Intend(t.Context(), submission("moon")); !pixazo.IsCode(err, pixazo.JournalUnavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := j.Conclude(in, pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil); !pixazo.IsCode(err, pixazo.JournalUnavailable) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begun); took > 10*o.Busy {
		t.Errorf("it took %s", took)
	}
	begun = time.Now()
	check(t, j.Ping(t.Context()))
	if took := time.Since(begun); took >= o.Busy {
		t.Errorf("Ping took %s: it waits until the outcome is written", took)
	}
	check(t, tx.Rollback())
	j.WriteOutcomes()
	if row := find(t, open(t, place), "id-1"); row == nil {
		t.Error("the outcome is not written")
	}
}

// Connections are given out in turn: who comes first does not wait for those who
// come later, and nobody waits for ever.
func TestConnectionsAreGivenOutInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &postgres{}
		p.migrated.Store(true)
		p.turns[statuses] = make(chan struct{}, 1)
		var order []int
		for n := range 100 {
			go func() {
				check(t, p.use(t.Context(), statuses, func(context.Context, *sql.DB) error {
					time.Sleep(time.Second)
					order = append(order, n)
					return nil
				}))
			}()
			synctest.Wait() // until it has its turn, or waits for it
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
		defer cancel()
		if err := p.use(ctx, statuses, nil); err != context.DeadlineExceeded {
			t.Errorf("in vain: %v", err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(order) != 100 || !slices.IsSorted(order) {
			t.Errorf("in the order %v", order)
		}
	})
}

// A full disk is a panic of the server, which restarts.
func TestADatabaseThatIsFull(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "100m")
	check(t, os.Chmod(dir, 0o777))
	check(t, os.Chmod(filepath.Dir(dir), 0o755))
	c := pgtest.NewCluster(t, dir)
	o := at(c.URL)
	j := New(o)
	t.Cleanup(j.Close)
	intend(t, j, submission("tides"))
	empty := fillDisk(t, dir)
	var refused error
	sent := 1
	for ; refused == nil && sent < 2000; sent++ { // until the room that is set aside is used up
		s := submission(fmt.Sprint("moon ", sent))
		var request strings.Builder
		for range 20_000 { // that does not compress
			request.WriteString(rand.Text())
		}
		s.Request = request.String()
		_, _, refused = j.Intend(t.Context(), s)
	}
	if !pixazo.IsCode(refused, pixazo.JournalUnavailable) {
		t.Fatalf("got %v, want that nothing is submitted", refused)
	}
	empty()
	_ = c.Stop()
	check(t, c.Start())
	if rows := list(t, j, All); len(rows) == 0 {
		t.Error("nothing is listed")
	}
	intend(t, j, submission("sun"))
}

func TestNoErrorShowsThePassword(t *testing.T) {
	for _, address := range []string{
		"postgres://pixazo:top-secret@127.0.0.1:1/name",
		"postgres://pixazo:top-secret@no-such-host.invalid/name",
		"postgres://pixazo:top-secret@127.0.0.1:port/name",
		"postgres://pixazo:top-secret@[::1/name",
		"host=127.0.0.1 port=1 password=top-secret sslmode=none",
		"top-secret",
	} {
		logger, logged := logFile(t)
		j := New(Options{Database: address, Busy: 3 * time.Second, Logger: logger})
		_, _, err := j.Intend(t.Context(), submission("tides"))
		if !pixazo.IsCode(err, pixazo.JournalUnavailable) || strings.Contains(fmt.Sprintf("%v %+v", err, err), "top-secret") || strings.Contains(logged(), "top-secret") || !strings.Contains(logged(), "the database") {
			t.Errorf("%s: %v, logged %s", address, err, logged())
		}
		j.Close()
	}
}

// through starts a proxy in front of the database at place, and returns the URL
// that leads through it. The proxy sends the server what change makes of the
// client's bytes; when change returns nil, it sends them as they are and closes the
// client's connection, so that the client does not learn the answer.
func through(t *testing.T, place string, change func(said []byte) []byte) string {
	return throughEach(t, place, func() func([]byte) []byte { return change })
}

// throughEach is through with a function for each connection, which connected makes.
func throughEach(t *testing.T, place string, connected func() (change func(said []byte) []byte)) string {
	u, err := url.Parse(place)
	check(t, err)
	if u.Query().Get("host") == "" {
		t.Skip("wants the cluster of the tests")
	}
	socket := filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", socket)
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(client, server); client.Close() }()
			change := connected()
			go func() {
				buffer := make([]byte, 64<<10)
				for {
					n, err := client.Read(buffer)
					said := change(buffer[:n])
					if said == nil {
						said = buffer[:n]
						_ = client.Close()
					}
					if _, err2 := server.Write(said); err != nil || err2 != nil {
						_ = server.Close()
						return
					}
				}
			}()
		}
	}()
	query := u.Query()
	query.Set("host", "127.0.0.1")
	query.Set("port", fmt.Sprint(listener.Addr().(*net.TCPAddr).Port))
	query.Set("sslmode", "disable")
	u.RawQuery = query.Encode()
	return u.String()
}

// A pooler that gives each transaction another connection ignores what a connection
// asks for.
func TestATransactionPoolerIsRefused(t *testing.T) {
	logger, logged := logFile(t)
	o := at(through(t, pgtest.URL(t), func(said []byte) []byte {
		return bytes.Replace(said, []byte(idleTimeout+"\x00"+idleLimit), []byte("pooler."+strings.Repeat("x", len(idleTimeout)-7)+"\x00"+idleLimit), 1)
	}))
	o.Logger = logger
	j := New(o)
	defer j.Close()
	if _, _, err := j.Intend(t.Context(), submission("tides")); !pixazo.IsCode(err, pixazo.JournalUnavailable) {
		t.Errorf("got %v; want that nothing is submitted", err)
	}
	if !strings.Contains(logged(), "a pooler before the database") {
		t.Errorf("logged %s", logged())
	}
}

// Servers in the database URL differ by host or by port alone, as when several run on one
// computer.
func TestOfSeveralServersTheOneThatAcceptsWritesIsUsed(t *testing.T) {
	place := pgtest.URL(t)
	const ask, no = "show transaction_read_only", "select 'on'               "
	standby := through(t, place, func(said []byte) []byte { return bytes.Replace(said, []byte(ask), []byte(no), 1) })
	var used atomic.Bool
	primary := through(t, place, func(said []byte) []byte { used.Store(true); return said })
	port := func(place string) string {
		u, err := url.Parse(place)
		check(t, err)
		return u.Query().Get("port")
	}
	both := strings.NewReplacer("host=127.0.0.1", "host=127.0.0.1,127.0.0.1", "port="+port(standby), "port="+port(standby)+","+port(primary))
	j := New(at(both.Replace(standby)))
	defer j.Close()
	if _, _, err := j.Intend(t.Context(), submission("tides")); err != nil || !used.Load() {
		t.Errorf("%v; the other one was used: %t", err, !used.Load())
	}
}

// Connections die while they are idle: what is said on them goes nowhere, and nothing
// closes them.
func TestConnectionsThatDieUnnoticed(t *testing.T) {
	t.Parallel()
	var dead atomic.Bool
	var tested atomic.Int32
	o := at(throughEach(t, pgtest.URL(t), func() func([]byte) []byte {
		born := dead.Load()
		return func(said []byte) []byte {
			if dead.Load() != born {
				if bytes.Contains(said, []byte("-- ping")) {
					tested.Add(1)
				}
				return []byte{}
			}
			return said
		}
	}) + "&connect_timeout=2")
	o.Busy = 4 * time.Second
	j := New(o)
	t.Cleanup(j.Close)
	w := watch(t, j)
	if s := <-w.signals; s != "" {
		t.Fatalf("heard %q before all that may have been lost", s)
	}
	in := intend(t, j, submission("tides"))
	conclude(t, j, in, pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil)
	w.until(t, is("id-1", pixazo.Queued))
	in = intend(t, j, submission("moon"))
	time.Sleep(1100 * time.Millisecond) // pgx takes one that is idle for a shorter time as alive
	dead.Store(true)
	find(t, j, "id-1")
	intend(t, j, submission("sun"))
	conclude(t, j, in, pixazo.Job{RequestID: "id-2", Status: pixazo.Queued}, nil)
	if n := tested.Load(); n != 1 {
		t.Errorf("%d dead connections were tested; want 1, and that the others are not used", n)
	}
	select { // the connection that hears is another one now
	case s := <-w.signals:
		if s != "" {
			t.Errorf("heard %q", s)
		}
	case <-time.After(time.Minute):
		t.Error("what may have been lost is not told")
	}
}

// A replica that is cut off while it decides keeps the others from deciding only for a
// part of the time that they have.
func TestAReplicaThatIsCutOffWhileItDecides(t *testing.T) {
	t.Parallel()
	place := pgtest.URL(t)
	decides := make(chan bool, 1)
	o := at(through(t, place, func(said []byte) []byte {
		if bytes.Contains(said, []byte("INSERT INTO jobs")) {
			decides <- true
			return []byte{}
		}
		return said
	}))
	o.Busy = time.Minute // it does not close the connection itself
	lost, good := New(o), open(t, place)
	t.Cleanup(lost.Close)
	ended := make(chan bool)
	go func() {
		_, other, err := lost.Intend(t.Context(), submission("tides"))
		ended <- err != nil || other != nil
	}()
	<-decides
	intend(t, good, submission("tides"))
	if !<-ended {
		t.Error("both may send the request")
	}
}

// That a caller leaves while a connection is made says nothing of the database.
func TestACallerThatLeavesIsNotLogged(t *testing.T) {
	logger, logged := logFile(t)
	j := New(Options{Database: "postgres://pixazo@127.0.0.1:1/name", Logger: logger})
	defer j.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := j.List(ctx, All, 10, ""); err == nil || logged() != "" {
		t.Errorf("%v, logged %s", err, logged())
	}
}

// A connection that breaks while a COMMIT is under way: nobody knows whether it was
// carried out.
func TestACommitWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	place := pgtest.URL(t)
	var mu sync.Mutex
	cut := ""
	lossy, good := open(t, through(t, place, func(said []byte) []byte {
		mu.Lock()
		defer mu.Unlock()
		if cut != "" && bytes.Contains(bytes.ToUpper(said), []byte(cut)) {
			return nil
		}
		return said
	})), open(t, place)
	intend(t, lossy, submission("first"))
	mu.Lock()
	cut = "COMMIT"
	mu.Unlock()
	s := submission("tides")
	if _, _, err := lossy.Intend(t.Context(), s); !pixazo.IsCode(err, pixazo.JournalUnavailable) {
		t.Fatalf("got %v", err)
	}
	mu.Lock()
	cut = ""
	mu.Unlock()
	lossy.WriteOutcomes()
	row, err := good.ByNonce(t.Context(), s.Nonce)
	if err != nil || row == nil || row.State != Refused {
		t.Errorf("it stands as %+v, %v; want that nothing was sent", row, err)
	}
	intend(t, good, submission("tides"))
}
