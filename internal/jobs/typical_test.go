// This test holds the typical duration to what the journal knows.

package jobs_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/pixazo"
)

func TestTypicalDurationIsTheMedianOfThreeOrMore(t *testing.T) {
	created := time.Now().Add(-time.Hour)
	took := map[string]time.Duration{}
	g := &fakeGateway{status: func(_ context.Context, id string, _ int) (pixazo.Job, error) {
		job := finished(id, pixazo.Completed)
		job.CreatedAt, job.CompletedAt = created, created.Add(took[id])
		if took[id] < 0 {
			job.Status = pixazo.Failed
		}
		return job, nil
	}}
	dir := t.TempDir()
	for i, step := range []struct {
		took, want time.Duration
	}{
		{60 * time.Second, 0},
		{-time.Second, 0}, // failed: it says nothing
		{90 * time.Second, 0},
		{10 * time.Minute, 90 * time.Second},
		{80 * time.Second, 90 * time.Second},
		{70 * time.Second, 80 * time.Second},
	} {
		// Each is another process: one looks it up once a minute.
		tracker := openTracker(t, g, jobs.Options{StateDir: dir})
		id := fmt.Sprintf("id-%d", i)
		took[id] = step.took
		if _, err := tracker.Status(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if got := tracker.Typical(); got != step.want {
			t.Errorf("after %d jobs: %v, want %v", i+1, got, step.want)
		}
	}
}
