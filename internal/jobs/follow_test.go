// This file tests what is polled without anybody waiting: at which pace, for how
// long, that it never stops for good, and that it never stands in the way of
// somebody who asks.

package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
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

func TestFollowedJobsArePolledLessAndLessOften(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		age  time.Duration
		span time.Duration
		want []int64 // seconds
	}{
		{"new", 0, 50 * time.Second, []int64{0, 5, 10, 15, 20, 25, 30, 35, 40, 45}},
		{"two minutes", 2 * time.Minute, time.Minute, []int64{0, 15, 31, 50}},
		{"an hour", time.Hour, 5 * time.Minute, []int64{0, 60, 120, 180, 240}},
		{"more than six hours", 6*time.Hour + time.Minute, 31 * time.Minute, []int64{0, 600, 1200, 1800}},
		{"until it is two days old", 48*time.Hour - 11*time.Minute, time.Hour, []int64{0, 600}},
		{"two days", 48*time.Hour + time.Second, time.Hour, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &fakeGateway{}
				tracker := newTracker(t, g)
				start := time.Now()
				id := uuidID(start.Add(-tt.age))
				stop := tracker.Follow(t.Context(), id)
				time.Sleep(tt.span - time.Second)
				stop()
				time.Sleep(time.Hour)
				var got []int64
				for _, ms := range g.milliseconds(id, start) {
					got = append(got, ms/1000)
				}
				wantPolls(t, got, tt.want)
			})
		})
	}
}

func TestAWaiterHurriesAFollowedJob(t *testing.T) {
	t.Parallel()
	for _, age := range []time.Duration{time.Hour, 100 * time.Hour} { // the second is not polled for those who follow
		synctest.Test(t, func(t *testing.T) {
			g := &fakeGateway{}
			tracker := newTracker(t, g)
			start := time.Now()
			id := uuidID(start.Add(-age))
			defer tracker.Follow(t.Context(), id)()
			time.Sleep(20 * time.Second)
			outcome, err := tracker.Wait(t.Context(), id, 31*time.Second, nil)
			if err != nil || outcome.Row.Job.Status != pixazo.Processing {
				t.Errorf("%+v, %v", outcome, err)
			}
			want := []int64{0, 20000, 35000, 50000}
			if age > time.Hour {
				want = want[1:]
			}
			wantPolls(t, g.milliseconds(id, start), want)
			time.Sleep(30 * time.Second) // and then it is followed again
			wantPolls(t, g.milliseconds(id, start)[:len(want)], want)
		})
	}
}

// A wait of no time must not be answered with what a follower saw a minute ago.
func TestAWaitLooksForItselfAtAFollowedJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
			if time.Since(start) > 30*time.Second {
				return finished(id, pixazo.Completed), nil
			}
			return processing(id), nil
		}}
		tracker := newTracker(t, g)
		id := uuidID(start.Add(-time.Hour))
		defer tracker.Follow(t.Context(), id)()
		time.Sleep(40 * time.Second)
		if outcome, err := tracker.Wait(t.Context(), id, 0, nil); err != nil || outcome.End != jobs.Finished {
			t.Errorf("%+v, %v; want it finished", outcome, err)
		}
	})
}

func TestFollowingGoesOnWhateverTheGatewayAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want time.Duration // between polls
	}{
		{failing(pixazo.MissingAPIKey, ""), time.Minute},
		{failing(pixazo.Unauthorized, ""), time.Minute},
		{failing(pixazo.OutOfCredits, ""), time.Minute},
		{failing(pixazo.NotFound, ""), time.Minute},
		{failing(pixazo.InvalidArgument, ""), time.Minute},
		{failing(pixazo.GatewayUnreachable, ""), 5 * time.Second},
		{failing(pixazo.GatewayError, ""), 5 * time.Second},
		{failing(pixazo.BadResponse, ""), 5 * time.Second},
		{errors.New("the unexpected"), 5 * time.Second},
		{&pixazo.Error{Code: pixazo.RateLimited, RetryAfter: 24 * time.Hour}, time.Minute},
	} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprint(tt.err, known), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := &fakeGateway{status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
						if poll < 5 {
							return pixazo.Job{}, tt.err
						}
						return finished(id, pixazo.Completed), nil
					}}
					tracker, start, id := newTracker(t, g), time.Now(), "made-up"
					if known {
						id = mustSubmit(t, tracker)
					}
					ended := make(chan time.Duration, 1)
					defer tracker.Listen(func(row jobs.Row) {
						if row.Job.RequestID == id && row.Job.Done() {
							ended <- time.Since(start)
						}
					})()
					defer tracker.Follow(t.Context(), id)()
					select {
					case took := <-ended:
						// A 404 means nothing in the first 30 s of a job.
						if took != 5*tt.want && !(known && pixazo.IsCode(tt.err, pixazo.NotFound)) {
							t.Errorf("the end was heard of after %v, want %v", took, 5*tt.want)
						}
					case <-time.After(10 * time.Minute):
						t.Error("the end was not heard of")
					}
				})
			})
		}
	}
}

// counting counts the polls under way.
type counting struct {
	mu            sync.Mutex
	now, most, of int
}

