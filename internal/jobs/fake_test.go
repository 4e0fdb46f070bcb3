// This file is what the tests of this package share: a gateway made of
// functions, ids of a given age, and a tracker without chance.

package jobs_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

// fakeGateway answers with its functions and notes what it was asked. A nil
// submit accepts, a nil status says PROCESSING.
type fakeGateway struct {
	submit func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error)
	status func(ctx context.Context, id string, poll int) (pixazo.Job, error) // poll counts from 0, for each id

	mu          sync.Mutex
	polls       map[string][]time.Time
	submissions int
	pollingURL  string // of the newest poll
}

func (g *fakeGateway) Submit(ctx context.Context, p *pixazo.Prepared, o pixazo.SubmitOptions) (pixazo.Job, error) {
	g.mu.Lock()
	g.submissions++
	n := g.submissions
	g.mu.Unlock()
	if g.submit == nil {
		return pixazo.Job{RequestID: fmt.Sprintf("own-%d", n), Status: pixazo.Queued}, nil
	}
	return g.submit(ctx, p, o)
}

func (g *fakeGateway) Status(ctx context.Context, id string, o pixazo.StatusOptions) (pixazo.Job, error) {
	g.mu.Lock()
	if g.polls == nil {
		g.polls = map[string][]time.Time{}
	}
	n := len(g.polls[id])
	g.polls[id] = append(g.polls[id], time.Now())
	g.pollingURL = o.PollingURL
	g.mu.Unlock()
	if g.status == nil {
		return processing(id), nil
	}
	return g.status(ctx, id, n)
}

// count is how many polls there were, of all jobs.
func (g *fakeGateway) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for times := range maps.Values(g.polls) {
		n += len(times)
	}
	return n
}

// sent is how many submissions there were.
func (g *fakeGateway) sent() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.submissions
}

// milliseconds are the times of the polls of a job, counted from start.
func (g *fakeGateway) milliseconds(id string, start time.Time) []int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	var ms []int64
	for _, at := range g.polls[id] {
		ms = append(ms, at.Sub(start).Milliseconds())
	}
	return ms
}

func processing(id string) pixazo.Job {
	return pixazo.Job{RequestID: id, Status: pixazo.Processing}
}

func finished(id string, status pixazo.Status) pixazo.Job {
	return pixazo.Job{RequestID: id, Status: status, Media: pixazo.Media{VideoURLs: []string{"https://media.example/" + id + ".mp4"}}}
}

func failing(code pixazo.Code, id string) error {
	return &pixazo.Error{Code: code, Message: "as scripted", RequestID: id}
}

// newTracker has a journal of its own, and polls that are spread neither way.
func newTracker(t testing.TB, g jobs.Gateway) *jobs.Tracker {
	t.Helper()
	return openTracker(t, g, t.TempDir())
}

// openTracker ends the tracker with the test, so that a bubble of synctest is
// left empty and a temporary directory can be removed. Two over one directory
// stand for two processes.
func openTracker(t testing.TB, g jobs.Gateway, dir string, options ...jobs.Options) *jobs.Tracker {
	t.Helper()
	return openWith(t, g, journal.Options{Dir: dir, Gateway: "https://gateway.example"}, options...)
}

func openWith(t testing.TB, g jobs.Gateway, place journal.Options, options ...jobs.Options) *jobs.Tracker {
	t.Helper()
	var o jobs.Options
	if len(options) > 0 {
		o = options[0]
	}
	if o.Rand == nil {
		o.Rand = func() float64 { return 0.5 }
	}
	j := journal.New(engineOf(t, place))
	if o.Team {
		// Opened here, since opening holds a mutex, in a bubble the clock stands then,
		// and elsewhere than on Linux SQLite waits for other openers by that clock.
		_, _ = j.EndSession(t.Context(), "")
	}
	tracker := jobs.New(g, j, o)
	t.Cleanup(func() { end(tracker) })
	return tracker
}

func end(tracker *jobs.Tracker) {
	tracker.Drain()
	tracker.Finish(context.Background())
	tracker.Close()
}

// uuidID is a request_id in the documented form, made at that time.
func uuidID(created time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(created.UnixMilli())<<16|0x7abc)
	b[8] = 0x80
	return fmt.Sprintf("heygen-video-agent_%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func request() *pixazo.Prepared { return prompt("a lighthouse") }

func prompt(format string, args ...any) *pixazo.Prepared {
	return prepared(pixazo.VideoRequest{Prompt: fmt.Sprintf(format, args...)})
}

// prepared is req, which must be right.
func prepared(req pixazo.VideoRequest) *pixazo.Prepared {
	p, err := pixazo.Prepare(req)
	if err != nil {
		panic(err)
	}
	return p
}

// submit fails the test unless p is accepted, and returns its request_id.
func submit(t testing.TB, tracker *jobs.Tracker, p *pixazo.Prepared) string {
	t.Helper()
	s, err := tracker.Submit(context.Background(), p, jobs.SubmitOptions{})
	if err != nil || s.Duplicate || s.JournalErr != nil {
		t.Fatalf("Submit of %q = %+v, %v; want it accepted and written down", p.Prompt, s, err)
	}
	return s.Row.Job.RequestID
}

func status(tracker *jobs.Tracker, ctx context.Context, id string) (pixazo.Job, error) {
	seen, err := tracker.Status(ctx, id)
	return seen.Row.Job, err
}

// find returns the row of a job, which must be there.
func find(t testing.TB, tracker *jobs.Tracker, id string) jobs.Row {
	t.Helper()
	r, err := tracker.Find(t.Context(), id)
	if err != nil || r == nil {
		t.Fatalf("Find of %s = %+v, %v", id, r, err)
	}
	return *r
}

func list(t testing.TB, tracker *jobs.Tracker) []jobs.Row {
	t.Helper()
	page, err := tracker.List(context.Background(), journal.All, 100, "")
	if err != nil {
		t.Fatal(err)
	}
	return page.Rows
}

func mustSubmit(t *testing.T, tracker *jobs.Tracker) string {
	t.Helper()
	return submit(t, tracker, request())
}

func wantPolls(t *testing.T, got, want []int64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("polls after these milliseconds:\n got %v\nwant %v", got, want)
	}
}
