package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestOnlyRegularFilesAreOpened(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, want := range map[string]error{"a.txt": nil, "folder": ErrIrregular, ".": ErrIrregular, "missing": fs.ErrNotExist} {
		for _, r := range []*os.Root{root, nil} {
			path := name
			if r == nil {
				path = filepath.Join(dir, name)
			}
			f, info, err := OpenFile(r, path)
			if !errors.Is(err, want) {
				t.Errorf("%q: %v, want %v", path, err, want)
			}
			if err != nil {
				continue
			}
			content, err := io.ReadAll(f)
			if string(content) != "content" || err != nil || info.Size() != 7 {
				t.Errorf("%q: %q, %v, %d bytes", path, content, err, info.Size())
			}
			_ = f.Close()
		}
	}
}

func TestFolderBehindALinkThatLeadsNowhereIsSaidWhy(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a link is one to a file or to a folder there, from the start")
	}
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "disk"), link); err != nil {
		t.Skip(err)
	}
	for _, path := range []string{link, filepath.Join(link, "a", "b")} {
		if err := MakeFolder(path, 0o755); err == nil || !strings.Contains(err.Error(), link+": it is a link that leads nowhere") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "disk"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := MakeFolder(filepath.Join(link, "a", "b"), 0o755); err != nil {
		t.Error(err)
	}
}

func TestFolderThatCantBeOpenedIsSaidWhy(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	real, root, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	_ = root.Close()
	if _, err := os.Stat(real); err != nil || !filepath.IsAbs(real) {
		t.Errorf("%q: %v", real, err)
	}
	for path, want := range map[string]string{filepath.Join(dir, "missing"): "does not exist", filepath.Join(dir, "a.txt"): "can't be opened as a folder"} {
		if _, _, err := OpenFolder(path); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %q", path, err, want)
		}
	}
}

func TestTheWholeFileSystemIsKnown(t *testing.T) {
	top := filepath.VolumeName(t.TempDir()) + string(filepath.Separator)
	for dir, want := range map[string]bool{top: true, top + ".": true, top + "a" + string(filepath.Separator) + "..": true, top + "a": false, "a": false, "": false} {
		if got := IsWhole(dir); got != want {
			t.Errorf("%q: %t", dir, got)
		}
	}
}

func TestFileIsReadUpToALimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.txt")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int64]string{8: "content", 7: "content", 6: "", 0: ""} {
		content, err := ReadFile(path, limit)
		if string(content) != want || (err == nil) != (want != "") {
			t.Errorf("limit %d: %q, %v", limit, content, err)
		}
	}
	if _, err := ReadFile(filepath.Dir(path), 100); !errors.Is(err, ErrIrregular) || strings.Contains(err.Error(), path) {
		t.Errorf("a folder: %v", err)
	}
}

func TestExpandHomeFollowsThePlatform(t *testing.T) {
	tests := []struct{ path, home, goos, want string }{
		{"~", "/home/a", "linux", "/home/a"},
		{"~/x", "/home/a", "darwin", "/home/a/x"},
		{`~`, `C:\Users\a`, "windows", `C:\Users\a`},
		{`~\Videos\Pixazo`, `C:\Users\a`, "windows", `C:\Users\a\Videos\Pixazo`},
		{`~/Videos`, `C:\Users\a`, "windows", `C:\Users\a/Videos`}, // filepath.Abs cleans it there
		{`D:\out`, `C:\Users\a`, "windows", `D:\out`},
		{`\\server\share`, `C:\Users\a`, "windows", `\\server\share`},
		{`C:\PROGRA~1`, "", "windows", `C:\PROGRA~1`},
		{"/abs", "", "linux", "/abs"},
		{`~\x`, "/home/a", "linux", ""}, // \ is an ordinary character there
		{"~bob/x", "/home/a", "linux", ""},
		{"~/x", "", "linux", ""},
	}
	for _, tt := range tests {
		got, err := ExpandHome(tt.path, tt.home, tt.goos)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("ExpandHome(%q, %q, %s) = %q, %v; want %q", tt.path, tt.home, tt.goos, got, err, tt.want)
		}
	}
}
