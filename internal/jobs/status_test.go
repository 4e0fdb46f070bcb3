// This file tests what a call learns that asks for a job, whatever other calls,
// processes and owners do, and with a journal that can't be used.

package jobs_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

// A user who asks may ask, also when the gateway said to come back tomorrow.
func TestStatusIsAskedForWhateverTheGatewaySaidBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
			if poll == 0 {
				return pixazo.Job{}, &pixazo.Error{Code: pixazo.RateLimited, Message: "slow down", RetryAfter: 24 * time.Hour}
			}
			return processing(id), nil
		}}
		tracker := newTracker(t, g)
		id := mustSubmit(t, tracker)
		if _, err := tracker.Status(t.Context(), id); !pixazo.IsCode(err, pixazo.RateLimited) {
			t.Errorf("error %v, want rate_limited", err)
		}
		time.Sleep(time.Second)
		if job, err := status(tracker, t.Context(), id); err != nil || job.Status != pixazo.Processing {
			t.Errorf("%+v, %v; want the gateway's answer", job, err)
		}
	})
}

// In a bubble it is the year 2000, and what was written before is of the future, as
// after a clock that ran ahead.
func TestAClockThatIsSetBackHidesNothing(t *testing.T) {
	dir := t.TempDir()
	g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
		if id == "id-1" {
			return processing(id), nil
		}
		return finished(id, pixazo.Completed), nil
	}}
	g.submit = func(_ context.Context, p *pixazo.Prepared, _ pixazo.SubmitOptions) (pixazo.Job, error) {
		return pixazo.Job{RequestID: p.Prompt, Status: pixazo.Queued}, nil
	}
	ahead := openTracker(t, g, dir)
	for _, id := range []string{"id-1", "id-2"} {
		submit(t, ahead, prompt("%s", id))
		if _, err := ahead.Status(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	end(ahead)
	synctest.Test(t, func(t *testing.T) {
		step := "STEP 1"
		g := &fakeGateway{status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
			if id == "id-1" {
				return pixazo.Job{RequestID: id, Status: pixazo.Status(step)}, nil
			}
			job := finished(id, pixazo.Completed)
			job.VideoURLs = []string{fmt.Sprint("https://media.example/", poll)}
			return job, nil
		}}
		tracker := openTracker(t, g, dir)
		for poll := range 3 { // fresh links
			job, err := status(tracker, t.Context(), "id-2")
			if want := fmt.Sprint("https://media.example/", poll); err != nil || len(job.VideoURLs) != 1 || job.VideoURLs[0] != want {
				t.Errorf("%+v, %v; want %s", job, err, want)
			}
			time.Sleep(1100 * time.Millisecond)
		}
		heard := hear(t, tracker)
		defer tracker.Follow(t.Context(), "")()
		other := openTracker(t, g, dir)
		_, _ = other.Status(t.Context(), "id-3") // has the tracker read what changed: all that is of the future
		time.Sleep(1100 * time.Millisecond)
		heard.want(t, "id-1 PROCESSING", "id-2 COMPLETED", "id-3 COMPLETED")
		for range 2 {
			if _, err := tracker.Status(t.Context(), "id-1"); err != nil {
				t.Fatal(err)
			}
			heard.want(t, "id-1 "+step)
			step = "STEP 2"
			time.Sleep(1100 * time.Millisecond)
		}
	})
}

func TestCallsAtOnceShareAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
			time.Sleep(300 * time.Millisecond)
			return processing(id), nil
		}}
		id, start := submit(t, openTracker(t, g, dir), request()), time.Now()
		var calls sync.WaitGroup
		for range 5 {
			tracker := openTracker(t, g, dir)
			// This opens the journal. Otherwise the five calls below would open it at once and
			// wait for each other in real time, and one that waits too long asks the gateway.
			if _, err := tracker.List(t.Context(), journal.All, 1, ""); err != nil {
				t.Error(err)
			}
			calls.Go(func() {
				if job, err := status(tracker, t.Context(), id); err != nil || job.Status != pixazo.Processing {
					t.Errorf("%+v, %v", job, err)
				}
			})
		}
		calls.Wait()
		if _, err := openTracker(t, g, dir).Status(t.Context(), id); err != nil || time.Since(start) > 500*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		wantPolls(t, g.milliseconds(id, start), []int64{0})
		time.Sleep(time.Second)
		if _, err := openTracker(t, g, dir).Status(t.Context(), id); err != nil || g.count() != 2 {
			t.Errorf("%v, %d polls; want another one after a second", err, g.count())
		}
	})
}

// A poll that hangs must not hold up a call for the same job.
func TestACallDoesNotWaitLongForAnothersPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, &fakeGateway{status: hang})
		id := mustSubmit(t, tracker)
		defer tracker.Follow(t.Context(), id)()
		synctest.Wait()
		start := time.Now()
		job, err := status(tracker, t.Context(), id)
		if took := time.Since(start); err != nil || job.Status != pixazo.Queued || took > 2200*time.Millisecond {
			t.Errorf("after %v: %+v, %v; want what is known, after 2s", took, job, err)
		}
	})
}

func TestAPollThatIsNeverAnsweredEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := newTracker(t, &fakeGateway{status: hang}).Status(t.Context(), "id-1")
		if !pixazo.IsCode(err, pixazo.GatewayUnreachable) || time.Since(start) != 30*time.Second {
			t.Errorf("%v after %v, want gateway_unreachable after 30s", err, time.Since(start))
		}
	})
}

func TestAJobOfSomebodyElseIsNotFound(t *testing.T) {
	g := &fakeGateway{}
	tracker := openTracker(t, g, t.TempDir(), jobs.Options{Team: true})
	alice := journal.WithOwner(t.Context(), "alice")
	s, err := tracker.Submit(alice, request(), jobs.SubmitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	for _, id := range []string{s.Row.Job.RequestID, "never-heard-of"} {
		for _, owner := range []string{"bob", ""} {
			other := journal.WithOwner(t.Context(), owner)
			_, err := tracker.Status(other, id)
			_, waitErr := tracker.Wait(other, id, time.Minute, nil)
			tracker.Follow(other, id)()
			if !pixazo.IsCode(err, pixazo.NotFound) || !pixazo.IsCode(waitErr, pixazo.NotFound) || err.Error() != waitErr.Error() {
				t.Fatalf("%s: %v and %v, want not_found", id, err, waitErr)
			}
			said[strings.ReplaceAll(err.Error(), id, "ID")] = true
		}
	}
	if len(said) != 1 {
		t.Errorf("it can be told apart: %v", said)
	}
	if n := g.count(); n != 0 {
		t.Errorf("the gateway was asked %d times", n)
	}
	if job, err := status(tracker, alice, s.Row.Job.RequestID); err != nil || job.Status != pixazo.Processing {
		t.Errorf("the owner gets %+v, %v", job, err)
	}
}

func TestAJobOfAnotherKeySaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
			return pixazo.Job{}, failing(pixazo.NotFound, id)
		}}
		of := func(account string) jobs.Options { return jobs.Options{Account: func() string { return account }} }
		before, now := openTracker(t, g, dir, of("old")), openTracker(t, g, dir, of("new"))
		id := mustSubmit(t, before)
		time.Sleep(time.Minute)
		for tracker, want := range map[*jobs.Tracker]bool{before: false, now: true} {
			_, err := tracker.Status(t.Context(), id)
			if !pixazo.IsCode(err, pixazo.NotFound) || strings.Contains(err.Error(), "submitted with another API key") != want {
				t.Errorf("%v", err)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestAJobThatIsFoundSettlesTheUncertainSubmissionThatItFits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		uncertain, fits int
	}{{0, 0}, {1, 1}, {2, 2}} {
		synctest.Test(t, func(t *testing.T) {
			tracker := newTracker(t, &fakeGateway{submit: func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
				return pixazo.Job{}, failing(pixazo.SubmissionUncertain, "")
			}})
			for n := range tt.uncertain {
				_, _ = tracker.Submit(t.Context(), prompt("video %d", n), jobs.SubmitOptions{})
			}
			id := uuidID(time.Now().Add(time.Second))
			time.Sleep(time.Minute)
			seen, err := tracker.Status(t.Context(), id)
			if err != nil || seen.Fits != tt.fits || seen.Row.Job.Status != pixazo.Processing || (seen.Row.Prompt == "video 0") != (tt.fits == 1) {
				t.Errorf("of %d: %+v, %v", tt.uncertain, seen, err)
			}
			if tt.fits == 1 { // it stands in nobody's way any more, save as a duplicate
				if s, err := tracker.Submit(t.Context(), prompt("video 0"), jobs.SubmitOptions{}); err != nil || !s.Duplicate || s.Row.Job.RequestID != id {
					t.Errorf("the same request then: %+v, %v", s, err)
				}
			}
		})
	}
}

// unusable are journals that can't be used.
var unusable = map[string]func(t *testing.T) journal.Options{
	"no state directory": func(*testing.T) journal.Options { return journal.Options{} },
	"a file for a state directory": func(t *testing.T) journal.Options {
		dir := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return journal.Options{Dir: dir}
	},
	"locked": func(t *testing.T) journal.Options {
		dir := t.TempDir()
		submit(t, openTracker(t, &fakeGateway{}, dir), prompt("one that makes the journal"))
		execute(t, raw(t, dir), "BEGIN IMMEDIATE")
		return journal.Options{Dir: dir, Gateway: "https://gateway.example", Busy: 10 * time.Millisecond}
	},
	"full": func(t *testing.T) journal.Options {
		dir := t.TempDir()
		submit(t, openTracker(t, &fakeGateway{}, dir), prompt("one that makes the journal"))
		for _, verb := range []string{"INSERT", "UPDATE"} {
			execute(t, raw(t, dir), "CREATE TRIGGER full"+verb+" BEFORE "+verb+" ON jobs BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END")
		}
		return journal.Options{Dir: dir, Gateway: "https://gateway.example"}
	},
}

