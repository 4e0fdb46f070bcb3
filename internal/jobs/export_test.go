// This file lets tests wait less than the program does, and look at the rules
// on names and addresses past a transfer.

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

// ShortenFetch has a transfer given up that stands still for stall, the next try
// follow pause later, and a caller of Save hear of it every report, until the
// test ends. It must be called before the tracker is made.
func ShortenFetch(t testing.TB, stall, pause, report time.Duration) {
	stallBefore, pauseBefore, reportBefore := stallTimeout, retryPause, saveReportEvery
	stallTimeout, retryPause, saveReportEvery = stall, pause, report
	t.Cleanup(func() { stallTimeout, retryPause, saveReportEvery = stallBefore, pauseBefore, reportBefore })
}

// The rules of this package.
var (
	IsPublic      = isPublic
	CheckFilename = checkFilename
	DefaultName   = defaultName
)

// FirstMigration is the journal as the first version of this program made it.
var FirstMigration = migrations[0]

// Waiting is how many calls of Save wait for a transfer.
func (t *Tracker) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, f := range t.flights {
		n += f.waiting
	}
	return n
}

// FinishSaves waits for the transfers under way.
func (t *Tracker) FinishSaves() { t.saves.Wait() }
