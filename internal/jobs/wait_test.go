// This file tests waiting, in fake time: when a job is asked for, what ends a
// wait, what its caller hears, and that any number of waiters cost one stream
// of polls. synctest also fails a test that leaves a goroutine behind.

package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/pixazo"
)

// newJobPolls is the schedule of a job that is waited for from its first
// moment, in milliseconds: a poll at once, then after an eighth of the age, at
// least 1 s.
var newJobPolls = []int64{0, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10125, 11390, 12814, 14416,
	16218, 18245, 20526, 23092, 25978, 29225, 32879, 36989, 41612}

func TestWaitPollsAtOnceAndThenOnTheSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{}
		tracker := newTracker(t, g)
		id := mustSubmit(t, tracker)
		start := time.Now()
		outcome, err := tracker.Wait(t.Context(), id, 45*time.Second, nil)
		if err != nil || outcome.End != jobs.Expired || outcome.LastErr != nil || outcome.Row.Job.Status != pixazo.Processing {
			t.Errorf("Wait = %+v, %v; want to expire while PROCESSING", outcome, err)
		}
		if took := time.Since(start); took != 45*time.Second {
			t.Errorf("the wait took %v, want 45s", took)
		}
		wantPolls(t, g.milliseconds(id, start), newJobPolls)
	})
}

// The age decides, not the wait: otherwise each of the many short waits that
// clients allow would begin with a burst of polls.
func TestPollsGoOnByTheJobsAge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		id   func(t *testing.T, tracker *jobs.Tracker, age time.Duration) string
		age  time.Duration
		want []int64 // polls in 40 s
	}{
		{"submitted here", func(t *testing.T, tracker *jobs.Tracker, age time.Duration) string {
			id := mustSubmit(t, tracker)
			time.Sleep(age)
			return id
		}, 45 * time.Second, []int64{0, 5625, 11953, 19072, 27081, 36091}},
		{"submitted by another process", func(_ *testing.T, _ *jobs.Tracker, age time.Duration) string {
			return uuidID(time.Now().Add(-age))
		}, 45 * time.Second, []int64{0, 5625, 11953, 19072, 27081, 36091}},
		{"created_at of the gateway", func(*testing.T, *jobs.Tracker, time.Duration) string { return "dated" },
			80 * time.Second, []int64{0, 10000, 21250, 33906}},
		{"an age that nobody knows counts from the wait", func(*testing.T, *jobs.Tracker, time.Duration) string { return "made-up" },
			0, newJobPolls[:22]},
		{"never more than 15 s apart", func(_ *testing.T, _ *jobs.Tracker, age time.Duration) string {
			return uuidID(time.Now().Add(-age))
		}, time.Hour, []int64{0, 15000, 30000}},
		{"an id from the future", func(*testing.T, *jobs.Tracker, time.Duration) string {
			return uuidID(time.Now().Add(time.Hour))
		}, 0, newJobPolls[:22]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var created time.Time
				g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
					job := processing(id)
					if id == "dated" {
						job.CreatedAt = created
					}
					return job, nil
				}}
				tracker := newTracker(t, g)
				id := tt.id(t, tracker, tt.age)
				start := time.Now()
				created = start.Add(-tt.age)
				if _, err := tracker.Wait(t.Context(), id, 40*time.Second-time.Millisecond, nil); err != nil {
					t.Fatal(err)
				}
				wantPolls(t, g.milliseconds(id, start), tt.want)
			})
		})
	}
}

func seconds(n int64) (ms []int64) {
	for i := range n {
		ms = append(ms, 1000*i)
	}
	return ms
}

func TestPollsAreSpreadByTenPercent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		random float64
		want   []int64
	}{
		{0, []int64{0, 900, 1800}},
		{0.999999, []int64{0, 1099, 2199}},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := &fakeGateway{}
			tracker := openTracker(t, g, t.TempDir(), jobs.Options{Rand: func() float64 { return tt.random }})
			start := time.Now()
			_, _ = tracker.Wait(t.Context(), "id-1", 2500*time.Millisecond, nil)
			wantPolls(t, g.milliseconds("id-1", start), tt.want)
		})
	}
}

func TestWaitHonoursRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var polls []int64
		start := time.Now()
		client := realClient(t, pixazo.Config{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			polls = append(polls, time.Since(start).Milliseconds())
			if len(polls) == 2 {
				return answer(429, http.Header{"Retry-After": {"20"}}, `{"error":"slow down"}`)
			}
			return answer(200, nil, `{"request_id":"id-1","status":"PROCESSING"}`)
		})})
		outcome, err := newTracker(t, client).Wait(t.Context(), "id-1", 22*time.Second, nil)
		if err != nil || outcome.LastErr != nil {
			t.Errorf("Wait = %+v, %v; want the 429 forgotten", outcome, err)
		}
		wantPolls(t, polls, []int64{0, 1000, 21000})
	})
}

func TestAThousandWaitersShareOnePollStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{}
		tracker := openTracker(t, g, t.TempDir(), jobs.Options{MaxWaits: 2000})
		id := mustSubmit(t, tracker)
		start := time.Now()
		var waits sync.WaitGroup
		var expired, cancelled atomic.Int32
		for i := range 1000 {
			waits.Go(func() {
				// They come 3 ms apart and stay between 1 and 41 s; one in ten
				// is cancelled after half a second.
				time.Sleep(time.Duration(i) * 3 * time.Millisecond)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i%10 == 0 {
					time.AfterFunc(time.Second/2, cancel)
				}
				outcome, err := tracker.Wait(ctx, id, time.Second+time.Duration(i)*40*time.Millisecond, nil)
				switch {
				case err == nil && outcome.End == jobs.Expired:
					expired.Add(1)
				case errors.Is(err, context.Canceled):
					cancelled.Add(1)
				default:
					t.Errorf("Wait = %+v, %v", outcome, err)
				}
			})
		}
		waits.Wait()
		if expired.Load() != 900 || cancelled.Load() != 100 {
			t.Errorf("%d expired and %d cancelled, want 900 and 100", expired.Load(), cancelled.Load())
		}
		// The last one comes at 2.997 s and leaves 40.96 s later.
		wantPolls(t, g.milliseconds(id, start), newJobPolls)
	})
}

func TestPollingStopsWhenTheLastWaiterLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{}
		tracker := newTracker(t, g)
		start := time.Now()
		var waits sync.WaitGroup
		for _, timeout := range []time.Duration{1500 * time.Millisecond, 3500 * time.Millisecond} {
			waits.Go(func() { _, _ = tracker.Wait(t.Context(), "id-1", timeout, nil) })
		}
		waits.Wait()
		time.Sleep(time.Minute)
		wantPolls(t, g.milliseconds("id-1", start), []int64{0, 1000, 2000, 3000})
		// The next one starts a stream of its own, at once.
		start = time.Now()
		_, _ = tracker.Wait(t.Context(), "id-1", 100*time.Millisecond, nil)
		if got := g.milliseconds("id-1", start)[4:]; !reflect.DeepEqual(got, []int64{0}) {
			t.Errorf("the next wait polled at %v ms, want at once", got)
		}
	})
}

// A waiter that is slow to leave a stream which has ended must not take the
// next stream's place with it, or two would run side by side.
func TestALateLeaverDoesNotDisturbTheNextStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
			time.Sleep(time.Millisecond)
			if poll == 0 {
				return pixazo.Job{}, failing(pixazo.NotFound, id)
			}
			return processing(id), nil
		}}
		tracker := newTracker(t, g)
		start := time.Now()
		var waits sync.WaitGroup
		waits.Go(func() { // its stream ends at once, it leaves at 3 s
			_, err := tracker.Wait(t.Context(), "id-1", time.Minute, func(jobs.Progress) { time.Sleep(3 * time.Second) })
			if !pixazo.IsCode(err, pixazo.NotFound) {
				t.Errorf("error %v, want not_found", err)
			}
		})
		for _, begin := range []time.Duration{2 * time.Second, 4500 * time.Millisecond} {
			waits.Go(func() {
				time.Sleep(begin)
				_, _ = tracker.Wait(t.Context(), "id-1", 6500*time.Millisecond-begin, nil)
			})
		}
		waits.Wait()
		wantPolls(t, g.milliseconds("id-1", start), []int64{0, 2000, 3001, 4002, 5003, 6004})
	})
}

