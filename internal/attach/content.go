// This file tells what an item is (a URL, an asset ID, data or a path) and what
// kind of content data has.

package attach

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gabriel-vasile/mimetype"

	"pixazo-mcp/pixazo"
)

// kind is what an item is.
type kind int

const (
	asIs   kind = iota // an http(s) URL or a data URI
	inline             // bare base64
	// These may be local files.
	local  // a path
	named  // an asset ID, unless a file has that name
	either // bare base64 by its content, unless a file has that name
)

const (
	surelyNoPath = 1024 // characters: base64 that is longer is never looked for on disk
	leastFound   = 16   // characters of bare base64: a shorter path may decode to a few letters by chance
	readable     = "an image, a video, audio, a PDF, text or an office document by its content"
)

// hexID is the form of HeyGen's own asset IDs.
var hexID = regexp.MustCompile(`(?i)^[0-9a-f-]{16,}$`)

var otherScheme = regexp.MustCompile(`(?i)^[a-z][a-z0-9+.-]+://`)

// classify tells what item is, with the media type of bare base64. rule is what
// an item breaks that can't be attached, whatever folders are open.
func classify(item string) (k kind, mediaType, rule string) {
	rule = pixazo.FileRule(item)
	trimmed := strings.TrimSpace(item[:min(len(item), 100)])
	isURI := hasScheme(trimmed, "data") || hasScheme(trimmed, "http") || hasScheme(trimmed, "https")
	isAsset := rule == "" && !isURI
	switch {
	case strings.TrimSpace(item) == "":
		return asIs, "", "must not be empty"
	case isURI:
		if mediaType, ok := unwelcome(item); ok && rule == "" {
			rule = "must be " + readable + ", and not " + mediaType
		}
		return asIs, "", rule
	case otherScheme.MatchString(trimmed) && !hasScheme(trimmed, "file"):
		return asIs, "", "must be an http(s) URL, if it is a URL"
	}
	if size, ok := pixazo.Base64Size(item); ok {
		head := make([]byte, 12)
		n, _ := encoded(item).ReadAt(head, 0)
		marked := strongMagic(head[:n])
		mediaType, isText := sniff(encoded(item), size)
		switch {
		case isAsset:
			if marked && !isText && allowed(mediaType) {
				return inline, mediaType, ""
			}
		case len(item) > surelyNoPath:
			if isText && !isPlain(encoded(item).reader(), true) {
				mediaType = "text that is not UTF-8, or has binary data in it"
			}
			if !allowed(mediaType) {
				return asIs, "", "must decode to " + readable + ", and not to " + mediaType
			}
			return inline, mediaType, ""
		case !allowed(mediaType) || len(item) < leastFound:
		case marked && !isText && item[0] != '/':
			return inline, mediaType, ""
		// The base64 of a JPEG begins with /9j/, which may be a folder.
		case marked && !isText, isText && isPlain(encoded(item).reader(), true):
			return either, mediaType, ""
		}
	}
	if isAsset && hexID.MatchString(item) {
		return asIs, "", ""
	}
	if isAsset {
		return named, "", ""
	}
	// A file URL has up to three characters a byte. What is shorter may still
	// be base64 of another kind: wrapped, unpadded or for URLs.
	if len(item) > 3*maxPath || len(item) > surelyNoPath && strings.Trim(item, pixazo.Base64Letters+"-_=\r\n\t ") == "" {
		return asIs, "", "must be an http(s) URL, an asset ID, the path of a file, a data URI, or standard base64 (A-Z a-z 0-9 + / with = at the end, and no white space)"
	}
	return local, "", ""
}

// unwelcome is what the data of a data URI is, if that is known and not allowed,
// whatever it is called. Of what is not known for certain its name counts.
func unwelcome(item string) (mediaType string, ok bool) {
	_, data, found := strings.Cut(item, ",")
	size, valid := pixazo.Base64Size(data)
	if !hasScheme(item, "data") || !found || !valid {
		return "", false
	}
	mediaType, _ = sniff(encoded(data), size)
	return mediaType, !allowed(mediaType) && !slices.Contains([]string{"application/octet-stream", "application/zip", "application/x-ole-storage"}, mediaType)
}

// inlineSize is how many bytes of data an item carries in itself.
func inlineSize(item string) int64 {
	if hasScheme(item, "data") {
		_, item, _ = strings.Cut(item, ",")
	}
	size, _ := pixazo.Base64Size(item)
	return size
}

// encoded is standard base64, read without decoding the whole of it.
type encoded string

func (s encoded) reader() io.Reader {
	return base64.NewDecoder(base64.StdEncoding, strings.NewReader(string(s)))
}

