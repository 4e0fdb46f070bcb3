// These tests hold how answers are read: both documented forms of times and
// URLs, and that one odd or hostile field costs nothing but itself.

package pixazo

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pixazo-mcp/internal/text"
)

// documented is the status answer as the documents print it.
const documented = `{"request_id": "` + testID + `", "status": "COMPLETED", "model_id": "heygen-video-agent", "error": null,
 "output": {"media_url": ["https://pub-1.r2.dev/v1/` + testID + `/output.mp4"], "media_type": "video/mp4"},
 "created_at": "2026-05-22T13:17:32.110Z", "updated_at": "2026-05-22 13:19:23", "completed_at": "2026-05-22 13:19:23"}`

// decodeJob reads an answer of the default gateway.
func decodeJob(body []byte, requestID string) (Job, error) {
	c, err := NewClient(Config{})
	if err != nil {
		return Job{}, err
	}
	return c.decode(answer{body: body}, requestID)
}

func TestDocumentedAnswerIsRead(t *testing.T) {
	ended := time.Date(2026, 5, 22, 13, 19, 23, 0, time.UTC)
	want := Job{
		RequestID: testID, Status: Completed,
		Media:     Media{VideoURLs: []string{"https://pub-1.r2.dev/v1/" + testID + "/output.mp4"}, MediaType: "video/mp4"},
		CreatedAt: time.Date(2026, 5, 22, 13, 17, 32, 110e6, time.UTC), UpdatedAt: ended, CompletedAt: ended,
	}
	for name, body := range map[string]string{
		"as it is":                 documented,
		"its id in white space":    strings.Replace(documented, testID, ` `+testID+`\n`, 1),
		"a number too large":       strings.Replace(documented, "null", "null, \"balance\": 1e999", 1),
		"a number with 10k digits": strings.Replace(documented, "null", `null, "duration": `+strings.Repeat("9", 10_000), 1),
	} {
		for _, asked := range []string{"", testID} {
			got, err := decodeJob([]byte(body), asked)
			if err != nil || !reflect.DeepEqual(got, want) || !got.Done() || got.Status.Failed() {
				t.Errorf("%s: got  %+v, error %v\nwant %+v", name, got, err, want)
			}
		}
	}
}

func TestStatusesEndAJobOrNot(t *testing.T) {
	for _, tt := range []struct {
		sent         string
		want         Status
		done, failed bool
	}{
		{`"QUEUED"`, Queued, false, false},
		{`"PROCESSING"`, Processing, false, false},
		{`"COMPLETED"`, Completed, true, false},
		{`"FAILED"`, Failed, true, true},
		{`"ERROR"`, Errored, true, true},
		{`"completed"`, Completed, true, false},
		{`"Failed"`, Failed, true, true},
		{`" error\n"`, Errored, true, true},
		{`"RENDERING"`, "RENDERING", false, false},
		{`"in  review"`, "IN REVIEW", false, false},
		{`"completed."`, Completed, true, false},
		{`"comp\u200bleted"`, Completed, true, false},
		{`"CANCELLED"`, "CANCELLED", false, false},
		{`"\u001b[31mqueued\u202e"`, "31MQUEUED", false, false},
		{`"![x](https://evil.example/)"`, "X HTTPS EVIL EXAMPLE", false, false},
		{`"` + strings.Repeat("x", 50) + `"`, Status(strings.Repeat("X", 40) + "…"), false, false},
	} {
		got, err := decodeJob([]byte(`{"request_id":"`+testID+`","status":`+tt.sent+`}`), "")
		if err != nil || got.Status != tt.want || got.Done() != tt.done || got.Status.Failed() != tt.failed {
			t.Errorf("%s: %q, done %t, failed %t, error %v", tt.sent, got.Status, got.Done(), got.Status.Failed(), err)
		}
	}
}

