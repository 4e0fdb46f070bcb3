// These tests hold what Prepare makes of a request to what is really sent: two
// requests with one fingerprint are one video, so a mistake either way costs a
// video or a second bill.

package pixazo

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/unicode/norm"

	"pixazo-mcp/internal/text"
)

// sent returns the body of the submission of req.
func sent(t *testing.T, req VideoRequest) string {
	t.Helper()
	s := newScript(t, answered(200, queuedBody))
	if _, err := submit(t.Context(), newTestClient(t, s), req); err != nil {
		t.Fatal(err)
	}
	return s.arrivals()[0].body
}

// What a model changes when it tries again is the same video; whatever changes
// what is shown is another one.
func TestFingerprintIsThatOfTheNormalForm(t *testing.T) {
	const data = "data:image/png;base64,"
	base := VideoRequest{Prompt: "Café  tour:\n\n1. Oslo", AvatarID: "Ana 1", Files: []string{"asset_1", data + encoded(pngData), "https://example.com/a.png"}}
	change := func(f func(*VideoRequest)) VideoRequest {
		req := base
		req.Files = slices.Clone(base.Files)
		f(&req)
		return req
	}
	for _, tt := range []struct {
		name        string
		req         VideoRequest
		same, exact bool
	}{
		{"itself", base, true, true},
		{"white space around", change(func(r *VideoRequest) { r.Prompt = "\u3000" + r.Prompt + " \n" }), true, false},
		{"white space within", change(func(r *VideoRequest) { r.Prompt = "Café\u00a0tour: 1.\u202fOslo" }), true, false},
		{"what can't be seen", change(func(r *VideoRequest) { r.Prompt = "\ufeffCa\u00adfé tour:\u200b 1. \u200eOs\u2060lo\x07" }), true, false},
		{"letters that can't be seen", change(func(r *VideoRequest) { r.Prompt = "Café tour:\u3164 1. Oslo\ufe0f\u2800" }), true, false},
		{"an ID that can't be seen", change(func(r *VideoRequest) { r.VoiceID = " \u200b\u3164" }), true, true},
		{"an ID that says nil", change(func(r *VideoRequest) { r.VoiceID = "\ufeffNil" }), true, true},
		{"decomposed", change(func(r *VideoRequest) { r.Prompt = "Cafe\u0301 tour: 1. Oslo" }), true, false},
		{"the default, spelt out", change(func(r *VideoRequest) { r.Mode = "generate" }), true, false},
		{"the default of incognito_mode", change(func(r *VideoRequest) { r.IncognitoMode = false }), true, true},
		{"an ID that says none", change(func(r *VideoRequest) { r.VoiceID = "auto" }), true, true},
		{"white space in an ID", change(func(r *VideoRequest) { r.AvatarID = " Ana  1" }), true, false},
		{"bare base64", change(func(r *VideoRequest) { r.Files[1] = encoded(pngData) }), true, true},
		{"another name of the type", change(func(r *VideoRequest) { r.Files[1] = "data:image/PNG;base64," + encoded(pngData) }), true, false},
		{"the same as a local file", change(func(r *VideoRequest) {
			r.Files[1], r.Attached = "a.png", []*Attachment{1: {Name: "a.png", Data: []byte(pngData)}}
		}), true, true},
		{"white space around a URL", change(func(r *VideoRequest) { r.Files[2] = " https://example.com/a.png\n" }), true, true},
		{"the default port of a URL", change(func(r *VideoRequest) { r.Files[2] = "https://example.com:443/a.png" }), true, false},
		{"other letters in a URL's host", change(func(r *VideoRequest) { r.Files[2] = "HTTPS://Example.COM/a.png" }), true, false},

		{"other letters in a URL's path", change(func(r *VideoRequest) { r.Files[2] = "https://example.com/A.png" }), false, false},
		{"another port of a URL", change(func(r *VideoRequest) { r.Files[2] = "https://example.com:80/a.png" }), false, false},
		{"another letter", change(func(r *VideoRequest) { r.Prompt = "Café tour: 1. oslo" }), false, false},
		{"a space taken out", change(func(r *VideoRequest) { r.Prompt = "Cafétour: 1. Oslo" }), false, false},
		{"compatible letters", change(func(r *VideoRequest) { r.Prompt = "Café tour: ① Oslo" }), false, false},
		{"another mode", change(func(r *VideoRequest) { r.Mode = "chat" }), false, false},
		{"incognito", change(func(r *VideoRequest) { r.IncognitoMode = true }), false, false},
		{"an orientation", change(func(r *VideoRequest) { r.Orientation = "portrait" }), false, false},
		{"the ID of another field", change(func(r *VideoRequest) { r.AvatarID, r.VoiceID = "", "Ana 1" }), false, false},
		{"another order of files", change(func(r *VideoRequest) { slices.Reverse(r.Files) }), false, false},
		{"no files", change(func(r *VideoRequest) { r.Files = nil }), false, false},
		{"other data", change(func(r *VideoRequest) { r.Files[1] = data + encoded(pngData+"x") }), false, false},
	} {
		want, err := Prepare(base)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Prepare(tt.req)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if same, exact := got.Fingerprint == want.Fingerprint, got.Exact == want.Exact; same != tt.same || exact != tt.exact {
			t.Errorf("%s: the same %t, exactly %t; want %t and %t", tt.name, same, exact, tt.same, tt.exact)
		}
	}
}

