// This file tests how jobs are shown.

package jobs_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

func TestAJobAsItIsShown(t *testing.T) {
	saved := filepath.Join(t.TempDir(), "video.mp4")
	if err := os.WriteFile(saved, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	request := prepared(pixazo.VideoRequest{Prompt: "x", Orientation: "portrait", Files: []string{"deck.pdf", "https://example.com/a.png", "asset_1", "data:image/png;base64,iVBORw0KGgo="},
		Attached: []*pixazo.Attachment{{Name: "deck.pdf", Data: []byte("%PDF-1.7")}, nil, nil, nil}}).Description
	for _, tt := range []struct {
		name    string
		row     jobs.Row
		typical time.Duration
		want    string
	}{
		{"being made", jobs.Row{State: journal.Accepted, Prompt: strings.Repeat("ü", 201), Request: request, SubmittedAt: ago(2 * time.Minute), ChangedAt: ago(time.Minute), LastCheckedAt: ago(time.Second),
			Job: pixazo.Job{RequestID: "id-1", Status: pixazo.Processing, CreatedAt: ago(100 * time.Second), UpdatedAt: ago(time.Second)}}, 20 * time.Minute,
			`{"request_id":"id-1","status":"PROCESSING","done":false,"created_at":"2026-11-25T11:58:20Z","elapsed_seconds":100,"typical_seconds":1200,"check_again_seconds":1100,"last_checked_at":"2026-11-25T11:59:59Z",
			"prompt":"` + strings.Repeat("ü", 200) + `…","orientation":"portrait","files":["deck.pdf (application/pdf, 8 bytes)","https://example.com/a.png","asset_1","image/png, 8 bytes"]}`},
		{"of a file at a long address", jobs.Row{State: journal.Accepted, Request: `{"files":[{"url":"https://example.com/` + strings.Repeat("x", 181) + `"}]}`, Job: pixazo.Job{RequestID: "id-1"}}, 0,
			`{"request_id":"id-1","done":false,"files":["https://example.com/` + strings.Repeat("x", 180) + `…"]}`},
		{"nobody knows how long it takes", jobs.Row{State: journal.Accepted, SubmittedAt: ago(time.Minute), Job: pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}}, 0,
			`{"request_id":"id-1","status":"QUEUED","done":false,"created_at":"2026-11-25T11:59:00Z","elapsed_seconds":60,"check_again_seconds":240}`},
		{"later than usual", jobs.Row{State: journal.Accepted, SubmittedAt: ago(10 * time.Minute), ChangedAt: ago(time.Minute), Job: pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}}, time.Minute,
			`{"request_id":"id-1","status":"QUEUED","done":false,"created_at":"2026-11-25T11:50:00Z","elapsed_seconds":600,"typical_seconds":60,"check_again_seconds":660}`},
		{"made in the future of the gateway's clock", jobs.Row{State: journal.Accepted, SubmittedAt: ago(time.Minute), Job: pixazo.Job{RequestID: "id-1", Status: pixazo.Queued, CreatedAt: ago(-24 * time.Hour)}}, 0,
			`{"request_id":"id-1","status":"QUEUED","done":false,"created_at":"2026-11-26T12:00:00Z","elapsed_seconds":0,"check_again_seconds":300}`},
		{"stalled", jobs.Row{State: journal.Accepted, SubmittedAt: ago(2 * time.Hour), ChangedAt: ago(61 * time.Minute), Job: pixazo.Job{RequestID: "id-1", Status: pixazo.Processing}}, 0,
			`{"request_id":"id-1","status":"PROCESSING","done":false,"created_at":"2026-11-25T10:00:00Z","elapsed_seconds":7200,"check_again_seconds":1200,"stalled":true}`},
		{"done and saved", jobs.Row{State: journal.Accepted, SubmittedAt: ago(2 * time.Hour), ChangedAt: ago(2 * time.Hour), Saved: []jobs.SavedFile{{Path: saved}}, Save: journal.Save{Error: "an earlier one"},
			Job: pixazo.Job{RequestID: "id-1", Status: pixazo.Completed, Media: pixazo.Media{VideoURLs: []string{"https://m/1.mp4?a=1&b=2"}, MediaType: "video/mp4", DurationSeconds: 31.5, ThumbnailURL: "https://m/1.png", SubtitleURL: "https://m/1.srt", CaptionedVideoURL: "https://m/2.mp4"}, CreatedAt: ago(2 * time.Hour), CompletedAt: ago(time.Hour)}}, time.Minute,
			`{"request_id":"id-1","status":"COMPLETED","done":true,"video_urls":["https://m/1.mp4?a=1&b=2"],"media_type":"video/mp4","duration_seconds":31.5,"thumbnail_url":"https://m/1.png","subtitle_url":"https://m/1.srt","captioned_video_url":"https://m/2.mp4","created_at":"2026-11-25T10:00:00Z","completed_at":"2026-11-25T11:00:00Z","elapsed_seconds":3600,"saved_path":` + strconv.Quote(saved) + `}`},
		{"done, and the first of two videos is saved", jobs.Row{State: journal.Foreign, Saved: []jobs.SavedFile{{Path: saved}}, Save: journal.Save{Error: "the disk is full"},
			Job: pixazo.Job{RequestID: "id-1", Status: pixazo.Completed, Media: pixazo.Media{VideoURLs: []string{"https://m/1.mp4", "https://m/2.mp4"}}}}, 0,
			`{"request_id":"id-1","status":"COMPLETED","done":true,"video_urls":["https://m/1.mp4","https://m/2.mp4"],"save_error":"the disk is full"}`},
		{"done, and its file is gone", jobs.Row{State: journal.Foreign, Saved: []jobs.SavedFile{{Path: saved + ".gone"}}, Save: journal.Save{Error: "the disk is full"}, Job: pixazo.Job{RequestID: "id-1", Status: pixazo.Completed}}, 0,
			`{"request_id":"id-1","status":"COMPLETED","done":true,"save_error":"the disk is full"}`},
		{"failed", jobs.Row{State: journal.Accepted, Job: pixazo.Job{RequestID: "id-1", Status: pixazo.Failed, Error: "no such avatar"}}, 0,
			`{"request_id":"id-1","status":"FAILED","done":true,"error":"no such avatar"}`},
		{"under way", jobs.Row{State: journal.Submitting, Prompt: "tides", SubmittedAt: ago(time.Minute)}, time.Minute,
			`{"status":"SUBMITTING","done":false,"created_at":"2026-11-25T11:59:00Z","elapsed_seconds":60,"prompt":"tides"}`},
		{"uncertain", jobs.Row{State: journal.Uncertain, Prompt: "tides", SubmittedAt: ago(3 * time.Hour)}, 0,
			`{"status":"UNCERTAIN","done":false,"created_at":"2026-11-25T09:00:00Z","elapsed_seconds":10800,"prompt":"tides"}`},
		{"uncertain, a long prompt", jobs.Row{State: journal.Uncertain, Prompt: strings.Repeat("x", 501)}, 0, `{"status":"UNCERTAIN","done":false,"prompt":"` + strings.Repeat("x", 500) + `…"}`},
		{"done, a long prompt", jobs.Row{State: journal.Foreign, Prompt: strings.Repeat("x", 201), Job: pixazo.Job{RequestID: "id-1", Status: pixazo.Completed}}, 0,
			`{"request_id":"id-1","status":"COMPLETED","done":true,"prompt":"` + strings.Repeat("x", 200) + `…"}`},
		{"replaced", jobs.Row{State: journal.Replaced, SubmittedAt: ago(time.Hour)}, 0,
			`{"status":"REPLACED","done":false,"created_at":"2026-11-25T11:00:00Z","elapsed_seconds":3600}`},
		{"nothing is known", jobs.Row{Job: pixazo.Job{RequestID: "id-1"}}, 0, `{"request_id":"id-1","done":false}`},
		{"only its id tells when it was made", jobs.Row{State: journal.Foreign, Job: pixazo.Job{RequestID: uuidID(ago(time.Minute)), Status: pixazo.Processing}}, 0,
			`{"request_id":"` + uuidID(ago(time.Minute)) + `","status":"PROCESSING","done":false,"created_at":"2026-11-25T11:59:00Z","elapsed_seconds":60,"check_again_seconds":240}`},
	} {
		view := jobs.ViewOf(tt.row, now, tt.typical)
		raw, err := json.Marshal(view)
		if err != nil {
			t.Fatal(err)
		}
		var got, want map[string]any
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(strings.ReplaceAll(tt.want, "\n", "")), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", tt.name, got, want)
		}
	}
}