func TestAPollUnderWayIsGivenUpWhenTheLastWaiterLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var gaveUp atomic.Bool
		tracker := newTracker(t, &fakeGateway{status: func(ctx context.Context, id string, _ int) (pixazo.Job, error) {
			<-ctx.Done()
			gaveUp.Store(true)
			return pixazo.Job{}, failing(pixazo.Cancelled, id)
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := tracker.Wait(ctx, "id-1", time.Minute, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the context's", err)
		}
		synctest.Wait()
		if !gaveUp.Load() {
			t.Error("the poll goes on without anybody to wait for it")
		}
	})
}

func TestWaitersOfOneJobAllGetItsEnd(t *testing.T) {
	t.Parallel()
	for _, status := range []pixazo.Status{pixazo.Completed, pixazo.Failed, pixazo.Errored} {
		t.Run(string(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &fakeGateway{status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
					if poll < 3 {
						return processing(id), nil
					}
					return finished(id, status), nil
				}}
				tracker := newTracker(t, g)
				start := time.Now()
				var waits sync.WaitGroup
				for range 20 {
					waits.Go(func() {
						outcome, err := tracker.Wait(t.Context(), "id-1", time.Minute, nil)
						if err != nil || outcome.End != jobs.Finished || !reflect.DeepEqual(outcome.Row.Job, finished("id-1", status)) {
							t.Errorf("Wait = %+v, %v; want the finished job", outcome, err)
						}
					})
				}
				waits.Wait()
				if took := time.Since(start); took != 3*time.Second {
					t.Errorf("the waits took %v, want 3s", took)
				}
				wantPolls(t, g.milliseconds("id-1", start), []int64{0, 1000, 2000, 3000})
			})
		})
	}
}

func TestAFailedPollIsNotAFailedWait(t *testing.T) {
	t.Parallel()
	for _, code := range []pixazo.Code{pixazo.GatewayError, pixazo.GatewayUnreachable, pixazo.RateLimited, pixazo.BadResponse} {
		t.Run(string(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				recovers := false
				g := &fakeGateway{status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
					if poll == 0 || recovers {
						return processing(id), nil
					}
					return pixazo.Job{}, failing(code, id)
				}}
				tracker := newTracker(t, g)
				start := time.Now()
				outcome, err := tracker.Wait(t.Context(), "id-1", 10*time.Second, nil)
				if err != nil || outcome.End != jobs.Expired || outcome.Row.Job.Status != pixazo.Processing {
					t.Errorf("Wait = %+v, %v; want to expire with the job as last seen", outcome, err)
				}
				if !pixazo.IsCode(outcome.LastErr, code) {
					t.Errorf("last error %v, want %s", outcome.LastErr, code)
				}
				if took := time.Since(start); took != 10*time.Second {
					t.Errorf("the wait took %v, want 10s", took)
				}
				wantPolls(t, g.milliseconds("id-1", start), seconds(10))
				recovers = true
				if outcome, err := tracker.Wait(t.Context(), "id-1", time.Second, nil); err != nil || outcome.LastErr != nil {
					t.Errorf("after it recovered: %+v, %v; want no error", outcome, err)
				}
			})
		})
	}
}

