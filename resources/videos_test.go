// These tests read the videos and complete their request_ids, with a journal
// of their own and a gateway made of a function.

package resources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

// fakeGateway accepts every submission as job-1, job-2, … and answers statuses
// with status, PROCESSING when it is nil.
type fakeGateway struct {
	status func(id string) (pixazo.Job, error)
	submit func() error

	mu        sync.Mutex
	submitted int
	polls     map[string]int
}

func (g *fakeGateway) Submit(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
	if g.submit != nil {
		if err := g.submit(); err != nil {
			return pixazo.Job{}, err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.submitted++
	return pixazo.Job{RequestID: fmt.Sprintf("job-%d", g.submitted), Status: pixazo.Queued}, nil
}

func (g *fakeGateway) Status(_ context.Context, id string, _ pixazo.StatusOptions) (pixazo.Job, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.polls == nil {
		g.polls = map[string]int{}
	}
	g.polls[id]++
	if g.status == nil {
		return pixazo.Job{RequestID: id, Status: pixazo.Processing}, nil
	}
	return g.status(id)
}

func (g *fakeGateway) set(status func(id string) (pixazo.Job, error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status = status
}

// counts are the polls so far, by request_id.
func (g *fakeGateway) counts() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.polls)
}

func says(status pixazo.Status) func(string) (pixazo.Job, error) {
	return func(id string) (pixazo.Job, error) {
		job := pixazo.Job{RequestID: id, Status: status}
		if status == pixazo.Completed {
			job.VideoURLs = []string{"https://media.example/" + id + ".mp4?a=1&b=<2>"}
			job.MediaType = "video/mp4"
		}
		return job, nil
	}
}

func fails(code pixazo.Code) func(string) (pixazo.Job, error) {
	return func(id string) (pixazo.Job, error) {
		return pixazo.Job{}, &pixazo.Error{Code: code, Message: "as scripted", RequestID: id}
	}
}

// newServer has this package's resources, as main.go wires them, and a journal
// of its own.
func newServer(t *testing.T, g *fakeGateway) (*server.MCPServer, *Videos, *jobs.Tracker) {
	t.Helper()
	return newServerOf(t, g, t.TempDir())
}

func newServerOf(t *testing.T, g *fakeGateway, stateDir string) (*server.MCPServer, *Videos, *jobs.Tracker) {
	t.Helper()
	tracker := jobs.New(g, journal.New(journal.Options{Dir: stateDir, Gateway: "test"}), jobs.Options{Rand: func() float64 { return 0.5 }})
	t.Cleanup(tracker.Close)
	s := server.NewMCPServer("test", "1", server.WithResourceCapabilities(true, true), server.WithCompletions())
	return s, Register(s, tracker, Options{MediaOrigins: []string{"https://*.media.example"}}), tracker
}

func submit(t *testing.T, tracker *jobs.Tracker, prompt string) string {
	t.Helper()
	submission, err := tracker.Submit(t.Context(), prepared(pixazo.VideoRequest{Prompt: prompt}), jobs.SubmitOptions{AllowDuplicate: true})
	if err != nil {
		t.Fatal(err)
	}
	return submission.Row.Job.RequestID
}

// read returns the JSON text of a resource.
func read(t *testing.T, s *server.MCPServer, meta map[string]any, uri string) string {
	t.Helper()
	a := askServer(t, s, meta, "resources/read", map[string]any{"uri": uri})
	var got struct {
		Contents []struct{ URI, MIMEType, Text string }
	}
	if err := json.Unmarshal(a.Result, &got); err != nil || len(got.Contents) != 1 {
		t.Fatalf("%s: %+v, %v", uri, a, err)
	}
	if c := got.Contents[0]; c.URI != uri || c.MIMEType != "application/json" {
		t.Errorf("%s: got %+v", uri, c)
	}
	return got.Contents[0].Text
}

func TestRecentVideosAreReadFromTheJournalAlone(t *testing.T) {
	t.Parallel()
	for _, era := range eras {
		t.Run(era.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &fakeGateway{}
				s, _, tracker := newServer(t, g)
				defer tracker.Close()
				if got := read(t, s, era.meta, jobs.VideosURI); got != `{"videos":[]}` {
					t.Errorf("got %s", got)
				}
				submit(t, tracker, "tides & <moon>")
				time.Sleep(time.Second)
				g.set(says(pixazo.Completed))
				if _, err := tracker.Status(t.Context(), "job-1"); err != nil {
					t.Fatal(err)
				}
				g.submit = func() error { return &pixazo.Error{Code: pixazo.SubmissionUncertain, Message: "no answer"} }
				if _, err := tracker.Submit(t.Context(), prepared(pixazo.VideoRequest{Prompt: "lost"}), jobs.SubmitOptions{AllowDuplicate: true}); err == nil {
					t.Fatal("no error")
				}
				before := g.counts()
				want := `{"videos":[{"status":"UNCERTAIN","done":false,"created_at":"2000-01-01T00:00:01Z","elapsed_seconds":0,"prompt":"lost"},` +
					`{"request_id":"job-1","status":"COMPLETED","done":true,"video_urls":["https://media.example/job-1.mp4?a=1&b=<2>"],` +
					`"media_type":"video/mp4","created_at":"2000-01-01T00:00:00Z","last_checked_at":"2000-01-01T00:00:01Z","prompt":"tides & <moon>"}]}`
				if got := read(t, s, era.meta, jobs.VideosURI); got != want {
					t.Errorf("\n got %s\nwant %s", got, want)
				}
				g.submit = nil
				for i := range 25 {
					submit(t, tracker, fmt.Sprint("video ", i))
				}
				got := read(t, s, era.meta, jobs.VideosURI)
				if n := strings.Count(got, `"request_id"`); n != 20 || !strings.HasPrefix(got, `{"videos":[{"request_id":"job-26"`) {
					t.Errorf("%d videos: %s", n, got)
				}
				if !maps.Equal(before, g.counts()) {
					t.Errorf("reading the list asked the gateway: %v", g.counts())
				}
			})
		})
	}
}

func TestAVideoIsReadAsItStandsNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{}
		s, _, tracker := newServer(t, g)
		defer tracker.Close()
		uri := jobs.VideosURI + "/" + submit(t, tracker, "tides")
		time.Sleep(time.Minute)
		steps := []struct {
			name   string
			status func(string) (pixazo.Job, error)
			want   string
			polls  int
		}{
			{"the gateway can't be asked", fails(pixazo.GatewayUnreachable), `"status":"QUEUED","done":false,"created_at":"2000-01-01T00:00:00Z","elapsed_seconds":60,"check_again_seconds":240`, 1},
			{"no key", fails(pixazo.MissingAPIKey), `"status":"QUEUED","done":false,"created_at":"2000-01-01T00:00:00Z","elapsed_seconds":70,"check_again_seconds":230`, 2},
			{"pending", says(pixazo.Processing), `"status":"PROCESSING","done":false,"created_at":"2000-01-01T00:00:00Z","elapsed_seconds":80,"check_again_seconds":220,"last_checked_at":"2000-01-01T00:01:20Z"`, 3},
			{"done", says(pixazo.Failed), `"status":"FAILED","done":true,"created_at":"2000-01-01T00:00:00Z","last_checked_at":"2000-01-01T00:01:30Z"`, 4},
			{"done before", says(pixazo.Processing), `"status":"FAILED","done":true,"created_at":"2000-01-01T00:00:00Z","last_checked_at":"2000-01-01T00:01:30Z"`, 4},
		}
		for _, step := range steps {
			g.set(step.status)
			want := `{"request_id":"job-1",` + step.want + `,"prompt":"tides"}`
			if got := read(t, s, nil, uri); got != want {
				t.Errorf("%s:\n got %s\nwant %s", step.name, got, want)
			}
			if n := g.counts()["job-1"]; n != step.polls {
				t.Errorf("%s: %d polls, want %d", step.name, n, step.polls)
			}
			time.Sleep(10 * time.Second)
		}
	})
}

