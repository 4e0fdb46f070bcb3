// This file holds the request of one video: its fields, and the documented
// rules that are checked before anything is sent.

package pixazo

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"pixazo-mcp/internal/text"
)

// Limits of a video request: those of the API ("Request Parameters"), and ours
// on attachments that carry their data, in bytes before they are encoded.
const (
	MaxPromptLength = 10_000 // characters, counted as Unicode code points
	MaxFiles        = 20
	MaxFileBytes    = 20 << 20
	MaxFilesBytes   = 50 << 20 // of all attachments of a request
)

// The documented values of VideoRequest.Mode and VideoRequest.Orientation.
var (
	Modes        = []string{"generate", "chat"}
	Orientations = []string{"landscape", "portrait"}
)

// VideoRequest is the body of a submission, field by field as the gateway
// documents it. Its tags are also the input schema that clients see, of whose
// files only URLs, asset IDs and data URIs are sent as they come (see package
// attach). A field with its zero value is left out of the body.
type VideoRequest struct {
	Prompt        string   `json:"prompt" jsonschema:"minLength=1,maxLength=10000" jsonschema_description:"What the video should show: topic, audience, tone, length and setting. 1 to 10,000 characters."`
	Mode          string   `json:"mode,omitempty" jsonschema:"enum=generate,enum=chat,default=generate" jsonschema_description:"generate makes one video and is what you want; chat opens a multi-turn session."`
	AvatarID      string   `json:"avatar_id,omitempty" jsonschema_description:"ID of the HeyGen avatar that narrates. Leave it out to let the agent pick."`
	VoiceID       string   `json:"voice_id,omitempty" jsonschema_description:"ID of the HeyGen text-to-speech voice. Leave it out to let the agent pick."`
	StyleID       string   `json:"style_id,omitempty" jsonschema_description:"ID of a visual template from HeyGen's style library."`
	BrandKitID    string   `json:"brand_kit_id,omitempty" jsonschema_description:"ID of a brand kit whose colours, fonts and logos are applied."`
	Orientation   string   `json:"orientation,omitempty" jsonschema:"enum=landscape,enum=portrait" jsonschema_description:"Layout of the video. Leave it out to let the agent decide from the prompt."`
	Files         []string `json:"files,omitempty" jsonschema:"maxItems=20" jsonschema_description:"Up to 20 reference images, videos, sound files or documents: each the path of a file on the user's computer (below a folder that they opened for it), an http(s) URL, a HeyGen asset ID, or data as base64 or a data URI. At most 20 MB a file and 50 MB in all."`
	IncognitoMode bool     `json:"incognito_mode,omitempty" jsonschema:"default=false" jsonschema_description:"true keeps this session out of the agent's memory."`

	// Attached are the contents of the local files among Files, at the same
	// index; nil where an item of Files is sent as it is.
	Attached []*Attachment `json:"-"`
}

// Attachment is a local file that is sent with a request.
type Attachment struct {
	Name      string // without its folder
	MediaType string
	Data      []byte // as it is on disk
}

// attachment returns what is sent for item i of Files, nil for the item itself.
func (r VideoRequest) attachment(i int) *Attachment {
	if i < len(r.Attached) {
		return r.Attached[i]
	}
	return nil
}

// check checks the request against the documented rules.
func (r VideoRequest) check() error {
	n := utf8.RuneCountInString(r.Prompt)
	switch {
	case r.Prompt == "":
		return invalid("prompt", "must have 1 to 10,000 characters", "nothing")
	case n > MaxPromptLength:
		return invalid("prompt", "must have 1 to 10,000 characters", fmt.Sprintf("%d characters", n))
	case strings.TrimSpace(r.Prompt) == "":
		// The gateway would take it, and charge for a video about nothing.
		return invalid("prompt", "must say what the video should show", "only white space")
	case r.Mode != "" && !slices.Contains(Modes, r.Mode):
		return invalid("mode", "must be one of "+strings.Join(Modes, ", "), text.Quote(r.Mode))
	case r.Orientation != "" && !slices.Contains(Orientations, r.Orientation):
		return invalid("orientation", "must be one of "+strings.Join(Orientations, ", "), text.Quote(r.Orientation))
	case len(r.Files) > MaxFiles:
		return invalid("files", fmt.Sprintf("must have at most %d items", MaxFiles), fmt.Sprintf("%d items", len(r.Files)))
	}
	var total int64
	for i, f := range r.Files {
		field := fmt.Sprintf("files[%d]", i)
		size := dataSize(f)
		if a := r.attachment(i); a != nil {
			size = int64(len(a.Data))
		} else if rule := FileRule(f); rule != "" {
			return invalid(field, rule, text.Quote(f))
		}
		if total += size; size > MaxFileBytes {
			return invalid(field, fmt.Sprintf("must have at most %d MB of data", MaxFileBytes>>20), fmt.Sprintf("%d bytes", size))
		}
	}
	if total > MaxFilesBytes {
		return invalid("files", fmt.Sprintf("must have at most %d MB of data in all", MaxFilesBytes>>20), fmt.Sprintf("%d bytes", total))
	}
	return nil
}

