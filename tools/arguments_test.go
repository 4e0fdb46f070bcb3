// This file tests how arguments are read: what is refused, in which words, and
// what reaches the gateway, byte for byte. Bugs it guards against: a misspelt
// option that is dropped and paid for, an error that names neither the argument
// nor what came, and a call that fails for its client's habit of sending every
// value as text.

package tools

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/pixazo"
)

const (
	correct       = " Correct it and call again."
	correctSubmit = " Nothing was submitted or charged." + correct
	filesRule     = `files[0] must be an http(s) URL, an asset ID, the path of a local file, a data URI (data:<media type>;base64,<data>), or base64 of a picture, a video, audio or a PDF; leave it out if there is none`
	videoFields   = "prompt, mode, avatar_id, voice_id, style_id, brand_kit_id, orientation, files, incognito_mode, allow_duplicate"
)

func TestBadArgumentsAreRefusedInClearWords(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 10_001)
	files := func(n int) string { return `["` + strings.Join(slices.Repeat([]string{"asset-1"}, n), `","`) + `"]` }
	h := newHouse(t, accept)
	for _, tt := range []struct{ tool, arguments, want string }{
		// Names.
		{"generate_video", `{"prompt":"x","promt":"y"}`, `unknown argument "promt"; the nearest known one is "prompt", of ` + videoFields + "." + correctSubmit},
		{"generate_video", `{"prompt":"x","orientaton":"portrait"}`, `unknown argument "orientaton"; the nearest known one is "orientation", of ` + videoFields + "." + correctSubmit},
		{"generate_video", `{"prompt":"x","Prompt":"y"}`, `unknown argument "Prompt"; the nearest known one is "prompt", of ` + videoFields + "." + correctSubmit},
		{"generate_video", `{"prompt":"x","":"y"}`, `unknown argument ""; the nearest known one is "prompt", of ` + videoFields + "." + correctSubmit},
		{"generate_video", `{"prompt":"x","image_url":null}`, `unknown argument "image_url", which is none of ` + videoFields + "." + correctSubmit},
		// Of a missing and an unknown one, the missing one first.
		{"get_status", `{"requestId":"x"}`, `request_id is required; got the unknown argument "requestId", which is none of request_id.` + correct},
		{"wait_for_video", `{"id":"x"}`, `request_id is required; got the unknown argument "id", which is none of request_id, timeout_seconds.` + correct},
		{"generate_video", `{"prompt":null,"promt":"x"}`, `prompt is required; got the unknown argument "promt", which is none of ` + videoFields + "." + correctSubmit},
		{"get_status", `{"request_id":"x","timeout_seconds":5}`, `unknown argument "timeout_seconds", which is none of request_id.` + correct},
		{"wait_for_video", `{"request_id":"x","timeout":5}`, `unknown argument "timeout"; the nearest known one is "timeout_seconds", of request_id, timeout_seconds.` + correct},
		{"wait_for_video", `{"request_id":"x","avatar":"a"}`, `unknown argument "avatar", which is none of request_id, timeout_seconds.` + correct},
		// Missing.
		{"generate_video", ``, `prompt is required; got nothing.` + correctSubmit},
		{"generate_video", `null`, `prompt is required; got nothing.` + correctSubmit},
		{"generate_video", `{}`, `prompt is required; got nothing.` + correctSubmit},
		{"generate_video", `{"prompt":null}`, `prompt is required; got null.` + correctSubmit},
		{"generate_video", `{"mode":"chat"}`, `prompt is required; got nothing.` + correctSubmit},
		{"get_status", ``, `request_id is required; got nothing.` + correct},
		{"get_status", `{"request_id":""}`, `request_id is required; got the string "".` + correct},
		{"get_status", `{"request_id":" None "}`, `request_id is required; got the string " None ".` + correct},
		{"wait_for_video", `{"request_id":null}`, `request_id is required; got null.` + correct},
		// Not an object.
		{"generate_video", `["a prompt"]`, `arguments must be an object; got array.` + correctSubmit},
		{"generate_video", `"a prompt"`, `arguments must be an object; got string.` + correctSubmit},
		{"get_status", `5`, `arguments must be an object; got number.` + correct},
		{"wait_for_video", `true`, `arguments must be an object; got boolean.` + correct},
		// Values of a prompt.
		{"generate_video", `{"prompt":""}`, `prompt must have 1 to 10,000 characters; got nothing.` + correctSubmit},
		{"generate_video", `{"prompt":" \n\t"}`, `prompt must say what the video should show; got only white space, or what can't be seen.` + correctSubmit},
		{"generate_video", `{"prompt":"` + long + `"}`, `prompt must have 1 to 10,000 characters; got 10001 characters.` + correctSubmit},
		// Words of a list.
		{"generate_video", `{"prompt":"x","mode":"generator"}`, `mode must be one of generate, chat; got "generator".` + correctSubmit},
		{"generate_video", `{"prompt":"x","mode":"null"}`, `mode must be one of generate, chat; got "null".` + correctSubmit},
		{"generate_video", `{"prompt":"x","orientation":"square"}`, `orientation must be one of landscape, portrait; got "square".` + correctSubmit},
		{"generate_video", `{"prompt":"x","orientation":"auto"}`, `orientation must be one of landscape, portrait; got "auto".` + correctSubmit},
		// Files.
		{"generate_video", `{"prompt":"x","files":` + files(21) + `}`, `files must have at most 20 items; got 21 items.` + correctSubmit},
		{"generate_video", `{"prompt":"x","files":["asset-1",{"type":"url"}]}`, `files[1] must be a string; got the object {"type":"url"}.` + correctSubmit},
		{"generate_video", `{"prompt":"x","files":[null]}`, `files[0] must be a string; got null.` + correctSubmit},
		{"generate_video", `{"prompt":"x","files":["asset-1","asset-2","ftp://a.example/b"]}`,
			`files[2] must be an http(s) URL, an asset ID, the path of a local file, a data URI (data:<media type>;base64,<data>), or base64 of a picture, a video, audio or a PDF; leave it out if there is none; got "ftp://a.example/b".` + correctSubmit},
		{"generate_video", `{"prompt":"x","files":["data:image/png;base64,AAA"]}`,
			`files[0] must have its data as standard base64: A-Z a-z 0-9 + / with = at the end, and no white space; got "data:image/png;base64,AAA".` + correctSubmit},
		{"generate_video", `{"prompt":"x","files":"[\"asset-1\", 5]"}`, `files[1] must be a string; got the number 5.` + correctSubmit},
		{"generate_video", `{"prompt":"x","files":"[\"asset-1\", \"ass"}`, `files must be an array of strings; got the string "[\"asset-1\", \"ass".` + correctSubmit},
		{"generate_video", `{"prompt":"x","files":"{\"url\":\"https://a.example/b\"}"}`, `files must be an array of strings; got the string "{\"url\":\"https://a.example/b\"}".` + correctSubmit},
		// A client cut the text within a character: a video with another letter would be paid for.
		{"generate_video", `{"prompt":"tides \ud83c"}`, `prompt must have no half of a character, which is left where a text was cut within one; got the string "tides �".` + correctSubmit},
		{"generate_video", `{"prompt":"\ufffd tides \uDF0A"}`, `prompt must have no half of a character, which is left where a text was cut within one; got the string "� tides �".` + correctSubmit},
		// Words for no file: a video without its slides would be paid for.
		{"generate_video", `{"prompt":"x","files":["null"]}`, filesRule + `; got "null".` + correctSubmit},
		{"generate_video", `{"prompt":"x","files":" None "}`, filesRule + `; got "None".` + correctSubmit},
		{"generate_video", `{"prompt":"x","files":""}`, filesRule + `; got "".` + correctSubmit},
		// Text that is not plainly of the type wanted.
		{"generate_video", `{"prompt":"x","incognito_mode":"yes"}`, `incognito_mode must be true or false; got the string "yes".` + correctSubmit},
		{"generate_video", `{"prompt":"x","allow_duplicate":"1"}`, `allow_duplicate must be true or false; got the string "1".` + correctSubmit},
		{"generate_video", `{"prompt":"x","allow_duplicate":1}`, `allow_duplicate must be true or false; got the number 1.` + correctSubmit},
		{"generate_video", `{"prompt":"x","allow_duplicate":""}`, `allow_duplicate must be true or false; got the string "".` + correctSubmit},
		{"list_videos", `{"limit":"1e1"}`, `limit must be a whole number from 1 to 100; got the string "1e1".` + correct},
		{"list_videos", `{"limit":"0x10"}`, `limit must be a whole number from 1 to 100; got the string "0x10".` + correct},
		{"list_videos", `{"limit":"ten"}`, `limit must be a whole number from 1 to 100; got the string "ten".` + correct},
		{"list_videos", `{"limit":"1."}`, `limit must be a whole number from 1 to 100; got the string "1.".` + correct},
		{"list_videos", `{"limit":"1_0"}`, `limit must be a whole number from 1 to 100; got the string "1_0".` + correct},
		{"list_videos", `{"limit":""}`, `limit must be a whole number from 1 to 100; got the string "".` + correct},
		{"list_videos", `{"limit":"101"}`, `limit must be a whole number from 1 to 100; got the string "101".` + correct},
		{"wait_for_video", `{"request_id":"x","timeout_seconds":"null"}`, `timeout_seconds must be a whole number, 0 or more; got the string "null".` + correct},
		// Lists.
		{"list_videos", `{"status":"done"}`, `status must be one of all, pending, completed, failed, uncertain; got "done".` + correct},
		{"list_videos", `{"limit":0}`, `limit must be a whole number from 1 to 100; got the number 0.` + correct},
		{"list_videos", `{"limit":101}`, `limit must be a whole number from 1 to 100; got the number 101.` + correct},
		{"list_videos", `{"limit":-1}`, `limit must be a whole number from 1 to 100; got the number -1.` + correct},
		{"list_videos", `{"limit":2.5}`, `limit must be a whole number from 1 to 100; got the number 2.5.` + correct},
		{"list_videos", `{"limit":1e308}`, `limit must be a whole number from 1 to 100; got the number 1e308.` + correct},
		{"list_videos", `{"cursor":"2"}`, `cursor must be the next_cursor of an earlier list_videos; got "2".` + correct},
		{"list_videos", `{"cursor":"a\u202e\nb"}`, `cursor must be the next_cursor of an earlier list_videos; got "a\u202e\nb".` + correct},
		{"list_videos", `{"page":2}`, `unknown argument "page", which is none of status, limit, cursor.` + correct},
		// Names of jobs.
		{"get_status", `{"request_id":"../../x"}`, `request_id must be 1 to 200 letters, digits, dots, hyphens or underscores; got "../../x".` + correct},
		{"wait_for_video", `{"request_id":"` + strings.Repeat("a", 201) + `"}`,
			`request_id must be 1 to 200 letters, digits, dots, hyphens or underscores; got "` + strings.Repeat("a", 80) + `…".` + correct},
		// Times.
		{"wait_for_video", `{"request_id":"x","timeout_seconds":-1}`, `timeout_seconds must be a whole number, 0 or more; got the number -1.` + correct},
		{"wait_for_video", `{"request_id":"x","timeout_seconds":-1e308}`, `timeout_seconds must be a whole number, 0 or more; got the number -1e308.` + correct},
		{"wait_for_video", `{"request_id":"x","timeout_seconds":0.5}`, `timeout_seconds must be a whole number, 0 or more; got the number 0.5.` + correct},
		{"wait_for_video", `{"request_id":"x","timeout_seconds":"NaN"}`, `timeout_seconds must be a whole number, 0 or more; got the string "NaN".` + correct},
		// Strings that must not be shown as they came.
		{"generate_video", `{"prompt":"x","mode":"\u001b[31mred\u202e\nline"}`, `mode must be one of generate, chat; got "\x1b[31mred\u202e\nline".` + correctSubmit},
	} {
		h.posts = nil
		r := h.call(t.Context(), tt.tool, tt.arguments)
		if want := "invalid_argument: " + tt.want; !r.IsError || r.text() != want {
			t.Errorf("%s %.80s\n got %s\nwant %s", tt.tool, tt.arguments, r.text(), want)
		}
		if r.Structured != nil {
			t.Errorf("%s %.80s: an error has structured content %v", tt.tool, tt.arguments, r.Structured)
		}
		if len(h.posts) != 0 || h.gets != 0 {
			t.Errorf("%s %.80s reached the gateway", tt.tool, tt.arguments)
		}
		if r := h.call(t.Context(), "generate_video", `{"prompt":"x","allow_duplicate":true}`); r.IsError {
			t.Errorf("after %s %.80s a good call fails: %s", tt.tool, tt.arguments, r.text())
		}
	}
}

