// These tests hold a session to its rules: what is answered, in which order,
// and what is never sent. Most guard against a trap of mcp-go's own transports,
// named in the test.

package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// client is the other end of a session. A message is sent when it is read.
type client struct {
	t       *testing.T
	session *Session
	out     chan string
}

// message is anything that the server sends.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params map[string]any  `json:"params"`
	Result struct {
		Content []struct{ Text string } `json:"content"`
		IsError bool                    `json:"isError"`

		ProtocolVersion string
	} `json:"result"`
	Error *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// newServer returns a server with these tools, and resources that can be
// subscribed to.
func newServer(tools map[string]server.ToolHandlerFunc) *server.MCPServer {
	srv := server.NewMCPServer("test", "1", server.WithToolCapabilities(false), server.WithPromptCapabilities(false), server.WithResourceCapabilities(true, true), server.WithCompletions(), server.WithRecovery())
	for name, handler := range tools {
		srv.AddTool(mcp.NewTool(name), handler)
	}
	return srv
}

// start opens a session of a server with these tools.
func start(t *testing.T, tools map[string]server.ToolHandlerFunc, options Options) *client {
	t.Helper()
	return connect(t, newServer(tools), "test", options)
}

func connect(t *testing.T, srv *server.MCPServer, id string, options Options) *client {
	t.Helper()
	c := &client{t: t, out: make(chan string)}
	gone := make(chan struct{})
	session, err := Open(context.Background(), srv, id, func(message []byte) error {
		select {
		case c.out <- string(message):
			return nil
		case <-gone:
			return io.ErrClosedPipe
		}
	}, options)
	if err != nil {
		t.Fatal(err)
	}
	c.session = session
	t.Cleanup(func() {
		close(gone)
		session.Close()
	})
	return c
}

func (c *client) send(messages ...string) {
	for _, m := range messages {
		c.session.Take([]byte(m))
	}
}

func (c *client) receive() message {
	c.t.Helper()
	line := <-c.out
	var m message
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		c.t.Fatalf("the server sent %q: %v", line, err)
	}
	return m
}

// end lets the calls in flight finish and returns what was sent meanwhile.
func (c *client) end() (rest []string) {
	c.t.Helper()
	c.session.Stop()
	ended := make(chan error, 1)
	go func() { ended <- c.session.Wait(c.t.Context()) }()
	for {
		select {
		case line := <-c.out:
			rest = append(rest, line)
		case err := <-ended:
			if err != nil {
				c.t.Error(err)
			}
			return rest
		}
	}
}

func (m message) text() string {
	if len(m.Result.Content) == 0 {
		return ""
	}
	return m.Result.Content[0].Text
}

func callLine(id, tool string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":%q,"_meta":{"progressToken":%s}}}`, id, tool, id)
}

