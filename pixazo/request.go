// This file holds the request of one video: its fields, and the documented
// rules that are checked before anything is sent.

package pixazo

import (
	"fmt"
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
	Prompt        string   `json:"prompt" jsonschema:"minLength=1,maxLength=10000" jsonschema_description:"What the video should show. 1 to 10,000 characters."`
	Mode          string   `json:"mode,omitempty" jsonschema:"enum=generate,enum=chat,default=generate" jsonschema_description:"generate makes one video. chat opens a session that may never finish here."`
	AvatarID      string   `json:"avatar_id,omitempty" jsonschema_description:"Only one that the user gave; a name belongs in the prompt. Left out: the agent picks."`
	VoiceID       string   `json:"voice_id,omitempty" jsonschema_description:"Only one that the user gave; a name belongs in the prompt."`
	StyleID       string   `json:"style_id,omitempty" jsonschema_description:"Only one that the user gave; a name belongs in the prompt."`
	BrandKitID    string   `json:"brand_kit_id,omitempty" jsonschema_description:"Only one that the user gave."`
	Orientation   string   `json:"orientation,omitempty" jsonschema:"enum=landscape,enum=portrait" jsonschema_description:"Left out: decided from the prompt."`
	Files         []string `json:"files,omitempty" jsonschema:"maxItems=20" jsonschema_description:"At most 20 images, videos, sounds or documents, 20 MB each, 50 MB in all: paths on the user's computer (in a folder that they opened), http(s) URLs, HeyGen asset IDs, data URIs or base64. Say in the prompt what each is for."`
	IncognitoMode bool     `json:"incognito_mode,omitempty" jsonschema:"default=false" jsonschema_description:"true: the agent neither uses nor keeps memory of this session."`

	// Attached are the contents of the local files among Files, at the same
	// index; nil where an item of Files is sent as it is.
	Attached []*Attachment `json:"-"`
}

// Attachment is a local file that is sent with a request.
type Attachment struct {
	Name string // without its folder
	Data []byte `json:"-"` // as it is on disk; Prepare and Submit only read it

	// Of a file that was not read, so that the request can't be sent:
	Refused string `json:"-"` // the rule that it breaks, if it is not the size alone
	Size    int64  `json:"-"`
}

func (a *Attachment) unread() bool { return a.Refused != "" || a.Size > 0 }

// LeftOut reports whether s, as an ID or another optional argument, says that
// there is none: "", or a word that models write for it.
func LeftOut(s string) bool {
	return slices.Contains([]string{"", "auto", "null", "none", "undefined"}, strings.ToLower(strings.TrimSpace(s)))
}

// checked returns r as it is sent, if all but its files keeps the documented
// rules: IDs that say that there is none are left out, and the values of an
// enumeration are in lower case.
func (r VideoRequest) checked() (VideoRequest, error) {
	for _, id := range []*string{&r.AvatarID, &r.VoiceID, &r.StyleID, &r.BrandKitID} {
		if LeftOut(*id) {
			*id = ""
		}
	}
	r.Mode = strings.ToLower(strings.TrimSpace(r.Mode))
	r.Orientation = strings.ToLower(strings.TrimSpace(r.Orientation))
	n := utf8.RuneCountInString(r.Prompt)
	switch {
	case r.Prompt == "":
		return r, invalid("prompt", "must have 1 to 10,000 characters", "nothing")
	case n > MaxPromptLength:
		return r, invalid("prompt", "must have 1 to 10,000 characters", fmt.Sprintf("%d characters", n))
	case text.Clean(r.Prompt, MaxPromptLength) == "":
		// The gateway would take it, and charge for a video about nothing.
		return r, invalid("prompt", "must say what the video should show", "only white space, or what can't be seen")
	case r.Mode != "" && !slices.Contains(Modes, r.Mode):
		return r, invalid("mode", "must be one of "+strings.Join(Modes, ", "), text.Quote(r.Mode))
	case r.Orientation != "" && !slices.Contains(Orientations, r.Orientation):
		return r, invalid("orientation", "must be one of "+strings.Join(Orientations, ", "), text.Quote(r.Orientation))
	case len(r.Files) > MaxFiles:
		return r, invalid("files", fmt.Sprintf("must have at most %d items", MaxFiles), fmt.Sprintf("%d items", len(r.Files)))
	}
	for _, f := range r.texts() {
		if strings.Contains(f.value, "\x00") || !utf8.ValidString(f.value) { // PostgreSQL stores neither
			return r, invalid(f.name, "must be valid UTF-8 without NUL characters", text.Quote(f.value))
		}
	}
	return r, nil
}

// texts returns the fields that hold text, but for files.
func (r VideoRequest) texts() []struct{ name, value string } {
	return []struct{ name, value string }{
		{"prompt", r.Prompt}, {"avatar_id", r.AvatarID}, {"voice_id", r.VoiceID}, {"style_id", r.StyleID}, {"brand_kit_id", r.BrandKitID},
		{"mode", r.Mode}, {"orientation", r.Orientation}}
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

// isName reports whether s is 1 to 200 letters, digits and characters of
// punctuation.
func isName(s, punctuation string) bool {
	return len(s) > 0 && len(s) <= 200 && strings.Trim(s, alphanumeric+punctuation) == ""
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
