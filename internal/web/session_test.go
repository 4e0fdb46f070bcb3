// These tests hold sessions, subscriptions and the end of the server to their
// rules.

package web

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/internal/identity"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

// mcp-go takes ids that were never given out, also those of other users and
// those that have ended.
func TestSessionsBelongToTheirUser(t *testing.T) {
	team := newTeam()
	a, b := team.start(t, nil), team.start(t, nil)
	alice := a.connect("alice", false)
	for id := range team.sessions {
		if strings.Contains(id, alice.session) {
			t.Error("the database has the id of a session")
		}
	}
	ping := alice.message("1", "ping", "")
	status := func(c *client, method string) int {
		body := ""
		if method == http.MethodPost {
			body = ping
		}
		return c.do(c.request(t.Context(), method, body)).StatusCode
	}
	expect := func(want int, what string, c *client, methods ...string) {
		t.Helper()
		for _, method := range methods {
			if got := status(c, method); got != want {
				t.Errorf("%s, %s: got %d, want %d", what, method, got, want)
			}
		}
	}
	mallory := *alice
	mallory.user = "mallory"
	unknown := *alice
	unknown.session = "mcp-session-1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"
	none := *alice
	none.session = ""
	for _, r := range team.replicas {
		expect(200, "hers", alice.at(r), "POST")
		expect(404, "another's", mallory.at(r), "POST", "GET", "DELETE")
		expect(404, "unknown", unknown.at(r), "POST", "GET", "DELETE")
		expect(200, "none", none.at(r), "POST")
		expect(400, "none", none.at(r), "GET", "DELETE")
	}
	expect(204, "hers", alice.at(b), "DELETE")
	for _, r := range team.replicas { // also the one that read it a moment ago
		expect(404, "ended", alice.at(r), "POST", "GET", "DELETE")
	}
}

func TestWithoutTheDatabase(t *testing.T) {
	team := newTeam()
	r := team.start(t, nil)
	c := r.connect("alice", false)
	team.setAway(errors.New("connection refused"))
	for _, q := range []*http.Request{
		c.request(t.Context(), "POST", c.message("1", "ping", "")),
		c.request(t.Context(), "GET", ""),
		c.request(t.Context(), "DELETE", ""),
	} {
		answer := c.do(q)
		body, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" || strings.Contains(string(body), "refused") {
			t.Errorf("%s: %s %s %s", q.Method, answer.Status, answer.Header, body)
		}
	}
	without := client{t: t, r: r, user: "alice"}
	if got := messages(t, without.post(t.Context(), without.call("1", "hello", ""))); got[0].text() != "hello alice" {
		t.Errorf("a call without a session: %+v", got)
	}
	answer := c.post(t.Context(), `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`)
	if got := messages(t, answer); got[0].Error != nil || answer.Header.Get("Mcp-Session-Id") != "" {
		t.Errorf("initialize: %+v, %s", got, answer.Header)
	}
	team.setAway(nil)
	if answer := c.post(t.Context(), c.message("1", "ping", "")); answer.StatusCode != 200 {
		t.Errorf("once it is back: %s", answer.Status)
	}
}

// A client of 2025-11-25 is told by its call that the journal is away, as one of
// 2026-07-28 is, and not by a status that makes it give the server up.
func TestASessionThatIsKnownOutlivesTheDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		team := newTeam()
		s := New(nil, Options{Identity: users{}, Sessions: team})
		opened := journal.Session{ID: hash("open"), Owner: "alice", SeenAt: time.Now().Add(-2 * time.Hour)}
		team.sessions[opened.ID] = opened
		find := func(cached bool) bool {
			found, err := s.findSession(t.Context(), opened.ID, cached)
			return err == nil && found != nil && found.Owner == "alice"
		}
		if !find(true) {
			t.Fatal("it is not found")
		}
		time.Sleep(time.Hour)
		team.setAway(errors.New("connection refused"))
		if find(false) || !find(true) {
			t.Error("it is refused while it can't be read")
		}
		team.setAway(nil)
		delete(team.sessions, opened.ID)
		if find(true) {
			t.Error("it has ended, and is found")
		}
	})
}

// A session that can be read is accepted also while the database takes no writes, so that
// its last use can't be written.
func TestASessionNeedsNoWrite(t *testing.T) {
	t.Parallel()
	team := readOnly{newTeam()}
	team.sessions[hash("open")] = journal.Session{ID: hash("open"), Owner: "alice", SeenAt: time.Now().Add(-2 * time.Hour)}
	s := New(nil, Options{Identity: users{}, Sessions: team})
	if found, err := s.findSession(t.Context(), hash("open"), true); found == nil || err != nil {
		t.Errorf("%+v, %v", found, err)
	}
}

