// These tests hold the question for the client's roots to its rules: who is
// asked, how, and that no answer, nor the lack of one, holds anything up.

package stdio

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/wire"
)

// clientHasRoots reports whether the client said that it can name its roots.
func clientHasRoots(ctx context.Context) bool {
	if info := server.RequestProtocolInfoFromContext(ctx); info != nil && info.Modern {
		return info.ClientCapabilities != nil && info.ClientCapabilities.Roots != nil
	}
	session, ok := server.ClientSessionFromContext(ctx).(server.SessionWithClientInfo)
	return ok && session.GetClientCapabilities().Roots != nil
}

// listRoots answers with the client's roots, as a tool of either era does.
func listRoots(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if !clientHasRoots(ctx) {
		return mcp.NewToolResultText("no capability"), nil
	}
	if _, answered := server.InputResponse(req.Params.InputResponses, "roots"); !answered {
		return server.NewInputRequestBuilder("").Roots("roots").ToolResult(), nil
	}
	var uris []string
	if roots := server.RootsResponse(req.Params.InputResponses, "roots"); roots != nil {
		for _, root := range roots.Roots {
			uris = append(uris, root.URI)
		}
	}
	text := strings.Join(uris, " ")
	if len(uris) > 100 {
		text = fmt.Sprint(len(uris))
	}
	return mcp.NewToolResultText("roots: " + text), nil
}

var rootsTools = map[string]server.ToolHandlerFunc{"roots": listRoots, "ping": answer("pong")}

// initialize makes p a client of 2025-11-25 with these capabilities.
func (p *peer) initialize(capabilities string) {
	p.t.Helper()
	p.send(strings.Replace(initializeLine, `"capabilities":{}`, `"capabilities":`+capabilities, 1))
	p.receive()
}

func question(n int) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":"pixazo-%d","method":"roots/list"}`, n)
}

func answerLine(n int, rest string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":"pixazo-%d"%s}`, n, rest)
}

// expectText requires the answer of the call id.
func (p *peer) expectText(id, text string) {
	p.t.Helper()
	if m := p.receive(); string(m.ID) != id || m.text() != text {
		p.t.Fatalf("got %+v, want %q from the call %s", m, text, id)
	}
}

func TestRootsOfALegacyClient(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat(`{"uri":"file:///a"},`, 10_000), ",")
	const root = `{"uri":"file:///a","name":"A","_meta":{"x":1}}`
	tests := []struct{ name, answer, want string }{
		{"one", `,"result":{"roots":[` + root + `]}`, "roots: file:///a"},
		{"two", `,"result":{"roots":[` + root + `,{"uri":"file:///b"}],"_meta":{}}`, "roots: file:///a file:///b"},
		{"no error beside it", `,"result":{"roots":[` + root + `]},"error":null`, "roots: file:///a"},
		{"10,000", `,"result":{"roots":[` + many + `]}`, "roots: 10000"},
		{"none", `,"result":{"roots":[]}`, "roots: "},
		{"long error", `,"error":{"code":-32000,"message":"` + strings.Repeat("x", 5<<20) + `"}`, "roots: "},
		{"error", `,"error":{"code":-32601,"message":"Method not found"}`, "roots: "},
		{"error that is none", `,"error":"no"`, "roots: "},
		{"empty", `,"result":{}`, "roots: "},
		{"null", `,"result":null`, "roots: "},
		{"neither result nor error", ``, "roots: "},
		{"list for a result", `,"result":[` + root + `]`, "roots: "},
		{"text for a list", `,"result":{"roots":"file:///a"}`, "roots: "},
		{"number for a uri", `,"result":{"roots":[` + root + `,{"uri":5}]}`, "roots: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				p := start(t.Context(), t, rootsTools, Options{Options: wire.Options{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}})
				p.initialize(`{"roots":{"listChanged":true}}`)
				for n := 1; n <= 2; n++ { // each call asks anew: roots change
					p.send(callLine(fmt.Sprint(n), "roots"))
					p.expect(question(n))
					p.send(answerLine(n, tt.answer))
					p.expectText(fmt.Sprint(n), tt.want)
				}
				p.quiet()
				_ = p.in.Close()
				p.end()
				if log.Len() > 3000 {
					t.Errorf("%d bytes of log", log.Len())
				}
				if strings.Contains(tt.name, "error that") && !strings.Contains(log.String(), "the client names no roots") {
					t.Errorf("the log lacks the reason: %s", &log)
				}
			})
		})
	}
}

