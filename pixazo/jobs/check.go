// This file looks at a journal without using it.

package jobs

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
)

// JournalReport is what CheckJournal found.
type JournalReport struct {
	Path   string // of the database
	Exists bool   // the first submission makes it
	Jobs   int    // of all gateways
	Notice string // of an earlier journal that was set aside, or ""
}

// CheckJournal opens the journal in stateDir as a server would, checks every
// page, and closes it. A damaged one is an error and is left where it is: the
// next server that uses it sets it aside. One of an earlier version is brought
// up to date. It waits at most 10 s for a journal that others have locked.
func CheckJournal(stateDir string) (JournalReport, error) {
	j := &journal{dir: stateDir, log: slog.New(slog.DiscardHandler)}
	report := JournalReport{Path: j.path(), Notice: j.notice()}
	if _, err := os.Lstat(j.path()); errors.Is(err, fs.ErrNotExist) {
		return report, nil
	}
	report.Exists = true
	o, err := j.open()
	defer j.close()
	if err == nil {
		err = o.synced.QueryRow("SELECT count(*) FROM jobs").Scan(&report.Jobs)
	}
	if damaged(err) && !errors.Is(err, errDamaged) {
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	return report, err
}