type readOnly struct{ *team }

func (readOnly) UseSession(context.Context, string) error { return errors.New("read-only") }

// stream opens the stream of news of a session and waits until it is heard.
func (c *client) stream(ctx context.Context) (events *bufio.Reader) {
	c.t.Helper()
	answer := c.do(c.request(ctx, http.MethodGet, ""))
	events = bufio.NewReader(answer.Body)
	if m, err := next(c.t, events); answer.StatusCode != 200 || err != nil || m.Method != ":" {
		c.t.Fatalf("GET: %s %+v %v", answer.Status, m, err)
	}
	return events
}

func (c *client) subscribe(id, method, uri string) said {
	c.t.Helper()
	return messages(c.t, c.post(c.t.Context(), c.message(id, "resources/"+method, "", fmt.Sprintf(`"uri":%q`, uri))))[0]
}

// until waits until the subscriptions of a replica are these.
func (r *replica) until(want ...string) {
	r.t.Helper()
	for begun := time.Now(); !slices.Equal(r.all(), want); time.Sleep(time.Millisecond) {
		if time.Since(begun) > patience {
			r.t.Fatalf("subscriptions: %v, want %v", r.all(), want)
		}
	}
}

func TestAStreamSubscribesOnceTheDatabaseIsBack(t *testing.T) {
	t.Parallel()
	team := newTeam()
	r := team.start(t, nil)
	c := r.connect("alice", false)
	c.stream(t.Context())
	if err := team.Subscribe(t.Context(), hash(c.session), "x://late", true); err != nil {
		t.Fatal(err)
	}
	team.setAway(errors.New("away"))
	r.web.Signalled(signalChange + " " + hash(c.session))
	for tried := false; !tried; time.Sleep(time.Millisecond) {
		team.mu.Lock()
		tried = team.refused > 0
		team.mu.Unlock()
	}
	team.setAway(nil)
	r.until("alice x://late")
}

// The session can be read, and then the video to which it subscribes can't.
func TestAStreamSubscribesOnceTheVideoCanBeRead(t *testing.T) {
	t.Parallel()
	team := newTeam()
	r := team.start(t, nil)
	c := r.connect("alice", false)
	if err := team.Subscribe(t.Context(), hash(c.session), "x://late", true); err != nil {
		t.Fatal(err)
	}
	away := func(err error) {
		r.shelf.mu.Lock()
		defer r.shelf.mu.Unlock()
		r.shelf.away = err
	}
	away(&pixazo.Error{Code: pixazo.JournalUnavailable})
	c.stream(t.Context())
	for tried := false; !tried; time.Sleep(time.Millisecond) {
		r.shelf.mu.Lock()
		tried = r.shelf.refused > 0
		r.shelf.mu.Unlock()
	}
	away(nil)
	r.until("alice x://late")
}

// mcp-go acknowledges subscriptions and never tells anything.
func TestSubscriptionsUpTo20251125(t *testing.T) {
	team := newTeam()
	a, b := team.start(t, nil), team.start(t, nil)
	c := a.connect("alice", false)
	if got := c.subscribe("1", "subscribe", "x://before"); got.Error != nil {
		t.Fatalf("%+v", got.Error)
	}
	events := c.stream(t.Context())
	a.until("alice x://before")
	for _, r := range team.replicas { // whichever replica is asked
		if got := c.at(r).subscribe("2", "subscribe", fmt.Sprintf("x://%p", r)); got.Error != nil {
			t.Fatalf("%+v", got.Error)
		}
	}
	want := []string{"alice x://before", fmt.Sprintf("alice x://%p", a), fmt.Sprintf("alice x://%p", b)}
	slices.Sort(want)
	a.until(want...)
	b.until()
	a.change("x://before")
	if m, err := next(t, events); err != nil || m.Method != "notifications/resources/updated" || m.Params.URI != "x://before" || m.Params.Meta != nil {
		t.Errorf("got %+v, %v", m, err)
	}
	c.at(b).subscribe("3", "unsubscribe", "x://before")
	a.until(slices.DeleteFunc(want, func(s string) bool { return s == "alice x://before" })...)

	team.mu.Lock()
	for id, s := range team.sessions {
		s.Subscriptions = []string{"x://unheard"}
		team.sessions[id] = s
	}
	team.mu.Unlock()
	a.web.Signalled("") // after the database was away
	a.until("alice x://unheard")

	if got := c.subscribe("4", "subscribe", "y://z"); got.Error == nil || got.Error.Message != "there is no such thing" {
		t.Errorf("an unknown uri: %+v", got)
	}
	without := &client{t: t, r: a, user: "alice"}
	if got := without.subscribe("5", "subscribe", "x://a"); got.Error == nil {
		t.Errorf("without a session: %+v", got)
	}

	newer := c.at(b).stream(t.Context()) // of the same session: news are told once
	if m, err := next(t, events); err == nil {
		t.Errorf("the older stream goes on with %+v", m)
	}
	a.until()
	if answer := c.do(c.request(t.Context(), http.MethodDelete, "")); answer.StatusCode != 204 {
		t.Errorf("DELETE: %s", answer.Status)
	}
	if m, err := next(t, newer); err == nil {
		t.Errorf("the stream of an ended session goes on with %+v", m)
	}
	b.until()
}

