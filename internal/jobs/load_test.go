// This file measures what many waits cost: memory, and polls of the gateway.
// The test holds the project's limit, the benchmarks give the figures:
//
//	go test -run - -bench Waiters ./internal/jobs

package jobs_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/pixazo"
)

const (
	manyWaits  = 1000
	memoryRoom = 64 << 20 // bytes that many waits may hold
)

// held is the memory that the program's heap and stacks hold, in bytes, and
// all that it has got from the system.
func held() (inUse, system int64) {
	debug.FreeOSMemory() // collects garbage first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse), int64(m.Sys)
}

// holdWaits begins waits for the jobs of ids, each with a progress callback as
// the tools have one, and returns once each has heard of its job's status.
// stop cancels them all and returns when they have ended.
func holdWaits(tb testing.TB, tracker *jobs.Tracker, ids []string) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var begun, ended sync.WaitGroup
	for _, id := range ids {
		begun.Add(1)
		ended.Go(func() {
			var once sync.Once
			_, err := tracker.Wait(ctx, id, time.Hour, func(p jobs.Progress) {
				if p.Row.Job.Status != "" {
					once.Do(begun.Done)
				}
			})
			if err != context.Canceled {
				tb.Errorf("wait for %s: %v", id, err)
				once.Do(begun.Done)
			}
		})
	}
	begun.Wait()
	return func() {
		cancel()
		ended.Wait()
	}
}

// oldIDs are jobs of an age at which they are polled every 15 s, so that each
// is polled once while the memory is measured.
func oldIDs(n int) (ids []string) {
	for i := range n {
		ids = append(ids, uuidID(time.Now().Add(-time.Hour-time.Duration(i)*time.Second)))
	}
	return ids
}

func sameID(n int) (ids []string) {
	id := oldIDs(1)[0]
	for range n {
		ids = append(ids, id)
	}
	return ids
}

// loopback is a client of a gateway that says PROCESSING over a real
// connection, and the number of its answers so far.
func loopback(tb testing.TB) (jobs.Gateway, func() int) {
	tb.Helper()
	var polls atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		polls.Add(1)
		fmt.Fprintf(w, `{"request_id":%q,"status":"PROCESSING","model_id":"heygen-video-agent","error":null,"output":null,`+
			`"created_at":"2026-05-22T13:17:32.110Z","updated_at":"2026-05-22 13:19:23","completed_at":null}`, path.Base(r.URL.Path))
	}))
	tb.Cleanup(srv.Close)
	return realClient(tb, pixazo.Config{GatewayURL: srv.URL}), func() int { return int(polls.Load()) }
}

func inMemory(testing.TB) (jobs.Gateway, func() int) {
	g := &fakeGateway{}
	return g, g.count
}

// raceDetector says whether these tests run under it; see race_test.go.
var raceDetector bool

func TestAThousandWaitsHoldUnder64MB(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector's own memory is many times ours")
	}
	for _, tt := range []struct {
		name    string
		gateway func(testing.TB) (jobs.Gateway, func() int)
		ids     []string
		polls   int
	}{
		{"on a thousand jobs", loopback, oldIDs(manyWaits), manyWaits},
		{"on one job", inMemory, sameID(manyWaits), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gateway, polls := tt.gateway(t)
			tracker := openTracker(t, gateway, t.TempDir(), jobs.Options{MaxWaits: manyWaits})
			inUse, system := held()
			stop := holdWaits(t, tracker, tt.ids)
			inUse2, system2 := held()
			n := polls()
			stop()
			t.Logf("%d waits hold %.1f MB of heap and stacks, %.1f MB more from the system; %d polls",
				manyWaits, mb(inUse2-inUse), mb(system2-system), n)
			if inUse2-inUse > memoryRoom || system2-system > memoryRoom {
				t.Errorf("%d waits hold %.1f MB, and got %.1f MB from the system; want at most 64", manyWaits, mb(inUse2-inUse), mb(system2-system))
			}
			if n < tt.polls {
				t.Errorf("%d polls, want %d: not all of them wait", n, tt.polls)
			}
		})
	}
}

func TestAThousandWaitersOfOneJobCostThePollsOfOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, n := range []int{1, manyWaits} {
			g := &fakeGateway{}
			tracker := openTracker(t, g, t.TempDir(), jobs.Options{MaxWaits: manyWaits})
			id := mustSubmit(t, tracker)
			start := time.Now()
			var waits sync.WaitGroup
			for range n {
				waits.Go(func() { _, _ = tracker.Wait(t.Context(), id, 45*time.Second, nil) })
			}
			waits.Wait()
			wantPolls(t, g.milliseconds(id, start), newJobPolls)
		}
	})
}

func mb(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func benchmarkWaiters(b *testing.B, gateway func(testing.TB) (jobs.Gateway, func() int), ids []string) {
	var memory int64
	var polled int
	for b.Loop() {
		gateway, polls := gateway(b)
		tracker := openTracker(b, gateway, b.TempDir(), jobs.Options{MaxWaits: len(ids)})
		b.StopTimer()
		before, _ := held()
		b.StartTimer()
		stop := holdWaits(b, tracker, ids)
		b.StopTimer()
		after, _ := held()
		memory += after - before
		polled += polls()
		b.StartTimer()
		stop()
	}
	b.ReportMetric(mb(memory)/float64(b.N), "MB")
	b.ReportMetric(float64(polled)/float64(b.N), "polls")
}

func BenchmarkThousandWaitersThousandJobs(b *testing.B) {
	benchmarkWaiters(b, inMemory, oldIDs(manyWaits))
}

func BenchmarkThousandWaitersThousandJobsOverHTTP(b *testing.B) {
	benchmarkWaiters(b, loopback, oldIDs(manyWaits))
}

func BenchmarkThousandWaitersOneJob(b *testing.B) {
	benchmarkWaiters(b, inMemory, sameID(manyWaits))
}
