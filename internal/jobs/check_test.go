// These tests hold that looking at a journal changes nothing.

package jobs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pixazo-mcp/internal/jobs"
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

func TestCheckJournalWritesNothing(t *testing.T) {
	dir := t.TempDir()
	tracker := jobs.New(nil, jobs.Options{StateDir: dir, Gateway: "g"})
	if _, _, _, err := tracker.List(t.Context(), jobs.All, 1, ""); err != nil {
		t.Fatal(err)
	}
	look := func(when string) {
		t.Helper()
		if err := os.Chmod(filepath.Join(dir, "journal.db"), 0o644); err != nil {
			t.Fatal(err)
		}
		list := func() (names []string) {
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				info, err := entry.Info()
				if err != nil {
					t.Fatal(err)
				}
				if info.Name() == "journal.db-shm" {
					continue // the memory that those who have it open share
				}
				names = append(names, fmt.Sprint(info.Name(), info.Mode(), info.Size(), info.ModTime()))
			}
			return names
		}
		before := list()
		if r, err := jobs.CheckJournal(dir); err != nil || !r.Exists {
			t.Errorf("%s: %+v, %v", when, r, err)
		}
		if after := list(); !slices.Equal(before, after) {
			t.Errorf("%s: %q became %q", when, before, after)
		}
	}
	look("in use")
	tracker.Close()
	look("closed")

	// One without a table is a server's that was stopped while it made it.
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "journal.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	look("empty")
}