func cancelLine(id string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s}}`, id)
}

func answer(text string) server.ToolHandlerFunc {
	return func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(text), nil
	}
}

// block answers when its call is cancelled.
func block(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	<-ctx.Done()
	return mcp.NewToolResultText("cut off"), nil
}

func TestBlockedCallsDoNotStallOthers(t *testing.T) {
	// StdioServer: five blocked calls stall every other tools/call, and past
	// its queue of 100 the read loop itself.
	c := start(t, map[string]server.ToolHandlerFunc{"block": block, "ping": answer("pong")}, Options{})
	for i := range 300 {
		c.send(callLine(fmt.Sprint(i), "block"))
	}
	c.send(callLine("1000", "ping"))
	if m := c.receive(); string(m.ID) != "1000" || m.text() != "pong" {
		t.Errorf("first answer is %s %q, want that of the call behind 300 blocked ones", m.ID, m.text())
	}
}

func TestCancellationIsNeverLost(t *testing.T) {
	// StdioServer loses the cancellation of a call that no worker has taken
	// yet; the call then runs in full.
	var begun, cancelled atomic.Int32
	c := start(t, map[string]server.ToolHandlerFunc{
		"block": func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			begun.Add(1)
			<-ctx.Done()
			cancelled.Add(1)
			return mcp.NewToolResultText("cut off"), nil
		},
	}, Options{})
	for i := range 200 {
		id := fmt.Sprint(i)
		c.send(callLine(id, "block"), cancelLine(id))
	}
	if rest := c.end(); len(rest) > 0 {
		t.Errorf("%d messages about cancelled calls, the first: %s", len(rest), rest[0])
	}
	if b, c := begun.Load(), cancelled.Load(); b != c {
		t.Errorf("%d of %d calls saw their cancellation", c, b)
	}
}

func TestCancelledCallIsNeverMentionedAgain(t *testing.T) {
	// StdioServer answers it with -32603. Progress must stop as well.
	started, release := make(chan struct{}), make(chan struct{})
	c := start(t, map[string]server.ToolHandlerFunc{
		"stubborn": func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			close(started)
			<-release // goes on after the cancellation, and then reports and answers
			if err := notify(ctx, req, 1); !errors.Is(err, ErrClosed) {
				t.Errorf("progress of a cancelled call: %v, want %v", err, ErrClosed)
			}
			return mcp.NewToolResultText("late"), nil
		},
		"ping": answer("pong"),
	}, Options{})
	c.send(callLine(`"a"`, "stubborn"))
	<-started
	c.send(cancelLine(` "a" `), callLine("2", "ping"))
	if m := c.receive(); string(m.ID) != "2" {
		t.Errorf("got a message about %s", m.ID)
	}
	close(release)
	if rest := c.end(); len(rest) > 0 {
		t.Errorf("the cancelled call was mentioned again: %s", rest)
	}
}

func TestCancellingAnotherIDChangesNothing(t *testing.T) {
	c := start(t, map[string]server.ToolHandlerFunc{"ping": answer("pong")}, Options{})
	c.send(cancelLine("7"), cancelLine(`"1"`), `{"jsonrpc":"2.0","method":"notifications/cancelled"}`, callLine("1", "ping"))
	if m := c.receive(); string(m.ID) != "1" || m.text() != "pong" {
		t.Errorf("got %s %q", m.ID, m.text())
	}
}

// notify sends progress the way the tools do.
func notify(ctx context.Context, req mcp.CallToolRequest, progress int) error {
	session := server.ClientSessionFromContext(ctx).(interface {
		Notify(context.Context, string, map[string]any) error
	})
	return session.Notify(ctx, "notifications/progress", map[string]any{
		"progressToken": req.Params.Meta.ProgressToken, "progress": progress,
	})
}

func TestProgressComesBeforeItsAnswer(t *testing.T) {
	// StdioServer: progress sent just before the answer arrives after it, and
	// what is past the 100th is dropped.
	const runs, reports = 100, 150
	c := start(t, map[string]server.ToolHandlerFunc{
		"work": func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			for i := range reports {
				if err := notify(ctx, req, i); err != nil {
					return nil, err
				}
			}
			return mcp.NewToolResultText("done"), nil
		},
	}, Options{})
	for run := range runs {
		c.send(callLine(fmt.Sprint(run), "work"))
		for i := range reports {
			if m := c.receive(); m.Method != "notifications/progress" || m.Params["progress"] != float64(i) {
				t.Fatalf("run %d: message %d is %+v", run, i, m)
			}
		}
		if m := c.receive(); string(m.ID) != fmt.Sprint(run) {
			t.Fatalf("run %d: no answer after its progress: %+v", run, m)
		}
	}
}

func TestProgressAfterTheAnswerIsNotSent(t *testing.T) {
	late := make(chan error, 1)
	answered := make(chan struct{})
	c := start(t, map[string]server.ToolHandlerFunc{
		"leak": func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			go func() {
				<-answered
				late <- notify(ctx, req, 1)
			}()
			return mcp.NewToolResultText("done"), nil
		},
	}, Options{})
	c.send(callLine("1", "leak"))
	c.receive()
	close(answered)
	if err := <-late; !errors.Is(err, ErrClosed) {
		t.Errorf("late progress: %v, want %v", err, ErrClosed)
	}
}

func TestMalformedMessagesAreRefusedAndTheServerGoesOn(t *testing.T) {
	tests := []struct {
		name, line string
		code       int
		contains   string
	}{
		{"no JSON", `hello`, mcp.PARSE_ERROR, "not JSON"},
		{"cut off", `{"jsonrpc":"2.0","id":1,`, mcp.PARSE_ERROR, "not JSON"},
		{"no UTF-8", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ping","arguments":{"prompt":"caf` + "\xe9" + `"}}}`, mcp.PARSE_ERROR, "not UTF-8"},
		{"an id that is no UTF-8", `{"jsonrpc":"2.0","id":"` + "\xe9" + `","method":"ping"}`, mcp.PARSE_ERROR, "not UTF-8"},
		{"batch", `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, mcp.INVALID_REQUEST, "one JSON-RPC object"},
		{"number", `5`, mcp.INVALID_REQUEST, "one JSON-RPC object"},
		{"empty object", `{}`, mcp.INVALID_REQUEST, "must have a method"},
		{"null", `null`, mcp.INVALID_REQUEST, "must have a method"},
		{"number as method", `{"jsonrpc":"2.0","id":1,"method":5}`, mcp.INVALID_REQUEST, "method must be a string"},
		{"null as id", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, mcp.INVALID_REQUEST, "id must be a string or a number"},
		{"endless method", `{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("m", 1<<20) + `"}`, mcp.METHOD_NOT_FOUND, "m…"},
		{"object as id", `{"jsonrpc":"2.0","id":{},"method":"ping"}`, mcp.INVALID_REQUEST, "id must be a string or a number"},
		{"boolean as id", `{"jsonrpc":"2.0","id":true,"method":"ping"}`, mcp.INVALID_REQUEST, "id must be a string or a number"},
		{"request with a result", `{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}`, mcp.INVALID_REQUEST, "no result"},
		{"request with an error", `{"jsonrpc":"2.0","id":1,"method":"ping","error":{"code":1,"message":"no"}}`, mcp.INVALID_REQUEST, "no error"},
		{"wrong version", `{"jsonrpc":"1.0","id":1,"method":"ping"}`, mcp.INVALID_REQUEST, ""},
		{"unknown method", `{"jsonrpc":"2.0","id":1,"method":"tools/dance"}`, mcp.METHOD_NOT_FOUND, ""},
		{"unknown tool", callLine("1", "dance"), mcp.INVALID_PARAMS, "dance"},
		{"params of a wrong type", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[1]}`, mcp.INVALID_REQUEST, "the JSON array is out of place or out of range in request.params"},
		{"number where a text belongs", `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"brief","arguments":{"duration":30}}}`, mcp.INVALID_REQUEST, "the JSON number is out of place or out of range in request.params.arguments"},
		{"number where a name belongs", `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"brief"},"argument":{"name":3}}}`, mcp.INVALID_REQUEST, "the JSON number is out of place or out of range in request.params.argument.name"},
		{"number beyond 64 bits", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ping","arguments":{"n":1e999}}}`, mcp.INVALID_REQUEST, "the JSON number is out of place or out of range"},
	}
	c := start(t, map[string]server.ToolHandlerFunc{"ping": answer("pong")}, Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c.t = t
			c.send(tt.line)
			m := c.receive()
			if !utf8.Valid(m.ID) || m.Error == nil || m.Error.Code != tt.code || !strings.Contains(m.Error.Message, tt.contains) {
				t.Errorf("got %+v, want code %d with %q", m.Error, tt.code, tt.contains)
			}
			c.send(callLine(`"next"`, "ping"))
			if m := c.receive(); m.text() != "pong" {
				t.Errorf("the next call got %+v", m)
			}
		})
	}
}

