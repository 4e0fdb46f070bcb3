// These tests hold the documented rules of a request, at their bounds, and
// that a refusal names the field, the rule and what came.

package pixazo

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pixazo-mcp/internal/text"
)

func TestRequestIsCheckedAgainstTheDocumentedRules(t *testing.T) {
	const anything = "p"
	files := func(n int) []string { return slices.Repeat([]string{"asset_1"}, n) }
	lengthRule := "prompt must have 1 to 10,000 characters; got "
	for _, tt := range []struct {
		name string
		req  VideoRequest
		want string // the message of the refusal; "" when there is none
	}{
		{"one character", VideoRequest{Prompt: "p"}, ""},
		{"one wide character", VideoRequest{Prompt: "🎬"}, ""},
		{"10,000 characters", VideoRequest{Prompt: strings.Repeat("a", 10_000)}, ""},
		{"10,000 characters of 4 bytes", VideoRequest{Prompt: strings.Repeat("🎬", 10_000)}, ""},
		{"10,001 characters", VideoRequest{Prompt: strings.Repeat("a", 10_001)}, lengthRule + "10001 characters"},
		{"10,001 characters of 4 bytes", VideoRequest{Prompt: strings.Repeat("🎬", 10_001)}, lengthRule + "10001 characters"},
		{"no prompt", VideoRequest{Mode: "chat"}, lengthRule + "nothing"},
		{"blank prompt", VideoRequest{Prompt: " \t\n\u3000"}, "prompt must say what the video should show; got only white space"},

		{"generate", VideoRequest{Prompt: anything, Mode: "generate"}, ""},
		{"chat", VideoRequest{Prompt: anything, Mode: "chat"}, ""},
		{"other mode", VideoRequest{Prompt: anything, Mode: "video"}, `mode must be one of generate, chat; got "video"`},
		{"mode in capitals", VideoRequest{Prompt: anything, Mode: "Chat"}, `mode must be one of generate, chat; got "Chat"`},
		{"long mode", VideoRequest{Prompt: anything, Mode: strings.Repeat("x", 5000)}, `mode must be one of generate, chat; got "` + strings.Repeat("x", 80) + `…"`},
		{"dirty mode", VideoRequest{Prompt: anything, Mode: "a\x1b[31m\nb\u202e"}, `mode must be one of generate, chat; got "a\x1b[31m\nb\u202e"`},

		{"landscape", VideoRequest{Prompt: anything, Orientation: "landscape"}, ""},
		{"portrait", VideoRequest{Prompt: anything, Orientation: "portrait"}, ""},
		{"other orientation", VideoRequest{Prompt: anything, Orientation: "square"}, `orientation must be one of landscape, portrait; got "square"`},

		{"free fields", VideoRequest{Prompt: anything, AvatarID: "a b", VoiceID: "ü", StyleID: "x/y", BrandKitID: "17"}, ""},
		{"20 files", VideoRequest{Prompt: anything, Files: files(20)}, ""},
		{"21 files", VideoRequest{Prompt: anything, Files: files(21)}, "files must have at most 20 items; got 21 items"},
		{"a bad file among good ones", VideoRequest{Prompt: anything, Files: []string{"a", "b", "c.pdf"}},
			`files[2] must be an http(s) URL, an asset ID (1 to 128 letters, digits, hyphens or underscores), or a data URI (data:<media type>;base64,<data>); got "c.pdf"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Prepare(tt.req)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e := checkError(t, err, InvalidArgument); e.Message != tt.want {
				t.Errorf("message %q, want %q", e.Message, tt.want)
			}
		})
	}
}

func TestFileIsURLAssetIDOrDataURI(t *testing.T) {
	longURL := "https://x.example/" + strings.Repeat("a", 8192-len("https://x.example/"))
	for _, good := range []string{
		"https://example.com/a.png", "http://example.com/a.png?b=c#d", "HTTPS://EXAMPLE.COM/", "https://example.com", longURL,
		"asset_1", "0123456789abcdef", "019d2f4e-77aa-7bcd-9e01-23456789abcd", strings.Repeat("a", 128), "DATA:image/png;BASE64,AAAA",
		"data:image/png;base64,AAAA", "data:image/png;base64,AA==", "data:image/png;base64,AAA=", "data:image/svg+xml;base64,+/09",
		"data:application/vnd.ms-powerpoint;base64,AAAA", "data:text/plain;charset=utf-8;base64,AAAA",
		"data:video/mp4;base64," + strings.Repeat("A", 1<<20),
	} {
		if rule := FileRule(good); rule != "" {
			t.Errorf("%.80q is refused: it %s", good, rule)
		}
	}
	for _, bad := range []string{
		"", " ", "slides.pdf", "./slides", "../x", "/etc/passwd", `C:\slides.pdf`, "~/slides", "a b", "asset_1\n", "ä", strings.Repeat("a", 129), "https://user:secret@example.com/a",
		"file:///etc/passwd", "ftp://example.com/a", "s3://bucket/key", "javascript:alert(1)", "https:", "https://", "https:///a", "https:a", "//example.com/a",
		"https://example.com/\x00", "https://example.com/\na", " https://example.com", longURL + "a",
		"data:", "data:,", "data:image/png,AAAA", "data:;base64,AAAA", "data:image;base64,AAAA", "data:image/png;base64", "data:image/png;base64,",
		"data:image/png;base64,AAA", "data:image/png;base64,A", "data:image/png;base64,=", "data:image/png;base64,A===", "data:image/png;base64,====",
		"data:image/png;base64,AAAA====", "data:image/png;base64,AA=A", "data:image/png;base64,AA A", "data:image/png;base64,AAA\n", "data:image/png;base64,AA-_",
		"data:image/png;base64,AAA\u00e9", "data:image/png; base64,AAAA",
		"data:image/" + strings.Repeat("x", 300) + ";base64,AAAA", "image/png;base64,AAAA", "xdata:image/png;base64,AAAA",
	} {
		if FileRule(bad) == "" {
			t.Errorf("%.80q is accepted", bad)
		}
	}
}

// TestFileRefusalNamesTheRuleOfItsKind: told of asset IDs, a model that sent
// bad base64 would not know what to mend.
func TestFileRefusalNamesTheRuleOfItsKind(t *testing.T) {
	const (
		anyKind = "must be an http(s) URL, an asset ID (1 to 128 letters, digits, hyphens or underscores), or a data URI (data:<media type>;base64,<data>)"
		head    = "must begin as a data URI does, data:<media type>;base64,"
		data    = "must have standard base64 behind the comma of its data URI: A-Z a-z 0-9 + / with = at the end, and no white space"
		address = "must be an http(s) URL with a host, without a password, of at most 8,192 characters"
	)
	for file, rule := range map[string]string{
		"":                                 anyKind,
		"slides.pdf":                       anyKind,
		"ftp://example.com/a":              anyKind,
		"data":                             "", // an asset ID like any other
		strings.Repeat("a", 128):           "",
		strings.Repeat("a", 129):           anyKind,
		"data:":                            head,
		"data:image/png,AAAA":              head,
		"DATA:image/png,AAAA":              head,
		"data:image/png; base64,AAAA":      head,
		"data:image/png;base64,":           data,
		"data:image/png;base64,AAA":        data,
		"data:image/png;base64,AA A":       data,
		"data:image/png;base64,AA-_":       data,
		"DATA:IMAGE/PNG;BASE64,AA-_":       data,
		"Data:Image/PNG;Base64,AAAA":       "",
		"https://":                         address,
		"https://user@example.com/a":       address,
		"https://user:secret@example.com/": address,
		"https://example.com/" + strings.Repeat("a", 8192): address,
		"https://example.com/@b?c=d@e":                     "",
	} {
		_, err := Prepare(VideoRequest{Prompt: "p", Files: []string{"asset_1", file}})
		if rule == "" {
			checkError(t, err, "")
		} else if e := checkError(t, err, InvalidArgument); e.Message != "files[1] "+rule+"; got "+text.Quote(file) {
			t.Errorf("%.80q: message %q, want the rule %q", file, e.Message, rule)
		}
	}
}

func TestLongFileIsShortenedInItsRefusal(t *testing.T) {
	_, err := Prepare(VideoRequest{Prompt: "p", Files: []string{"data:image/png;base64," + strings.Repeat("A", 1<<20) + "!"}})
	if e := checkError(t, err, InvalidArgument); len(e.Message) > 300 || !strings.Contains(e.Message, "…") {
		t.Errorf("message of %d bytes: %.300s", len(e.Message), e.Message)
	}
}

// TestSchemaTagsAgreeWithTheRules: clients see the tags, Prepare keeps
// the constants.
func TestSchemaTagsAgreeWithTheRules(t *testing.T) {
	typ := reflect.TypeFor[VideoRequest]()
	var sent []reflect.StructField
	for f := range typ.Fields() {
		if f.Tag.Get("json") != "-" {
			sent = append(sent, f)
		}
	}
	if len(sent) != 9 {
		t.Errorf("%d fields are sent, the documents have 9", len(sent))
	}
	tag := func(field, key string) (values []string) {
		f, ok := typ.FieldByName(field)
		if !ok {
			t.Fatalf("no field %s", field)
		}
		for part := range strings.SplitSeq(f.Tag.Get("jsonschema"), ",") {
			if k, v, _ := strings.Cut(part, "="); k == key {
				values = append(values, v)
			}
		}
		return values
	}
	for _, tt := range []struct {
		field, key string
		want       []string
	}{
		{"Prompt", "minLength", []string{"1"}},
		{"Prompt", "maxLength", []string{strconv.Itoa(MaxPromptLength)}},
		{"Mode", "enum", Modes},
		{"Mode", "default", []string{"generate"}},
		{"Orientation", "enum", Orientations},
		{"Files", "maxItems", []string{strconv.Itoa(MaxFiles)}},
		{"IncognitoMode", "default", []string{"false"}},
	} {
		if got := tag(tt.field, tt.key); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %s is %q, want %q", tt.field, tt.key, got, tt.want)
		}
	}
	for _, f := range sent {
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || (option == "omitempty") == (name == "prompt") {
			t.Errorf("%s: json tag %q; prompt alone is required", f.Name, f.Tag.Get("json"))
		}
		if f.Tag.Get("jsonschema_description") == "" {
			t.Errorf("%s has no description", f.Name)
		}
	}
}

func TestRequestIDIsChecked(t *testing.T) {
	for _, good := range []string{"a", testID, "A.b_c-9", "...", ".a", "a.", "-", strings.Repeat("a", 200)} {
		if err := CheckRequestID(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", ".", "..", " ", "a b", " a", "a\n", "\na", "a/b", "../a", `a\b`, "a?b", "a#b", "a%2fb", "a:b", "a\x00", "ä", "а", "a\u202e", "\xff", strings.Repeat("a", 201), "https://user:secret@example.com/a",
	} {
		e := checkError(t, CheckRequestID(bad), InvalidArgument)
		if !strings.HasPrefix(e.Message, "request_id must be 1 to 200 letters, digits, dots, hyphens or underscores; got ") {
			t.Errorf("%q: %q", bad, e.Message)
		}
	}
}

// A user may paste the key where the prompt belongs.
func TestRequestThatHoldsTheKeyIsRefused(t *testing.T) {
	s := newScript(t, answered(200, queuedBody))
	c := newTestClient(t, s)
	key, err := c.config.Key()
	if err != nil {
		t.Fatal(err)
	}
	for _, req := range []VideoRequest{{Prompt: "my key is " + key.value() + "."}, {Prompt: "p", Files: []string{"https://x.example/?k=" + key.value()}}} {
		_, err := submit(t.Context(), c, req)
		if e := checkError(t, err, InvalidArgument); strings.Contains(e.Message, key.value()) {
			t.Errorf("the error holds the key")
		}
	}
	if n := len(s.arrivals()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}
