// This test holds when the next question is due.

package pixazo

import (
	"testing"
	"time"
)

func TestPollDelayGrowsWithTheJobsAge(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	almost1 := 1 - 1.0/(1<<53)
	for _, tt := range []struct {
		age            time.Duration
		low, mid, high time.Duration // for r = 0, 0.5 and just below 1
	}{
		{-time.Hour, 900 * ms, s, 1100 * ms}, // created by a clock ahead of ours
		{0, 900 * ms, s, 1100 * ms},
		{8 * s, 900 * ms, s, 1100 * ms},
		{16 * s, 1800 * ms, 2 * s, 2200 * ms},
		{42 * s, 4725 * ms, 5250 * ms, 5775 * ms},
		{120 * s, 13500 * ms, 15 * s, 16500 * ms},
		{121 * s, 13500 * ms, 15 * s, 16500 * ms},
		{1 << 62, 13500 * ms, 15 * s, 16500 * ms},
	} {
		for _, c := range []struct {
			r    float64
			want time.Duration
		}{{0, tt.low}, {0.5, tt.mid}, {almost1, tt.high}} {
			if got := PollDelay(tt.age, c.r); got < c.want-time.Microsecond || got > c.want {
				t.Errorf("age %s, r %g: %s, want %s", tt.age, c.r, got, c.want)
			}
		}
	}
}
