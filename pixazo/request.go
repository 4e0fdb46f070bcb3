// This file holds the request of one video: its fields, and the documented
// rules that are checked before anything is sent.

package pixazo

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of a video request (API, "Request Parameters").
const (
	MaxPromptLength = 10_000 // characters, counted as Unicode code points
	MaxFiles        = 20
)

// The documented values of VideoRequest.Mode and VideoRequest.Orientation.
var (
	Modes        = []string{"generate", "chat"}
	Orientations = []string{"landscape", "portrait"}
)

// VideoRequest is the body of a submission, field by field as the gateway
// documents it. Its tags are also the input schema that clients see. A field
// with its zero value is left out of the body.
type VideoRequest struct {
	Prompt        string   `json:"prompt" jsonschema:"minLength=1,maxLength=10000" jsonschema_description:"What the video should show: topic, audience, tone, length and setting. 1 to 10,000 characters."`
	Mode          string   `json:"mode,omitempty" jsonschema:"enum=generate,enum=chat,default=generate" jsonschema_description:"generate makes one video and is what you want; chat opens a multi-turn session."`
	AvatarID      string   `json:"avatar_id,omitempty" jsonschema_description:"ID of the HeyGen avatar that narrates. Leave it out to let the agent pick."`
	VoiceID       string   `json:"voice_id,omitempty" jsonschema_description:"ID of the HeyGen text-to-speech voice. Leave it out to let the agent pick."`
	StyleID       string   `json:"style_id,omitempty" jsonschema_description:"ID of a visual template from HeyGen's style library."`
	BrandKitID    string   `json:"brand_kit_id,omitempty" jsonschema_description:"ID of a brand kit whose colours, fonts and logos are applied."`
	Orientation   string   `json:"orientation,omitempty" jsonschema:"enum=landscape,enum=portrait" jsonschema_description:"Layout of the video. Leave it out to let the agent decide from the prompt."`
	Files         []string `json:"files,omitempty" jsonschema:"maxItems=20" jsonschema_description:"Up to 20 reference images, videos or documents: each an http(s) URL, a HeyGen asset ID, or a data URI such as data:image/png;base64,AAAA."`
	IncognitoMode bool     `json:"incognito_mode,omitempty" jsonschema:"default=false" jsonschema_description:"true keeps this session out of the agent's memory."`
}

// Validate checks the request against the documented rules. Its error has
// code invalid_argument and names the field, the rule and what came.
func (r VideoRequest) Validate() error {
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
		return invalid("mode", "must be one of "+strings.Join(Modes, ", "), Quote(r.Mode))
	case r.Orientation != "" && !slices.Contains(Orientations, r.Orientation):
		return invalid("orientation", "must be one of "+strings.Join(Orientations, ", "), Quote(r.Orientation))
	case len(r.Files) > MaxFiles:
		return invalid("files", fmt.Sprintf("must have at most %d items", MaxFiles), fmt.Sprintf("%d items", len(r.Files)))
	}
	for i, f := range r.Files {
		if rule := fileRule(f); rule != "" {
			return invalid(fmt.Sprintf("files[%d]", i), rule, Quote(f))
		}
	}
	return nil
}

// Only the head of a data URI is matched: its data may be megabytes.
var dataURIHead = regexp.MustCompile(`(?i)^data:[a-z0-9.+-]+/[a-z0-9.+-]+(;[a-z0-9.+-]+=[a-z0-9.+-]+)*;base64,`)

// fileRule is the rule that an item of files breaks, or "".
func fileRule(s string) string {
	if len(s) >= 5 && strings.EqualFold(s[:5], "data:") {
		i := dataURIHead.FindStringIndex(s[:min(len(s), 200)])
		switch {
		case i == nil:
			return "must begin as a data URI does, data:<media type>;base64,"
		case !validBase64(s[i[1]:]):
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

// validBase64 checks standard base64 in place: decoding would copy what may
// be tens of megabytes.
func validBase64(s string) bool {
	data := strings.TrimRight(s, "=")
	if len(data) == 0 || len(s)%4 != 0 || len(s)-len(data) > 2 {
		return false
	}
	for i := 0; i < len(data); i++ {
		if c := data[i]; !isAlphanumeric(c) && c != '+' && c != '/' {
			return false
		}
	}
	return true
}

// body is the JSON that is sent: the request with <, > and & unescaped. The
// documented default of mode is left out, so that a request that spells it out
// is the same request.
func (r VideoRequest) body() ([]byte, error) {
	if r.Mode == Modes[0] {
		r.Mode = ""
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// Fingerprint names what is sent: it is equal for two requests exactly when
// their bodies are (the SHA-256 of the body, in hexadecimal).
func (r VideoRequest) Fingerprint() (string, error) {
	body, err := r.body()
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(body)), nil
}

// CheckRequestID checks the form of a request_id: 1 to 200 letters, digits,
// dots, hyphens and underscores. "." and ".." are refused, since a request_id
// becomes a path segment. Its error has code invalid_argument.
func CheckRequestID(id string) error {
	if !isName(id, "._-") || id == "." || id == ".." {
		return invalid("request_id", "must be 1 to 200 letters, digits, dots, hyphens or underscores", Quote(id))
	}
	return nil
}