// Every argument of every tool refuses every type but its own. A string may be
// the text form of another type, and then is a list of one at least.
func TestWrongTypesAreNamed(t *testing.T) {
	values := map[string]string{
		"string":  `"a string"`,
		"integer": `-12.5e3`,
		"boolean": `true`,
		"array":   `["x"]`,
		"object":  `{"a": 1}`,
	}
	shown := map[string]string{
		"string":  `the string "a string"`,
		"integer": `the number -12.5e3`,
		"boolean": `the boolean true`,
		"array":   `the array ["x"]`,
		"object":  `the object {"a":1}`, // mcp-go passes arguments on as they came; encoding them compacted this one
	}
	rule := map[string]string{"string": "a string", "boolean": "true or false", "array": "an array of strings",
		"limit": "a whole number from 1 to 100", "timeout_seconds": "a whole number, 0 or more"}
	required := map[string]string{"generate_video": `"prompt":"x",`, "list_videos": ""}
	h := newHouse(t, accept)
	for _, tool := range list(t) {
		for name, property := range tool.InputSchema["properties"].(map[string]any) {
			kind := property.(map[string]any)["type"].(string)
			for other, value := range values {
				if other == kind || other == "string" && kind == "array" {
					continue
				}
				others, known := required[tool.Name]
				if !known {
					others = `"request_id":"x",`
				}
				if strings.Contains(others, `"`+name+`"`) {
					others = ""
				}
				arguments := fmt.Sprintf(`{%s"%s":%s}`, others, name, value)
				want := fmt.Sprintf("invalid_argument: %s must be %s; got %s. ", name, cmp.Or(rule[kind], rule[name]), shown[other])
				if got := h.call(t.Context(), tool.Name, arguments).text(); !strings.HasPrefix(got, want) {
					t.Errorf("%s %s\n got %s\nwant %s…", tool.Name, arguments, got, want)
				}
			}
		}
	}
	if len(h.posts) != 0 || h.gets != 0 {
		t.Error("a bad argument reached the gateway")
	}
}

