// This file holds what the tests of this package share: a gateway in memory
// whose answers are scripted, and one check of every error and log line for
// the key.

package pixazo

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"pixazo-mcp/internal/text"
)

const (
	testSecret  = "5c1f0e9ab2d34487a6b1c0d9e8f70123"
	testID      = "heygen-video-agent_019d2f4e-77aa-7bcd-9e01-23456789abcd"
	otherID     = "heygen-video-agent_019d2f4e-77aa-7bcd-9e01-ffffffffffff"
	queuedBody  = `{"request_id": "` + testID + `", "status": "QUEUED", "polling_url": "https://gateway.pixazo.ai/v2/requests/status/` + testID + `"}`
	workingBody = `{"request_id": "` + testID + `", "status": "PROCESSING", "error": null, "output": null}`
)

func testKey() (Key, error) { return NewKey(testSecret) }

// reply answers one request of a scripted gateway.
type reply func(*http.Request) (*http.Response, error)

// script is a gateway in memory. It gives its replies in turn, the last one
// again and again, and notes what came.
type script struct {
	t       *testing.T
	replies []reply
	start   time.Time

	mu   sync.Mutex
	came []arrival
}

type arrival struct {
	method, url, body string
	header            http.Header
	at                time.Duration // since the script was made
}

func newScript(t *testing.T, replies ...reply) *script {
	return &script{t: t, replies: replies, start: time.Now()}
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	a := arrival{method: req.Method, url: req.URL.String(), header: req.Header.Clone(), at: time.Since(s.start)}
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			s.t.Errorf("reading the request's body: %v", err)
		}
		req.Body.Close()
		a.body = string(body)
	}
	s.mu.Lock()
	next := s.replies[min(len(s.came), len(s.replies)-1)]
	s.came = append(s.came, a)
	s.mu.Unlock()
	resp, err := next(req)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

// arrivals is what came so far. A request without a connection counts too.
func (s *script) arrivals() []arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.came
}

func (s *script) elapsed() time.Duration { return time.Since(s.start) }

// connect tells req's trace what net/http tells it of a connection.
func connect(req *http.Request, got bool) {
	trace := httptrace.ContextClientTrace(req.Context())
	if trace == nil {
		return
	}
	if trace.GetConn != nil {
		trace.GetConn(req.URL.Host)
	}
	if got && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
}

// answered is an answer with that status, body and header lines ("Name: value").
func answered(status int, body string, header ...string) reply {
	return func(req *http.Request) (*http.Response, error) {
		connect(req, true)
		return response(status, strings.NewReader(body), header...), nil
	}
}

func response(status int, body io.Reader, header ...string) *http.Response {
	h := http.Header{}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(body), ContentLength: -1}
}

// cutOff is an answer whose body breaks off after those bytes.
func cutOff(status int, body string, header ...string) reply {
	return func(req *http.Request) (*http.Response, error) {
		connect(req, true)
		broken := io.MultiReader(strings.NewReader(body), failingReader{io.ErrUnexpectedEOF})
		return response(status, broken, header...), nil
	}
}

// stalled is an answer whose body stops after those bytes, until the request
// is given up.
func stalled(status int, body string) reply {
	return func(req *http.Request) (*http.Response, error) {
		connect(req, true)
		return response(status, io.MultiReader(strings.NewReader(body), stallingReader{req.Context()})), nil
	}
}

