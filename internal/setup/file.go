// This file reads and replaces files of other programs. It replaces them as a whole, so
// that those programs never see half of one.

package setup

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"pixazo-mcp/internal/disk"
)

// maxFile is the size in bytes of the largest configuration that is read. Claude Code's
// grows to some megabytes.
const maxFile = 32 << 20

// file is a configuration as it was read.
type file struct {
	path    string // with links resolved
	user    string // the program that may have it open
	content []byte // nil if there is no file
	mode    fs.FileMode
}

// readFile reads the file at path, following links. user is the program that may have it
// open. If it does not exist, readFile returns a file with nil content.
func (o Options) readFile(path, user string) (file, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return file{path: path, user: user, mode: 0o600}, nil
	}
	f := file{user: user}
	var err error
	if f.path, err = filepath.EvalSymlinks(path); errors.Is(err, fs.ErrNotExist) {
		return file{}, fmt.Errorf("%s is a link to a file that does not exist", path)
	}
	if err == nil {
		err = o.whileLocked(user, func() (err error) {
			f.content, err = disk.ReadFile(f.path, maxFile)
			return err
		})
	}
	info, statErr := os.Stat(f.path)
	if err = cmp.Or(err, statErr); err != nil {
		return file{}, fmt.Errorf("%s: %w", path, err)
	}
	f.mode = info.Mode().Perm()
	return f, nil
}

// whileLocked calls do. On Windows a file that a program has open can often be neither
// read nor replaced. There it calls do for up to a second, until do succeeds, and else
// returns an error that names user, the program to quit.
func (o Options) whileLocked(user string, do func() error) error {
	for tries := 10; ; tries-- {
		err := do()
		switch {
		case err == nil || o.GOOS != "windows" || errors.Is(err, disk.ErrIrregular):
			return err
		case tries == 0:
			return fmt.Errorf("%w; if %s is running, quit it, and run this again", err, user)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// replace replaces the content of a file and keeps its mode. Before that it makes a copy
// of the file, which only the owner can read, and it returns the copy's path; an empty
// file has no copy. It changes nothing if the file is read-only, or was changed since it
// was read.
func (o Options) replace(f file, content []byte) (backup string, err error) {
	if f.mode&0o200 == 0 {
		return "", fmt.Errorf("%s is read-only", f.path)
	}
	dir := filepath.Dir(f.path)
	if err := disk.MakeFolder(dir, 0o700); err != nil {
		return "", err
	}
	if len(bytes.TrimSpace(f.content)) > 0 {
		backup, err = writeNew(dir, filepath.Base(f.path)+time.Now().UTC().Format(".20060102T150405Z.*.bak"), f.content, 0o600)
		if err != nil {
			return "", fmt.Errorf("keep a copy: %w", err)
		}
	}
	fresh, err := writeNew(dir, ".pixazo-*.tmp", content, f.mode)
	if err == nil {
		err = f.unchanged()
	}
	if err == nil {
		err = o.whileLocked(f.user, func() error { return os.Rename(fresh, f.path) })
	}
	if err != nil {
		_, _ = os.Remove(fresh), os.Remove(backup)
		return "", err
	}
	return backup, nil
}

// writeNew makes a file in dir, with a name that os.CreateTemp makes from pattern, and
// returns its path when the content is on the disk.
func writeNew(dir, pattern string, content []byte, mode fs.FileMode) (path string, err error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, os.Chmod(f.Name(), mode), f.Sync(), f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// unchanged returns an error if the file was changed since it was read.
func (f file) unchanged() error {
	now, err := os.ReadFile(f.path)
	if f.content == nil && errors.Is(err, fs.ErrNotExist) || f.content != nil && err == nil && bytes.Equal(now, f.content) {
		return nil
	}
	return fmt.Errorf("%s was changed by another program just now; run this again", f.path)
}
