// This file tells the forms of an item of files apart, and decides what may be sent.

package pixazo

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/gabriel-vasile/mimetype"

	"pixazo-mcp/internal/text"
)

// Form is what an item of VideoRequest.Files looks like.
type Form int

// The forms. Prepare refuses a LocalPath or an Ambiguous item without an Attachment.
const (
	Unusable  Form = iota // nothing that can be sent
	WebURL                // an http or https URL
	AssetID               // an ID in a form that HeyGen gives to assets
	Inline                // a data URI, or base64 of a known type of content
	LocalPath             // the path or the file URL of a local file
	Ambiguous             // the name of a local file, or an asset ID of an unusual form
)

var (
	schemeForm = text.Pattern(`(?i)^[a-z][a-z0-9+.-]+://`)
	secondURL  = text.Pattern(`(?i)[\s,;|]https?://`)
	listOfURLs = text.Pattern(`(?i)=https?://[^\s?&=#]*[,;|]https?://[^\s?&=#]*([&#]|$)`) // in the query of one URL
	assetForm  = text.Pattern(`(?i)^([0-9a-f]{16}[0-9a-f]*|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(asset|ast)[_-][0-9a-z_-]+)$`)

	// Only the head of a data URI is matched: its data may be megabytes. It is sent as it
	// stands, so it may hold nothing that JSON escapes, such as a quoted parameter.
	dataHead = text.Pattern(`(?i)^data:[a-z0-9.+-]+/[a-z0-9.+-]+(;[a-z0-9.+-]+=[a-z0-9.+_~%!-]+)*;base64,`)
)

const (
	maxPath    = 4096 // bytes; a file URL may be three times as long
	headLength = 4096 // bytes by which a type of content is known
)

// FormOf returns the form of an item, by its first bytes.
func FormOf(item string) Form {
	start := strings.TrimSpace(item[:min(len(item), 200)])
	switch {
	case LeftOut(start):
		return Unusable
	case HasScheme(start, "data"):
		return Inline
	case HasScheme(start, "http"), HasScheme(start, "https"):
		return WebURL
	case HasScheme(start, "file"):
		return LocalPath
	case schemeForm().MatchString(start):
		return Unusable
	case len(item) <= 128 && assetForm().MatchString(item):
		return AssetID
	case isBase64(item):
		return Inline
	case len(item) > 3*maxPath, len(item) > maxPath && isName(start, "+/-_="):
		return Unusable
	case isName(item, "_-"):
		return Ambiguous
	}
	return LocalPath
}

// isBase64 reports whether item begins like base64 of a type of content that HeyGen
// takes. The base64 of a JPEG begins with /9j/, like a path, so more of it is looked at.
func isBase64(item string) bool {
	least := 16 // bytes
	if strings.HasPrefix(item, "/") {
		least = 192
	}
	head := headOf(item[:min(len(item), 1024)])
	return len(head) >= least && isMedia(sniff(head))
}

// HasScheme reports whether s begins with scheme and a colon.
func HasScheme(s, scheme string) bool {
	return len(s) > len(scheme) && s[len(scheme)] == ':' && strings.EqualFold(s[:len(scheme)], scheme)
}

// sizeRule returns the rule that a file of size bytes breaks, "" if none. total is the
// size of all files of the request up to and with this one.
func sizeRule(size, total int64) string {
	switch {
	case size > MaxFileBytes:
		return fmt.Sprintf("must have at most %d MB of data", MaxFileBytes>>20)
	case total > MaxFilesBytes:
		return fmt.Sprintf("must leave all files with at most %d MB of data together", MaxFilesBytes>>20)
	}
	return ""
}

// CheckFiles returns an error that names all items of Files that can't be sent, nil if
// all can be.
func (r VideoRequest) CheckFiles() error {
	var p Prepared
	return p.addFiles(r, "")
}

// File describes an item of VideoRequest.Files: a URL, an asset ID, or the type, size
// and hash of a local file or of data.
type File struct {
	Name      string `json:"name,omitempty"` // of a local file, without its folder
	MediaType string `json:"media_type,omitempty"`
	Size      int64  `json:"size,omitempty"` // bytes
	SHA256    string `json:"sha256,omitempty"`
	URL       string `json:"url,omitempty"`
	AssetID   string `json:"asset_id,omitempty"`

	head    string // of a data URI, up to its comma
	encoded string // the base64 of data or a data URI
	data    []byte // the content of a local file
}

