// This file tests what becomes of submissions, what is remembered of jobs, and
// how the tracker ends. Bugs it guards against: a paid POST cut off by a
// caller who left, a request_id lost, a job taken for missing because the
// gateway does not show it yet.

package jobs_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/pixazo"
)

func TestSubmitIsNotCutByItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var posts atomic.Int32
		client := realClient(t, pixazo.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodGet {
				return answer(404, nil, `{}`)
			}
			posts.Add(1)
			select {
			case <-r.Context().Done():
				t.Error("the caller's cancellation reached the POST")
				return nil, r.Context().Err()
			case <-time.After(10 * time.Second):
				return answer(200, nil, `{"request_id":"id-1","status":"QUEUED"}`)
			}
		})})
		tracker := newTracker(t, client)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if s, err := tracker.Submit(ctx, request(), jobs.SubmitOptions{}); err == nil {
			t.Errorf("Submit answered %v to a caller who left", s.Row.Job)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("the caller was held for %v after leaving at 3s", took)
		}
		time.Sleep(10 * time.Second)
		// It is 3 s old, so a 404 means nothing, and it is known.
		if job, err := status(tracker, t.Context(), "id-1"); err != nil || job.Status != pixazo.Queued {
			t.Errorf("Status of the job = %v, %v; want it remembered as QUEUED", job, err)
		}
		if n := posts.Load(); n != 1 {
			t.Errorf("%d submissions, want 1", n)
		}
	})
}

// While nothing was accepted, there is nothing to protect: a video that nobody
// waits for any more must not be paid for.
func TestSubmitIsNotTriedAgainForNobody(t *testing.T) {
	t.Parallel()
	leave := map[string]func(*jobs.Tracker, context.CancelFunc){
		"the caller left": func(_ *jobs.Tracker, cancel context.CancelFunc) { cancel() },
		"the program is ending": func(tracker *jobs.Tracker, _ context.CancelFunc) {
			tracker.Drain()
			tracker.Finish(context.Background())
		},
	}
	for name, leave := range leave {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var posts atomic.Int32
				client := realClient(t, pixazo.Config{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
					posts.Add(1)
					return answer(429, http.Header{"Retry-After": {"20"}}, `{"error":"slow down"}`)
				})})
				tracker := newTracker(t, client)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				time.AfterFunc(5*time.Second, func() { leave(tracker, cancel) })
				start := time.Now()
				if _, err := tracker.Submit(ctx, request(), jobs.SubmitOptions{}); err == nil {
					t.Error("Submit succeeded")
				}
				if took := time.Since(start); took != 5*time.Second {
					t.Errorf("Submit took %v, want 5s", took)
				}
				time.Sleep(time.Minute)
				if n := posts.Load(); n != 1 {
					t.Errorf("%d submissions, want 1", n)
				}
			})
		})
	}
}

// A caller who left while the POST was on its way may have a paid video: the
// error must not read like one after which it is safe to submit again.
func TestSubmitIsUncertainToCallerWhoLeftHalfWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		tracker := newTracker(t, &fakeGateway{submit: func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
			<-release
			return pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := tracker.Submit(ctx, request(), jobs.SubmitOptions{})
		if !pixazo.IsCode(err, pixazo.SubmissionUncertain) {
			t.Errorf("error %v, want submission_uncertain", err)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v does not wrap the context's", err)
		}
		close(release)
	})
}

func TestSubmitOfCancelledCallSendsNothing(t *testing.T) {
	g := &fakeGateway{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newTracker(t, g).Submit(ctx, request(), jobs.SubmitOptions{})
	if !pixazo.IsCode(err, pixazo.Cancelled) || g.submissions != 0 {
		t.Errorf("error %v after %d submissions, want cancelled after none", err, g.submissions)
	}
}

func TestSubmitErrorsComeAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, code := range []pixazo.Code{pixazo.InvalidArgument, pixazo.MissingAPIKey, pixazo.Unauthorized, pixazo.OutOfCredits,
		pixazo.RateLimited, pixazo.GatewayError, pixazo.GatewayUnreachable, pixazo.SubmissionUncertain} {
		want := failing(code, "")
		g := &fakeGateway{submit: func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
			return pixazo.Job{}, want
		}}
		if _, err := newTracker(t, g).Submit(t.Context(), request(), jobs.SubmitOptions{}); err != want {
			t.Errorf("%s: error %v, want %v", code, err, want)
		}
		if g.submissions != 1 {
			t.Errorf("%s: %d submissions, want 1", code, g.submissions)
		}
	}
}