// switched is an answer whose body is the connection, as net/http gives it: only
// closing it ends a read.
func switched(req *http.Request) (*http.Response, error) {
	connect(req, true)
	r, _ := io.Pipe()
	answer := response(101, nil)
	answer.Body = r
	return answer, nil
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

type stallingReader struct{ ctx context.Context }

func (r stallingReader) Read([]byte) (int, error) {
	<-r.ctx.Done()
	return 0, r.ctx.Err()
}

// notConnected fails before there is a connection.
func notConnected(req *http.Request) (*http.Response, error) {
	connect(req, false)
	return nil, errors.New("dial tcp 192.0.2.1:443: connect: connection refused")
}

// dropped fails on a connection, when the request may have been read.
func dropped(req *http.Request) (*http.Response, error) {
	connect(req, true)
	return nil, io.EOF
}

// untraced fails and tells nothing of connections.
func untraced(*http.Request) (*http.Response, error) {
	return nil, errors.New("something went wrong")
}

// silent never answers on its connection; dialling never gets one.
func silent(req *http.Request) (*http.Response, error) {
	connect(req, true)
	<-req.Context().Done()
	return nil, req.Context().Err()
}

func dialling(req *http.Request) (*http.Response, error) {
	connect(req, false)
	<-req.Context().Done()
	return nil, req.Context().Err()
}

// late gives r after d.
func late(d time.Duration, r reply) reply {
	return func(req *http.Request) (*http.Response, error) {
		select {
		case <-time.After(d):
			return r(req)
		case <-req.Context().Done():
			return silent(req)
		}
	}
}

// newTestClient is a client with the test's key, a log of everything, and a
// check at the end that the log never named the key. change may adjust the
// configuration.
func newTestClient(t *testing.T, transport http.RoundTripper, change ...func(*Config)) *Client {
	t.Helper()
	log := &lockedBuffer{}
	config := Config{
		Key:       testKey,
		Transport: transport,
		Logger:    slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&config)
	}
	c, err := NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.http.CloseIdleConnections()
		checkNoKey(t, "the log", log.String())
	})
	return c
}

// submit prepares req and submits it.
func submit(ctx context.Context, c *Client, req VideoRequest) (Job, error) {
	p, err := c.Prepare(req)
	if err != nil {
		return Job{}, err
	}
	return c.Submit(ctx, p, SubmitOptions{})
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// checkNoKey fails the test if shown holds the test's key in any usual form.
func checkNoKey(t *testing.T, what, shown string) {
	t.Helper()
	for _, form := range []string{
		testSecret,
		hex.EncodeToString([]byte(testSecret)),
		base64.StdEncoding.EncodeToString([]byte(testSecret)),
		strings.Trim(fmt.Sprint([]byte(testSecret)), "[]"),
	} {
		if strings.Contains(strings.ToLower(shown), strings.ToLower(form)) {
			t.Errorf("%s shows the key: %s", what, shown)
		}
	}
}

// checkError fails the test unless err is an *Error with that code (or nil for
// ""), fit to be shown and without the key, in its causes too.
func checkError(t *testing.T, err error, code Code) *Error {
	t.Helper()
	if err == nil {
		if code != "" {
			t.Errorf("no error, want %s", code)
		}
		return &Error{}
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Errorf("error %v (%T), want an *Error", err, err)
		return &Error{}
	}
	if e.Code != code {
		t.Errorf("error %v, want code %q", err, code)
	}
	if clean := text.Clean(e.Message, 5000); clean != e.Message || !utf8.ValidString(e.Message) {
		t.Errorf("message %q is not fit to be shown", e.Message)
	}
	if !strings.HasPrefix(e.Error(), string(e.Code)+": ") || len(e.Message) == 0 {
		t.Errorf("Error() = %q, want the code and a message", e.Error())
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		checkNoKey(t, "the error", fmt.Sprintf(format, err))
	}
	for cause := error(e); cause != nil; cause = errors.Unwrap(cause) {
		checkNoKey(t, "a cause of the error", fmt.Sprintf("%v %+v %#v", cause, cause, cause))
	}
	return e
}

// checkBetween fails the test unless low <= got <= high.
func checkBetween(t *testing.T, what string, got, low, high time.Duration) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s: %s, want %s to %s", what, got, low, high)
	}
}

// captureLog makes c log everything as text to what it returns.
func captureLog(c *Client) *lockedBuffer {
	log := &lockedBuffer{}
	c.config.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return log
}

// checkHidden fails the test if job or err's text shows the key, whole or cut.
func checkHidden(t *testing.T, job Job, err error) {
	t.Helper()
	for what, shown := range map[string]string{"the job": fmt.Sprintf("%+v", job), "the error": fmt.Sprint(err)} {
		checkNoKey(t, what, shown)
		for _, part := range []string{testSecret[:12], testSecret[17:], jsonEscaped(testSecret[:4])} {
			if strings.Contains(strings.ToLower(shown), part) {
				t.Errorf("%s shows a part of the key: %s", what, shown)
			}
		}
	}
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		checkNoKey(t, "a cause of the error", fmt.Sprintf("%v %+v", cause, cause))
	}
}
