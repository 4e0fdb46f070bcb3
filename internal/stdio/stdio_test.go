// These tests hold the server to the rules of the pipe: what is answered, in
// which order, what is never sent, and how it ends. Most guard against a trap
// of mcp-go's own StdioServer, named in the test.

package stdio

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/wire"
)

// peer is the client at the other end of a served pipe.
type peer struct {
	t     *testing.T
	in    *io.PipeWriter
	out   *bufio.Reader
	raw   *io.PipeReader
	ended chan error
}

// message is any line of the server's.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params map[string]any  `json:"params"`
	Result struct {
		Content []struct{ Text string } `json:"content"`
		IsError bool                    `json:"isError"`
	} `json:"result"`
	Error *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

func (m message) text() string {
	if len(m.Result.Content) == 0 {
		return ""
	}
	return m.Result.Content[0].Text
}

// start serves a server with the tools of this file's tests.
func start(ctx context.Context, t *testing.T, tools map[string]server.ToolHandlerFunc, options Options) *peer {
	t.Helper()
	srv := server.NewMCPServer("test", "1", server.WithToolCapabilities(false), server.WithResourceCapabilities(true, true), server.WithRecovery())
	for name, handler := range tools {
		srv.AddTool(mcp.NewTool(name), handler)
	}
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	p := &peer{t: t, in: inW, out: bufio.NewReader(outR), raw: outR, ended: make(chan error, 1)}
	go func() {
		p.ended <- Serve(ctx, srv, inR, outW, options)
		_ = outW.Close()
	}()
	t.Cleanup(func() {
		_ = inW.Close()
		_ = outR.Close()
	})
	return p
}

func (p *peer) send(lines ...string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, strings.Join(lines, "\n")+"\n"); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

func (p *peer) receive() message {
	p.t.Helper()
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		p.t.Fatalf("receive: %v", err)
	}
	var m message
	if err := json.Unmarshal(line, &m); err != nil {
		p.t.Fatalf("the server wrote %q: %v", line, err)
	}
	return m
}

// end waits for Serve and returns the lines that were still unread.
func (p *peer) end() []string {
	p.t.Helper()
	rest, err := io.ReadAll(p.out)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := <-p.ended; err != nil {
		p.t.Errorf("Serve returned %v", err)
	}
	if len(rest) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(rest)), "\n")
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
	p := start(t.Context(), t, map[string]server.ToolHandlerFunc{"block": block, "ping": answer("pong")}, Options{})
	for i := range 300 {
		p.send(callLine(fmt.Sprint(i), "block"))
	}
	p.send(callLine("1000", "ping"))
	if m := p.receive(); string(m.ID) != "1000" || m.text() != "pong" {
		t.Errorf("first answer is %s %q, want that of the call behind 300 blocked ones", m.ID, m.text())
	}
}

func TestCancellationIsNeverLost(t *testing.T) {
	// StdioServer loses the cancellation of a call that no worker has taken
	// yet; the call then runs in full.
	const calls = 200
	var cancelled atomic.Int32
	p := start(t.Context(), t, map[string]server.ToolHandlerFunc{
		"block": func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			<-ctx.Done()
			cancelled.Add(1)
			return mcp.NewToolResultText("cut off"), nil
		},
	}, Options{})
	for i := range calls {
		id := fmt.Sprint(i)
		p.send(callLine(id, "block"), cancelLine(id))
	}
	_ = p.in.Close()
	if rest := p.end(); len(rest) > 0 {
		t.Errorf("%d messages about cancelled calls, the first: %s", len(rest), rest[0])
	}
	if n := cancelled.Load(); n != calls {
		t.Errorf("%d of %d calls saw their cancellation", n, calls)
	}
}

