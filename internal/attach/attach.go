// Package attach turns the attachments that a caller names into the strings
// that are sent to the gateway: URLs, asset IDs and data URIs. It alone reads
// files that a caller chose, and only below folders that were opened for that.
package attach

import (
	"fmt"
	"io"
	"os"
	"slices"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

// Resolver says which local files may be attached.
type Resolver struct {
	Dirs      []string // absolute folders (--files-dir) below which local files may be read
	FromRoots bool     // --files-from-roots: folders that the client offers count too
	Home      string   // what ~ stands for; "" when it is not known
}

// NeedsRoots reports whether one of items is or may be a local path, so that
// the client has to be asked for its roots. It is false unless FromRoots.
func (r Resolver) NeedsRoots(items []string) bool {
	return r.FromRoots && slices.ContainsFunc(items, func(item string) bool {
		k, _, rule := classify(item)
		return rule == "" && k >= local
	})
}

// attachment is a checked item whose data is still to be read.
type attachment struct {
	index     int
	name      string // of a file
	mediaType string
	file      *os.File // nil for bare base64
	size      int64    // bytes of data
}

// Resolve reads the local files among items: attached[i] is that of items[i],
// nil for an item that is sent as files[i] says. roots are the client's, as
// file:// URIs: others are ignored, and all of them unless FromRoots.
//
// All items are checked before one is read in full. An error names the item,
// the rule and what came; its code is file_refused for a local path and
// invalid_argument for the rest.
func (r Resolver) Resolve(items, roots []string) (files []string, attached []*pixazo.Attachment, err error) {
	if len(items) > pixazo.MaxFiles {
		return nil, nil, &pixazo.Error{Code: pixazo.InvalidArgument,
			Message: fmt.Sprintf("files must have at most %d items; got %d items", pixazo.MaxFiles, len(items))}
	}
	if !r.FromRoots {
		roots = nil
	}
	var (
		opened  *folders // at the first item that needs them
		pending []attachment
		total   int64
	)
	defer func() {
		opened.close()
		for _, a := range pending {
			if a.file != nil {
				_ = a.file.Close() // it was only read
			}
		}
	}()
	files, attached = slices.Clone(items), make([]*pixazo.Attachment, len(items))
	for i, item := range items {
		k, mediaType, rule := classify(item)
		if rule != "" {
			return nil, nil, refusal(pixazo.InvalidArgument, i, rule, text.Quote(item))
		}
		a := attachment{index: i, mediaType: mediaType}
		if mediaType != "" || hasScheme(item, "data") {
			a.size = inlineSize(item)
		}
		code := pixazo.InvalidArgument
		if k >= local {
			if opened == nil {
				opened = r.openFolders(roots)
			}
			f, size, name, rule := opened.open(item, r.Home)
			switch {
			case f != nil:
				a.file, a.size, a.name, code = f, size, name, pixazo.FileRefused
			case k == local || k == named && opened.has(item):
				return nil, nil, refusal(pixazo.FileRefused, i, rule, text.Quote(item))
			}
		}
		if a.file != nil || mediaType != "" {
			pending = append(pending, a)
		}
		total += a.size
		switch got := fmt.Sprintf("%d bytes in %s", a.size, text.Quote(item)); {
		case a.size > pixazo.MaxFileBytes:
			return nil, nil, refusal(code, i, fmt.Sprintf("must have at most %d MB of data", pixazo.MaxFileBytes>>20), got)
		case total > pixazo.MaxFilesBytes:
			return nil, nil, refusal(code, i, fmt.Sprintf("must leave all attachments with at most %d MB of data together", pixazo.MaxFilesBytes>>20), got)
		}
	}
	// Only now that the paths and sizes of all are right are contents looked at.
	for i := range pending {
		a := &pending[i]
		if a.file == nil {
			continue
		}
		var rule string
		if a.mediaType, rule = fileType(a.file, a.size); rule != "" {
			return nil, nil, refusal(pixazo.FileRefused, a.index, rule, text.Quote(items[a.index]))
		}
	}
	for _, a := range pending {
		if a.file == nil {
			files[a.index] = "data:" + a.mediaType + ";base64," + items[a.index]
			continue
		}
		data, err := a.read(items[a.index])
		if err != nil {
			return nil, nil, err
		}
		attached[a.index] = &pixazo.Attachment{Name: a.name, MediaType: a.mediaType, Data: data}
	}
	return files, attached, nil
}

// read reads the whole file, which must have as many bytes as it had at first.
func (a attachment) read(item string) ([]byte, error) {
	data := make([]byte, a.size+1) // a byte more, so that a file that grew is noticed
	n, err := io.ReadFull(a.file, data)
	if err == nil {
		return nil, refusal(pixazo.FileRefused, a.index, "must not change while it is read", fmt.Sprintf("more than the %d bytes that it had at first in %s", a.size, text.Quote(item)))
	}
	if int64(n) < a.size {
		return nil, refusal(pixazo.FileRefused, a.index, "must not change while it is read", fmt.Sprintf("%d of %d bytes of %s", n, a.size, text.Quote(item)))
	}
	return data[:n], nil
}

func refusal(code pixazo.Code, index int, rule, got string) error {
	return &pixazo.Error{Code: code, Message: fmt.Sprintf("files[%d] %s; got %s", index, rule, got)}
}
