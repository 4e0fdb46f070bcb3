// This file tests what a second call of generate_video costs: nothing, unless
// it was asked for, and what a model is told then.

package tools

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

func TestDuplicateIsAnsweredWithItsJob(t *testing.T) {
	t.Parallel()
	const (
		another = " To pay for another video of it, call generate_video with allow_duplicate: true."
	)
	for _, tt := range []struct {
		name   string
		status string // that get_status sees before; "" for no look
		after  time.Duration
		want   string // next_step; "" when the call submits
	}{
		{"at once", "", 0, "Nothing was submitted now: the same request was, 0s ago, and this is its job. " + making + another},
		{"being made", "PROCESSING", 90*time.Second + 300*time.Millisecond, "Nothing was submitted now: the same request was, 1m30s ago, and this is its job. " + making + another},
		{"being made, and its chat was lost", "PROCESSING", 15 * time.Minute, "Nothing was submitted now: the same request was, 15m0s ago, and this is its job. " + making + another},
		{"finished", "COMPLETED", 9 * time.Minute,
			"Nothing was submitted now: the same request was, 9m0s ago, and this is its job. Show the user the video_urls exactly as they stand. They expire. To keep the video, call download_video." + another},
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

// A gateway may take a minute, and a client allow less. The answer counts later
// all the same.
func TestSubmissionAnswersWithinMaxWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gatewayOf{submit: func(string) (pixazo.Job, error) {
			time.Sleep(66 * time.Second)
			return pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil
		}}
		h := newHouseOf(t, g, journal.Options{Dir: t.TempDir(), Limits: journal.Limits{PerHour: 3}})
		start := time.Now()
		r := h.submit("x")
		checkAnswer(t, "generate_video", r)
		if took := time.Since(start); took != 49*time.Second { // a second is left for the answer
			t.Errorf("the call took %v, want --max-wait without a second", took)
		}
		if r.IsError || r.Structured["status"] != "SUBMITTING" || r.Structured["done"] != false || r.Structured["request_id"] != nil || r.Structured["videos_left"] != 2.0 ||
			!strings.Contains(r.text(), "Do not call generate_video again for it. list_videos has its request_id") {
			t.Errorf("answer %s", r.text())
		}
		time.Sleep(20 * time.Second)
		if got := h.list("").Structured["videos"].([]any)[0].(map[string]any); got["request_id"] != "id-1" || got["status"] != "QUEUED" {
			t.Errorf("afterwards the list has %v", got)
		}
		if r := h.submit("x"); r.Structured["duplicate"] != true || g.submissions() != 1 {
			t.Errorf("the same request again after %d submissions: %s", g.submissions(), r.text())
		}
	})
}

// Clients give up a call from which nothing comes.
func TestSubmissionIsHeardOfEvery5Seconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gatewayOf{submit: func(string) (pixazo.Job, error) {
			time.Sleep(17 * time.Second)
			return pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil
		}}
		h := newHouseOf(t, g, journal.Options{Dir: t.TempDir()})
		s := &session{}
		var r result
		h.request(h.srv.WithContext(t.Context(), s), "tools/call", map[string]any{"name": "generate_video", "_meta": map[string]any{"progressToken": 1},
			"arguments": map[string]any{"prompt": "x"}}, &r)
		answered := len(s.heard)
		time.Sleep(time.Minute)
		var got []string
		for _, p := range s.heard {
			got = append(got, fmt.Sprint(p["progress"], " ", p["message"]))
		}
		want := []string{"0.001 SUBMITTING", "5 SUBMITTING, waited 5 s", "10 SUBMITTING, waited 10 s", "15 SUBMITTING, waited 15 s"}
		if !slices.Equal(got, want) || answered != len(got) || r.IsError {
			t.Errorf("heard %q, %d of it before the answer %s", got, answered, r.text())
		}
	})
}

// A model that looks when it is worth it, as each answer says, pays for few turns.
func TestAVideoOf40MinutesCostsAModelAtMost5Calls(t *testing.T) {
	t.Parallel()
	for takes, most := range map[time.Duration]int{5 * time.Minute: 2, 20 * time.Minute: 4, 40 * time.Minute: 5} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			g := &gatewayOf{status: func(id string) (pixazo.Job, error) {
				if time.Since(begun) < takes {
					return pixazo.Job{RequestID: id, Status: pixazo.Processing}, nil
				}
				return pixazo.Job{RequestID: id, Status: pixazo.Completed, Media: pixazo.Media{VideoURLs: []string{"https://media.example/1"}}}, nil
			}}
			h := newHouseOf(t, g, journal.Options{Dir: t.TempDir()})
			r, calls := h.submit("x"), 1
			for r.Structured["done"] == false && calls < 50 {
				if step := fmt.Sprint(r.Structured["next_step"]); !strings.Contains(step, "end your turn") {
					t.Fatalf("next_step %q", step)
				}
				time.Sleep(time.Duration(r.Structured["check_again_seconds"].(float64)) * time.Second)
				r = h.call(t.Context(), "get_status", `{"request_id":"id-1"}`)
				calls++
			}
			if r.Structured["status"] != "COMPLETED" || calls > most {
				t.Errorf("a video of %s took %d calls, want at most %d: %s", takes, calls, most, r.text())
			}
			t.Logf("a video of %s: %d calls, the last after %s", takes, calls, time.Since(begun))
		})
	}
}

