// These tests hold the same rules on real sockets: what net/http's transport
// really does and tells when a server refuses, resets, stays silent, redirects
// or hangs up between two requests.

package pixazo

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// wire is a server that answers each connection with the next of its scripts
// and notes every request that it could read.
type wire struct {
	url string

	mu    sync.Mutex
	conns int
	came  []string // "METHOD path"
	raw   bytes.Buffer
}

// peer is the server's end of one connection.
type peer struct {
	net.Conn
	r *bufio.Reader
	w *wire
}

// serveWire listens on a loopback port. Past the last script connections are
// closed at once.
func serveWire(t *testing.T, scripts ...func(*peer)) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{url: "http://" + listener.Addr().String()}
	var busy sync.WaitGroup
	busy.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			w.mu.Lock()
			n := w.conns
			w.conns++
			w.mu.Unlock()
			busy.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(5 * time.Second)) // no test waits longer
				if n < len(scripts) {
					scripts[n](&peer{conn, bufio.NewReader(io.TeeReader(conn, lockedWriter{w})), w})
				}
			})
		}
	})
	t.Cleanup(func() { listener.Close(); busy.Wait() })
	return w
}

type lockedWriter struct{ w *wire }

func (l lockedWriter) Write(p []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.raw.Write(p)
}

// read takes one whole request from the connection.
func (p *peer) read() bool {
	req, err := http.ReadRequest(p.r)
	if err != nil {
		return false
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return false
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.came = append(p.w.came, req.Method+" "+req.URL.Path)
	return true
}

// write sends an answer's bytes as they stand, with CRLF for each line break.
func (p *peer) write(s string) { _, _ = io.WriteString(p, strings.ReplaceAll(s, "\n", "\r\n")) }

// answer sends a whole answer and keeps the connection.
func (p *peer) answer(body string) {
	p.write(fmt.Sprintf("HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: %d\n\n", len(body)))
	_, _ = io.WriteString(p, body)
}

// reset closes the connection with a TCP reset.
func (p *peer) reset() {
	_ = p.Conn.(*net.TCPConn).SetLinger(0)
	p.Close()
}

// untilGone waits until the client closes the connection.
func (p *peer) untilGone() { _, _ = io.Copy(io.Discard, p.r) }

func (w *wire) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.came
}

func (w *wire) connections() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conns
}

// newWireClient is a client with a transport of its own.
func newWireClient(t *testing.T, gateway string) *Client {
	return newTestClient(t, nil, func(config *Config) { config.GatewayURL = gateway })
}

// untilRetry returns a context that is cancelled as soon as c is about to wait
// for another try, so that a test of what is repeated takes no time.
func untilRetry(t *testing.T, c *Client) (ctx context.Context, retries func() int) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	n := 0
	c.config.Logger = slog.New(retryWatcher{func() { n++; cancel() }})
	return ctx, func() int { return n }
}

type retryWatcher struct{ retry func() }

func (retryWatcher) Enabled(context.Context, slog.Level) bool { return true }
func (w retryWatcher) WithAttrs([]slog.Attr) slog.Handler     { return w }
func (w retryWatcher) WithGroup(string) slog.Handler          { return w }
func (w retryWatcher) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "asking the gateway again" {
		w.retry()
	}
	return nil
}

