// This file tests that one request is one paid video: when it is sent twice, at
// once, by several processes, by one that was suspended, onto a full disk, or by
// a caller who does not listen to the end.

package jobs_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

// accepting is a submission that takes d.
func accepting(id string, d time.Duration) func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
	return func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
		time.Sleep(d)
		return pixazo.Job{RequestID: id, Status: pixazo.Queued}, nil
	}
}

// raw is the database of a journal, past the journal.
func raw(t testing.TB, dir string) *sql.DB {
	t.Helper()
	driver, source := "sqlite", "file:"+filepath.ToSlash(filepath.Join(dir, "journal.db"))+"?mode=rw&_pragma=busy_timeout(5000)"
	if url, ok := schemas.Load(dir); ok {
		driver, source = "pgx", url.(string)
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execute(t testing.TB, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestTheSameRequestIsAnsweredWithItsJobAsItStandsNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
			return finished(id, pixazo.Completed), nil
		}}
		id := submit(t, openTracker(t, g, dir), request())
		time.Sleep(time.Minute)
		for _, tt := range []struct {
			prompt string
			byForm bool
		}{{"a lighthouse", false}, {" a  lighthouse\n", true}, {"a\u00a0lighthouse", true}} {
			s, err := openTracker(t, g, dir).Submit(t.Context(), prompt("%s", tt.prompt), jobs.SubmitOptions{})
			if err != nil || !s.Duplicate || s.Row.Job.RequestID != id || s.ByForm != tt.byForm || s.Age != time.Minute || s.Row.State == journal.Submitting {
				t.Errorf("%q: %+v, %v; want a duplicate of %s, only by its form: %t", tt.prompt, s, err, id, tt.byForm)
			}
			if s.Row.Job.Status != pixazo.Completed || len(s.Row.Job.VideoURLs) != 1 || s.Row.Prompt != "a lighthouse" {
				t.Errorf("%q: %+v; want its present state", tt.prompt, s.Row)
			}
		}
		if g.submissions != 1 {
			t.Errorf("%d submissions, want 1", g.submissions)
		}
		if s, err := openTracker(t, g, dir).Submit(t.Context(), request(), jobs.SubmitOptions{AllowDuplicate: true}); err != nil || s.Duplicate || s.Row.Job.RequestID == id {
			t.Errorf("allowed: %+v, %v; want another video", s, err)
		}
	})
}

func TestAGatewayThatHangsDoesNotHoldUpADuplicate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, &fakeGateway{status: hang})
		id := mustSubmit(t, tracker)
		start := time.Now()
		s, err := tracker.Submit(t.Context(), request(), jobs.SubmitOptions{})
		if took := time.Since(start); err != nil || s.Row.Job.RequestID != id || took > 5*time.Second {
			t.Errorf("%+v, %v after %v", s, err, took)
		}
	})
}

// hang is a poll that is never answered.
func hang(ctx context.Context, id string, _ int) (pixazo.Job, error) {
	<-ctx.Done()
	return pixazo.Job{}, failing(pixazo.Cancelled, id)
}

func TestJobThatFailedUnseenIsNoDuplicate(t *testing.T) {
	g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
		return finished(id, pixazo.Failed), nil
	}}
	tracker := newTracker(t, g)
	for range 2 {
		submit(t, tracker, request())
	}
}

// A submission with the nonce of an earlier one is never sent. The yes of --confirm-spend
// gives a submission its nonce, and a client may send a yes again, to any process.
func TestANonceIsSubmittedOnce(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  error // with which the gateway answers
		job  pixazo.Status
		want pixazo.Code // of the calls that come again
	}{
		{"accepted", nil, pixazo.Processing, ""},
		{"failed since", nil, pixazo.Failed, ""},
		{"refused", &pixazo.Error{Code: pixazo.OutOfCredits}, "", pixazo.OutOfCredits},
		{"not sent", &pixazo.Error{Code: pixazo.Cancelled}, "", pixazo.Cancelled},
		{"uncertain", failing(pixazo.SubmissionUncertain, ""), "", pixazo.DuplicateUncertain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
					return pixazo.Job{RequestID: id, Status: tt.job}, nil
				}}
				if tt.err != nil {
					g.submit = func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
						return pixazo.Job{}, tt.err
					}
				}
				first, _ := openTracker(t, g, dir).Submit(t.Context(), request(), jobs.SubmitOptions{Nonce: "yes", AllowDuplicate: true})
				for _, allowed := range []bool{true, false} {
					time.Sleep(24 * time.Hour)
					s, err := openTracker(t, g, dir).Submit(t.Context(), request(), jobs.SubmitOptions{Nonce: "yes", AllowDuplicate: allowed})
					if tt.want != "" && !pixazo.IsCode(err, tt.want) || tt.want == "" && (err != nil || !s.Duplicate || s.Row.Job.RequestID != first.Row.Job.RequestID) {
						t.Errorf("allowed %t: %+v, %v", allowed, s, err)
					}
				}
				if g.submissions != 1 {
					t.Errorf("%d submissions", g.submissions)
				}
			})
		})
	}
}

