// This file checks the body of a submission against the documented parameters.

package sandbox

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
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
// ignored. Attachments are checked where they lie in the body: decoding a body
// of 67 MB would cost as much again, and their contents three quarters more.
func checkBody(body []byte) (prompt, orientation string, err error) {
	if !utf8.Valid(body) {
		return "", "", errors.New("the body is not valid UTF-8")
	}
	if !json.Valid(body) { // Unmarshal decodes nothing then, but tells the reason
		return "", "", fmt.Errorf("the body is not valid JSON: %v", json.Unmarshal(body, new(any)))
	}
	if bytes.TrimSpace(body)[0] != '{' {
		return "", "", errors.New("the body must be a JSON object")
	}
	fields := map[string][]byte{}
	for name, value := range parts(body) {
		text, _ := decodeString(name)
		fields[text] = value
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
	if mode, present := texts["mode"]; present && mode != "generate" && mode != "chat" {
		return "", "", errors.New("mode must be generate or chat")
	}
	if o, present := texts["orientation"]; present && o != "landscape" && o != "portrait" {
		return "", "", errors.New("orientation must be landscape or portrait")
	}
	if value, present := fields["incognito_mode"]; present {
		if text := string(value); text != "true" && text != "false" {
			return "", "", errors.New("incognito_mode must be a boolean")
		}
	}
	if value, present := fields["files"]; present {
		if err := checkFiles(value); err != nil {
			return "", "", err
		}
	}
	return texts["prompt"], texts["orientation"], nil
}

func checkFiles(value []byte) error {
	wrong := fmt.Errorf("files must be an array of up to %d strings", maxFiles)
	if value[0] != '[' {
		return wrong
	}
	var files [][]byte
	for _, item := range parts(value) {
		if files = append(files, item); len(files) > maxFiles {
			return wrong
		}
	}
	for i, item := range files {
		if err := checkFile(item); err != nil {
			return fmt.Errorf("files[%d] %v", i, err)
		}
	}
	return nil
}

func checkFile(item []byte) error {
	if item[0] != '"' {
		return errors.New("must be a string")
	}
	text := item[1 : len(item)-1]
	if bytes.IndexByte(text, '\\') >= 0 { // rare: base64 needs no escapes, though some writers put \/ for a slash
		decoded, _ := decodeString(item)
		text = []byte(decoded)
	}
	if data, ok := bytes.CutPrefix(text, []byte("data:")); ok {
		return checkDataURI(data)
	}
	if len(text) <= 128 && assetID.Match(text) {
		return nil
	}
	u, err := url.Parse(string(text))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return errors.New("must be an http or https URL, an asset ID or a data URI")
	}
	return nil
}

func checkDataURI(data []byte) error {
	head, content, _ := bytes.Cut(data, []byte(","))
	mediaType, ok := bytes.CutSuffix(head, []byte(";base64"))
	if mediaType, _, err := mime.ParseMediaType(string(mediaType)); !ok || err != nil || !strings.Contains(mediaType, "/") {
		return errors.New("must be a data URI of the form data:<media type>;base64,<data>")
	}
	// NewDecoder misses padding in the middle where one of its blocks ends.
	early := bytes.IndexByte(bytes.TrimRight(content, "=\r\n"), '=') >= 0
	n, err := io.Copy(io.Discard, base64.NewDecoder(base64.StdEncoding, bytes.NewReader(content)))
	if early || err != nil || n == 0 {
		return errors.New("holds no valid base64 data")
	}
	return nil
}

// decodeString reports false for a JSON value that is no string.
func decodeString(value []byte) (text string, ok bool) {
	if value[0] != '"' {
		return "", false
	}
	err := json.Unmarshal(value, &text)
	return text, err == nil
}

// parts goes through the values of a JSON array, or the names and values of a
// JSON object. They are parts of text, which encoding/json only hands out as
// copies. text must be valid JSON: all that is left to find is where its outer
// values end.
func parts(text []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		var name []byte
		depth, start := 0, 0
		for i := 0; i < len(text); i++ {
			switch c := text[i]; c {
			case '"':
				for i++; text[i] != '"'; i++ {
					if text[i] == '\\' {
						i++
					}
				}
			case '[', '{':
				if depth++; depth == 1 {
					start = i + 1
				}
			case ':':
				if depth == 1 {
					name, start = bytes.TrimSpace(text[start:i]), i+1
				}
			case ',', ']', '}':
				if depth == 1 {
					value := bytes.TrimSpace(text[start:i]) // empty in [] and {}
					if len(value) > 0 && !yield(name, value) {
						return
					}
					start = i + 1
				}
				if c != ',' {
					depth--
				}
			}
		}
	}
}
