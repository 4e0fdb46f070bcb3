// Package disk opens files and folders whose paths come from a user or a setting:
// regular files only, and never waiting for a pipe.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"
)

// Video is a video of a job on this computer, in the journal and in a tool's result.
type Video struct {
	Path      string `json:"path" jsonschema_description:"Where the video is on this computer."`
	Bytes     int64  `json:"bytes"`
	MediaType string `json:"media_type"`
	SHA256    string `json:"sha256" jsonschema_description:"SHA-256 of the file, in hexadecimal."`
	Video     int    `json:"video,omitempty" jsonschema_description:"Which of the video_urls it is, counted from 0."`
}

// ErrIrregular says that a path leads to a folder, device, pipe or socket.
var ErrIrregular = errors.New("not a regular file")

// OpenFile opens a regular file for reading: the one of that name below root, or,
// with a nil root, the one at the path name. Anything else is ErrIrregular, since
// opening a pipe would wait for its writer; so is a file that is replaced by a pipe
// just before it is opened.
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

// ReadFile returns the content of the regular file at path. More than limit bytes
// are an error.
func ReadFile(path string, limit int64) ([]byte, error) { return read(path, limit, 0) }

// ReadText returns the text in the regular file at path, as ReadFile does. It decodes it
// by its byte order mark: Notepad writes one, and PowerShell's > writes UTF-16.
func ReadText(path string, limit int64) (string, error) { return decode(ReadFile(path, limit)) }

// ReadSecret reads the file at path as ReadText does, unless other users than its
// owner and group can read it, or others than its owner can change it. Windows
// has no such permission bits.
func ReadSecret(path string, limit int64) (string, error) { return decode(read(path, limit, 0o037)) }

// decode returns content as text, unless err is an error.
func decode(content []byte, err error) (string, error) {
	if err == nil {
		content, _, err = transform.Bytes(unicode.BOMOverride(transform.Nop), content)
	}
	return string(content), err
}

// read implements ReadFile. A file with any of the forbidden permission bits is an
// error.
func read(path string, limit int64, forbidden fs.FileMode) ([]byte, error) {
	f, info, err := OpenFile(nil, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	if runtime.GOOS != "windows" && info.Mode().Perm()&forbidden != 0 {
		return nil, fmt.Errorf("other users can read or change it (mode %04o): run chmod 600 on it", info.Mode().Perm())
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		return nil, fmt.Errorf("larger than %d KiB", limit>>10)
	}
	return content, err
}

// MakeFolder makes a folder, and those above it, where they are missing. Its error tells of
// a link that leads nowhere, such as one to a disk that was taken out.
func MakeFolder(dir string, mode fs.FileMode) error {
	err := os.MkdirAll(dir, mode)
	if e, ok := errors.AsType[*fs.PathError](err); ok && errors.Is(err, fs.ErrExist) {
		e.Err = errors.New("it is a link that leads nowhere")
	}
	return err
}

// OpenFolder opens a folder, and returns its path with symbolic links resolved.
// Its errors do not name the path.
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

// IsWhole reports whether dir is the whole file system, or a whole drive, or a link to it.
func IsWhole(dir string) bool {
	clean := filepath.Clean(dir)
	if real, err := filepath.EvalSymlinks(clean); err == nil {
		clean = real
	}
	return clean == filepath.VolumeName(clean)+string(filepath.Separator)
}

// TryWrite makes and removes a file in dir, and returns why it can't.
func TryWrite(dir string) error {
	f, err := os.CreateTemp(dir, ".pixazo-*.tmp")
	if err == nil {
		_, err = f.WriteString("a try")
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		e.Op, e.Path = "write", dir // nobody knows the name of the try
	}
	return err
}

// ExpandHome replaces a leading ~ by the home directory. It refuses ~name, which only a
// shell could look up. On Windows \ is a separator, too. An error says
// which rule path breaks.
func ExpandHome(path, home, goos string) (string, error) {
	rest, ok := strings.CutPrefix(path, "~")
	switch {
	case !ok:
		return path, nil
	case rest != "" && rest[0] != '/' && (goos != "windows" || rest[0] != '\\'):
		return "", errors.New("must have its ~ alone or before a separator (write ./~name for a file of that name)")
	case home == "":
		return "", errors.New("must not begin with ~, since the home directory is not known: set HOME (USERPROFILE on Windows)")
	}
	return home + rest, nil
}

// Below returns p relative to folder, and whether p lies below folder, lexically. Both
// are absolute paths. Names that look alike count as equal. That is safe where the file
// is opened relative to the folder.
func Below(folder, p string) (name string, ok bool) {
	parts, over := elements(p), elements(folder)
	if len(parts) < len(over) {
		return "", false
	}
	for i := range over {
		a, b := FoldName(parts[i]), FoldName(over[i])
		if a != b && !((runtime.GOOS == "windows" || runtime.GOOS == "darwin") && strings.EqualFold(a, b)) {
			return "", false
		}
	}
	return filepath.Join(append([]string{"."}, parts[len(over):]...)...), true
}

// elements returns the elements of an absolute path; a drive is one of them.
func elements(p string) []string {
	return strings.FieldsFunc(filepath.ToSlash(filepath.Clean(p)), func(r rune) bool { return r == '/' })
}

// FoldName returns a form of name that is the same for names that look alike. A model
// types neither the narrow space in the name of a Mac's screenshot nor the Unicode
// normalization that the disk uses.
func FoldName(name string) string {
	return strings.Join(strings.Fields(norm.NFKC.String(name)), " ")
}