func TestAnswersThatNameNoJobAreErrors(t *testing.T) {
	for _, tt := range []struct{ body, err string }{
		{``, "not the documented JSON"},
		{`{`, "not the documented JSON"},
		{`<html>`, "not the documented JSON"},
		{`"COMPLETED"`, "not the documented JSON"},
		{`[]`, "not the documented JSON"},
		{`7`, "not the documented JSON"},
		{documented + `{}`, "not the documented JSON"},
		{"\ufeff" + documented, "not the documented JSON"},
		{strings.Repeat(`{"request_id":`, 20000), "not the documented JSON"},
		{`null`, "no valid request_id; it names nothing"},
		{`{}`, "no valid request_id; it names nothing"},
		{`{"request_id":null,"status":"QUEUED"}`, "no valid request_id; it names nothing"},
		{`{"request_id":7,"status":"QUEUED"}`, `no valid request_id; it names "7"`},
		{`{"request_id":["a"],"status":"QUEUED"}`, `no valid request_id; it names "a"`},
		{`{"request_id":"a/b","status":"QUEUED"}`, `no valid request_id; it names "a/b"`},
		{`{"request_id":" a","status":"QUEUED"}`, "no valid request_id"},
		{`{"request_id":"..","status":"QUEUED"}`, "no valid request_id"},
		{`{"request_id":"` + strings.Repeat("a", 201) + `","status":"QUEUED"}`, "no valid request_id"},
		{`{"request_id":"a"}`, "names no status"},
		{`{"request_id":"a","status":null}`, "names no status"},
		{`{"request_id":"a","status":""}`, "names no status"},
		{`{"request_id":"a","status":"\u0000"}`, "names no status"},
		{`{"request_id":"a","status":["QUEUED"]}`, "names no status"},
		{`{"request_id":"a","status":{"a":1}}`, "names no status"},
	} {
		_, err := decodeJob([]byte(tt.body), "")
		if err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%.60s: error %v, want %q", tt.body, err, tt.err)
		} else if text.Clean(err.Error(), 500) != err.Error() {
			t.Errorf("%.60s: error %q is not fit to be shown", tt.body, err)
		}
	}
}

// TestStatusAnswerNeedNotRepeatTheRequestID: it was asked for that one job. A
// name that stands there is another matter.
func TestStatusAnswerNeedNotRepeatTheRequestID(t *testing.T) {
	for _, sent := range []string{``, `"request_id":null,`, `"request_id":"",`, `"request_id": "" ,`} {
		job, err := decodeJob([]byte(`{`+sent+`"status":"COMPLETED"}`), testID)
		if err != nil || job.RequestID != testID || job.Status != Completed {
			t.Errorf("%s: %+v, error %v", sent, job, err)
		}
		if _, err := decodeJob([]byte(`{`+sent+`"status":"COMPLETED"}`), ""); err == nil {
			t.Errorf("%s: the answer to a submission names no job and is taken", sent)
		}
	}
	for _, sent := range []string{`17`, `false`, `[]`, `{}`, `" "`, `"a/b"`, `"\u0000"`} {
		if job, err := decodeJob([]byte(`{"request_id":`+sent+`,"status":"COMPLETED"}`), testID); err == nil {
			t.Errorf("%s: taken as %+v", sent, job)
		}
	}
	if job, err := decodeJob([]byte(`{"request_id":"`+otherID+`","status":"COMPLETED"}`), testID); err != nil || job.RequestID != otherID {
		t.Errorf("another job: %+v, error %v; want it under its own name, for the caller to refuse", job, err)
	}
}

func TestOddFieldsCostOnlyThemselves(t *testing.T) {
	rest := `"request_id":"` + testID + `","status":"COMPLETED"`
	video := `"output":{"media_url":["https://x.example/v.mp4"],"media_type":"video/mp4"}`
	complete := Job{RequestID: testID, Status: Completed, Media: Media{VideoURLs: []string{"https://x.example/v.mp4"}, MediaType: "video/mp4"}}
	for _, odd := range []string{
		`"error":null`, `"error":""`, `"error":false`, `"error":{}`, `"error":[]`,
		`"model_id":17`, `"something":{"new":[1,2,{"deep":null}]}`,
		`"polling_url":17`, `"polling_url":null`, `"polling_url":["https://gateway.pixazo.ai/"]`,
		`"created_at":null`, `"created_at":1748000000`, `"created_at":{}`, `"created_at":"yesterday"`, `"created_at":""`,
		`"updated_at":"2026-13-45 99:99:99"`, `"completed_at":"2026-05-22"`, `"completed_at":true`,
		`"status":"QUEUED","status":"COMPLETED"`, `"request_id":17,"request_id":"` + testID + `"`,
		`"Request_ID":"` + otherID + `"`,
	} {
		got, err := decodeJob([]byte(`{`+odd+`,`+rest+`,`+video+`}`), "")
		if err != nil || !reflect.DeepEqual(got, complete) {
			t.Errorf("%s: %+v, error %v", odd, got, err)
		}
	}

	bare := Job{RequestID: testID, Status: Completed}
	for _, odd := range []string{
		`null`, `[]`, `17`, `true`, `{}`, `{"media_url":null}`, `{"media_url":17}`, `{"media_url":{"uri":"https://x.example/v.mp4"}}`, `{"media_url":[]}`,
		`{"media_url":[[]]}`, `{"media_type":null}`, `{"media_type":["video/mp4"]}`,
	} {
		got, err := decodeJob([]byte(`{`+rest+`,"output":`+odd+`}`), "")
		if err != nil || !reflect.DeepEqual(got, bare) {
			t.Errorf("output %s: %+v, error %v", odd, got, err)
		}
	}
}