// An unreadable answer may still have named the request_id. The job is then as
// young as any other, and not yet being visible does not make it unknown.
func TestUncertainSubmissionWithIDIsRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, &fakeGateway{
			submit: func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
				return pixazo.Job{}, failing(pixazo.SubmissionUncertain, "id-1")
			},
			status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
				return pixazo.Job{}, failing(pixazo.NotFound, id)
			},
		})
		if _, err := tracker.Submit(t.Context(), request(), jobs.SubmitOptions{}); !pixazo.IsCode(err, pixazo.SubmissionUncertain) {
			t.Fatalf("error %v, want submission_uncertain", err)
		}
		time.Sleep(29 * time.Second)
		if job, err := status(tracker, t.Context(), "id-1"); err != nil || job.RequestID != "id-1" {
			t.Errorf("after 29 s: %v, %v; want no error", job, err)
		}
		time.Sleep(2 * time.Second)
		if _, err := tracker.Status(t.Context(), "id-1"); !pixazo.IsCode(err, pixazo.NotFound) {
			t.Errorf("after 31 s: error %v, want not_found", err)
		}
	})
}

func TestTerminalAnswerToASubmissionIsAFinishedJob(t *testing.T) {
	want := finished("id-1", pixazo.Completed)
	g := &fakeGateway{
		submit: func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) { return want, nil },
		status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
			return pixazo.Job{}, failing(pixazo.NotFound, id)
		},
	}
	tracker := newTracker(t, g)
	s, err := tracker.Submit(t.Context(), request(), jobs.SubmitOptions{})
	if err != nil || !reflect.DeepEqual(s.Row.Job, want) {
		t.Fatalf("Submit = %+v, %v; want %+v", s.Row.Job, err, want)
	}
	job, err := status(tracker, t.Context(), "id-1")
	if err != nil || !reflect.DeepEqual(job, want) {
		t.Errorf("Status = %+v, %v; want the remembered %+v", job, err, want)
	}
	outcome, err := tracker.Wait(t.Context(), "id-1", time.Minute, nil)
	if err != nil || outcome.End != jobs.Finished || !reflect.DeepEqual(outcome.Row.Job, want) {
		t.Errorf("Wait = %+v, %v; want to be finished at once with %+v", outcome, err, want)
	}
}

func TestStatusKeepsWhatTheNewestAnswerLeftOut(t *testing.T) {
	const own = "https://gateway.pixazo.ai/v2/requests/status/id-1?x=1"
	created := time.Date(2026, 5, 22, 13, 17, 32, 0, time.UTC)
	g := &fakeGateway{
		submit: func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
			return pixazo.Job{RequestID: "id-1", Status: pixazo.Queued, PollingURL: own, CreatedAt: created}, nil
		},
	}
	tracker := newTracker(t, g)
	mustSubmit(t, tracker)
	for range 2 {
		job, err := status(tracker, t.Context(), "id-1")
		if err != nil {
			t.Fatal(err)
		}
		if g.pollingURL != own {
			t.Errorf("asked at %q, want the job's own polling URL", g.pollingURL)
		}
		if job.Status != pixazo.Processing || job.CreatedAt != created {
			t.Errorf("job %+v, want PROCESSING, created at %v", job, created)
		}
	}
}

func TestStatusOfFailedRequestReturnsWhatIsKnownAndTheError(t *testing.T) {
	g := &fakeGateway{status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
		if poll == 0 {
			return processing(id), nil
		}
		return pixazo.Job{}, failing(pixazo.GatewayError, id)
	}}
	tracker := newTracker(t, g)
	if _, err := tracker.Status(t.Context(), "id-1"); err != nil {
		t.Fatal(err)
	}
	job, err := status(tracker, t.Context(), "id-1")
	if job.Status != pixazo.Processing || !pixazo.IsCode(err, pixazo.GatewayError) {
		t.Errorf("Status = %v, %v; want the known job and gateway_error", job, err)
	}
}

func TestStatusOfYoungJobIsNotNotFound(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		id   func(t *testing.T, tracker *jobs.Tracker) string
		age  time.Duration
		want pixazo.Code // "" for no error
	}{
		{"own submission, 29 s", mustSubmit, 29 * time.Second, ""},
		{"own submission, 30 s", mustSubmit, 30 * time.Second, pixazo.NotFound},
		{"another process's, 29 s", func(*testing.T, *jobs.Tracker) string { return uuidID(time.Now()) }, 29 * time.Second, ""},
		{"another process's, 30 s", func(*testing.T, *jobs.Tracker) string { return uuidID(time.Now()) }, 30 * time.Second, pixazo.NotFound},
		{"an id that carries no time", func(*testing.T, *jobs.Tracker) string { return "made-up" }, 0, pixazo.NotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tracker := newTracker(t, &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
					return pixazo.Job{}, failing(pixazo.NotFound, id)
				}})
				id := tt.id(t, tracker)
				time.Sleep(tt.age)
				job, err := status(tracker, t.Context(), id)
				if tt.want == "" && err != nil || tt.want != "" && !pixazo.IsCode(err, tt.want) {
					t.Errorf("error %v, want code %q", err, tt.want)
				}
				if job.RequestID != id {
					t.Errorf("job %+v, want it named %s", job, id)
				}
			})
		})
	}
}

func TestDrainFinishesSubmissionsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{submit: func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
			time.Sleep(20 * time.Second)
			return pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil
		}}
		tracker := newTracker(t, g)
		answered := make(chan pixazo.Job, 1)
		go func() {
			s, err := tracker.Submit(context.Background(), request(), jobs.SubmitOptions{})
			if err != nil {
				t.Error(err)
			}
			answered <- s.Row.Job
		}()
		time.Sleep(5 * time.Second)

		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		tracker.Drain()
		tracker.Finish(ctx)
		if took := time.Since(start); took != 15*time.Second {
			t.Errorf("Drain took %v, want the 15 s that the submission still took", took)
		}
		synctest.Wait()
		select {
		case job := <-answered:
			if job.RequestID != "id-1" {
				t.Errorf("submission answered %+v", job)
			}
		default:
			t.Error("Drain returned before the submission was answered")
		}
		if g.submissions != 1 {
			t.Errorf("%d submissions, want 1", g.submissions)
		}
	})
}

func TestDrainGivesUpWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(t, &fakeGateway{submit: func(context.Context, *pixazo.Prepared, pixazo.SubmitOptions) (pixazo.Job, error) {
			time.Sleep(time.Hour)
			return pixazo.Job{}, failing(pixazo.SubmissionUncertain, "")
		}})
		go func() { _, _ = tracker.Submit(context.Background(), request(), jobs.SubmitOptions{}) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		start := time.Now()
		tracker.Drain()
		tracker.Finish(ctx)
		if took := time.Since(start); took != 60*time.Second {
			t.Errorf("Drain took %v, want its context's 60 s", took)
		}
		time.Sleep(time.Hour) // until the submission has ended by itself
	})
}

func TestDrainWithNothingInFlightTakesNoTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		tracker := newTracker(t, &fakeGateway{})
		tracker.Drain()
		tracker.Finish(t.Context())
		if took := time.Since(start); took != 0 {
			t.Errorf("Drain took %v, want 0", took)
		}
	})
}

func TestDrainEndsWaitsAtOnce(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		status func(ctx context.Context, id string, poll int) (pixazo.Job, error)
		want   pixazo.Status
		took   time.Duration
	}{
		{"with what they know", nil, pixazo.Processing, 0},
		{"after a moment when they know nothing yet", func(ctx context.Context, _ string, _ int) (pixazo.Job, error) {
			<-ctx.Done()
			return pixazo.Job{}, ctx.Err()
		}, "", 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tracker := newTracker(t, &fakeGateway{status: tt.status})
				go func() {
					time.Sleep(10 * time.Second)
					tracker.Drain()
					tracker.Finish(t.Context())
				}()
				start := time.Now()
				outcome, err := tracker.Wait(t.Context(), "id-1", time.Minute, nil)
				if err != nil || outcome.End != jobs.Draining || outcome.Row.Job.Status != tt.want {
					t.Errorf("Wait = %+v, %v; want End Draining, status %q", outcome, err, tt.want)
				}
				if took := time.Since(start) - 10*time.Second; took != tt.took {
					t.Errorf("the wait ended %v after Drain began, want %v", took, tt.took)
				}
				// A wait that comes later still looks once.
				if tt.status == nil {
					outcome, err = tracker.Wait(t.Context(), "id-2", time.Minute, nil)
					if err != nil || outcome.End != jobs.Draining || outcome.Row.Job.Status != pixazo.Processing {
						t.Errorf("a wait after Drain = %+v, %v; want one look and End Draining", outcome, err)
					}
				}
			})
		})
	}
}

// roundTripper is a gateway's wire that needs no network, so that a real
// client can be used in fake time.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, header http.Header, body string) (*http.Response, error) {
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func realClient(t testing.TB, config pixazo.Config) *pixazo.Client {
	t.Helper()
	config.Key = func() (pixazo.Key, error) { return pixazo.NewKey("k") }
	client, err := pixazo.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestSubmitThroughARealClientReachesTheGatewayOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var posts []string
		client := realClient(t, pixazo.Config{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			posts = append(posts, string(body))
			select {
			case <-r.Context().Done():
				return nil, r.Context().Err()
			case <-time.After(30 * time.Second):
				return answer(200, nil, `{"request_id":"id-1","status":"QUEUED"}`)
			}
		})})
		tracker := newTracker(t, client)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := tracker.Submit(ctx, request(), jobs.SubmitOptions{}); !pixazo.IsCode(err, pixazo.SubmissionUncertain) {
			t.Errorf("the caller who left got %v, want submission_uncertain", err)
		}
		tracker.Drain()
		tracker.Finish(t.Context())
		if len(posts) != 1 || posts[0] != `{"prompt":"a lighthouse"}` {
			t.Errorf("the gateway got %q, want the request once", posts)
		}
	})
}