// The key may be put in place, or credits added, while somebody waits.
func TestErrorsThatPollingCannotMendSlowTheWait(t *testing.T) {
	t.Parallel()
	for _, code := range []pixazo.Code{pixazo.MissingAPIKey, pixazo.Unauthorized, pixazo.OutOfCredits, pixazo.InvalidArgument, pixazo.NotFound} {
		t.Run(string(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &fakeGateway{status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
					switch {
					case poll == 0:
						return processing(id), nil
					case poll < 4:
						return pixazo.Job{}, failing(code, id)
					}
					return finished(id, pixazo.Completed), nil
				}}
				tracker := newTracker(t, g)
				start := time.Now()
				outcome, err := tracker.Wait(t.Context(), "id-1", 45*time.Second, nil)
				if err != nil || outcome.End != jobs.Expired || !pixazo.IsCode(outcome.LastErr, code) || outcome.Row.Job.Status != pixazo.Processing {
					t.Errorf("Wait = %+v, %v; want the job as last seen, and %s", outcome, err, code)
				}
				time.Sleep(15 * time.Second) // a new wait looks at once: the user may have mended it
				outcome, err = tracker.Wait(t.Context(), "id-1", time.Hour, nil)
				if err != nil || outcome.End != jobs.Finished || outcome.LastErr != nil {
					t.Errorf("Wait = %+v, %v; want the end of the job", outcome, err)
				}
				wantPolls(t, g.milliseconds("id-1", start), []int64{0, 1000, 60000, 120000, 180000})
			})
		})
	}
}

// The journal's clock is an hour behind at the submission, and right when the gateway does
// not show the job yet.
func TestAJobNotYetVisibleIsKnownByTheTimeInItsID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, &fakeGateway{
			submit: func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
				return pixazo.Job{RequestID: uuidID(time.Now().Add(time.Hour)), Status: pixazo.Queued}, nil
			},
			status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
				return pixazo.Job{}, failing(pixazo.NotFound, id)
			},
		})
		id := mustSubmit(t, tracker)
		time.Sleep(time.Hour + 10*time.Second)
		if seen, err := tracker.Status(t.Context(), id); err != nil || seen.Row.Job.Status != pixazo.Queued {
			t.Errorf("10 s after the submission: %q, %v; want QUEUED", seen.Row.Job.Status, err)
		}
		time.Sleep(20 * time.Second)
		if _, err := tracker.Status(t.Context(), id); !pixazo.IsCode(err, pixazo.NotFound) {
			t.Errorf("30 s after the submission: %v, want not_found", err)
		}
	})
}

func TestWaitForAJobThatNobodyKnowsEndsAtOnce(t *testing.T) {
	t.Parallel()
	for _, code := range []pixazo.Code{pixazo.NotFound, pixazo.MissingAPIKey, pixazo.Unauthorized, pixazo.InvalidArgument} {
		for _, tt := range []struct {
			name string
			id   string
			want time.Duration // how long the wait takes after a 404
		}{
			// By newJobPolls the first poll past 30 s is the one at 32.879 s.
			{"submitted by another process just now", "now", 32879},
			{"submitted by another process 29 s ago", "29 s", 3625},
			{"submitted by another process 30 s ago", "30 s", 0},
			{"an id that carries no time", "made-up", 0},
			{"a UUID of another version", "x_3f2504e0-4f89-41d3-9a0c-0305e82c3301", 0},
		} {
			t.Run(string(code)+", "+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					tracker := newTracker(t, &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
						return pixazo.Job{}, failing(code, id)
					}})
					id, start := tt.id, time.Now()
					switch id {
					case "now":
						id = uuidID(start)
					case "29 s":
						id = uuidID(start.Add(-29 * time.Second))
					case "30 s":
						id = uuidID(start.Add(-30 * time.Second))
					}
					if code != pixazo.NotFound {
						tt.want = 0
					}
					outcome, err := tracker.Wait(t.Context(), id, time.Minute, nil)
					if !pixazo.IsCode(err, code) || outcome.Row.Job.RequestID != id {
						t.Errorf("Wait = %+v, %v; want %s", outcome, err, code)
					}
					if took := time.Since(start).Truncate(time.Millisecond); took != tt.want*time.Millisecond {
						t.Errorf("the wait took %v, want %v", took, tt.want*time.Millisecond)
					}
				})
			})
		}
	}
}

func TestAJobNotYetVisibleIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, &fakeGateway{status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
			if poll < 5 {
				return pixazo.Job{}, failing(pixazo.NotFound, id)
			}
			return finished(id, pixazo.Completed), nil
		}})
		id := mustSubmit(t, tracker)
		var heard []pixazo.Status
		outcome, err := tracker.Wait(t.Context(), id, time.Minute, func(p jobs.Progress) { heard = append(heard, p.Row.Job.Status) })
		if err != nil || outcome.End != jobs.Finished {
			t.Errorf("Wait = %+v, %v; want it finished", outcome, err)
		}
		for _, status := range heard {
			if status != pixazo.Queued {
				t.Errorf("heard of status %q, want QUEUED as the submission said", status)
			}
		}
	})
}

func TestUnknownStatusWordsAreWaitedThrough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		words := []pixazo.Status{"QUEUED", "RENDERING", "CANCELLED?", "DONE", "SUCCEEDED", "COMPLETED"}
		tracker := newTracker(t, &fakeGateway{status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
			time.Sleep(time.Millisecond) // so that the wait is heard of before its first poll
			return pixazo.Job{RequestID: id, Status: words[poll]}, nil
		}})
		var heard []pixazo.Status
		outcome, err := tracker.Wait(t.Context(), "id-1", time.Minute, func(p jobs.Progress) { heard = append(heard, p.Row.Job.Status) })
		if err != nil || outcome.End != jobs.Finished || outcome.Row.Job.Status != pixazo.Completed {
			t.Errorf("Wait = %+v, %v; want it COMPLETED", outcome, err)
		}
		if want := append([]pixazo.Status{""}, words[:5]...); !reflect.DeepEqual(heard, want) {
			t.Errorf("heard %q, want %q", heard, want)
		}
	})
}

func TestWaitOfNoTimePollsOnce(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		timeout time.Duration
		answer  time.Duration // how long the gateway takes
		took    time.Duration
		want    pixazo.Status
	}{
		{"zero", 0, 0, 0, pixazo.Processing},
		{"negative", -time.Hour, 0, 0, pixazo.Processing},
		{"a slow answer is waited for", 0, 1900 * time.Millisecond, 1900 * time.Millisecond, pixazo.Processing},
		{"but not for long", 0, time.Minute, 2 * time.Second, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &fakeGateway{status: func(ctx context.Context, id string, _ int) (pixazo.Job, error) {
					if tt.answer == 0 { // a timer that is due at once may crash the race detector: go.dev/issue/78156
						return processing(id), nil
					}
					select {
					case <-time.After(tt.answer):
						return processing(id), nil
					case <-ctx.Done():
						return pixazo.Job{}, failing(pixazo.Cancelled, id)
					}
				}}
				start := time.Now()
				outcome, err := newTracker(t, g).Wait(t.Context(), "id-1", tt.timeout, nil)
				if err != nil || outcome.End != jobs.Expired || outcome.Row.Job.Status != tt.want || outcome.Row.Job.RequestID != "id-1" {
					t.Errorf("Wait = %+v, %v; want it expired with status %q", outcome, err, tt.want)
				}
				if took := time.Since(start); took != tt.took {
					t.Errorf("the wait took %v, want %v", took, tt.took)
				}
				if n := g.count(); n != 1 {
					t.Errorf("%d polls, want 1", n)
				}
			})
		})
	}
}

func TestCancelledWaitReturnsTheLastJobAndTheError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, &fakeGateway{})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(4500*time.Millisecond, cancel)
		start := time.Now()
		outcome, err := tracker.Wait(ctx, "id-1", time.Minute, nil)
		if !errors.Is(err, context.Canceled) || outcome.Row.Job.Status != pixazo.Processing {
			t.Errorf("Wait = %+v, %v; want the job as last seen and context.Canceled", outcome, err)
		}
		if took := time.Since(start); took != 4500*time.Millisecond {
			t.Errorf("the wait took %v, want 4.5s", took)
		}
	})
}

func TestOneWaitTooManyAnswersAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{}
		tracker := newTracker(t, g)
		var waits sync.WaitGroup
		for i := range 64 {
			waits.Go(func() {
				outcome, err := tracker.Wait(t.Context(), fmt.Sprintf("id-%d", i), 10*time.Second, nil)
				if err != nil || outcome.End != jobs.Expired {
					t.Errorf("wait %d = %+v, %v; want it to expire", i, outcome, err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		outcome, err := tracker.Wait(t.Context(), "one-more", 10*time.Second, nil)
		if err != nil || outcome.End != jobs.Busy || outcome.Row.Job.Status != pixazo.Processing {
			t.Errorf("the 65th = %+v, %v; want the present state and End Busy", outcome, err)
		}
		if took := time.Since(start); took > atOnce || len(g.milliseconds("one-more", start)) != 1 {
			t.Errorf("the 65th took %v and polled at %v ms, want one poll at once", took, g.milliseconds("one-more", start))
		}
		waits.Wait()
		if outcome, err := tracker.Wait(t.Context(), "one-more", time.Second, nil); err != nil || outcome.End != jobs.Expired {
			t.Errorf("once the others had left = %+v, %v; want it to wait", outcome, err)
		}
	})
}

func TestProgressIsHeardAtEachPollAndEveryFiveSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type heard struct {
			status      pixazo.Status
			waited, age time.Duration
		}
		var got []heard
		tracker := newTracker(t, &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
			time.Sleep(time.Millisecond) // so that the wait is heard of before its first poll
			return processing(id), nil
		}})
		id := uuidID(time.Now().Add(-80 * time.Second)) // polled at 0, 10 and 21.25 s
		outcome, err := tracker.Wait(t.Context(), id, 23*time.Second, func(p jobs.Progress) {
			got = append(got, heard{p.Row.Job.Status, p.Waited.Round(10 * time.Millisecond), p.Age.Round(10 * time.Millisecond)})
		})
		if err != nil || outcome.End != jobs.Expired {
			t.Fatalf("Wait = %+v, %v", outcome, err)
		}
		const s = time.Second
		want := []heard{
			{"", 0, 80 * s},           // before the first poll
			{"PROCESSING", 0, 80 * s}, // at it
			{"PROCESSING", 5 * s, 85 * s},
			{"PROCESSING", 10 * s, 90 * s},
			{"PROCESSING", 15 * s, 95 * s},
			{"PROCESSING", 20 * s, 100 * s},
			{"PROCESSING", 21250 * time.Millisecond, 101250 * time.Millisecond},
		}
		// A poll and a tick that fall on the same moment may both be heard.
		var once []heard
		for i, h := range got {
			if i == 0 || h != got[i-1] {
				once = append(once, h)
			}
		}
		if !reflect.DeepEqual(once, want) {
			t.Errorf("heard\n %v\nwant\n %v", once, want)
		}
	})
}

func TestProgressIsHeardWhileAPollHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, &fakeGateway{status: func(ctx context.Context, id string, _ int) (pixazo.Job, error) {
			<-ctx.Done()
			return pixazo.Job{}, failing(pixazo.Cancelled, id)
		}})
		var at []time.Duration
		_, _ = tracker.Wait(t.Context(), "id-1", 16*time.Second, func(p jobs.Progress) { at = append(at, p.Waited/time.Second) })
		if want := []time.Duration{0, 5, 10, 15}; !reflect.DeepEqual(at, want) {
			t.Errorf("heard after %v s, want %v", at, want)
		}
	})
}

// It is recovered there, and must not end the program on another goroutine.
func TestAPanicOfReportReachesTheCallerOfWait(t *testing.T) {
	tracker := newTracker(t, &fakeGateway{})
	defer func() {
		if r := recover(); r != "no report" {
			t.Errorf("recovered %v, want the panic of report", r)
		}
	}()
	_, _ = tracker.Wait(t.Context(), "id-1", time.Minute, func(jobs.Progress) { panic("no report") })
}

func TestWaitRefusesWhatIsNoRequestID(t *testing.T) {
	g := &fakeGateway{}
	for _, id := range []string{"", ".", "..", "a/b", "a b", "ü"} {
		if _, err := newTracker(t, g).Wait(t.Context(), id, time.Minute, nil); !pixazo.IsCode(err, pixazo.InvalidArgument) {
			t.Errorf("%q: error %v, want invalid_argument", id, err)
		}
	}
	if g.count() != 0 {
		t.Errorf("%d polls, want none", g.count())
	}
}

