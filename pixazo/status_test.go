// These tests hold how a job is asked for: where the key may go, what is asked
// again and for how long. Time is fake, so that the waits are exact.

package pixazo

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const statusURL = "https://gateway.pixazo.ai/v2/requests/status/" + testID

func TestStatusIsAskedAgainOnlyForPassingFailures(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	working := answered(200, workingBody)
	limited := func(retryAfter string) reply { return answered(429, "", "Retry-After: "+retryAfter) }
	tests := []struct {
		name      string
		replies   []reply
		code      Code
		status    int
		asked     int
		low, high time.Duration // high 0 means exactly low
	}{
		{"answered", []reply{working}, "", 0, 1, 0, 0},
		{"answered late", []reply{late(14*s, working)}, "", 0, 1, 14 * s, 0},

		{"500 once", []reply{answered(500, ""), working}, "", 0, 2, low1, high1},
		{"500 twice", []reply{answered(500, ""), answered(503, ""), working}, "", 0, 3, low2, high2},
		{"500 without end", []reply{answered(500, `{"error":"oops"}`)}, GatewayError, 500, 3, low2, high2},
		{"503 with Retry-After", []reply{answered(503, "", "Retry-After: 4"), working}, "", 0, 2, 4 * s, 0},
		{"500 oversized", []reply{answered(500, strings.Repeat(" ", maxAnswer+1)), working}, "", 0, 2, low1, high1},
		{"429 once", []reply{limited("2"), working}, "", 0, 2, 2 * s, 0},
		{"429 without end", []reply{limited("2")}, RateLimited, 429, 3, 4 * s, 0},
		{"429 for 15 s", []reply{limited("15")}, RateLimited, 429, 2, 15 * s, 0},
		{"429 for longer", []reply{limited("16"), working}, RateLimited, 429, 1, 0, 0},
		{"429 cut off", []reply{cutOff(429, "{", "Retry-After: 2"), working}, "", 0, 2, 2 * s, 0},
		{"no connection", []reply{notConnected}, GatewayUnreachable, 0, 3, low2, high2},
		{"connection dropped", []reply{dropped, working}, "", 0, 2, low1, high1},
		{"transport that tells nothing", []reply{untraced, working}, "", 0, 2, low1, high1},
		{"answer cut off", []reply{cutOff(200, workingBody[:30]), working}, "", 0, 2, low1, high1},
		{"answer cut off without end", []reply{cutOff(200, workingBody[:30])}, GatewayUnreachable, 200, 3, low2, high2},

		{"no answer in time", []reply{silent}, GatewayUnreachable, 0, 1, 15 * s, 0},
		{"answer stalled", []reply{stalled(200, workingBody[:30])}, GatewayUnreachable, 200, 1, 15 * s, 0},
		{"no connection in time", []reply{dialling}, GatewayUnreachable, 0, 1, 15 * s, 0},
		{"second try begun within 15 s", []reply{late(14*s, answered(503, "")), silent}, GatewayUnreachable, 0, 2, 29*s + low1, 29*s + high1},
		{"none begun after 15 s", []reply{late(14800*ms, answered(503, "")), working}, GatewayError, 503, 1, 14800 * ms, 0},

		{"400", []reply{answered(400, `{"error":"no"}`), working}, InvalidArgument, 400, 1, 0, 0},
		{"400 cut off", []reply{cutOff(400, `{"err`), working}, GatewayError, 400, 1, 0, 0},
		{"401", []reply{answered(401, ""), working}, Unauthorized, 401, 1, 0, 0},
		{"401 cut off", []reply{cutOff(401, "{"), working}, Unauthorized, 401, 1, 0, 0},
		{"402", []reply{answered(402, ""), working}, OutOfCredits, 402, 1, 0, 0},
		{"403", []reply{answered(403, ""), working}, Unauthorized, 403, 1, 0, 0},
		{"404", []reply{answered(404, `{"error":"who?"}`), working}, NotFound, 404, 1, 0, 0},
		{"404 cut off", []reply{cutOff(404, "{"), working}, NotFound, 404, 1, 0, 0},
		{"408", []reply{answered(408, ""), working}, GatewayError, 408, 1, 0, 0},
		{"410", []reply{answered(410, `{"message":"gone"}`), working}, InvalidArgument, 410, 1, 0, 0},
		{"300", []reply{answered(300, ""), working}, GatewayError, 300, 1, 0, 0},
		{"302 to nowhere", []reply{answered(302, ""), working}, GatewayError, 302, 1, 0, 0},
		{"304", []reply{answered(304, ""), working}, GatewayError, 304, 1, 0, 0},

		{"HTML", []reply{answered(200, "<html>"), working}, BadResponse, 200, 1, 0, 0},
		{"empty", []reply{answered(200, ""), working}, BadResponse, 200, 1, 0, 0},
		{"no content", []reply{answered(204, ""), working}, BadResponse, 204, 1, 0, 0},
		{"truncated", []reply{answered(200, workingBody[:60]), working}, BadResponse, 200, 1, 0, 0},
		{"oversized", []reply{answered(200, workingBody+strings.Repeat(" ", maxAnswer)), working}, BadResponse, 200, 1, 0, 0},
		{"about another request", []reply{answered(200, strings.ReplaceAll(workingBody, testID, otherID)), working}, BadResponse, 200, 1, 0, 0},
		{"about no request", []reply{answered(200, `{"status":"PROCESSING"}`), working}, "", 0, 1, 0, 0},
		{"about null", []reply{answered(200, `{"request_id":null,"status":"PROCESSING"}`), working}, "", 0, 1, 0, 0},
		{"about nothing", []reply{answered(200, `{"request_id":"","status":"PROCESSING"}`), working}, "", 0, 1, 0, 0},
		{"about an unusable one", []reply{answered(200, `{"request_id":"a/b","status":"PROCESSING"}`), working}, BadResponse, 200, 1, 0, 0},
		{"about a number", []reply{answered(200, `{"request_id":17,"status":"PROCESSING"}`), working}, BadResponse, 200, 1, 0, 0},
		{"without a status", []reply{answered(200, `{"request_id":"`+testID+`"}`), working}, BadResponse, 200, 1, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(t, tt.replies...)
				job, err := newTestClient(t, s).Status(t.Context(), testID, StatusOptions{})
				e := checkError(t, err, tt.code)
				if e.HTTPStatus != tt.status {
					t.Errorf("error with HTTP status %d, want %d", e.HTTPStatus, tt.status)
				}
				switch {
				case err == nil && (job.RequestID != testID || job.Status != Processing):
					t.Errorf("job %+v", job)
				case err != nil && (e.RequestID != testID || job.RequestID != ""):
					t.Errorf("error names request_id %q beside job %+v", e.RequestID, job)
				}
				if n := len(s.arrivals()); n != tt.asked {
					t.Errorf("asked %d times, want %d", n, tt.asked)
				}
				checkBetween(t, "took", s.elapsed(), tt.low, max(tt.low, tt.high))
			})
		})
	}
}

