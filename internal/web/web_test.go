// These tests hold the server to the rules of HTTP in both eras. Most guard
// against a trap of mcp-go's own HTTP server, named in the test.

package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/identity"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/wire"
)

// team is what replicas share.
type team struct {
	mu       sync.Mutex
	sessions map[string]journal.Session
	replicas []*replica
	away     error // the database is
	refused  int   // uses of it meanwhile
}

func (t *team) do(f func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.away != nil {
		t.refused++
		return t.away
	}
	return f()
}

func (t *team) setAway(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.away = err
}

func (t *team) OpenSession(_ context.Context, s journal.Session) error {
	return t.do(func() error { s.SeenAt = time.Now(); t.sessions[s.ID] = s; return nil })
}

func (t *team) FindSession(_ context.Context, id string) (found *journal.Session, err error) {
	err = t.do(func() error {
		if s, ok := t.sessions[id]; ok {
			found = &s
		}
		return nil
	})
	return found, err
}

func (t *team) UseSession(context.Context, string) error { return t.do(func() error { return nil }) }

func (t *team) Subscribe(_ context.Context, id, uri string, wanted bool) error {
	return t.do(func() error {
		s := t.sessions[id]
		s.Subscriptions = slices.DeleteFunc(slices.Clone(s.Subscriptions), func(u string) bool { return u == uri })
		if wanted {
			s.Subscriptions = append(s.Subscriptions, uri)
		}
		t.sessions[id] = s
		return nil
	})
}

func (t *team) EndSession(_ context.Context, id string) (ended bool, err error) {
	err = t.do(func() error { _, ended = t.sessions[id]; delete(t.sessions, id); return nil })
	return ended, err
}

func (t *team) Signal(_ context.Context, text string) error {
	err := t.do(func() error { return nil })
	if err == nil {
		for _, r := range t.replicas {
			r.web.Signalled(text)
		}
	}
	return err
}

// replica is a server with what its tools did.
type replica struct {
	t    *testing.T
	web  *Server
	http *httptest.Server
	*shelf
	began, ended chan string // calls of block, by name; how they ended
	release      chan struct{}
}

// users is an Identity: the token is the user's name. nobody may not call block.
type users struct{}

func (users) Identify(r *http.Request) (identity.User, error) {
	name, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return identity.User{}, &identity.Refusal{Status: 401, Challenge: `Bearer resource_metadata="x"`, Message: "who are you?"}
	}
	return identity.User{Owner: name, Name: name}, nil
}

func (users) Allows(u identity.User, tool string) error {
	if u.Owner == "nobody" && tool == "block" {
		return &identity.Refusal{Status: 403, Challenge: `Bearer error="insufficient_scope"`, Message: "no"}
	}
	return nil
}

func (users) Metadata() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"resource":"x"}`) })
}

// shelf is what can be subscribed to: every uri that starts with "x://".
type shelf struct {
	mu          sync.Mutex
	subscribers map[int]subscriber
	number      int
	away        error // with which subscribe fails; nil if it does not
	refused     int   // how often it did
}

type subscriber struct {
	owner, uri string
	updated    func()
}

func (s *shelf) subscribe(ctx context.Context, uri string, updated func()) (func(), error) {
	if !strings.HasPrefix(uri, "x://") {
		return nil, errors.New("there is no such thing")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		s.refused++
		return nil, s.away
	}
	s.number++
	number := s.number
	s.subscribers[number] = subscriber{journal.Owner(ctx), uri, updated}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.subscribers, number)
	}, nil
}

// all returns the subscriptions there are, as "owner uri".
func (s *shelf) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := []string{}
	for _, one := range s.subscribers {
		found = append(found, one.owner+" "+one.uri)
	}
	slices.Sort(found)
	return found
}

func (s *shelf) change(uri string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.subscribers {
		if one.uri == uri {
			one.updated()
		}
	}
}

func newTeam() *team { return &team{sessions: map[string]journal.Session{}} }

// start begins a replica; change may adjust its options.
func (t *team) start(tt *testing.T, change func(*Options)) *replica {
	tt.Helper()
	r := t.replica(tt, change)
	r.http = httptest.NewServer(r.web)
	tt.Cleanup(r.http.Close)
	return r
}

// replica makes a replica that listens nowhere.
func (t *team) replica(tt *testing.T, change func(*Options)) *replica {
	r := &replica{
		t: tt, shelf: &shelf{subscribers: map[int]subscriber{}},
		began: make(chan string, 1000), ended: make(chan string, 1000), release: make(chan struct{}),
	}
	srv := server.NewMCPServer("test", "1", server.WithToolCapabilities(false), server.WithResourceCapabilities(true, false), server.WithRecovery())
	srv.AddTool(mcp.NewTool("hello"), func(ctx context.Context, q mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("hello " + journal.Owner(ctx)), nil
	})
	srv.AddTool(mcp.NewTool("fails"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultError("not_found: no."), nil
	})
	srv.AddTool(mcp.NewTool("progress"), func(ctx context.Context, q mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		session := server.ClientSessionFromContext(ctx).(*wire.Session)
		for i := range 50 {
			_ = session.Notify(ctx, "notifications/progress", map[string]any{"progressToken": q.Params.Meta.ProgressToken, "progress": i + 1})
		}
		return mcp.NewToolResultText("done"), nil
	})
	srv.AddTool(mcp.NewTool("block"), func(ctx context.Context, q mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		name := q.GetString("name", "")
		r.began <- name
		select {
		case <-ctx.Done():
			r.ended <- name + " cancelled"
			return nil, ctx.Err()
		case <-r.release:
			r.ended <- name + " done"
			return mcp.NewToolResultText("done"), nil
		}
	})
	o := Options{Options: wire.Options{Subscribe: r.subscribe}, Identity: users{}, Sessions: t, MaxBody: 1 << 20}
	if change != nil {
		change(&o)
	}
	r.web = New(srv, o)
	t.replicas = append(t.replicas, r)
	return r
}

// client is one client of a replica, of either era.
type client struct {
	t       *testing.T
	r       *replica
	user    string
	modern  bool
	session string
}

var eras = []bool{false, true}

func (c *client) at(r *replica) *client {
	other := *c
	other.r = r
	return &other
}

func eraName(modern bool) string {
	if modern {
		return "2026-07-28"
	}
	return "2025-11-25"
}

// connect returns a client that has said hello in the way of its era.
func (r *replica) connect(user string, modern bool) *client {
	r.t.Helper()
	c := &client{t: r.t, r: r, user: user, modern: modern}
	if !modern {
		answer := c.post(context.Background(), `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`)
		defer answer.Body.Close()
		if c.session = answer.Header.Get("Mcp-Session-Id"); answer.StatusCode != 200 || len(c.session) < 22 {
			r.t.Fatalf("initialize: %s, session %q", answer.Status, c.session)
		}
	}
	return c
}

// message returns a request in the client's era; params are the members of its
// params, the token of its progress goes into _meta.
func (c *client) message(id, method, token string, params ...string) string {
	var meta []string
	if c.modern {
		meta = append(meta, `"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}`)
	}
	if token != "" {
		meta = append(meta, `"progressToken":`+token)
	}
	if len(meta) > 0 {
		params = append(params, `"_meta":{`+strings.Join(meta, ",")+`}`)
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":{%s}}`, id, method, strings.Join(params, ","))
}

