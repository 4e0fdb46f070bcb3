// This file tests callbacks: that they are only hints, what they settle, and who
// hears of them.

package jobs_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/e2e/pgtest"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

func callbackURL(nonce string) string { return "https://mcp.example/webhook/" + nonce }

// replicas are trackers of a team over one journal, as its processes, which sweep and
// hear of each other.
func replicas(t *testing.T, g jobs.Gateway, n int, limits ...journal.Limits) (all []*jobs.Tracker) {
	t.Helper()
	place := journal.Options{Dir: t.TempDir(), Gateway: "https://gateway.example"}
	if len(limits) > 0 {
		place.Limits = limits[0]
	}
	for range n {
		all = append(all, openWith(t, g, place, jobs.Options{
			Team: true, CallbackURL: callbackURL, MaxWaits: 100,
		}))
	}
	sweep(t, all...)
	return all
}

// sweep has the trackers do beside a test what those of replicas do.
func sweep(t *testing.T, all ...*jobs.Tracker) {
	ctx, cancel := context.WithCancel(t.Context())
	var sweeps sync.WaitGroup
	for _, tracker := range all {
		sweeps.Go(func() {
			defer tracker.Follow(ctx, "")()
			tracker.Sweep(ctx)
		})
	}
	t.Cleanup(func() {
		cancel()
		sweeps.Wait()
	})
}

// callback calls back, and leaves it at that when the callback is to come again.
func callback(t *testing.T, tracker *jobs.Tracker, nonce, id string) {
	t.Helper()
	if err := tracker.Callback(t.Context(), nonce, id); err != nil && !pixazo.IsCode(err, pixazo.JournalUnavailable) {
		t.Errorf("callback: %v", err)
	}
}

func as(t *testing.T, owner string) context.Context { return journal.WithOwner(t.Context(), owner) }

func TestACallbackAtOneReplicaWakesAWaiterAtAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Bool
		g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
			if ended.Load() {
				return finished(id, pixazo.Completed), nil
			}
			return processing(id), nil
		}}
		trackers := replicas(t, g, 2)
		s, err := trackers[0].Submit(as(t, "alice"), request(), jobs.SubmitOptions{Nonce: "n-1"})
		if err != nil {
			t.Fatal(err)
		}
		id, start := s.Row.Job.RequestID, time.Now()
		time.AfterFunc(22*time.Second, func() {
			ended.Store(true)
			callback(t, trackers[0], "n-1", id)
		})
		outcome, err := trackers[1].Wait(as(t, "alice"), id, time.Minute, nil)
		if took := time.Since(start); err != nil || outcome.End != jobs.Finished || took > 23*time.Second {
			t.Errorf("after %v: %+v, %v; want the end within a second of the callback", took, outcome, err)
		}
		wantPolls(t, g.milliseconds(id, start), []int64{0, 15000, 22000})
		// What comes again changes nothing and asks nothing.
		time.Sleep(2 * time.Second) // either replica may have asked, and the other one hears of it
		heard := hear(t, trackers[0])
		ended.Store(false)
		for range 5 {
			callback(t, trackers[0], "n-1", id)
			time.Sleep(3 * time.Second)
		}
		heard.want(t)
		if n := g.count(); n != 3 {
			t.Errorf("%d polls, want no more than 3", n)
		}
	})
}

// The same in real time: PostgreSQL tells the other replica.
func TestACallbackIsHeardAtAnotherReplicaAtOnce(t *testing.T) {
	t.Parallel()
	var ended atomic.Bool
	g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
		if ended.Load() {
			return finished(id, pixazo.Completed), nil
		}
		return processing(id), nil
	}}
	o := jobs.Options{Team: true, CallbackURL: callbackURL}
	place := journal.Options{Database: pgtest.URL(t), Gateway: "https://gateway.example"}
	here, there := openWith(t, g, place, o), openWith(t, g, place, o)
	sweep(t, here, there) // else a callback that may not be followed up at once waits for the job's next poll
	s, err := here.Submit(as(t, "alice"), request(), jobs.SubmitOptions{Nonce: "n-1"})
	if err != nil {
		t.Fatal(err)
	}
	var begun time.Time
	outcome, err := there.Wait(as(t, "alice"), s.Row.Job.RequestID, time.Minute, func(p jobs.Progress) {
		if p.Row.Job.Status == pixazo.Processing && begun.IsZero() {
			begun = time.Now()
			ended.Store(true)
			go callback(t, here, "n-1", s.Row.Job.RequestID)
		}
	})
	if took := time.Since(begun); err != nil || outcome.End != jobs.Finished || took > 10*time.Second { // a second after the poll; without a word from PostgreSQL, 15 s
		t.Errorf("after %v, with polls %v ms after the callback: %+v, %v", took, g.milliseconds(s.Row.Job.RequestID, begun), outcome, err)
	}
}

