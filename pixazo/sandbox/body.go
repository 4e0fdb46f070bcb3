// This file checks the body of a submission against the documented parameters.

package sandbox

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	maxPrompt = 10_000 // code points
	maxFiles  = 20
)

var textFields = []string{"prompt", "mode", "avatar_id", "voice_id", "style_id", "brand_kit_id", "orientation"}

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
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
		_, isText := value.(string)
		switch {
		case slices.Contains(textFields, name) && !isText:
			return "", "", fmt.Errorf("%s must be a string", name)
		case name == "mode" && value != "generate" && value != "chat":
			return "", "", errors.New("mode must be generate or chat")
		case name == "orientation" && value != "landscape" && value != "portrait":
			return "", "", errors.New("orientation must be landscape or portrait")
		case name == "incognito_mode" && value != true && value != false:
			return "", "", errors.New("incognito_mode must be a boolean")
		}
	}
	prompt, _ = fields["prompt"].(string)
	orientation, _ = fields["orientation"].(string)
	if n := utf8.RuneCountInString(prompt); n < 1 || n > maxPrompt {
		return "", "", fmt.Errorf("prompt is required and must have 1 to %d characters, it has %d", maxPrompt, n)
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
		uri, isData := strings.CutPrefix(item, "data:")
		head, data, _ := strings.Cut(uri, ",")
		switch {
		case isAssetID(item):
			return nil
		case !isData:
			return checkURL(item)
		case !strings.HasSuffix(head, ";base64"):
			head = ""
		}
		return checkData(strings.TrimSuffix(head, ";base64"), data)
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