func TestBodyThatReachesTheGateway(t *testing.T) {
	t.Parallel()
	exactly := strings.Repeat("🗼", 10_000)
	for _, tt := range []struct{ arguments, want string }{
		{`{"prompt":"x"}`, `{"prompt":"x"}`},
		{`{"incognito_mode":true,"files":["https://a.example/b.png?c=1&d=2","asset-1","data:image/png;base64,AAAA"],"orientation":"portrait",` +
			`"brand_kit_id":"b","style_id":"s","voice_id":"v","avatar_id":"a","mode":"chat","prompt":"p"}`,
			`{"prompt":"p","mode":"chat","avatar_id":"a","voice_id":"v","style_id":"s","brand_kit_id":"b","orientation":"portrait",` +
				`"incognito_mode":true,"files":["https://a.example/b.png?c=1&d=2","asset-1","data:image/png;base64,AAAA"]}`},
		// Null, and what a client sends for an option it left empty.
		{`{"prompt":"x","mode":null,"avatar_id":null,"voice_id":null,"style_id":null,"brand_kit_id":null,"orientation":null,"files":null,"incognito_mode":null}`, `{"prompt":"x"}`},
		{`{"prompt":"x","mode":"","avatar_id":"","orientation":"","files":[],"incognito_mode":false}`, `{"prompt":"x"}`},
		{`{"prompt":"x","mode":"generate"}`, `{"prompt":"x","mode":"generate"}`}, // the default, spelt out
		// Text where another type is wanted, trimmed.
		{`{"prompt":"x","incognito_mode":"true","allow_duplicate":"False"}`, `{"prompt":"x","incognito_mode":true}`},
		{`{"prompt":"x","incognito_mode":" TRUE\n","allow_duplicate":" true "}`, `{"prompt":"x","incognito_mode":true}`},
		{`{"prompt":"x","files":"[\"https://a.example/b\", \"asset-1\"]"}`, `{"prompt":"x","files":["https://a.example/b","asset-1"]}`},
		{`{"prompt":"x","files":" [ \"asset-1\" ]\n"}`, `{"prompt":"x","files":["asset-1"]}`},
		{`{"prompt":"x","files":"[]"}`, `{"prompt":"x"}`},
		{`{"prompt":"x","files":" https://a.example/b "}`, `{"prompt":"x","files":["https://a.example/b"]}`},
		// Enumerations in any case.
		{`{"prompt":"x","mode":"Chat","orientation":" PORTRAIT "}`, `{"prompt":"x","mode":"chat","orientation":"portrait"}`},
		{`{"prompt":"x","mode":"GENERATE"}`, `{"prompt":"x","mode":"generate"}`},
		// Words for nothing where an ID is wanted, and nowhere else.
		{`{"prompt":"x","avatar_id":"null","voice_id":"none","style_id":"undefined","brand_kit_id":"auto"}`, `{"prompt":"x"}`},
		{`{"prompt":"x","avatar_id":" NULL ","voice_id":"None\n","style_id":" ","brand_kit_id":"\tAuto"}`, `{"prompt":"x"}`},
		{`{"prompt":"x","avatar":"none","voice":"NULL"}`, `{"prompt":"x"}`},
		{`{"prompt":"x","avatar_id":"none-1","voice_id":"Auto Voice"}`, `{"prompt":"x","avatar_id":"none-1","voice_id":"Auto Voice"}`},
		{`{"prompt":"null"}`, `{"prompt":"null"}`},
		{`{"prompt":" none "}`, `{"prompt":" none "}`},
		{`{"prompt":"[\"x\"]"}`, `{"prompt":"[\"x\"]"}`},
		// A prompt as it came: nothing trimmed, nothing escaped that JSON does not ask for.
		{`{"prompt":" <b>Ü & \u00e9\n"}`, `{"prompt":" <b>Ü & é\n"}`},
		{`{"prompt":"` + exactly + `"}`, `{"prompt":"` + exactly + `"}`},
		{`{"prompt":"auto"}`, `{"prompt":"auto"}`},
		// The example of the gateway's second document.
		{`{"prompt":"x","avatar":"auto","voice":"auto"}`, `{"prompt":"x"}`},
		{`{"prompt":"x","avatar":"a","voice":"v"}`, `{"prompt":"x","avatar_id":"a","voice_id":"v"}`},
		{`{"prompt":"x","files":["` + strings.Join(slices.Repeat([]string{"asset-1"}, 20), `","`) + `"]}`,
			`{"prompt":"x","files":["` + strings.Join(slices.Repeat([]string{"asset-1"}, 20), `","`) + `"]}`},
	} {
		h := newHouse(t, accept)
		r := h.call(t.Context(), "generate_video", tt.arguments)
		if r.IsError {
			t.Errorf("%.80s: %s", tt.arguments, r.text())
		}
		if !slices.Equal(h.posts, []string{tt.want}) {
			t.Errorf("%.80s\nreached the gateway as %.300q\nwant %.300q", tt.arguments, h.posts, tt.want)
		}
	}
}

