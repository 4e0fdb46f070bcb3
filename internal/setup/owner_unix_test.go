//go:build unix

package setup

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// With sudo, the file of a user became root's.
func TestInstallKeepsTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	b := newBench(t, "linux")
	file := b.path(".cursor/mcp.json")
	b.write(file, "{}", 0o600)
	if err := os.Chown(file, 12345, 23456); err != nil {
		t.Skip(err)
	}
	b.mustRun("install", "cursor", "--sandbox")
	names := b.files(filepath.Dir(file))
	if len(names) != 2 {
		t.Errorf("in the folder: %q", names)
	}
	for _, name := range names {
		info, err := os.Stat(filepath.Join(filepath.Dir(file), name))
		if err != nil {
			t.Fatal(err)
		}
		if stat := info.Sys().(*syscall.Stat_t); stat.Uid != 12345 || stat.Gid != 23456 {
			t.Errorf("%s belongs to %d:%d", name, stat.Uid, stat.Gid)
		}
	}
}

func TestInstallRefusesTheFileOfAnotherUser(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may give files away")
	}
	f, err := readFile("/etc/passwd")
	if err != nil {
		t.Skip(err)
	}
	if f.mode = 0o644; f.replaceable() == nil || !strings.Contains(f.replaceable().Error(), "another user") {
		t.Errorf("error %v", f.replaceable())
	}
}
