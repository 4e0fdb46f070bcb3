// This file lets tests wait less than the program does.

package jobs

import (
	"testing"
	"time"
)

// ShortenBusyTimeouts has a locked journal given up after d, until the test
// ends.
func ShortenBusyTimeouts(t testing.TB, d time.Duration) {
	before, seenBefore := busyTimeout, seenBusyTimeout
	busyTimeout, seenBusyTimeout = d, d
	t.Cleanup(func() { busyTimeout, seenBusyTimeout = before, seenBefore })
}

// FirstMigration is the journal as the first version of this program made it.
var FirstMigration = migrations[0]