// The two documents spell avatar and voice differently; auto, in either
// spelling, means left out.
func TestAliasesInAllCombinations(t *testing.T) {
	t.Parallel()
	values := []string{"", "null", `"auto"`, `"AUTO"`, `"none"`, `"a1"`, `"a2"`}
	said := func(value string) bool { return strings.HasPrefix(value, `"a`) && value != `"auto"` }
	h := newHouse(t, accept)
	for _, pair := range [][2]string{{"avatar", "avatar_id"}, {"voice", "voice_id"}} {
		alias, name := pair[0], pair[1]
		for _, short := range values {
			for _, long := range values {
				arguments := `{"prompt":"x","allow_duplicate":true`
				if short != "" {
					arguments += fmt.Sprintf(`,"%s":%s`, alias, short)
				}
				if long != "" {
					arguments += fmt.Sprintf(`,"%s":%s`, name, long)
				}
				arguments += "}"
				want := []string{`{"prompt":"x"}`}
				refused := ""
				switch {
				case said(short) && said(long) && short != long:
					want = nil
					refused = fmt.Sprintf("invalid_argument: %s and %s mean the same and must not differ; got the string %s and the string %s.%s",
						name, alias, long, short, correctSubmit)
				case said(long):
					want = []string{fmt.Sprintf(`{"prompt":"x","%s":%s}`, name, long)}
				case said(short):
					want = []string{fmt.Sprintf(`{"prompt":"x","%s":%s}`, name, short)}
				}
				h.posts = nil
				r := h.call(t.Context(), "generate_video", arguments)
				if !slices.Equal(h.posts, want) {
					t.Errorf("%s reached the gateway as %q, want %q", arguments, h.posts, want)
				}
				if r.IsError != (refused != "") || r.IsError && r.text() != refused {
					t.Errorf("%s answered %s\nwant %s", arguments, r.text(), refused)
				}
			}
		}
	}
	want := `invalid_argument: avatar_id must be a string; got the number 5.` + correctSubmit
	if got := h.call(t.Context(), "generate_video", `{"prompt":"x","avatar":5}`).text(); got != want {
		t.Errorf("avatar of a wrong type: %s\nwant %s", got, want)
	}
}

