package journal

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Closing a file ends all locks that its process has on it. Without them another process
// that ends would take itself for the last one, and delete the -wal.
func TestAJournalBehindALinkStaysLocked(t *testing.T) {
	t.Parallel()
	plain, linked, elsewhere := t.TempDir(), t.TempDir(), t.TempDir()
	check(t, os.WriteFile(filepath.Join(elsewhere, fileName), nil, 0o600))
	check(t, os.Symlink(filepath.Join(elsewhere, fileName), filepath.Join(linked, fileName)))
	for _, dir := range []string{plain, linked} {
		j := open(t, dir)
		accept(t, j, submission("tides"), "id-1")
		j.State()
		info, err := os.Stat(filepath.Join(dir, fileName))
		check(t, err)
		locks, err := os.ReadFile("/proc/locks")
		check(t, err)
		locked := bytes.Contains(locks, fmt.Appendf(nil, ":%d ", info.Sys().(*syscall.Stat_t).Ino))
		if !locked && dir == plain {
			t.Skip("/proc/locks does not show the locks of this process")
		}
		if !locked {
			t.Error("the journal is open without a lock")
		}
	}
}