// Only the head of a data URI is matched: its data may be megabytes.
var dataURIHead = regexp.MustCompile(`(?i)^data:[a-z0-9.+-]+/[a-z0-9.+-]+(;[a-z0-9.+-]+=[a-z0-9.+-]+)*;base64,`)

// FileRule is the rule that an item of VideoRequest.Files breaks, or "".
func FileRule(s string) string {
	if isData(s) {
		i := dataURIHead.FindStringIndex(s[:min(len(s), 200)])
		switch {
		case i == nil:
			return "must begin as a data URI does, data:<media type>;base64,"
		case !isBase64(s[i[1]:]):
			return "must have standard base64 behind the comma of its data URI: A-Z a-z 0-9 + / with = at the end, and no white space"
		}
		return ""
	}
	if u, err := url.Parse(s); err == nil && (u.Scheme == "https" || u.Scheme == "http") {
		if u.Host == "" || u.User != nil || len(s) > 8192 {
			return "must be an http(s) URL with a host, without a password, of at most 8,192 characters"
		}
		return ""
	}
	// HeyGen's asset IDs are hexadecimal or UUIDs. A dot is left out on
	// purpose: "slides.pdf" is a file on somebody's disk, not an asset.
	if !isName(s, "_-") || len(s) > 128 {
		return "must be an http(s) URL, an asset ID (1 to 128 letters, digits, hyphens or underscores), or a data URI (data:<media type>;base64,<data>)"
	}
	return ""
}

// isName reports whether s is 1 to 200 letters, digits and characters of
// punctuation. (As regular expressions, the counts alone would cost half a
// millisecond at each start of the program.)
func isName(s, punctuation string) bool {
	if len(s) == 0 || len(s) > 200 {
		return false
	}
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && !strings.Contains(punctuation, s[i:i+1]) {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
}

// Base64Letters are the letters of standard base64, without its padding.
const Base64Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// Base64Size is how many bytes the whole of s decodes to as standard base64, and
// whether it is that. It looks in place: decoding would copy what may be tens of
// megabytes.
func Base64Size(s string) (size int64, ok bool) {
	data := strings.TrimRight(s, "=")
	if len(data) == 0 || len(s)%4 != 0 || len(s)-len(data) > 2 || strings.Trim(data, Base64Letters) != "" {
		return 0, false
	}
	return int64(base64.RawStdEncoding.DecodedLen(len(data))), true
}

func isBase64(s string) bool {
	_, ok := Base64Size(s)
	return ok
}

// isData reports whether an item of files is a data URI.
func isData(file string) bool { return len(file) >= 5 && strings.EqualFold(file[:5], "data:") }

// dataSize is how many bytes a valid item of files carries itself.
func dataSize(file string) int64 {
	if !isData(file) {
		return 0
	}
	_, data, _ := strings.Cut(file, ",")
	size, _ := Base64Size(data)
	return size
}

// CheckRequestID checks the form of a request_id: 1 to 200 letters, digits,
// dots, hyphens and underscores. "." and ".." are refused, since a request_id
// becomes a path segment. Its error has code invalid_argument.
func CheckRequestID(id string) error {
	if !isName(id, "._-") || id == "." || id == ".." {
		return invalid("request_id", "must be 1 to 200 letters, digits, dots, hyphens or underscores", text.Quote(id))
	}
	return nil
}