func TestNotificationsAndAnswersGetNoAnswer(t *testing.T) {
	c := start(t, map[string]server.ToolHandlerFunc{"ping": answer("pong")}, Options{})
	c.send(
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","method":"notifications/unknown","params":{"x":1}}`,
		`{"jsonrpc":"2.0","id":null,"method":"notifications/unknown"}`,
		`{"jsonrpc":"2.0","id":9,"result":{}}`,
		`{"jsonrpc":"2.0","id":9,"error":{"code":1,"message":"no"}}`,
		callLine("1", "ping"),
	)
	if m := c.receive(); string(m.ID) != "1" {
		t.Errorf("got %+v", m)
	}
}

func TestIDsComeBackAsTheyWere(t *testing.T) {
	c := start(t, map[string]server.ToolHandlerFunc{"ping": answer("pong")}, Options{})
	// mcp-go alone answers 9007199254740993 with 9007199254740992.
	for _, id := range []string{"0", "-1", "9007199254740993", "18446744073709551615", `"a b"`, `""`, `"1"`, "1.5"} {
		c.send(callLine(id, "ping"))
		if m := c.receive(); string(m.ID) != id {
			t.Errorf("id %s came back as %s", id, m.ID)
		}
		for _, method := range []string{`"tools/dance"`, "5"} {
			c.send(`{"jsonrpc":"2.0","id":` + id + `,"method":` + method + `}`)
			if m := c.receive(); string(m.ID) != id || m.Error == nil {
				t.Errorf("id %s of an error came back as %s", id, m.ID)
			}
		}
	}
}