func TestSubmissionInFlightIsJoined(t *testing.T) {
	t.Parallel()
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
				g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
					return pixazo.Job{}, failing(pixazo.NotFound, id)
				}, submit: func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
					time.Sleep(70 * time.Second) // the lease has to be renewed
					if tt.err != nil {
						return pixazo.Job{}, tt.err
					}
					return pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil
				}}
				trackers := []*jobs.Tracker{openTracker(t, g, dir), openTracker(t, g, dir)}
				var calls sync.WaitGroup
				calls.Go(func() {
					s, err := trackers[0].Submit(t.Context(), request(), jobs.SubmitOptions{})
					if err != tt.err || s.Duplicate || err == nil && s.Row.Job.RequestID != "id-1" {
						t.Errorf("the first call got %+v, %v; want the gateway's answer", s, err)
					}
				})
				time.Sleep(10 * time.Second)
				start := time.Now()
				for _, tracker := range append(trackers, trackers...) {
					calls.Go(func() {
						s, err := tracker.Submit(t.Context(), request(), jobs.SubmitOptions{})
						switch {
						case tt.want == "" && (err != nil || s.Row.Job.RequestID != "id-1" || !s.Duplicate):
							t.Errorf("a call that joined got %+v, %v; want id-1", s, err)
						case tt.want != "" && (!pixazo.IsCode(err, tt.want) || !strings.Contains(err.Error(), tt.message)):
							t.Errorf("a call that joined got %+v, %v; want %s", s, err, tt.want)
						case tt.want == pixazo.DuplicateUncertain && err.(*pixazo.Error).RequestID != requestID(tt.err):
							t.Errorf("the error names request_id %q", err.(*pixazo.Error).RequestID)
						}
						if took := time.Since(start); took < time.Minute || took > time.Minute+2500*time.Millisecond { // a poll that failed is not repeated within a second
							t.Errorf("a call that joined after 10 s took %v, want the minute that was left", took)
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
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var posts atomic.Int32
		g := &fakeGateway{submit: func(ctx context.Context, _ *pixazo.Prepared, _ pixazo.SubmitOptions) (pixazo.Job, error) {
			if posts.Add(1) > 1 {
				return pixazo.Job{RequestID: "id-2", Status: pixazo.Queued}, nil
			}
			<-ctx.Done() // nothing was sent yet, and is not any more
			return pixazo.Job{}, failing(pixazo.Cancelled, "")
		}}
		ctx, cancel := context.WithCancel(t.Context())
		var calls sync.WaitGroup
		calls.Go(func() {
			_, _ = openTracker(t, g, dir).Submit(ctx, request(), jobs.SubmitOptions{})
		})
		time.Sleep(time.Second)
		for range 2 {
			calls.Go(func() {
				s, err := openTracker(t, g, dir).Submit(t.Context(), request(), jobs.SubmitOptions{})
				if err != nil || s.Row.Job.RequestID != "id-2" {
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
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		g := &fakeGateway{submit: accepting("id-1", time.Minute)}
		first, second := openTracker(t, g, dir), openTracker(t, g, dir)
		go func() { _, _ = first.Submit(context.Background(), request(), jobs.SubmitOptions{}) }()
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := second.Submit(ctx, request(), jobs.SubmitOptions{}); !pixazo.IsCode(err, pixazo.SubmissionUncertain) {
			t.Errorf("error %v, want submission_uncertain", err)
		}
	})
}

func TestUncertainSubmissionStandsInTheWayUntilAnotherIsAllowed(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, 24 * time.Hour, 365 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			g := &fakeGateway{}
			g.submit = func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
				if g.submissions == 1 {
					return pixazo.Job{}, failing(pixazo.SubmissionUncertain, "")
				}
				return pixazo.Job{RequestID: fmt.Sprint("id-", g.submissions), Status: pixazo.Completed}, nil
			}
			tracker := newTracker(t, g)
			at := time.Now().UTC().Format(time.RFC3339)
			if _, err := tracker.Submit(t.Context(), request(), jobs.SubmitOptions{}); !pixazo.IsCode(err, pixazo.SubmissionUncertain) {
				t.Fatal(err)
			}
			time.Sleep(after)
			if _, err := tracker.Submit(t.Context(), request(), jobs.SubmitOptions{}); !pixazo.IsCode(err, pixazo.DuplicateUncertain) || !strings.Contains(err.Error(), at) {
				t.Errorf("after %v: %v, want duplicate_uncertain naming %s", after, err, at)
			}
			if _, err := tracker.Submit(t.Context(), request(), jobs.SubmitOptions{AllowDuplicate: true}); err != nil {
				t.Errorf("allowed: %v", err)
			}
			time.Sleep(time.Hour) // the user has decided: from now on the ordinary rules hold
			submit(t, tracker, request())
		})
	}
}

// An answer that named an id and could not be read otherwise is uncertain until
// the gateway knows the id.
func TestAnUncertainSubmissionThatTheGatewayKnowsIsADuplicate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		visible := false
		tracker := newTracker(t, &fakeGateway{
			submit: func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
				return pixazo.Job{}, failing(pixazo.SubmissionUncertain, "id-1")
			},
			status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
				if !visible {
					return pixazo.Job{}, failing(pixazo.NotFound, id)
				}
				return processing(id), nil
			},
		})
		_, _ = tracker.Submit(t.Context(), request(), jobs.SubmitOptions{})
		time.Sleep(time.Second)
		if _, err := tracker.Submit(t.Context(), request(), jobs.SubmitOptions{}); !pixazo.IsCode(err, pixazo.DuplicateUncertain) || requestID(err) != "id-1" {
			t.Errorf("error %v, want duplicate_uncertain with the id", err)
		}
		time.Sleep(time.Minute)
		visible = true
		s, err := tracker.Submit(t.Context(), request(), jobs.SubmitOptions{})
		if err != nil || !s.Duplicate || s.Row.Job.RequestID != "id-1" || s.Row.State != journal.Accepted {
			t.Errorf("got %+v, %v; want the job", s, err)
		}
	})
}

