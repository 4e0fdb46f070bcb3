// These tests hold subscriptions to their rules in both protocol eras: who
// hears what, with which tag, in which order, and when that ends.

package stdio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/wire"
)

const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

func listenLine(id, filter string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"subscriptions/listen","params":{"notifications":%s,%s}}`, id, filter, modernMeta)
}

func subscribeLine(id, method, uri string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"resources/%s","params":{"uri":%q}}`, id, method, uri)
}

func modernCallLine(id, tool string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":%q,%s}}`, id, tool, modernMeta)
}

const (
	initializeLine = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`
	listChanged    = `{"jsonrpc":"2.0","method":"notifications/resources/list_changed"}`
)

func acknowledged(id, filter string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%s},"notifications":%s}}`, id, filter)
}

// updated is the line that tells of a change, on the stream id or, with "", on none.
func updated(id, uri string) string {
	meta := ""
	if id != "" {
		meta = fmt.Sprintf(`"_meta":{"io.modelcontextprotocol/subscriptionId":%s},`, id)
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{%s"uri":%q}}`, meta, uri)
}

func (p *peer) expect(want ...string) {
	p.t.Helper()
	for _, w := range want {
		line, err := p.out.ReadString('\n')
		if err != nil {
			p.t.Fatalf("receive: %v", err)
		}
		if got := strings.TrimSpace(line); got != w {
			p.t.Fatalf("\n got %s\nwant %s", got, w)
		}
	}
}

// quiet fails the test if anything was written before the answer to a ping.
func (p *peer) quiet() {
	p.t.Helper()
	p.send(`{"jsonrpc":"2.0","id":"quiet","method":"ping"}`)
	p.expect(`{"jsonrpc":"2.0","id":"quiet","result":{}}`)
}

// shelf is what can be subscribed to: every uri that starts with "x://".
type shelf struct {
	mu       sync.Mutex
	updated  map[string][]func() // of the subscriptions there are
	begun    int
	during   func(uri string, updated func()) // called while a subscription is made
	everSeen []func()                         // also of those that have ended
}

var errUnknown = errors.New("there is no such thing")

func (s *shelf) subscribe(uri string, updated func()) (func(), error) {
	if !strings.HasPrefix(uri, "x://") {
		return nil, errUnknown
	}
	if s.during != nil {
		s.during(uri, updated)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.updated == nil {
		s.updated = map[string][]func(){}
	}
	s.begun++
	i := len(s.updated[uri])
	s.updated[uri] = append(s.updated[uri], updated)
	s.everSeen = append(s.everSeen, updated)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.updated[uri][i] == nil {
			panic("a subscription was ended twice")
		}
		s.updated[uri][i] = nil
	}, nil
}

func (s *shelf) change(uri string) {
	s.mu.Lock()
	calls := slices.Clone(s.updated[uri])
	s.mu.Unlock()
	for _, call := range calls {
		if call != nil {
			call()
		}
	}
}

// live is how many subscriptions there are.
func (s *shelf) live() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, calls := range s.updated {
		for _, call := range calls {
			if call != nil {
				n++
			}
		}
	}
	return n
}

// addResource changes the list of resources.
func addResource(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	server.ServerFromContext(ctx).AddResource(mcp.NewResource("x://new", "new"), nil)
	return mcp.NewToolResultText("added"), nil
}

func TestLegacySubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		p := start(t.Context(), t, nil, Options{Subscribe: s.subscribe})
		p.send(subscribeLine("1", "subscribe", "x://a"))
		p.expect(`{"jsonrpc":"2.0","id":1,"result":{}}`)
		s.change("x://a")
		s.change("x://b")
		p.expect(updated("", "x://a"))
		p.send(subscribeLine("2", "subscribe", "x://a"))
		p.expect(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		if s.begun != 1 {
			t.Errorf("subscribed %d times to one uri", s.begun)
		}
		p.send(subscribeLine("3", "subscribe", "y://a"))
		p.expect(`{"jsonrpc":"2.0","id":3,"error":{"code":-32002,"message":"there is no such thing"}}`)
		p.send(subscribeLine("4", "unsubscribe", "x://b"))
		p.expect(`{"jsonrpc":"2.0","id":4,"result":{}}`)
		p.send(subscribeLine("5", "unsubscribe", "x://a"))
		p.expect(`{"jsonrpc":"2.0","id":5,"result":{}}`)
		if n := s.live(); n != 0 {
			t.Errorf("%d subscriptions after unsubscribe", n)
		}
		s.everSeen[0]() // a change that was on its way
		synctest.Wait()
		p.quiet()
	})
}

func TestStreamsHearWhatTheyAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		p := start(t.Context(), t, map[string]server.ToolHandlerFunc{"add": addResource}, Options{Subscribe: s.subscribe})
		const big, word = "9007199254740993", `"é 1"` // as float64 the first is another number
		p.send(listenLine(big, `{"resourceSubscriptions":["x://a","x://b","x://a"]}`))
		p.expect(acknowledged(big, `{"resourceSubscriptions":["x://a","x://b","x://a"]}`))
		p.send(listenLine(word, `{"toolsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["x://b"]}`))
		p.expect(acknowledged(word, `{"resourcesListChanged":true,"resourceSubscriptions":["x://b"]}`))
		s.change("x://a")
		p.expect(updated(big, "x://a"))
		s.change("x://c")
		p.quiet()

		s.change("x://b")
		got := []string{}
		for range 2 {
			line, err := p.out.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, strings.TrimSpace(line))
		}
		slices.Sort(got)
		if want := []string{updated(word, "x://b"), updated(big, "x://b")}; !slices.Equal(got, want) {
			t.Errorf("\n got %s\nwant %s", got, want)
		}

		// The list of resources: told to the one that asked, not to the client as a whole.
		p.send(modernCallLine("7", "add"))
		lines := []string{}
		for range 2 {
			line, err := p.out.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, strings.TrimSpace(line))
		}
		if tagged := strings.TrimSuffix(listChanged, `}`) + `,"params":{"_meta":{"io.modelcontextprotocol/subscriptionId":` + word + `}}}`; !slices.Contains(lines, tagged) {
			t.Errorf("got %s, want %s among it", lines, tagged)
		}

		p.send(cancelLine(word))
		synctest.Wait()
		if n := s.live(); n != 2 {
			t.Errorf("%d subscriptions after one of two streams has ended, want 2", n)
		}
		for _, f := range s.everSeen {
			f()
		}
		p.expect(updated(big, "x://a"), updated(big, "x://b"))
		p.send(modernCallLine("8", "add"))
		if m := p.receive(); string(m.ID) != "8" {
			t.Errorf("got %+v", m)
		}

		_ = p.in.Close()
		rest := p.end()
		want := `"id":` + big + `,"result":{"_meta":{`
		if len(rest) != 1 || !strings.Contains(rest[0], want) || !strings.Contains(rest[0], `"io.modelcontextprotocol/subscriptionId":`+big) {
			t.Errorf("the stream ended with %s", rest)
		}
		if n := s.live(); n != 0 {
			t.Errorf("%d subscriptions after the end", n)
		}
	})
}

