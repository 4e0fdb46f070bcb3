// These tests hold what Prepare makes of a request to what is really sent: two
// requests with one fingerprint are one video, so a mistake either way costs a
// video or a second bill.

package pixazo

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
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

func FuzzFingerprint(f *testing.F) {
	f.Add("tides", "tides", "", "", "", "", "asset-1", "asset-1", false, false)
	f.Add("tides", "tides ", "generate", "", "", "", "", "", false, true)
	f.Add("a<b>&\u2028", "a<b>&\\u2028", "", "", "landscape", "landscape", "", "", true, true)
	f.Add("bad byte", "bad \ufffd byte", "", "", "", "", "", "", false, false)
	f.Add("tides", "tides", "", "", "x", "", "asset-1\nasset-2", "asset-2\nasset-1", false, false)
	f.Add("é", "e\u0301", "chat", "chat", "", "", "data:image/png;base64,AAAA", "data:image/png;base64,AAAB", false, false)
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
		if (a.Exact() == b.Exact()) != (bodyA == bodyB) {
			t.Errorf("hashes %q and %q of the bodies\n%s\n%s", a.Exact(), b.Exact(), bodyA, bodyB)
		}
		if same := reflect.DeepEqual(normalForm(t, bodyA), normalForm(t, bodyB)); (a.Fingerprint() == b.Fingerprint()) != same {
			t.Errorf("fingerprints %q and %q of the bodies\n%s\n%s", a.Fingerprint(), b.Fingerprint(), bodyA, bodyB)
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
			if s = norm.NFC.String(strings.Join(strings.Fields(s), " ")); s == "" {
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
		if head, data, ok := strings.Cut(item.(string), ","); ok && strings.EqualFold(head[:5], "data:") {
			files[i] = "data of " + data
		}
	}
	return fields
}