// A model must not be told of a second video that is not being made.
func TestASecondSubmissionThatIsGivenTheFirstOnesIDIsADuplicate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{submit: accepting("id-1", 0)}
		tracker := newTracker(t, g)
		mustSubmit(t, tracker)
		time.Sleep(time.Minute)
		for range 2 {
			s, err := tracker.Submit(t.Context(), request(), jobs.SubmitOptions{AllowDuplicate: true})
			if err != nil || s.Row.Job.RequestID != "id-1" || !s.Duplicate || s.Age != time.Minute {
				t.Errorf("got %+v, %v; want the job that there is", s, err)
			}
		}
		if rows := list(t, tracker); len(rows) != 1 {
			t.Errorf("%d rows are listed, want 1", len(rows))
		}
	})
}

func TestACallAnswersWhileTheGatewayIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		g := &fakeGateway{submit: accepting("id-1", 66*time.Second)}
		first, second := openTracker(t, g, dir), openTracker(t, g, dir)
		start := time.Now()
		for _, tracker := range []*jobs.Tracker{first, second, first} {
			begun := time.Now()
			s, err := tracker.Submit(t.Context(), request(), jobs.SubmitOptions{Listen: 20 * time.Second})
			if err != nil || s.Row.State != journal.Submitting || s.Row.Prompt != "a lighthouse" || s.Row.Job.RequestID != "" {
				t.Errorf("got %+v, %v; want that it is being submitted", s, err)
			}
			if took := time.Since(begun); took != 20*time.Second {
				t.Errorf("the call took %v, want 20s", took)
			}
			if view := jobs.ViewOf(s.Row, time.Now(), 0); view.Status != "SUBMITTING" || view.Done || view.RequestID != "" {
				t.Errorf("shown as %+v", view)
			}
		}
		time.Sleep(67*time.Second - time.Since(start))
		if rows := list(t, second); len(rows) != 1 || rows[0].Job.RequestID != "id-1" || rows[0].State != journal.Accepted {
			t.Errorf("listed %+v, want the accepted job", rows)
		}
		s, err := second.Submit(t.Context(), request(), jobs.SubmitOptions{Listen: 20 * time.Second})
		if err != nil || s.Row.State == journal.Submitting || s.Row.Job.RequestID != "id-1" || g.sent() != 1 {
			t.Errorf("the same call then = %+v, %v after %d submissions; want the job", s, err, g.sent())
		}
	})
}