func TestClientWithoutRootsIsNotAsked(t *testing.T) {
	for _, tt := range []struct{ name, capabilities string }{
		{"not initialized", ""}, {"none", `{}`}, {"null", `{"roots":null}`}, {"others", `{"sampling":{},"experimental":{"roots":{}}}`},
	} {
		p := start(t.Context(), t, rootsTools, Options{})
		if tt.capabilities != "" {
			p.initialize(tt.capabilities)
		}
		p.send(callLine("1", "roots"))
		p.expectText("1", "no capability")
	}
}

// modernRoots is a call of 2026-07-28 by a client that has roots.
func modernRoots(id, rest string) string {
	meta := strings.Replace(modernMeta, `Capabilities":{}`, `Capabilities":{"roots":{}}`, 1)
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"roots"%s,%s}}`, id, rest, meta)
}

func TestRootsOfAModernClient(t *testing.T) {
	p := start(t.Context(), t, rootsTools, Options{})
	ask := func(id string) {
		t.Helper()
		p.send(modernRoots(id, ""))
		line, err := p.out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		var m struct {
			ID     json.RawMessage
			Result struct {
				ResultType    string
				InputRequests json.RawMessage
			}
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if string(m.ID) != id || m.Result.ResultType != "input_required" || string(m.Result.InputRequests) != `{"roots":{"method":"roots/list","params":{}}}` {
			t.Errorf("got %s", line)
		}
	}
	ask("1")
	p.send(modernRoots("2", `,"inputResponses":{"roots":{"roots":[{"uri":"file:///a"},{"uri":"file:///b"}]}}`))
	p.expectText("2", "roots: file:///a file:///b")
	for _, none := range []string{`{"roots":[]}`, `{}`, `null`, `"x"`, `{"roots":5}`} {
		p.send(modernRoots("3", `,"inputResponses":{"roots":`+none+`}`))
		p.expectText("3", "roots: ")
	}

	// Each request says for itself what the client can do.
	p.send(modernCallLine("4", "roots"))
	p.expectText("4", "no capability")
	p.initialize(`{"roots":{}}`)
	p.send(modernCallLine("5", "roots"))
	p.expectText("5", "no capability")
	p.initialize(`{}`)
	ask("6")
}

func TestClientThatDoesNotAnswerOffersNoRoots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t.Context(), t, rootsTools, Options{})
		p.initialize(`{"roots":{}}`)
		p.send(callLine("1", "roots"))
		p.expect(question(1))
		p.send(callLine("2", "ping")) // the rest goes on
		p.expectText("2", "pong")
		begin := time.Now()
		p.expect(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"reason":"no answer in time","requestId":"pixazo-1"}}`)
		p.expectText("1", "roots: ")
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("waited %s, want 10s", took)
		}
		p.send(answerLine(1, `,"result":{"roots":[]}`)) // too late
		p.quiet()
	})
}

