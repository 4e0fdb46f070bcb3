// These tests cover the three answers over HTTP. Those that need time run in a
// synctest bubble and call ServeHTTP; those that need a connection use a server.

package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const testKey = "test-key"

// call makes a request without a server. It returns nil if the connection
// would have been dropped. headers are name, value, name, value …
func call(s *Sandbox, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	return callWith(context.Background(), s, method, target, body, headers...)
}

// callWith is call for a client that leaves when ctx ends.
func callWith(ctx context.Context, s *Sandbox, method, target, body string, headers ...string) (response *httptest.ResponseRecorder) {
	r := httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	r.Header.Set("Ocp-Apim-Subscription-Key", testKey)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			response = nil
		} else if p != nil {
			panic(p)
		}
	}()
	response = httptest.NewRecorder()
	s.ServeHTTP(response, r)
	return response
}

// submitPrompt submits and returns the answer's request_id.
func submitPrompt(t *testing.T, s *Sandbox, prompt string, headers ...string) string {
	t.Helper()
	response := call(s, "POST", submitPath, string(encode(map[string]string{"prompt": prompt})), headers...)
	if response == nil || response.Code != 200 {
		t.Fatalf("submit %q: %+v", prompt, response)
	}
	var answer submitAnswer
	if err := json.Unmarshal(response.Body.Bytes(), &answer); err != nil {
		t.Fatalf("submit %q: %v in %.200s", prompt, err, response.Body)
	}
	return answer.RequestID
}

// pass lets time go by. Only for a synctest bubble, where the clock is fake.
func pass(d time.Duration) { <-time.After(d) }

// errorText returns the error of a JSON error body.
func errorText(t *testing.T, response *httptest.ResponseRecorder) string {
	t.Helper()
	var body map[string]string
	if err := json.Unmarshal(response.Body.Bytes(), &body); err != nil || len(body) != 1 || body["error"] == "" {
		t.Fatalf(`the error body is %s, want {"error": "…"}`, response.Body)
	}
	if got := response.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type of an error: %q", got)
	}
	return body["error"]
}