func TestStatusesAndWaitsGoOnWithoutAJournal(t *testing.T) {
	t.Parallel()
	for name, place := range unusable {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &fakeGateway{status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
					job := processing(id)
					job.PollingURL = "https://gateway.example/of/" + id
					if poll >= 2 {
						job = finished(id, pixazo.Completed)
					}
					return job, nil
				}}
				where := place(t)
				time.Sleep(time.Minute)
				tracker := openWith(t, g, where)
				heard := hear(t, tracker)
				if s, err := tracker.Submit(t.Context(), request(), jobs.SubmitOptions{}); !pixazo.IsCode(err, pixazo.JournalUnavailable) || g.submissions != 0 {
					t.Errorf("Submit = %+v, %v; want journal_unavailable, and nothing submitted", s, err)
				}
				if job, err := status(tracker, t.Context(), "id-1"); err != nil || job.Status != pixazo.Processing {
					t.Errorf("Status = %+v, %v; want the gateway's answer", job, err)
				}
				if row, _ := tracker.Find(t.Context(), "id-1"); row == nil || row.Job.Status != pixazo.Processing {
					t.Errorf("Find = %+v, want what was seen", row)
				}
				outcome, err := tracker.Wait(t.Context(), "id-1", time.Minute, nil)
				if err != nil || outcome.End != jobs.Finished || outcome.Row.Job.Status != pixazo.Completed {
					t.Errorf("Wait = %+v, %v; want the end of the job", outcome, err)
				}
				if g.pollingURL != "https://gateway.example/of/id-1" {
					t.Errorf("asked at %q, want the job's own polling URL", g.pollingURL)
				}
				synctest.Wait()
				heard.want(t, "id-1 PROCESSING", "id-1 COMPLETED")
			})
		})
	}
}

// What is remembered beside the journal is not what the journal is for.
func TestLittleIsRememberedWithoutAJournal(t *testing.T) {
	tracker := openWith(t, &fakeGateway{}, journal.Options{})
	for n := range 3000 {
		if _, err := tracker.Status(t.Context(), fmt.Sprint("id-", n)); err != nil {
			t.Fatal(err)
		}
	}
	known := 0
	for n := range 3000 {
		if row, _ := tracker.Find(t.Context(), fmt.Sprint("id-", n)); row != nil {
			known++
		}
	}
	if known < 100 || known > 300 {
		t.Errorf("%d of 3000 jobs are remembered, want some", known)
	}
}

func TestTheJournalIsUsedAgainOnceItCanBe(t *testing.T) {
	dir := t.TempDir()
	submit(t, openTracker(t, &fakeGateway{}, dir), prompt("one that makes the journal"))
	tracker := openWith(t, &fakeGateway{}, journal.Options{Dir: dir, Gateway: "https://gateway.example", Busy: 10 * time.Millisecond})
	lock := raw(t, dir)
	execute(t, lock, "BEGIN IMMEDIATE")
	if _, err := tracker.Status(t.Context(), "id-1"); err != nil {
		t.Error(err)
	}
	execute(t, lock, "ROLLBACK")
	if _, err := tracker.Status(t.Context(), "id-1"); err != nil {
		t.Error(err)
	}
	if row := find(t, openTracker(t, &fakeGateway{}, dir), "id-1"); row.Job.Status != pixazo.Processing {
		t.Errorf("the journal has %+v", row)
	}
}

func TestTypicalDurationIsLookedUpOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		created := time.Now().UTC()
		g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
			job := finished(id, pixazo.Completed)
			job.CreatedAt, job.CompletedAt = created, created.Add(90*time.Second)
			return job, nil
		}}
		tracker := newTracker(t, g)
		for i, step := range []struct {
			pass time.Duration
			want time.Duration
		}{{0, 0}, {0, 0}, {0, 0}, {59 * time.Second, 0}, {time.Second, 90 * time.Second}} {
			time.Sleep(step.pass)
			if i < 3 {
				if _, err := tracker.Status(t.Context(), fmt.Sprint("id-", i)); err != nil {
					t.Fatal(err)
				}
			}
			if got := tracker.Typical(t.Context()); got != step.want {
				t.Errorf("step %d: %v, want %v", i, got, step.want)
			}
		}
		time.Sleep(time.Minute)
		left, leave := context.WithCancel(t.Context())
		leave()
		if got := tracker.Typical(left); got != 90*time.Second {
			t.Errorf("looked up by a caller who has left: %v", got)
		}
	})
}
