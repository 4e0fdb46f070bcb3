// This file tests what a second call of generate_video costs: nothing, unless
// it was asked for, and what a model is told then.

package tools

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

func TestDuplicateIsAnsweredWithItsJob(t *testing.T) {
	const (
		another = " To pay for another video of it, call generate_video with allow_duplicate: true."
		making  = "The video is still being made: call wait_for_video with this request_id, and do not call generate_video again."
	)
	for _, tt := range []struct {
		name   string
		status string // that get_status sees before; "" for no look
		after  time.Duration
		want   string // next_step; "" when the call submits
	}{
		{"at once", "", 0, "Nothing was submitted now: the same request was, 0s ago, and this is its job. " + making + another},
		{"being made", "PROCESSING", 90*time.Second + 300*time.Millisecond, "Nothing was submitted now: the same request was, 1m30s ago, and this is its job. " + making + another},
		{"finished", "COMPLETED", 9 * time.Minute,
			"Nothing was submitted now: the same request was, 9m0s ago, and this is its job. Show the user the video_urls exactly as they stand. They expire: to keep the video, call download_video." + another},
		{"failed", "FAILED", time.Second, ""},
		{"long ago", "PROCESSING", 2 * time.Hour, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &gatewayOf{status: func(id string) (pixazo.Job, error) {
					job := pixazo.Job{RequestID: id, Status: pixazo.Status(tt.status)}
					if job.Done() {
						job.VideoURLs = []string{"https://media.example/v"}
					}
					return job, nil
				}}
				h := newHouseOf(t, g, journal.Options{Dir: t.TempDir()})
				first := h.submit("x")
				if first.Structured["duplicate"] != nil || first.Structured["next_step"] != making {
					t.Errorf("the first one: %s", first.text())
				}
				if tt.status != "" {
					h.call(t.Context(), "get_status", `{"request_id":"id-1"}`)
				}
				time.Sleep(tt.after)
				r := h.submit("x")
				checkAnswer(t, "generate_video", r)
				if tt.want == "" {
					if r.Structured["duplicate"] != nil || r.Structured["request_id"] != "id-2" || g.submissions() != 2 {
						t.Errorf("after %d submissions: %s", g.submissions(), r.text())
					}
					return
				}
				if r.Structured["duplicate"] != true || r.Structured["request_id"] != "id-1" || r.Structured["next_step"] != tt.want {
					t.Errorf("got %s\nwant next_step %s", r.text(), tt.want)
				}
				if n := g.submissions(); n != 1 {
					t.Errorf("%d submissions, want one", n)
				}
			})
		})
	}
}

func TestAllowDuplicatePaysForAnother(t *testing.T) {
	h := newHouse(t, accept)
	n := 0
	answers := func(arguments string) result {
		n++
		h.from(says(200, fmt.Sprintf(`{"request_id":"id-%d","status":"QUEUED"}`, n)))
		return h.call(t.Context(), "generate_video", arguments)
	}
	answers(`{"prompt":"x"}`)
	for _, arguments := range []string{`{"prompt":"x","allow_duplicate":true}`, `{"allow_duplicate":true,"prompt":"x"}`} {
		r := answers(arguments)
		if r.Structured["duplicate"] != nil || r.Structured["request_id"] != fmt.Sprintf("id-%d", n) {
			t.Errorf("%s: %s", arguments, r.text())
		}
	}
	for _, arguments := range []string{`{"prompt":"x","allow_duplicate":false}`, `{"prompt":"x","allow_duplicate":null}`} {
		if r := answers(arguments); r.Structured["duplicate"] != true || r.Structured["request_id"] != "id-3" {
			t.Errorf("%s: %s, want the newest of them", arguments, r.text())
		}
	}
	if len(h.posts) != 3 {
		t.Errorf("%d submissions, want 3", len(h.posts))
	}
	for _, body := range h.posts {
		if body != `{"prompt":"x"}` {
			t.Errorf("the gateway got %s: allow_duplicate is none of its business", body)
		}
	}
}