func TestMediaURLIsReadAsArrayOrString(t *testing.T) {
	many := `[` + strings.TrimSuffix(strings.Repeat(`"https://x.example/v.mp4",`, 50), ",") + `]`
	long := "https://x.example/" + strings.Repeat("a", maxURLLength-len("https://x.example/"))
	for _, tt := range []struct {
		sent string
		want []string
	}{
		{`"https://x.example/v.mp4"`, []string{"https://x.example/v.mp4"}},
		{`["https://x.example/1","http://y.example/2"]`, []string{"https://x.example/1", "http://y.example/2"}},
		{`[null,17,"https://x.example/1",["https://x.example/2"],{},""]`, []string{"https://x.example/1", "https://x.example/2"}},
		{`{"url":"https://x.example/1"}`, []string{"https://x.example/1"}},
		{`[{"url":"https://x.example/1","type":"video"},{"href":"https://x.example/2"}]`, []string{"https://x.example/1"}},
		{`"HTTPS://X.example/V.mp4?sig=a%2Fb&c=ü#t=1"`, []string{"HTTPS://X.example/V.mp4?sig=a%2Fb&c=%C3%BC#t=1"}},
		{`["javascript:alert(1)","data:video/mp4;base64,AAAA","file:///etc/passwd","ftp://x.example/v","blob:https://x.example/1"]`, nil},
		{`["//x.example/v","/v.mp4","v.mp4","https:","https://","https:x.example","https:///v"]`, nil},
		{`["https://user@x.example/","https://user:pass@x.example/","https://x.example@evil.example/"]`, nil},
		{`["https://x.example/\u0000","https://x.example/\n","\u001b]8;;https://x.example/","https://x.example/\u007f"]`, nil},
		{`[" https://x.example/v.mp4","https://x .example/"]`, nil},
		{`"https://x.example/a b?c d#e f"`, []string{"https://x.example/a%20b?c%20d#e%20f"}},
		{`"https://x.example/\u202e4pm.exe?\u202e#\u2028"`, []string{"https://x.example/%E2%80%AE4pm.exe?%E2%80%AE#%E2%80%A8"}},
		{`"https://x.example/\u0085?\u00a0"`, []string{"https://x.example/%C2%85?%C2%A0"}},
		{`"https://x.example/` + "\xff" + `"`, []string{"https://x.example/%EF%BF%BD"}},
		{`"` + long + `"`, []string{long}},
		{`"` + long + `a"`, nil},
		{`"https://x.example/?\u202e` + strings.Repeat("é", 2000) + `"`, nil}, // too long once escaped
		{many, strings.Split(strings.TrimSuffix(strings.Repeat("https://x.example/v.mp4 ", maxVideoURLs), " "), " ")},
	} {
		got, err := decodeJob([]byte(`{"request_id":"a","status":"COMPLETED","output":{"media_url":`+tt.sent+`}}`), "")
		if err != nil || !reflect.DeepEqual(got.VideoURLs, tt.want) {
			t.Errorf("%.80s:\n%q, error %v, want\n%q", tt.sent, got.VideoURLs, err, tt.want)
		}
	}
}

// A finished video has been paid for: its URL is found in any likely form of output.
func TestVideoIsFoundInOtherFormsOfOutput(t *testing.T) {
	for _, output := range []string{
		`"https://x.example/1"`, `["https://x.example/1"]`, `{"url":"https://x.example/1"}`, `{"media_url":[],"url":"https://x.example/1"}`,
		`[{"media_url":["https://x.example/1"]}]`, strings.Repeat("[", 9000) + `"https://x.example/1"` + strings.Repeat("]", 9000),
	} {
		got, err := decodeJob([]byte(`{"request_id":"a","status":"COMPLETED","output":`+output+`}`), "")
		if err != nil || !slices.Equal(got.VideoURLs, []string{"https://x.example/1"}) {
			t.Errorf("%.60s: %q, error %v", output, got.VideoURLs, err)
		}
	}
}