// A call that was answered is over, and its ctx with it.
func TestASubmissionGoesOnAfterItsCallWasAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var posts atomic.Int32
		tracker := newTracker(t, realClient(t, pixazo.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if posts.Add(1) < 3 {
				return answer(429, http.Header{"Retry-After": {"25"}}, `{"error":"slow down"}`)
			}
			return answer(200, nil, `{"request_id":"id-1","status":"QUEUED"}`)
		})}))
		ctx, cancel := context.WithCancel(t.Context())
		s, err := tracker.Submit(ctx, request(), jobs.SubmitOptions{Listen: 10 * time.Second})
		cancel()
		if err != nil || s.Row.State != journal.Submitting {
			t.Errorf("got %+v, %v", s, err)
		}
		time.Sleep(time.Minute)
		if rows := list(t, tracker); len(rows) != 1 || rows[0].Job.RequestID != "id-1" {
			t.Errorf("listed %+v, want the accepted job", rows)
		}
	})
}

func TestAnOutcomeAtTheLastMomentCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, &fakeGateway{submit: accepting("id-1", 20*time.Second-time.Millisecond)})
		s, err := tracker.Submit(t.Context(), request(), jobs.SubmitOptions{Listen: 20 * time.Second, Nonce: "mine"})
		if err != nil || s.Row.State == journal.Submitting || s.Row.Job.RequestID != "id-1" || s.Row.Nonce != "mine" {
			t.Errorf("got %+v, %v", s, err)
		}
	})
}

// The outcome is in the journal when the call's time has passed, but has not reached the
// call: a keeper answers over a pipe.
func TestAnOutcomeThatOnlyTheJournalHasCounts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		row   journal.Row
		sends bool
		want  pixazo.Code
	}{
		{"under way", journal.Row{State: journal.Submitting}, true, ""},
		{"accepted", journal.Row{State: journal.Accepted, Job: pixazo.Job{RequestID: "id-1"}}, false, ""},
		{"refused", journal.Row{State: journal.Refused, Failure: &pixazo.Error{Code: pixazo.OutOfCredits}}, false, pixazo.OutOfCredits},
		{"uncertain", journal.Row{State: journal.Uncertain, Failure: &pixazo.Error{Code: pixazo.SubmissionUncertain}}, false, pixazo.SubmissionUncertain},
		{"of a lease that has ended", journal.Row{State: journal.Uncertain}, false, pixazo.SubmissionUncertain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, err := jobs.Await(t.Context(), time.Second, func() (jobs.Submission, error) {
					time.Sleep(time.Minute)
					return jobs.Submission{}, nil
				}, func(context.Context) journal.Row { return tt.row })
				time.Sleep(time.Minute) // the submission has ended
				if (err != nil) != (tt.want != "") || err != nil && !pixazo.IsCode(err, tt.want) || (s.Row.State == journal.Submitting) != tt.sends {
					t.Errorf("%+v, %v", s, err)
				}
			})
		})
	}
}

// A database that does not answer must not hold the call up for as long as it may take.
func TestACallIsAnsweredWhenTheJournalDoesNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		s, err := jobs.Await(t.Context(), 3*time.Second, func() (jobs.Submission, error) {
			time.Sleep(time.Minute)
			return jobs.Submission{}, nil
		}, func(ctx context.Context) journal.Row {
			<-ctx.Done()
			return journal.Row{State: journal.Submitting}
		})
		if took := time.Since(begun); err != nil || s.Row.State != journal.Submitting || took > 4*time.Second {
			t.Errorf("after %s: %+v, %v", took, s, err)
		}
		time.Sleep(time.Minute) // the submission has ended
	})
}

