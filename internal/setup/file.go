// This file reads and replaces files of others, who must never find half of
// one.

package setup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// maxFile is the size in bytes up to which a configuration is read. Claude
// Code's grows to some megabytes.
const maxFile = 32 << 20

// file is a configuration as it was read.
type file struct {
	path    string // behind links
	content []byte
	mode    fs.FileMode
	exists  bool
	info    fs.FileInfo // nil when it does not exist
}

// readFile follows links, and takes a missing file for an empty one.
func readFile(path string) (file, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return file{path: path, mode: 0o600}, nil
	}
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return file{}, fmt.Errorf("%s is a link to a file that does not exist", path)
	}
	if err != nil {
		return file{}, fmt.Errorf("%s: %w", path, err)
	}
	info, err := os.Stat(target)
	switch {
	case err != nil:
		return file{}, err
	case !info.Mode().IsRegular():
		return file{}, fmt.Errorf("%s is not a regular file", path)
	case info.Size() > maxFile:
		return file{}, fmt.Errorf("%s is larger than %d MB", path, maxFile>>20)
	}
	content, err := read(target)
	return file{path: target, content: content, mode: info.Mode().Perm(), exists: true, info: info}, err
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = fmt.Errorf("%s is larger than %d MB", path, maxFile>>20)
	}
	return content, err
}

// replaceable returns what is known beforehand to keep the file from being
// replaced.
func (f file) replaceable() error {
	if f.exists && f.mode&0o200 == 0 {
		return fmt.Errorf("%s is read-only", f.path)
	}
	if f.info != nil && !mayKeepOwner(f.info) {
		return fmt.Errorf("%s belongs to another user, and would no longer do so; run this as that user", f.path)
	}
	return nil
}

// replace puts content into the file's place, all of it or nothing, and returns
// the path of the copy of what was in it, "" when nothing was. A file that was
// changed since it was read is left alone, and so is one that is read-only or
// whose owner and group can't be kept.
func (f file) replace(content []byte) (backup string, err error) {
	if err := f.replaceable(); err != nil {
		return "", err
	}
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if len(f.content) > 0 {
		copied, err := f.copyBeside()
		if err == nil {
			err = f.fill(copied, f.content)
		}
		if err != nil {
			return "", fmt.Errorf("keep a copy: %w", err)
		}
		backup = copied.Name()
	}
	fresh, err := os.CreateTemp(dir, ".pixazo-*.tmp")
	if err == nil {
		err = f.fill(fresh, content)
		if err == nil {
			err = f.unchanged()
		}
		if err == nil {
			err = os.Rename(fresh.Name(), f.path)
		}
		if err != nil {
			_ = os.Remove(fresh.Name())
		}
	}
	if err != nil {
		if backup != "" {
			_ = os.Remove(backup)
		}
		return "", err
	}
	if d, err := os.Open(dir); err == nil { // not every system can, or needs to
		_ = d.Sync()
		_ = d.Close()
	}
	return backup, nil
}

// copyBeside makes the file for a copy, named by the time to the millisecond:
// one that was made just now stays.
func (f file) copyBeside() (*os.File, error) {
	for {
		name := f.path + "." + time.Now().UTC().Format("20060102T150405.000Z") + ".bak"
		copied, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return copied, err
		}
		time.Sleep(time.Millisecond)
	}
}

// fill writes to a file that is to stand for f, gives it f's owner and mode,
// syncs and closes it. A file that could not be filled is removed.
func (f file) fill(fresh *os.File, content []byte) error {
	_, err := fresh.Write(content)
	if err == nil && f.info != nil {
		if err = keepOwner(fresh.Name(), f.info); err != nil {
			err = fmt.Errorf("%s: its owner and group can't be kept: %w", f.path, err)
		}
	}
	if err == nil {
		err = os.Chmod(fresh.Name(), f.mode)
	}
	if err == nil {
		err = fresh.Sync()
	}
	if err = errors.Join(err, fresh.Close()); err != nil {
		_ = os.Remove(fresh.Name())
	}
	return err
}

// unchanged returns an error when the file is no longer what was read.
func (f file) unchanged() error {
	now, err := read(f.path)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing != f.exists && (missing || err == nil && bytes.Equal(now, f.content)) {
		return nil
	}
	if err != nil && !missing {
		return err
	}
	return fmt.Errorf("%s was changed by another program just now; run this again", f.path)
}