func TestDuplicateOfAnUncertainSubmission(t *testing.T) {
	for _, tt := range []struct{ name, id, want string }{
		{"nobody knows", "", ""},
		{"with a request_id", "id-1", " request_id: id-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &gatewayOf{submit: func(string) (pixazo.Job, error) {
					return pixazo.Job{}, &pixazo.Error{Code: pixazo.SubmissionUncertain, Message: "dropped", RequestID: tt.id}
				}}
				h := newHouseOf(t, g, journal.Options{Dir: t.TempDir()})
				h.submit("x")
				time.Sleep(time.Hour)
				want := "duplicate_uncertain: the same request was sent at 2000-01-01T00:00:00Z and its outcome is unknown: it may have been accepted and billed." + advice(pixazo.DuplicateUncertain) + tt.want
				if r := h.submit("x"); !r.IsError || r.text() != want {
					t.Errorf("\n got %s\nwant %s", r.text(), want)
				}
				if n := g.submissions(); n != 1 {
					t.Errorf("%d submissions, want one", n)
				}
				if h.call(t.Context(), "generate_video", `{"prompt":"x","allow_duplicate":true}`); g.submissions() != 2 {
					t.Error("allow_duplicate did not submit")
				}
			})
		})
	}
}

func TestHourlyLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gatewayOf{}
		h := newHouseOf(t, g, journal.Options{Dir: t.TempDir(), Limits: journal.Limits{PerHour: 2}})
		h.submit("one")
		time.Sleep(10 * time.Minute)
		h.submit("two")
		want := "limit_reached: the limit of 2 videos an hour is reached (--max-videos-per-hour, PIXAZO_MAX_VIDEOS_PER_HOUR); the next one is possible at 2000-01-01T01:00:00Z, in 50m0s." +
			" Nothing was submitted or charged." + advice(pixazo.LimitReached)
		for _, arguments := range []string{`{"prompt":"three"}`, `{"prompt":"one","allow_duplicate":true}`} {
			if r := h.call(t.Context(), "generate_video", arguments); !r.IsError || r.text() != want {
				t.Errorf("%s\n got %s\nwant %s", arguments, r.text(), want)
			}
		}
		if n := g.submissions(); n != 2 {
			t.Errorf("%d submissions, want 2", n)
		}
		time.Sleep(50 * time.Minute)
		if r := h.submit("three"); r.IsError {
			t.Errorf("an hour after the first one: %s", r.text())
		}
	})
}

// What was accepted and could not be recorded is told with its request_id: this
// answer is then the only trace of it.
func TestOutcomeThatCouldNotBeRecordedIsToldWithItsRequestID(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a journal in use can't be moved away there")
	}
	dir := filepath.Join(t.TempDir(), "state")
	path := filepath.Join(dir, "journal.db")
	g := &gatewayOf{submit: func(string) (pixazo.Job, error) {
		// Between the intent and its outcome the journal gives way to something
		// that can't be one.
		if err := os.Rename(dir, dir+"-gone"); err != nil {
			t.Error(err)
		}
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Error(err)
		}
		return pixazo.Job{RequestID: testID, Status: pixazo.Queued}, nil
	}}
	h := newHouseOf(t, g, journal.Options{Dir: dir})
	r := h.submit("x")
	checkAnswer(t, "generate_video", r)
	step, _ := r.Structured["next_step"].(string)
	const (
		begin = "The video is still being made: call wait_for_video with this request_id, and do not call generate_video again." +
			" Keep the request_id: the local record could not take it (journal_unavailable: the journal can't be used: "
		end = "), so list_videos may show it as SUBMITTING or UNCERTAIN."
	)
	if r.IsError || r.Structured["request_id"] != testID || !strings.HasPrefix(step, begin) || !strings.HasSuffix(step, end) || !strings.Contains(step, path) {
		t.Errorf("got %s\nwant next_step %s…%s", r.text(), begin, end)
	}
}

func TestFilesThatHeyGenMayIgnoreAreWarnedOf(t *testing.T) {
	h := newHouseOf(t, &gatewayOf{}, journal.Options{Dir: t.TempDir()})
	r := h.call(t.Context(), "generate_video", `{"prompt":"x","files":["asset_1","data:text/plain;base64,aGk="]}`)
	const want = "files[1]: its data is text/plain: HeyGen takes png, jpeg, mp4, webm, mp3, wav and pdf, and may ignore other files or refuse the request."
	if warnings, _ := r.Structured["warnings"].([]any); len(warnings) != 1 || warnings[0] != want || !strings.Contains(r.text(), want) {
		t.Errorf("answer %s", r.text())
	}
	if r := h.submit("y"); r.Structured["warnings"] != nil || strings.Contains(r.text(), "warnings") {
		t.Errorf("without files: %s", r.text())
	}
}