func TestCancelledCallIsNeverMentionedAgain(t *testing.T) {
	// StdioServer answers it with -32603. Progress must stop as well.
	started, release := make(chan struct{}), make(chan struct{})
	p := start(t.Context(), t, map[string]server.ToolHandlerFunc{
		"stubborn": func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			close(started)
			<-release // goes on after the cancellation, and then reports and answers
			if err := notify(ctx, req, 1); !errors.Is(err, wire.ErrClosed) {
				t.Errorf("progress of a cancelled call: %v, want %v", err, wire.ErrClosed)
			}
			return mcp.NewToolResultText("late"), nil
		},
		"ping": answer("pong"),
	}, Options{})
	p.send(callLine(`"a"`, "stubborn"))
	<-started
	p.send(cancelLine(` "a" `), callLine("2", "ping"))
	if m := p.receive(); string(m.ID) != "2" {
		t.Errorf("got a message about %s", m.ID)
	}
	close(release)
	_ = p.in.Close()
	if rest := p.end(); len(rest) > 0 {
		t.Errorf("the cancelled call was mentioned again: %s", rest)
	}
}

func TestCancellingAnotherIDChangesNothing(t *testing.T) {
	p := start(t.Context(), t, map[string]server.ToolHandlerFunc{"ping": answer("pong")}, Options{})
	p.send(cancelLine("7"), cancelLine(`"1"`), `{"jsonrpc":"2.0","method":"notifications/cancelled"}`, callLine("1", "ping"))
	if m := p.receive(); string(m.ID) != "1" || m.text() != "pong" {
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
	const runs, reports = 300, 150
	p := start(t.Context(), t, map[string]server.ToolHandlerFunc{
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
		p.send(callLine(fmt.Sprint(run), "work"))
		for i := range reports {
			if m := p.receive(); m.Method != "notifications/progress" || m.Params["progress"] != float64(i) {
				t.Fatalf("run %d: message %d is %+v", run, i, m)
			}
		}
		if m := p.receive(); string(m.ID) != fmt.Sprint(run) {
			t.Fatalf("run %d: no answer after its progress: %+v", run, m)
		}
	}
}

func TestProgressAfterTheAnswerIsNotSent(t *testing.T) {
	late := make(chan error, 1)
	answered := make(chan struct{})
	p := start(t.Context(), t, map[string]server.ToolHandlerFunc{
		"leak": func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			go func() {
				<-answered
				late <- notify(ctx, req, 1)
			}()
			return mcp.NewToolResultText("done"), nil
		},
	}, Options{})
	p.send(callLine("1", "leak"))
	p.receive()
	close(answered)
	if err := <-late; !errors.Is(err, wire.ErrClosed) {
		t.Errorf("late progress: %v, want %v", err, wire.ErrClosed)
	}
}

func TestEndOfInputLetsCallsFinish(t *testing.T) {
	// StdioServer cancels every call in flight, a POST half-way included.
	for _, how := range []string{"end of input", "signal"} {
		t.Run(how, func(t *testing.T) {
			ctx, signal := context.WithCancel(t.Context())
			defer signal()
			draining := make(chan struct{})
			started := make(chan struct{}, 2)
			p := start(ctx, t, map[string]server.ToolHandlerFunc{
				// Like a submission: it goes on, whatever happens around it.
				"submit": func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
					started <- struct{}{}
					<-draining
					return mcp.NewToolResultText(fmt.Sprint("submitted, cancelled: ", ctx.Err() != nil)), nil
				},
			}, Options{Drain: func() { close(draining) }})
			p.send(callLine("1", "submit"), callLine("2", "submit"))
			<-started
			<-started
			if how == "signal" {
				signal()
			} else {
				_ = p.in.Close()
			}
			rest := p.end()
			if len(rest) != 2 {
				t.Fatalf("got %q, want two answers", rest)
			}
			for _, line := range rest {
				if !strings.Contains(line, "submitted, cancelled: false") {
					t.Errorf("got %s", line)
				}
			}
		})
	}
}

func TestCallsArePipelinedUpToTheEndOfInput(t *testing.T) {
	p := start(t.Context(), t, map[string]server.ToolHandlerFunc{"ping": answer("pong")}, Options{})
	go func() {
		// The last line has no end, as printf would write it.
		_, _ = io.WriteString(p.in, callLine("1", "ping")+"\n"+callLine("2", "ping"))
		_ = p.in.Close()
	}()
	if rest := p.end(); len(rest) != 2 {
		t.Errorf("got %q, want two answers", rest)
	}
}

