package resources

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/pixazo"
)

// modernMeta is what a 2026-07-28 client sends in each request in place of an
// initialize handshake.
var modernMeta = map[string]any{
	mcp.MetaKeyProtocolVersion:    "2026-07-28",
	mcp.MetaKeyClientCapabilities: map[string]any{},
	mcp.MetaKeyClientInfo:         map[string]any{"name": "test", "version": "1"},
}

// eras are the parameters that both protocol eras want beside the method's own.
var eras = []struct {
	name string
	meta map[string]any
}{
	{"2025-11-25", nil},
	{"2026-07-28", modernMeta},
}

// answer is a JSON-RPC answer, as a client sees it.
type answer struct {
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// ask sends one request to a server that holds this package's resources, and
// no videos.
func ask(t *testing.T, meta map[string]any, method string, params map[string]any) answer {
	t.Helper()
	s, _, _ := newServer(t, &fakeGateway{})
	return askServer(t, s, meta, method, params)
}

func askServer(t *testing.T, s *server.MCPServer, meta map[string]any, method string, params map[string]any) answer {
	t.Helper()
	p := maps.Clone(params)
	if meta != nil {
		p["_meta"] = meta
	}
	line, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": p})
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(s.HandleMessage(context.Background(), line))
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return a
}

func TestListShowsTheGuideInBothEras(t *testing.T) {
	want := fmt.Sprintf(`[{"annotations":{"audience":["user","assistant"],"priority":0.8},`+
		`"uri":"pixazo://guide/prompting","name":"prompting-guide","title":"How to prompt the video agent",`+
		`"description":%q,"mimeType":"text/markdown","size":%d},`, guides[0].description, len(*guides[0].text))
	for _, era := range eras {
		t.Run(era.name, func(t *testing.T) {
			a := ask(t, era.meta, "resources/list", map[string]any{})
			var got struct {
				Resources json.RawMessage `json:"resources"`
			}
			if err := json.Unmarshal(a.Result, &got); err != nil {
				t.Fatalf("%+v: %v", a, err)
			}
			if !strings.Contains(string(got.Resources), want[1:]) {
				t.Errorf("got  %s\nwant %s in it", got.Resources, want[1:])
			}
		})
	}
}

func TestReadReturnsTheGuideInBothEras(t *testing.T) {
	for _, era := range eras {
		t.Run(era.name, func(t *testing.T) {
			a := ask(t, era.meta, "resources/read", map[string]any{"uri": jobs.PromptingGuideURI})
			var got struct {
				ResultType string `json:"resultType"`
				Contents   []struct{ URI, MIMEType, Text string }
			}
			if err := json.Unmarshal(a.Result, &got); err != nil {
				t.Fatalf("%+v: %v", a, err)
			}
			if len(got.Contents) != 1 || got.Contents[0] != (struct{ URI, MIMEType, Text string }{
				jobs.PromptingGuideURI, "text/markdown", *guides[0].text}) {
				t.Errorf("contents: %+v", got.Contents)
			}
			// Only a modern answer carries resultType: it shows that the
			// request was taken for what its _meta says.
			if modern := got.ResultType != ""; modern != (era.meta != nil) {
				t.Errorf("resultType %q", got.ResultType)
			}
		})
	}
}

func TestReadOfAnUnknownURIIsAJSONRPCError(t *testing.T) {
	for _, era := range eras {
		for _, uri := range []string{"pixazo://guide/none", "pixazo://guide/prompting/", "PIXAZO://guide/prompting", "file:///etc/passwd", ""} {
			a := ask(t, era.meta, "resources/read", map[string]any{"uri": uri})
			if a.Error == nil {
				t.Errorf("%s: %q: got %s, want a JSON-RPC error", era.name, uri, a.Result)
			}
		}
	}
}

// tableRow matches a row of the guide's parameter table: name and example.
var tableRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|.*\\| `([^`]+)` \\|$")

func TestGuideHasAValidExampleOfEveryParameter(t *testing.T) {
	examples := map[string]string{}
	for _, m := range tableRow.FindAllStringSubmatch(*guides[0].text, -1) {
		examples[m[1]] = m[2]
	}
	var fields []string
	for f := range reflect.TypeFor[pixazo.VideoRequest]().Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "-" {
			fields = append(fields, name)
		}
	}
	slices.Sort(fields)
	if got := slices.Sorted(maps.Keys(examples)); !slices.Equal(got, fields) {
		t.Fatalf("the guide's table has %q\nVideoRequest has     %q", got, fields)
	}

	for name, example := range examples {
		req := pixazo.VideoRequest{Prompt: "a prompt"}
		d := json.NewDecoder(bytes.NewBufferString(fmt.Sprintf("{%q:%s}", name, example)))
		d.DisallowUnknownFields()
		err := d.Decode(&req)
		if err == nil {
			_, err = pixazo.Prepare(req)
		}
		if err != nil {
			t.Errorf("example of %s: %v", name, err)
		}
	}
}

func TestGuideNamesStatusesValuesAndTools(t *testing.T) {
	words := slices.Concat(pixazo.Modes, pixazo.Orientations, []string{
		"QUEUED", "PROCESSING", "COMPLETED", "FAILED", "ERROR",
		"generate_video", "get_status", "wait_for_video", "request_id", "timeout_seconds", "video_urls", "submission_uncertain",
	})
	for _, w := range words {
		if !regexp.MustCompile(`\b` + w + `\b`).MatchString(*guides[0].text) {
			t.Errorf("the guide does not name %s", w)
		}
	}
}

// What decides whether the money was well spent is not left to be found out.
func TestGuidesSayWhatProducersKnow(t *testing.T) {
	for topic, phrases := range map[string][]string{
		"prompting": {"5 to 45 minutes", "150 words a minute", "30 seconds hold 75", "79 to 174 %", "a concept", "always narrates",
			"motion graphics", "stock footage", "generated pictures", "one idea", "what it is for", "A series", "github.com/heygen-com/skills"},
		"costs": {"$1 for 30 seconds", "Pixazo's may differ", "https://developers.heygen.com/docs/pricing", "--max-videos-per-day"},
	} {
		i := slices.IndexFunc(guides, func(g guide) bool { return g.topic == topic })
		text := strings.Join(strings.Fields(*guides[i].text), " ")
		for _, phrase := range phrases {
			if !strings.Contains(text, phrase) {
				t.Errorf("%s does not say %q", topic, phrase)
			}
		}
	}
}

// A client may hand the whole guide to its model.
func TestGuideIsShort(t *testing.T) {
	if n := len(*guides[0].text); n >= 6*1024 {
		t.Errorf("the guide has %d bytes", n)
	}
}
