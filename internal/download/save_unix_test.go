//go:build unix

package download_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"pixazo-mcp/internal/download"
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

// A file that is moved along with its folder would be recorded where there is none.
func TestOutputFolderThatIsMovedMeanwhile(t *testing.T) {
	whole := video(1000)
	for what, instead := range map[string]func(out string) error{
		"gone":                func(string) error { return nil },
		"with another folder": func(out string) error { return os.Mkdir(out, 0o755) },
		"with a link":         func(out string) error { return os.Symlink(t.TempDir(), out) },
	} {
		t.Run(what, func(t *testing.T) {
			m, half, goOn := halting(t, whole)
			h := newHouse(t, m.URL, m.link())
			failed := make(chan error, 1)
			go func() {
				_, err := h.Save(t.Context(), download.Request{RequestID: videoID}, time.Minute, nil)
				failed <- err
			}()
			<-half
			eventually(t, "there is an unfinished file", func() bool { return len(tree(t, h.out)) == 1 })
			if err := errors.Join(os.Rename(h.out, h.out+"-old"), instead(h.out)); err != nil {
				t.Fatal(err)
			}
			goOn()
			wantFailure(t, <-failed, pixazo.DownloadFailed, "moved")
			wantTree(t, h.out+"-old")
			wantFile(t, h.mustSave(t, ""), whole)
		})
	}
}

// When a folder of the path is a link to nowhere, the system's error says only that the
// file exists. Ours must say what is wrong.
func TestFolderThatIsALinkToNowhere(t *testing.T) {
	m := wellBehaved(t, video(1000))
	h := newHouse(t, m.URL, m.link())
	if err := errors.Join(os.Mkdir(h.out, 0o755), os.Symlink("nowhere", filepath.Join(h.out, "a"))); err != nil {
		t.Fatal(err)
	}
	_, err := h.save(t, "a/v.mp4", false)
	wantFailure(t, err, pixazo.FileRefused, "a link that leads nowhere")
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
	wantFailure(t, err, pixazo.DownloadFailed, "can't be used: write "+filepath.Join(h.out, "a")+": permission denied")
	if n := len(m.requests()); n > 0 {
		t.Errorf("%d requests for nothing", n)
	}
}