func TestStreamOfAnUnknownURIIsRefused(t *testing.T) {
	s := &shelf{}
	p := start(t.Context(), t, nil, Options{Subscribe: s.subscribe})
	p.send(listenLine("1", `{"resourceSubscriptions":["x://a","y://b"]}`))
	p.expect(`{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"subscribing to \"y://b\": there is no such thing"}}`)
	if n := s.live(); n != 0 {
		t.Errorf("%d subscriptions of a refused stream", n)
	}
	p.quiet()

	nothing := start(t.Context(), t, nil, Options{})
	nothing.send(subscribeLine("1", "subscribe", "x://a"))
	nothing.expect(`{"jsonrpc":"2.0","id":1,"error":{"code":-32002,"message":"there is nothing to subscribe to"}}`)
}

func TestAcknowledgementComesFirst(t *testing.T) {
	// Changes while the stream is being opened are told, but after it.
	s := &shelf{during: func(_ string, updated func()) { updated() }}
	p := start(t.Context(), t, nil, Options{Subscribe: s.subscribe})
	for i := range 300 {
		id := fmt.Sprint(i)
		p.send(listenLine(id, `{"resourceSubscriptions":["x://a"]}`))
		p.expect(acknowledged(id, `{"resourceSubscriptions":["x://a"]}`), updated(id, "x://a"))
		p.send(cancelLine(id))
		// A stream of nothing is acknowledged, and over.
		p.send(listenLine(`"e"`, `{}`))
		p.expect(acknowledged(`"e"`, `{}`))
		if m := p.receive(); string(m.ID) != `"e"` {
			t.Fatalf("got %+v", m)
		}
	}
}

