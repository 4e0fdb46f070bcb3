// This test holds the progress bar to what is known: the time that has passed,
// and no share of a whole that nobody knows.

package demo

import (
	"testing"
	"time"
)

func TestSpinnerShowsWhatIsKnown(t *testing.T) {
	for after, want := range map[time.Duration]string{
		0:                                     "| PROCESSING  [0s]",
		42*time.Second + 150*time.Millisecond: "/ PROCESSING  [42s]",
		2*time.Minute + 300*time.Millisecond:  "\\ PROCESSING  [2m0s]",
	} {
		if got := spinner("PROCESSING", after); got != want {
			t.Errorf("after %v: %q, want %q", after, got, want)
		}
	}
}
