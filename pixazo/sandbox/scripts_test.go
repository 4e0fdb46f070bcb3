// These tests play every script.

package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// observe puts an answer in a word or two: "drop", a status code, "html", "cut"
// (JSON that ends early), or the job's status, with "big" in front of it for
// more than 1 MiB.
func observe(t *testing.T, response *httptest.ResponseRecorder) string {
	t.Helper()
	if response == nil {
		return "drop"
	}
	body := response.Body.Bytes()
	if length := response.Header().Get("Content-Length"); length != "" && length != strconv.Itoa(len(body)) {
		t.Errorf("Content-Length %s of %d bytes", length, len(body))
	}
	switch {
	case response.Code == 429 && response.Header().Get("Retry-After") != "1" && response.Header().Get("Retry-After") != "86400":
		t.Errorf("429 has Retry-After %q", response.Header().Get("Retry-After"))
	case response.Code == 307 && response.Header().Get("Location") != "https://elsewhere.invalid"+submitPath:
		t.Errorf("307 has Location %q", response.Header().Get("Location"))
	}
	if response.Code != 200 {
		if !json.Valid(body) {
			t.Errorf("the error body is %s", body)
		}
		return strconv.Itoa(response.Code)
	}
	if strings.HasPrefix(response.Header().Get("Content-Type"), "text/html") && strings.Contains(string(body), "<html>") {
		return "html"
	}
	var answer struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		if strings.Count(string(body), "heygen-video-agent_") == 1 {
			return "cut"
		}
		t.Errorf("%v in %.200s", err, body)
	}
	if len(body) > 1<<20 {
		return "big " + answer.Status
	}
	return answer.Status
}

func TestEveryScriptPlaysAsDescribed(t *testing.T) {
	const minute = time.Minute // the job's duration
	ages := []time.Duration{time.Second, 12 * time.Second, 25 * time.Second, 45 * time.Second, minute}
	smooth := []string{"QUEUED", "PROCESSING", "PROCESSING", "PROCESSING", "COMPLETED"}
	middle := func(word string) []string { return []string{"QUEUED", "PROCESSING", word, "PROCESSING", "COMPLETED"} }
	end := func(word string) []string { return append(slices.Clone(smooth[:4]), word) }
	played := map[string]bool{}
	for _, c := range []struct {
		name   string
		submit string   // the answer to the submission
		follow []string // the status answers at the ages above; nil: it was not accepted
		takes  time.Duration
	}{
		{"", "QUEUED", smooth, 0},
		{"400", "400", nil, 0},
		{"401", "401", nil, 0},
		{"402", "402", nil, 0},
		{"403", "403", nil, 0},
		{"422", "422", nil, 0},
		{"429", "429", nil, 0},
		{"429-always", "429", nil, 0},
		{"500", "500", nil, 0},
		{"503", "503", nil, 0},
		{"redirect", "307", nil, 0},
		{"drop-before", "drop", nil, 0},
		{"drop-after", "drop", smooth, 0},
		{"slow", "QUEUED", smooth, 3 * time.Second},
		{"slow-forever", "drop", smooth, 4 * time.Second}, // the client leaves after 4 s
		{"truncated", "cut", smooth, 0},
		{"html", "html", smooth, 0},
		{"oversized", "big QUEUED", smooth, 0},
		{"finished", "COMPLETED", []string{"COMPLETED", "COMPLETED", "COMPLETED", "COMPLETED", "COMPLETED"}, 0},
		{"failed", "QUEUED", end("FAILED"), 0},
		{"error", "QUEUED", end("ERROR"), 0},
		{"hostile", "QUEUED", end("FAILED"), 0},
		{"unknown-status", "QUEUED", middle("RENDERING"), 0},
		{"url-string", "QUEUED", smooth, 0},
		{"status-401", "QUEUED", middle("401"), 0},
		{"status-404-early", "QUEUED", []string{"404", "404", "PROCESSING", "PROCESSING", "COMPLETED"}, 0},
		{"status-429", "QUEUED", middle("429"), 0},
		{"status-500", "QUEUED", middle("500"), 0},
		{"status-503", "QUEUED", middle("503"), 0},
		{"status-drop", "QUEUED", middle("drop"), 0},
		{"status-slow", "QUEUED", smooth, 0}, // its own test has the 2 s
		{"status-truncated", "QUEUED", middle("cut"), 0},
		{"status-html", "QUEUED", middle("html"), 0},
		{"status-oversized", "QUEUED", middle("big PROCESSING"), 0},
		{"media-expired", "QUEUED", smooth, 0}, // what happens to the video is in download_test.go
		{"media-gone", "QUEUED", smooth, 0},
		{"media-html", "QUEUED", smooth, 0},
		{"media-empty", "QUEUED", smooth, 0},
		{"media-drop", "QUEUED", smooth, 0},
		{"media-drop-norange", "QUEUED", smooth, 0},
		{"media-slow", "QUEUED", smooth, 0},
		{"two-videos", "QUEUED", smooth, 0},
		{"404", "404", nil, 0},
		{"403-credits", "403", nil, 0},
		{"error-object", "422", nil, 0},
		{"error-list", "422", nil, 0},
		{"error-message", "400", nil, 0},
		{"key-echo", "401", nil, 0},
		{"429-accepted", "429", smooth, 0},
		{"500-accepted", "500", smooth, 0},
		{"failure-code", "QUEUED", end("FAILED"), 0},
		{"stuck", "QUEUED", end("PROCESSING"), 0},
		{"status-429-day", "QUEUED", middle("429"), 0},
		{"extras", "QUEUED", smooth, 0},
		{"webhook-lost", "QUEUED", smooth, 0}, // what happens to webhooks is in webhook_test.go
		{"webhook-twice", "QUEUED", smooth, 0},
	} {
		played[c.name] = true
		t.Run("sandbox:"+c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var accepted []string
				s := New(Options{Duration: minute, Accepted: func(id string, _ []byte) { accepted = append(accepted, id) }})
				start := time.Now()
				prompt := "A presenter, Sandbox:" + strings.ToUpper(c.name) + ", then sandbox:failed."
				if c.name == "" {
					prompt = "A presenter in a sandbox: a child."
				}
				ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
				defer cancel()
				if got := observe(t, callWith(ctx, s, "POST", submitPath, string(encode(map[string]string{"prompt": prompt})))); got != c.submit {
					t.Errorf("submit: %s, want %s", got, c.submit)
				}
				if d := time.Since(start); d != c.takes {
					t.Errorf("the answer took %v, want %v", d, c.takes)
				}
				if c.follow == nil {
					if len(accepted) != 0 {
						t.Errorf("%d accepted", len(accepted))
					}
					return
				}
				if len(accepted) != 1 {
					t.Fatalf("%d accepted", len(accepted))
				}
				for i, age := range ages {
					pass(age - time.Since(start))
					if got := observe(t, call(s, "GET", statusPath+accepted[0], "")); got != c.follow[i] {
						t.Errorf("status after %v: %s, want %s", age, got, c.follow[i])
					}
				}
			})
		})
	}
	for _, s := range Scripts {
		if !played[s.Name] {
			t.Errorf("sandbox:%s is not tested", s.Name)
		}
	}
}