// The times in the journal are the database's, and a replica's clock may be another. The
// gateway's is here the replica's.
func TestAReplicaWhoseClockIsWrong(t *testing.T) {
	t.Parallel()
	for _, ahead := range []string{"49 hours", "-49 hours", "-20 seconds"} {
		t.Run("the database's is ahead by "+ahead, func(t *testing.T) {
			t.Parallel()
			database := pgtest.URL(t)
			g := &fakeGateway{status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
				switch poll {
				case 0:
					return pixazo.Job{}, failing(pixazo.NotFound, id) // not yet visible
				case 1:
					return pixazo.Job{RequestID: id, Status: pixazo.Processing, CreatedAt: time.Now()}, nil
				case 2:
					return finished(id, pixazo.Failed), nil
				}
				return pixazo.Job{}, failing(pixazo.GatewayUnreachable, id)
			}}
			place := journal.Options{Database: pgtest.SetClock(t, database, ahead), Gateway: "https://gateway.example"}
			tracker := openWith(t, g, place, jobs.Options{Team: true, CallbackURL: callbackURL})
			s, err := tracker.Submit(as(t, "alice"), request(), jobs.SubmitOptions{Nonce: "n-1"})
			if err != nil {
				t.Fatal(err)
			}
			if !tracker.Recent(s.Row) {
				t.Error("its video will not be saved, since it seems to be old")
			}
			id := s.Row.Job.RequestID
			for _, want := range []pixazo.Status{pixazo.Queued, pixazo.Processing} {
				seen, err := tracker.Status(as(t, "alice"), id)
				if err != nil || seen.Row.Job.Status != want {
					t.Errorf("a new job: %+v, %v; want it %s", seen.Row, err, want)
				}
				if v := tracker.View(as(t, "alice"), seen.Row); v.Stalled || v.ElapsedSeconds == nil || *v.ElapsedSeconds > 10 || v.CheckAgainSeconds < 60 {
					t.Errorf("it is shown as %+v", v)
				}
			}
			if again, err := tracker.Submit(as(t, "alice"), request(), jobs.SubmitOptions{}); err != nil || !again.Duplicate || again.Age > 10*time.Second {
				t.Errorf("the same again: %+v, %v", again, err)
			}
			looks := 0
			if _, err := tracker.Wait(as(t, "alice"), id, 3500*time.Millisecond, func(jobs.Progress) { looks++ }); err != nil || g.count() != 2 || looks > 3 {
				t.Errorf("%d looks in 3.5 s, %d polls, %v; it was just polled, and with callbacks the next poll is due in 15 s", looks, g.count(), err)
			}
			pgtest.Exec(t, database, `CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'broken'; END $$;
				CREATE TRIGGER broken BEFORE UPDATE OF status ON jobs FOR EACH ROW EXECUTE FUNCTION broken()`)
			if err := tracker.Callback(t.Context(), "n-1", id); err != nil {
				t.Error(err)
			}
			for tries := 0; g.count() < 3 && tries < 100; tries++ {
				time.Sleep(100 * time.Millisecond)
			}
			tracker.Drain()
			tracker.Finish(t.Context()) // once the callback was followed up
			if row, err := tracker.Find(as(t, "alice"), id); err != nil || g.count() != 3 || row.Job.Status != pixazo.Failed {
				t.Errorf("seen, but not written: %+v, %v", row, err)
			}
			pgtest.Exec(t, database, `DO $$ BEGIN ASSERT (SELECT count(*) FROM callbacks) = 1, 'the callback is not kept'; END $$`)
		})
	}
}

