// These tests serve over pipes: what is read as a message, and how serving
// ends.

package stdio

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
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

func (p *peer) expect(want string) {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if got := strings.TrimSpace(line); err != nil || got != want {
		p.t.Fatalf("\n got %s, %v\nwant %s", got, err, want)
	}
}

// quiet fails the test if anything was written before the answer to a ping.
func (p *peer) quiet() {
	p.t.Helper()
	p.send(`{"jsonrpc":"2.0","id":"quiet","method":"ping"}`)
	p.expect(`{"jsonrpc":"2.0","id":"quiet","result":{}}`)
}

const (
	modernMeta     = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
	initializeLine = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`
)

func callLine(id, tool string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":%q,"_meta":{"progressToken":%s}}}`, id, tool, id)
}

func modernCallLine(id, tool string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":%q,%s}}`, id, tool, modernMeta)
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

func TestLinesOfWindowsAreAnswered(t *testing.T) {
	p := start(t.Context(), t, nil, Options{})
	for range 2 {
		p.send("\uFEFF" + initializeLine + "\r")
		if m := p.receive(); string(m.ID) != "0" || m.Error != nil {
			t.Errorf("got %+v", m)
		}
	}
}

func TestClientThatDoesNotReadDoesNotStopTheEnd(t *testing.T) {
	progress := func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		_ = server.ClientSessionFromContext(ctx).(*wire.Session).Notify(ctx, "notifications/progress", nil)
		return mcp.NewToolResultText("done"), nil
	}
	for name, lines := range map[string][]string{
		"initialize":   {initializeLine},
		"and a call":   {initializeLine, callLine("1", "ping")},
		"an answer":    {callLine("1", "ping")},
		"progress":     {callLine("1", "progress")},
		"refusals":     {"not JSON", "nor this"},
		"300 of these": slices.Repeat([]string{callLine("1", "ping"), "not JSON"}, 150),
	} {
		for _, how := range []string{"signal", "end of input"} {
			t.Run(name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, signal := context.WithCancel(t.Context())
					defer signal()
					finished := false
					p := start(ctx, t, map[string]server.ToolHandlerFunc{"ping": answer("pong"), "progress": progress},
						Options{Finish: func(context.Context) { finished = true }})
					p.send(lines...)
					synctest.Wait()
					begin := time.Now()
					if how == "signal" {
						signal()
					} else {
						_ = p.in.Close()
					}
					if err := <-p.ended; err != nil || !finished {
						t.Errorf("ended with %v, finished %t", err, finished)
					}
					if took := time.Since(begin); took > 4*time.Second {
						t.Errorf("ending took %s", took)
					}
					_ = p.raw.Close() // lets go of the writer
				})
			})
		}
	}
}

func TestClientThatReadsSlowlyGetsItsAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t.Context(), t, map[string]server.ToolHandlerFunc{"ping": answer("pong")}, Options{})
		const calls = 50
		for i := range calls {
			p.send(callLine(fmt.Sprint(i), "ping"))
		}
		_ = p.in.Close()
		for range calls {
			time.Sleep(900 * time.Millisecond)
			p.receive()
		}
		if rest := p.end(); len(rest) > 0 {
			t.Errorf("got %s", rest)
		}
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

func TestUnreadableInputIsAnError(t *testing.T) {
	srv := server.NewMCPServer("test", "1")
	broken := errors.New("broken")
	if err := Serve(t.Context(), srv, io.MultiReader(strings.NewReader("\n"), errReader{broken}), io.Discard, Options{}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