// describe returns the description of item, whose attachment is a (nil for none), and its
// content, nil for what is somewhere else; or the rule that item breaks.
func describe(item string, a *Attachment) (f File, content []byte, rule string) {
	if a != nil && a.unread() {
		return File{Size: a.Size}, nil, a.Refused
	}
	if a != nil {
		f = File{Name: a.Name, data: a.Data}
		rule = f.setContent("", a.Data)
		if len(a.Data) == 0 {
			rule = "must not be an empty file"
		}
		return f, a.Data, rule
	}
	switch FormOf(item) {
	case WebURL:
		item = strings.TrimSpace(item)
		switch u, err := url.Parse(item); {
		case err != nil || u.Host == "" || u.User != nil || len(item) > 8192:
			rule = "must be an http(s) URL with a host, without a password, of at most 8,192 characters"
		case secondURL().MatchString(listOfURLs().ReplaceAllString(item, "")): // neither would be loaded, and the video paid for
			rule = "must be one URL: give each as an item of its own"
		case !IsPublic(u.Hostname()) && !isExample(u.Hostname()):
			rule = "must be a URL on the internet, not of this computer or its network, which HeyGen can't reach: give the file itself"
		case u.RawQuery == "": // a query may ask for another type than the path tells
			rule = kindRule("", u.Path)
		}
		return File{URL: item}, nil, rule
	case AssetID:
		return File{AssetID: item}, nil, ""
	case Inline:
		return describeData(item)
	case Ambiguous:
		return f, nil, "may be the name of a local file, which would be ./" + item + " below a folder that is open to this server, or an asset ID, which begins with asset_ or ast_ or has at least 16 hexadecimal digits: write one of them"
	}
	return f, nil, "must be an http(s) URL, an asset ID, the path of a local file, a data URI (data:<media type>;base64,<data>), or base64 of a picture, a video, audio or a PDF; leave it out if there is none"
}

// describeData is describe for data, as a data URI or as base64.
func describeData(item string) (f File, content []byte, rule string) {
	declared := ""
	f.encoded = item
	if HasScheme(item, "data") {
		end := dataHead().FindStringIndex(item[:min(len(item), 200)])
		if end == nil {
			return f, nil, "must begin as a data URI does, data:<media type>;base64,"
		}
		f.head, f.encoded = item[:end[1]], item[end[1]:]
		declared, _, _ = strings.Cut(strings.ToLower(f.head[len("data:"):]), ";")
	}
	content, err := base64.StdEncoding.DecodeString(f.encoded)
	if err != nil || len(content) == 0 || strings.ContainsAny(f.encoded, "\r\n") { // which decoding skips
		return f, nil, base64Rule
	}
	return f, content, f.setContent(declared, content)
}

const base64Rule = "must have its data as standard base64: A-Z a-z 0-9 + / with = at the end, and no white space"

// setContent sets what f tells of its content, and returns the rule that this breaks.
// declared is the media type that a data URI states.
func (f *File) setContent(declared string, content []byte) (rule string) {
	f.Size, f.SHA256 = int64(len(content)), fmt.Sprintf("%x", sha256.Sum256(content))
	f.MediaType, rule = contentType(declared, f.Name, content[:min(len(content), headLength)])
	return rule
}

// headOf decodes the first bytes of base64; it returns none if encoded is not base64.
func headOf(encoded string) []byte {
	head := make([]byte, headLength)
	n, _ := io.ReadFull(base64.NewDecoder(base64.StdEncoding, strings.NewReader(encoded)), head)
	return head[:n]
}

// parts returns f as an item of files in the body: as an object of HeyGen's own API if
// objects is true, else as a string.
func (f File) parts(objects bool) body {
	payload := part{f.encoded, f.data}
	switch {
	case objects && f.URL != "":
		return body{{text: `{"type":"url","url":` + encodeJSON(f.URL) + `}`}}
	case objects && f.AssetID != "":
		return body{{text: `{"type":"asset_id","asset_id":` + encodeJSON(f.AssetID) + `}`}}
	case f.URL+f.AssetID != "":
		return body{{text: encodeJSON(f.URL + f.AssetID)}}
	case objects: // neither a media type nor base64 has anything to escape
		return body{{text: `{"type":"base64","media_type":"` + f.MediaType + `","data":"`}, payload, {text: `"}`}}
	}
	return body{{text: `"` + cmp.Or(f.head, "data:"+f.MediaType+";base64,")}, payload, {text: `"`}}
}

var blamesFiles = text.Pattern(`(?i)\bfiles?\b`)