func TestClientThatHoldsThePipeWithoutReadingDoesNotStopTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, signal := context.WithCancel(t.Context())
		p := start(ctx, t, nil, Options{})
		p.send("not JSON", "nor this") // nobody reads the refusals
		begin := time.Now()
		signal()
		if err := <-p.ended; err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > 65*time.Second {
			t.Errorf("ending took %s", took)
		}
		_ = p.raw.Close() // lets go of the writer
	})
}

func TestGraceBoundsTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		finished := time.Duration(0)
		begin := time.Now()
		p := start(t.Context(), t, map[string]server.ToolHandlerFunc{"block": block}, Options{
			// A large upload, which must not be cut off with its call.
			Finish: func(ctx context.Context) {
				finished = time.Since(begin)
				<-ctx.Done()
			},
		})
		p.send(callLine("1", "block"))
		_ = p.in.Close()
		rest := p.end()
		if took := time.Since(begin); finished != time.Minute || took != 11*time.Minute {
			t.Errorf("calls were cut off after %s and the end came after %s, want 1m and 11m", finished, took)
		}
		if len(rest) != 1 || !strings.Contains(rest[0], "cut off") {
			t.Errorf("got %q", rest)
		}
	})
}

func TestIdleEndIsImmediate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t.Context(), t, nil, Options{Drain: func() {}})
		// A stream of news has nothing to finish.
		p.send(`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourcesListChanged":true},` +
			`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`)
		if m := p.receive(); m.Method != "notifications/subscriptions/acknowledged" {
			t.Fatalf("got %+v", m)
		}
		begin := time.Now()
		_ = p.in.Close()
		p.end()
		if took := time.Since(begin); took != 0 {
			t.Errorf("ending took %s of fake time", took)
		}
	})
}

func TestClientThatStopsReadingEndsTheServer(t *testing.T) {
	submitted := make(chan struct{})
	finish := make(chan struct{})
	var finished atomic.Bool
	p := start(t.Context(), t, map[string]server.ToolHandlerFunc{
		"ping": answer("pong"),
		"submit": func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			close(submitted)
			<-finish
			finished.Store(true)
			return mcp.NewToolResultText("submitted"), nil
		},
	}, Options{Drain: func() { close(finish) }})
	p.send(callLine("1", "submit"))
	<-submitted
	_ = p.raw.Close() // as when the client is killed: writes fail from now on
	p.send(callLine("2", "ping"))
	if err := <-p.ended; err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if !finished.Load() {
		t.Error("Serve returned before the submission in flight was over")
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
		{"batch", `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, mcp.INVALID_REQUEST, "one JSON-RPC object"},
		{"number", `5`, mcp.INVALID_REQUEST, "one JSON-RPC object"},
		{"empty object", `{}`, mcp.INVALID_REQUEST, "must have a method"},
		{"null", `null`, mcp.INVALID_REQUEST, "must have a method"},
		{"number as method", `{"jsonrpc":"2.0","id":1,"method":5}`, mcp.INVALID_REQUEST, "method must be a string"},
		{"null as id", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, mcp.INVALID_REQUEST, "id must be a string or a number"},
		{"endless method", `{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("m", 1<<20) + `"}`, mcp.METHOD_NOT_FOUND, "m…"},
		{"object as id", `{"jsonrpc":"2.0","id":{},"method":"ping"}`, mcp.INVALID_REQUEST, "id must be a string or a number"},
		{"boolean as id", `{"jsonrpc":"2.0","id":true,"method":"ping"}`, mcp.INVALID_REQUEST, "id must be a string or a number"},
		{"wrong version", `{"jsonrpc":"1.0","id":1,"method":"ping"}`, mcp.INVALID_REQUEST, ""},
		{"unknown method", `{"jsonrpc":"2.0","id":1,"method":"tools/dance"}`, mcp.METHOD_NOT_FOUND, ""},
		{"unknown tool", callLine("1", "dance"), mcp.INVALID_PARAMS, "dance"},
		{"params of a wrong type", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[1]}`, mcp.INVALID_REQUEST, "the JSON array is out of place"},
		{"number beyond 64 bits", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ping","arguments":{"n":1e999}}}`, mcp.INVALID_REQUEST, "the JSON number is out of place or out of range"},
	}
	p := start(t.Context(), t, map[string]server.ToolHandlerFunc{"ping": answer("pong")}, Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p.t = t
			p.send("", "  ", tt.line+"\r")
			m := p.receive()
			if m.Error == nil || m.Error.Code != tt.code || !strings.Contains(m.Error.Message, tt.contains) {
				t.Errorf("got %+v, want code %d with %q", m.Error, tt.code, tt.contains)
			}
			p.send(callLine(`"next"`, "ping"))
			if m := p.receive(); m.text() != "pong" {
				t.Errorf("the next call got %+v", m)
			}
		})
	}
}