func (c *client) listen(ctx context.Context, id, filter string) *bufio.Reader {
	c.t.Helper()
	answer := c.post(ctx, c.message(id, "subscriptions/listen", "", `"notifications":`+filter))
	events := bufio.NewReader(answer.Body)
	m, err := next(c.t, events)
	if err != nil || m.Method != "notifications/subscriptions/acknowledged" || string(m.Params.Meta["io.modelcontextprotocol/subscriptionId"]) != id {
		c.t.Fatalf("listen: %s %+v %v", answer.Status, m, err)
	}
	return events
}

func TestSubscriptionsSince20260728(t *testing.T) {
	r := newTeam().start(t, nil)
	c := r.connect("alice", true)
	const big = "9007199254740993"
	ctx, leave := context.WithCancel(t.Context())
	events := c.listen(ctx, big, `{"resourceSubscriptions":["x://a","x://b"]}`)
	bob := r.connect("bob", true).listen(t.Context(), big, `{"resourceSubscriptions":["x://a"]}`)
	r.until("alice x://a", "alice x://b", "bob x://a")
	r.change("x://b")
	r.change("x://a")
	for _, want := range []string{"x://b", "x://a"} {
		if m, err := next(t, events); err != nil || m.Params.URI != want || string(m.Params.Meta["io.modelcontextprotocol/subscriptionId"]) != big {
			t.Errorf("got %+v, %v", m, err)
		}
	}
	leave()
	r.until("bob x://a")
	r.web.Drain()
	if m, err := next(t, bob); err != nil || m.Params.URI != "x://a" {
		t.Errorf("got %+v, %v", m, err)
	}
	m, err := next(t, bob)
	if err != nil || string(m.ID) != big || !strings.Contains(string(m.Result), big) {
		t.Errorf("at the end: %+v %s, %v", m, m.Result, err)
	}
}

// mcp-go's Shutdown waits for streams to its deadline.
func TestDrain(t *testing.T) {
	for _, modern := range eras {
		t.Run(eraName(modern), func(t *testing.T) {
			r := newTeam().start(t, nil)
			c := r.connect("alice", modern)
			var events *bufio.Reader
			if modern {
				events = c.listen(t.Context(), "1", `{"resourceSubscriptions":["x://a"]}`)
			} else {
				events = c.stream(t.Context())
			}
			answered := c.begin(t.Context(), "2", "x")
			r.web.Drain()
			r.web.Drain()
			m, err := next(t, events)
			if modern && (err != nil || string(m.ID) != "1" || m.Result == nil) || !modern && err == nil {
				t.Errorf("the stream of news: %+v, %v", m, err)
			}
			for _, q := range []*http.Request{c.request(t.Context(), "POST", c.message("3", "ping", "")), get(t, r.http.URL+"/readyz")} {
				if answer := c.do(q); answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" {
					t.Errorf("%s: %s", q.URL.Path, answer.Status)
				}
			}
			close(r.release)
			if got := <-answered; len(got) != 1 || got[0].text() != "done" {
				t.Errorf("the call in flight: %+v", got)
			}
			if err := r.http.Config.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func get(t *testing.T, url string) *http.Request {
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// mcp-go keeps what each initialize left behind.
func TestNothingIsLeftBehind(t *testing.T) {
	team := newTeam()
	r := team.start(t, nil)
	before := runtime.NumGoroutine()
	for i := range 30 {
		for _, modern := range eras {
			c := r.connect("alice", modern)
			ctx, leave := context.WithCancel(t.Context())
			if modern {
				c.listen(ctx, "1", `{"resourceSubscriptions":["x://a"]}`)
			} else {
				c.subscribe("1", "subscribe", "x://a")
				c.stream(ctx)
			}
			c.begin(ctx, "2", fmt.Sprint(i, modern))
			c.post(ctx, c.call("3", "hello", ""))
			leave()
		}
	}
	close(r.release)
	r.until()
	http.DefaultClient.CloseIdleConnections()
	s := r.web
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		calls := 0
		s.calls.Range(func(any, any) bool { calls++; return true })
		left := fmt.Sprint(s.open.Get(), calls, len(s.streams), s.bodies)
		s.mu.Unlock()
		now := runtime.NumGoroutine()
		if left == "0 0 0 0" && now <= before+3 {
			break
		}
		if time.Since(begun) > patience {
			t.Fatalf("open, calls, streams, bodies: %s; %d goroutines, %d before", left, now, before)
		}
	}
	if n := len(team.sessions); n != 30 {
		t.Errorf("%d sessions, want 30", n)
	}
}

// accounts are users whose tokens are refused with the status in state, unless it is 0.
type accounts struct {
	users
	state atomic.Int32
}

func (a *accounts) Identify(r *http.Request) (identity.User, error) {
	if status := a.state.Load(); status != 0 {
		return identity.User{}, &identity.Refusal{Status: int(status), Message: "no"}
	}
	return a.users.Identify(r)
}

// A session never replaces the token.
func TestAStreamEndsWithItsToken(t *testing.T) {
	for _, modern := range eras {
		t.Run(eraName(modern), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var a accounts
				team := newTeam()
				r := team.replica(t, func(o *Options) { o.Identity = &a })
				c := &client{t: t, r: r, user: "alice", modern: modern}
				q := c.request(t.Context(), http.MethodPost, c.message("1", "subscriptions/listen", "", `"notifications":{"resourceSubscriptions":["x://a"]}`))
				if !modern {
					c.session = "one"
					_ = team.OpenSession(t.Context(), journal.Session{ID: hash("one"), Owner: "alice"})
					q = c.request(t.Context(), http.MethodGet, "")
				}
				ended := make(chan time.Time, 1)
				go func() {
					r.web.ServeHTTP(&recorder{header: http.Header{}}, q)
					ended <- time.Now()
				}()
				time.Sleep(time.Hour)
				a.state.Store(503) // it can't be said whether the token is good
				time.Sleep(time.Hour)
				select {
				case <-ended:
					t.Fatal("the stream has ended with a good token")
				default:
				}
				a.state.Store(401)
				refused := time.Now()
				if late := (<-ended).Sub(refused); late > tokenEvery {
					t.Errorf("it ended %s after the token", late)
				}
			})
		})
	}
}