func TestAnswersFindTheirQuestions(t *testing.T) {
	const calls = 50
	p := start(t.Context(), t, rootsTools, Options{})
	p.initialize(`{"roots":{}}`)
	for n := 1; n <= calls; n++ {
		// The ids of the client's calls are those of our questions.
		p.send(callLine(fmt.Sprintf(`"pixazo-%d"`, calls+1-n), "roots"))
		p.expect(question(n))
	}
	for n := calls; n > 0; n-- {
		p.send(
			`{"jsonrpc":"2.0","id":"pixazo-0","result":{}}`,
			fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{}}`, n),
			answerLine(n, fmt.Sprintf(`,"result":{"roots":[{"uri":"file:///%d"}]}`, n)),
			answerLine(n, `,"error":{"code":1,"message":"a second answer"}`),
		)
		p.expectText(fmt.Sprintf(`"pixazo-%d"`, calls+1-n), fmt.Sprintf("roots: file:///%d", n))
	}
	p.quiet()
}

func TestCancelledCallAsksNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, goOn := make(chan struct{}), make(chan struct{})
		var calls atomic.Int32
		p := start(t.Context(), t, map[string]server.ToolHandlerFunc{
			"roots": func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				calls.Add(1)
				return listRoots(ctx, req)
			},
			"late": func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				calls.Add(1)
				close(asked)
				<-goOn // goes on after the cancellation, and then asks
				return listRoots(ctx, req)
			},
		}, Options{})
		p.initialize(`{"roots":{}}`)

		p.send(callLine("1", "roots"))
		p.expect(question(1))
		p.send(cancelLine("1"))
		synctest.Wait()
		p.send(answerLine(1, `,"result":{"roots":[]}`))
		p.quiet()

		p.send(callLine("2", "late"))
		<-asked
		p.send(cancelLine("2"))
		synctest.Wait()
		close(goOn)
		synctest.Wait()
		p.quiet()

		// The answer right behind the cancellation.
		p.send(callLine("3", "roots"))
		m := p.receive()
		p.send(cancelLine("3"), fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"roots":[]}}`, m.ID))
		synctest.Wait()
		p.quiet()
		if n := calls.Load(); n != 3 {
			t.Errorf("%d calls of the handlers, want 3: none again after the cancellation", n)
		}
		begin := time.Now()
		_ = p.in.Close()
		if rest := p.end(); len(rest) > 0 || time.Since(begin) > 0 {
			t.Errorf("ended after %s with %s", time.Since(begin), rest)
		}
	})
}

func TestEndEndsTheWaitForRoots(t *testing.T) {
	for _, how := range []string{"end of input", "answer before the end of input", "signal", "client gone"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, signal := context.WithCancel(t.Context())
				defer signal()
				draining := make(chan struct{})
				tools := map[string]server.ToolHandlerFunc{"roots": listRoots, "late": func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
					<-draining
					return listRoots(ctx, req)
				}}
				p := start(ctx, t, tools, Options{Drain: func() { close(draining) }})
				p.initialize(`{"roots":{}}`)
				p.send(callLine("1", "roots"))
				p.expect(question(1))
				p.send(callLine("2", "late")) // is not to ask any more
				synctest.Wait()
				begin := time.Now()
				want := "roots: "
				switch how {
				case "answer before the end of input":
					p.send(answerLine(1, `,"result":{"roots":[{"uri":"file:///a"}]}`))
					want = "roots: file:///a"
					_ = p.in.Close()
				case "end of input":
					_ = p.in.Close()
				case "signal":
					signal()
				default:
					_ = p.raw.Close()
					p.send(`{"jsonrpc":"2.0","id":9,"method":"ping"}`) // its answer finds the pipe broken
					if err := <-p.ended; err != nil || time.Since(begin) > 0 {
						t.Errorf("ended after %s with %v", time.Since(begin), err)
					}
					return
				}
				rest := p.end()
				texts := map[string]string{}
				for _, line := range rest {
					var m message
					if err := json.Unmarshal([]byte(line), &m); err != nil {
						t.Fatal(err)
					}
					texts[string(m.ID)] = m.text()
				}
				if len(rest) != 2 || texts["1"] != want || texts["2"] != "roots: " {
					t.Errorf("got %s", rest)
				}
				if took := time.Since(begin); took != 0 {
					t.Errorf("ending took %s", took)
				}
			})
		})
	}
}
