// This file tests what a client sees of the tools before it calls one: the
// list, its schemas and its hints, on the wire. testdata/tools_list.json is
// what a model reads; after a change that is meant, write it anew with
//
//	go test ./tools -update
//
// It also holds what all tests of this package share: a server as the program
// makes it, over a gateway that needs no network.

package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/e2e/pgtest"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

var update = flag.Bool("update", false, "write testdata/tools_list.json and the table in ../README.md anew")

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// house is a server with its gateway.
type house struct {
	t       testing.TB
	srv     *server.MCPServer
	keyFile string

	mu     sync.Mutex
	answer func(*http.Request) (*http.Response, error) // the gateway
	posts  []string                                    // the bodies of the submissions that reached it
	gets   int
}

const keyFile = "/home/ada/.pixazo/api-key"

// newHouse makes a server like the program's.
func newHouse(t testing.TB, answer func(*http.Request) (*http.Response, error)) *house {
	t.Helper()
	h := &house{t: t, answer: answer, keyFile: keyFile}
	client, err := pixazo.NewClient(pixazo.Config{
		Key:       func() (pixazo.Key, error) { return pixazo.NewKey("secret-key") },
		Transport: h,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.serve(newTracker(t, client), 50*time.Second)
	return h
}

// newTracker keeps its journal as long as the test.
func newTracker(t testing.TB, gateway jobs.Gateway) *jobs.Tracker {
	t.Helper()
	tracker := jobs.New(gateway, journal.New(journal.Options{Dir: t.TempDir(), Gateway: "test"}), jobs.Options{Rand: func() float64 { return 0.5 }})
	t.Cleanup(func() {
		tracker.Drain()
		tracker.Finish(context.Background())
		tracker.Close()
	})
	return tracker
}

// directly submits by a tracker, as a server without keepers does.
func directly(tracker *jobs.Tracker) func(context.Context, pixazo.VideoRequest, bool, string, time.Duration) (jobs.Submission, error) {
	return func(ctx context.Context, video pixazo.VideoRequest, allowDuplicate bool, nonce string, listen time.Duration) (jobs.Submission, error) {
		p, err := pixazo.Prepare(video)
		if err != nil {
			return jobs.Submission{}, err
		}
		return tracker.Submit(ctx, p, jobs.SubmitOptions{AllowDuplicate: allowDuplicate, Nonce: nonce, Listen: listen})
	}
}

func (h *house) serve(tracker *jobs.Tracker, maxWait time.Duration) {
	h.srv = server.NewMCPServer("pixazo-mcp", "0",
		server.WithInstructions(Instructions(nil)),
		server.WithToolCapabilities(false),
		server.WithRecovery(),
	)
	Register(h.srv, Config{Tracker: tracker, Submit: directly(tracker), MaxWait: maxWait, KeyFile: h.keyFile})
}

// RoundTrip is the gateway's end of the wire.
func (h *house) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			h.t.Error(err)
		}
		h.posts = append(h.posts, string(body))
	} else {
		h.gets++
	}
	gateway := h.answer
	h.mu.Unlock()
	return gateway(r)
}

// from gives the server another gateway.
func (h *house) from(gateway func(*http.Request) (*http.Response, error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = gateway
}

func answer(status int, body string) (*http.Response, error) {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

const testID = "heygen-video-agent_019d0000-0000-7000-8000-000000000000"

// accept is a gateway that accepts each submission and has a job in the works.
func accept(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost {
		return answer(200, `{"request_id":"`+testID+`","status":"QUEUED"}`)
	}
	return answer(200, `{"request_id":"`+testID+`","status":"PROCESSING"}`)
}

// result is a tool's answer as a client sees it.
type result struct {
	Content []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	} `json:"content"`
	Structured map[string]any `json:"structuredContent"`
	IsError    bool           `json:"isError"`
}

func (r result) text() string {
	if len(r.Content) != 1 || r.Content[0].Type != "text" {
		return "not one text"
	}
	return r.Content[0].Text
}

// request sends one JSON-RPC request and decodes its result.
func (h *house) request(ctx context.Context, method string, params, result any) {
	h.t.Helper()
	line, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		h.t.Fatal(err)
	}
	raw, err := json.Marshal(h.srv.HandleMessage(ctx, line))
	if err != nil {
		h.t.Fatal(err)
	}
	var got struct{ Result, Error json.RawMessage }
	if err := json.Unmarshal(raw, &got); err != nil {
		h.t.Fatal(err)
	}
	if got.Error != nil {
		h.t.Fatalf("%s answered the error %s", method, got.Error)
	}
	if err := json.Unmarshal(got.Result, result); err != nil {
		h.t.Fatal(err)
	}
}