func TestIDInFlightIsRefused(t *testing.T) {
	c := start(t, map[string]server.ToolHandlerFunc{"block": block, "ping": answer("pong")}, Options{})
	c.send(callLine("1", "block"), callLine("1", "ping"))
	if m := c.receive(); m.Error == nil || m.Error.Code != mcp.INVALID_REQUEST || string(m.ID) != "1" {
		t.Errorf("got %+v", m)
	}
	// Once it is cancelled or answered, the id is free again.
	c.send(cancelLine("1"), callLine("1", "ping"))
	if m := c.receive(); m.text() != "pong" {
		t.Errorf("got %+v", m)
	}
}

func TestPanicCostsOneAnswer(t *testing.T) {
	hooks := &server.Hooks{}
	hooks.AddBeforeAny(func(_ context.Context, _ any, method mcp.MCPMethod, _ any) {
		if method == mcp.MethodPing {
			panic("outside of any handler")
		}
	})
	c := connect(t, server.NewMCPServer("test", "1", server.WithHooks(hooks), server.WithToolCapabilities(false)), "test", Options{})
	c.send(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)
	c.expect(`{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"internal error"}}`)
	c.send(`{"jsonrpc":"2.0","id":2,"method":"tools/list"}`)
	if m := c.receive(); string(m.ID) != "2" || m.Error != nil {
		t.Errorf("got %+v", m)
	}
}

func TestSessionsOfOneServerAreApart(t *testing.T) {
	// StdioServer keeps its session in a package variable. StreamableHTTPServer
	// has a stranger's cancellation end another client's call of the same id,
	// and sends progress to whoever reads.
	srv := newServer(map[string]server.ToolHandlerFunc{
		"wait": func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			_ = notify(ctx, req, 1)
			<-ctx.Done()
			return mcp.NewToolResultText("cut off"), nil
		},
		"ping": answer("pong"),
	})
	a, b := connect(t, srv, "a", Options{}), connect(t, srv, "b", Options{})
	a.send(callLine("1", "wait"))
	if m := a.receive(); m.Method != "notifications/progress" {
		t.Fatalf("got %+v", m)
	}
	b.send(cancelLine("1"), callLine("1", "ping"))
	if m := b.receive(); m.text() != "pong" {
		t.Errorf("got %+v", m)
	}
	a.send(callLine("1", "ping")) // the call goes on
	if m := a.receive(); m.Error == nil || !strings.Contains(m.Error.Message, "in use") {
		t.Errorf("got %+v", m)
	}
	a.session.Cancel("1")
	if rest := a.end(); len(rest) > 0 {
		t.Errorf("got %s", rest)
	}
	if _, err := Open(t.Context(), srv, "b", nil, Options{}); err == nil {
		t.Error("two sessions have one id")
	}
}