func TestSubmissionOnABrokenConnectionIsSentOnce(t *testing.T) {
	chunked := "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n"
	for _, tt := range []struct {
		name   string
		script func(*peer)
		id     string
		sent   int // requests that the server read
	}{
		{"reset after reading", func(p *peer) { p.read(); p.reset() }, "", 1},
		{"closed after reading", func(p *peer) { p.read() }, "", 1},
		{"closed unread", func(p *peer) {}, "", 0},
		{"reset within the request", func(p *peer) { _, _ = p.r.Peek(1); p.reset() }, "", 0},
		{"closed within the answer's head", func(p *peer) { p.read(); p.write("HTTP/1.1 200 OK\nContent-") }, "", 1},
		{"closed within the body", func(p *peer) {
			p.read()
			p.write("HTTP/1.1 200 OK\nContent-Length: 4000\n\n" + queuedBody)
		}, testID, 1},
		{"reset within the body", func(p *peer) {
			p.read()
			p.write("HTTP/1.1 500 Oops\nContent-Length: 4000\n\n" + queuedBody)
			p.untilGoneOr(200 * time.Millisecond)
			p.reset()
		}, testID, 1},
		{"chunk cut off", func(p *peer) { p.read(); p.write(chunked + "ff\n" + queuedBody) }, testID, 1},
		{"last chunk missing", func(p *peer) {
			p.read()
			p.write(chunked + fmt.Sprintf("%x\n", len(queuedBody)) + queuedBody + "\n")
		}, testID, 1},
		{"not HTTP", func(p *peer) { p.read(); p.write("SSH-2.0-OpenSSH_9.6\n") }, "", 1},
		{"endless head", func(p *peer) {
			p.read()
			p.write("HTTP/1.1 200 OK\n" + strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\n", 200))
		}, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := serveWire(t, tt.script)
			c := newWireClient(t, w.url)
			ctx, retries := untilRetry(t, c)
			_, err := submit(ctx, c, VideoRequest{Prompt: "p"})
			if e := checkError(t, err, SubmissionUncertain); e.RequestID != tt.id {
				t.Errorf("error names request_id %q, want %q", e.RequestID, tt.id)
			}
			if n := len(w.requests()); n != tt.sent || w.connections() != 1 || retries() != 0 {
				t.Errorf("%d requests over %d connections and %d retries, want %d, 1 and 0", n, w.connections(), retries(), tt.sent)
			}
		})
	}
}

// A proxy that refuses a body for its size, or a gateway that refuses the key,
// often does not wait for the rest of an upload.
func TestUploadThatWasCutOffWasNotAccepted(t *testing.T) {
	w := serveWire(t, func(p *peer) { _, _ = p.r.Peek(100); p.reset() })
	c := newWireClient(t, w.url)
	ctx, retries := untilRetry(t, c)
	file := "data:image/png;base64," + strings.Repeat("AAAA", 5<<20)
	_, err := submit(ctx, c, VideoRequest{Prompt: "p", Files: []string{file}})
	if e := checkError(t, err, GatewayUnreachable); !strings.Contains(e.Message, fmt.Sprintf(" of %d bytes", len(file)+len(`{"prompt":"p","files":[""]}`))) {
		t.Errorf("message %s", e.Message)
	}
	if w.connections() != 1 || retries() != 0 {
		t.Errorf("%d connections and %d retries, want 1 and 0", w.connections(), retries())
	}
}

// untilGoneOr waits until the client closes the connection, at most d.
func (p *peer) untilGoneOr(d time.Duration) {
	_ = p.SetReadDeadline(time.Now().Add(d))
	p.untilGone()
}

func TestRefusedConnectionIsTriedAgainAndThenUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close() // from here on the port refuses
	for name, call := range map[string]func(context.Context, *Client) error{
		"submit": func(ctx context.Context, c *Client) error {
			_, err := submit(ctx, c, VideoRequest{Prompt: "p"})
			return err
		},
		"status": func(ctx context.Context, c *Client) error {
			_, err := c.Status(ctx, testID, StatusOptions{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newWireClient(t, "http://"+address)
			ctx, retries := untilRetry(t, c)
			e := checkError(t, call(ctx, c), GatewayUnreachable)
			if retries() != 1 || !errors.Is(e, errNotSent) {
				t.Errorf("%d retries after %v, want one", retries(), e)
			}
			if !strings.Contains(e.Message, "refused") {
				t.Errorf("message %q does not say that the connection was refused", e.Message)
			}
		})
	}
}

func TestSubmissionThatFailsBeforeDiallingWasNotSent(t *testing.T) {
	w := serveWire(t)
	c := newWireClient(t, w.url)
	c.posts.Transport.(*http.Transport).Proxy = func(*http.Request) (*url.URL, error) { return nil, errors.New("invalid proxy address") }
	ctx, _ := untilRetry(t, c)
	_, err := submit(ctx, c, VideoRequest{Prompt: "p"})
	checkError(t, err, GatewayUnreachable)
}