func TestStatusGivenUpByItsCallerIsCancelled(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reply reply
		after time.Duration
		code  Code
		asked int
	}{
		{"before it is sent", dialling, 0, Cancelled, 0},
		{"while dialling", dialling, time.Second, Cancelled, 1},
		{"while waiting for the answer", silent, time.Second, Cancelled, 1},
		{"while reading the answer", stalled(200, workingBody[:10]), time.Second, Cancelled, 1},
		{"while reading a failure", stalled(500, "{"), time.Second, Cancelled, 1},
		// The last failure says more than that the caller left.
		{"between two tries", answered(500, "", "Retry-After: 9"), time.Second, GatewayError, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(t, tt.reply)
				ctx, cancel := context.WithTimeout(t.Context(), tt.after)
				defer cancel()
				_, err := newTestClient(t, s).Status(ctx, testID, StatusOptions{})
				if e := checkError(t, err, tt.code); e.RequestID != testID {
					t.Errorf("error names request_id %q", e.RequestID)
				}
				if n := len(s.arrivals()); n != tt.asked {
					t.Errorf("asked %d times, want %d", n, tt.asked)
				}
				checkBetween(t, "took", s.elapsed(), tt.after, tt.after)
			})
		})
	}
}

func TestStatusSendsTheKeyAndNothingElse(t *testing.T) {
	s := newScript(t, answered(200, workingBody))
	c := newTestClient(t, s, func(config *Config) { config.UserAgent = "pixazo-mcp/1.2" })
	if _, err := c.Status(t.Context(), testID, StatusOptions{}); err != nil {
		t.Fatal(err)
	}
	got := s.arrivals()[0]
	if got.method != "GET" || got.url != statusURL || got.body != "" {
		t.Errorf("sent %s %s with body %q", got.method, got.url, got.body)
	}
	checkHeader(t, got.header, map[string][]string{
		"Cache-Control":             {"no-cache"},
		"Accept":                    {"application/json"},
		"User-Agent":                {"pixazo-mcp/1.2"},
		"Ocp-Apim-Subscription-Key": {testSecret},
	})
}

