//go:build unix

package setup

import (
	"io/fs"
	"os"
	"syscall"
)

// mayKeepOwner reports whether this process may give files the owner of info.
func mayKeepOwner(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || os.Geteuid() == 0 || int(stat.Uid) == os.Geteuid()
}

// keepOwner gives the file at path the owner and group of another.
func keepOwner(path string, of fs.FileInfo) error {
	want, ok := of.Sys().(*syscall.Stat_t)
	info, err := os.Lstat(path)
	if !ok || err != nil {
		return err
	}
	if has, ok := info.Sys().(*syscall.Stat_t); ok && has.Uid == want.Uid && has.Gid == want.Gid {
		return nil
	}
	return os.Lchown(path, int(want.Uid), int(want.Gid))
}