// underWay begins a submission that the gateway answers after a time with id-1. It returns
// the directory of the journal, another tracker on it, and what waits for the call.
func underWay(t *testing.T, answered time.Duration) (dir string, other *jobs.Tracker, calls *sync.WaitGroup) {
	g := &fakeGateway{submit: func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
		time.Sleep(answered)
		return pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil
	}}
	dir, calls = t.TempDir(), &sync.WaitGroup{}
	first, other := openTracker(t, g, dir), openTracker(t, g, dir)
	calls.Go(func() { submit(t, first, request()) })
	return dir, other, calls
}

// While the gateway takes its time, the journal is away for almost as long as a lease.
func TestASubmissionUnderWayOutlivesAnAbsenceOfTheJournal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir, second, calls := underWay(t, 70*time.Second)
		time.Sleep(5 * time.Second)
		db := raw(t, dir)
		execute(t, db, "ALTER TABLE jobs RENAME TO hidden")
		time.Sleep(23 * time.Second)
		execute(t, db, "ALTER TABLE hidden RENAME TO jobs")
		time.Sleep(10 * time.Second)
		if s, err := second.Submit(t.Context(), request(), jobs.SubmitOptions{}); err != nil || s.Row.Job.RequestID != "id-1" {
			t.Errorf("another call got %+v, %v; want the job of the one under way", s, err)
		}
		calls.Wait()
	})
}

// A call that has joined another one learns its outcome once the journal is back.
func TestACallThatJoinedOutlivesAnAbsenceOfTheJournal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir, second, calls := underWay(t, 10*time.Second)
		time.Sleep(time.Second)
		calls.Go(func() {
			if s, err := second.Submit(t.Context(), request(), jobs.SubmitOptions{}); err != nil || s.Row.Job.RequestID != "id-1" {
				t.Errorf("got %+v, %v; want the job of the one under way", s, err)
			}
		})
		time.Sleep(time.Second)
		db := raw(t, dir)
		execute(t, db, "ALTER TABLE jobs RENAME TO hidden")
		time.Sleep(5 * time.Second)
		execute(t, db, "ALTER TABLE hidden RENAME TO jobs")
		calls.Wait()
	})
}

// A process that is suspended while it waits out a 429 does not renew its lease.
// Meanwhile its submission is taken for uncertain, the user allows another one,
// and that is paid.
func TestASuspendedSubmissionIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for _, resolved := range []bool{true, false} {
		t.Run(fmt.Sprintf("another one was allowed %t", resolved), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				var posts atomic.Int32
				client := realClient(t, pixazo.Config{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
					posts.Add(1)
					return answer(429, http.Header{"Retry-After": {"5"}}, `{"error":"slow down"}`)
				})})
				first := openTracker(t, client, dir)
				done := make(chan error, 1)
				go func() {
					_, err := first.Submit(t.Context(), request(), jobs.SubmitOptions{})
					done <- err
				}()
				time.Sleep(time.Second)
				// As 35 s of suspension leave it, of which this clock knows nothing.
				execute(t, raw(t, dir), "UPDATE jobs SET lease_until = lease_until - 35000")
				second := openTracker(t, &fakeGateway{}, dir)
				if _, err := second.Submit(t.Context(), request(), jobs.SubmitOptions{}); !pixazo.IsCode(err, pixazo.DuplicateUncertain) {
					t.Errorf("error %v, want duplicate_uncertain", err)
				}
				if resolved {
					if _, err := second.Submit(t.Context(), request(), jobs.SubmitOptions{AllowDuplicate: true}); err != nil {
						t.Error(err)
					}
				}
				if err := <-done; !pixazo.IsCode(err, pixazo.Cancelled) {
					t.Errorf("the suspended submission ended with %v, want cancelled: nothing was accepted", err)
				}
				if n := posts.Load(); n != 1 {
					t.Errorf("it was sent %d times, want 1", n)
				}
				if rows := list(t, second); len(rows) != map[bool]int{true: 1, false: 0}[resolved] {
					t.Errorf("listed %+v", rows)
				}
			})
		})
	}
}

func TestASubmissionThatStandsIsSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var posts atomic.Int32
		client := realClient(t, pixazo.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost && posts.Add(1) < 3 {
				return answer(429, http.Header{"Retry-After": {"25"}}, `{"error":"slow down"}`)
			}
			return answer(200, nil, `{"request_id":"id-1","status":"QUEUED"}`)
		})})
		if id := mustSubmit(t, newTracker(t, client)); id != "id-1" || posts.Load() != 3 {
			t.Errorf("%s after %d submissions", id, posts.Load())
		}
	})
}

// A disk that fills during a POST must not turn an accepted video into one that
// nobody knows of.
func TestOutcomeThatCanNotBeWrittenIsKnownAndWrittenLater(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{nil, failing(pixazo.SubmissionUncertain, "id-1")} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			g := &fakeGateway{submit: func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
				execute(t, raw(t, dir), "CREATE TRIGGER full BEFORE UPDATE ON jobs BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
				if failure != nil {
					return pixazo.Job{}, failure
				}
				return pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil
			}}
			var log strings.Builder
			tracker := openTracker(t, g, dir, jobs.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			s, err := tracker.Submit(t.Context(), request(), jobs.SubmitOptions{})
			if err != failure || err == nil && (s.Row.Job.RequestID != "id-1" || !pixazo.IsCode(s.JournalErr, pixazo.JournalUnavailable) || !strings.Contains(s.JournalErr.Error(), "the disk is full")) {
				t.Errorf("Submit = %+v, %v; want the job, and why it could not be written", s, err)
			}
			if line, _, _ := strings.Cut(log.String(), "\n"); !strings.Contains(line, "level=ERROR") || !strings.Contains(line, "request_id=id-1") || !strings.Contains(line, "the disk is full") {
				t.Errorf("the log has %q, without the request_id or the cause", log.String())
			}
			start := time.Now()
			s, err = tracker.Submit(t.Context(), request(), jobs.SubmitOptions{})
			if err != nil || !s.Duplicate || s.Row.Job.RequestID != "id-1" {
				t.Errorf("the same request then: %+v, %v; want that job", s, err)
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("it took %v, want an answer at once", took)
			}
			if job, err := status(tracker, t.Context(), "id-1"); err != nil || job.Status != pixazo.Processing {
				t.Errorf("Status = %+v, %v; want the gateway's answer", job, err)
			}
			execute(t, raw(t, dir), "DROP TRIGGER full")
			submit(t, openTracker(t, &fakeGateway{}, dir), prompt("by another process"))
			g.submit = nil
			submit(t, tracker, prompt("another video"))
			if rows := list(t, openTracker(t, g, dir)); len(rows) != 3 || rows[2].Job.RequestID != "id-1" || rows[2].Prompt != "a lighthouse" {
				t.Errorf("another process lists %+v", rows)
			}
		})
	}
}

// stuck is a log that nobody reads any more: a write never ends.
type stuck struct {
	slog.Handler
	on   *atomic.Bool
	free chan struct{}
}

// A program that is told to end while its journal is locked or full, for a backup or by
// a database that restarts, takes no outcome with it.
func TestFinishWaitsForTheJournal(t *testing.T) {
	t.Parallel()
	for outage, want := range map[time.Duration]string{20 * time.Second: "id-1", time.Hour: ""} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			tracker := openTracker(t, &fakeGateway{submit: func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
				execute(t, raw(t, dir), "CREATE TRIGGER full BEFORE UPDATE ON jobs BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")
				return pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil
			}}, dir)
			if s, err := tracker.Submit(t.Context(), request(), jobs.SubmitOptions{}); err != nil || s.JournalErr == nil {
				t.Fatal(s, err)
			}
			time.AfterFunc(outage, func() { execute(t, raw(t, dir), "DROP TRIGGER full") })
			begun := time.Now()
			tracker.Finish(t.Context())
			if took := time.Since(begun); took < min(outage, time.Minute) || took > time.Minute+time.Second {
				t.Errorf("it finished after %v of an outage of %v", took, outage)
			}
			var id string
			if err := raw(t, dir).QueryRow("SELECT COALESCE(request_id, '') FROM jobs").Scan(&id); err != nil || id != want {
				t.Errorf("the journal has %q, %v; want %q", id, err, want)
			}
			time.Sleep(outage) // until the trigger is gone
		})
	}
}

