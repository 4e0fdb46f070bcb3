package resources

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"pixazo-mcp/internal/jobs"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

func TestThePlayerIsReadInBothEras(t *testing.T) {
	o := Options{MediaOrigins: []string{"https://*.media.example", "http://127.0.0.1:8080"}}
	for _, era := range eras {
		s := server.NewMCPServer("test", "1", server.WithResourceCapabilities(true, true))
		registerPlayer(s, o)
		a := askServer(t, s, era.meta, "resources/read", map[string]any{"uri": jobs.PlayerURI})
		var got struct {
			Contents []struct {
				URI, MIMEType, Text string
				Meta                map[string]any `json:"_meta"`
			}
		}
		if err := json.Unmarshal(a.Result, &got); err != nil || len(got.Contents) != 1 {
			t.Fatalf("%s: %+v, %v", era.name, a, err)
		}
		c := got.Contents[0]
		if c.URI != jobs.PlayerURI || c.MIMEType != "text/html;profile=mcp-app" || c.Text != playerFor(o) {
			t.Errorf("%s: got %s, %s, %d bytes", era.name, c.URI, c.MIMEType, len(c.Text))
		}
		csp := map[string]any{"resourceDomains": []any{"https://*.media.example", "http://127.0.0.1:8080"}}
		want := map[string]any{"ui": map[string]any{"csp": csp, "permissions": map[string]any{"clipboardWrite": map[string]any{}}, "prefersBorder": true}}
		if !reflect.DeepEqual(c.Meta, want) {
			t.Errorf("%s: got _meta %v, want %v", era.name, c.Meta, want)
		}
	}
}

func TestThePlayerKnowsTheHTTPOriginsOnly(t *testing.T) {
	for _, tt := range []struct {
		origins []string
		want    string
	}{
		{nil, "[]"},
		{[]string{"https://*.r2.dev", "https://gateway.example"}, "[]"},
		{[]string{"https://*.r2.dev", "http://127.0.0.1:8080", "http://localhost:80"}, `["http://127.0.0.1:8080","http://localhost"]`},
		{[]string{"http://</script>", "http://a\"b"}, `["http://\u003c/script\u003e","http://a\"b"]`},
		{[]string{"http://a&b"}, `["http://a\u0026b"]`},
	} {
		if got := playerFor(Options{MediaOrigins: tt.origins}); !strings.Contains(got, `const server = {"local":`+tt.want+`,"missing":null,"team":false}; //`) || strings.Count(got, "const server = ") != 1 {
			t.Errorf("%q: want %s; got %s", tt.origins, tt.want, regexp.MustCompile("const server.*").FindString(got))
		}
	}
}

func TestThePlayerIsListed(t *testing.T) {
	for _, era := range eras {
		a := ask(t, era.meta, "resources/list", map[string]any{})
		var got struct{ Resources []mcp.Resource }
		if err := json.Unmarshal(a.Result, &got); err != nil {
			t.Fatalf("%+v: %v", a, err)
		}
		found := false
		for _, r := range got.Resources {
			found = found || r.URI == jobs.PlayerURI && r.MIMEType == appType && r.Annotations != nil &&
				reflect.DeepEqual(r.Annotations.Audience, []mcp.Role{mcp.RoleUser}) && *r.Annotations.Priority == 0.1
		}
		if !found {
			t.Errorf("%s: got %+v", era.name, got.Resources)
		}
	}
}

func TestTheGalleryIsInThePage(t *testing.T) {
	for text, want := range map[string]int{
		`<section id="gallery"`: 1, "function renderList()": 1, "// ---- The gallery": 1, "<script": 1, "</script>": 1, "</html>": 1, "gallery.html": 0,
	} {
		if n := strings.Count(playerPage(), text); n != want {
			t.Errorf("%q is there %d times, want %d", text, n, want)
		}
	}
}

// The page is read by every client that shows it, and it runs under a policy
// that lets it load nothing but videos and their pictures.
func TestThePlayerPageIsSmallAndSelfContained(t *testing.T) {
	if n := len(playerPage()); n >= 40_000 {
		t.Errorf("it has %d bytes", n)
	}
	for _, tt := range []struct{ pattern, why string }{
		{`(?i)https?://`, "an address, perhaps one that is requested"},
		{`(?i)<(link|img|iframe|object|embed|base|source|track|form)\b`, "an element that requests something"},
		{`(?i)<(script|video)\b[^>]*\bsrc\b`, "a source in the page"},
		{`@import|\burl\(`, "a style that requests something"},
		{`\b(fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import)\s*\(`, "a request"},
		{`(?i)<[^>]*\son[a-z]+\s*=`, "an inline event handler"},
		{`(?i)\.on[a-z]+\s*=[^=]`, "an event handler by property"},
		{`innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|setHTML|srcdoc`, "text that becomes HTML"},
		{`\beval\b|new Function|set(Timeout|Interval)\(\s*['"` + "`" + `]`, "text that becomes code"},
		{`localStorage|sessionStorage|indexedDB|document\.cookie`, "storage that a sandboxed frame lacks"},
	} {
		if found := regexp.MustCompile(tt.pattern).FindString(playerPage()); found != "" {
			t.Errorf("%q: %s", found, tt.why)
		}
	}
}