func TestATeamsVideosAreSavedOnceAllAre(t *testing.T) {
	tracker := openTracker(t, &fakeGateway{}, t.TempDir(), jobs.Options{Team: true, SavedLink: func(jobs.Row, jobs.SavedFile) string { return "link" }})
	row := jobs.Row{Job: pixazo.Job{RequestID: "id-1", Status: pixazo.Completed, Media: pixazo.Media{VideoURLs: []string{"https://m/1.mp4", "https://m/2.mp4"}}}}
	for i, want := range []string{"", "link"} {
		row.Saved = append(row.Saved, jobs.SavedFile{Video: i})
		if got := tracker.View(t.Context(), row).SavedURL; got != want {
			t.Errorf("%d saved: %q", len(row.Saved), got)
		}
	}
}

// The row is all that a server has of a submission that a keeper is still sending.
func TestARowTellsWhatItsRequestIsWarnedOf(t *testing.T) {
	p := prepared(pixazo.VideoRequest{Prompt: "x", Files: []string{"a.png", "notes.txt"}, Attached: []*pixazo.Attachment{{Name: "a.png", Data: []byte("\x89PNG\r\n\x1a\n")}, {Name: "notes.txt", Data: []byte("words")}}})
	got, want := jobs.Warnings(jobs.Row{Request: p.Description}), pixazo.Warnings(p.Files)
	if len(want) != 1 || !slices.Equal(got, want) || jobs.Warnings(jobs.Row{}) != nil {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestElapsedSeconds(t *testing.T) {
	now := time.Now()
	at := func(ago time.Duration) time.Time { return now.Add(-ago) }
	for _, tt := range []struct {
		name string
		job  pixazo.Job
		want int // -1 for left out
	}{
		{"no creation known", pixazo.Job{Status: pixazo.Processing}, -1},
		{"in the works, to now", pixazo.Job{Status: pixazo.Processing, CreatedAt: at(90500 * time.Millisecond)}, 90},
		{"just created", pixazo.Job{Status: pixazo.Queued, CreatedAt: now}, 0},
		{"created in the future", pixazo.Job{Status: pixazo.Queued, CreatedAt: at(-time.Hour)}, 0},
		{"in the works, a completion is not believed", pixazo.Job{Status: pixazo.Processing, CreatedAt: at(time.Minute), CompletedAt: at(time.Hour)}, 60},
		{"done, to its end", pixazo.Job{Status: pixazo.Completed, CreatedAt: at(time.Hour), CompletedAt: at(55 * time.Minute)}, 300},
		{"failed, to its end", pixazo.Job{Status: pixazo.Failed, CreatedAt: at(time.Hour), CompletedAt: at(59 * time.Minute)}, 60},
		{"done, no end known", pixazo.Job{Status: pixazo.Completed, CreatedAt: at(time.Hour)}, -1},
		{"done before it began", pixazo.Job{Status: pixazo.Completed, CreatedAt: at(time.Hour), CompletedAt: at(2 * time.Hour)}, 0},
	} {
		got := -1
		if s := jobs.ViewOf(jobs.Row{Job: tt.job}, now, 0).ElapsedSeconds; s != nil {
			got = *s
		}
		if got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestEachPlaceOfAVideoIsKnown(t *testing.T) {
	tracker := newTracker(t, &fakeGateway{})
	id, dir := submit(t, tracker, prompt("a")), t.TempDir()
	saved := func(name string, bytes int64, video int) jobs.SavedFile {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return jobs.SavedFile{Path: path, Bytes: bytes, Video: video}
	}
	a, b, larger, c := saved("a.mp4", 5, 0), saved("b.mp4", 5, 0), saved("a.mp4", 6, 0), saved("c.mp4", 5, 1)
	for _, file := range []jobs.SavedFile{a, b, larger, c} {
		if err := tracker.AddSaved(t.Context(), id, []jobs.SavedFile{file}); err != nil {
			t.Fatal(err)
		}
	}
	row := find(t, tracker, id)
	if want := []jobs.SavedFile{c, larger, b}; !slices.Equal(row.Saved, want) {
		t.Errorf("the journal has %+v; want %+v", row.Saved, want)
	}
	for _, want := range []string{larger.Path, b.Path, ""} {
		if got := tracker.View(t.Context(), row).SavedPath; got != want {
			t.Errorf("the first video is at %q, want %q", got, want)
		}
		_ = os.Remove(want)
	}
}