// call calls a tool with arguments as JSON; "" leaves them out.
func (h *house) call(ctx context.Context, tool, arguments string) result {
	h.t.Helper()
	params := map[string]any{"name": tool}
	if arguments != "" {
		params["arguments"] = json.RawMessage(arguments)
	}
	var r result
	h.request(ctx, "tools/call", params, &r)
	return r
}

// listed is a tool as tools/list shows it.
type listed struct {
	Name         string         `json:"name"`
	Title        string         `json:"title"`
	Description  string         `json:"description"`
	InputSchema  map[string]any `json:"inputSchema"`
	OutputSchema map[string]any `json:"outputSchema"`
	Annotations  struct {
		Title       string `json:"title"`
		ReadOnly    *bool  `json:"readOnlyHint"`
		Destructive *bool  `json:"destructiveHint"`
		Idempotent  *bool  `json:"idempotentHint"`
		OpenWorld   *bool  `json:"openWorldHint"`
	} `json:"annotations"`
}

func list(t *testing.T) []listed {
	t.Helper()
	var r struct{ Tools []listed }
	newHouse(t, accept).request(t.Context(), "tools/list", map[string]any{}, &r)
	return r.Tools
}

func TestToolsListIsTheCommittedOne(t *testing.T) {
	const golden = "testdata/tools_list.json"
	// Both protocol eras must see the same list.
	modern := map[string]any{"_meta": map[string]any{
		mcp.MetaKeyProtocolVersion:    "2026-07-28",
		mcp.MetaKeyClientCapabilities: map[string]any{},
		mcp.MetaKeyClientInfo:         map[string]any{"name": "test", "version": "1"},
	}}
	for _, params := range []map[string]any{{}, modern} {
		for range 3 { // the order is fixed
			var r struct {
				Tools json.RawMessage `json:"tools"`
			}
			newHouse(t, accept).request(t.Context(), "tools/list", params, &r)
			var got bytes.Buffer
			if err := json.Indent(&got, r.Tools, "", "  "); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			// A checkout may have given the file the line ends of its system.
			want = bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))
			if !bytes.Equal(got.Bytes(), want) {
				t.Fatalf("tools/list differs from %s (-update writes it anew):\n%s", golden, firstDifference(got.String(), string(want)))
			}
		}
	}
}

// firstDifference shows where two texts part.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return " got: " + g[i] + "\nwant: " + w[i]
		}
	}
	return "one is longer than the other"
}

