// Package attach reads the local files that a caller names in files. It alone
// reads files that a caller chose, and only below folders that were opened for
// that. What an item of files is, and what content may be sent, is decided in
// package pixazo.
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

// Resolver says which local files may be attached.
type Resolver struct {
	Dirs      []string // absolute folders (--files-dir) below which local files may be read
	FromRoots bool     // --files-from-roots: folders that the client offers count too
	Home      string   // what ~ stands for; "" when it is not known
}

// IsLocal reports whether item is or may be a local file.
func IsLocal(item string) bool {
	form := pixazo.FormOf(item)
	return form == pixazo.LocalPath || form == pixazo.Ambiguous
}

// NeedsRoots reports whether one of items is or may be a local file, so that
// the client has to be asked for its roots. It is false unless FromRoots.
func (r Resolver) NeedsRoots(items []string) bool {
	return r.FromRoots && slices.ContainsFunc(items, IsLocal)
}

// Read reads the local files among items: the result has that of items[i] at i,
// and nil for an item that is none. roots are the client's, as file:// URIs:
// others are ignored, and all of them unless FromRoots.
//
// An error has code file_refused and names each item that can't be sent, the rule
// and what came. It reads no more than Prepare takes.
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
			continue // Prepare says what it may be
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

// readAll reads a file of size bytes, or returns the rule that it breaks.
func readAll(f *os.File, size int64) (data []byte, rule string) {
	data = make([]byte, size+1) // a byte more, so that a file that grew is noticed
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

// inUse reports whether err says that another program has a file for itself.
func inUse(err error, goos string) bool {
	const sharingViolation, lockViolation = syscall.Errno(32), syscall.Errno(33) // Windows
	return goos == "windows" && (errors.Is(err, sharingViolation) || errors.Is(err, lockViolation))
}