func TestDuplicateByFormSaysSo(t *testing.T) {
	h := newHouseOf(t, &gatewayOf{}, journal.Options{Dir: t.TempDir()})
	h.submit("caf\u00e9 au lait")
	for prompt, said := range map[string]string{"caf\u00e9 au lait": "the same request was", "cafe\u0301  au lait\n": "a request that differs only in white space"} {
		r := h.submit(prompt)
		step, _ := r.Structured["next_step"].(string)
		if r.Structured["duplicate"] != true || !strings.HasPrefix(step, "Nothing was submitted now: "+said) || !strings.Contains(step, "allow_duplicate: true") {
			t.Errorf("%q: %s", prompt, r.text())
		}
	}
}

func TestVideosLeft(t *testing.T) {
	h := newHouseOf(t, &gatewayOf{}, journal.Options{Dir: t.TempDir(), Limits: journal.Limits{PerHour: 3, PerDay: 2}})
	for _, left := range []float64{1, 0} {
		r := h.submit(fmt.Sprint(left))
		checkAnswer(t, "generate_video", r)
		if got := h.list("").Structured["videos_left"]; r.Structured["videos_left"] != left || got != left {
			t.Errorf("videos_left is %v, and %v in the list, want %v", r.Structured["videos_left"], got, left)
		}
		if r := h.submit(fmt.Sprint(left)); r.Structured["duplicate"] != true || r.Structured["videos_left"] != left {
			t.Errorf("of a duplicate: %s", r.text())
		}
	}
	h = newHouseOf(t, &gatewayOf{}, journal.Options{Dir: t.TempDir()})
	if r := h.submit("x"); r.Structured["videos_left"] != nil || h.list("").Structured["videos_left"] != nil {
		t.Errorf("without a limit: %s", r.text())
	}
}

// The gateway's dashboard may show what became of an uncertain submission.
func TestStatusSettlesAnUncertainSubmission(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			g := &gatewayOf{submit: func(string) (pixazo.Job, error) {
				return pixazo.Job{}, &pixazo.Error{Code: pixazo.SubmissionUncertain, Message: "dropped"}
			}}
			h := newHouseOf(t, g, journal.Options{Dir: t.TempDir()})
			time.Sleep(time.Until(pixazo.IDTime(testID)))
			for i := range n {
				h.submit(fmt.Sprint("prompt ", i))
			}
			r := h.call(t.Context(), "get_status", forTest)
			want := map[int]string{1: "An uncertain submission is settled by it.", 2: "It may be any of 2 uncertain submissions, which all stay UNCERTAIN"}[n]
			if step, _ := r.Structured["next_step"].(string); !strings.Contains(step, want) {
				t.Errorf("of %d: %s\nwant %s", n, r.text(), want)
			}
			if left := len(videosOf(h.list(`{"status":"uncertain"}`))); left != map[int]int{1: 0, 2: 2}[n] {
				t.Errorf("of %d, %d are still uncertain", n, left)
			}
		})
	}
}

// A job that has ended is told of whether or not the gateway can be asked, since its
// video may be on the user's disk, and the gateway forgets it one day.
func TestStatusOfAnEndedJobNeedsNoGateway(t *testing.T) {
	t.Parallel()
	for end, rest := range map[string]string{"COMPLETED": `"output":{"media_url":["https://v.example/1.mp4"]}`, "FAILED": `"error":"no"`, "ERROR": `"error":"no"`} {
		synctest.Test(t, func(t *testing.T) {
			h := newHouse(t, accept)
			h.submit("tides")
			h.from(says(200, `{"request_id":"`+testID+`","status":"`+end+`",`+rest+`}`))
			time.Sleep(time.Minute)
			h.call(t.Context(), "get_status", forTest)
			for status, code := range map[int]string{401: "unauthorized", 404: "not_found", 410: "gateway_error"} {
				h.from(says(status, ""))
				time.Sleep(time.Minute)
				r := h.call(t.Context(), "get_status", forTest)
				if step, _ := r.Structured["next_step"].(string); r.IsError || r.Structured["status"] != end || !strings.Contains(step, "The newest status check failed ("+code+": ") {
					t.Errorf("%s, HTTP %d: %s", end, status, r.text())
				}
			}
		})
	}
}

func TestAllowDuplicatePaysForAnother(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	for _, tt := range []struct{ name, id, want string }{
		{"nobody knows", "", ""},
		{"with a request_id", "id-1", " request_id: id-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &gatewayOf{submit: func(string) (pixazo.Job, error) {
					return pixazo.Job{}, &pixazo.Error{Code: pixazo.SubmissionUncertain, Message: "dropped", RequestID: tt.id}
				}, status: func(id string) (pixazo.Job, error) {
					return pixazo.Job{}, &pixazo.Error{Code: pixazo.NotFound, Message: "no such request", RequestID: id}
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
	t.Parallel()
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
	t.Parallel()
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
		begin = making +
			" Keep the request_id: the journal could not take it (journal_unavailable: the journal can't be used: "
		end = "), so list_videos may show it as SUBMITTING or UNCERTAIN."
	)
	if r.IsError || r.Structured["request_id"] != testID || !strings.HasPrefix(step, begin) || !strings.HasSuffix(step, end) || !strings.Contains(step, path) {
		t.Errorf("got %s\nwant next_step %s…%s", r.text(), begin, end)
	}
	if err := errors.Join(os.RemoveAll(dir), os.Rename(dir+"-gone", dir)); err != nil { // Finish would wait for it a minute
		t.Error(err)
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