func TestTimeoutOfAWait(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		timeout string // "" leaves it out
		maxWait time.Duration
		want    time.Duration
	}{
		{"", 50 * time.Second, 45 * time.Second},
		{"null", 50 * time.Second, 45 * time.Second},
		{"", 10 * time.Second, 10 * time.Second},
		{"", 10 * time.Minute, 45 * time.Second},
		{"0", 50 * time.Second, 0},
		{"-0", 50 * time.Second, 0},
		{"4e1", 50 * time.Second, 40 * time.Second},
		{`"20"`, 50 * time.Second, 20 * time.Second},
		{`" 20.0\n"`, 50 * time.Second, 20 * time.Second},
		{`"-0"`, 50 * time.Second, 0},
		{"51", 50 * time.Second, 50 * time.Second},
		{"300", 10 * time.Minute, 5 * time.Minute},
		{"9223372036", 50 * time.Second, 50 * time.Second},
		{"9223372037", 50 * time.Second, 50 * time.Second}, // more seconds than a Duration holds
		{"1e308", 50 * time.Second, 50 * time.Second},
	} {
		t.Run(tt.timeout, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, accept)
				client, err := pixazo.NewClient(pixazo.Config{Key: func() (pixazo.Key, error) { return pixazo.NewKey("k") }, Transport: h})
				if err != nil {
					t.Fatal(err)
				}
				h.serve(newTracker(t, client), tt.maxWait)
				arguments := `{"request_id":"` + testID + `"}`
				if tt.timeout != "" {
					arguments = `{"request_id":"` + testID + `","timeout_seconds":` + tt.timeout + `}`
				}
				start := time.Now()
				r := h.call(t.Context(), "wait_for_video", arguments)
				if r.IsError || r.Structured["wait_expired"] != true {
					t.Errorf("answer %s, want an expired wait", r.text())
				}
				if took := time.Since(start); took != tt.want {
					t.Errorf("waited %v, want %v", took, tt.want)
				}
			})
		})
	}
}