func TestTooManyStreams(t *testing.T) {
	r := newTeam().start(t, nil)
	c := r.connect("alice", true)
	for i := range maxStreams {
		c.listen(t.Context(), fmt.Sprint(i), `{"resourceSubscriptions":["x://a"]}`)
	}
	if answer := c.post(t.Context(), c.message("99", "subscriptions/listen", "", `"notifications":{"resourceSubscriptions":["x://a"]}`)); answer.StatusCode != 503 {
		t.Errorf("one more: %s", answer.Status)
	}
	r.connect("bob", true).listen(t.Context(), "1", `{"resourceSubscriptions":["x://a"]}`)
}

// The operator need not hear of clients that leave.
func TestLogOfFailures(t *testing.T) {
	var log bytes.Buffer
	team := newTeam()
	r := team.replica(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	team.setAway(errors.New("away"))
	left, leave := context.WithCancel(t.Context())
	leave()
	for ctx, want := range map[context.Context]int{left: 0, t.Context(): 1} {
		for _, method := range []string{"GET", "DELETE"} {
			log.Reset()
			q := httptest.NewRequestWithContext(ctx, method, "http://127.0.0.1/mcp", nil)
			q.Header.Set("Authorization", "Bearer alice")
			q.Header.Set("Mcp-Session-Id", "x")
			w := httptest.NewRecorder()
			r.web.ServeHTTP(w, q)
			if n := strings.Count(log.String(), "level=WARN"); n != want || w.Code != 503 {
				t.Errorf("%s, left %t: %d, log %s", method, ctx == left, w.Code, &log)
			}
		}
	}
}

// The Go SDK gives up a session of which six streams have ended without an id.
func TestStreamsBeginWithAnId(t *testing.T) {
	c := newTeam().start(t, nil).connect("alice", false)
	seen := map[string]bool{}
	for _, version := range []string{"", "2025-06-18", "2025-11-25", "2025-11-25"} {
		q := c.request(t.Context(), http.MethodGet, "")
		if version != "" {
			q.Header.Set("Mcp-Protocol-Version", version)
		}
		piece := make([]byte, 200)
		n, err := c.do(q).Body.Read(piece)
		got, begins := string(piece[:n]), strings.HasPrefix(string(piece[:n]), "id: ")
		if err != nil || begins != (version == "2025-11-25") || seen[got] || begins && !strings.HasSuffix(got, "\ndata:\n\n") || !begins && got != ":\n\n" {
			t.Errorf("%q begins with %q, %v", version, got, err)
		}
		seen[got] = begins
	}
}