func (c *counting) enter() (leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now++
	c.of++
	c.most = max(c.most, c.now)
	return func() { c.mu.Lock(); defer c.mu.Unlock(); c.now-- }
}

// counts are how many there were, and how many at once.
func (c *counting) counts() (all, most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of, c.most
}

// atOnce is how many there were at the same time.
func (c *counting) atOnce() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most
}

func TestFollowedJobsDoNotStandInTheWayOfACall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var followed, awaited counting
		client := realClient(t, pixazo.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if path.Base(r.URL.Path) == "asked" {
				return answer(200, nil, `{"request_id":"asked","status":"PROCESSING"}`)
			}
			if strings.HasPrefix(path.Base(r.URL.Path), "followed") {
				defer followed.enter()()
			} else {
				defer awaited.enter()()
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})})
		tracker := openTracker(t, client, t.TempDir(), jobs.Options{MaxWaits: 1000})
		for i := range 500 {
			defer tracker.Follow(t.Context(), fmt.Sprintf("followed-%d", i))()
		}
		synctest.Wait() // else the waits could have the client's capacity first
		var waits sync.WaitGroup
		for i := range 100 {
			waits.Go(func() { _, _ = tracker.Wait(t.Context(), fmt.Sprintf("awaited-%d", i), 40*time.Second, nil) })
		}
		for range 7 {
			time.Sleep(5 * time.Second)
			start := time.Now()
			if job, err := status(tracker, t.Context(), "asked"); err != nil || job.Status != pixazo.Processing || time.Since(start) > atOnce {
				t.Errorf("%+v, %v after %v; want an answer at once", job, err, time.Since(start))
			}
		}
		waits.Wait()
		if f, a := followed.atOnce(), awaited.atOnce(); f != 8 || a < 20 {
			t.Errorf("%d polls of followed jobs and %d of others at once, want 8 and some more", f, a)
		}
	})
}

// atOnce is what a call may take that waits for nothing but SQLite, which sleeps by
// the clock of a bubble elsewhere than on Linux.
const atOnce = 50 * time.Millisecond

func TestPollsOfManyJobsAreSpread(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ jobs, seconds, perSecond, atOnce int }{"followed": {120, 4, 20, 8}, "awaited": {500, 1, 400, 64}} {
		synctest.Test(t, func(t *testing.T) {
			var polls counting
			tracker := openTracker(t, &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
				defer polls.enter()()
				return processing(id), nil
			}}, t.TempDir(), jobs.Options{MaxWaits: tt.jobs})
			ctx, cancel := context.WithCancel(t.Context())
			var waits sync.WaitGroup
			for i := range tt.jobs {
				id := fmt.Sprintf("id-%d", i)
				if name == "followed" {
					defer tracker.Follow(t.Context(), id)()
				} else {
					waits.Go(func() { _, _ = tracker.Wait(ctx, id, time.Minute, nil) })
				}
			}
			time.Sleep(time.Duration(tt.seconds) * time.Second)
			if n, _ := polls.counts(); n > tt.seconds*tt.perSecond+tt.atOnce || n < tt.seconds*tt.perSecond*3/4 {
				t.Errorf("%s: %d polls in %d s, want %d a second", name, n, tt.seconds, tt.perSecond)
			}
			if name == "followed" {
				start := time.Now()
				if _, err := tracker.Wait(t.Context(), "id-119", 0, nil); err != nil || time.Since(start) > atOnce {
					t.Errorf("a wait got %v after %v", err, time.Since(start))
				}
			}
			cancel()
			waits.Wait()
		})
	}
}

// Followers in several processes cost a job one stream of polls.
func TestFollowersInManyProcessesShareOnePollStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir, g := t.TempDir(), &fakeGateway{}
		start, id := time.Now(), submit(t, openTracker(t, g, dir), request())
		for range 5 {
			defer openTracker(t, g, dir).Follow(t.Context(), id)()
		}
		time.Sleep(time.Minute)
		polls := g.milliseconds(id, start)
		if !slices.IsSorted(polls) || len(polls) > 12 {
			t.Errorf("polls after %v ms, want at most one in 5 s", polls)
		}
	})
}

// Nobody would poll it again, so its video would not be saved.
func TestAnEndThatCanNotBeWrittenIsPolledUntilItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var done atomic.Bool
		tracker := openWith(t, &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
			if done.Load() {
				return finished(id, pixazo.Completed), nil
			}
			return processing(id), nil
		}}, journal.Options{Dir: dir, Gateway: "https://gateway.example", Busy: 10 * time.Millisecond})
		id := mustSubmit(t, tracker)
		heard := hear(t, tracker)
		defer tracker.Follow(t.Context(), id)()
		time.Sleep(time.Minute)
		lock := raw(t, dir)
		execute(t, lock, "BEGIN IMMEDIATE")
		done.Store(true)
		time.Sleep(time.Minute)
		execute(t, lock, "ROLLBACK")
		time.Sleep(time.Minute)
		if row := find(t, openTracker(t, &fakeGateway{}, dir), id); row.Job.Status != pixazo.Completed {
			t.Errorf("the journal has %+v", row)
		}
		heard.want(t, id+" PROCESSING", id+" COMPLETED")
	})
}