// A callback brings the request_id of a submission whose answer was lost, is still
// waited for, or was a refusal, wrongly.
func TestACallbackSettlesALostAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		answer time.Duration // after which the answer comes, or the connection breaks
		calls  time.Duration // after which the callback comes
		code   pixazo.Code   // of the answer
	}{
		{"lost", 0, 10 * time.Second, pixazo.SubmissionUncertain},
		{"still to come", time.Minute, 10 * time.Second, pixazo.SubmissionUncertain},
		{"lost long after", time.Minute, 2 * time.Minute, pixazo.SubmissionUncertain},
		{"a refusal", 0, 10 * time.Second, pixazo.InvalidArgument},
		{"a refusal to come", time.Minute, 10 * time.Second, pixazo.InvalidArgument},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				id, start := uuidID(time.Now().Add(time.Second)), time.Now()
				var told atomic.Value
				g := &fakeGateway{status: func(_ context.Context, asked string, poll int) (pixazo.Job, error) {
					if asked != id {
						return pixazo.Job{}, failing(pixazo.NotFound, asked)
					}
					if poll == 0 && time.Since(start) < 20*time.Second {
						return pixazo.Job{}, failing(pixazo.NotFound, asked) // not yet visible
					}
					return finished(id, pixazo.Completed), nil
				}}
				g.submit = func(_ context.Context, _ *pixazo.Prepared, o pixazo.SubmitOptions) (pixazo.Job, error) {
					told.Store(o.CallbackURL)
					time.Sleep(tt.answer)
					return pixazo.Job{}, failing(tt.code, "")
				}
				trackers := replicas(t, g, 2)
				var heard atomic.Int32
				defer trackers[1].Listen(func(row jobs.Row) {
					if row.Job.Status == pixazo.Completed {
						heard.Add(1)
					}
				})()
				sent := make(chan error, 1)
				go func() {
					_, err := trackers[0].Submit(as(t, "alice"), request(), jobs.SubmitOptions{Nonce: "n-1"})
					sent <- err
				}()
				time.Sleep(tt.calls)
				if told.Load() != "https://mcp.example/webhook/n-1" {
					t.Errorf("callback URL %q", told.Load())
				}
				callback(t, trackers[1], "n-1", "forged")
				callback(t, trackers[1], "n-1", id)
				time.Sleep(5 * time.Second)
				row, err := trackers[0].Find(as(t, "alice"), id)
				if err != nil || row == nil || row.State != journal.Accepted || row.Job.Status != pixazo.Completed {
					t.Errorf("5 s after the callback: %+v, %v", row, err)
				}
				if n := heard.Load(); n != 1 {
					t.Errorf("its end is heard %d times", n)
				}
				// The answer, when it comes, takes nothing away.
				if err := <-sent; (err == nil) != (tt.answer > tt.calls) {
					t.Errorf("Submit: %v", err)
				}
				if row, err := trackers[0].Find(as(t, "alice"), id); err != nil || row == nil || row.State != journal.Accepted {
					t.Errorf("after the answer: %+v, %v", row, err)
				}
			})
		})
	}
}

func TestForgedCallbacksChangeNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		other := uuidID(time.Now()) // of another owner's submission
		g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
			return finished(id, pixazo.Completed), nil
		}}
		g.submit = func(_ context.Context, p *pixazo.Prepared, _ pixazo.SubmitOptions) (pixazo.Job, error) {
			if p.Prompt == "lost" {
				return pixazo.Job{}, failing(pixazo.SubmissionUncertain, "")
			}
			return pixazo.Job{RequestID: other, Status: pixazo.Queued}, nil
		}
		tracker := replicas(t, g, 1)[0]
		for owner, p := range map[string]string{"alice": "lost", "bob": "accepted"} {
			_, _ = tracker.Submit(as(t, owner), prompt("%s", p), jobs.SubmitOptions{Nonce: "of " + owner})
		}
		for _, c := range [][2]string{
			{"of alice", other}, {"of alice", "made-up"}, {"of alice", uuidID(time.Now().Add(-time.Hour))}, {"of alice", uuidID(time.Now().Add(time.Hour))},
			{"of bob", uuidID(time.Now().Add(time.Second))}, {"nobody's", other},
		} {
			callback(t, tracker, c[0], c[1])
			time.Sleep(3 * time.Second)
		}
		if err := tracker.Callback(t.Context(), "of alice", "no id\n"); !pixazo.IsCode(err, pixazo.InvalidArgument) {
			t.Errorf("no request_id: %v", err)
		}
		for _, owner := range []string{"alice", "bob"} {
			page, err := tracker.List(as(t, owner), journal.All, 100, "")
			if err != nil || len(page.Rows) != 1 || page.Rows[0].Job.Done() || (page.Rows[0].State == journal.Uncertain) != (owner == "alice") {
				t.Errorf("%s's list: %+v, %v", owner, page.Rows, err)
			}
		}
	})
}