// Waits that come, finish and are cancelled at the same moments, for the race
// detector. No two of them expire at the same moment, and nobody waits for a job that is
// known to have ended: the detector itself crashes when two goroutines of a bubble find
// a timer due at the same time (go.dev/issue/78156).
func TestWaitersComeAndGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lasts = 5 * time.Second // each job, of which there is always one of each kind
		start := time.Now()
		tracker := newTracker(t, &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
			var kind, n int
			if _, err := fmt.Sscanf(id, "id-%d.%d", &kind, &n); err != nil {
				t.Error(err)
			}
			if time.Since(start) >= time.Duration(n+1)*lasts {
				return finished(id, pixazo.Completed), nil
			}
			return processing(id), nil
		}})
		var ended atomic.Int32
		var waits sync.WaitGroup
		for i := range 60 {
			waits.Go(func() {
				for j := range 20 {
					id := fmt.Sprintf("id-%d.%d", i%3, time.Since(start)/lasts)
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+j%4)*time.Second)
					outcome, _ := tracker.Wait(ctx, id, time.Duration(1+j%3)*time.Second+time.Duration(1+i)*time.Millisecond, func(jobs.Progress) {})
					if outcome.End == jobs.Finished {
						ended.Add(1)
					}
					_, _ = tracker.Status(ctx, id)
					cancel()
				}
			})
		}
		waits.Wait()
		if n := ended.Load(); n < 60 {
			t.Errorf("%d waits heard of an end", n)
		}
	})
}

// A gateway that asks for a day must not hide a paid video for a day.
func TestRetryAfterIsObeyedUpToAMinute(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		asked, want time.Duration
	}{{20 * time.Second, 20 * time.Second}, {100 * time.Second, time.Minute}, {24 * time.Hour, time.Minute}} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			g := &fakeGateway{status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
				if poll == 0 {
					return pixazo.Job{}, &pixazo.Error{Code: pixazo.RateLimited, Message: "slow down", RetryAfter: tt.asked}
				}
				return finished(id, pixazo.Completed), nil
			}}
			tracker := newTracker(t, g)
			for wait := range 3 { // it holds for the next wait, too, which tells why it sees nothing
				outcome, err := tracker.Wait(t.Context(), "id-1", 15*time.Second, nil)
				if err != nil || time.Since(start) < tt.want && !pixazo.IsCode(outcome.LastErr, pixazo.RateLimited) {
					t.Errorf("wait %d: %+v, %v", wait, outcome, err)
				}
			}
			if tt.want > 45*time.Second {
				_, _ = tracker.Wait(t.Context(), "id-1", time.Minute, nil)
			}
			if got := g.milliseconds("id-1", start); len(got) < 2 || got[1] != tt.want.Milliseconds() {
				t.Errorf("polls after %v ms, want the second after %v", got, tt.want)
			}
		})
	}
}

func TestAWaitForAFinishedJobIsNotHeldUpByTheGateway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{status: func(ctx context.Context, id string, poll int) (pixazo.Job, error) {
			if poll == 0 {
				return finished(id, pixazo.Completed), nil
			}
			return hang(ctx, id, poll)
		}}
		tracker := newTracker(t, g)
		_, _ = tracker.Status(t.Context(), "id-1")
		time.Sleep(time.Hour)
		start := time.Now()
		outcome, err := tracker.Wait(t.Context(), "id-1", time.Hour, nil)
		if took := time.Since(start); err != nil || outcome.End != jobs.Finished || !outcome.Row.Job.Done() || took != 2*time.Second {
			t.Errorf("after %v: %+v, %v; want the video as it is known", took, outcome, err)
		}
	})
}

