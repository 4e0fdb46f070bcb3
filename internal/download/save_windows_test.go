package download_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"pixazo-mcp/pixazo"
)

// A player that has the file open is met before the transfer, not after it; a
// virus scanner is waited for.
func TestOverwriteOfAnOpenFile(t *testing.T) {
	for _, closes := range []bool{true, false} {
		whole := video(1000)
		m := wellBehaved(t, whole)
		h := newHouse(t, m.URL, m.link())
		file := filepath.Join(h.out, "v.mp4")
		if err := os.Mkdir(h.out, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		name, err := windows.UTF16PtrFromString(file)
		if err != nil {
			t.Fatal(err)
		}
		handle, err := windows.CreateFile(name, windows.GENERIC_READ, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, nil, windows.OPEN_EXISTING, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan struct{})
		closeIt := func() {
			_ = windows.CloseHandle(handle)
			close(closed)
		}
		if closes {
			time.AfterFunc(300*time.Millisecond, closeIt)
		}
		s, err := h.save(t, "v.mp4", true)
		if !closes {
			closeIt()
		}
		<-closed
		if closes {
			if err != nil {
				t.Fatal(err)
			}
			wantFile(t, s.Files[0], whole)
			continue
		}
		wantFailure(t, err, pixazo.FileRefused, "another program may have it open, or it is read-only")
		if n := len(m.requests()); n > 0 {
			t.Errorf("%d requests for nothing", n)
		}
	}
}
