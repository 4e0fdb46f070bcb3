// These tests hold calls to their rules: what is said on which stream, and what
// ends a call.

package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"pixazo-mcp/internal/journal"
)

// mcp-go loses progress that is sent shortly before the answer, and sends it on
// the streams of other calls of the session.
func TestProgressIsNeitherLostNorOnAnotherStream(t *testing.T) {
	for _, modern := range eras {
		t.Run(eraName(modern), func(t *testing.T) {
			r := newTeam().start(t, nil)
			c := r.connect("alice", modern)
			var calls sync.WaitGroup
			for i := range 40 {
				calls.Go(func() {
					id := fmt.Sprint(i + 1)
					got := messages(t, c.post(t.Context(), c.call(id, "progress", "")))
					if len(got) != 51 {
						t.Errorf("call %s: %d messages, want 50 and the answer", id, len(got))
						return
					}
					for n, m := range got[:50] {
						if m.Method != "notifications/progress" || fmt.Sprint(m.Params.ProgressToken) != id || m.Params.Progress != float64(n+1) {
							t.Errorf("call %s: message %d is %+v", id, n, m)
						}
					}
					if last := got[50]; string(last.ID) != id || last.text() != "done" {
						t.Errorf("call %s: answered %+v", id, last)
					}
				})
			}
			calls.Wait()
		})
	}
}