func TestToolsHaveTitlesAndAllHints(t *testing.T) {
	const yes, no = true, false
	want := []struct {
		name                                         string
		readOnly, destructive, idempotent, openWorld bool
	}{
		{"download_video", no, yes, yes, yes}, // with overwrite it replaces a file,
		{"generate_video", no, yes, no, yes},
		{"get_status", yes, no, yes, yes},
		{"list_videos", yes, no, yes, no},
		{"wait_for_video", yes, no, yes, yes},
	}
	tools := list(t)
	if len(tools) != len(want) {
		t.Fatalf("%d tools, want %d", len(tools), len(want))
	}
	for i, tool := range tools {
		w := want[i]
		if tool.Name != w.name {
			t.Errorf("tool %d is %s, want %s", i, tool.Name, w.name)
		}
		if tool.Title == "" || tool.Annotations.Title != tool.Title {
			t.Errorf("%s: titles %q and %q, want one and the same", tool.Name, tool.Title, tool.Annotations.Title)
		}
		for _, hint := range []struct {
			name string
			got  *bool
			want bool
		}{
			{"readOnlyHint", tool.Annotations.ReadOnly, w.readOnly},
			{"destructiveHint", tool.Annotations.Destructive, w.destructive},
			{"idempotentHint", tool.Annotations.Idempotent, w.idempotent},
			{"openWorldHint", tool.Annotations.OpenWorld, w.openWorld},
		} {
			if hint.got == nil || *hint.got != hint.want {
				t.Errorf("%s: %s is left out or wrong, want %v", tool.Name, hint.name, hint.want)
			}
		}
		for _, schema := range []map[string]any{tool.InputSchema, tool.OutputSchema} {
			if schema["type"] != "object" {
				t.Errorf("%s: a schema has type %v, want object", tool.Name, schema["type"])
			}
		}
	}
}

// Each rule stands for a client that fails on what it forbids.
func TestSchemasWorkInEveryClient(t *testing.T) {
	for _, tool := range list(t) {
		checkSchema(t, tool.Name+".inputSchema", tool.InputSchema)
		checkSchema(t, tool.Name+".outputSchema", tool.OutputSchema)
	}
}

func TestSchemaCheckFindsWhatItForbids(t *testing.T) {
	for _, bad := range []string{
		`true`,
		`{"type":"object","$schema":"https://json-schema.org/draft/2020-12/schema"}`,
		`{"$ref":"#/$defs/x"}`,
		`{"type":["string","null"]}`,
		`{"description":"no type"}`,
		`{"type":"string","const":"x"}`,
		`{"type":"object","oneOf":[]}`, `{"type":"object","anyOf":[]}`, `{"type":"object","allOf":[]}`,
		`{"type":"array"}`, `{"type":"array","items":true}`, `{"type":"array","items":{"type":"array"}}`,
		`{"type":"object","additionalProperties":true}`,
		`{"type":"object","properties":{"x":true}}`,
		`{"type":"object","properties":{"xY":{"type":"string"}}}`,
		`{"type":"object","properties":{"x":{"type":["string","null"]}}}`,
	} {
		var schema any
		if err := json.Unmarshal([]byte(bad), &schema); err != nil {
			t.Fatal(err)
		}
		if len(schemaFaults("x", schema)) == 0 {
			t.Errorf("nothing found wrong with %s", bad)
		}
	}
}

func checkSchema(t *testing.T, where string, schema any) {
	t.Helper()
	for _, fault := range schemaFaults(where, schema) {
		t.Error(fault)
	}
}

