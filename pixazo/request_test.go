// These tests hold the documented rules of a request, at their bounds, and
// that a refusal names the field, the rule and what came.

package pixazo

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
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
		{"blank prompt", VideoRequest{Prompt: " \t\n\u3000"}, "prompt must say what the video should show; got only white space, or what can't be seen"},
		{"invisible prompt", VideoRequest{Prompt: "\u200b \ufeff\u00ad\x07"}, "prompt must say what the video should show; got only white space, or what can't be seen"},

		{"prompt of letters that can't be seen", VideoRequest{Prompt: "\u3164\u2800 \ufe0f\uffa0"}, "prompt must say what the video should show; got only white space, or what can't be seen"},
		{"generate", VideoRequest{Prompt: anything, Mode: "generate"}, ""},
		{"chat", VideoRequest{Prompt: anything, Mode: "chat"}, ""},
		{"other mode", VideoRequest{Prompt: anything, Mode: "video"}, `mode must be one of generate, chat; got "video"`},
		{"mode in capitals", VideoRequest{Prompt: anything, Mode: "Chat"}, ""},
		{"long mode", VideoRequest{Prompt: anything, Mode: strings.Repeat("x", 5000)}, `mode must be one of generate, chat; got "` + strings.Repeat("x", 80) + `…"`},
		{"dirty mode", VideoRequest{Prompt: anything, Mode: "a\x1b[31m\nb\u202e"}, `mode must be one of generate, chat; got "a\x1b[31m\nb\u202e"`},

		{"landscape", VideoRequest{Prompt: anything, Orientation: "landscape"}, ""},
		{"portrait", VideoRequest{Prompt: anything, Orientation: "portrait"}, ""},
		{"other orientation", VideoRequest{Prompt: anything, Orientation: "square"}, `orientation must be one of landscape, portrait; got "square"`},

		{"free fields", VideoRequest{Prompt: anything, AvatarID: "a b", VoiceID: "ü", StyleID: "x/y", BrandKitID: "17"}, ""},
		{"20 files", VideoRequest{Prompt: anything, Files: files(20)}, ""},
		{"21 files", VideoRequest{Prompt: anything, Files: files(21)}, "files must have at most 20 items; got 21 items"},
		{"a bad file among good ones", VideoRequest{Prompt: anything, Files: []string{"asset_1", "ast_2", "c.pdf"}}, "files[2] " + anyForm + `; got "c.pdf"`},

		{"NUL in the prompt", VideoRequest{Prompt: "a\x00b"}, `prompt must be valid UTF-8 without NUL characters; got "a\x00b"`},
		{"NUL in an ID", VideoRequest{Prompt: anything, StyleID: "\x00"}, `style_id must be valid UTF-8 without NUL characters; got "\x00"`},
		{"NUL in a mode", VideoRequest{Prompt: anything, Mode: "chat\x00"}, `mode must be one of generate, chat; got "chat\x00"`},
		{"NUL in an asset ID", VideoRequest{Prompt: anything, Files: []string{"asset_1\x00"}}, "files[0] " + anyForm + `; got "asset_1\x00"`},
		{"NUL in a URL", VideoRequest{Prompt: anything, Files: []string{"https://example.com/\x00"}}, "files[0] " + urlForm + `; got "https://example.com/\x00"`},
		{"bad UTF-8", VideoRequest{Prompt: anything, VoiceID: "a\xff"}, `voice_id must be valid UTF-8 without NUL characters; got "a\xff"`},
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

// Models write these words for an ID that they do not have; sent, they would be
// paid for. A prompt is never touched.
func TestIDsThatSayNoneAreLeftOut(t *testing.T) {
	for _, none := range []string{"", " ", "auto", "AUTO", "null", "NULL ", "none", " None", "undefined", "Undefined\n"} {
		req := VideoRequest{Prompt: "null", AvatarID: none, VoiceID: none, StyleID: none, BrandKitID: none}
		if got, want := sent(t, req), `{"prompt":"null"}`; got != want {
			t.Errorf("%q: sent %s, want %s", none, got, want)
		}
	}
	for _, some := range []string{"0", "no", "automatic", "nullable", "Autumn", "-"} {
		if got, want := sent(t, VideoRequest{Prompt: "p", AvatarID: some}), `{"prompt":"p","avatar_id":"`+some+`"}`; got != want {
			t.Errorf("%q: sent %s, want %s", some, got, want)
		}
	}
}

func TestEnumerationsAreReadWithoutCase(t *testing.T) {
	got := sent(t, VideoRequest{Prompt: "p", Mode: " Generate", Orientation: "PORTRAIT\n"})
	if want := `{"prompt":"p","mode":"generate","orientation":"portrait"}`; got != want {
		t.Errorf("sent %s, want %s", got, want)
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
	for field, req := range map[string]VideoRequest{
		"prompt":       {Prompt: "my key is " + key.value() + "."},
		"avatar_id":    {Prompt: "p", AvatarID: key.value()},
		"voice_id":     {Prompt: "p", VoiceID: strings.ToUpper(key.value())},
		"style_id":     {Prompt: "p", StyleID: key.value()[:9] + "\u200b" + key.value()[9:]},
		"brand_kit_id": {Prompt: "p", BrandKitID: " " + key.value()},
		"mode":         {Prompt: "p", Mode: key.value()},
		"orientation":  {Orientation: key.value()},
		"files[0]":     {Prompt: "p", Files: []string{"https://x.example/?k=" + key.value()}},
		"files[1]":     {Prompt: "p", Files: []string{"asset_1", key.value()}}, // which has the form of an asset ID
		"files[3]":     {Prompt: "p", Files: []string{"asset_1", "asset_2", "asset_3", "https://x.example/?k=" + strings.ReplaceAll(jsonEscaped(key.value()), `\u00`, "%")}},
		"files[2]":     {Prompt: "p", Files: []string{"asset_1", "asset_2", "./" + key.value()}},
	} {
		_, err := submit(t.Context(), c, req)
		if e := checkError(t, err, InvalidArgument); e.Message != field+" contains the API key: remove it; got it" {
			t.Errorf("%s: %s", field, e.Message)
		}
	}
	if n := len(s.arrivals()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}