func TestStatusRefusesAnInvalidRequestIDUnsent(t *testing.T) {
	s := newScript(t, answered(200, workingBody))
	for _, id := range []string{"", "..", "a/b", "a b", "a\nb", "a?b", testSecret, IDPrefix + strings.ToUpper(testSecret)} {
		_, err := newTestClient(t, s).Status(t.Context(), id, StatusOptions{PollingURL: statusURL})
		checkError(t, err, InvalidArgument)
	}
	if n := len(s.arrivals()); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestPollingURLThatKnowsNoJobGivesWayToTheDocumentedAddress(t *testing.T) {
	for name, first := range map[string]reply{
		"not found":           answered(404, ""),
		"refused":             answered(400, `{"error":"request_id is missing"}`),
		"a page":              answered(200, "<html>"),
		"no status":           answered(200, "{}"),
		"about another video": answered(200, strings.ReplaceAll(workingBody, testID, otherID)),
	} {
		s := newScript(t, first, answered(200, workingBody))
		job, err := newTestClient(t, s).Status(t.Context(), testID, StatusOptions{PollingURL: "https://gateway.pixazo.ai/v3/1"})
		if err != nil || job.Status != Processing {
			t.Errorf("%s: got %+v, %v", name, job, err)
		}
		if got := s.arrivals(); len(got) != 2 || !strings.HasSuffix(got[1].url, "/v2/requests/status/"+testID) {
			t.Errorf("%s: asked %+v", name, got)
		}
	}
}

func TestPollingURLIsUsedOnlyOnTheGatewaysOrigin(t *testing.T) {
	const loopback = "http://127.0.0.1:8080"
	for _, tt := range []struct {
		gateway string
		url     string
		used    string // "" means that the documented address is used
	}{
		{"", "", ""},
		{"", "https://gateway.pixazo.ai/v3/jobs/1?a=b", "https://gateway.pixazo.ai/v3/jobs/1?a=b"},
		{"", "https://gateway.pixazo.ai:443/v3/1", "https://gateway.pixazo.ai:443/v3/1"},
		{"https://gateway.pixazo.ai:443/", "https://gateway.pixazo.ai/v3/1", "https://gateway.pixazo.ai/v3/1"},
		{"", "HTTPS://Gateway.PIXAZO.ai/v3/1", "https://Gateway.PIXAZO.ai/v3/1"},
		{"", "http://gateway.pixazo.ai/v3/1", ""},
		{"", "http://gateway.pixazo.ai:443/v3/1", ""},
		{"", "https://gateway.pixazo.ai:8443/v3/1", ""},
		{"", "https://gateway.pixazo.ai.evil.example/v3/1", ""},
		{"", "https://evil.example/gateway.pixazo.ai/v3/1", ""},
		{"", "https://api.pixazo.ai/v3/1", ""},
		{"", "https://pixazo.ai/v3/1", ""},
		{"", "https://gateway.pixazo.ai./v3/1", "https://gateway.pixazo.ai./v3/1"},
		{"", "https://gateway.pixazo.ai:0443/v3/1", "https://gateway.pixazo.ai:0443/v3/1"},
		{"", "https://gateway.pixazo.ai../v3/1", ""},
		{"", "https://user@gateway.pixazo.ai/v3/1", ""},
		{"", "https://user:pass@gateway.pixazo.ai/v3/1", ""},
		{"", "https://gateway.pixazo.ai@evil.example/v3/1", ""},
		{"", `https://gateway.pixazo.ai\@evil.example/v3/1`, ""},
		{"", "//gateway.pixazo.ai/v3/1", ""},
		{"", "/v3/1", ""},
		{"", "v3/1", ""},
		{"", "https:gateway.pixazo.ai/v3/1", ""},
		{"", "javascript:alert(1)", ""},
		{"", "https://gateway.pixazo.ai/a\r\nb", ""},
		{"", " https://gateway.pixazo.ai/v3/1", ""},
		{"", "https://%67ateway.pixazo.ai/v3/1", ""},
		{"", "https://gateway.pixazo.ai/" + strings.Repeat("a", maxURLLength), ""},
		{loopback, loopback + "/v3/1", loopback + "/v3/1"},
		{loopback, "http://localhost:8080/v3/1", ""},
		{loopback, "http://127.0.0.1:8081/v3/1", ""},
		{loopback, "http://127.0.0.1/v3/1", ""},
		{loopback, "https://127.0.0.1:8080/v3/1", ""},
		{"http://[::1]:80", "http://[::1]/v3/1", "http://[::1]/v3/1"},
	} {
		t.Run(tt.gateway+" "+tt.url[:min(len(tt.url), 60)], func(t *testing.T) {
			s := newScript(t, answered(200, workingBody))
			c := newTestClient(t, s, func(config *Config) { config.GatewayURL = tt.gateway })
			if _, err := c.Status(t.Context(), testID, StatusOptions{PollingURL: tt.url}); err != nil {
				t.Fatal(err)
			}
			want := tt.used
			if want == "" {
				want = c.origin + "/v2/requests/status/" + testID
			}
			if got := s.arrivals()[0].url; got != want {
				t.Errorf("asked %s, want %s", got, want)
			}
		})
	}
}

func TestRequestLogNamesTheExchangeAndTheRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, answered(500, ""), answered(200, workingBody))
		c := newTestClient(t, s)
		log := captureLog(c)
		if _, err := c.Status(t.Context(), testID, StatusOptions{}); err != nil {
			t.Fatal(err)
		}
		got := log.String()
		for _, want := range []string{"gateway exchange", "method=GET", "path=/v2/requests/status/" + testID, "status=500", "status=200", "asking the gateway again"} {
			if !strings.Contains(got, want) {
				t.Errorf("the log lacks %q:\n%s", want, got)
			}
		}
		checkNoKey(t, "the log", got)
	})
}