func (h stuck) Handle(context.Context, slog.Record) error {
	if h.on.Load() {
		<-h.free
	}
	return nil
}

func TestNothingIsLoggedBetweenTheAnswerAndTheJournal(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{nil, failing(pixazo.SubmissionUncertain, "id-1")} {
		synctest.Test(t, func(t *testing.T) {
			dir, log := t.TempDir(), stuck{slog.DiscardHandler, &atomic.Bool{}, make(chan struct{})}
			tracker := openTracker(t, &fakeGateway{submit: func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
				log.on.Store(true)
				if failure != nil {
					return pixazo.Job{}, failure
				}
				return pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil
			}}, dir, jobs.Options{Logger: slog.New(alwaysOn{log})})
			go func() { _, _ = tracker.Submit(context.Background(), request(), jobs.SubmitOptions{}) }()
			synctest.Wait()
			if rows := list(t, openTracker(t, &fakeGateway{}, dir)); len(rows) != 1 || rows[0].Job.RequestID != "id-1" {
				t.Errorf("the journal has %+v, want the request_id", rows)
			}
			close(log.free)
		})
	}
}

// alwaysOn has every line handled, at every level.
type alwaysOn struct{ stuck }

func (alwaysOn) Enabled(context.Context, slog.Level) bool { return true }

// A quick poll by another process may come before the outcome is written.
func TestAnUncertainSubmissionWhoseJobWasSeenIsAccepted(t *testing.T) {
	dir := t.TempDir()
	other := openTracker(t, &fakeGateway{}, dir)
	tracker := openTracker(t, &fakeGateway{submit: func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
		if _, err := other.Status(t.Context(), "id-1"); err != nil {
			t.Error(err)
		}
		return pixazo.Job{}, failing(pixazo.SubmissionUncertain, "id-1")
	}}, dir)
	s, err := tracker.Submit(t.Context(), request(), jobs.SubmitOptions{})
	if err != nil || s.Row.Job.Status != pixazo.Processing || s.Row.Prompt != "a lighthouse" || s.Duplicate {
		t.Errorf("got %+v, %v; want the job as it was seen", s, err)
	}
}

func TestLimitsLeaveANumber(t *testing.T) {
	tracker := openWith(t, &fakeGateway{}, journal.Options{Dir: t.TempDir(), Limits: journal.Limits{PerHour: 2, PerDay: 20}})
	for n, left := range []int{1, 0} {
		if _, err := tracker.Submit(t.Context(), prompt("video %d", n), jobs.SubmitOptions{}); err != nil || tracker.Left(t.Context()) != left {
			t.Errorf("%d left, %v; want %d", tracker.Left(t.Context()), err, left)
		}
	}
	if _, err := tracker.Submit(t.Context(), prompt("one more"), jobs.SubmitOptions{}); !pixazo.IsCode(err, pixazo.LimitReached) {
		t.Errorf("error %v, want limit_reached", err)
	}
}

func TestClosedJournalIsNotOpenedAgain(t *testing.T) {
	g := &fakeGateway{}
	tracker := newTracker(t, g)
	tracker.Close()
	if _, err := tracker.Submit(t.Context(), request(), jobs.SubmitOptions{}); !pixazo.IsCode(err, pixazo.JournalUnavailable) || g.submissions != 0 {
		t.Errorf("error %v after %d submissions, want journal_unavailable after none", err, g.submissions)
	}
}

func TestKeyAndAttachmentsAreNotInTheJournal(t *testing.T) {
	const key, data = "k3y-that-must-never-be-stored", "half a megabyte of pixels"
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
	tracker := openTracker(t, client, dir)
	submit(t, tracker, prepared(pixazo.VideoRequest{Prompt: "tides", Files: []string{"deck.png"},
		Attached: []*pixazo.Attachment{{Name: "deck.png", Data: []byte(data)}}}))
	if _, err := tracker.Status(t.Context(), "id-1"); err != nil {
		t.Fatal(err)
	}
	var everything string
	if err := raw(t, dir).QueryRow("SELECT json_group_array(json_array(prompt, request, error, failure, output)) FROM jobs").Scan(&everything); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(everything, "deck.png") || strings.Contains(everything, key) || strings.Contains(everything, data) || strings.Contains(everything, "cGl4ZWxz") {
		t.Errorf("the journal has %s", everything)
	}
}