func TestArgumentsThatAreNoObjectOrTooLarge(t *testing.T) {
	for _, tt := range []struct{ arguments, want string }{
		{"", "request_id is required; got nothing." + correct},
		{`["x"]`, "arguments must be an object; got array." + correct},
		// mcp-go refuses these two itself.
		{`{"request_id":"x","timeout_seconds":-1e400}`, "timeout_seconds must be a whole number, 0 or more; got the number -1e400." + correct},
		{`{"request_id":"x","timeout_seconds":-1` + strings.Repeat("0", 5000) + `}`,
			"timeout_seconds must be a whole number, 0 or more; got the number -1" + strings.Repeat("0", 78) + "…." + correct},
	} {
		var req mcp.CallToolRequest
		req.Params.RawArguments = json.RawMessage(tt.arguments)
		res, err := waitForVideo(Config{}).Handler(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := res.Content[0].(mcp.TextContent).Text, "invalid_argument: "+tt.want; !res.IsError || got != want {
			t.Errorf("%.100v\n got %s\nwant %s", tt.arguments, got, want)
		}
	}
}

// An attachment may be many megabytes: it is copied into the map of arguments,
// into its array and into the struct, and not once more.
func TestArgumentsAreNotEncodedAgain(t *testing.T) {
	data := strings.Repeat("A", 1<<20)
	arguments := argumentsOf(reflect.TypeFor[generateArgs]())
	for _, others := range []string{`"prompt":"x"`, `"prompt":"x","mode":null`, `"prompt":"x","avatar":"a"`, `"prompt":"x","avatar_id":"auto"`} {
		var req mcp.CallToolRequest
		req.Params.RawArguments = json.RawMessage(`{` + others + `,"files":["data:image/png;base64,` + data + `"]}`)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		in, err := decode[generateArgs](req, arguments, map[string]string{"avatar": "avatar_id"})
		runtime.ReadMemStats(&after)
		if err != nil || len(in.Files) != 1 || !strings.HasSuffix(in.Files[0], data) {
			t.Fatalf("%s: %d files, error %v", others, len(in.Files), err)
		}
		if cost := float64(after.TotalAlloc-before.TotalAlloc) / float64(len(data)); cost > 3.5 {
			t.Errorf("%s: decoding costs %.1f times the attachment", others, cost)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, ` null `, `[]`, `"x"`, `5`, `true`, `{`, `{"prompt":`, `nul`,
		`{"prompt":"x"}`, `{"prompt":null}`, `{"prompt":5}`, `{"prompt":"x","prompt":"y"}`, `{"Prompt":"x"}`, `{"promt":"x"}`, `{"":1}`,
		`{"prompt":"x","mode":"chat","avatar":"auto","voice":"v","voice_id":"w","files":["https://a.example/b"],"incognito_mode":true}`,
		`{"prompt":"\ud800\u202e\u0000\u001b[2J","mode":"\u2028"}`, `{"prompt":"x","avatar":"a","avatar_id":"b"}`, `{"prompt":"x","avatar":{}}`,
		`{"prompt":"x","files":[[["a"]]]}`, `{"prompt":"x","files":["` + strings.Repeat("a", 300) + `"]}`, `{"prompt":"x","files":[1e999]}`,
		`{"prompt":` + strings.Repeat("1", 2000) + `,"prompt":"x"}`, `{"prompt":"x","prompt":null}`, `{"prompt":"x","files":[1],"files":["a"]}`,
		`{"status":"failed","limit":20,"cursor":"YmVmb3JlIDI"}`, `{"limit":1e308}`, `{"limit":-0.5,"status":"\u202e"}`,
		`{"request_id":"a"}`, `{"request_id":".."}`, `{"request_id":"` + strings.Repeat("é", 300) + `"}`,
		`{"request_id":"a","timeout_seconds":1e400}`, `{"request_id":"a","timeout_seconds":-1` + strings.Repeat("0", 2000) + `}`,
		`{"request_id":"a","timeout_seconds":-0.0}`, `{"request_id":"a","timeout_seconds":NaN}`, `{"` + strings.Repeat("\\u0007k", 500) + `":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var req mcp.CallToolRequest
		req.Params.RawArguments = raw
		video, err := decode[generateArgs](req, argumentsOf(reflect.TypeFor[generateArgs]()), map[string]string{"avatar": "avatar_id", "voice": "voice_id"})
		checkDecoded(t, video, err)
		wait, err := decode[waitArgs](req, argumentsOf(reflect.TypeFor[waitArgs]()), nil)
		checkDecoded(t, wait, err)
		if err == nil {
			if d := wait.timeout(50 * time.Second); d < 0 || d > 50*time.Second {
				t.Errorf("a timeout of %v", d)
			}
		}
		status, err := decode[requestArgs](req, argumentsOf(reflect.TypeFor[requestArgs]()), nil)
		checkDecoded(t, status, err)
		list, err := decode[listArgs](req, argumentsOf(reflect.TypeFor[listArgs]()), nil)
		checkDecoded(t, list, err)
	})
}

// checkDecoded wants valid arguments, or an invalid_argument that can be shown.
func checkDecoded(t *testing.T, in any, err error) {
	t.Helper()
	if err == nil {
		if checked, ok := in.(interface{ Validate() error }); ok && checked.Validate() != nil {
			t.Errorf("decoded %+v, which is not valid", in)
		}
		if _, err := json.Marshal(in); err != nil {
			t.Error(err)
		}
		return
	}
	if e, ok := errors.AsType[*pixazo.Error](err); !ok || e.Code != pixazo.InvalidArgument {
		t.Errorf("error %v, want invalid_argument", err)
	}
	text := failure(Config{}, definition{name: "x"}, err).Content[0].(mcp.TextContent).Text
	if i := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsGraphic(r) }); i >= 0 || !utf8.ValidString(text) {
		t.Errorf("error text can't be shown: %q", text)
	}
	if n := utf8.RuneCountInString(text); n >= 1000 {
		t.Errorf("error text of %d characters: %.200q…", n, text)
	}
}

// A panic in a tool costs one answer.
func TestServerGoesOnAfterAPanic(t *testing.T) {
	h := newHouse(t, func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodGet {
			panic("scripted")
		}
		return accept(r)
	})
	if line := h.srv.HandleMessage(t.Context(), json.RawMessage(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_status","arguments":{"request_id":"x"}}}`)); line == nil {
		t.Error("no answer to a call that panicked")
	}
	if r := h.call(t.Context(), "generate_video", `{"prompt":"x"}`); r.IsError {
		t.Errorf("after a panic: %s", r.text())
	}
}

// Of several faults one is told, and for the same call always the same.
func TestTheSameCallGetsTheSameMessage(t *testing.T) {
	h := newHouse(t, accept)
	for _, tt := range []struct{ arguments, want string }{
		{`{"zoom":1,"moon":2,"files":3}`, `prompt is required; got the unknown argument "moon", which is none of ` + videoFields + `.`},
		{`{"prompt":"x","style_id":5,"files":3,"mode":2}`, `mode must be a string; got the number 2.`},
		{`{"voice":"a","voice_id":"b","avatar":"c","avatar_id":"d"}`, `avatar_id and avatar mean the same and must not differ; got the string "d" and the string "c".`},
	} {
		for range 30 {
			if got, want := h.call(t.Context(), "generate_video", tt.arguments).text(), "invalid_argument: "+tt.want+correctSubmit; got != want {
				t.Fatalf("%s\n got %s\nwant %s", tt.arguments, got, want)
			}
		}
	}
}

func TestAliasesAreNotAdvertised(t *testing.T) {
	for _, tool := range list(t) {
		for _, alias := range []string{"avatar", "voice"} {
			if slices.Contains(slices.Collect(maps.Keys(tool.InputSchema["properties"].(map[string]any))), alias) {
				t.Errorf("%s advertises %s", tool.Name, alias)
			}
		}
	}
}