// ReadAt reads what is encoded. The quantum that offset falls into is decoded
// from its start.
func (s encoded) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 || offset/3*4 >= int64(len(s)) {
		return 0, io.EOF
	}
	r := s[offset/3*4:].reader()
	if _, err := io.CopyN(io.Discard, r, offset%3); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(r, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// strongMagic reports whether head has a signature that neither an ID nor a
// path decodes to by chance.
func strongMagic(head []byte) bool {
	if len(head) >= 8 && string(head[4:8]) == "ftyp" {
		return true
	}
	for _, magic := range []string{"\x89PNG", "GIF8", "\xff\xd8\xff", "RIFF", "II*\x00", "MM\x00*", "%PDF", "PK\x03\x04", "\xd0\xcf\x11\xe0", "OggS", "fLaC", "\x1aE\xdf\xa3"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return false
}

// fileType is the media type of a file of size bytes, or the rule that keeps
// its content from being attached.
func fileType(f io.ReaderAt, size int64) (mediaType, rule string) {
	if size == 0 {
		return "", "must not be an empty file"
	}
	mediaType, isText := sniff(f, size)
	// Only the head was looked at: a script may have a program behind it.
	if isText && !isPlain(io.NewSectionReader(f, 0, size), false) {
		mediaType = "text with binary data in it"
	}
	if !allowed(mediaType) {
		return "", "must be " + readable + ", and not " + mediaType
	}
	return mediaType, ""
}

// allowed reports whether content of a media type may be attached.
func allowed(mediaType string) bool {
	family, _, _ := strings.Cut(mediaType, "/")
	return slices.Contains([]string{"image", "video", "audio", "text"}, family) || slices.Contains(documents, mediaType)
}

var documents = []string{
	"application/pdf", "application/json",
	docx, xlsx, pptx, doc, xls, ppt,
	"application/vnd.oasis.opendocument.text",
	"application/vnd.oasis.opendocument.spreadsheet",
	"application/vnd.oasis.opendocument.presentation",
}

const (
	docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	xlsx = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	pptx = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
	doc  = "application/msword"
	xls  = "application/vnd.ms-excel"
	ppt  = "application/vnd.ms-powerpoint"
)

// sniff is the media type of content, without parameters, by what is in it: its
// first 4 KB (the limit of mimetype) and, for office documents, their tables of
// contents. isText is true for all kinds of text, SVG among them.
func sniff(r io.ReaderAt, size int64) (mediaType string, isText bool) {
	m := mimetype.Detect(readAt(r, 0, 4096))
	mediaType, _, _ = strings.Cut(m.String(), ";")
	for up := m; up != nil; up = up.Parent() {
		isText = isText || up.Is("text/plain")
	}
	switch {
	case mediaType == "application/zip":
		mediaType = officeZip(r, size)
	case mediaType == "application/x-ole-storage":
		mediaType = officeOLE(r)
	case isText && !allowed(mediaType):
		mediaType = "text/plain" // such as notes that begin as a mail does, message/rfc822
	}
	return mediaType, isText
}

// readAt reads up to n bytes.
func readAt(r io.ReaderAt, offset, n int64) []byte {
	b := make([]byte, n)
	got, _ := r.ReadAt(b, offset) // content that can't be read is none that is known
	return b[:got]
}

// officeZip looks for the parts of an office document in the directory of a zip
// archive. mimetype looks only at its first entries, and these may be a large
// thumbnail.
func officeZip(r io.ReaderAt, size int64) string {
	const tail, most = 22 + 1<<16, 1 << 20 // the end record with the longest comment; the largest directory that is read
	end := readAt(r, max(0, size-tail), min(size, tail))
	i := bytes.LastIndex(end, []byte("PK\x05\x06"))
	if i < 0 || len(end)-i < 22 {
		return "application/zip"
	}
	length, offset := binary.LittleEndian.Uint32(end[i+12:]), binary.LittleEndian.Uint32(end[i+16:])
	if length > most {
		return "application/zip"
	}
	found, hasTypes := "application/zip", false
	for dir := readAt(r, int64(offset), int64(length)); len(dir) >= 46 && string(dir[:4]) == "PK\x01\x02"; {
		nameEnd := 46 + int(binary.LittleEndian.Uint16(dir[28:]))
		next := nameEnd + int(binary.LittleEndian.Uint16(dir[30:])) + int(binary.LittleEndian.Uint16(dir[32:]))
		if next > len(dir) {
			break
		}
		switch name := string(dir[46:nameEnd]); name {
		case "[Content_Types].xml":
			hasTypes = true
		case "word/document.xml":
			found = docx
		case "xl/workbook.xml", "xl/workbook.bin":
			found = xlsx
		case "ppt/presentation.xml":
			found = pptx
		}
		dir = dir[next:]
	}
	if !hasTypes {
		return "application/zip"
	}
	return found
}

// officeOLE looks for the main stream of an office document of before 2007 in
// the directory of its container ([MS-CFB] sections 2.2 and 2.6.1), which is
// often at the end of the file, where mimetype does not look.
func officeOLE(r io.ReaderAt) string {
	const other = "application/x-ole-storage"
	head := readAt(r, 0, 512)
	if len(head) < 512 || head[30] > 12 {
		return other
	}
	offset := (int64(binary.LittleEndian.Uint32(head[48:])) + 1) << head[30]
	for dir := readAt(r, offset, 4096); len(dir) >= 128; dir = dir[128:] {
		n := binary.LittleEndian.Uint16(dir[64:]) // bytes of the UTF-16 name and its zero
		if n < 2 || n > 64 {
			continue
		}
		switch strings.ReplaceAll(string(dir[:n-2]), "\x00", "") {
		case "WordDocument":
			return doc
		case "Workbook", "Book":
			return xls
		case "PowerPoint Document":
			return ppt
		}
	}
	return other
}

// isPlain reports whether the whole of r is text: without control characters
// but those of layout, and valid UTF-8 if onlyUTF8. Text in UTF-16 or UTF-32 is
// known by its mark, and is not looked at further.
func isPlain(r io.Reader, onlyUTF8 bool) bool {
	b := bufio.NewReader(r)
	if mark, _ := b.Peek(4); !onlyUTF8 && (bytes.HasPrefix(mark, []byte("\xff\xfe")) || bytes.HasPrefix(mark, []byte("\xfe\xff")) || string(mark) == "\x00\x00\xfe\xff") {
		return true
	}
	for {
		c, size, err := b.ReadRune()
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		if c == utf8.RuneError && size == 1 && onlyUTF8 || c < ' ' && !strings.ContainsRune("\t\n\f\r\x1b", c) {
			return false
		}
	}
}
