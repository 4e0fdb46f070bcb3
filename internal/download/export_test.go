// This file lets tests wait less than the program does, and look at the rules
// on names and addresses past a transfer.

package download

import (
	"testing"
	"time"
)

// ShortenFetch has a transfer given up that stands still for stall, the next try
// follow pause later, and a caller of Save hear of it every report, until the
// test ends. It must be called before the saver is made.
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

// Waiting is how many calls of Save wait for a transfer.
func (t *Saver) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, f := range t.flights {
		n += f.waiting
	}
	return n
}

// FinishSaves waits for the transfers under way.
func (t *Saver) FinishSaves() { t.saves.Wait() }
