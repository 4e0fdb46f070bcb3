// These tests hold every request to the rules that come before its message is
// handled, and the addresses beside the MCP endpoint to theirs.

package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

const ping = `{"jsonrpc":"2.0","id":1,"method":"ping","params":{}}`

// row is a request that is not an ordinary one, and its answer.
type row struct {
	name   string
	method string // POST if ""
	body   string
	header string // lines that differ from those of the client; "Name:" removes one
	status int
	code   int    // of the JSON-RPC error
	answer string // a header line that must be there
}

func (r *replica) try(t *testing.T, c *client, rows []row) {
	t.Helper()
	for _, tt := range rows {
		method := tt.method
		if method == "" {
			method = http.MethodPost
		}
		q := c.request(t.Context(), method, tt.body)
		for line := range strings.SplitSeq(tt.header, "\n") {
			name, value, ok := strings.Cut(line, ":")
			switch value = strings.TrimSpace(value); {
			case !ok:
			case value == "":
				q.Header.Del(name)
			case name == "Host":
				q.Host = value
			default:
				q.Header.Set(name, value)
			}
		}
		answer := c.do(q)
		body, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != tt.status {
			t.Errorf("%s: got %s %s, want %d", tt.name, answer.Status, body, tt.status)
		}
		if tt.code != 0 && !bytes.Contains(body, fmt.Appendf(nil, `"code":%d,`, tt.code)) {
			t.Errorf("%s: got %s, want code %d", tt.name, body, tt.code)
		}
		if name, value, ok := strings.Cut(tt.answer, ": "); ok && answer.Header.Get(name) != value {
			t.Errorf("%s: got %s %q, want %q", tt.name, name, answer.Header.Get(name), value)
		}
	}
}

func TestRulesOfBothEras(t *testing.T) {
	for _, modern := range eras {
		t.Run(eraName(modern), func(t *testing.T) {
			r := newTeam().start(t, func(o *Options) { o.AllowedOrigins = []string{"https://app.example"} })
			close(r.release) // a call of block that gets through ends
			c := r.connect("alice", modern)
			call, ping := c.call("1", "hello", ""), c.message("1", "ping", "")
			allow := "POST, GET, DELETE, OPTIONS"
			if modern {
				allow = "POST, OPTIONS"
			}
			r.try(t, c, []row{
				{name: "not JSON", body: `{"jsonrpc":`, status: 400, code: -32700},
				{name: "nothing", body: " ", status: 400, code: -32700},
				{name: "an empty object", body: `{}`, status: 400, code: -32600},
				{name: "a batch", body: "[" + ping + "]", status: 400, code: -32600},
				{name: "an id of null", body: `{"jsonrpc":"2.0","id":null,"method":"ping"}`, status: 400, code: -32600},
				{name: "an id that is an object", body: `{"jsonrpc":"2.0","id":{},"method":"ping"}`, status: 400, code: -32600},
				{name: "a method that is a number", body: `{"jsonrpc":"2.0","id":1,"method":5}`, status: 400, code: -32600},
				{name: "another JSON-RPC", body: strings.Replace(ping, "2.0", "1.0", 1), status: 400, code: -32600},
				{name: "a notification", body: `{"jsonrpc":"2.0","method":"notifications/initialized"}`, status: 202},
				{name: "a content type of forms", body: ping, header: "Content-Type: text/plain", status: 415},
				{name: "a compressed body", body: ping, header: "Content-Encoding: gzip", status: 415},
				{name: "a charset", body: call, header: "Content-Type: application/json; charset=utf-8", status: 200},
				{name: "no token", body: ping, header: "Authorization:", status: 401, answer: `WWW-Authenticate: Bearer resource_metadata="x"`},
				{name: "too little scope", body: c.call("1", "block", ""), header: "Authorization: Bearer nobody\nMcp-Session-Id:", status: 403, answer: `WWW-Authenticate: Bearer error="insufficient_scope"`},
				{name: "too little scope, hidden behind null", body: strings.Replace(c.call("1", "block", ""), `"params":`, `"params":null,"params":`, 1), header: "Authorization: Bearer nobody\nMcp-Session-Id:", status: 400, code: -32600},
				{name: "too little scope, hidden before nothing", body: strings.Replace(c.call("1", "block", ""), `"params":`, `"PARAMS":{"name":"hello"},"params":`, 1), header: "Authorization: Bearer nobody\nMcp-Session-Id:", status: 400, code: -32600},
				{name: "an evil page", body: call, header: "Origin: https://evil.example", status: 403},
				{name: "an evil page without a token", body: call, header: "Origin: https://evil.example\nAuthorization:", status: 403},
				{name: "a page of null", body: call, header: "Origin: null", status: 403},
				{name: "a page that may", body: call, header: "Origin: https://app.example", status: 200, answer: "Access-Control-Allow-Origin: https://app.example"},
				{name: "its error", body: call, header: "Origin: https://app.example\nAuthorization:", status: 401, answer: "Access-Control-Expose-Headers: Mcp-Session-Id, WWW-Authenticate, Retry-After"},
				{name: "the name of a proxy", body: call, header: "Host: mcp.example.com", status: 200},
				{name: "PUT", method: "PUT", body: ping, status: 405, answer: "Allow: " + allow},
				{name: "HEAD", method: "HEAD", status: 405, answer: "Allow: " + allow},
				{name: "an unknown method", body: c.message("1", "foo/bar", "", `"x":1`), status: map[bool]int{false: 200, true: 404}[modern], code: -32601},
				{name: "an unknown tool", body: c.call("1", "foo", ""), status: map[bool]int{false: 200, true: 400}[modern], code: -32602},
			})
		})
	}
}