func TestFailureOfHeyGenIsTold(t *testing.T) {
	for _, tt := range []struct{ rest, want string }{
		{`"status":"FAILED","failure_message":"the avatar is gone","failure_code":"avatar_gone"`, "the avatar is gone (code avatar_gone)"},
		{`"status":"ERROR","error":null,"output":{"failure_message":"no","failure_code":7}`, "no (code 7)"},
		{`"status":"FAILED","error":{"failure_code":"x"}`, "code x"},
		{`"status":"FAILED","error":"no video","failure_message":"the script is too long"`, "no video; the script is too long"},
		{`"status":"FAILED","message":"no"`, "no"},
		{`"status":"FAILED","detail":[{"msg":"no"}]`, "no"},
		{`"status":"PROCESSING","message":"half of it is done","code":100`, ""},
		{`"status":"COMPLETED","message":"success","output":{"message":"ok"}`, ""},
	} {
		got, err := decodeJob([]byte(`{"request_id":"a",`+tt.rest+`}`), "")
		if err != nil || got.Error != tt.want {
			t.Errorf("%s: %q, error %v, want %q", tt.rest, got.Error, err, tt.want)
		}
	}
}

// TestHeyGensOutputIsReadWhereItIsThere: only what is https, or the gateway's own
// on this computer, is shown.
func TestHeyGensOutputIsReadWhereItIsThere(t *testing.T) {
	all := func(u string) Job { return Job{Media: Media{ThumbnailURL: u, SubtitleURL: u, CaptionedVideoURL: u}} }
	for _, tt := range []struct {
		gateway, sent string
		want          Job
	}{
		{"", `"https://x.example/t?a=1&b=2"`, all("https://x.example/t?a=1&b=2")},
		{"", `"https://x.example/\u202e"`, all("https://x.example/%E2%80%AE")},
		{"", `"http://x.example/t"`, Job{}},
		{"", `"http://127.0.0.1:8080/t"`, Job{}},
		{"", `"https://u:p@x.example/t"`, Job{}},
		{"", `"javascript:alert(1)"`, Job{}},
		{"", `"data:image/png;base64,AAAA"`, Job{}},
		{"", `["https://x.example/t"]`, Job{}},
		{"", `null`, Job{}},
		{"http://127.0.0.1:8080", `"http://127.0.0.1:8080/t"`, all("http://127.0.0.1:8080/t")},
		{"http://127.0.0.1:8080", `"http://127.0.0.1:8081/t"`, Job{}},
		{"http://127.0.0.1:8080", `"http://x.example/t"`, Job{}},
	} {
		c, err := NewClient(Config{GatewayURL: tt.gateway})
		if err != nil {
			t.Fatal(err)
		}
		body := fmt.Sprintf(`{"request_id":"a","status":"COMPLETED","output":{"thumbnail_url":%s,"subtitle_url":%[1]s,"captioned_video_url":%[1]s,"gif_url":7,"title":["x"]}}`, tt.sent)
		tt.want.RequestID, tt.want.Status = "a", Completed
		if got, err := c.decode(answer{body: []byte(body)}, ""); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s at %q: %+v, error %v", tt.sent, tt.gateway, got, err)
		}
	}
	for sent, want := range map[string]float64{
		`31.4`: 31.4, `"31.4"`: 31.4, `30`: 30, `0`: 0, `-1`: 0, `1e99`: 0, `"NaN"`: 0, `"Inf"`: 0, `"half a minute"`: 0, `null`: 0, `{}`: 0, `true`: 0,
	} {
		got, err := decodeJob([]byte(`{"request_id":"a","status":"COMPLETED","output":{"duration":`+sent+`}}`), "")
		if err != nil || got.DurationSeconds != want {
			t.Errorf("duration %s: %g, error %v, want %g", sent, got.DurationSeconds, err, want)
		}
	}
}

func TestMediaTypeIsOneOrNothing(t *testing.T) {
	for sent, want := range map[string]string{
		`"video/mp4"`: "video/mp4", `"Video/MP4; codecs=\"avc1\""`: "video/mp4", `"video"`: "", `"![x](https://evil.example/)"`: "", `"a\nb"`: "", `7`: "",
	} {
		got, err := decodeJob([]byte(`{"request_id":"a","status":"COMPLETED","output":{"media_type":`+sent+`}}`), "")
		if err != nil || got.MediaType != want {
			t.Errorf("%s: %q, error %v, want %q", sent, got.MediaType, err, want)
		}
	}
}