func TestScriptsOfErrorsHaveTheirForms(t *testing.T) {
	for name, want := range map[string]string{
		"403":           `{"error":"the subscription does not cover this API"}`,
		"403-credits":   `{"error":"insufficient credits, please top up your balance"}`,
		"error-object":  `{"error":{"code":"avatar_not_found","message":"the avatar does not exist","param":"avatar_id","doc_url":"https://docs.invalid/"}}`,
		"error-list":    `{"detail":[{"loc":["body","prompt"],"msg":"the prompt is too vague","type":"value_error"}]}`,
		"error-message": `{"statusCode":400,"message":["the voice does not speak"],"error":"Bad Request"}`,
		"key-echo":      "{\"error\":\"the key test\u200b-key was revoked\"}",
	} {
		if got := call(New(Options{}), "POST", submitPath, `{"prompt":"sandbox:`+name+`"}`).Body.String(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestScriptsThatAcceptInSpiteOfTheirStatusNameTheRequest(t *testing.T) {
	for name, retryAfter := range map[string]string{"429-accepted": "1", "500-accepted": ""} {
		id := ""
		s := New(Options{Accepted: func(got string, _ []byte) { id = got }})
		response := call(s, "POST", submitPath, `{"prompt":"sandbox:`+name+`"}`)
		if body := response.Body.String(); !strings.HasPrefix(body, `{"request_id":"`+id+`"`) || response.Header().Get("Retry-After") != retryAfter {
			t.Errorf("%s: %v %s", name, response.Header(), body)
		}
	}
}

func TestScriptExtrasAreThereToBeFetched(t *testing.T) {
	s := New(Options{})
	base := "http://example.com" + mediaPath + scripted(t, "extras").id()
	var answer struct{ Output map[string]any }
	if err := json.Unmarshal(call(s, "GET", statusPath+scripted(t, "extras").id(), "").Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]any{
		"duration": 5.0, "title": "A sandbox video", "thumbnail_url": base + "/preview.gif", "gif_url": base + "/preview.gif",
		"subtitle_url": base + "/captions.srt", "captioned_video_url": base + "/output.mp4",
	} {
		if answer.Output[field] != want {
			t.Errorf("%s is %v, want %v", field, answer.Output[field], want)
		}
	}
	for file, contentType := range map[string]string{"/preview.gif": "image/gif", "/captions.srt": "application/x-subrip", "/output.mp4": "video/mp4"} {
		if got := call(s, "GET", base+file, ""); got.Code != 200 || got.Header().Get("Content-Type") != contentType || got.Body.Len() < 50 {
			t.Errorf("%s: %d %v, %d bytes", file, got.Code, got.Header(), got.Body.Len())
		}
	}
}

func TestScriptFailureCodeHasNoErrorField(t *testing.T) {
	got := call(New(Options{}), "GET", statusPath+scripted(t, "failure-code").id(), "").Body.String()
	for _, part := range []string{`"status":"FAILED"`, `"error":null`, `"output":null`, `"failure_code":"script_too_long"`, `"failure_message":"the script is too long for one video"`} {
		if !strings.Contains(got, part) {
			t.Errorf("no %s in %s", part, got)
		}
	}
}

func TestScript429RefusesAPromptOnce(t *testing.T) {
	s := New(Options{})
	prompt := func(i int) string { return fmt.Sprintf(`{"prompt":"sandbox:429 number %d"}`, i) }
	for i, want := range []int{429, 200, 200} {
		if response := call(s, "POST", submitPath, prompt(0)); response.Code != want {
			t.Errorf("submission %d: %d, want %d", i+1, response.Code, want)
		}
	}
	if response := call(s, "POST", submitPath, prompt(1)); response.Code != 429 {
		t.Errorf("another prompt: %d", response.Code)
	}
}

func TestScript429AlwaysRefusesAgain(t *testing.T) {
	s := New(Options{})
	for range 3 {
		if response := call(s, "POST", submitPath, `{"prompt":"sandbox:429-always"}`); response.Code != 429 {
			t.Errorf("answered %d", response.Code)
		}
	}
}

func TestScriptStatusSlowTakesTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Duration: time.Minute})
		id := submitPrompt(t, s, "sandbox:status-slow")
		for range 3 {
			start := time.Now()
			call(s, "GET", statusPath+id, "")
			if d := time.Since(start); d != 2*time.Second {
				t.Errorf("took %v", d)
			}
			pass(30 * time.Second)
		}
	})
}

