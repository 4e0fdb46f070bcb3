// This file checks the body of a submission against the documented parameters.

package sandbox

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strings"
	"unicode/utf8"
)

const (
	maxPrompt = 10_000 // code points
	maxFiles  = 20
)

// isAssetID reports whether s may be a HeyGen asset ID. The documents give no form; it
// matters that file names with an ending, and bare base64, are not taken for one.
func isAssetID(s string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
	return s != "" && len(s) <= 128 && strings.Trim(s, letters) == ""
}

// checkBody returns the two fields that the sandbox uses, or an error that says what is
// wrong with the body. null is a wrong type. Unknown fields are ignored.
func checkBody(body []byte) (prompt, orientation string, err error) {
	var fields map[string]any
	err = json.Unmarshal(body, &fields)
	_, typed := errors.AsType[*json.UnmarshalTypeError](err) // then the JSON itself is valid
	switch {
	case !utf8.Valid(body):
		return "", "", errors.New("the body is not valid UTF-8")
	case err != nil && !typed:
		return "", "", fmt.Errorf("the body is not valid JSON: %w", err)
	case fields == nil:
		return "", "", errors.New("the body must be a JSON object")
	}
	for _, name := range []string{"prompt", "mode", "avatar_id", "voice_id", "style_id", "brand_kit_id", "orientation"} {
		value, present := fields[name]
		if _, ok := value.(string); present && !ok {
			return "", "", fmt.Errorf("%s must be a string", name)
		}
	}
	prompt, _ = fields["prompt"].(string)
	orientation, _ = fields["orientation"].(string)
	if n := utf8.RuneCountInString(prompt); n < 1 || n > maxPrompt {
		return "", "", fmt.Errorf("prompt is required and must have 1 to %d characters, it has %d", maxPrompt, n)
	}
	if mode, present := fields["mode"]; present && mode != "generate" && mode != "chat" {
		return "", "", errors.New("mode must be generate or chat")
	}
	if o, present := fields["orientation"]; present && o != "landscape" && o != "portrait" {
		return "", "", errors.New("orientation must be landscape or portrait")
	}
	if value, present := fields["incognito_mode"]; present && value != true && value != false {
		return "", "", errors.New("incognito_mode must be a boolean")
	}
	value, present := fields["files"]
	files, ok := value.([]any)
	if present && (!ok || len(files) > maxFiles) {
		return "", "", fmt.Errorf("files must be an array of up to %d items", maxFiles)
	}
	for i, item := range files {
		if err := checkFile(item); err != nil {
			return "", "", fmt.Errorf("files[%d] %v", i, err)
		}
	}
	return prompt, orientation, nil
}

// checkFile checks an item of files. It may be a string, as documented, or an object of
// HeyGen's own API.
func checkFile(item any) error {
	switch item := item.(type) {
	case string:
		return checkText(item)
	case map[string]any:
		text := func(name string) string { s, _ := item[name].(string); return s }
		switch item["type"] {
		case "url":
			return checkURL(text("url"))
		case "base64":
			return checkData(text("media_type"), text("data"))
		case "asset_id":
			if !isAssetID(text("asset_id")) {
				return errors.New("must have an asset_id")
			}
			return nil
		}
	}
	return errors.New("must be a string, or an object of type url, asset_id or base64")
}

func checkText(text string) error {
	if isAssetID(text) {
		return nil
	}
	uri, ok := strings.CutPrefix(text, "data:")
	if !ok {
		return checkURL(text)
	}
	head, data, _ := strings.Cut(uri, ",")
	mediaType, ok := strings.CutSuffix(head, ";base64")
	if !ok {
		mediaType = ""
	}
	return checkData(mediaType, data)
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return errors.New("must be an http or https URL, an asset ID or a data URI")
	}
	return nil
}

func checkData(mediaType, data string) error {
	if mediaType, _, err := mime.ParseMediaType(mediaType); err != nil || !strings.Contains(mediaType, "/") {
		return errors.New("must be a data URI of the form data:<media type>;base64,<data>")
	}
	if content, err := base64.StdEncoding.DecodeString(data); err != nil || len(content) == 0 {
		return errors.New("holds no valid base64 data")
	}
	return nil
}