func TestACallbackIsRefusedWhileTheJournalIsAway(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tracker := openTracker(t, &fakeGateway{}, file, jobs.Options{Team: true, CallbackURL: callbackURL})
	if err := tracker.Callback(t.Context(), "n-1", "id-1"); !pixazo.IsCode(err, pixazo.JournalUnavailable) {
		t.Errorf("%v", err)
	}
}

// However many callbacks come, the gateway is asked once a second, also for a job that
// the submission does not get.
func TestCallbacksAskOnceASecond(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprint("lost ", lost), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				id, start := uuidID(time.Now().Add(-time.Hour)), time.Now()
				g := &fakeGateway{submit: func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
					if lost {
						return pixazo.Job{}, failing(pixazo.SubmissionUncertain, "")
					}
					return pixazo.Job{RequestID: id, Status: pixazo.Queued}, nil
				}}
				trackers := replicas(t, g, 2)
				_, _ = trackers[0].Submit(as(t, "alice"), request(), jobs.SubmitOptions{Nonce: "n-1"})
				for range 50 {
					go callback(t, trackers[0], "n-1", id)
					go callback(t, trackers[1], "n-1", id)
					time.Sleep(100 * time.Millisecond)
				}
				time.Sleep(5 * time.Second)
				polls := g.milliseconds(id, start)
				if len(polls) < 4 || len(polls) > 7 {
					t.Errorf("%d polls in 5 s, want one a second: %v", len(polls), polls)
				}
				for i := range len(polls) - 1 {
					if polls[i+1]-polls[i] < 1000 {
						t.Errorf("polls after %v ms, want at least a second between two", polls)
					}
				}
			})
		})
	}
}

// A callback is taken although the gateway can't be asked, which is tried again, less
// and less often, and no sooner than the gateway wants.
func TestACallbackIsKeptUntilTheGatewayAnswers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault *pixazo.Error
		lasts time.Duration
		lost  bool // the answer to the submission
		most  int  // polls
	}{
		"unreachable":                {&pixazo.Error{Code: pixazo.GatewayUnreachable}, 2 * time.Minute, false, 12},
		"unreachable, lost":          {&pixazo.Error{Code: pixazo.GatewayUnreachable}, 2 * time.Minute, true, 12},
		"asks to wait":               {&pixazo.Error{Code: pixazo.RateLimited, RetryAfter: time.Minute}, 2 * time.Minute, false, 4},
		"asks to wait, lost":         {&pixazo.Error{Code: pixazo.RateLimited, RetryAfter: time.Minute}, 2 * time.Minute, true, 4},
		"does not know it yet":       {&pixazo.Error{Code: pixazo.NotFound}, 20 * time.Second, false, 8},
		"does not know it yet, lost": {&pixazo.Error{Code: pixazo.NotFound}, 20 * time.Second, true, 8},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				id, start := uuidID(time.Now()), time.Now()
				g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
					if time.Since(start) < tt.lasts {
						return pixazo.Job{}, tt.fault
					}
					return finished(id, pixazo.Completed), nil
				}}
				g.submit = func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
					if tt.lost {
						return pixazo.Job{}, failing(pixazo.SubmissionUncertain, "")
					}
					return pixazo.Job{RequestID: id, Status: pixazo.Queued}, nil
				}
				tracker := replicas(t, g, 1)[0]
				_, _ = tracker.Submit(as(t, "alice"), request(), jobs.SubmitOptions{Nonce: "n-1"})
				if err := tracker.Callback(t.Context(), "n-1", id); err != nil {
					t.Errorf("it is not taken: %v", err)
				}
				time.Sleep(4 * time.Minute) // the sweep comes later
				if row, err := tracker.Find(as(t, "alice"), id); err != nil || row == nil || !row.Job.Done() {
					t.Errorf("%+v, %v", row, err)
				}
				if n := g.count(); n > tt.most {
					t.Errorf("%d polls, want at most %d: %v", n, tt.most, g.milliseconds(id, start))
				}
			})
		})
	}
}