var (
	validName     = regexp.MustCompile(`^[a-z_]{1,59}$`)
	validProperty = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,58}$`) // sha256
)

// schemaFaults is what some client would fail on in a schema.
func schemaFaults(where string, schema any) (faults []string) {
	s, ok := schema.(map[string]any)
	if !ok {
		return []string{where + ": not a schema object"}
	}
	for _, word := range []string{"$schema", "$ref", "$defs", "$id", "definitions", "oneOf", "anyOf", "allOf", "not", "const", "if"} {
		if _, has := s[word]; has {
			faults = append(faults, where+": has "+word)
		}
	}
	kind, ok := s["type"].(string)
	if !ok {
		faults = append(faults, where+": type is not one word")
	}
	if kind == "array" {
		faults = append(faults, schemaFaults(where+"[]", s["items"])...)
	}
	if extra, has := s["additionalProperties"]; has && extra != false {
		faults = append(faults, where+": additionalProperties is not false")
	}
	properties, _ := s["properties"].(map[string]any)
	for name, property := range properties {
		if !validProperty.MatchString(name) {
			faults = append(faults, where+": name "+name)
		}
		faults = append(faults, schemaFaults(where+"."+name, property)...)
	}
	return faults
}

func TestNamesAndTextsFitEveryClient(t *testing.T) {
	for _, tool := range list(t) {
		if !validName.MatchString(tool.Name) {
			t.Errorf("name %q", tool.Name)
		}
		if n := utf8.RuneCountInString(tool.Description); n == 0 || n >= 700 {
			t.Errorf("%s: description of %d characters, want fewer than 700", tool.Name, n)
		}
		for name, property := range tool.InputSchema["properties"].(map[string]any) {
			if text, _ := property.(map[string]any)["description"].(string); text == "" {
				t.Errorf("%s: argument %s has no description", tool.Name, name)
			}
		}
	}
	if n := utf8.RuneCountInString(Instructions(nil)); n > 2048 {
		t.Errorf("instructions of %d characters, want at most 2,048", n)
	}
}

// What every model reads in every chat is paid for by the user.
func TestWhatAModelSeesFitsIn6000Bytes(t *testing.T) {
	for name, team := range map[string]*Team{"own": nil, "team": {MaxBody: 8_000_000, Folder: func(string) string { return "" }}, "team that saves nothing": {}} {
		srv := server.NewMCPServer("pixazo-mcp", "0")
		Register(srv, Config{Team: team})
		n := len(Instructions(team))
		for _, tool := range srv.ListTools() {
			seen, err := text.JSON(map[string]any{"name": tool.Tool.Name, "description": tool.Tool.Description, "inputSchema": tool.Tool.RawInputSchema}, "")
			if err != nil {
				t.Fatal(err)
			}
			n += len(seen)
		}
		if n > 6000 {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
}

// Qwen Code shows a model no more than the first 160 characters of a
// description, and no instructions.
func TestDescriptionsBeginWithWhatDecides(t *testing.T) {
	for _, tool := range list(t) {
		begin := string([]rune(tool.Description)[:min(160, utf8.RuneCountInString(tool.Description))])
		for _, want := range map[string][]string{
			"generate_video": {"video from a prompt", "real money", "agree", "once", "timeout"},
			"get_status":     {"now", "URLs", "Free"},
			"wait_for_video": {"Waits", "only if the user wants", "5 to 45 minutes"},
			"list_videos":    {"submitted", "request_id"},
			"download_video": {"Saves", "finished video", "path", "expire"},
		}[tool.Name] {
			if !strings.Contains(begin, want) {
				t.Errorf("%s: %q is not in the first 160 characters, %q", tool.Name, want, begin)
			}
		}
	}
}

// Codex and others drop ranges and lengths from the schemas.
func TestLimitsAreSaidInWords(t *testing.T) {
	for _, tool := range list(t) {
		for name, p := range tool.InputSchema["properties"].(map[string]any) {
			property := p.(map[string]any)
			description := property["description"].(string)
			for _, limit := range []string{"maxLength", "maximum", "maxItems"} {
				if most, has := property[limit].(float64); has && name != "request_id" && !strings.Contains(description, thousands(int(most))) {
					t.Errorf("%s: the description of %s does not say %s %v: %s", tool.Name, name, limit, most, description)
				}
			}
		}
	}
}

// A model learns of the way through the tools from their texts alone.
func TestTextsNameTheOtherTools(t *testing.T) {
	var names []string
	texts := map[string]string{"instructions": Instructions(nil)}
	for _, tool := range list(t) {
		names = append(names, tool.Name)
		texts[tool.Name] = tool.Description
	}
	for _, name := range names {
		if !strings.Contains(Instructions(nil), name) {
			t.Errorf("the instructions don't name %s", name)
		}
	}
	for where, text := range texts {
		for _, word := range regexp.MustCompile(`\b[a-z]+(_[a-z]+)*_(video|videos|status)\b`).FindAllString(text, -1) {
			if !slices.Contains(names, word) {
				t.Errorf("%s names %s, which is not a tool", where, word)
			}
		}
	}
}
