// Package attach reads the local files that a caller names in the argument files. No
// other package reads files that a caller chose, and this one only reads below folders
// that the user opened for that. Package pixazo decides which items are local files and
// what content may be sent.
package attach

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"syscall"

	"pixazo-mcp/pixazo"
)

// Resolver reads local files below the folders that it names.
type Resolver struct {
	Dirs      []string // --files-dir: absolute paths
	FromRoots bool     // --files-from-roots: the client's roots are opened, too
	Home      string   // what ~ stands for; "" when it is not known
}

// IsLocal reports whether item is or may be a local file.
func IsLocal(item string) bool {
	form := pixazo.FormOf(item)
	return form == pixazo.LocalPath || form == pixazo.Ambiguous
}

// NeedsRoots reports whether the client has to be asked for its roots before items can
// be read.
func (r Resolver) NeedsRoots(items []string) bool {
	return r.FromRoots && slices.ContainsFunc(items, IsLocal)
}

// Read reads the local files among items. The result has the file of items[i] at index
// i, and nil if that is no local file. roots are the client's folders, as file://
// URIs; Read ignores other URIs, and all roots if FromRoots is not set.
//
// An error has code file_refused and names each item that can't be sent, the rule that
// it breaks, and what came. No more is read than Prepare accepts.
func (r Resolver) Read(items, roots []string) ([]*pixazo.Attachment, error) {
	attached := make([]*pixazo.Attachment, len(items))
	if len(items) > pixazo.MaxFiles || !slices.ContainsFunc(items, IsLocal) {
		return attached, nil
	}
	opened := r.openFolders(roots)
	defer opened.close()
	var total int64
	unread := false
	for i, item := range items {
		if !IsLocal(item) {
			continue
		}
		found, rule := opened.open(item, r.Home)
		if found.absent && pixazo.FormOf(item) == pixazo.Ambiguous {
			continue // it may be an asset; Prepare refuses it with both readings
		}
		a := &pixazo.Attachment{Name: found.name, Refused: rule}
		if found.file != nil {
			total += found.size
			if found.size > pixazo.MaxFileBytes || total > pixazo.MaxFilesBytes {
				a.Size = found.size
			} else {
				a.Data, a.Refused = readAll(found.file, found.size)
			}
			_ = found.file.Close() // it was only read
		}
		attached[i], unread = a, unread || a.Data == nil
	}
	if unread {
		return nil, pixazo.VideoRequest{Files: items, Attached: attached}.CheckFiles()
	}
	return attached, nil
}

// readAll returns the content of a file of size bytes, or the rule that the file breaks.
func readAll(f *os.File, size int64) (data []byte, rule string) {
	data = make([]byte, size+1) // one byte more, to notice that the file has grown
	n, err := io.ReadFull(f, data)
	switch {
	case inUse(err, runtime.GOOS):
		return nil, inUseRule
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, "must be a file that can be read to its end"
	case int64(n) != size:
		return nil, fmt.Sprintf("must not change while it is read, and has no longer its %d bytes", size)
	}
	return data[:n], ""
}

const inUseRule = "must not be open in another program that lets nobody else read it: close it there"

// inUse reports whether err says that another program has opened a file exclusively.
func inUse(err error, goos string) bool {
	const sharingViolation, lockViolation = syscall.Errno(32), syscall.Errno(33) // Windows
	return goos == "windows" && (errors.Is(err, sharingViolation) || errors.Is(err, lockViolation))
}
