// Package disk opens files and folders that others chose.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// ErrIrregular is the error of a folder, device, pipe or socket in the place of
// a file.
var ErrIrregular = errors.New("not a regular file")

// OpenFile opens the regular file of that name below root to be read; without a
// root, name is a path of the system. It opens nothing else, since a pipe would
// keep the program waiting, and does not wait for what becomes one in between.
func OpenFile(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	stat, open := os.Stat, os.OpenFile
	if root != nil {
		stat, open = root.Stat, root.OpenFile
	}
	before, err := stat(name)
	if err != nil {
		return nil, nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, nil, ErrIrregular
	}
	flags := os.O_RDONLY
	if runtime.GOOS != "windows" {
		flags |= syscall.O_NONBLOCK
	}
	f, err := open(name, flags, 0)
	if err != nil {
		return nil, nil, err
	}
	after, err := f.Stat()
	if err == nil && (!after.Mode().IsRegular() || !os.SameFile(before, after)) {
		err = ErrIrregular
	}
	if err != nil {
		_ = f.Close() // it was only read
		return nil, nil, err
	}
	return f, after, nil
}

// ReadFile reads the regular file at path, if it has at most limit bytes.
func ReadFile(path string, limit int64) ([]byte, error) { return read(path, limit, 0) }

// ReadSecret reads the file at path as ReadFile does, unless other users than its
// owner and group can read it, or others than its owner can change it. Windows
// has no such permission bits.
func ReadSecret(path string, limit int64) ([]byte, error) { return read(path, limit, 0o037) }

// read reads a file that has none of the permissions.
func read(path string, limit int64, permissions fs.FileMode) ([]byte, error) {
	f, info, err := OpenFile(nil, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	if runtime.GOOS != "windows" && info.Mode().Perm()&permissions != 0 {
		return nil, fmt.Errorf("other users can read or change it (mode %04o): run chmod 600 on it", info.Mode().Perm())
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		return nil, fmt.Errorf("larger than %d KiB", limit>>10)
	}
	return content, err
}

// OpenFolder opens a folder, and returns its path without links. Its errors
// leave out the path.
func OpenFolder(dir string) (real string, root *os.Root, err error) {
	real, err = filepath.EvalSymlinks(dir)
	if err == nil {
		root, err = os.OpenRoot(real)
	}
	switch {
	case err == nil:
		return real, root, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", nil, errors.New("does not exist")
	case errors.Is(err, fs.ErrPermission):
		return "", nil, errors.New("may not be read")
	}
	return "", nil, errors.New("can't be opened as a folder")
}

// IsWhole reports whether dir is the whole file system, or a whole drive.
func IsWhole(dir string) bool {
	clean := filepath.Clean(dir)
	return clean == filepath.VolumeName(clean)+string(filepath.Separator)
}

// TryWrite makes a file in dir for a moment, and returns what keeps it from that.
func TryWrite(dir string) error {
	f, err := os.CreateTemp(dir, ".pixazo-*.tmp")
	if err == nil {
		_, err = f.WriteString("a try")
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return err
}