// A read does not hang on a slow gateway.
func TestAReadHasPatienceWithTheGateway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker := jobs.New(hangingGateway{}, journal.New(journal.Options{Dir: t.TempDir(), Gateway: "test"}), jobs.Options{})
		defer tracker.Close()
		s := server.NewMCPServer("test", "1", server.WithResourceCapabilities(true, true))
		Register(s, tracker, Options{MediaOrigins: []string{"https://*.media.example"}})
		submit(t, tracker, "tides")
		start := time.Now()
		if got := read(t, s, nil, jobs.VideosURI+"/hanging"); !strings.Contains(got, `"status":"QUEUED"`) {
			t.Errorf("got %s", got)
		}
		if took := time.Since(start); took != patience {
			t.Errorf("took %s", took)
		}
	})
}

// prepared is req, which must be right.
func prepared(req pixazo.VideoRequest) *pixazo.Prepared {
	p, err := pixazo.Prepare(req)
	if err != nil {
		panic(err)
	}
	return p
}

type hangingGateway struct{}

func (hangingGateway) Submit(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
	return pixazo.Job{RequestID: "hanging", Status: pixazo.Queued}, nil
}

func (hangingGateway) Status(ctx context.Context, _ string, _ pixazo.StatusOptions) (pixazo.Job, error) {
	<-ctx.Done()
	return pixazo.Job{}, ctx.Err()
}

// noted is a session that takes an error's code.
type noted struct {
	server.ClientSession
	code int
}

func (n *noted) SetErrorCode(_ context.Context, code int) { n.code = code }
func (n *noted) SessionID() string                        { return "noted" }
func (n *noted) Initialized() bool                        { return true }

// errorOf returns the error that a request is answered with, and the code that
// its handler chose for it: mcp-go's own is another one.
func errorOf(t *testing.T, s *server.MCPServer, meta map[string]any, method string, params map[string]any) (code int, message string) {
	t.Helper()
	if meta != nil {
		params["_meta"] = meta
	}
	line, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	session := &noted{}
	response, ok := s.HandleMessage(s.WithContext(t.Context(), session), line).(mcp.JSONRPCError)
	if !ok {
		t.Fatalf("%s %v: no error", method, params)
	}
	return session.code, response.Error.Message
}

func TestAVideoThatIsNotThereIsNotFound(t *testing.T) {
	g := &fakeGateway{}
	s, _, tracker := newServer(t, g)
	submit(t, tracker, "tides")
	tests := []struct {
		uri, contains  string
		legacy, modern int // 0 when mcp-go gives the code
	}{
		{jobs.VideosURI + "/job-2", "resource not found", mcp.RESOURCE_NOT_FOUND, mcp.INVALID_PARAMS},
		{jobs.VideosURI + "/..", "request_id must be", mcp.INVALID_PARAMS, mcp.INVALID_PARAMS},
		{jobs.VideosURI + "/a%20b", "request_id must be", mcp.INVALID_PARAMS, mcp.INVALID_PARAMS},
		{jobs.VideosURI + "/" + strings.Repeat("a", 201), "request_id must be", mcp.INVALID_PARAMS, mcp.INVALID_PARAMS},
		{jobs.VideosURI + "/", "", mcp.INVALID_PARAMS, mcp.INVALID_PARAMS},
		{jobs.VideosURI + "/a/b", "resource not found", 0, 0},
		{jobs.VideosURI + "/a b", "resource not found", 0, 0},
		{jobs.VideosURI + "s", "resource not found", 0, 0},
	}
	for _, tt := range tests {
		for _, era := range eras {
			want := tt.legacy
			if era.meta != nil {
				want = tt.modern
			}
			code, message := errorOf(t, s, era.meta, "resources/read", map[string]any{"uri": tt.uri})
			if !strings.Contains(message, tt.contains) || code != want {
				t.Errorf("%s: %s: got code %d, %q; want code %d and %q", era.name, tt.uri, code, message, want, tt.contains)
			}
		}
	}
	if n := len(g.counts()); n != 0 {
		t.Errorf("the gateway was asked: %v", g.counts())
	}
}

