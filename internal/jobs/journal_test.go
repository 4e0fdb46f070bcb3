// This file tests what the journal holds and how it is found again: by another
// tracker over the same directory, which stands for another process. Bugs it
// guards against: a request_id that only one process knows, a second bill for
// one request, a limit that each process counts for itself, the key or a file
// on disk where nobody expects it.

package jobs_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/pixazo"
)

// submit fails the test unless req is accepted, and returns its request_id.
func submit(t testing.TB, tracker *jobs.Tracker, p *pixazo.Prepared) string {
	t.Helper()
	s, err := tracker.Submit(context.Background(), p, false)
	if err != nil || s.Duplicate || s.JournalErr != nil {
		t.Fatalf("Submit of %q = %+v, %v; want it accepted and recorded", p.Prompt(), s, err)
	}
	return s.Job.RequestID
}

func list(t testing.TB, tracker *jobs.Tracker, filter jobs.Filter) []jobs.Record {
	t.Helper()
	records, _, _, err := tracker.List(context.Background(), filter, 100, "")
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func prompts(records []jobs.Record) (all []string) {
	for _, r := range records {
		all = append(all, r.Prompt)
	}
	return all
}

func ids(records []jobs.Record) (all []string) {
	for _, r := range records {
		all = append(all, r.Job.RequestID)
	}
	return all
}

// raw is the journal of a directory, past the tracker. SQLite makes no file
// for it.
func raw(t testing.TB, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(dir, "journal.db"))+"?mode=rw&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execute(t testing.TB, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.Exec(statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestJournalIsReadByAnotherTracker(t *testing.T) {
	// Characters that mean something in a URI, which is how SQLite gets the path.
	dir := filepath.Join(t.TempDir(), "state dir 100%20#1 ü [a]")
	created := time.Date(2026, 5, 22, 13, 17, 32, 110e6, time.UTC)
	job := pixazo.Job{RequestID: "id-1", Status: pixazo.Queued, CreatedAt: created, PollingURL: "https://gateway.pixazo.ai/v2/requests/status/id-1"}
	first := openTracker(t, &fakeGateway{submit: func(context.Context, *pixazo.Prepared) (pixazo.Job, error) { return job, nil }},
		jobs.Options{StateDir: dir})
	before := time.Now().Add(-time.Millisecond) // times are kept in milliseconds
	submit(t, first, prompt("tides\x01 \u202e and \"quotes\"; DROP TABLE jobs"))
	end(first)

	g := &fakeGateway{}
	second := openTracker(t, g, jobs.Options{StateDir: dir})
	records := list(t, second, jobs.All)
	if len(records) != 1 {
		t.Fatalf("%d records, want 1", len(records))
	}
	r := records[0]
	if !reflect.DeepEqual(r.Job, job) || r.Prompt != "tides\x01 \u202e and \"quotes\"; DROP TABLE jobs" || r.Uncertain || !r.LastCheckedAt.IsZero() ||
		r.SubmittedAt.Before(before) || r.SubmittedAt.After(time.Now()) {
		t.Errorf("listed %+v, want the job as it was submitted", r)
	}
	found, err := second.Find("id-1")
	if err != nil || !reflect.DeepEqual(*found, r) {
		t.Errorf("Find = %+v, %v; want what List says", found, err)
	}
	if found, err := second.Find("id-2"); found != nil || err != nil {
		t.Errorf("Find of another job = %+v, %v; want nothing", found, err)
	}
	if _, err := second.Status(t.Context(), "id-1"); err != nil || g.pollingURL != job.PollingURL {
		t.Errorf("asked at %q, %v; want the recorded polling URL", g.pollingURL, err)
	}
}

func TestJournalIsOnlyForItsOwner(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	dir := filepath.Join(t.TempDir(), "a", "b")
	submit(t, openTracker(t, &fakeGateway{}, jobs.Options{StateDir: dir}), request())
	for _, file := range []struct {
		name string
		mode os.FileMode
	}{{"", os.ModeDir | 0o700}, {"journal.db", 0o600}, {"journal.db-wal", 0o600}, {"journal.db-shm", 0o600}} {
		info, err := os.Stat(filepath.Join(dir, file.name))
		if err != nil || info.Mode() != file.mode {
			t.Errorf("%q: %v, %v; want mode %v", file.name, info, err, file.mode)
		}
	}
}

func TestNothingIsWrittenBeforeTheFirstUse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	end(jobs.New(&fakeGateway{}, jobs.Options{StateDir: dir}))
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state directory exists: %v", err)
	}
}