func TestRefusedMessagesAreLoggedWithoutTheirWords(t *testing.T) {
	const secret = "SECRET"
	for _, line := range []string{
		`hello ` + secret, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"prompt":"` + secret + `"`, `"` + secret + `"`, `["` + secret + `"]`,
		`{"` + secret + `":1}`, `{"id":null,"method":"` + secret + `"}`, `{"id":{"a":"` + secret + `"},"method":"ping"}`, `{"id":1,"method":["` + secret + `"]}`,
	} {
		var log bytes.Buffer
		c := start(t, nil, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		c.send(line)
		if m := c.receive(); m.Error == nil {
			t.Errorf("%s: got %+v", line, m)
		}
		if got := log.String(); strings.Count(got, "level=WARN") != 1 || strings.Contains(got, secret) {
			t.Errorf("%s: the log has %q", line, got)
		}
	}
}

func TestTheLogHidesTheClientsWords(t *testing.T) {
	const secret = "SECRET"
	var log bytes.Buffer
	begun := make(chan struct{})
	hooks := &server.Hooks{}
	hooks.AddBeforeAny(func(ctx context.Context, _ any, _ mcp.MCPMethod, _ any) { close(begun); <-ctx.Done() })
	c := connect(t, server.NewMCPServer("test", "1", server.WithHooks(hooks), server.WithToolCapabilities(false)), "test", Options{
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Hide:   func(words string) string { return strings.ReplaceAll(words, secret, "[redacted]") },
	})
	id := `"` + secret + strings.Repeat("x", 1000) + `"`
	c.send(`{"jsonrpc":"2.0","id":` + id + `,"method":"tools/list"}`)
	<-begun
	c.send(cancelLine(id))
	c.end()
	if got := log.String(); strings.Count(got, "[redacted]") != 2 || strings.Contains(got, secret) || len(got) > 800 {
		t.Errorf("the log has %q", got)
	}
}

func TestTakeDoesNotWaitForTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, map[string]server.ToolHandlerFunc{"ping": answer("pong")}, Options{})
		// Nobody reads until all of it is taken.
		c.send(initializeLine, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, callLine("1", "ping"), callLine("2", "ping"), cancelLine("2"))
		c.session.Cancel("0") // initialize can't be cancelled
		synctest.Wait()
		for _, want := range []string{"0", "1"} {
			if m := c.receive(); string(m.ID) != want {
				t.Errorf("got %+v, want the answer to %s", m, want)
			}
		}
		if rest := c.end(); len(rest) > 0 {
			t.Errorf("got %s", rest)
		}
	})
}

func TestCallThatIsCancelledBeforeItsTurnNeverRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, map[string]server.ToolHandlerFunc{"pay": func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			t.Error("it ran")
			return mcp.NewToolResultText("paid"), nil
		}}, Options{})
		c.send(initializeLine, callLine("1", "pay"), cancelLine("1"))
		c.receive()
		if rest := c.end(); len(rest) > 0 {
			t.Errorf("got %s", rest)
		}
	})
}

func TestStoppedSessionTakesNoMoreRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, map[string]server.ToolHandlerFunc{"block": block, "ping": answer("pong")}, Options{})
		c.send(callLine("1", "block"))
		c.session.Stop()
		c.send(callLine("2", "ping"), "not JSON", cancelLine("1")) // which is still heard
		begin := time.Now()
		if rest := c.end(); len(rest) > 0 || time.Since(begin) > 0 {
			t.Errorf("after %s got %s", time.Since(begin), rest)
		}
	})
}

func TestUnknownCursorIsRefused(t *testing.T) {
	c := start(t, map[string]server.ToolHandlerFunc{"ping": answer("pong")}, Options{})
	for _, method := range []string{"tools/list", "prompts/list", "resources/list", "resources/templates/list"} {
		for _, tt := range []struct {
			params string
			code   int
		}{
			{`{}`, 0}, {`null`, 0}, {`{"cursor":""}`, 0}, {`{"cursor":null}`, 0},
			{`{"cursor":"aGVsbG8="}`, mcp.INVALID_PARAMS}, {`{"cursor":"no base64"}`, mcp.INVALID_PARAMS}, {`{"cursor":5}`, mcp.INVALID_PARAMS}, {`{"cursor":{}}`, mcp.INVALID_PARAMS},
		} {
			c.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":9007199254740993,"method":%q,"params":%s}`, method, tt.params))
			m := c.receive()
			code := 0
			if m.Error != nil {
				code = m.Error.Code
			}
			if code != tt.code || string(m.ID) != "9007199254740993" {
				t.Errorf("%s %s: got %s, %+v, want code %d", method, tt.params, m.ID, m.Error, tt.code)
			}
		}
	}
}