// The video that was paid for is there even when the journal is not.
func TestReadsGoOnWithoutTheJournal(t *testing.T) {
	g := &fakeGateway{}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tracker := jobs.New(g, journal.New(journal.Options{Dir: filepath.Join(file, "in a file"), Gateway: "test"}), jobs.Options{})
	defer tracker.Close()
	s := server.NewMCPServer("test", "1", server.WithResourceCapabilities(true, true))
	v := Register(s, tracker, Options{MediaOrigins: []string{"https://*.media.example"}})
	if got, want := read(t, s, nil, jobs.VideosURI+"/job-7"), `{"request_id":"job-7","status":"PROCESSING","done":false,`; !strings.HasPrefix(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
	g.set(fails(pixazo.NotFound))
	if a := askServer(t, s, nil, "resources/read", map[string]any{"uri": jobs.VideosURI + "/job-8"}); a.Error == nil || !strings.Contains(a.Error.Message, "not found") {
		t.Errorf("got %+v", a)
	}
	if a := askServer(t, s, nil, "resources/read", map[string]any{"uri": jobs.VideosURI}); a.Error == nil || !strings.Contains(a.Error.Message, "journal_unavailable") && !strings.Contains(a.Error.Message, "the journal can't be used") {
		t.Errorf("got %+v", a)
	}
	if _, err := v.Subscribe(t.Context(), jobs.VideosURI+"/job-9", func() {}); !pixazo.IsCode(err, pixazo.JournalUnavailable) {
		t.Errorf("subscribed without knowing the video: %v", err)
	}
}

func TestCompletionOfRequestID(t *testing.T) {
	g := &fakeGateway{}
	s, _, tracker := newServer(t, g)
	for i := range 120 {
		submit(t, tracker, fmt.Sprint("video ", i))
	}
	g.submit = func() error { return &pixazo.Error{Code: pixazo.SubmissionUncertain, Message: "no answer"} }
	if _, err := tracker.Submit(t.Context(), prepared(pixazo.VideoRequest{Prompt: "lost"}), jobs.SubmitOptions{AllowDuplicate: true}); err == nil {
		t.Fatal("no error")
	}
	ids := func(from, to int) (ids []string) {
		for i := from; i >= to; i-- {
			ids = append(ids, fmt.Sprintf("job-%d", i))
		}
		return ids
	}
	tests := []struct {
		name, uri, argument, value string
		want                       []string
		total                      int
		more                       bool
	}{
		{"everything", videoTemplate, "request_id", "", ids(120, 21), 120, true},
		{"a prefix", videoTemplate, "request_id", "job-11", append(ids(119, 110), "job-11"), 11, false},
		{"one", videoTemplate, "request_id", "job-7", append(ids(79, 70), "job-7"), 11, false},
		{"no prefix", videoTemplate, "request_id", "ob-7", nil, 0, false},
		{"another case", videoTemplate, "request_id", "JOB-7", nil, 0, false},
		{"a pattern", videoTemplate, "request_id", "job%", nil, 0, false},
		{"another argument", videoTemplate, "id", "", nil, 0, false},
	}
	for _, era := range eras {
		for _, tt := range tests {
			t.Run(era.name+" "+tt.name, func(t *testing.T) {
				a := askServer(t, s, era.meta, "completion/complete", map[string]any{
					"ref":      map[string]any{"type": "ref/resource", "uri": tt.uri},
					"argument": map[string]any{"name": tt.argument, "value": tt.value},
				})
				var got struct{ Completion mcp.Completion }
				if err := json.Unmarshal(a.Result, &got); err != nil {
					t.Fatalf("%+v: %v", a, err)
				}
				c := got.Completion
				if !slices.Equal(c.Values, tt.want) || c.Values == nil || c.Total != tt.total || c.HasMore != tt.more {
					t.Errorf("got %d of %d, more %v: %v", len(c.Values), c.Total, c.HasMore, c.Values)
				}
			})
		}
	}
	if n := len(g.counts()); n != 0 {
		t.Errorf("the gateway was asked: %v", g.counts())
	}
}

func TestCompletionOfAnUnknownReferenceIsRefused(t *testing.T) {
	s, _, _ := newServer(t, &fakeGateway{})
	for _, era := range eras {
		for _, ref := range []map[string]any{
			{"type": "ref/prompt", "name": "none"},
			{"type": "ref/prompt", "name": ""},
			{"type": "ref/resource", "uri": "pixazo://other/{request_id}"},
			{"type": "ref/resource", "uri": jobs.VideosURI + "/job-1"},
			{"type": "ref/resource", "uri": ""},
		} {
			params := map[string]any{"ref": ref, "argument": map[string]any{"name": "request_id", "value": ""}}
			if code, message := errorOf(t, s, era.meta, "completion/complete", params); code != mcp.INVALID_PARAMS || message == "" {
				t.Errorf("%s: %v: got code %d, %q", era.name, ref, code, message)
			}
		}
	}
}

func TestTheTemplateIsListedInBothEras(t *testing.T) {
	for _, era := range eras {
		a := ask(t, era.meta, "resources/templates/list", map[string]any{})
		var got struct {
			ResourceTemplates []struct{ URITemplate, Name, Title, Description, MIMEType string }
		}
		if err := json.Unmarshal(a.Result, &got); err != nil {
			t.Fatalf("%+v: %v", a, err)
		}
		if len(got.ResourceTemplates) != 1 || got.ResourceTemplates[0].URITemplate != videoTemplate || got.ResourceTemplates[0].MIMEType != "application/json" {
			t.Errorf("%s: got %+v", era.name, got)
		}
	}
}

func TestSubmittedVideosAreListed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{}
		s, _, tracker := newServer(t, g)
		defer tracker.Close()
		const videos = 55
		for i := range videos {
			submit(t, tracker, fmt.Sprintf("tides\nand \u202emoon, part %d, %s", i+1, strings.Repeat("long ", 50)))
		}
		a := askServer(t, s, nil, "resources/list", map[string]any{})
		var got struct {
			Resources []struct{ URI, Name, MIMEType string }
		}
		if err := json.Unmarshal(a.Result, &got); err != nil {
			t.Fatal(err)
		}
		names := map[string]string{}
		for _, r := range got.Resources {
			if id, ok := strings.CutPrefix(r.URI, jobs.VideosURI+"/"); ok {
				names[id] = r.Name
			}
		}
		if len(names) != listedVideos || names["job-5"] != "" {
			t.Errorf("%d videos are listed: %v", len(names), names)
		}
		if got, want := names["job-55"], "tides and moon, part 55, long long long long long…"; !strings.HasPrefix(got, want[:40]) || !strings.HasSuffix(got, "… (2000-01-01T00:00:00Z)") {
			t.Errorf("got the name %q", got)
		}
		changed := 0
		tracker.Listen(func(jobs.Row) { changed++ })
		// One that is no longer listed is still there, and is listed again once it changes.
		for _, id := range []string{"job-1", "job-55"} {
			if got := read(t, s, nil, jobs.VideosURI+"/"+id); !strings.Contains(got, `"status":"PROCESSING"`) {
				t.Errorf("%s: got %s", id, got)
			}
		}
		listed := s.ListResources()
		if changed != 2 || listed[jobs.VideosURI+"/job-1"] == nil || listed[jobs.VideosURI+"/job-55"] == nil || listed[jobs.VideosURI+"/job-6"] != nil {
			t.Errorf("after %d changes %d resources are listed", changed, len(listed))
		}
	})
}

func TestSubscribeRefusesWhatIsNotThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{}
		_, v, tracker := newServer(t, g)
		defer tracker.Close()
		submit(t, tracker, "tides")
		for _, uri := range []string{"", "pixazo:", jobs.VideosURI + "/", jobs.VideosURI + "/job-2", jobs.VideosURI + "/a b", jobs.VideosURI + "/..", videoTemplate, "file:///etc/passwd", "pixazo://guide/none"} {
			if _, err := v.Subscribe(t.Context(), uri, func() { t.Error("updated") }); err == nil || err.Error() == "" {
				t.Errorf("%q: subscribed", uri)
			} else if isID := strings.HasPrefix(uri, jobs.VideosURI+"/") && uri != jobs.VideosURI+"/job-2"; isID != pixazo.IsCode(err, pixazo.InvalidArgument) || isID == errors.Is(err, server.ErrResourceNotFound) {
				t.Errorf("%q: %v", uri, err)
			}
		}
		time.Sleep(5 * time.Minute)
		if n := len(g.counts()); n != 0 {
			t.Errorf("polls %v", g.counts())
		}
		stop, err := v.Subscribe(t.Context(), jobs.PromptingGuideURI, func() { t.Error("a guide has changed") })
		if err != nil {
			t.Fatal(err)
		}
		stop()
	})
}