// An error that comes from a proxy names the proxy. With the bare word "Forbidden" of
// net/http, a user would look for the fault at the gateway.
func TestProxyThatRefusesIsNamed(t *testing.T) {
	w := serveWire(t, func(p *peer) { p.read(); p.write("HTTP/1.1 403 Forbidden\nContent-Length: 0\n\n") })
	c := newWireClient(t, "https://gateway.test")
	proxy := strings.TrimPrefix(w.url, "http://")
	c.posts.Transport.(*http.Transport).Proxy = func(*http.Request) (*url.URL, error) { return url.Parse("http://user:password@" + proxy) }
	ctx, retries := untilRetry(t, c)
	_, err := submit(ctx, c, VideoRequest{Prompt: "p"})
	e := checkError(t, err, GatewayUnreachable)
	if want := "can't connect to the gateway: the proxy " + proxy + " (of HTTPS_PROXY) answered 403 Forbidden"; e.Message != want || !errors.Is(e, errNotSent) || retries() != 1 {
		t.Errorf("%q after %d retries, want %q after one", e.Message, retries(), want)
	}
}

func TestSubmissionCancelledUnderWayGetsItsAnswer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := serveWire(t, func(p *peer) { p.read(); cancel(); p.answer(queuedBody) })
	job, err := submit(ctx, newWireClient(t, w.url), VideoRequest{Prompt: "p"})
	if err != nil || job.RequestID != testID {
		t.Errorf("got %+v, %v", job, err)
	}
	if n := len(w.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestStatusCancelledWithoutAnAnswerIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := serveWire(t, func(p *peer) { p.read(); cancel(); p.untilGone() })
	_, err := newWireClient(t, w.url).Status(ctx, testID, StatusOptions{})
	checkError(t, err, Cancelled)
	if n := len(w.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestSubmitUsesNoConnectionKeptFromBefore: a laptop that slept, or a firewall
// that forgot, leaves connections that look alive. A POST sent down one of them
// could only be called uncertain.
func TestSubmitUsesNoConnectionKeptFromBefore(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script func(*peer)
	}{
		{"dead, noticed at the next request", func(p *peer) { p.read(); p.answer(workingBody); p.read(); p.reset() }},
		{"closed by the server", func(p *peer) { p.read(); p.answer(workingBody) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := serveWire(t, tt.script, func(p *peer) { p.read(); p.answer(queuedBody); p.untilGone() })
			c := newWireClient(t, w.url)
			if _, err := c.Status(t.Context(), testID, StatusOptions{}); err != nil {
				t.Fatal(err)
			}
			job, err := submit(t.Context(), c, VideoRequest{Prompt: "p"})
			checkError(t, err, "")
			if job.RequestID != testID {
				t.Errorf("job %+v", job)
			}
			if got := strings.Join(w.requests(), ", "); got != "GET /v2/requests/status/"+testID+", POST "+submitPath {
				t.Errorf("the server read %s", got)
			}
		})
	}
}

func TestStatusesShareOneConnection(t *testing.T) {
	w := serveWire(t, func(p *peer) {
		for p.read() {
			p.answer(workingBody)
		}
	})
	c := newWireClient(t, w.url)
	for range 5 {
		if _, err := c.Status(t.Context(), testID, StatusOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// A status on a connection that turns out dead costs nobody a wait: net/http
// asks again by itself.
func TestStatusOutlivesADeadConnection(t *testing.T) {
	w := serveWire(t,
		func(p *peer) { p.read(); p.answer(workingBody); p.read(); p.reset() },
		func(p *peer) { p.read(); p.answer(workingBody); p.untilGone() })
	c := newWireClient(t, w.url)
	_, retries := untilRetry(t, c)
	for range 2 {
		if _, err := c.Status(t.Context(), testID, StatusOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if w.connections() != 2 || retries() != 0 {
		t.Errorf("%d connections and %d retries, want 2 and 0", w.connections(), retries())
	}
}

func TestKeyIsNotSentBeforeTLSIsSettled(t *testing.T) {
	plain := serveWire(t, func(p *peer) {
		_, _ = p.r.Peek(1)
		p.write("HTTP/1.1 400 Bad Request\nContent-Length: 0\nConnection: close\n\n")
		p.untilGoneOr(200 * time.Millisecond)
	})
	untrusted := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a server without a valid certificate got a request")
	}))
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	for name, gateway := range map[string]string{
		"untrusted certificate":   untrusted.URL,
		"server that speaks HTTP": strings.Replace(plain.url, "http:", "https:", 1),
	} {
		t.Run(name, func(t *testing.T) {
			c := newWireClient(t, gateway)
			ctx, _ := untilRetry(t, c)
			_, err := submit(ctx, c, VideoRequest{Prompt: "p"})
			if e := checkError(t, err, GatewayUnreachable); !errors.Is(e, errNotSent) {
				t.Errorf("%v is not known as not sent", e)
			}
		})
	}
	plain.mu.Lock()
	defer plain.mu.Unlock()
	if plain.raw.Len() == 0 {
		t.Error("the plain server got nothing at all")
	}
	checkNoKey(t, "the wire", plain.raw.String())
}

// HTTP/2's transport may repeat a request by itself, so it is not spoken even
// where the server would.
func TestHTTP2IsNotSpoken(t *testing.T) {
	var protocol string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocol = r.Proto
		_, _ = io.WriteString(w, queuedBody)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	c := newWireClient(t, server.URL)
	c.posts.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	if _, err := submit(t.Context(), c, VideoRequest{Prompt: "p"}); err != nil {
		t.Fatal(err)
	}
	if protocol != "HTTP/1.1" {
		t.Errorf("spoke %s", protocol)
	}
}

func TestCompressedAnswerIsRead(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, queuedBody)
		z.Close()
	}))
	defer server.Close()
	job, err := submit(t.Context(), newWireClient(t, server.URL), VideoRequest{Prompt: "p"})
	if err != nil || job.RequestID != testID {
		t.Errorf("job %+v, error %v", job, err)
	}
}