func TestNotificationsAndAnswersGetNoAnswer(t *testing.T) {
	p := start(t.Context(), t, map[string]server.ToolHandlerFunc{"ping": answer("pong")}, Options{})
	p.send(
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","method":"notifications/unknown","params":{"x":1}}`,
		`{"jsonrpc":"2.0","id":null,"method":"notifications/unknown"}`,
		`{"jsonrpc":"2.0","id":9,"result":{}}`,
		`{"jsonrpc":"2.0","id":9,"error":{"code":1,"message":"no"}}`,
		callLine("1", "ping"),
	)
	if m := p.receive(); string(m.ID) != "1" {
		t.Errorf("got %+v", m)
	}
}

func TestIDsComeBackAsTheyWere(t *testing.T) {
	p := start(t.Context(), t, map[string]server.ToolHandlerFunc{"ping": answer("pong")}, Options{})
	// mcp-go alone answers 9007199254740993 with 9007199254740992.
	for _, id := range []string{"0", "-1", "9007199254740993", "18446744073709551615", `"a b"`, `""`, `"1"`, "1.5"} {
		p.send(callLine(id, "ping"))
		if m := p.receive(); string(m.ID) != id {
			t.Errorf("id %s came back as %s", id, m.ID)
		}
		p.send(`{"jsonrpc":"2.0","id":` + id + `,"method":"tools/dance"}`)
		if m := p.receive(); string(m.ID) != id {
			t.Errorf("id %s of an error came back as %s", id, m.ID)
		}
	}
}

func TestIDInFlightIsRefused(t *testing.T) {
	p := start(t.Context(), t, map[string]server.ToolHandlerFunc{"block": block, "ping": answer("pong")}, Options{})
	p.send(callLine("1", "block"), callLine("1", "ping"))
	if m := p.receive(); m.Error == nil || m.Error.Code != mcp.INVALID_REQUEST || string(m.ID) != "1" {
		t.Errorf("got %+v", m)
	}
	// Once it is cancelled or answered, the id is free again.
	p.send(cancelLine("1"), callLine("1", "ping"))
	if m := p.receive(); m.text() != "pong" {
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
	srv := server.NewMCPServer("test", "1", server.WithHooks(hooks))
	in := strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}` + "\n" + `{"jsonrpc":"2.0","id":2,"method":"tools/list"}`)
	var out strings.Builder
	if err := Serve(t.Context(), srv, in, &out, Options{}); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, `"id":1,"error":{"code":-32603,"message":"internal error"`) || !strings.Contains(got, `"id":2`) {
		t.Errorf("got %s", got)
	}
}

func TestTwoServersInOneProcess(t *testing.T) {
	// StdioServer keeps its session in a package variable.
	a := start(t.Context(), t, map[string]server.ToolHandlerFunc{"name": answer("a")}, Options{})
	b := start(t.Context(), t, map[string]server.ToolHandlerFunc{"name": answer("b")}, Options{})
	a.send(callLine("1", "name"))
	b.send(callLine("1", "name"))
	if x, y := a.receive().text(), b.receive().text(); x != "a" || y != "b" {
		t.Errorf("got %q and %q", x, y)
	}
}

func TestUnreadableInputIsAnError(t *testing.T) {
	srv := server.NewMCPServer("test", "1")
	broken := errors.New("broken")
	if err := Serve(t.Context(), srv, io.MultiReader(strings.NewReader("\n"), errReader{broken}), io.Discard, Options{}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
