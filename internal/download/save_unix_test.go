//go:build unix

package download_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"pixazo-mcp/pixazo"
)

// Opening a pipe to look at it would wait for its other end.
func TestPipeUnderTheNameIsNotRead(t *testing.T) {
	m := wellBehaved(t, video(1000))
	h := newHouse(t, m.URL, m.link())
	saved := h.mustSave(t, "")
	if err := os.Remove(saved.Path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(saved.Path, 0o600); err != nil {
		t.Skip(err)
	}
	if again := h.mustSave(t, ""); again.Path == saved.Path {
		t.Errorf("saved over the pipe %q", again.Path)
	}
}

func TestFolderThatMayNotBeWritten(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	m := wellBehaved(t, video(1000))
	h := newHouse(t, m.URL, m.link())
	if err := os.MkdirAll(filepath.Join(h.out, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(h.out, "a"), 0o500); err != nil {
		t.Fatal(err)
	}
	_, err := h.save(t, "a/v.mp4", false)
	wantFailure(t, err, pixazo.DownloadFailed, "permission denied")
	if n := len(m.requests()); n > 0 {
		t.Errorf("%d requests for nothing", n)
	}
}
