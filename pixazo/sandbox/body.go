// This file checks the body of a submission against the documented parameters.

package sandbox

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	maxPrompt = 10_000 // code points
	maxFiles  = 20
)

// assetID is the form of a plausible HeyGen asset ID. The documents give none;
// what matters is that a file name or bare base64 is not taken for one.
var assetID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// checkBody returns the two fields that the sandbox acts on, or says what is
// wrong with the body. A null counts as a wrong type. Unknown fields are
// ignored.
func checkBody(body []byte) (prompt, orientation string, err error) {
	if !utf8.Valid(body) {
		return "", "", errors.New("the body is not valid UTF-8")
	}
	var fields map[string]any
	var syntax *json.SyntaxError
	if err := json.Unmarshal(body, &fields); errors.As(err, &syntax) {
		return "", "", fmt.Errorf("the body is not valid JSON: %v", syntax)
	}
	if fields == nil {
		return "", "", errors.New("the body must be a JSON object")
	}

	texts := map[string]string{}
	for _, name := range []string{"prompt", "mode", "avatar_id", "voice_id", "style_id", "brand_kit_id", "orientation"} {
		if value, present := fields[name]; present {
			text, ok := value.(string)
			if !ok {
				return "", "", fmt.Errorf("%s must be a string", name)
			}
			texts[name] = text
		}
	}
	if n := utf8.RuneCountInString(texts["prompt"]); n < 1 || n > maxPrompt {
		return "", "", fmt.Errorf("prompt is required and must have 1 to %d characters, it has %d", maxPrompt, n)
	}
	if mode, present := texts["mode"]; present && mode != "generate" && mode != "chat" {
		return "", "", errors.New("mode must be generate or chat")
	}
	if o, present := texts["orientation"]; present && o != "landscape" && o != "portrait" {
		return "", "", errors.New("orientation must be landscape or portrait")
	}
	if value, present := fields["incognito_mode"]; present {
		if _, ok := value.(bool); !ok {
			return "", "", errors.New("incognito_mode must be a boolean")
		}
	}
	if value, present := fields["files"]; present {
		files, ok := value.([]any)
		if !ok || len(files) > maxFiles {
			return "", "", fmt.Errorf("files must be an array of up to %d strings", maxFiles)
		}
		for i, item := range files {
			if err := checkFile(item); err != nil {
				return "", "", fmt.Errorf("files[%d] %v", i, err)
			}
		}
	}
	return texts["prompt"], texts["orientation"], nil
}

func checkFile(item any) error {
	text, ok := item.(string)
	if !ok {
		return errors.New("must be a string")
	}
	if data, ok := strings.CutPrefix(text, "data:"); ok {
		return checkDataURI(data)
	}
	if len(text) <= 128 && assetID.MatchString(text) {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return errors.New("must be an http or https URL, an asset ID or a data URI")
	}
	return nil
}

func checkDataURI(data string) error {
	head, content, _ := strings.Cut(data, ",")
	mediaType, ok := strings.CutSuffix(head, ";base64")
	if mediaType, _, err := mime.ParseMediaType(mediaType); !ok || err != nil || !strings.Contains(mediaType, "/") {
		return errors.New("must be a data URI of the form data:<media type>;base64,<data>")
	}
	if decoded, err := base64.StdEncoding.DecodeString(content); err != nil || len(decoded) == 0 {
		return errors.New("holds no valid base64 data")
	}
	return nil
}