func TestPreparedDescribesTheRequest(t *testing.T) {
	p, err := Prepare(VideoRequest{Prompt: "a\u00a0prompt\n", Mode: "chat", StyleID: "<s>", Orientation: "Portrait", IncognitoMode: true,
		Files:    []string{"https://example.com/?a&b", "asset_1", "data:text/plain;base64,YQ==", "/home/ann/slides.pdf"},
		Attached: []*Attachment{3: {Name: "slides.pdf", Data: []byte(pdfData)}}})
	if err != nil {
		t.Fatal(err)
	}
	sum := func(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }
	want := `{"mode":"chat","style_id":"<s>","orientation":"portrait","incognito_mode":true,"files":[{"url":"https://example.com/?a&b"},{"asset_id":"asset_1"},` +
		`{"media_type":"text/plain","size":1,"sha256":"` + sum("a") + `"},{"name":"slides.pdf","media_type":"application/pdf","size":23,"sha256":"` + sum(pdfData) + `"}]}`
	if p.Description != want {
		t.Errorf("description\n%s\nwant\n%s", p.Description, want)
	}
	if p.Prompt != "a\u00a0prompt\n" || len(p.Files) != 4 || p.UploadTime() != 0 {
		t.Errorf("%q, %+v, %s", p.Prompt, p.Files, p.UploadTime())
	}
}

func TestUploadTimeGrowsWithTheBody(t *testing.T) {
	p, err := Prepare(VideoRequest{Prompt: "p", Files: []string{"a"}, Attached: []*Attachment{{Name: "a.png", Data: append([]byte(pngData), make([]byte, 6<<20)...)}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.UploadTime(); got != 32*time.Second { // 8 MiB of base64
		t.Errorf("%s more", got)
	}
}

func FuzzFingerprint(f *testing.F) {
	f.Add("tides", "tides", "", "", "", "", "asset-1", "asset-1", false, false)
	f.Add("tides", "tides ", "generate", "", "", "", "", "", false, true)
	f.Add("a<b>&\u2028", "a<b>&\\u2028", "", "", "landscape", "landscape", "", "", true, true)
	f.Add("bad byte", "bad \ufffd byte", "", "", "", "", "", "", false, false)
	f.Add("tides", "tides", "", "", "x", "", "asset-1\nasset-2", "asset-2\nasset-1", false, false)
	f.Add("é", "e\u0301", "chat", "chat", "", "", "data:image/png;base64,AAAA", "data:image/png;base64,AAAB", false, false)
	f.Add("a", "a", "Chat", "chat", "1null", "", encoded(pngData), "data:image/png;base64,"+encoded(pngData), false, false)
	f.Add(" a\u00a0 b\n", "a b", "chat", "chat", "1x", "1 x", "data:image/png;base64,AAAA", "DATA:image/png;base64,AAAA", false, false)
	f.Fuzz(func(t *testing.T, prompt1, prompt2, mode1, mode2, name1, name2, files1, files2 string, incognito1, incognito2 bool) {
		// One name goes into four fields, by its first letter.
		build := func(prompt, mode, name, files string, incognito bool) (req VideoRequest) {
			req = VideoRequest{Prompt: prompt, Mode: mode, IncognitoMode: incognito}
			fields := []*string{&req.AvatarID, &req.VoiceID, &req.StyleID, &req.BrandKitID}
			if name != "" {
				*fields[int(name[0])%4] = name[1:]
			}
			if files != "" {
				req.Files = strings.Split(files, "\n")
			}
			return req
		}
		one, two := build(prompt1, mode1, name1, files1, incognito1), build(prompt2, mode2, name2, files2, incognito2)
		a, errA := Prepare(one)
		b, errB := Prepare(two)
		if errA != nil || errB != nil {
			t.Skip()
		}
		bodyA, bodyB := sent(t, one), sent(t, two)
		if (a.Exact == b.Exact) != (bodyA == bodyB) {
			t.Errorf("hashes %q and %q of the bodies\n%s\n%s", a.Exact, b.Exact, bodyA, bodyB)
		}
		if same := reflect.DeepEqual(normalForm(t, bodyA), normalForm(t, bodyB)); (a.Fingerprint == b.Fingerprint) != same {
			t.Errorf("fingerprints %q and %q of the bodies\n%s\n%s", a.Fingerprint, b.Fingerprint, bodyA, bodyB)
		}
	})
}

// normalForm is a body as it counts for the fingerprint.
func normalForm(t *testing.T, body string) map[string]any {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(body), &fields); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for name, value := range fields {
		if s, ok := value.(string); ok {
			if s = norm.NFC.String(text.CleanVisible(s, len(s))); s == "" {
				delete(fields, name)
			} else {
				fields[name] = s
			}
		}
	}
	if fields["mode"] == nil {
		fields["mode"] = "generate"
	}
	files, _ := fields["files"].([]any)
	for i, item := range files {
		if head, encoded, ok := strings.Cut(item.(string), ","); ok && strings.EqualFold(head[:5], "data:") {
			data, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil {
				t.Fatal(err)
			}
			files[i] = "data of " + string(data)
		}
	}
	return fields
}