func TestSubmitAnswersWithTheDocumentedBody(t *testing.T) {
	var accepted []string
	s := New(Options{Accepted: func(id string, body []byte) { accepted = append(accepted, id+" "+string(body)) }})
	body := `{"prompt":"A presenter.","mode":"generate","orientation":"landscape"}`
	for scheme, target := range map[string]string{"http": submitPath, "https": "https://gateway.test:8443" + submitPath} {
		accepted = nil
		response := call(s, "POST", target, body, "Content-Type", "application/json; charset=utf-8")
		if response.Code != 200 || response.Header().Get("Content-Type") != "application/json" {
			t.Fatalf("answered %d, %v", response.Code, response.Header())
		}
		var answer map[string]string
		if err := json.Unmarshal(response.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		id := answer["request_id"]
		if !regexp.MustCompile(`^heygen-video-agent_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id) {
			t.Errorf("request_id %q is no UUIDv7 behind the prefix", id)
		}
		host := map[string]string{"http": "example.com", "https": "gateway.test:8443"}[scheme]
		if want := scheme + "://" + host + "/v2/requests/status/" + id; answer["polling_url"] != want {
			t.Errorf("polling_url %q, want %q", answer["polling_url"], want)
		}
		if answer["status"] != "QUEUED" || len(answer) != 3 {
			t.Errorf("answer %v", answer)
		}
		if len(accepted) != 1 || accepted[0] != id+" "+body {
			t.Errorf("Accepted was called with %q", accepted)
		}
	}
}

func TestStatusFollowsTheJobInTheDocumentedShape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pass(110 * time.Millisecond) // the bubble's clock starts at 2000-01-01T00:00:00Z
		s := New(Options{})
		id := submitPrompt(t, s, "A presenter.")
		const head = `"model_id":"heygen-video-agent","error":null,"output":`
		start := time.Now()
		for _, step := range []struct {
			at   time.Duration
			want string
		}{
			{0, `{"request_id":"ID","status":"QUEUED",` + head + `null,"created_at":"2000-01-01T00:00:00.110Z","updated_at":null,"completed_at":null}`},
			{1199 * time.Millisecond, `{"request_id":"ID","status":"QUEUED",` + head + `null,"created_at":"2000-01-01T00:00:00.110Z","updated_at":null,"completed_at":null}`},
			{1200 * time.Millisecond, `{"request_id":"ID","status":"PROCESSING",` + head + `null,"created_at":"2000-01-01T00:00:00.110Z","updated_at":"2000-01-01 00:00:01","completed_at":null}`},
			{7999 * time.Millisecond, `{"request_id":"ID","status":"PROCESSING",` + head + `null,"created_at":"2000-01-01T00:00:00.110Z","updated_at":"2000-01-01 00:00:01","completed_at":null}`},
			{8 * time.Second, `{"request_id":"ID","status":"COMPLETED",` + head + `{"media_url":["http://example.com/media/ID/output.mp4"],"media_type":"video/mp4"},` +
				`"created_at":"2000-01-01T00:00:00.110Z","updated_at":"2000-01-01 00:00:08","completed_at":"2000-01-01 00:00:08"}`},
		} {
			pass(step.at - time.Since(start))
			response := call(s, "GET", statusPath+id, "")
			if got := strings.ReplaceAll(response.Body.String(), id, "ID"); response.Code != 200 || got != step.want {
				t.Errorf("after %v: %d %s\nwant %s", step.at, response.Code, got, step.want)
			}
		}
	})
}

func TestDurationIsKeptWithinItsLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for set, want := range map[time.Duration]time.Duration{
			0: 8 * time.Second, -time.Second: time.Millisecond, time.Microsecond: time.Millisecond,
			3500 * time.Microsecond: 3 * time.Millisecond, time.Minute: time.Minute, 100 * time.Hour: time.Hour,
		} {
			j, ok := parseID(submitPrompt(t, New(Options{Duration: set}), "A presenter."))
			if !ok || j.duration != want {
				t.Errorf("Duration %v makes jobs of %v, want %v", set, j.duration, want)
			}
		}
	})
}

func TestJobIsFollowedFromASandboxWithOtherOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(Options{Duration: time.Minute})
		b := New(Options{Duration: time.Millisecond, Key: "another key"})
		for _, prompt := range []string{"landscape", "portrait", "sandbox:failed", "sandbox:status-500", "sandbox:url-string"} {
			id := submitPrompt(t, a, prompt)
			for range 13 {
				got, want := call(b, "GET", statusPath+id, "", "Ocp-Apim-Subscription-Key", "another key"), call(a, "GET", statusPath+id, "")
				if got.Code != want.Code || got.Body.String() != want.Body.String() {
					t.Errorf("%s: %d %s\nwant %d %s", prompt, got.Code, got.Body, want.Code, want.Body)
				}
				pass(5 * time.Second)
			}
			got, want := call(b, "GET", mediaPath+id+mediaFile, ""), call(a, "GET", mediaPath+id+mediaFile, "")
			if got.Code != want.Code || !bytes.Equal(got.Body.Bytes(), want.Body.Bytes()) {
				t.Errorf("%s: the two hand out different videos", prompt)
			}
		}
	})
}

func TestIDsOfOneMillisecondDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		seen := map[string]bool{}
		for range 2000 {
			seen[submitPrompt(t, s, "A presenter.")] = true
		}
		if len(seen) != 2000 {
			t.Errorf("2000 submissions made %d ids", len(seen))
		}
	})
}

func TestKeyIsCheckedOnSubmitAndStatusOnly(t *testing.T) {
	strict, open := New(Options{Key: testKey}), New(Options{})
	id := job{created: time.UnixMilli(1_767_225_600_000)}.id()
	for _, c := range []struct {
		name string
		s    *Sandbox
		key  string
		ok   bool
	}{
		{"right key", strict, testKey, true}, {"wrong key", strict, "test-kex", false}, {"longer key", strict, testKey + "1", false},
		{"no key", strict, "", false}, {"any key", open, "anything", true}, {"no key where any is good", open, "", false},
	} {
		for target, method := range map[string]string{submitPath: "POST", statusPath + id: "GET"} {
			response := call(c.s, method, target, `{"prompt":"a"}`, "Ocp-Apim-Subscription-Key", c.key)
			if c.ok && response.Code != 200 || !c.ok && response.Code != 401 {
				t.Errorf("%s, %s: %d", c.name, target, response.Code)
			}
			if !c.ok {
				errorText(t, response)
			}
		}
		if response := call(c.s, "GET", mediaPath+id+mediaFile, "", "Ocp-Apim-Subscription-Key", c.key); response.Code != 200 {
			t.Errorf("%s: the video answers %d", c.name, response.Code)
		}
	}
}

func TestWrongMethodsAndPathsAreRefused(t *testing.T) {
	s := New(Options{})
	id := job{created: time.UnixMilli(1_767_225_600_000)}.id()
	for _, c := range []struct {
		method, target string
		code           int
		allow          string
	}{
		{"GET", submitPath, 405, "POST"}, {"PUT", submitPath, 405, "POST"},
		{"POST", statusPath + id, 405, "GET, HEAD"}, {"DELETE", statusPath + id, 405, "GET, HEAD"},
		{"POST", mediaPath + id + mediaFile, 405, "GET, HEAD"},
		{"GET", "/", 404, ""}, {"POST", submitPath + "/", 404, ""}, {"GET", statusPath, 404, ""},
		{"GET", statusPath + id + "/", 404, ""}, {"GET", mediaPath + id, 404, ""}, {"GET", mediaPath + id + "/output.webm", 404, ""}, {"GET", "/media/output.mp4", 404, ""},
		{"PUT", mediaPath + id + secondFile, 405, "GET, HEAD"}, {"GET", mediaPath + id + secondFile, 404, ""}, {"GET", mediaPath + id + "/output-3.mp4", 404, ""},
		{"GET", mediaPath + id + previewFile, 404, ""}, {"GET", mediaPath + id + captionsFile, 404, ""},
	} {
		response := call(s, c.method, c.target, "")
		if response.Code != c.code || response.Header().Get("Allow") != c.allow {
			t.Errorf("%s %s: %d, Allow %q", c.method, c.target, response.Code, response.Header().Get("Allow"))
		}
	}
}

func TestBodyThatIsTooLargeAnswers413(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("POST", submitPath, bytes.NewReader(make([]byte, maxBody+1)))
	r.Header.Set("Ocp-Apim-Subscription-Key", testKey)
	r.Header.Set("Content-Type", "application/json")
	response := httptest.NewRecorder()
	New(Options{}).ServeHTTP(response, r)
	if response.Code != 413 {
		t.Errorf("answered %d", response.Code)
	}
	errorText(t, response)
}

func TestVideoIsServedOnceTheJobIsCompleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Duration: time.Minute})
		wide, tall := submitPrompt(t, s, "A presenter."), submitPrompt(t, s, "A VERTICAL video.")
		failed := submitPrompt(t, s, "sandbox:failed")
		if response := call(s, "GET", mediaPath+wide+mediaFile, ""); response.Code != 404 {
			t.Errorf("an unfinished video answers %d", response.Code)
		}
		pass(time.Minute)
		for id, want := range map[string][]byte{wide: landscapeVideo, tall: portraitVideo} {
			response := call(s, "GET", mediaPath+id+mediaFile, "")
			if response.Code != 200 || !bytes.Equal(response.Body.Bytes(), want) {
				t.Errorf("answered %d with %d bytes, want %d bytes", response.Code, response.Body.Len(), len(want))
			}
		}
		if response := call(s, "GET", mediaPath+failed+mediaFile, ""); response.Code != 404 {
			t.Errorf("a failed video answers %d", response.Code)
		}
	})
}

func TestOrientationPicksTheVideo(t *testing.T) {
	for body, portrait := range map[string]bool{
		`{"prompt":"a"}`: false, `{"prompt":"a Portrait of a dog"}`: true, `{"prompt":"vertical"}`: true,
		`{"prompt":"vertical","orientation":"landscape"}`: false, `{"prompt":"a","orientation":"portrait"}`: true,
	} {
		var id string
		s := New(Options{Accepted: func(got string, _ []byte) { id = got }})
		call(s, "POST", submitPath, body)
		if j, ok := parseID(id); !ok || j.portrait != portrait {
			t.Errorf("%s: portrait is %v", body, j.portrait)
		}
	}
}

func TestVideoSupportsRangesAndConditions(t *testing.T) {
	server := httptest.NewServer(New(Options{}))
	defer server.Close()
	url := server.URL + mediaPath + job{created: time.UnixMilli(1_767_225_600_000)}.id() + mediaFile
	get := func(method string, headers ...string) (*http.Response, []byte) {
		r, _ := http.NewRequest(method, url, nil)
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response, body
	}
	whole, body := get("GET")
	if whole.StatusCode != 200 || whole.Header.Get("Content-Type") != "video/mp4" || whole.Header.Get("Accept-Ranges") != "bytes" || !bytes.Equal(body, landscapeVideo) {
		t.Errorf("GET: %d %v, %d bytes", whole.StatusCode, whole.Header, len(body))
	}
	if got := whole.Header.Get("Last-Modified"); got != "Thu, 01 Jan 2026 00:00:00 GMT" {
		t.Errorf("Last-Modified %q", got)
	}
	if head, body := get("HEAD"); head.StatusCode != 200 || head.ContentLength != int64(len(landscapeVideo)) || len(body) != 0 {
		t.Errorf("HEAD: %d, length %d", head.StatusCode, head.ContentLength)
	}
	part, body := get("GET", "Range", "bytes=100-199", "If-Range", whole.Header.Get("ETag"))
	if part.StatusCode != 206 || !bytes.Equal(body, landscapeVideo[100:200]) {
		t.Errorf("Range: %d, %d bytes", part.StatusCode, len(body))
	}
	if past, _ := get("GET", "Range", "bytes=1000000-"); past.StatusCode != 416 {
		t.Errorf("Range past the end: %d", past.StatusCode)
	}
	if same, _ := get("GET", "If-None-Match", whole.Header.Get("ETag")); same.StatusCode != 304 {
		t.Errorf("If-None-Match: %d", same.StatusCode)
	}
}

func TestDroppedConnectionsReachTheClientAsErrors(t *testing.T) {
	var accepted atomic.Int32
	s := New(Options{Accepted: func(string, []byte) { accepted.Add(1) }})
	server := httptest.NewServer(s)
	defer server.Close()
	post := func(ctx context.Context, prompt string) (*http.Response, error) {
		r, _ := http.NewRequestWithContext(ctx, "POST", server.URL+submitPath, bytes.NewReader(encode(map[string]string{"prompt": prompt})))
		r.Header.Set("Ocp-Apim-Subscription-Key", testKey)
		r.Header.Set("Content-Type", "application/json")
		return server.Client().Do(r)
	}
	if _, err := post(t.Context(), "sandbox:drop-before"); !errors.Is(err, io.EOF) || accepted.Load() != 0 {
		t.Errorf("drop-before: %v, %d accepted", err, accepted.Load())
	}
	if _, err := post(t.Context(), "sandbox:drop-after"); !errors.Is(err, io.EOF) || accepted.Load() != 1 {
		t.Errorf("drop-after: %v, %d accepted", err, accepted.Load())
	}

	// The handler must notice that the client left, or server.Close would wait for it.
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	go func() {
		for ctx.Err() == nil && accepted.Load() < 2 {
			time.Sleep(time.Millisecond)
		}
		leave()
	}()
	if _, err := post(ctx, "sandbox:slow-forever"); !errors.Is(err, context.Canceled) || accepted.Load() != 2 {
		t.Errorf("slow-forever: %v, %d accepted", err, accepted.Load())
	}

	response, err := post(t.Context(), "sandbox:truncated")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || response.ContentLength != int64(len(body)) || json.Valid(body) {
		t.Errorf("truncated: %q, Content-Length %d, %v", body, response.ContentLength, err)
	}
}

func TestCloseReleasesAnswersThatAreHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		for _, name := range []string{"slow", "slow-forever"} {
			go func() {
				if response := call(s, "POST", submitPath, `{"prompt":"sandbox:`+name+`"}`); response != nil {
					t.Errorf("%s: answered %d", name, response.Code)
				}
			}()
		}
		synctest.Wait()
		start := time.Now()
		s.Close()
		synctest.Wait()
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v", d)
		}
	})
}

func TestSlowAnswerEndsWhenTheClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		response := callWith(ctx, New(Options{}), "POST", submitPath, `{"prompt":"sandbox:slow"}`)
		if d := time.Since(start); response != nil || d != time.Second {
			t.Errorf("answered %+v after %v", response, d)
		}
	})
}
