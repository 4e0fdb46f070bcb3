// This file opens the folders for local files, and the files below them. Every
// access goes through os.Root, which lets neither .. nor a link lead out.

package attach

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"pixazo-mcp/internal/text"
)

const (
	dirSetting   = "--files-dir (PIXAZO_FILES_DIR)"
	rootsSetting = "--files-from-roots (PIXAZO_FILES_FROM_ROOTS)"

	maxRoots  = 50 // of a client; the rest is ignored
	maxListed = 5  // folders that an error lists
)

// folder is a folder below which local files may be read. root is nil when
// there is no such folder.
type folder struct {
	path string // as it was configured or offered
	real string // the same without links, since on macOS /tmp is /private/tmp
	root *os.Root
}

// folders are those of one call.
type folders struct {
	list  []folder
	where string // what a path must lie below, in words
	none  string // why list is empty, in words
}

// openFolders opens those folders of --files-dir and roots that exist.
func (r Resolver) openFolders(roots []string) *folders {
	opened := &folders{none: "no folder is open for local files: start the server with " + dirSetting + ", or with " + rootsSetting + " for the folders that the client offers"}
	if r.FromRoots {
		opened.none = "the client offers no folder for local files: start the server with " + dirSetting
	}
	var shown []string
	add := func(dir, fault string) {
		f := folder{path: dir}
		if fault == "" {
			f.real, f.root, fault = openFolder(dir)
		}
		if fault != "" {
			fault = " (" + fault + ")"
		}
		opened.list = append(opened.list, f)
		shown = append(shown, text.Clean(dir, 200)+fault)
	}
	for _, dir := range r.Dirs {
		clean := filepath.Clean(dir)
		switch {
		case !filepath.IsAbs(dir):
			add(dir, "which is not absolute")
		case clean == filepath.VolumeName(clean)+string(filepath.Separator):
			// Opened by mistake far more often than meant. Whoever means it
			// can have the client offer it.
			add(dir, "which is the whole file system, and is not opened")
		default:
			add(dir, "")
		}
	}
	for _, root := range roots {
		if dir, ok := rootPath(root, runtime.GOOS); ok && len(opened.list) < len(r.Dirs)+maxRoots {
			add(filepath.FromSlash(dir), "")
		}
	}
	if n := len(shown) - maxListed; n > 0 {
		shown = append(shown[:maxListed], strconv.Itoa(n)+" more")
	}
	opened.where = "a folder of " + dirSetting
	if r.FromRoots {
		opened.where += ", or that the client offers"
	}
	opened.where += ": " + strings.Join(shown, ", ")
	return opened
}

// openFolder opens one folder, or says why it can't be used.
func openFolder(dir string) (real string, root *os.Root, fault string) {
	real, err := filepath.EvalSymlinks(dir)
	if err == nil {
		root, err = os.OpenRoot(real)
	}
	switch {
	case err == nil:
		return real, root, ""
	case errors.Is(err, fs.ErrNotExist):
		return "", nil, "which does not exist"
	case errors.Is(err, fs.ErrPermission):
		return "", nil, "which may not be read"
	}
	return "", nil, "which can't be opened as a folder"
}

func (opened *folders) close() {
	if opened == nil {
		return
	}
	for _, f := range opened.list {
		if f.root != nil {
			_ = f.root.Close() // it was only read
		}
	}
}

// paths are the forms in which each folder may begin an absolute path: none for
// one that is not there.
func (opened *folders) paths() [][]string {
	forms := make([][]string, len(opened.list))
	for i, f := range opened.list {
		if f.root != nil {
			forms[i] = []string{f.path, f.real}
		}
	}
	return forms
}

// open finds the file of a local item and opens it. Without one, rule says what
// keeps it from being attached.
func (opened *folders) open(item, home string) (f *os.File, size int64, name, rule string) {
	if len(opened.list) == 0 {
		return nil, 0, "", "is a local path, and " + opened.none
	}
	found, rule := places(item, home, runtime.GOOS, opened.paths())
	if rule != "" {
		return nil, 0, "", rule
	}
	if len(found) == 0 {
		return nil, 0, "", "must lie below " + opened.where
	}
	for _, p := range found {
		f, size, why := opened.try(p)
		if f != nil {
			return f, size, path.Base(p.name), ""
		}
		// A folder may lack what the next one has.
		if rule == "" {
			rule = why
		}
	}
	if rule == "" {
		rule = "is not there: it must lie below " + opened.where
	}
	return nil, 0, "", rule
}

// has reports whether there is anything of that name right in a folder.
func (opened *folders) has(name string) bool {
	return slices.ContainsFunc(opened.list, func(f folder) bool {
		if f.root == nil {
			return false
		}
		_, err := f.root.Lstat(name)
		return err == nil
	})
}

var errIrregular = errors.New("not a regular file")

// try opens the file at p. Without one, rule says what keeps it from being
// attached; "" means that there is none of that name. What lies outside of the
// folders makes no difference to rule, whether it exists or not.
func (opened *folders) try(p place) (f *os.File, size int64, rule string) {
	at := opened.list[p.folder]
	if at.root == nil {
		return nil, 0, ""
	}
	f, size, err := openIn(at.root, p.name)
	switch {
	case err == nil:
		return f, size, ""
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG):
		return nil, 0, ""
	case errors.Is(err, errIrregular):
		return nil, 0, "must be a regular file, not a folder, device, pipe or socket, below " + opened.where
	case errors.Is(err, fs.ErrPermission):
		return nil, 0, "must be a file that the server may read below " + opened.where
	}
	// os.Root follows no absolute link, even one that stays inside.
	if real, err := filepath.EvalSymlinks(filepath.Join(at.real, filepath.FromSlash(p.name))); err == nil {
		for _, other := range opened.list {
			name, ok := below(slashed(real, runtime.GOOS), other.real, runtime.GOOS)
			if !ok || other.root == nil {
				continue
			}
			f, size, err := openIn(other.root, name)
			if err == nil {
				return f, size, ""
			}
			if errors.Is(err, errIrregular) {
				return nil, 0, "must be a regular file, not a folder, device, pipe or socket, below " + opened.where
			}
		}
	}
	return nil, 0, "must not lead through a link out of the folders: it must lie below " + opened.where
}

// openIn opens a regular file below root. It never waits for the other end of
// a pipe: what is no regular file is not opened, and what becomes a pipe in
// between is opened without blocking and refused.
func openIn(root *os.Root, name string) (*os.File, int64, error) {
	before, err := root.Stat(name)
	if err != nil {
		return nil, 0, err
	}
	if !before.Mode().IsRegular() {
		return nil, 0, errIrregular
	}
	flags := os.O_RDONLY
	if runtime.GOOS != "windows" {
		flags |= syscall.O_NONBLOCK
	}
	f, err := root.OpenFile(name, flags, 0)
	if err != nil {
		return nil, 0, err
	}
	after, err := f.Stat()
	if err == nil && (!after.Mode().IsRegular() || !os.SameFile(before, after)) {
		err = errIrregular
	}
	if err != nil {
		_ = f.Close() // it was only read
		return nil, 0, err
	}
	return f, after.Size(), nil
}