// call returns a call of a tool, whose argument is a name.
func (c *client) call(id, tool, name string) string {
	return c.message(id, "tools/call", id, fmt.Sprintf(`"name":%q,"arguments":{"name":%q}`, tool, name))
}

// request makes an HTTP request with the headers of the client.
func (c *client) request(ctx context.Context, method, body string) *http.Request {
	c.t.Helper()
	address := "http://127.0.0.1/mcp"
	if c.r.http != nil {
		address = c.r.http.URL + "/mcp"
	}
	q, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+c.user)
	q.Header.Set("Accept", "application/json, text/event-stream")
	if body != "" {
		q.Header.Set("Content-Type", "application/json")
	}
	if c.session != "" {
		q.Header.Set("Mcp-Session-Id", c.session)
	}
	if c.modern {
		var m struct {
			Method string
			Params struct{ Name, URI string }
		}
		_ = json.Unmarshal([]byte(body), &m)
		q.Header.Set("Mcp-Protocol-Version", "2026-07-28")
		q.Header.Set("Mcp-Method", m.Method)
		if name := m.Params.Name + m.Params.URI; name != "" {
			q.Header.Set("Mcp-Name", name)
		}
	}
	return q
}

func (c *client) do(q *http.Request) *http.Response {
	c.t.Helper()
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

func (c *client) post(ctx context.Context, body string) *http.Response {
	c.t.Helper()
	return c.do(c.request(ctx, http.MethodPost, body))
}

// said is a message of the server.
type said struct {
	ID     json.RawMessage
	Method string
	Params struct {
		Progress      float64
		ProgressToken any
		URI           string
		Meta          map[string]json.RawMessage `json:"_meta"`
	}
	Result json.RawMessage
	Error  *struct {
		Code    int
		Message string
	}
}

// text is what a tool answered.
func (s said) text() string {
	var result struct{ Content []struct{ Text string } }
	_ = json.Unmarshal(s.Result, &result)
	if len(result.Content) == 0 {
		return ""
	}
	return result.Content[0].Text
}

// next reads one event of a stream; comments are told as a message of method ":".
func next(t *testing.T, stream *bufio.Reader) (m said, err error) {
	t.Helper()
	for {
		line, err := stream.ReadString('\n')
		if err != nil {
			return m, err
		}
		data, ok := strings.CutPrefix(line, "data: ")
		switch {
		case line == ":\n":
			m.Method = ":"
			return m, nil
		case ok:
			if err := json.Unmarshal([]byte(data), &m); err != nil {
				t.Errorf("event %q: %v", data, err)
			}
			return m, nil
		}
	}
}

// messages reads a whole answer, of either kind.
func messages(t *testing.T, answer *http.Response) (all []said) {
	t.Helper()
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "application/json") {
		var m said
		if err := json.NewDecoder(answer.Body).Decode(&m); err != nil {
			t.Errorf("%s: %v", answer.Status, err)
		}
		return []said{m}
	}
	stream := bufio.NewReader(answer.Body)
	for {
		m, err := next(t, stream)
		if err != nil {
			return all
		}
		if m.Method != ":" {
			all = append(all, m)
		}
	}
}

func TestCallInBothEras(t *testing.T) {
	for _, modern := range eras {
		t.Run(eraName(modern), func(t *testing.T) {
			r := newTeam().start(t, nil)
			c := r.connect("alice", modern)
			const big = "9007199254740993" // as float64 it is another number
			answer := c.post(t.Context(), c.call(big, "hello", ""))
			got := messages(t, answer)
			if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "application/json" || len(got) != 1 || got[0].text() != "hello alice" || string(got[0].ID) != big {
				t.Errorf("got %s %s %+v", answer.Status, answer.Header, got)
			}
			if id := answer.Header.Get("Mcp-Session-Id"); id != "" {
				t.Errorf("got a session %q with a call", id)
			}
		})
	}
}