// Processes share a job's polls: each takes what another one saw.
func TestWaitsInManyProcessesShareOnePollStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
			time.Sleep(50 * time.Millisecond) // so that they meet
			if time.Since(midnight) > 40*time.Second {
				return finished(id, pixazo.Completed), nil
			}
			return processing(id), nil
		}}
		var waits sync.WaitGroup
		first := openTracker(t, g, dir)
		id := mustSubmit(t, first)
		start := time.Now()
		for i := range 8 {
			tracker := openTracker(t, g, dir, jobs.Options{Rand: rand.New(rand.NewPCG(uint64(i), 1)).Float64})
			waits.Go(func() {
				time.Sleep(time.Duration(i) * 130 * time.Millisecond)
				outcome, err := tracker.Wait(t.Context(), id, time.Minute, nil)
				if err != nil || outcome.End != jobs.Finished || outcome.Row.Job.Status != pixazo.Completed {
					t.Errorf("process %d: %+v, %v; want the end of the job", i, outcome, err)
				}
				if took := time.Since(start); took > 48*time.Second {
					t.Errorf("process %d heard of the end after %v", i, took)
				}
			})
		}
		waits.Wait()
		polls := g.milliseconds(id, start)
		if len(polls) > len(newJobPolls)*12/10 { // the quickest of eight random paces is a tenth faster
			t.Errorf("%d polls, want at most 1.2 times those of one process, %d", len(polls), len(newJobPolls))
		}
		for i, at := range polls[1:] {
			if at-polls[i] < 900 {
				t.Errorf("polls at %d and %d ms", polls[i], at)
			}
		}
	})
}

// midnight is when the clock of synctest begins.
var midnight = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func TestAWaitHearsWithinASecondWhatAnotherProcessSaw(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var ended atomic.Bool
		g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
			if ended.Load() {
				return finished(id, pixazo.Completed), nil
			}
			return processing(id), nil
		}}
		waiting, other := openTracker(t, g, dir), openTracker(t, g, dir)
		id := uuidID(time.Now().Add(-time.Hour)) // polled every 15 s
		start := time.Now()
		time.AfterFunc(5500*time.Millisecond, func() {
			ended.Store(true)
			_, _ = other.Status(t.Context(), id)
		})
		outcome, err := waiting.Wait(t.Context(), id, time.Minute, nil)
		if took := time.Since(start); err != nil || outcome.End != jobs.Finished || took != 6*time.Second {
			t.Errorf("after %v: %+v, %v; want it finished after 6s", took, outcome, err)
		}
		wantPolls(t, g.milliseconds(id, start), []int64{0, 5500})
	})
}

func TestSlowAnswerFromBeforeTheEndChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
			if poll == 0 {
				time.Sleep(10 * time.Second)
				return processing(id), nil
			}
			return finished(id, pixazo.Completed), nil
		}}
		tracker := newTracker(t, g)
		slow := make(chan pixazo.Job)
		go func() {
			job, _ := status(tracker, t.Context(), "id-1")
			slow <- job
		}()
		synctest.Wait()
		if job, err := status(tracker, t.Context(), "id-1"); err != nil || !job.Done() {
			t.Fatalf("got %+v, %v", job, err)
		}
		if job := <-slow; !job.Done() || len(job.VideoURLs) == 0 {
			t.Errorf("the slow answer made it %+v", job)
		}
		if r := find(t, tracker, "id-1"); !r.Job.Done() || len(r.Job.VideoURLs) == 0 {
			t.Errorf("the journal has %+v", r)
		}
	})
}

func TestJobThatHasEndedNeedsNoGateway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
			if poll == 0 {
				return finished(id, pixazo.Failed), nil
			}
			return pixazo.Job{}, failing(pixazo.GatewayError, id)
		}}
		tracker := newTracker(t, g)
		for range 2 {
			start := time.Now()
			outcome, err := tracker.Wait(t.Context(), "id-1", 45*time.Second, nil)
			if err != nil || outcome.End != jobs.Finished || outcome.Row.Job.Status != pixazo.Failed || time.Since(start) != 0 {
				t.Errorf("after %s: %+v, %v", time.Since(start), outcome, err)
			}
		}
	})
}
