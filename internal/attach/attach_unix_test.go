//go:build unix

package attach

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

// None of these may be opened: a pipe would block the call for ever.
func TestPipesSocketsAndDevicesAreRefusedWithoutWaiting(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.png"), 0o600); err != nil {
		t.Skip(err)
	}
	if err := os.Symlink("pipe.png", filepath.Join(dir, "link to pipe.png")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "pipe.png"), filepath.Join(dir, "absolute.png")); err != nil {
		t.Fatal(err)
	}
	// The path of a socket has at most about 100 bytes, which that of a
	// temporary folder may exceed.
	t.Chdir(dir)
	l, err := net.Listen("unix", "socket.png")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := Resolver{Dirs: []string{dir, "/dev"}}
	for _, item := range []string{"pipe.png", "link to pipe.png", "absolute.png", "socket.png", "/dev/zero", "/dev/null", "./tty"} {
		_, err := r.Read([]string{item}, nil)
		checkRefusal(t, err, pixazo.FileRefused, "files[0] must be a regular file, not a folder, device, pipe or socket", "--files-dir", text.Quote(item))
	}
}

func TestFilesOfProcAreRefusedEvenIfTheClientOffersEverything(t *testing.T) {
	if _, err := os.Stat("/proc/self/environ"); err != nil {
		t.Skip(err)
	}
	r := Resolver{FromRoots: true}
	_, err := r.Read([]string{"/proc/self/environ"}, []string{"file:///"})
	checkRefusal(t, err, pixazo.FileRefused, "must not change while it is read") // its size is said to be 0
}

func TestAFileThatMayNotBeReadIsRefused(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.png"), []byte(pngData), 0); err != nil {
		t.Fatal(err)
	}
	_, err := Resolver{Dirs: []string{dir}}.Read([]string{"a.png"}, nil)
	checkRefusal(t, err, pixazo.FileRefused, "must be a file that the server may read")
}

func TestABackslashMayBePartOfAName(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, `sub\a.png`), []byte(pngData), 0o600); err != nil {
		t.Fatal(err)
	}
	attached, err := Resolver{Dirs: []string{dir}}.Read([]string{`sub\a.png`}, nil)
	if err != nil || attached[0].Name != `sub\a.png` {
		t.Errorf("%v, %v", attached, err)
	}
}