// TestKeyRepeatedByTheGatewayIsHidden: a gateway that names the key it refuses
// must not bring it into an answer or a log, in whatever form JSON has for it.
func TestKeyRepeatedByTheGatewayIsHidden(t *testing.T) {
	for _, form := range []struct{ name, key string }{
		{"as it is", testSecret},
		{"first character escaped", jsonEscaped(testSecret[:1]) + testSecret[1:]},
		{"one in the middle escaped", testSecret[:16] + jsonEscaped(testSecret[16:17]) + testSecret[17:]},
		{"all escaped", jsonEscaped(testSecret)},
		{"all escaped in capitals", strings.ReplaceAll(strings.ToUpper(jsonEscaped(testSecret)), `\U`, `\u`)},
		{"in capitals", strings.ToUpper(testSecret)},
		{"zero width space inside", testSecret[:9] + "\u200b" + testSecret[9:]},
		{"zero width space inside, escaped", testSecret[:9] + `\u200b` + testSecret[9:]},
		{"control character inside", testSecret[:9] + `\u0001` + testSecret[9:]},
		{"override inside", testSecret[:9] + "\u202e" + testSecret[9:]},
		{"invalid bytes inside", testSecret[:9] + "\xff" + testSecret[9:]},
		{"variation selector inside", testSecret[:9] + "\ufe0f" + testSecret[9:]},
		{"line break inside", testSecret[:9] + `\r\n` + testSecret[9:]},
		{"percent-encoded", strings.ReplaceAll(jsonEscaped(testSecret), `\u00`, "%")},
		{"HTML-escaped", strings.ReplaceAll(jsonEscaped(testSecret), `\u00`, ";&#x")[1:] + ";"},
		{"hexadecimal", hex.EncodeToString([]byte(testSecret))},
		{"base64 of a password", base64.StdEncoding.EncodeToString([]byte("key:" + testSecret))},
		{"JSON in JSON", strings.ReplaceAll(jsonEscaped(testSecret), `\`, `\\`)},
	} {
		for _, tt := range []struct {
			name  string
			reply reply
		}{
			{"refusal", answered(401, `{"error":"invalid subscription key `+form.key+`"}`)},
			{"refusal in another form", answered(403, `{"message":{"key":"`+form.key+`"}}`)},
			{"failure", answered(500, `{"error":"`+form.key+`"}`)},
			{"failed job", answered(200, `{"request_id":"`+testID+`","status":"FAILED","error":"key `+form.key+` was revoked"}`)},
			{"failed job in another form", answered(200, `{"request_id":"`+testID+`","status":"FAILED","error":["`+form.key+`"]}`)},
			{"failed job at the cut", answered(200, `{"request_id":"`+testID+`","status":"FAILED","error":"`+strings.Repeat("x", 980)+form.key+`"}`)},
			{"status word", answered(200, `{"request_id":"`+testID+`","status":"`+form.key+`"}`)},
			{"status word, with dots", answered(200, `{"request_id":"`+testID+`","status":"`+strings.Join(strings.Split(testSecret, ""), ".")+`"}`)},
			{"request_id", answered(200, `{"request_id":"`+form.key+`","status":"QUEUED"}`)},
			{"video", answered(200, `{"request_id":"`+testID+`","status":"COMPLETED","output":{"media_url":"https://x.example/?k=`+form.key+`","media_type":"`+form.key+`"}}`)},
			{"at the cut of a long text", answered(400, `{"error":"`+strings.Repeat("x", 480)+form.key+`"}`)},
			{"behind what can't be read", answered(200, `{"error":"`+form.key+`"`)},
			{"redirect", answered(302, "", "Location: https://evil.example/?key="+form.key)},
			{"redirect to an unreadable place", answered(302, "", "Location: http://%zz/?key="+form.key)},
			{"unreadable place, at the cut", answered(307, "", "Location: http://%zz/"+strings.Repeat("x", 130)+form.key)},
		} {
			t.Run(tt.name+" "+form.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newTestClient(t, newScript(t, tt.reply))
					job, err := submit(t.Context(), c, VideoRequest{Prompt: "p"})
					checkHidden(t, job, err)
					job, err = c.Status(t.Context(), testID, StatusOptions{})
					checkHidden(t, job, err)
				})
			})
		}
	}
}

// jsonEscaped is s as JSON may write it: every character by its number.
func jsonEscaped(s string) string {
	var b strings.Builder
	for _, c := range s {
		fmt.Fprintf(&b, `\u%04x`, c)
	}
	return b.String()
}

// TestStatusesInBackoffHoldUpNobody: 64 status requests may be under way, but
// one that waits for its next try is not.
func TestStatusesInBackoffHoldUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := answered(503, "", "Retry-After: 10")
		s := newScript(t, func(req *http.Request) (*http.Response, error) {
			if strings.HasSuffix(req.URL.Path, testID) {
				return answered(200, workingBody)(req)
			}
			return slow(req)
		})
		c := newTestClient(t, s)
		var others sync.WaitGroup
		for i := range maxGets + 1 {
			others.Go(func() {
				_, err := c.Status(t.Context(), fmt.Sprintf("slow-%d", i), StatusOptions{})
				checkError(t, err, GatewayError)
			})
		}
		synctest.Wait()
		if n := len(s.arrivals()); n != maxGets+1 {
			t.Errorf("%d requests came before the wait, want %d", n, maxGets+1)
		}
		_, err := c.Status(t.Context(), testID, StatusOptions{})
		checkError(t, err, "")
		checkBetween(t, "took", s.elapsed(), 0, 0)
		others.Wait()
	})
}

// TestStatusesUnderWayAreLimited: the next one waits for its turn, and gives the
// wait up with its caller.
func TestStatusesUnderWayAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, late(6*time.Second, answered(200, workingBody)))
		c := newTestClient(t, s)
		var others sync.WaitGroup
		for range maxGets {
			others.Go(func() {
				_, err := c.Status(t.Context(), testID, StatusOptions{})
				checkError(t, err, "")
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := c.Status(ctx, testID, StatusOptions{})
		if e := checkError(t, err, Cancelled); e.RequestID != testID {
			t.Errorf("error names request_id %q", e.RequestID)
		}
		if n := len(s.arrivals()); n != maxGets {
			t.Errorf("%d requests came, want %d", n, maxGets)
		}
		_, err = c.Status(t.Context(), testID, StatusOptions{})
		checkError(t, err, "")
		checkBetween(t, "took", s.elapsed(), 12*time.Second, 12*time.Second)
		others.Wait()
	})
}

// TestBackgroundStatusesNeverStandBeforeAnother: 500 followed jobs and a gateway
// that hangs left a get_status without an answer for minutes.
func TestBackgroundStatusesNeverStandBeforeAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, func(req *http.Request) (*http.Response, error) {
			if strings.HasSuffix(req.URL.Path, testID) {
				return answered(200, workingBody)(req)
			}
			return silent(req)
		})
		c := newTestClient(t, s)
		var others sync.WaitGroup
		for i := range 500 {
			others.Go(func() {
				start := time.Now()
				_, err := c.Status(t.Context(), fmt.Sprintf("other-%d", i), StatusOptions{Background: true})
				checkError(t, err, GatewayUnreachable)
				checkBetween(t, "took with its wait for a turn", time.Since(start), statusTimeout, statusTimeout)
			})
		}
		synctest.Wait()
		_, err := c.Status(t.Context(), testID, StatusOptions{})
		checkError(t, err, "")
		checkBetween(t, "took", s.elapsed(), 0, 0)
		if n := len(s.arrivals()); n != maxGets+1 {
			t.Errorf("%d requests came, want %d of the background and one", n, maxGets)
		}
		others.Wait()
	})
}

// TestStatusOnASilentOldConnectionIsAskedOnANewOne: a connection that died in a
// laptop's sleep answers nothing, and fails only after minutes.
func TestStatusOnASilentOldConnectionIsAskedOnANewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := func(r reply) reply {
			return func(req *http.Request) (*http.Response, error) {
				httptrace.ContextClientTrace(req.Context()).GotConn(httptrace.GotConnInfo{Reused: true})
				return r(req)
			}
		}
		const s = time.Second
		for _, tt := range []struct {
			name      string
			replies   []reply
			code      Code
			closed    int // how often idle connections were closed
			low, high time.Duration
		}{
			{"silent, then answered", []reply{old(silent), answered(200, workingBody)}, "", 1, 5*s + low1, 5*s + high1},
			{"silent, then silent", []reply{old(silent), silent}, GatewayUnreachable, 1, 20*s + low1, 20*s + high1},
			{"slow", []reply{old(late(4*s, answered(200, workingBody)))}, "", 0, 4 * s, 4 * s},
			{"slow to end", []reply{old(answeredSlowly(10*s, workingBody))}, "", 0, 10 * s, 10 * s},
		} {
			script := closingScript{newScript(t, tt.replies...), new(int)}
			c := newTestClient(t, script)
			_, err := c.Status(t.Context(), testID, StatusOptions{})
			checkError(t, err, tt.code)
			if *script.closed != tt.closed {
				t.Errorf("%s: idle connections were closed %d times, want %d", tt.name, *script.closed, tt.closed)
			}
			checkBetween(t, tt.name, script.elapsed(), tt.low, tt.high)
		}
	})
}

// closingScript counts how often its idle connections were closed.
type closingScript struct {
	*script
	closed *int
}

func (s closingScript) CloseIdleConnections() { *s.closed++ }

// answeredSlowly gives the first byte at once and the rest after d.
func answeredSlowly(d time.Duration, body string) reply {
	return func(req *http.Request) (*http.Response, error) {
		httptrace.ContextClientTrace(req.Context()).GotFirstResponseByte()
		return late(d, answered(200, body))(req)
	}
}

func TestPingTellsWhetherTheKeyIsTaken(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reply reply
		code  Code // "" means that it is
	}{
		{"unknown", answered(404, `{"error":"no such request"}`), ""},
		{"unknown in other words", answered(404, `{"detail":[{"loc":["path"],"msg":"not found"}]}`), ""},
		{"refused as no id", answered(400, `{"message":"invalid request_id"}`), ""},
		{"refused as no id, otherwise", answered(422, `{"detail":"invalid request_id"}`), ""},
		{"known", answered(200, workingBody), ""},
		{"refused key", answered(401, `{"error":"no"}`), Unauthorized},
		{"forbidden", answered(403, ""), Unauthorized},
		{"no credits", answered(402, ""), OutOfCredits},
		{"no credits, otherwise", answered(403, `{"error":"insufficient balance"}`), OutOfCredits},
		{"limited", answered(429, "", "Retry-After: 5"), RateLimited},
		{"failing", answered(500, ""), GatewayError},
		{"redirect", answered(302, ""), GatewayError},
		{"another server", answered(404, "<html>not found</html>", "Content-Type: text/html"), BadResponse},
		{"another server that has it", answered(200, "<html>hello</html>", "Content-Type: text/html"), BadResponse},
		{"key in the type", answered(404, "", "Content-Type: text/"+testSecret), BadResponse},
		{"no connection", notConnected, GatewayUnreachable},
		{"no answer", silent, GatewayUnreachable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(t, tt.reply)
				checkError(t, newTestClient(t, s).Ping(t.Context()), tt.code)
				if got := s.arrivals(); len(got) != 1 || got[0].method != "GET" || got[0].header.Get("Ocp-Apim-Subscription-Key") != testSecret {
					t.Errorf("sent %+v, want one GET with the key", got)
				}
			})
		})
	}
	s := newScript(t, answered(404, "{}"))
	c := newTestClient(t, s, func(config *Config) { config.Key = func() (Key, error) { return Key{}, nil } })
	checkError(t, c.Ping(t.Context()), MissingAPIKey)
	if n := len(s.arrivals()); n != 0 {
		t.Errorf("%d requests without a key", n)
	}
}

// TestStatusGivenUpBeforehandIsNeverSent: with a free slot and a caller that
// has left, select may take either.
func TestStatusGivenUpBeforehandIsNeverSent(t *testing.T) {
	s := newScript(t, answered(200, workingBody))
	c := newTestClient(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		_, err := c.Status(ctx, testID, StatusOptions{})
		checkError(t, err, Cancelled)
	}
	if n := len(s.arrivals()); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

// TestKeyPromptAndDataNeverReachTheLog: whatever the gateway repeats of a
// request, the log has none of it, at any level.
func TestKeyPromptAndDataNeverReachTheLog(t *testing.T) {
	const (
		prompt = "a prompt that nobody but the gateway should read"
		data   = "data:image/png;base64,aGFsZiBhIG1lZ2FieXRlIG9mIHBpeGVscw=="
	)
	private := []string{prompt, "nobody but the gateway", data, "aGFsZiBhIG1lZ2FieXRl", testSecret}
	echo := `"` + prompt + ` ` + data + ` ` + testSecret + `"`
	for _, tt := range []struct {
		name  string
		reply reply
	}{
		{"accepted", answered(200, queuedBody)},
		{"400", answered(400, `{"error":`+echo+`}`)},
		{"400 in another form", answered(400, `{"message":{"detail":`+echo+`}}`)},
		{"401", answered(401, `{"error":`+echo+`}`)},
		{"409", answered(409, `{"error":`+echo+`}`)},
		{"429", answered(429, `{"error":`+echo+`}`, "Retry-After: 1")},
		{"500", answered(500, `{"error":`+echo+`}`)},
		{"success that names no job", answered(200, `{"error":`+echo+`}`)},
		{"request_id", answered(200, `{"request_id":`+echo+`}`)},
		{"failed job", answered(200, `{"request_id":"`+testID+`","status":"FAILED","error":`+echo+`}`)},
		{"redirect", answered(302, "", "Location: https://evil.example/?"+prompt)},
		{"redirect to an unreadable place", answered(307, "", "Location: http://%zz/"+prompt+data+testSecret)},
	} {
		for _, handler := range []string{"text", "JSON"} {
			t.Run(tt.name+" "+handler, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newTestClient(t, newScript(t, tt.reply))
					log := captureLog(c)
					if handler == "JSON" {
						c.config.Logger = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
					}
					_, err := submit(t.Context(), c, VideoRequest{Prompt: prompt, Files: []string{data}})
					c.config.Logger.Warn("submission failed", "error", err) // as its callers log it
					_, err = c.Status(t.Context(), testID, StatusOptions{})
					c.config.Logger.Warn("status failed", "error", err)
					got := log.String()
					if !strings.Contains(got, "gateway exchange") {
						t.Fatalf("the log has no exchange, so nothing was tested:\n%s", got)
					}
					for _, word := range private {
						if strings.Contains(got, word) {
							t.Errorf("the log has %q:\n%s", word, got)
						}
					}
				})
			})
		}
	}
}

// An error is logged as its code and what can be looked up.
func TestErrorIsLoggedWithoutTheGatewaysWords(t *testing.T) {
	for _, tt := range []struct {
		err  *Error
		want string
	}{
		{&Error{Code: InvalidArgument, Message: `it said: "the prompt"`, HTTPStatus: 400}, `error.code=invalid_argument error.http_status=400 error.request_id=""`},
		{&Error{Code: VideoFailed, Message: "the prompt", RequestID: "id-1"}, `error.code=video_failed error.http_status=0 error.request_id=id-1`},
	} {
		log := &lockedBuffer{}
		slog.New(slog.NewTextHandler(log, nil)).Info("m", "error", tt.err)
		if got := log.String(); !strings.HasSuffix(got, " msg=m "+tt.want+"\n") {
			t.Errorf("logged as %swant %s", got, tt.want)
		}
	}
}
