// These tests hold that looking at a journal changes nothing.

package jobs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pixazo-mcp/pixazo/jobs"
)

func TestCheckJournalLeavesEverythingAsItIs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if r, err := jobs.CheckJournal(dir); err != nil || r.Exists || r.Path != filepath.Join(dir, "journal.db") {
		t.Errorf("no folder: %+v, %v", r, err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a folder was made")
	}

	tracker := jobs.New(nil, jobs.Options{StateDir: dir, Gateway: "g"})
	if _, _, _, err := tracker.List(t.Context(), jobs.All, 1, ""); err != nil {
		t.Fatal(err)
	}
	tracker.Close()
	if r, err := jobs.CheckJournal(dir); err != nil || !r.Exists || r.Jobs != 0 || r.Notice != "" {
		t.Errorf("empty: %+v, %v", r, err)
	}

	if err := os.WriteFile(filepath.Join(dir, "journal.db"), []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := jobs.CheckJournal(dir)
	if err == nil || !strings.Contains(err.Error(), "damaged") || !r.Exists {
		t.Errorf("damaged: %+v, %v", r, err)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "journal.db")); err != nil || !strings.HasPrefix(string(content), "no database") {
		t.Errorf("the damaged journal was replaced: %v", err)
	}
}
