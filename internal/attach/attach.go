// Package attach turns the attachments that a caller names into the strings
// that are sent to the gateway: URLs, asset IDs and data URIs. It alone reads
// files that a caller chose, and only below folders that were opened for that.
package attach

import (
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

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

// attachment is a checked item whose data is still to be put into a data URI.
type attachment struct {
	index     int
	mediaType string
	file      *os.File // nil for bare base64
	size      int64    // bytes of data
}

// Resolve gives each item the form in which it is sent. names[i] is the base
// name of the local file of items[i], "" for the rest. roots are the client's,
// as file:// URIs: others are ignored, and all of them unless FromRoots.
//
// All items are checked before one is read in full. An error names the item,
// the rule and what came; its code is file_refused for a local path and
// invalid_argument for the rest.
func (r Resolver) Resolve(items, roots []string) (files, names []string, err error) {
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
	files, names = slices.Clone(items), make([]string, len(items))
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
				a.file, a.size, names[i], code = f, size, name, pixazo.FileRefused
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
		if files[a.index], err = a.dataURI(items[a.index]); err != nil {
			return nil, nil, err
		}
	}
	return files, names, nil
}

// dataURI reads a file straight into its encoded form: of 50 MB, the raw and
// the encoded bytes together would be 117 MB. For bare base64 it only puts the
// head before item.
func (a attachment) dataURI(item string) (string, error) {
	head := "data:" + a.mediaType + ";base64,"
	if a.file == nil {
		return head + item, nil
	}
	var b strings.Builder
	b.Grow(len(head) + base64.StdEncoding.EncodedLen(int(a.size)))
	b.WriteString(head)
	enc := base64.NewEncoder(base64.StdEncoding, &b)
	// A byte more than was checked, so that a file that grew is noticed.
	n, err := io.Copy(enc, io.NewSectionReader(a.file, 0, a.size+1))
	if n > a.size {
		return "", refusal(pixazo.FileRefused, a.index, "must not change while it is read", fmt.Sprintf("more than the %d bytes that it had at first in %s", a.size, text.Quote(item)))
	}
	if err != nil || n < a.size {
		return "", refusal(pixazo.FileRefused, a.index, "must not change while it is read", fmt.Sprintf("%d of %d bytes of %s", n, a.size, text.Quote(item)))
	}
	_ = enc.Close() // a strings.Builder takes everything
	return b.String(), nil
}

func refusal(code pixazo.Code, index int, rule, got string) error {
	return &pixazo.Error{Code: code, Message: fmt.Sprintf("files[%d] %s; got %s", index, rule, got)}
}