// A small answer that unpacks to a large one is refused like any other.
func TestCompressedAnswerIsLimitedUnpacked(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, workingBody+strings.Repeat(" ", 8*maxAnswer))
		z.Close()
	}))
	defer server.Close()
	_, err := newWireClient(t, server.URL).Status(t.Context(), testID, StatusOptions{})
	checkError(t, err, BadResponse)
}

func TestRedirectsAreFollowedOnlyForStatusAndOnlyAtHome(t *testing.T) {
	var away []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		away = append(away, r.Method+" "+r.URL.Path)
		for name, values := range r.Header {
			checkNoKey(t, "header "+name+" sent away", strings.Join(values, " "))
		}
		_, _ = io.WriteString(w, workingBody)
	}))
	defer elsewhere.Close()
	var location string
	var code int
	var came []string
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		came = append(came, r.Method+" "+r.URL.Path)
		if r.Header.Get("Ocp-Apim-Subscription-Key") != testSecret {
			t.Error("a request at home lacks the key")
		}
		switch {
		case r.URL.Path == "/moved":
			_, _ = io.WriteString(w, workingBody)
		default:
			w.Header().Set("Location", location)
			w.WriteHeader(code)
		}
	}))
	defer home.Close()
	port := home.URL[strings.LastIndex(home.URL, ":"):]
	first := "GET /v2/requests/status/" + testID

	for _, tt := range []struct {
		name, location string
		code           Code // "" when it is followed to its end
		came           int
	}{
		{"at home", home.URL + "/moved", "", 2},
		{"at home, relative", "/moved", "", 2},
		{"in circles", home.URL + "/v2/requests/status/" + testID, GatewayError, 6},
		{"another port", elsewhere.URL + "/moved", GatewayError, 1},
		{"another name of the host", "http://localhost" + port + "/moved", GatewayError, 1},
		{"another scheme", "https://127.0.0.1" + port + "/moved", GatewayError, 1},
		{"scheme-relative", strings.TrimPrefix(elsewhere.URL, "http:") + "/moved", GatewayError, 1},
		{"user info", "http://u:p@127.0.0.1" + port + "/moved", GatewayError, 1},
		{"a file", "file:///etc/passwd", GatewayError, 1},
	} {
		for _, code = range []int{301, 302, 303, 307, 308} {
			t.Run(fmt.Sprintf("%s %d", tt.name, code), func(t *testing.T) {
				location, came, away = tt.location, nil, nil
				c := newWireClient(t, home.URL)
				ctx, _ := untilRetry(t, c)
				_, err := c.Status(ctx, testID, StatusOptions{})
				checkError(t, err, tt.code)
				if len(came) != tt.came || came[0] != first || len(away) != 0 {
					t.Errorf("at home %q, away %q", came, away)
				}

				came = nil
				want := SubmissionUncertain
				if code == 307 || code == 308 {
					want = GatewayError
				}
				_, err = submit(ctx, c, VideoRequest{Prompt: "p"})
				checkError(t, err, want)
				if len(came) != 1 || len(away) != 0 {
					t.Errorf("submission: at home %q, away %q", came, away)
				}
			})
		}
	}
}