// begin makes a call that blocks, in the background. The channel hears of its
// answer.
func (c *client) begin(ctx context.Context, id, name string) <-chan []said {
	c.t.Helper()
	answered := make(chan []said, 1)
	go func() {
		answer, err := http.DefaultClient.Do(c.request(ctx, http.MethodPost, c.call(id, "block", name)))
		if err != nil {
			answered <- nil
			return
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusAccepted {
			answered <- messages(c.t, answer)
			return
		}
		answered <- []said{}
	}()
	if got := c.r.wait(c.r.began); got != name {
		c.t.Fatalf("call %q began, want %q", got, name)
	}
	return answered
}

// patience is how long a test waits for what is to come at once, on a machine that
// has much else to do.
const patience = time.Minute

func (r *replica) wait(c <-chan string) string {
	r.t.Helper()
	select {
	case s := <-c:
		return s
	case <-time.After(patience):
		r.t.Fatal("nothing happened in ", patience)
		return ""
	}
}

func (c *client) cancel(id string) {
	c.t.Helper()
	message := fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s}}`, id)
	if answer := c.post(c.t.Context(), message); answer.StatusCode != http.StatusAccepted {
		c.t.Errorf("cancel: %s", answer.Status)
	}
}

// mcp-go lets a stranger cancel, and answers a call that was cancelled.
func TestCancelUpTo20251125(t *testing.T) {
	team := newTeam()
	a, b := team.start(t, nil), team.start(t, nil)
	alice := a.connect("alice", false)
	answered := alice.begin(t.Context(), "1", "first")
	second := alice.begin(t.Context(), "2", "second")

	other := a.connect("alice", false) // another session of hers
	without := *alice
	without.session = ""
	for _, c := range []*client{a.connect("bob", false), other, other.at(b), &without, without.at(b), {t: t, r: a, user: "bob", modern: true}, {t: t, r: a, user: "alice", modern: true}} {
		c.cancel("1")
	}
	alice.cancel("3")
	select {
	case got := <-a.ended:
		t.Fatalf("a stranger ended a call: %s", got)
	default:
	}
	alice.cancel("1")
	if got := a.wait(a.ended); got != "first cancelled" {
		t.Errorf("got %s", got)
	}
	if got := <-answered; got == nil || len(got) != 0 {
		t.Errorf("a cancelled call was answered: %+v", got)
	}
	alice.at(b).cancel("2") // the other replica passes it on
	if got := a.wait(a.ended); got != "second cancelled" {
		t.Errorf("got %s", got)
	}
	if got := <-second; got == nil || len(got) != 0 {
		t.Errorf("a cancelled call was answered: %+v", got)
	}
}

// A client may have lost the connection of a call, and make another one of the same id.
func TestTheNewerOfTwoCallsWithOneIDCanBeCancelled(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	r := newTeam().start(t, func(o *Options) {
		o.Subscribe = func(context.Context, string, func()) (func(), error) {
			close(begun)
			<-release
			return func() {}, nil
		}
	})
	alice := r.connect("alice", false)
	older := make(chan said)
	go func() { older <- alice.subscribe("1", "subscribe", "x://1") }()
	<-begun
	newer := alice.begin(t.Context(), "1", "newer")
	close(release)
	if got := <-older; got.Error != nil {
		t.Errorf("the older one got %+v", got)
	}
	for r.web.open.Get() > 1 { // the older one is answered, but not over
		time.Sleep(time.Millisecond)
	}
	alice.cancel("1")
	if got := r.wait(r.ended); got != "newer cancelled" {
		t.Errorf("got %s", got)
	}
	<-newer
}

func TestDisconnectCancelsSince20260728Alone(t *testing.T) {
	for _, modern := range eras {
		t.Run(eraName(modern), func(t *testing.T) {
			r := newTeam().start(t, nil)
			c := r.connect("alice", modern)
			ctx, leave := context.WithCancel(t.Context())
			c.begin(ctx, "1", "x")
			leave()
			if modern {
				if got := r.wait(r.ended); got != "x cancelled" {
					t.Errorf("got %s", got)
				}
				return
			}
			c.begin(t.Context(), "2", "y") // the connection's end was seen by now, or never will be
			c.cancel("2")
			if got := r.wait(r.ended); got != "y cancelled" {
				t.Errorf("got %s", got)
			}
			close(r.release)
			if got := r.wait(r.ended); got != "x done" {
				t.Errorf("got %s", got)
			}
		})
	}
}

// recorder is a client's end without a network, which fake time needs.
type recorder struct {
	header http.Header
	status int

	mu       sync.Mutex
	body     strings.Builder
	writes   int
	deadline time.Time
	readBy   time.Time // deadline of reads
	late     int       // writes without a deadline of their own
	err      error     // of writes
}

func (r *recorder) Header() http.Header { return r.header }
func (r *recorder) WriteHeader(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes++
	if r.deadline != time.Now().Add(writeTime) {
		r.late++
	}
	if r.err != nil {
		return 0, r.err
	}
	return r.body.Write(p)
}

func (r *recorder) FlushError() error { return nil }

func (r *recorder) SetWriteDeadline(at time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deadline = at
	return nil
}

func (r *recorder) SetReadDeadline(at time.Time) error {
	r.readBy = at
	return nil
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.body.String()
}

// mcp-go writes nothing before the first event, not even headers, and without a
// deadline.
func TestSilenceIsBroken(t *testing.T) {
	for _, modern := range eras {
		t.Run(eraName(modern), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newTeam().replica(t, nil)
				c := &client{t: t, r: r, user: "alice", modern: modern}
				w := &recorder{header: http.Header{}}
				done := make(chan struct{})
				go func() {
					defer close(done)
					r.web.ServeHTTP(w, c.request(t.Context(), http.MethodPost, c.call("1", "block", "x")))
				}()
				time.Sleep(14 * time.Second)
				synctest.Wait()
				if w.status != 0 || w.text() != "" {
					t.Errorf("%d %q after 14 s", w.status, w.text())
				}
				time.Sleep(32 * time.Second)
				synctest.Wait()
				h := w.header
				if w.text() != ":\n\n:\n\n:\n\n" || w.status != 200 || h.Get("Content-Type") != "text/event-stream" || h.Get("X-Accel-Buffering") != "no" {
					t.Errorf("%d %q %s after 46 s", w.status, w.text(), h)
				}
				close(r.release)
				<-done
				got := strings.TrimPrefix(w.text(), ":\n\n:\n\n:\n\n")
				if stream := bufio.NewReader(strings.NewReader(got)); true {
					if m, err := next(t, stream); err != nil || m.text() != "done" {
						t.Errorf("answered %q", got)
					}
				}
				if w.late > 0 {
					t.Errorf("%d of %d writes had no deadline of their own", w.late, w.writes)
				}
				time.Sleep(time.Minute)
				if !strings.HasSuffix(w.text(), got) {
					t.Error("something was written after the answer")
				}
			})
		})
	}
}

// An answer that ends after a long silence is still ended in order. Without time for that,
// the client and its proxy would see a connection that broke.
func TestTheEndOfAnAnswerHasTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		team := newTeam()
		team.sessions[hash("open")] = journal.Session{ID: hash("open"), Owner: "alice", SeenAt: time.Now()}
		r := team.replica(t, nil)
		c := &client{t: t, r: r, user: "alice", session: "open"}
		w := &recorder{header: http.Header{}}
		go func() {
			time.Sleep(2*writeTime - time.Second)
			r.web.Drain()
		}()
		r.web.ServeHTTP(w, c.request(t.Context(), http.MethodGet, ""))
		if w.status != 200 || w.deadline != time.Now().Add(writeTime) {
			t.Errorf("%d, and %s are left", w.status, time.Until(w.deadline))
		}
	})
}

func TestAClientThatDoesNotRead(t *testing.T) {
	for _, modern := range eras {
		t.Run(eraName(modern), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newTeam().replica(t, nil)
				c := &client{t: t, r: r, user: "alice", modern: modern}
				w := &recorder{header: http.Header{}, err: fmt.Errorf("i/o timeout")}
				done := make(chan struct{})
				go func() {
					defer close(done)
					r.web.ServeHTTP(w, c.request(t.Context(), http.MethodPost, c.call("1", "block", "x")))
				}()
				time.Sleep(time.Minute)
				synctest.Wait()
				select {
				case got := <-r.ended:
					if !modern || got != "x cancelled" {
						t.Errorf("got %s", got)
					}
				default:
					if modern {
						t.Error("the call goes on")
					}
				}
				close(r.release)
				<-done
				if w.writes != 1 {
					t.Errorf("%d writes to a client that can't be written to", w.writes)
				}
			})
		})
	}
}

// net/http reads what is left of a body before it sends the answer. Without a deadline
// the connection of a client that stops in the middle would stay open for ever, and the
// client would get no answer. A call whose body has come may take any time.
func TestABodyThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTeam().replica(t, nil)
		c := &client{t: t, r: r, user: "alice"}
		for whole, status := range map[bool]int{true: 200, false: 400} {
			w, request := &recorder{header: http.Header{}}, c.request(t.Context(), http.MethodPost, ping)
			if !whole {
				request.Body = io.NopCloser(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(ping))))
			}
			r.web.ServeHTTP(w, request)
			if w.status != status || w.readBy.IsZero() != whole || !whole && time.Until(w.readBy) != bodyTime {
				t.Errorf("whole %v: status %d, want %d; the rest is read until %s", whole, w.status, status, w.readBy)
			}
		}
	})
}

// A paused player does not read for a while.
func TestAVideoHasMoreTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTeam().replica(t, func(o *Options) {
			o.Videos = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("video")) })
		})
		w := &recorder{header: http.Header{}}
		r.web.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/videos/x/1", nil))
		if w.text() != "video" || time.Until(w.deadline) != videoTime {
			t.Errorf("%q in %s, want %s", w.text(), time.Until(w.deadline), videoTime)
		}
	})
}

func TestAccept(t *testing.T) {
	const js, sse = "application/json", "text/event-stream"
	for _, tt := range []struct {
		accept, tool, kind string
		status, said       int
	}{
		{"application/json, text/event-stream", "hello", js, 200, 1},
		{"application/json, text/event-stream", "progress", sse, 200, 51},
		{"*/*", "progress", sse, 200, 51},
		{"", "progress", sse, 200, 51},
		{"application/json", "progress", js, 200, 1},
		{"application/json, text/event-stream;q=0", "progress", js, 200, 1},
		{"text/event-stream", "hello", sse, 200, 1},
		{"text/html", "hello", "", 406, 0},
	} {
		for _, modern := range eras {
			r := newTeam().start(t, nil)
			c := r.connect("alice", modern)
			q := c.request(t.Context(), http.MethodPost, c.call("1", tt.tool, ""))
			q.Header.Set("Accept", tt.accept)
			if tt.accept == "" {
				q.Header.Del("Accept")
			}
			answer := c.do(q)
			if kind := answer.Header.Get("Content-Type"); answer.StatusCode != tt.status || tt.kind != "" && kind != tt.kind {
				t.Errorf("%s: %q, %s: got %s %s", eraName(modern), tt.accept, tt.tool, answer.Status, kind)
			} else if tt.said > 0 {
				if got := messages(t, answer); len(got) != tt.said {
					t.Errorf("%s: %q, %s: got %d messages", eraName(modern), tt.accept, tt.tool, len(got))
				}
			}
		}
	}
}