// A callback is kept until the journal has taken the gateway's answer.
func TestACallbackIsKeptUntilTheJournalHasTheAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
			return finished(id, pixazo.Completed), nil
		}}
		dir := t.TempDir()
		o := jobs.Options{Team: true, CallbackURL: callbackURL}
		tracker, other := openTracker(t, g, dir, o), openTracker(t, g, dir, o)
		s, err := tracker.Submit(as(t, "alice"), request(), jobs.SubmitOptions{Nonce: "n-1"})
		if err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", filepath.Join(dir, "journal.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		exec := func(statement string) {
			if _, err := db.Exec(statement); err != nil {
				t.Error(err)
			}
		}
		exec(`CREATE TRIGGER broken BEFORE UPDATE OF status ON jobs BEGIN SELECT RAISE(ABORT, 'broken'); END`)
		callback(t, tracker, "n-1", s.Row.Job.RequestID)
		synctest.Wait()
		if n := g.count(); n != 1 {
			t.Errorf("%d polls, want 1", n)
		}
		exec(`DROP TRIGGER broken`)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Second) // the first poll is claimed for half a minute
		defer cancel()
		other.Sweep(ctx)
		if row, err := other.Find(as(t, "alice"), s.Row.Job.RequestID); err != nil || row == nil || !row.Job.Done() {
			t.Errorf("a minute later: %+v, %v", row, err)
		}
	})
}

// What a replica took and did not follow up is followed up by another one within 5 s.
func TestACallbackOutlivesItsReplica(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		lost   bool // the answer to the submission
		asking int  // so many replicas are killed in turn while they wait for the gateway
	}{
		{"known, not asked for", false, 0},
		{"lost, not asked for", true, 0},
		{"lost, asked for", true, 1},
		{"lost, asked for three times", true, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				id, killed := uuidID(time.Now()), make(chan struct{})
				g := &fakeGateway{status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
					if poll < tt.asking {
						<-killed
						return pixazo.Job{}, failing(pixazo.GatewayUnreachable, id)
					}
					return finished(id, pixazo.Completed), nil
				}}
				g.submit = func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
					if tt.lost {
						return pixazo.Job{}, failing(pixazo.SubmissionUncertain, "")
					}
					return pixazo.Job{RequestID: id, Status: pixazo.Queued}, nil
				}
				trackers := replicas(t, g, 2)
				_, _ = trackers[0].Submit(as(t, "alice"), request(), jobs.SubmitOptions{Nonce: "n-1"})
				if tt.asking == 0 {
					trackers[0].Drain()
				}
				if err := trackers[0].Callback(t.Context(), "n-1", id); err != nil {
					t.Errorf("it is not taken: %v", err)
				}
				synctest.Wait()
				trackers[0].Drain()
				time.Sleep(5 * time.Second)
				if row, err := trackers[1].Find(as(t, "alice"), id); err != nil || row == nil || !row.Job.Done() {
					t.Errorf("5 s later: %+v, %v", row, err)
				}
				close(killed)
			})
		})
	}
}

func TestTheSweepFindsWhatNoCallbackTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{}
		trackers := replicas(t, g, 2)
		start := time.Now()
		for i := range 30 {
			if _, err := trackers[0].Submit(as(t, fmt.Sprint("owner ", i)), prompt("p %d", i), jobs.SubmitOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(11 * time.Minute)
		for i := range 30 {
			polls := g.milliseconds(fmt.Sprintf("own-%d", i+1), start)
			if len(polls) < 2 || len(polls) > 3 || !slices.IsSorted(polls) || polls[1]-polls[0] < 300_000 {
				t.Errorf("job %d was asked for after %v ms, want once in five minutes", i, polls)
			}
		}
	})
}

// Limits hold over all, and for each; another's request is no duplicate.
func TestLimitsAndDuplicatesOfManyCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{}
		trackers := replicas(t, g, 2, journal.Limits{PerHour: 30, PerUser: 4})
		var mu sync.Mutex
		accepted, ids := map[string]int{}, map[string]bool{}
		var calls sync.WaitGroup
		for i := range 20 {
			owner := fmt.Sprint("owner ", i%10)
			for n := range 4 { // two of each request, at both replicas
				calls.Go(func() {
					s, err := trackers[n%2].Submit(as(t, owner), prompt("p %d", i/10*2+n/2), jobs.SubmitOptions{})
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil && !s.Duplicate:
						accepted[owner]++
						ids[s.Row.Job.RequestID] = true
					case err != nil && !pixazo.IsCode(err, pixazo.LimitReached):
						t.Errorf("%s: %v", owner, err)
					}
				})
			}
		}
		calls.Wait()
		total := 0
		for owner, n := range accepted {
			total += n
			if n > 4 {
				t.Errorf("%s has %d videos, want at most 4", owner, n)
			}
		}
		if total != 30 || len(ids) != 30 || g.submissions != 30 {
			t.Errorf("%d accepted as %d jobs by %d submissions, want 30", total, len(ids), g.submissions)
		}
	})
}