func TestErrorWordsAreReadFromAnyForm(t *testing.T) {
	for _, tt := range []struct{ sent, want string }{
		{`"the avatar is gone"`, "the avatar is gone"},
		{`"  two\r\n lines\t"`, "two lines"},
		{`"\u001b[2J\u202eevil\u0000"`, "[2Jevil"},
		{`{"message":"no"}`, "no"},
		{`{"message":"no","code":17}`, "no (code 17)"},
		{`{"message":{"a":1}}`, `{"a":1}`},
		{`{"a":{"b":[1, 2]}}`, `{"a":{"b":[1,2]}}`},
		{`{"code": 17, "detail": "x"}`, "x (code 17)"},
		{`{"code":"avatar_gone"}`, "code avatar_gone"},
		{`["a", "b"]`, "a; b"},
		{`[{"message":"a"},{"message":"b","param":"mode"},null]`, "a; b (param mode)"},
		{`[[[["deep"]]]]`, "deep"},
		{`17`, "17"},
		{`true`, ""}, {`null`, ""}, {`false`, ""}, {`""`, ""}, {`{}`, ""}, {`[]`, ""}, {`[null]`, ""},
		{`"` + strings.Repeat("é", 5000) + `"`, strings.Repeat("é", 1000) + "…"},
	} {
		got, err := decodeJob([]byte(`{"request_id":"a","status":"FAILED","output":null,"error":`+tt.sent+`}`), "")
		if err != nil || got.Error != tt.want {
			t.Errorf("%.60s: %q, error %v", tt.sent, got.Error, err)
		}
	}
}

func TestTimesAreReadInBothForms(t *testing.T) {
	at := time.Date(2026, 5, 22, 13, 19, 23, 0, time.UTC)
	for _, tt := range []struct {
		sent string
		want time.Time
	}{
		{`"2026-05-22T13:19:23Z"`, at},
		{`"2026-05-22T13:19:23.110Z"`, at.Add(110 * time.Millisecond)},
		{`"2026-05-22T13:19:23.123456789Z"`, at.Add(123456789)},
		{`"2026-05-22T15:19:23+02:00"`, at},
		{`"2026-05-22 13:19:23"`, at},
		{`"2026-05-22 13:19:23.5"`, at.Add(500 * time.Millisecond)},
		{`" 2026-05-22 13:19:23 "`, at},
		{`"2026-05-22"`, time.Time{}},
		{`"2026-05-22T13:19:23"`, time.Time{}},
		{`"2026-02-30 13:19:23"`, time.Time{}},
		{`"22.05.2026"`, time.Time{}},
		{`""`, time.Time{}},
		{`1779455963`, time.Time{}},
		{`null`, time.Time{}},
	} {
		got, err := decodeJob([]byte(`{"request_id":"a","status":"QUEUED","created_at":`+tt.sent+`,"updated_at":`+tt.sent+`,"completed_at":`+tt.sent+`}`), "")
		if err != nil || got.CreatedAt != tt.want || got.UpdatedAt != tt.want || got.CompletedAt != tt.want {
			t.Errorf("%s: %s, %s, %s, error %v, want %s", tt.sent, got.CreatedAt, got.UpdatedAt, got.CompletedAt, err, tt.want)
		}
	}
}

func TestIDTimeReadsUUIDv7(t *testing.T) {
	at := time.Date(2022, 2, 22, 19, 22, 22, 0, time.UTC) // the example of RFC 9562, appendix A.6
	for _, tt := range []struct {
		id   string
		want time.Time
	}{
		{"017f22e2-79b0-7cc3-98c4-dc0c0c07398f", at},
		{"heygen-video-agent_017f22e2-79b0-7cc3-98c4-dc0c0c07398f", at},
		{"heygen-video-agent_017F22E2-79B0-7CC3-98C4-DC0C0C07398F", at},
		{"heygen-video-agent_017f22e2-79b0-4cc3-98c4-dc0c0c07398f", time.Time{}}, // version 4
		{"heygen-video-agent_017f22e2-79b0-7cc3-98c4-dc0c0c07398g", time.Time{}},
		{"heygen-video-agent_017f22e279b07cc398c4dc0c0c07398f", time.Time{}},
		{"017f22e2-79b0-7cc3-98c4-dc0c0c07398f-x", time.Time{}},
		{"17f22e2-79b0-7cc3-98c4-dc0c0c07398f", time.Time{}},
		{"heygen-video-agent", time.Time{}},
		{"", time.Time{}},
	} {
		if got := IDTime(tt.id); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.id, got, tt.want)
		}
	}
}