// mcp-go does not check these headers behind another handler.
func TestHeadersSince20260728(t *testing.T) {
	r := newTeam().start(t, nil)
	c := r.connect("alice", true)
	call := c.call("9007199254740993", "hello", "")
	unknown := strings.Replace(call, "2026-07-28", "2099-01-01", 1)
	r.try(t, c, []row{
		{name: "no version", body: call, header: "Mcp-Protocol-Version:", status: 400, code: -32020},
		{name: "another version", body: call, header: "Mcp-Protocol-Version: 2025-11-25", status: 400, code: -32020},
		{name: "no version in _meta", body: `{"jsonrpc":"2.0","id":1,"method":"ping"}`, status: 400, code: -32602},
		{name: "an unknown version", body: unknown, header: "Mcp-Protocol-Version: 2099-01-01", status: 400, code: -32022},
		{name: "no method", body: call, header: "Mcp-Method:", status: 400, code: -32020},
		{name: "another method", body: call, header: "Mcp-Method: tools/list", status: 400, code: -32020},
		{name: "no name", body: call, header: "Mcp-Name:", status: 400, code: -32020},
		{name: "another name", body: call, header: "Mcp-Name: other", status: 400, code: -32020},
		{name: "an encoded name", body: call, header: "Mcp-Name: =?base64?aGVsbG8=?=", status: 200},
		{name: "no capabilities", body: strings.Replace(call, `,"io.modelcontextprotocol/clientCapabilities":{}`, "", 1), status: 400, code: -32602},
		{name: "a session", body: call, header: "Mcp-Session-Id: nonsense", status: 200},
		{name: "an answer", body: `{"jsonrpc":"2.0","id":1,"result":{}}`, status: 400, code: -32600},
		{name: "GET", method: "GET", status: 405},
		{name: "DELETE", method: "DELETE", status: 405},
		{name: "initialize", body: c.message("1", "initialize", "", `"protocolVersion":"2026-07-28"`), status: 404, code: -32601},
		{name: "discover", body: c.message("1", "server/discover", ""), status: 200},
		{name: "news as JSON", body: c.message("1", "subscriptions/listen", "", `"notifications":{}`), header: "Accept: application/json", status: 406},
	})
	answer := c.do(func() *http.Request {
		q := c.request(t.Context(), "POST", call)
		q.Header.Set("Mcp-Name", "other")
		return q
	}())
	if got := messages(t, answer); string(got[0].ID) != "9007199254740993" {
		t.Errorf("a refusal has the id %s", got[0].ID)
	}
}

