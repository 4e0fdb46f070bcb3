// This file checks the body of a submission against the documented parameters.

package sandbox

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
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

// isAssetID reports whether s has the form of a plausible HeyGen asset ID. The
// documents give none; what matters is that a file name or bare base64 is not
// taken for one.
func isAssetID(s string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
	return s != "" && len(s) <= 128 && strings.Trim(s, letters) == ""
}

// checkBody returns the two fields that the sandbox acts on, or says what is
// wrong with the body. A null counts as a wrong type. Unknown fields are
// ignored.
func checkBody(body []byte) (prompt, orientation string, err error) {
	if !utf8.Valid(body) {
		return "", "", errors.New("the body is not valid UTF-8")
	}
	if !json.Valid(body) { // Unmarshal decodes nothing then, but tells the reason
		return "", "", fmt.Errorf("the body is not valid JSON: %v", json.Unmarshal(body, new(any)))
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil || fields == nil {
		return "", "", errors.New("the body must be a JSON object")
	}
	texts := map[string]string{}
	for _, name := range []string{"prompt", "mode", "avatar_id", "voice_id", "style_id", "brand_kit_id", "orientation"} {
		if value, present := fields[name]; present {
			text, ok := decodeString(value)
			if !ok {
				return "", "", fmt.Errorf("%s must be a string", name)
			}
			texts[name] = text
		}
	}
	if n := utf8.RuneCountInString(texts["prompt"]); n < 1 || n > maxPrompt {
		return "", "", fmt.Errorf("prompt is required and must have 1 to %d characters, it has %d", maxPrompt, n)
	}
	if mode, present := texts["mode"]; present && !slices.Contains([]string{"generate", "chat"}, mode) {
		return "", "", errors.New("mode must be generate or chat")
	}
	if o, present := texts["orientation"]; present && !slices.Contains([]string{"landscape", "portrait"}, o) {
		return "", "", errors.New("orientation must be landscape or portrait")
	}
	if value, present := fields["incognito_mode"]; present && !slices.Contains([]string{"true", "false"}, string(value)) {
		return "", "", errors.New("incognito_mode must be a boolean")
	}
	if value, present := fields["files"]; present {
		var files []json.RawMessage
		if json.Unmarshal(value, &files) != nil || files == nil || len(files) > maxFiles {
			return "", "", fmt.Errorf("files must be an array of up to %d items", maxFiles)
		}
		for i, item := range files {
			if err := checkFile(item); err != nil {
				return "", "", fmt.Errorf("files[%d] %v", i, err)
			}
		}
	}
	return texts["prompt"], texts["orientation"], nil
}

// checkFile takes both forms that an item may have: a string, as the documents
// say, and the object of HeyGen's own API.
func checkFile(item json.RawMessage) error {
	if text, ok := decodeString(item); ok {
		if uri, ok := strings.CutPrefix(text, "data:"); ok {
			head, data, _ := strings.Cut(uri, ",")
			mediaType, _ := strings.CutSuffix(head, ";base64")
			if mediaType == head {
				return errors.New("must be a data URI of the form data:<media type>;base64,<data>")
			}
			return checkData(mediaType, data)
		}
		if isAssetID(text) {
			return nil
		}
		return checkURL(text)
	}
	var object struct {
		Type      string `json:"type"`
		URL       string `json:"url"`
		AssetID   string `json:"asset_id"`
		MediaType string `json:"media_type"`
		Data      string `json:"data"`
	}
	if json.Unmarshal(item, &object) != nil {
		return errors.New("must be a string or an object")
	}
	switch object.Type {
	case "url":
		return checkURL(object.URL)
	case "asset_id":
		if !isAssetID(object.AssetID) {
			return errors.New("must have an asset_id")
		}
		return nil
	case "base64":
		return checkData(object.MediaType, object.Data)
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

// decodeString reports false for a JSON value that is no string.
func decodeString(value json.RawMessage) (text string, ok bool) {
	err := json.Unmarshal(value, &text)
	return text, err == nil && value[0] == '"'
}