// FuzzDecodeJob: whatever the gateway answers, what is made of it can be
// shown, and the key goes nowhere else.
func FuzzDecodeJob(f *testing.F) {
	for _, body := range []string{
		documented, queuedBody, workingBody, ``, `null`, `[]`, `{}`, `<html>`, documented[:100],
		`{"request_id":"a","status":"x","output":{"media_url":"https://x.example/?\u202e a\u2028"},"polling_url":"https://gateway.pixazo.ai/\u202e?\u202e b"}`,
		`{"request_id":"a","status":"\u001b[31m","error":{"message":"\u0000\ufffd"},"output":[{"media_url":1}]}`,
		`{"request_id":"a","request_id":null,"STATUS":"ß","created_at":"9999-12-31T23:59:59-23:59"}`,
		`{"request_id":"a","status":"QUEUED","output":{"media_url":["javascript:1","data:,","https://u:p@h/","http://[::1]:8/%zz"],"media_type":"a\nb"}}`,
		"{\"request_id\":\"a\",\"status\":\"\xff\xfe\",\"error\":[\"\x7f\"]}",
	} {
		f.Add([]byte(body))
	}
	c, err := NewClient(Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		job, err := c.decode(answer{body: body}, "")
		if err != nil && text.Clean(err.Error(), 1000) != err.Error() {
			t.Errorf("error %q is not fit to be shown", err)
		}
		if err == nil && (CheckRequestID(job.RequestID) != nil || job.Status == "") {
			t.Errorf("no error for request_id %q with status %q", job.RequestID, job.Status)
		}
		shown := map[string]int{ // and how many characters it may have
			job.RequestID: 200, string(job.Status): maxStatusLength + 1, job.Error: maxErrorLength + 1, job.MediaType: 101, job.PollingURL: maxURLLength,
		}
		for _, u := range append(job.VideoURLs, job.ThumbnailURL, job.SubtitleURL, job.CaptionedVideoURL) {
			if u == "" {
				continue
			}
			shown[u] = maxURLLength
			if p, err := url.Parse(u); err != nil || p.Scheme != "https" && p.Scheme != "http" || p.Host == "" || p.User != nil {
				t.Errorf("video URL %q", u)
			}
		}
		if len(job.VideoURLs) > maxVideoURLs {
			t.Errorf("%d video URLs", len(job.VideoURLs))
		}
		for s, most := range shown {
			if text.Clean(s, 10*maxURLLength) != s || utf8.RuneCountInString(s) > most {
				t.Errorf("%q is not fit to be shown, or longer than %d", s, most)
			}
		}
		if p, err := url.Parse(job.PollingURL); job.PollingURL != "" && (err != nil || p.Scheme != "https" || !strings.EqualFold(p.Hostname(), "gateway.pixazo.ai")) {
			t.Errorf("polling URL %q", job.PollingURL)
		}
		for _, at := range []time.Time{job.CreatedAt, job.UpdatedAt, job.CompletedAt} {
			if at.Location() != time.UTC {
				t.Errorf("time %s is not UTC", at)
			}
		}
		_ = fmt.Sprint(IDTime(job.RequestID), job)
	})
}

func TestAttachmentsRepeatedByTheGatewayAreNotShown(t *testing.T) {
	data := strings.Repeat("iVBORw0KGgo", 100)
	for _, tt := range []struct{ body, want string }{
		{`{"error":"bad file data:image/png;base64,` + data + `== in request"}`, "bad file data:image/png;base64,[data] in request"},
		{`{"error":"` + strings.Repeat("a", 80) + `"}`, strings.Repeat("a", 80)},
		{`{"error":"` + strings.Repeat("a", 81) + `"}`, "[data]"},
		{`{"error":"größe – ` + data + `é"}`, "größe – [data]é"},
		{`{"error":{"file":"` + data + `"}}`, `{"file":"[data]"}`},
	} {
		if got := (answer{body: []byte(tt.body)}).words(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