func TestNothingAfterAStreamIsCancelled(t *testing.T) {
	s := &shelf{}
	p := start(t.Context(), t, map[string]server.ToolHandlerFunc{"add": addResource}, Options{Subscribe: s.subscribe})
	for i := range 200 {
		id := fmt.Sprint(i)
		p.send(listenLine(id, `{"resourcesListChanged":true,"resourceSubscriptions":["x://a"]}`))
		p.expect(acknowledged(id, `{"resourcesListChanged":true,"resourceSubscriptions":["x://a"]}`))
		p.send(cancelLine(id), `{"jsonrpc":"2.0","id":"seen","method":"ping"}`)
		p.expect(`{"jsonrpc":"2.0","id":"seen","result":{}}`)
		s.mu.Lock()
		last := s.everSeen[len(s.everSeen)-1]
		s.mu.Unlock()
		last()
		p.send(callLine(`"add"`, "add"))
		if m := p.receive(); string(m.ID) != `"add"` {
			t.Fatalf("got %+v", m)
		}
	}
}

func TestListChangesInTheLegacyEra(t *testing.T) {
	p := start(t.Context(), t, map[string]server.ToolHandlerFunc{"add": addResource}, Options{})
	p.send(modernCallLine("1", "add")) // a modern client never initializes, and did not ask
	if m := p.receive(); string(m.ID) != "1" {
		t.Fatalf("got %+v", m)
	}
	p.send(initializeLine)
	p.receive()
	for i := range 300 { // mcp-go's StdioServer: before or after the answer, as it happens
		p.send(callLine(fmt.Sprint(i), "add"))
		p.expect(listChanged)
		if m := p.receive(); string(m.ID) != fmt.Sprint(i) {
			t.Fatalf("got %+v", m)
		}
	}
}

func TestUnsubscribeDoesNotOvertake(t *testing.T) {
	s := &shelf{}
	p := start(t.Context(), t, nil, Options{Subscribe: s.subscribe})
	const pairs = 200
	go func() {
		for i := range pairs {
			p.send(subscribeLine(fmt.Sprint(2*i), "subscribe", "x://a"), subscribeLine(fmt.Sprint(2*i+1), "unsubscribe", "x://a"))
		}
	}()
	for range 2 * pairs {
		p.receive()
	}
	if n := s.live(); n != 0 || s.begun != pairs {
		t.Errorf("%d subscriptions are left of %d, want 0 of %d", n, s.begun, pairs)
	}
}

func TestEndOfTheSessionEndsSubscriptions(t *testing.T) {
	for _, how := range []string{"end of input", "signal", "client gone"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, signal := context.WithCancel(t.Context())
				defer signal()
				slow := make(chan struct{})
				s := &shelf{during: func(uri string, _ func()) {
					if uri == "x://slow" {
						<-slow
					}
				}}
				p := start(ctx, t, nil, Options{Subscribe: s.subscribe, Drain: func() {
					if n := s.live(); n > 1 { // that of the stream may be about to end
						t.Errorf("%d subscriptions while draining", n)
					}
					close(slow)
				}})
				p.send(subscribeLine("1", "subscribe", "x://a"), listenLine("2", `{"resourceSubscriptions":["x://b"]}`))
				p.receive()
				p.receive()
				p.send(subscribeLine("3", "subscribe", "x://slow"))
				synctest.Wait()
				switch how {
				case "end of input":
					_ = p.in.Close()
				case "signal":
					signal()
				default:
					_ = p.raw.Close()
					s.change("x://a")
				}
				if how == "client gone" {
					<-p.ended
				} else {
					p.end()
				}
				if n := s.live(); n != 0 {
					t.Errorf("%d subscriptions after the end", n)
				}
			})
		})
	}
}

func TestChangesNeverWaitForTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		p := start(t.Context(), t, nil, Options{Subscribe: s.subscribe})
		p.send(subscribeLine("1", "subscribe", "x://a"), subscribeLine("2", "subscribe", "x://b"))
		p.receive()
		p.receive()
		s.change("x://a")
		synctest.Wait()
		for range 1000 { // nobody reads meanwhile
			s.change("x://a")
			s.change("x://b")
			synctest.Wait()
		}
		// One was under way, the rest is told once.
		p.expect(updated("", "x://a"), updated("", "x://a"), updated("", "x://b"))
		synctest.Wait()
		p.quiet()
	})
}

func TestSetErrorCode(t *testing.T) {
	srv := server.NewMCPServer("test", "1", server.WithResourceCapabilities(false, false))
	srv.AddResource(mcp.NewResource("x://a", "a"), func(ctx context.Context, _ mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		server.ClientSessionFromContext(ctx).(*wire.Session).SetErrorCode(ctx, -32002)
		return nil, errUnknown
	})
	var out strings.Builder
	if err := Serve(t.Context(), srv, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"x://a"}}`), &out, Options{}); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.TrimSpace(out.String()), `{"jsonrpc":"2.0","id":1,"error":{"code":-32002,"message":"there is no such thing"}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
