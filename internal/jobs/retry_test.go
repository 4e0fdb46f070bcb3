// This test holds status requests to the time that the gateway asked for.

package jobs_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/pixazo"
)

func TestStatusIsNotAskedForBeforeTheGatewayAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{status: func(_ context.Context, id string, poll int) (pixazo.Job, error) {
			if poll == 0 {
				return pixazo.Job{}, &pixazo.Error{Code: pixazo.RateLimited, Message: "slow down", RetryAfter: 20 * time.Second}
			}
			return processing(id), nil
		}}
		tracker := newTracker(t, g)
		for _, step := range []struct {
			pass  time.Duration
			polls int
			left  time.Duration // that the error names; 0 for none
		}{{0, 1, 20 * time.Second}, {time.Second, 1, 19 * time.Second}, {18 * time.Second, 1, time.Second}, {time.Second, 2, 0}} {
			time.Sleep(step.pass)
			_, err := tracker.Status(t.Context(), "id-1")
			if n := g.count(); n != step.polls || pixazo.RetryAfter(err) != step.left || pixazo.IsCode(err, pixazo.RateLimited) != (step.left > 0) {
				t.Errorf("after %v: %d polls and %v, want %d and %v left", step.pass, n, err, step.polls, step.left)
			}
		}
	})
}