func TestScriptFinishedCarriesTheOutputAndItsVideoExists(t *testing.T) {
	s := New(Options{Duration: time.Hour})
	response := call(s, "POST", submitPath, `{"prompt":"sandbox:finished"}`)
	var answer struct {
		Status string
		Output struct {
			MediaURL  []string `json:"media_url"`
			MediaType string   `json:"media_type"`
		}
	}
	if err := json.Unmarshal(response.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Status != "COMPLETED" || len(answer.Output.MediaURL) != 1 || answer.Output.MediaType != "video/mp4" {
		t.Fatalf("answer %s", response.Body)
	}
	if video := call(s, "GET", answer.Output.MediaURL[0], ""); video.Code != 200 {
		t.Errorf("the video answers %d", video.Code)
	}
}

func TestScriptsThatEndAJobShapeItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Duration: time.Second})
		ids := map[string]string{}
		for _, name := range []string{"failed", "error", "hostile", "url-string"} {
			ids[name] = submitPrompt(t, s, "sandbox:"+name)
		}
		pass(time.Second)
		for name, id := range ids {
			var body struct {
				Error       *string
				Output      *struct{ MediaURL any } // never filled: only null or not counts
				CompletedAt *string                 `json:"completed_at"`
			}
			raw := call(s, "GET", statusPath+id, "").Body.String()
			if err := json.Unmarshal([]byte(raw), &body); err != nil {
				t.Fatal(err)
			}
			if body.CompletedAt == nil {
				t.Errorf("%s: completed_at is null", name)
			}
			if name == "url-string" {
				if want := `"media_url":"http://example.com/media/` + id + `/output.mp4"`; !strings.Contains(raw, want) {
					t.Errorf("%s: %s", name, raw)
				}
				continue
			}
			if body.Output != nil || body.Error == nil || *body.Error == "" {
				t.Errorf("%s: %s", name, raw)
			}
			if name == "hostile" {
				for _, part := range []string{"\x1b[31m", "\x00", "\u009b", "\u202e", "\r", "onerror=", "<script>", "ignore all previous instructions"} {
					if !strings.Contains(*body.Error, part) {
						t.Errorf("%s: no %q in %q", name, part, *body.Error)
					}
				}
			}
		}
	})
}

func TestUnknownScriptIsRefusedWithTheKnownNames(t *testing.T) {
	accepted := 0
	s := New(Options{Accepted: func(string, []byte) { accepted++ }})
	response := call(s, "POST", submitPath, `{"prompt":"sandbox:faild and sandbox:failed"}`)
	text := errorText(t, response)
	if response.Code != 400 || accepted != 0 || !strings.Contains(text, "sandbox:faild") {
		t.Errorf("%d %s, %d accepted", response.Code, text, accepted)
	}
	for _, script := range Scripts {
		if !strings.Contains(text, " "+script.Name) {
			t.Errorf("the error does not name %s", script.Name)
		}
	}
}

func TestScriptsFitIntoAnID(t *testing.T) {
	if len(Scripts) >= 1<<6 {
		t.Errorf("%d scripts, an id has room for 63", len(Scripts))
	}
	for i, s := range Scripts {
		if s.Meaning == "" || strings.HasSuffix(s.Meaning, ".") {
			t.Errorf("sandbox:%s means %q", s.Name, s.Meaning)
		}
		if found, err := findScript("sandbox:" + s.Name); err != nil || found != i+1 {
			t.Errorf("sandbox:%s finds %d, %v", s.Name, found, err)
		}
	}
}
