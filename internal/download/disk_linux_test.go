package download_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"pixazo-mcp/internal/download"
	"pixazo-mcp/pixazo"
)

// smallDisk is a file system with room for n bytes. Without the right to make
// one the test is skipped; TestDiskErrors has the words.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skip("no small disk: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestDiskThatRunsFull(t *testing.T) {
	whole := video(3_000_000)
	chunked := func(w http.ResponseWriter) {
		_, _ = w.Write(whole[:1_000_000])
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(whole[1_000_000:])
	}
	for _, test := range []struct {
		name, disk string
		declared   bool
		says       string
	}{
		{"a length that is known", "size=1048576", true, "the disk is full: it needs 3.0 MB and there was room for 1.0 MB; free some, or set --output-dir (PIXAZO_OUTPUT_DIR) to another disk"},
		{"a length that is not known", "size=1048576", false, "the disk is full: it needs more and there was room for 1.0 MB; free some"},
		{"no room for a file", "nr_inodes=1", true, "the disk is full; free some"},
	} {
		t.Run(test.name, func(t *testing.T) {
			disk := smallDisk(t, test.disk)
			m := newMedia(t, func(w http.ResponseWriter, r *http.Request, _ int) {
				if test.declared {
					serve(w, r, whole, "")
					return
				}
				chunked(w)
			})
			h := newHouse(t, m.URL, m.link())
			h.reopen(t, func(o *download.Options) { o.Dir = disk })
			_, err := h.save(t, "v.mp4", false)
			wantFailure(t, err, pixazo.DownloadFailed, test.says)
			wantTree(t, disk) // no half file
			var left syscall.Statfs_t
			if err := syscall.Statfs(disk, &left); err != nil || left.Bfree != left.Blocks {
				t.Errorf("%d of %d blocks are free, %v; want all", left.Bfree, left.Blocks, err)
			}
		})
	}
}

// A video that just fits is saved: nothing is kept in reserve.
func TestDiskWithJustEnoughRoom(t *testing.T) {
	disk := smallDisk(t, "size=1048576")
	whole := video(1_000_000)
	m := wellBehaved(t, whole)
	h := newHouse(t, m.URL, m.link())
	h.reopen(t, func(o *download.Options) { o.Dir = disk })
	first := h.mustSave(t, "v.mp4")
	wantFile(t, first, whole)

	_, err := h.save(t, "copy.mp4", false)
	wantFailure(t, err, pixazo.DownloadFailed, "the disk is full: it needs 1.0 MB and there was room for 0.0 MB")
	wantTree(t, disk, "v.mp4")
	if old := filepath.Join(disk, "v.mp4"); errors.Join(os.Truncate(old, 10), os.Chtimes(old, time.Time{}, time.Now())) != nil {
		t.Fatal("the file can't be changed")
	}
	// What is to be overwritten stays until the new file is whole.
	if err := os.WriteFile(filepath.Join(disk, "fill"), make([]byte, 500_000), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = h.save(t, "v.mp4", true)
	wantFailure(t, err, pixazo.DownloadFailed, "the disk is full")
	if info, err := os.Stat(first.Path); err != nil || info.Size() != 10 {
		t.Errorf("the file that was to be overwritten is %v, %v; want it kept", info, err)
	}
}
