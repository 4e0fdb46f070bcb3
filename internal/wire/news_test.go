// These tests hold subscriptions to their rules in both protocol eras: who
// hears what, with which tag, in which order, and when that ends.

package wire

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

func (c *client) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got := <-c.out; got != w {
			c.t.Fatalf("\n got %s\nwant %s", got, w)
		}
	}
}

// quiet fails the test if anything was written before the answer to a ping.
func (c *client) quiet() {
	c.t.Helper()
	c.send(`{"jsonrpc":"2.0","id":"quiet","method":"ping"}`)
	c.expect(`{"jsonrpc":"2.0","id":"quiet","result":{}}`)
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

func (s *shelf) subscribe(_ context.Context, uri string, updated func()) (func(), error) {
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
		c := start(t, nil, Options{Subscribe: s.subscribe})
		c.send(subscribeLine("1", "subscribe", "x://a"))
		c.expect(`{"jsonrpc":"2.0","id":1,"result":{}}`)
		s.change("x://a")
		s.change("x://b")
		c.expect(updated("", "x://a"))
		c.send(subscribeLine("2", "subscribe", "x://a"))
		c.expect(`{"jsonrpc":"2.0","id":2,"result":{}}`)
		if s.begun != 1 {
			t.Errorf("subscribed %d times to one uri", s.begun)
		}
		c.send(subscribeLine("3", "subscribe", "y://a"))
		c.expect(`{"jsonrpc":"2.0","id":3,"error":{"code":-32002,"message":"there is no such thing"}}`)
		c.send(subscribeLine("4", "unsubscribe", "x://b"))
		c.expect(`{"jsonrpc":"2.0","id":4,"result":{}}`)
		c.send(subscribeLine("5", "unsubscribe", "x://a"))
		c.expect(`{"jsonrpc":"2.0","id":5,"result":{}}`)
		if n := s.live(); n != 0 {
			t.Errorf("%d subscriptions after unsubscribe", n)
		}
		s.everSeen[0]() // a change that was on its way
		synctest.Wait()
		c.quiet()
	})
}

func TestStreamsHearWhatTheyAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		c := start(t, map[string]server.ToolHandlerFunc{"add": addResource}, Options{Subscribe: s.subscribe})
		const big, word = "9007199254740993", `"é 1"` // as float64 the first is another number
		c.send(listenLine(big, `{"resourceSubscriptions":["x://a","x://b","x://a"]}`))
		c.expect(acknowledged(big, `{"resourceSubscriptions":["x://a","x://b","x://a"]}`))
		c.send(listenLine(word, `{"toolsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["x://b"]}`))
		c.expect(acknowledged(word, `{"resourcesListChanged":true,"resourceSubscriptions":["x://b"]}`))
		s.change("x://a")
		c.expect(updated(big, "x://a"))
		s.change("x://c")
		c.quiet()

		s.change("x://b")
		got := []string{<-c.out, <-c.out}
		slices.Sort(got)
		if want := []string{updated(word, "x://b"), updated(big, "x://b")}; !slices.Equal(got, want) {
			t.Errorf("\n got %s\nwant %s", got, want)
		}

		// The list of resources: told to the one that asked, not to the client as a whole.
		c.send(modernCallLine("7", "add"))
		lines := []string{<-c.out, <-c.out}
		if tagged := strings.TrimSuffix(listChanged, `}`) + `,"params":{"_meta":{"io.modelcontextprotocol/subscriptionId":` + word + `}}}`; !slices.Contains(lines, tagged) {
			t.Errorf("got %s, want %s among it", lines, tagged)
		}

		c.send(cancelLine(word))
		synctest.Wait()
		if n := s.live(); n != 2 {
			t.Errorf("%d subscriptions after one of two streams has ended, want 2", n)
		}
		for _, f := range s.everSeen {
			f()
		}
		c.expect(updated(big, "x://a"), updated(big, "x://b"))
		c.send(modernCallLine("8", "add"))
		if m := c.receive(); string(m.ID) != "8" {
			t.Errorf("got %+v", m)
		}

		rest := c.end()
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
	c := start(t, nil, Options{Subscribe: s.subscribe})
	c.send(listenLine("1", `{"resourceSubscriptions":["x://a","y://b"]}`))
	c.expect(`{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"subscribing to \"y://b\": there is no such thing"}}`)
	if n := s.live(); n != 0 {
		t.Errorf("%d subscriptions of a refused stream", n)
	}
	c.quiet()
}

func TestAcknowledgementComesFirst(t *testing.T) {
	// Changes while the stream is being opened are told, but after it.
	s := &shelf{during: func(_ string, updated func()) { updated() }}
	c := start(t, nil, Options{Subscribe: s.subscribe})
	for i := range 300 {
		id := fmt.Sprint(i)
		c.send(listenLine(id, `{"resourceSubscriptions":["x://a"]}`))
		c.expect(acknowledged(id, `{"resourceSubscriptions":["x://a"]}`), updated(id, "x://a"))
		c.send(cancelLine(id))
		// A stream of nothing is acknowledged, and over.
		c.send(listenLine(`"e"`, `{}`))
		c.expect(acknowledged(`"e"`, `{}`))
		if m := c.receive(); string(m.ID) != `"e"` {
			t.Fatalf("got %+v", m)
		}
	}
}

