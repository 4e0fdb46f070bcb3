// This file opens the folders for local files, and files below them. All access goes
// through os.Root, so neither .. nor a link leads out of a folder.

package attach

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"pixazo-mcp/internal/disk"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	dirSetting   = "--files-dir (PIXAZO_FILES_DIR)"
	rootsSetting = "--files-from-roots (PIXAZO_FILES_FROM_ROOTS)"

	maxRoots  = 50     // roots of a client that are opened; the rest is ignored
	maxListed = 5      // folders or names that an error lists
	maxNames  = 10_000 // names of a folder that are compared with the one asked for
)

// folder is a folder below which local files may be read.
type folder struct {
	path string   // as it was configured or offered
	real string   // path without links, since on macOS /tmp is /private/tmp
	root *os.Root // nil if the folder could not be opened
}

// folders are the folders that are open during one call.
type folders struct {
	list  []folder
	where string // names the folders, for errors
	none  string // why list is empty, for errors
}

// openFolders opens the folders of --files-dir and, with FromRoots, the client's roots.
func (r Resolver) openFolders(roots []string) *folders {
	opened := &folders{
		where: "a folder of " + dirSetting,
		none:  "no folder is open for local files: start the server with " + dirSetting + ", or with " + rootsSetting + " for the folders that the client offers",
	}
	if r.FromRoots {
		opened.where += ", or that the client offers"
		opened.none = "the client offers no folder for local files: start the server with " + dirSetting
	}
	for _, dir := range r.Dirs {
		opened.add(dir, true)
	}
	for _, root := range roots {
		dir := fileURL(root, runtime.GOOS)
		if r.FromRoots && pixazo.HasScheme(root, "file") && filepath.IsAbs(dir) && !strings.ContainsFunc(dir, deceptive) && len(opened.list) < len(r.Dirs)+maxRoots {
			opened.add(filepath.Clean(dir), false)
		}
	}
	return opened
}

// add opens a folder and adds it to list and where. configured says that it comes from
// --files-dir.
func (opened *folders) add(dir string, configured bool) {
	f, fault := folder{path: dir}, ""
	if configured && disk.IsWhole(dir) {
		// This is far more often a mistake than intended. Who intends it can have
		// the client offer it as a root.
		fault = " (which is the whole file system, and is not opened)"
	} else {
		var err error
		if f.real, f.root, err = disk.OpenFolder(dir); err != nil {
			fault = " (which " + err.Error() + ")"
		}
	}
	opened.list = append(opened.list, f)
	switch n := len(opened.list); {
	case n == 1:
		opened.where += ": " + text.Clean(dir, 200) + fault
	case n <= maxListed:
		opened.where += ", " + text.Clean(dir, 200) + fault
	case n == maxListed+1:
		opened.where += " and others"
	}
}

func (opened *folders) close() {
	for _, f := range opened.list {
		if f.root != nil {
			_ = f.root.Close() // it was only read
		}
	}
}

// lookup is the result of open.
type lookup struct {
	file   *os.File // nil if none was opened
	name   string   // without its folder
	size   int64
	absent bool // there is no file of that name, or no folder is open
}

// open opens the file that item names, or returns the rule that keeps it from being
// attached. rule does not tell whether something outside of the folders exists.
func (opened *folders) open(item, home string) (found lookup, rule string) {
	if len(opened.list) == 0 {
		return lookup{absent: true}, "is a local path, and " + opened.none
	}
	p, rule := localPath(item, home)
	if rule != "" {
		return lookup{}, rule
	}
	inside := false
	for _, names := range []func(folder, string) []string{folder.exactly, folder.alike} {
		for _, f := range opened.list {
			name, ok := f.nameOf(p)
			inside = inside || ok
			if !ok || f.root == nil {
				continue
			}
			var why string
			switch names := names(f, name); len(names) {
			case 0:
			case 1:
				found, why = opened.try(f, names[0])
			default:
				why = "is not there, and several names are alike: write one of " + strings.Join(names[:min(len(names), maxListed)], ", ")
			}
			if found.file != nil {
				return found, ""
			}
			rule = cmp.Or(rule, why) // a folder may lack what the next one has
		}
		if rule != "" {
			return lookup{}, rule
		}
	}
	if !inside {
		return lookup{}, "must lie below " + opened.where
	}
	return lookup{absent: true}, "is not there: it must lie below " + opened.where
}

// nameOf returns p relative to the folder, and whether p may lie below it.
func (f folder) nameOf(p string) (name string, ok bool) {
	name, ok = filepath.Clean(p), true
	if filepath.IsAbs(p) {
		if name, ok = disk.Below(f.path, p); !ok && f.real != "" {
			name, ok = disk.Below(f.real, p)
		}
	}
	return name, ok && filepath.IsLocal(name)
}

// try opens the file of this name below f, or returns the rule that keeps it from being
// attached. rule is "" if there is no such file.
func (opened *folders) try(f folder, name string) (found lookup, rule string) {
	file, info, err := disk.OpenFile(f.root, name)
	if isAbsent(err) {
		return lookup{absent: true}, ""
	}
	if err != nil && !errors.Is(err, disk.ErrIrregular) && !errors.Is(err, fs.ErrPermission) {
		// os.Root follows no absolute links, even if they stay inside.
		if real, linkErr := filepath.EvalSymlinks(filepath.Join(f.real, name)); linkErr == nil {
			for _, other := range opened.list {
				if target, ok := disk.Below(other.real, real); ok && other.root != nil {
					file, info, err = disk.OpenFile(other.root, target)
					break
				}
			}
		}
	}
	switch {
	case err == nil:
		return lookup{file: file, name: filepath.Base(name), size: info.Size()}, ""
	case errors.Is(err, disk.ErrIrregular):
		return lookup{}, "must be a regular file, not a folder, device, pipe or socket, below " + opened.where
	case inUse(err, runtime.GOOS):
		return lookup{}, inUseRule
	case errors.Is(err, fs.ErrPermission):
		return lookup{}, "must be a file that the server may read below " + opened.where
	}
	return lookup{}, "must not lead through a link out of the folders: it must lie below " + opened.where
}

// isAbsent reports whether err means that there is no file of that name.
func isAbsent(err error) bool {
	const invalidName = syscall.Errno(123) // Windows
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG) ||
		runtime.GOOS == "windows" && errors.Is(err, invalidName)
}

// exactly returns name itself. It and alike are the two ways in which open looks for a
// file.
func (f folder) exactly(name string) []string { return []string{name} }

// alike returns the paths in the folder that differ from name only in white space or
// Unicode normalization. A single one is returned as it can be opened, several are
// quoted for an error.
func (f folder) alike(name string) (names []string) {
	at := "."
	for part := range strings.SplitSeq(filepath.ToSlash(name), "/") {
		if _, err := f.root.Lstat(filepath.Join(at, part)); err == nil {
			at = filepath.Join(at, part)
			continue
		}
		if info, err := f.root.Stat(at); err != nil || !info.IsDir() {
			return nil // a pipe would block Open
		}
		dir, err := f.root.Open(at)
		if err != nil {
			return nil
		}
		all, _ := dir.Readdirnames(maxNames)
		_ = dir.Close() // it was only read
		same := slices.DeleteFunc(all, func(name string) bool { return disk.FoldName(name) != disk.FoldName(part) })
		if len(same) > 1 {
			slices.Sort(same)
			for _, name := range same {
				names = append(names, strconv.QuoteToASCII(filepath.ToSlash(filepath.Join(at, name))))
			}
			return names
		}
		if len(same) == 0 {
			return nil
		}
		at = filepath.Join(at, same[0])
	}
	return []string{at}
}
