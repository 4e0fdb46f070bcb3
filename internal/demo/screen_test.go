// These tests hold the progress bar to what is known: no total where there is
// none.

package demo

import (
	"testing"
	"time"
)

func TestBarShowsWhatIsKnown(t *testing.T) {
	begin := time.Now()
	for _, tt := range []struct {
		bar   bar
		after time.Duration
		want  string
	}{
		{bar{begin: begin}, 0, "| PROCESSING  [0s]"},
		{bar{begin: begin}, 42*time.Second + 150*time.Millisecond, "/ PROCESSING  [42s]"},
		{bar{begin: begin}, 2*time.Minute + 300*time.Millisecond, "\\ PROCESSING  [2m0s]"},
		{bar{begin: begin, counts: true, size: -1, done: 1_500_000}, 0, "PROCESSING  1.5 MB"},
		{bar{begin: begin, counts: true, size: 2_000_000}, 0, "PROCESSING  [                        ] 0.0 of 2.0 MB"},
		{bar{begin: begin, counts: true, size: 2_000_000, done: 1_000_000}, 0, "PROCESSING  [============            ] 1.0 of 2.0 MB"},
		{bar{begin: begin, counts: true, size: 2_000_000, done: 3_000_000}, 0, "PROCESSING  [========================] 3.0 of 2.0 MB"},
	} {
		if got := tt.bar.render("PROCESSING", begin.Add(tt.after)); got != tt.want {
			t.Errorf("after %v: %q, want %q", tt.after, got, tt.want)
		}
	}
}
