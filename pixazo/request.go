// This file holds the fields of a video request, and the documented rules that are
// checked before it is sent.

package pixazo

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"pixazo-mcp/internal/text"
)

// Limits of a video request.
const (
	MaxPromptLength = 10_000   // Unicode code points (API, "Request Parameters")
	MaxFiles        = 20       // items (likewise)
	MaxFileBytes    = 20 << 20 // of a local file or of data, before it is encoded; our own limit
	MaxFilesBytes   = 50 << 20 // of all of them; our own limit
)

// The documented values of VideoRequest.Mode and VideoRequest.Orientation.
var (
	Modes        = []string{"generate", "chat"}
	Orientations = []string{"landscape", "portrait"}
)

// VideoRequest has the fields of a submission as the gateway documents them. Its tags
// also make the input schema of generate_video. A field with its zero value is not sent.
type VideoRequest struct {
	Prompt        string   `json:"prompt" jsonschema:"minLength=1,maxLength=10000" jsonschema_description:"What the video should show. 1 to 10,000 characters."`
	Mode          string   `json:"mode,omitempty" jsonschema:"enum=generate,enum=chat,default=generate" jsonschema_description:"generate makes one video. chat opens a session that may never finish here."`
	AvatarID      string   `json:"avatar_id,omitempty" jsonschema_description:"Only one that the user gave; a name belongs in the prompt. Left out: the agent picks."`
	VoiceID       string   `json:"voice_id,omitempty" jsonschema_description:"Only one that the user gave; a name belongs in the prompt."`
	StyleID       string   `json:"style_id,omitempty" jsonschema_description:"Only one that the user gave; a name belongs in the prompt."`
	BrandKitID    string   `json:"brand_kit_id,omitempty" jsonschema_description:"Only one that the user gave."`
	Orientation   string   `json:"orientation,omitempty" jsonschema:"enum=landscape,enum=portrait" jsonschema_description:"Left out: decided from the prompt."`
	Files         []string `json:"files,omitempty" jsonschema:"maxItems=20" jsonschema_description:"At most 20 files (png, jpeg, mp4, webm, mp3, wav, pdf), 20 MB each, 50 MB in all: paths on the user's computer (in a folder that they opened), http(s) URLs, HeyGen asset IDs, data URIs or base64. Say in the prompt what each is for."`
	IncognitoMode bool     `json:"incognito_mode,omitempty" jsonschema:"default=false" jsonschema_description:"true: the agent neither uses nor keeps memory of this session."`

	// Attached has the content of the local files among Files, at the same index, and
	// nil at the index of an item that is sent as it is.
	Attached []*Attachment `json:"-"`
}

// Attachment is a local file that is sent with a request.
type Attachment struct {
	Name string // without its folder
	Data []byte `json:"-"` // as it is on disk; Prepare and Submit only read it

	// Set for a file that was not read, so that the request is refused:
	Refused string `json:"-"` // the rule that the file breaks; "" if it is too large
	Size    int64  `json:"-"` // of a file that is too large
}

func (a *Attachment) unread() bool { return a.Refused != "" || a.Size > 0 }

// LeftOut reports whether s, as an optional argument, means that the argument is left
// out: "", or a word that models write for that.
func LeftOut(s string) bool {
	s = strings.TrimFunc(s, func(r rune) bool { return r == ' ' || r != 0 && !text.IsVisible(r) })
	return slices.Contains([]string{"", "auto", "null", "none", "nil", "undefined"}, strings.ToLower(s))
}

// checked returns r in the form in which it is sent, or an error if a field other than
// files breaks a documented rule. It drops IDs that count as left out, and writes mode
// and orientation in lower case.
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
	case text.CleanVisible(r.Prompt, MaxPromptLength) == "":
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

// texts returns the names and values of all string fields.
func (r VideoRequest) texts() []struct{ name, value string } {
	return []struct{ name, value string }{
		{"prompt", r.Prompt}, {"avatar_id", r.AvatarID}, {"voice_id", r.VoiceID}, {"style_id", r.StyleID}, {"brand_kit_id", r.BrandKitID},
		{"mode", r.Mode}, {"orientation", r.Orientation}}
}

// CheckRequestID returns an error with code invalid_argument unless id is 1 to 200
// letters, digits, dots, hyphens and underscores. It refuses "." and "..", since a
// request_id becomes a path segment.
func CheckRequestID(id string) error {
	if !isName(id, "._-") || id == "." || id == ".." {
		return invalid("request_id", "must be 1 to 200 letters, digits, dots, hyphens or underscores", text.Quote(id))
	}
	return nil
}

// isName reports whether s consists of 1 to 200 ASCII letters, digits and characters of
// punctuation.
func isName(s, punctuation string) bool {
	return len(s) > 0 && len(s) <= 200 && strings.Trim(s, alphanumeric+punctuation) == ""
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