func TestRefusalsAndLogHideTheClientsWords(t *testing.T) {
	const secret = "SECRET"
	var log bytes.Buffer
	r := newTeam().start(t, func(o *Options) {
		o.Hide = func(words string) string { return strings.ReplaceAll(words, secret, "[redacted]") }
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	for _, modern := range eras {
		c := r.connect("alice", modern)
		for _, body := range []string{
			c.message("1", secret+strings.Repeat("m", 10_000), ""), c.call("1", secret+strings.Repeat("m", 10_000), ""),
		} {
			q := c.request(t.Context(), http.MethodPost, body)
			for _, mismatch := range []bool{false, true} {
				if mismatch {
					q = c.request(t.Context(), http.MethodPost, body)
					q.Header.Set("Mcp-Method", "other")
				}
				answer := c.do(q)
				got, err := io.ReadAll(answer.Body)
				if err != nil || len(got) > 800 || strings.Contains(string(got), secret) || !strings.Contains(string(got), "[redacted]") && !mismatch {
					t.Errorf("%.30s, modern %t, mismatch %t: %d bytes, %.300s %v", body, modern, mismatch, len(got), got, err)
				}
			}
		}
	}
	r.http.Close() // when all is logged
	if got := log.String(); strings.Contains(got, secret) || !strings.Contains(got, "[redacted]") {
		t.Errorf("the log has %s", got)
	}
}

func TestHeadersUpTo20251125(t *testing.T) {
	r := newTeam().start(t, nil)
	c := r.connect("alice", false)
	r.try(t, c, []row{
		{name: "no version", body: ping, status: 200},
		{name: "the version", body: ping, header: "Mcp-Protocol-Version: 2025-11-25", status: 200},
		{name: "an older version", body: ping, header: "Mcp-Protocol-Version: 2025-03-26", status: 200},
		{name: "an unknown version", body: ping, header: "Mcp-Protocol-Version: 1999-01-01", status: 400, code: -32600},
		{name: "GET of an unknown version", method: "GET", header: "Mcp-Protocol-Version: 1999-01-01", status: 400},
		{name: "DELETE of an unknown version", method: "DELETE", header: "Mcp-Protocol-Version: 1999-01-01", status: 400},
		{name: "GET that takes no events", method: "GET", header: "Accept: application/json", status: 406},
		{name: "an answer", body: `{"jsonrpc":"2.0","id":1,"result":{}}`, status: 202},
		{name: "an answer to another's session", body: `{"jsonrpc":"2.0","id":1,"result":{}}`, header: "Authorization: Bearer bob", status: 404},
		{name: "an empty answer", body: `{"jsonrpc":"2.0","id":1}`, status: 202},
		{name: "a preflight", method: "OPTIONS", header: "Authorization:\nMcp-Session-Id:", status: 204},
	})
}

func TestBodies(t *testing.T) {
	const most = 1000
	r := newTeam().start(t, func(o *Options) { o.MaxBody = most })
	c := &client{t: t, r: r, user: "alice"}
	fits := ping + strings.Repeat(" ", most-len(ping))
	r.try(t, c, []row{
		{name: "as long as can be", body: fits, status: 200},
		{name: "too long", body: fits + " ", status: 413},
		{name: "too long, and nobody's", body: fits + " ", header: "Authorization:", status: 401},
	})
	for body, status := range map[string]int{fits: 200, fits + " ": 413} { // in chunks, without a length
		q := c.request(t.Context(), "POST", body)
		q.Body, q.ContentLength = io.NopCloser(strings.NewReader(body)), -1
		if answer := c.do(q); answer.StatusCode != status {
			t.Errorf("%d bytes in chunks: %s, want %d", len(body), answer.Status, status)
		}
	}
	if r.web.bodies != 0 || len(r.web.bodiesOf) > 0 {
		t.Errorf("%d bytes are held for nothing, %v", r.web.bodies, r.web.bodiesOf)
	}
	large := newTeam().start(t, nil)
	with := func(params string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":` + params + `}}`
	}
	large.try(t, &client{t: t, r: large, user: "alice"}, []row{
		{name: "many values", body: with("[" + strings.Repeat("[],", maxValues/2+1) + "[]]"), status: 413},
		{name: "many commas in a string", body: with(`"\"` + strings.Repeat(",[{", maxValues) + `"`), status: 200},
	})
	c = &client{t: t, r: large, user: "alice"}
	some := ping + strings.Repeat(" ", smallBody)
	large.web.hold("bob", maxBodies/2-int64(len(some)))
	large.web.hold("carol", maxBodies/2)
	large.try(t, c, []row{
		{name: "there is just room", body: some, status: 200},
		{name: "there is no room", body: some + " ", status: 503, answer: "Retry-After: " + retryAfter},
		{name: "a small one needs none", body: ping, status: 200},
	})
	if n := large.web.bodies; n != maxBodies-int64(len(some)) {
		t.Errorf("%d bytes are held", n)
	}
	large.web.hold("carol", -maxBodies/2)
	for user, status := range map[string]int{"alice": 200, "bob": 503} { // bob has his half
		large.try(t, &client{t: t, r: large, user: user}, []row{{name: user, body: some + " ", status: status}})
	}
}

func TestRate(t *testing.T) {
	r := newTeam().start(t, func(o *Options) { o.CallsPerMinute = 3 })
	alice := &client{t: t, r: r, user: "alice"}
	r.try(t, alice, []row{
		{name: "1", body: ping, status: 200}, {name: "2", body: ping, status: 200}, {name: "3", body: ping, status: 200},
		{name: "4", body: ping, status: 429, answer: "Retry-After: 20"}, {name: "5", body: ping, status: 429, answer: "Retry-After: 20"},
	})
	r.try(t, &client{t: t, r: r, user: "bob"}, []row{{name: "another", body: ping, status: 200}})
}

// A page could give its own name this computer's address.
func TestWithoutAuthentication(t *testing.T) {
	r := newTeam().start(t, func(o *Options) { o.Identity = nil })
	c := &client{t: t, r: r}
	var rows []row
	for host, status := range map[string]int{"localhost": 200, "127.0.0.1:8080": 200, "[::1]:80": 200, "localhost:1": 200, "evil.example": 403, "evil.example:8080": 403, "127.0.0.1.evil.example": 403, "localhost.evil.example": 403} {
		rows = append(rows, row{name: host, body: ping, header: "Host: " + host, status: status})
	}
	for origin, status := range map[string]int{"http://localhost:8080": 200, "http://localhost:3000": 403, "https://localhost:8080": 403, "http://evil.example": 403, "null": 403} {
		rows = append(rows, row{name: "a page of " + origin, body: ping, header: "Host: localhost:8080\nOrigin: " + origin, status: status})
	}
	r.try(t, c, rows)
	if got := messages(t, c.post(t.Context(), c.call("1", "hello", ""))); got[0].text() != "hello " {
		t.Errorf("got %+v", got)
	}
}

func TestPreflight(t *testing.T) {
	r := newTeam().start(t, func(o *Options) { o.AllowedOrigins = []string{"https://app.example"} })
	c := &client{t: t, r: r}
	q := c.request(t.Context(), "OPTIONS", "")
	q.Header = http.Header{"Origin": {"https://app.example"}, "Access-Control-Request-Method": {"POST"}}
	answer := c.do(q)
	for _, name := range []string{"Authorization", "Content-Type", "Mcp-Protocol-Version", "Mcp-Session-Id", "Mcp-Method", "Mcp-Name"} {
		if answer.StatusCode != 204 || !strings.Contains(answer.Header.Get("Access-Control-Allow-Headers"), name) {
			t.Errorf("%s: %s %s", name, answer.Status, answer.Header)
		}
	}
}

func TestWebhook(t *testing.T) {
	secret := []byte("secret")
	var came []string
	var failure error
	r := newTeam().start(t, func(o *Options) {
		o.WebhookSecret = secret
		o.Callback = func(_ context.Context, nonce, requestID string) error {
			came = append(came, nonce+" "+requestID)
			return failure
		}
	})
	url := CallbackURL(r.http.URL, secret)("NONCE")
	const id = "heygen-video-agent_01a214f9-5094-7000-80fa-00dfb5a09567"
	const good = `{"request_id":"` + id + `","status":"COMPLETED"}`
	for _, tt := range []struct {
		name, url, body string
		failure         error
		status, came    int
	}{
		{"good", url, good, nil, 202, 1},
		{"again", url, good, nil, 202, 1},
		{"the database is away", url, good, &pixazo.Error{Code: pixazo.JournalUnavailable}, 503, 1},
		{"late", url, good, context.DeadlineExceeded, 503, 1},
		{"another nonce", strings.Replace(url, "NONCE", "NONCF", 1), good, nil, 404, 0},
		{"another MAC", url[:len(url)-2] + "AA", good, nil, 404, 0},
		{"another secret", CallbackURL(r.http.URL, []byte("other"))("NONCE"), good, nil, 404, 0},
		{"no MAC", r.http.URL + "/webhook/NONCE", good, nil, 404, 0},
		{"no nonce", CallbackURL(r.http.URL, secret)(""), good, nil, 404, 0},
		{"no request_id", url, `{}`, nil, 400, 0},
		{"a bad request_id", url, `{"request_id":"../x"}`, nil, 400, 0},
		{"no JSON", url, `x`, nil, 400, 0},
		{"64 kB", url, good + strings.Repeat(" ", maxCallback-len(good)), nil, 202, 1},
		{"more than 64 kB", url, good + strings.Repeat(" ", maxCallback-len(good)+1), nil, 400, 0},
	} {
		came, failure = nil, tt.failure
		answer, err := http.Post(tt.url, "application/json", strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != tt.status || len(came) != tt.came || tt.came > 0 && came[0] != "NONCE "+id {
			t.Errorf("%s: %s, came %q", tt.name, answer.Status, came)
		}
	}
	if answer := get(t, url); answer != nil {
		if got, err := http.DefaultClient.Do(answer); err != nil || got.StatusCode != 405 {
			t.Errorf("GET: %v %v", got.Status, err)
		}
	}
}

func TestOtherAddresses(t *testing.T) {
	var notReady error
	r := newTeam().replica(t, func(o *Options) {
		o.PublicURL = "https://mcp.example.com/tools/mcp"
		o.Ready = func(context.Context) error { return notReady }
		o.UsageToken = "operator"
		o.Usage = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "used") })
		o.Videos = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "video") })
	})
	ask := func(method, path, token string) *httptest.ResponseRecorder {
		q := httptest.NewRequest(method, "http://127.0.0.1"+path, nil)
		if token != "" {
			q.Header.Set("Authorization", "bearer "+token) // in any case
		}
		w := httptest.NewRecorder()
		r.web.ServeHTTP(w, q)
		return w
	}
	for _, tt := range []struct {
		method, path, token string
		status              int
		body                string
	}{
		{"GET", "/healthz", "", 200, ""},
		{"GET", "/readyz", "", 200, ""},
		{"GET", "/metrics", "", 404, ""}, // has an address of its own
		{"GET", "/", "", 404, ""},
		{"GET", "/usage", "", 401, ""},
		{"GET", "/usage", "alice", 401, ""},
		{"GET", "/usage", "operator", 200, "used"},
		{"POST", "/usage", "operator", 405, ""},
		{"GET", "/videos/x/1", "", 200, "video"},
		{"GET", "/.well-known/oauth-protected-resource", "", 200, `{"resource":"x"}`},
		{"GET", "/.well-known/oauth-protected-resource/tools/mcp", "", 200, `{"resource":"x"}`},
		{"PUT", "/tools/mcp", "alice", 405, ""},
		{"PUT", "/mcp", "alice", 405, ""},
		{"POST", "/webhook/x.y", "", 404, ""}, // no secret
	} {
		if w := ask(tt.method, tt.path, tt.token); w.Code != tt.status || tt.body != "" && w.Body.String() != tt.body {
			t.Errorf("%s %s: %d %q", tt.method, tt.path, w.Code, w.Body)
		}
	}
	root := newTeam().replica(t, func(o *Options) { o.PublicURL = "https://mcp.example.com" })
	for path, want := range map[string]int{"/": 401, "/mcp": 401, "/x": 404, "/.well-known/oauth-protected-resource": 200} {
		method := map[bool]string{true: "GET", false: "POST"}[want == 200]
		w := httptest.NewRecorder()
		if root.web.ServeHTTP(w, httptest.NewRequest(method, path, nil)); w.Code != want {
			t.Errorf("at the root, %s: %d, want %d", path, w.Code, want)
		}
	}
	notReady = errors.New("connection refused")
	if w := ask("GET", "/readyz", ""); w.Code != 503 {
		t.Errorf("/readyz without the database: %d", w.Code)
	}
	r.web.Leave()
	if w := ask("GET", "/healthz", ""); w.Code != 200 || w.Header().Get("Connection") != "close" {
		t.Errorf("an answer of a server that ends: %d, %v", w.Code, w.Header())
	}
}