func TestNothingAfterAStreamIsCancelled(t *testing.T) {
	s := &shelf{}
	c := start(t, map[string]server.ToolHandlerFunc{"add": addResource}, Options{Subscribe: s.subscribe})
	for i := range 200 {
		id := fmt.Sprint(i)
		c.send(listenLine(id, `{"resourcesListChanged":true,"resourceSubscriptions":["x://a"]}`))
		c.expect(acknowledged(id, `{"resourcesListChanged":true,"resourceSubscriptions":["x://a"]}`))
		c.send(cancelLine(id), `{"jsonrpc":"2.0","id":"seen","method":"ping"}`)
		c.expect(`{"jsonrpc":"2.0","id":"seen","result":{}}`)
		s.mu.Lock()
		last := s.everSeen[len(s.everSeen)-1]
		s.mu.Unlock()
		last()
		c.send(callLine(`"add"`, "add"))
		if m := c.receive(); string(m.ID) != `"add"` {
			t.Fatalf("got %+v", m)
		}
	}
}

func TestListChangesInTheLegacyEra(t *testing.T) {
	c := start(t, map[string]server.ToolHandlerFunc{"add": addResource}, Options{})
	c.send(modernCallLine("1", "add")) // a modern client never initializes, and did not ask
	if m := c.receive(); string(m.ID) != "1" {
		t.Fatalf("got %+v", m)
	}
	c.send(initializeLine)
	c.receive()
	for i := range 300 { // mcp-go's StdioServer: before or after the answer, as it happens
		c.send(callLine(fmt.Sprint(i), "add"))
		c.expect(listChanged)
		if m := c.receive(); string(m.ID) != fmt.Sprint(i) {
			t.Fatalf("got %+v", m)
		}
	}
}

func TestUnsubscribeDoesNotOvertake(t *testing.T) {
	s := &shelf{}
	c := start(t, nil, Options{Subscribe: s.subscribe})
	const pairs = 200
	go func() {
		for i := range pairs {
			c.send(subscribeLine(fmt.Sprint(2*i), "subscribe", "x://a"), subscribeLine(fmt.Sprint(2*i+1), "unsubscribe", "x://a"))
		}
	}()
	for range 2 * pairs {
		c.receive()
	}
	if n := s.live(); n != 0 || s.begun != pairs {
		t.Errorf("%d subscriptions are left of %d, want 0 of %d", n, s.begun, pairs)
	}
}

func TestStopEndsSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		s := &shelf{during: func(uri string, _ func()) {
			if uri == "x://slow" {
				<-slow
			}
		}}
		c := start(t, nil, Options{Subscribe: s.subscribe})
		c.send(subscribeLine("1", "subscribe", "x://a"), listenLine("2", `{"resourceSubscriptions":["x://b"]}`))
		c.receive()
		c.receive()
		c.send(subscribeLine("3", "subscribe", "x://slow"))
		synctest.Wait()
		c.session.Stop()
		synctest.Wait()
		if n := s.live(); n != 0 {
			t.Errorf("%d subscriptions while a slow one is being made", n)
		}
		close(slow)
		rest := strings.Join(c.end(), "\n")
		if !strings.Contains(rest, `"id":2,"result"`) || !strings.Contains(rest, `"id":3,"error":{"code":-32002,"message":"the server is shutting down"`) {
			t.Errorf("got %s", rest)
		}
		if n := s.live(); n != 0 {
			t.Errorf("%d subscriptions after the end", n)
		}
	})
}

func TestChangesNeverWaitForTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{}
		c := start(t, nil, Options{Subscribe: s.subscribe})
		c.send(subscribeLine("1", "subscribe", "x://a"), subscribeLine("2", "subscribe", "x://b"))
		c.receive()
		c.receive()
		s.change("x://a")
		synctest.Wait()
		for range 1000 { // nobody reads meanwhile
			s.change("x://a")
			s.change("x://b")
			synctest.Wait()
		}
		// One was under way, the rest is told once.
		c.expect(updated("", "x://a"), updated("", "x://a"), updated("", "x://b"))
		synctest.Wait()
		c.quiet()
	})
}

func TestSetErrorCode(t *testing.T) {
	srv := newServer(nil)
	srv.AddResource(mcp.NewResource("x://a", "a"), func(ctx context.Context, _ mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		server.ClientSessionFromContext(ctx).(*Session).SetErrorCode(ctx, -32002)
		return nil, errUnknown
	})
	c := connect(t, srv, "test", Options{})
	c.send(subscribeLine("1", "read", "x://a"))
	c.expect(`{"jsonrpc":"2.0","id":1,"error":{"code":-32002,"message":"there is no such thing"}}`)
}

func TestStreamThatBeginsAtTheEndIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, nil, Options{})
		c.send(initializeLine, listenLine("1", `{}`))
		synctest.Wait() // initialize waits until its answer is read, and the stream for initialize
		rest := c.end()
		if len(rest) != 3 || !strings.Contains(rest[1], "acknowledged") || !strings.HasPrefix(rest[2], `{"jsonrpc":"2.0","id":1,"result":{`) {
			t.Errorf("got %q", rest)
		}
	})
}