// adviseFormat returns err, the error of a submission of p. If that is a refusal which
// blames the files, but not their size, it adds that another format of files can be set.
func (c *Client) adviseFormat(p *Prepared, err error) error {
	e, ok := errors.AsType[*Error](err)
	if ok && e.Code == InvalidArgument && e.HTTPStatus != http.StatusRequestEntityTooLarge && len(p.Files) > 0 && blamesFiles().MatchString(e.Message) {
		other := "objects"
		if c.config.FilesAsObjects {
			other = "strings"
		}
		e.Message += "; files can also be sent as " + other + ", with the setting --files-format (PIXAZO_FILES_FORMAT)"
	}
	return err
}

// listedTypes are the media types that HeyGen lists, and other names of the same types.
var listedTypes = []string{"image/png", "image/jpeg", "image/jpg", "video/mp4", "video/webm", "audio/mpeg", "audio/mp3",
	"audio/wav", "audio/x-wav", "audio/wave", "application/pdf"}

const listed = "HeyGen takes png, jpeg, mp4, webm, mp3, wav and pdf"

// Warnings returns a sentence for each of a request's files whose type HeyGen does not
// list.
func Warnings(files []File) (warnings []string) {
	for i, f := range files {
		if f.MediaType != "" && !slices.Contains(listedTypes, f.MediaType) {
			warnings = append(warnings, fmt.Sprintf("files[%d]: %s is %s: %s, and may ignore other files or refuse the request.",
				i, cmp.Or(text.Clean(f.Name, 100), "its data"), f.MediaType, listed))
		}
	}
	return warnings
}

// sniff returns the media type, without parameters, of content that begins with head.
// For text of a type that may not be sent it returns text/plain.
func sniff(head []byte) string {
	m := mimetype.Detect(head)
	if strings.Contains(m.String(), "utf-16") {
		m = mimetype.Detect(bytes.ReplaceAll(head[2:], []byte{0}, nil)) // the ASCII in it
	}
	mediaType, _, _ := strings.Cut(m.String(), ";")
	switch {
	case mediaType == "application/xhtml+xml":
		return "text/html"
	case mediaType == "audio/mp4" && bytes.HasPrefix(head[4:], []byte("ftypMSNV")): // a video of a Sony camera
		return "video/mp4"
	}
	for up := m; up != nil; up = up.Parent() {
		if up.Is("text/plain") && !isAllowed(mediaType) {
			return "text/plain"
		}
	}
	return mediaType
}

// isMedia reports whether mediaType is a picture, a video, audio or a PDF.
func isMedia(mediaType string) bool {
	family, _, _ := strings.Cut(mediaType, "/")
	return family == "image" || family == "video" || family == "audio" || mediaType == "application/pdf"
}

// isAllowed reports whether content of mediaType may be sent, perhaps with a warning.
func isAllowed(mediaType string) bool {
	return isMedia(mediaType) || strings.HasPrefix(mediaType, "text/") || mediaType == "application/json"
}

var (
	officeTypes   = text.Pattern(`officedocument|opendocument|iwork|msword|ms-(excel|powerpoint|word)`)
	officeEndings = text.Pattern(`^\.(ppt|pps|pot|doc|dot|xls)[xmb]?$|^\.(odt|odp|ods|odg|key|pages|numbers|gdoc|gslides|gsheet)$`)
)

// contentType returns the media type of content that begins with head, and the rule that
// keeps it from being sent, "" if none does. declared, the type that a data URI states,
// counts where head does not tell the type; name is that of a local file. Both may be "".
func contentType(declared, name string, head []byte) (mediaType, rule string) {
	mediaType = sniff(head)
	switch {
	case declared == "":
	case mediaType == "text/plain" && (strings.HasPrefix(declared, "text/") || declared == "application/json" || declared == "image/svg+xml"),
		mediaType == "application/octet-stream", mediaType == "application/zip", mediaType == "application/x-ole-storage":
		mediaType = declared
	}
	switch rule = kindRule(mediaType, name); {
	case strings.Contains(declared, "html"):
		rule = kindRule(declared, "")
	case rule == "" && !isAllowed(mediaType):
		rule = "must be a picture, a video, audio, a PDF or text by its content, and not " + mediaType
	}
	return mediaType, rule
}

// kindRule returns the rule that any content with this media type or this name breaks,
// "" if none.
func kindRule(mediaType, name string) string {
	ending := strings.ToLower(path.Ext(name))
	switch {
	case strings.Contains(mediaType, "html") || slices.Contains([]string{".html", ".htm", ".xhtml"}, ending):
		return "must not be HTML, which HeyGen rejects: export a PDF or take a picture of it"
	case officeTypes().MatchString(mediaType) || officeEndings().MatchString(ending):
		return "must not be an office document, since " + listed + ": export a PDF of it"
	}
	return ""
}