func TestMetrics(t *testing.T) {
	r := newTeam().start(t, nil)
	c := r.connect("alice", false)
	for _, tool := range []string{"hello", "hello", "fails", `no\"such{tool}`} {
		c.post(t.Context(), c.message("1", "tools/call", "", `"name":"`+tool+`"`))
	}
	c.begin(t.Context(), "2", "x")
	c.cancel("2")
	r.wait(r.ended)
	r.web.Drain()
	_ = r.http.Config.Shutdown(t.Context())
	var out bytes.Buffer
	r.web.o.Metrics.WritePrometheus(&out)
	for _, want := range []string{
		`pixazo_mcp_calls_total{tool="hello",outcome="ok"} 2`,
		`pixazo_mcp_calls_total{tool="fails",outcome="not_found"} 1`,
		`pixazo_mcp_calls_total{tool="unknown",outcome="refused"} 1`,
		`pixazo_mcp_calls_total{tool="block",outcome="cancelled"} 1`,
		`pixazo_mcp_calls_open{tool="block"} 0`,
		`pixazo_mcp_sessions_opened_total 1`,
		`pixazo_mcp_requests_open 0`,
		`pixazo_http_requests_total{route="/mcp",code="202"} 2`,
	} {
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}

var _ Sessions = (*journal.Journal)(nil)