func TestKeyAndAttachmentsAreNotInTheJournal(t *testing.T) {
	const key, content, data = "k3y-that-must-never-be-stored", "half a megabyte of pixels", "aGFsZiBhIG1lZ2FieXRlIG9mIHBpeGVscw=="
	client, err := pixazo.NewClient(pixazo.Config{
		Key: func() (pixazo.Key, error) { return pixazo.NewKey(key) },
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) { // a gateway that repeats what it got
			return answer(200, nil, fmt.Sprintf(`{"request_id":"id-1","status":"FAILED","error":"no: %s"}`, r.Header.Get("Ocp-Apim-Subscription-Key")))
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	tracker := openTracker(t, client, jobs.Options{StateDir: dir})
	submit(t, tracker, prepared(pixazo.VideoRequest{Prompt: "tides", VoiceID: "voice-1", Files: []string{"asset-1", "https://example.com/a.png", "data:image/png;base64," + data, "deck.png"},
		Attached: []*pixazo.Attachment{3: {Name: "deck.png", Data: []byte(content)}}}))
	if _, err := tracker.Status(t.Context(), "id-1"); err != nil {
		t.Fatal(err)
	}
	var described string
	if err := raw(t, dir).QueryRow("SELECT request FROM jobs").Scan(&described); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"voice_id":"voice-1"`, `{"asset_id":"asset-1"}`, `{"url":"https://example.com/a.png"}`, `{"media_type":"text/plain","size":25,"sha256":"`, `{"name":"deck.png","media_type":"text/plain","size":25,"sha256":"`} {
		if !strings.Contains(described, part) {
			t.Errorf("the journal describes the request as %s, without %q", described, part)
		}
	}
	files, _ := os.ReadDir(dir)
	for _, file := range files {
		stored, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, private := range []string{key, content, data} {
			if strings.Contains(string(stored), private) {
				t.Errorf("%s holds %q", file.Name(), private)
			}
		}
	}
}

func TestSameRequestWithinTenMinutesIsTheSameVideo(t *testing.T) {
	for _, tt := range []struct {
		name      string
		after     time.Duration
		status    pixazo.Status // seen meanwhile
		again     *pixazo.Prepared
		allow     bool
		gateway   string
		duplicate bool
	}{
		{name: "at once", again: request(), duplicate: true},
		{name: "after 10 minutes but one second", after: 10*time.Minute - time.Second, again: request(), duplicate: true},
		{name: "after 10 minutes", after: 10 * time.Minute, again: request()},
		{name: "finished meanwhile", after: time.Minute, status: pixazo.Completed, again: request(), duplicate: true},
		{name: "failed meanwhile", after: time.Minute, status: pixazo.Failed, again: request()},
		{name: "ended with an error meanwhile", after: time.Minute, status: pixazo.Errored, again: request()},
		{name: "allowed", again: request(), allow: true},
		{name: "another prompt", again: prompt("another lighthouse")},
		{name: "another field", again: prepared(pixazo.VideoRequest{Prompt: request().Prompt(), Orientation: "portrait"})},
		{name: "another gateway", again: request(), gateway: "sandbox"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
					return pixazo.Job{RequestID: id, Status: tt.status}, nil
				}}
				first := openTracker(t, g, jobs.Options{StateDir: dir})
				id := submit(t, first, request())
				time.Sleep(tt.after)
				if tt.status != "" {
					if _, err := first.Status(t.Context(), id); err != nil {
						t.Fatal(err)
					}
				}
				for name, tracker := range map[string]*jobs.Tracker{
					"the same tracker": first,
					"another tracker":  openTracker(t, g, jobs.Options{StateDir: dir, Gateway: tt.gateway}),
				} {
					if !tt.duplicate && name == "the same tracker" {
						continue // it would be a first submission to the other one
					}
					s, err := tracker.Submit(t.Context(), tt.again, tt.allow)
					if err != nil || s.Duplicate != tt.duplicate || s.Duplicate == (s.Job.RequestID != id) {
						t.Errorf("%s: Submit = %+v, %v; want duplicate %t of %s", name, s, err, tt.duplicate, id)
					}
					if tt.duplicate && s.Age != tt.after {
						t.Errorf("%s: age %v, want %v", name, s.Age, tt.after)
					}
				}
				if want := map[bool]int{true: 1, false: 2}[tt.duplicate]; g.submissions != want {
					t.Errorf("%d submissions, want %d", g.submissions, want)
				}
			})
		})
	}
}

func TestSubmissionInFlightIsJoined(t *testing.T) {
	for _, tt := range []struct {
		name    string
		err     error
		want    pixazo.Code // of the calls that joined
		message string
	}{
		{"accepted", nil, "", ""},
		{"refused", &pixazo.Error{Code: pixazo.OutOfCredits, Message: "the account is out of credits (HTTP 402)"}, pixazo.OutOfCredits, "the account is out of credits (HTTP 402)"},
		{"uncertain", failing(pixazo.SubmissionUncertain, ""), pixazo.DuplicateUncertain, "may have been accepted and billed"},
		{"uncertain with a request_id", failing(pixazo.SubmissionUncertain, "id-1"), pixazo.DuplicateUncertain, "may have been accepted and billed"},
		{"an error without a code", errors.New("the unexpected"), pixazo.DuplicateUncertain, "may have been accepted and billed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				g := &fakeGateway{submit: func(context.Context, *pixazo.Prepared) (pixazo.Job, error) {
					time.Sleep(6 * time.Second)
					if tt.err != nil {
						return pixazo.Job{}, tt.err
					}
					return pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil
				}}
				trackers := []*jobs.Tracker{openTracker(t, g, jobs.Options{StateDir: dir}), openTracker(t, g, jobs.Options{StateDir: dir})}
				var calls sync.WaitGroup
				calls.Go(func() {
					s, err := trackers[0].Submit(t.Context(), request(), false)
					if err != tt.err || s.Duplicate || err == nil && s.Job.RequestID != "id-1" {
						t.Errorf("the first call got %+v, %v; want the gateway's answer", s, err)
					}
				})
				time.Sleep(time.Second)
				start := time.Now()
				for _, tracker := range append(trackers, trackers...) {
					calls.Go(func() {
						s, err := tracker.Submit(t.Context(), request(), false)
						switch {
						case tt.want == "" && (err != nil || s.Job.RequestID != "id-1" || !s.Duplicate):
							t.Errorf("a call that joined got %+v, %v; want id-1", s, err)
						case tt.want != "" && (!pixazo.IsCode(err, tt.want) || !strings.Contains(err.Error(), tt.message)):
							t.Errorf("a call that joined got %+v, %v; want %s", s, err, tt.want)
						case tt.want == pixazo.DuplicateUncertain && err.(*pixazo.Error).RequestID != requestID(tt.err):
							t.Errorf("the error names request_id %q", err.(*pixazo.Error).RequestID)
						}
						if took := time.Since(start); took < 5*time.Second || took > 5*time.Second+200*time.Millisecond {
							t.Errorf("a call that joined at 1 s took %v, want the 5 s that were left", took)
						}
					})
				}
				calls.Wait()
				if g.submissions != 1 {
					t.Errorf("%d submissions, want 1", g.submissions)
				}
			})
		})
	}
}

func requestID(err error) string {
	if e, ok := errors.AsType[*pixazo.Error](err); ok {
		return e.RequestID
	}
	return ""
}

// Whoever joined a call still wants the video when that call's client leaves.
func TestCallThatJoinedOneGivenUpSubmitsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var posts atomic.Int32
		g := &fakeGateway{submit: func(ctx context.Context, _ *pixazo.Prepared) (pixazo.Job, error) {
			if posts.Add(1) > 1 {
				return pixazo.Job{RequestID: "id-2", Status: pixazo.Queued}, nil
			}
			<-ctx.Done() // nothing was sent yet, and is not any more
			return pixazo.Job{}, failing(pixazo.Cancelled, "")
		}}
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		calls.Go(func() {
			_, _ = openTracker(t, g, jobs.Options{StateDir: dir}).Submit(ctx, request(), false)
		})
		time.Sleep(time.Second)
		for range 2 {
			calls.Go(func() {
				s, err := openTracker(t, g, jobs.Options{StateDir: dir}).Submit(t.Context(), request(), false)
				if err != nil || s.Job.RequestID != "id-2" {
					t.Errorf("the call that joined got %+v, %v; want a video of its own", s, err)
				}
			})
		}
		time.Sleep(time.Second)
		cancel()
		calls.Wait()
		if n := posts.Load(); n != 2 {
			t.Errorf("%d submissions, want 2: the one given up and one for both that joined", n)
		}
	})
}

// "Nothing was submitted" would be wrong for a caller who leaves while another
// call's POST is on its way.
func TestCallThatJoinedAndLeftIsUncertain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		g := &fakeGateway{submit: func(context.Context, *pixazo.Prepared) (pixazo.Job, error) {
			time.Sleep(time.Minute)
			return pixazo.Job{RequestID: "id-1"}, nil
		}}
		first, second := openTracker(t, g, jobs.Options{StateDir: dir}), openTracker(t, g, jobs.Options{StateDir: dir})
		go func() { _, _ = first.Submit(context.Background(), request(), false) }()
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := second.Submit(ctx, request(), false); !pixazo.IsCode(err, pixazo.SubmissionUncertain) {
			t.Errorf("error %v, want submission_uncertain", err)
		}
	})
}

func TestUncertainSubmissionBlocksItsLikeUntilOneIsAllowed(t *testing.T) {
	for _, tt := range []struct {
		after time.Duration
		allow bool
		want  pixazo.Code
	}{
		{0, false, pixazo.DuplicateUncertain},
		{24*time.Hour - time.Second, false, pixazo.DuplicateUncertain},
		{365 * 24 * time.Hour, false, pixazo.DuplicateUncertain},
		{0, true, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := &fakeGateway{}
			g.submit = func(context.Context, *pixazo.Prepared) (pixazo.Job, error) {
				if g.submissions == 1 {
					return pixazo.Job{}, failing(pixazo.SubmissionUncertain, "")
				}
				return pixazo.Job{RequestID: fmt.Sprint("id-", g.submissions), Status: pixazo.Queued}, nil
			}
			tracker := newTracker(t, g)
			at := time.Now().UTC().Format(time.RFC3339)
			if _, err := tracker.Submit(t.Context(), request(), false); !pixazo.IsCode(err, pixazo.SubmissionUncertain) {
				t.Fatal(err)
			}
			time.Sleep(tt.after)
			_, err := tracker.Submit(t.Context(), request(), tt.allow)
			if tt.allow {
				// The user has decided: from now on the ordinary rules hold.
				time.Sleep(time.Hour)
				if _, err := tracker.Submit(t.Context(), request(), false); err != nil {
					t.Errorf("an hour after the one that was allowed: %v", err)
				}
			}
			if tt.want == "" && err != nil || tt.want != "" && (!pixazo.IsCode(err, tt.want) || !strings.Contains(err.Error(), at)) {
				t.Errorf("after %v, allowed %t: %v, want code %q, naming %s", tt.after, tt.allow, err, tt.want, at)
			}
		})
	}
}

// deadProcess is the id of a process that has ended.
func deadProcess(t *testing.T) int {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func TestIntentWithoutAnOutcomeIsUncertain(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	dead := deadProcess(t)
	for _, tt := range []struct {
		name      string
		process   int
		host      string
		age       time.Duration
		uncertain bool
	}{
		{"its process is gone", dead, host, time.Second, true},
		{"its process runs", os.Getpid(), host, time.Second, false},
		{"its process runs, for almost two minutes", os.Getpid(), host, 115 * time.Second, false},
		{"its process runs, for more than two minutes", os.Getpid(), host, 121 * time.Second, true},
		{"another computer's", dead, "another-" + host, time.Second, false},
		{"another computer's, more than two minutes old", dead, "another-" + host, 121 * time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			g := &fakeGateway{}
			tracker := openTracker(t, g, jobs.Options{StateDir: dir})
			list(t, tracker, jobs.All) // makes the journal
			fingerprint := request().Fingerprint()
			at := time.Now().Add(-tt.age).Truncate(time.Millisecond).UTC()
			execute(t, raw(t, dir), `INSERT INTO jobs (gateway, state, fingerprint, prompt, process, host, submitted_at) VALUES ('', 'submitting', ?, ?, ?, ?, ?)`,
				fingerprint, request().Prompt(), tt.process, tt.host, at.UnixMilli())

			filter, other := jobs.Pending, jobs.FilterUncertain
			if tt.uncertain {
				filter, other = other, filter
			}
			records := list(t, tracker, filter)
			if len(records) != 1 || records[0].Uncertain != tt.uncertain || records[0].Prompt != request().Prompt() || records[0].SubmittedAt != at {
				t.Errorf("%s: %+v; want the submission with its prompt and time", filter, records)
			}
			if records := list(t, tracker, other); len(records) != 0 {
				t.Errorf("%s: %+v; want none", other, records)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			_, err = tracker.Submit(ctx, request(), false)
			if want := map[bool]pixazo.Code{true: pixazo.DuplicateUncertain, false: pixazo.SubmissionUncertain}[tt.uncertain]; !pixazo.IsCode(err, want) || g.submissions != 0 {
				t.Errorf("the same request got %v after %d submissions, want %s after none", err, g.submissions, want)
			}
		})
	}
}

// A POST may take longer than an intent is believed; its outcome counts
// whenever it comes.
func TestOutcomeCountsAfterTheIntentWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, &fakeGateway{submit: func(context.Context, *pixazo.Prepared) (pixazo.Job, error) {
			time.Sleep(3 * time.Minute)
			return pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil
		}})
		done := make(chan struct{})
		go func() {
			defer close(done)
			submit(t, tracker, request())
		}()
		time.Sleep(150 * time.Second)
		if records := list(t, tracker, jobs.FilterUncertain); len(records) != 1 {
			t.Errorf("%+v; want one uncertain submission", records)
		}
		<-done
		if records := list(t, tracker, jobs.All); len(records) != 1 || records[0].Uncertain || records[0].Job.RequestID != "id-1" {
			t.Errorf("%+v; want the accepted job alone", records)
		}
	})
}

func TestHourlyLimitIsCountedOverAllTrackers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		release := make(chan struct{})
		g := &fakeGateway{submit: func(_ context.Context, p *pixazo.Prepared) (pixazo.Job, error) {
			switch p.Prompt() {
			case "uncertain":
				return pixazo.Job{}, failing(pixazo.SubmissionUncertain, "")
			case "refused":
				return pixazo.Job{}, failing(pixazo.OutOfCredits, "")
			case "in flight":
				<-release
			}
			return pixazo.Job{RequestID: strings.ReplaceAll(p.Prompt(), " ", "-"), Status: pixazo.Queued}, nil
		}}
		options := jobs.Options{StateDir: dir, Gateway: "https://gateway.example", MaxPerHour: 3}
		first, second := openTracker(t, g, options), openTracker(t, g, options)
		start := time.Now()
		refused := func(tracker *jobs.Tracker, p *pixazo.Prepared, in time.Duration) {
			t.Helper()
			before := g.submissions
			_, err := tracker.Submit(t.Context(), p, true)
			if !pixazo.IsCode(err, pixazo.LimitReached) || g.submissions != before {
				t.Fatalf("%q: error %v, want limit_reached and no submission", p.Prompt(), err)
			}
			next := time.Now().Add(in).UTC().Format(time.RFC3339)
			for _, part := range []string{"limit of 3 videos an hour", "--max-videos-per-hour", "PIXAZO_MAX_VIDEOS_PER_HOUR", next, in.String()} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is without %q", err, part)
				}
			}
			if pixazo.RetryAfter(err) != in {
				t.Errorf("next in %v, want %v", pixazo.RetryAfter(err), in)
			}
		}
		submit(t, first, prompt("accepted"))
		for range 5 {
			_, _ = second.Submit(t.Context(), prompt("refused"), false)
		}
		time.Sleep(10 * time.Minute)
		_, _ = second.Submit(t.Context(), prompt("uncertain"), false)
		time.Sleep(time.Minute)
		go func() { _, _ = first.Submit(context.Background(), prompt("in flight"), false) }()
		synctest.Wait()
		refused(first, prompt("one more"), 49*time.Minute)
		refused(second, prompt("one more"), 49*time.Minute)
		close(release)
		synctest.Wait()
		refused(second, prompt("one more"), 49*time.Minute)

		// What was submitted already is answered all the same.
		if s, err := second.Submit(t.Context(), prompt("in flight"), false); err != nil || !s.Duplicate {
			t.Errorf("a duplicate at the limit = %+v, %v; want that job", s, err)
		}
		submit(t, openTracker(t, g, jobs.Options{StateDir: dir, Gateway: "sandbox", MaxPerHour: 3}), prompt("elsewhere"))
		submit(t, openTracker(t, g, jobs.Options{StateDir: dir, Gateway: "https://gateway.example"}), prompt("without a limit"))
		// That makes four in this hour: the next is possible when the second is an hour old.
		time.Sleep(time.Hour - time.Since(start))
		refused(first, prompt("one more"), 10*time.Minute)
		time.Sleep(10 * time.Minute)
		submit(t, first, prompt("one more"))
	})
}

// Two calls at the limit's last place must not both get it.
func TestHourlyLimitHoldsForCallsAtOnce(t *testing.T) {
	dir := t.TempDir()
	g := &fakeGateway{}
	var trackers []*jobs.Tracker
	for range 4 {
		trackers = append(trackers, openTracker(t, g, jobs.Options{StateDir: dir, MaxPerHour: 5}))
	}
	var calls sync.WaitGroup
	var passed, refused atomic.Int32
	for i := range 40 {
		calls.Go(func() {
			_, err := trackers[i%4].Submit(t.Context(), prompt("video %d", i), false)
			switch {
			case err == nil:
				passed.Add(1)
			case pixazo.IsCode(err, pixazo.LimitReached):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if passed.Load() != 5 || refused.Load() != 35 || g.submissions != 5 {
		t.Errorf("%d passed, %d refused, %d submissions; want 5, 35 and 5", passed.Load(), refused.Load(), g.submissions)
	}
}

func TestListFilters(t *testing.T) {
	g := &fakeGateway{
		submit: func(_ context.Context, p *pixazo.Prepared) (pixazo.Job, error) {
			switch p.Prompt() {
			case "UNCERTAIN":
				return pixazo.Job{}, failing(pixazo.SubmissionUncertain, "uncertain-id")
			case "refused":
				return pixazo.Job{}, failing(pixazo.Unauthorized, "")
			}
			return pixazo.Job{RequestID: "id-" + p.Prompt(), Status: pixazo.Queued}, nil
		},
		status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
			return pixazo.Job{RequestID: id, Status: pixazo.Status(strings.TrimPrefix(id, "id-"))}, nil
		},
	}
	tracker := newTracker(t, g)
	for _, status := range []string{"PROCESSING", "COMPLETED", "FAILED", "ERROR", "RENDERING", "UNCERTAIN", "refused"} {
		s, err := tracker.Submit(t.Context(), prompt("%s", status), false)
		if err == nil {
			if _, err := tracker.Status(t.Context(), s.Job.RequestID); err != nil {
				t.Fatal(err)
			}
		}
	}
	for filter, want := range map[jobs.Filter][]string{
		jobs.All:             {"UNCERTAIN", "RENDERING", "ERROR", "FAILED", "COMPLETED", "PROCESSING"},
		jobs.Pending:         {"RENDERING", "PROCESSING"},
		jobs.FilterCompleted: {"COMPLETED"},
		jobs.FilterFailed:    {"ERROR", "FAILED"},
		jobs.FilterUncertain: {"UNCERTAIN"},
	} {
		if got := prompts(list(t, tracker, filter)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", filter, got, want)
		}
	}
	// An uncertain submission that the gateway turns out to know was accepted.
	if _, err := tracker.Status(t.Context(), "uncertain-id"); err != nil {
		t.Fatal(err)
	}
	if records := list(t, tracker, jobs.FilterUncertain); len(records) != 0 {
		t.Errorf("still uncertain: %+v", records)
	}
	if r, err := tracker.Find("uncertain-id"); err != nil || r == nil || r.Prompt != "UNCERTAIN" || r.Uncertain {
		t.Errorf("Find = %+v, %v; want the submission, accepted", r, err)
	}
}

func TestPagesAreStableWhileJobsAreAdded(t *testing.T) {
	dir := t.TempDir()
	tracker := openTracker(t, &fakeGateway{}, jobs.Options{StateDir: dir})
	other := openTracker(t, &fakeGateway{}, jobs.Options{StateDir: dir, Gateway: "sandbox"})
	var want []string
	for i := range 25 {
		want = append(want, submit(t, tracker, prompt("video %d", i)))
		submit(t, other, prompt("video %d", i))
	}
	slices.Reverse(want)
	for _, size := range []int{1, 7, 25, 100} {
		var got []string
		cursor := ""
		for page := 0; ; page++ {
			records, next, notice, err := tracker.List(t.Context(), jobs.All, size, cursor)
			if err != nil || notice != "" || len(records) == 0 || len(records) > size {
				t.Fatalf("page of %d after %q: %d records, %q, %v", size, cursor, len(records), notice, err)
			}
			got = append(got, ids(records)...)
			if cursor = next; next == "" {
				break
			}
			submit(t, tracker, prompt("added beside page %d of %d", page, size))
		}
		if len(got) < 25 || !slices.Equal(got[len(got)-25:], want) || len(slices.Compact(slices.Sorted(slices.Values(got)))) != len(got) {
			t.Errorf("pages of %d give %q, want every job once, ending with %q", size, got, want)
		}
	}
}

func TestCursorsThatListDidNotMakeAreRefused(t *testing.T) {
	tracker := newTracker(t, &fakeGateway{})
	for _, cursor := range []string{"x", "1", "YmVmb3Jl", "YmVmb3JlIDE=", "YmVmb3JlIDEgeA", "\x00", strings.Repeat("A", 5000)} {
		if _, _, _, err := tracker.List(t.Context(), jobs.All, 10, cursor); !pixazo.IsCode(err, pixazo.InvalidArgument) || !strings.Contains(err.Error(), "next_cursor") {
			t.Errorf("%.20q: error %v, want invalid_argument", cursor, err)
		}
	}
}

func TestEveryStatusSeenIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		done := pixazo.Job{RequestID: "id-1", Status: pixazo.Completed, VideoURLs: []string{"https://media.example/1.mp4", "https://media.example/2.mp4"},
			MediaType: "video/mp4", CreatedAt: time.Now().UTC(), UpdatedAt: time.Now().UTC().Add(time.Second), CompletedAt: time.Now().UTC().Add(time.Minute)}
		g := &fakeGateway{
			submit: func(context.Context, *pixazo.Prepared) (pixazo.Job, error) {
				return pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil
			},
			status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
				if poll < 2 {
					return processing(id), nil
				}
				return done, nil
			},
		}
		first, second := openTracker(t, g, jobs.Options{StateDir: dir}), openTracker(t, g, jobs.Options{StateDir: dir})
		var changes []string
		second.OnChange(func(id string, added bool) { changes = append(changes, fmt.Sprint(id, added)) })
		submit(t, first, request())
		time.Sleep(time.Second)
		if _, err := second.Status(t.Context(), "id-1"); err != nil {
			t.Fatal(err)
		}
		if r, err := first.Find("id-1"); err != nil || r.Job.Status != pixazo.Processing || !r.LastCheckedAt.Equal(time.Now()) || r.Prompt != request().Prompt() {
			t.Errorf("after get_status: %+v, %v; want PROCESSING, checked now", r, err)
		}
		time.Sleep(time.Minute)
		if _, err := second.Wait(t.Context(), "id-1", time.Hour, nil); err != nil {
			t.Fatal(err)
		}
		r, err := first.Find("id-1")
		if err != nil || !reflect.DeepEqual(r.Job, done) || !r.LastCheckedAt.Equal(time.Now()) {
			t.Errorf("after the wait: %+v, %v; want %+v", r, err, done)
		}
		if want := []string{"id-1false", "id-1false"}; !slices.Equal(changes, want) {
			t.Errorf("told of %q, want two changes", changes)
		}
	})
}

func TestJobMadeElsewhereIsRecorded(t *testing.T) {
	tracker := newTracker(t, &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
		if id == "unknown" {
			return pixazo.Job{}, failing(pixazo.NotFound, id)
		}
		return finished(id, pixazo.Completed), nil
	}})
	for _, id := range []string{"elsewhere", "unknown"} {
		_, _ = tracker.Status(t.Context(), id)
	}
	records := list(t, tracker, jobs.All)
	if len(records) != 1 || records[0].Job.RequestID != "elsewhere" || records[0].Prompt != "" || !records[0].SubmittedAt.IsZero() || records[0].LastCheckedAt.IsZero() {
		t.Errorf("%+v; want the job that the gateway knows, without prompt or time of submission", records)
	}
}

// A quick poll by another process may come before the outcome is written.
func TestOutcomeJoinsWhatAnotherProcessSawOfTheJob(t *testing.T) {
	for _, outcome := range []error{nil, failing(pixazo.SubmissionUncertain, "id-1")} {
		dir := t.TempDir()
		done := finished("id-1", pixazo.Completed)
		other := openTracker(t, &fakeGateway{status: func(context.Context, string, int) (pixazo.Job, error) { return done, nil }}, jobs.Options{StateDir: dir})
		created := time.Date(2026, 5, 22, 13, 17, 32, 0, time.UTC)
		tracker := openTracker(t, &fakeGateway{submit: func(context.Context, *pixazo.Prepared) (pixazo.Job, error) {
			if _, err := other.Status(t.Context(), "id-1"); err != nil {
				t.Error(err)
			}
			if outcome != nil {
				return pixazo.Job{}, outcome
			}
			return pixazo.Job{RequestID: "id-1", Status: pixazo.Queued, CreatedAt: created}, nil
		}}, jobs.Options{StateDir: dir})
		if _, err := tracker.Submit(t.Context(), request(), false); err != outcome {
			t.Fatal(err)
		}
		records := list(t, tracker, jobs.All)
		want := done
		if outcome == nil {
			want.CreatedAt = created
		}
		if len(records) != 1 || !reflect.DeepEqual(records[0].Job, want) || records[0].Prompt != request().Prompt() || records[0].LastCheckedAt.IsZero() || records[0].Uncertain {
			t.Errorf("%+v; want one accepted job, COMPLETED, with its prompt", records)
		}
	}
}

func TestClosedJournalIsNotOpenedAgain(t *testing.T) {
	g := &fakeGateway{}
	dir := filepath.Join(t.TempDir(), "state")
	tracker := jobs.New(g, jobs.Options{StateDir: dir})
	tracker.Close()
	if _, err := tracker.Submit(t.Context(), request(), false); !pixazo.IsCode(err, pixazo.JournalUnavailable) || g.submissions != 0 {
		t.Errorf("error %v after %d submissions, want journal_unavailable after none", err, g.submissions)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state directory exists: %v", err)
	}
}

// A locked journal must not turn an accepted video into one that nobody knows
// of: the outcome is written as soon as it can be.
func TestOutcomeThatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	dir := t.TempDir()
	var lock *sql.Tx
	g := &fakeGateway{submit: func(context.Context, *pixazo.Prepared) (pixazo.Job, error) {
		tx, err := raw(t, dir).Begin()
		if err != nil {
			t.Error(err)
		}
		if _, err := tx.Exec("UPDATE jobs SET saved_files = ''"); err != nil { // takes the write lock
			t.Error(err)
		}
		lock = tx
		return pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil
	}}
	jobs.ShortenBusyTimeouts(t, 50*time.Millisecond)
	tracker := openTracker(t, g, jobs.Options{StateDir: dir})
	s, err := tracker.Submit(t.Context(), request(), false)
	if err != nil || s.Job.RequestID != "id-1" || s.JournalErr == nil {
		t.Fatalf("got %+v, %v", s, err)
	}
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	again, err := tracker.Submit(t.Context(), request(), false)
	if err != nil || !again.Duplicate || again.Job.RequestID != "id-1" || g.submissions != 1 {
		t.Errorf("the same request then: %+v, %v after %d submissions", again, err, g.submissions)
	}
	records, _, _, err := tracker.List(t.Context(), jobs.All, 10, "")
	if err != nil || len(records) != 1 || records[0].Job.RequestID != "id-1" || records[0].Prompt == "" {
		t.Errorf("list: %+v, %v", records, err)
	}
}

func TestJobThatFailedUnseenIsNoDuplicate(t *testing.T) {
	g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
		return finished(id, pixazo.Failed), nil
	}}
	tracker := newTracker(t, g)
	for range 2 {
		if s, err := tracker.Submit(t.Context(), request(), false); err != nil || s.Duplicate {
			t.Errorf("got %+v, %v", s, err)
		}
	}
}

func TestOneUnreadableFieldDoesNotCostTheJournal(t *testing.T) {
	dir := t.TempDir()
	tracker := openTracker(t, &fakeGateway{}, jobs.Options{StateDir: dir})
	submit(t, tracker, request())
	if _, err := raw(t, dir).Exec("UPDATE jobs SET failure = '{bad'"); err != nil {
		t.Fatal(err)
	}
	records, _, notice, err := tracker.List(t.Context(), jobs.All, 10, "")
	if err != nil || len(records) != 1 || notice != "" {
		t.Errorf("got %+v, %q, %v", records, notice, err)
	}
}

// SQLite takes an empty file for a new database and drops its -wal.
func TestJournalCutToNothingIsSetAsideWithItsWAL(t *testing.T) {
	dir := t.TempDir()
	first := jobs.New(&fakeGateway{}, jobs.Options{StateDir: dir})
	submit(t, first, request())
	first.Close()
	if err := os.Truncate(filepath.Join(dir, "journal.db"), 0); err != nil {
		t.Fatal(err)
	}
	second := openTracker(t, &fakeGateway{}, jobs.Options{StateDir: dir})
	if _, _, notice, err := second.List(t.Context(), jobs.All, 10, ""); err != nil || !strings.Contains(notice, "journal-damaged-") {
		t.Errorf("got %q, %v", notice, err)
	}
}

func TestNewerSchemaIsRefusedByARunningTracker(t *testing.T) {
	dir := t.TempDir()
	g := &fakeGateway{}
	tracker := openTracker(t, g, jobs.Options{StateDir: dir})
	submit(t, tracker, request())
	if _, err := raw(t, dir).Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if _, err := tracker.Submit(t.Context(), prompt("another"), false); !pixazo.IsCode(err, pixazo.JournalUnavailable) || g.submissions != 1 {
		t.Errorf("got %v after %d submissions", err, g.submissions)
	}
}
