// This file holds the fingerprint to what is really sent: two requests with
// one fingerprint are one video, so a mistake either way costs a video or a
// second bill.

package jobs_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"pixazo-mcp/pixazo"
)

func FuzzFingerprint(f *testing.F) {
	f.Add("tides", "tides", "", "", "", "", "asset-1", "asset-1", false, false)
	f.Add("tides", "tides ", "generate", "", "", "", "", "", false, true)
	f.Add("a<b>&\u2028", "a<b>&\\u2028", "", "", "landscape", "landscape", "", "", true, true)
	f.Add("bad \xff byte", "bad \ufffd byte", "", "", "", "", "", "", false, false)
	f.Add("tides", "tides", "", "", "x", "", "asset-1\nasset-2", "asset-2\nasset-1", false, false)
	f.Add("é", "e\u0301", "chat", "chat", "", "", "data:image/png;base64,AAAA", "data:image/png;base64,AAAB", false, false)
	f.Fuzz(func(t *testing.T, prompt1, prompt2, mode1, mode2, name1, name2, files1, files2 string, incognito1, incognito2 bool) {
		// One name goes into four fields, by its first letter.
		build := func(prompt, mode, name, files string, incognito bool) (req pixazo.VideoRequest) {
			req = pixazo.VideoRequest{Prompt: prompt, Mode: mode, IncognitoMode: incognito}
			fields := []*string{&req.AvatarID, &req.VoiceID, &req.StyleID, &req.BrandKitID}
			if name != "" {
				*fields[int(name[0])%4] = name[1:]
			}
			if files != "" {
				req.Files = strings.Split(files, "\n")
			}
			return req
		}
		var bodies, fingerprints []string
		for _, req := range []pixazo.VideoRequest{
			build(prompt1, mode1, name1, files1, incognito1), build(prompt2, mode2, name2, files2, incognito2),
		} {
			if req.Validate() != nil {
				t.Skip()
			}
			client := realClient(t, pixazo.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				body, err := io.ReadAll(r.Body)
				bodies = append(bodies, string(body))
				if err != nil {
					return nil, err
				}
				return answer(200, nil, `{"request_id":"id-1","status":"QUEUED"}`)
			})})
			if _, err := client.Submit(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			fingerprint, err := req.Fingerprint()
			if err != nil {
				t.Fatal(err)
			}
			fingerprints = append(fingerprints, fingerprint)
		}
		if len(bodies) != 2 {
			t.Fatalf("%d bodies were sent, want 2", len(bodies))
		}
		if (fingerprints[0] == fingerprints[1]) != (bodies[0] == bodies[1]) {
			t.Errorf("fingerprints %q of the bodies\n%s\n%s", fingerprints, bodies[0], bodies[1])
		}
	})
}
