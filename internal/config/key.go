// This file finds the gateway key, in a variable or else in the key file, as Pixazo's own
// agent skills do.

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"pixazo-mcp/internal/disk"
	"pixazo-mcp/pixazo"
)

// KeyVariable is the variable that contains the key.
const KeyVariable = "PIXAZO_API_KEY"

var keyVariables = []string{KeyVariable, "PIXAZO_SUBSCRIPTION_KEY"}

const maxKeyFile = 4 << 10 // bytes

// key returns the first variable that contains a key, and that key, both "" if none does.
func (p *parser) key() (name, text string) {
	for _, name := range keyVariables {
		if v := clean(p.variable(name)); v != "" {
			return name, v
		}
	}
	return "", ""
}

// text returns the variable or the file from which the key is read, and its unchecked
// content. source is "" if there is neither.
func (s Settings) text() (source, text string, err error) {
	if s.keyVariable != nil {
		source, text = s.keyVariable()
	}
	if text == "" && s.APIKeyFile != "" {
		source = s.APIKeyFile
		text, err = disk.ReadText(source, maxKeyFile)
	}
	return source, text, err
}

// Key returns the key of a variable, else that of APIKeyFile. It reads the file at each
// call, so that a key which is put there while the server runs is used. Without a key it
// returns the zero Key, and an error only if a setting names the file. Errors say where
// the key was looked for and what to do, and contain no part of it.
func (s Settings) Key() (pixazo.Key, error) {
	if s.withoutKey != nil {
		return pixazo.Key{}, s.withoutKey
	}
	// Without a valid gateway the key might be sent to the wrong one.
	if err := s.Problem("", "sandbox", "gateway-url"); err != nil {
		return pixazo.Key{}, err
	}
	source, content, err := s.text()
	if source == "" {
		return pixazo.Key{}, s.Problem("api-key-file")
	}
	var key pixazo.Key
	if err == nil {
		key, err = pixazo.NewKey(content)
	}
	if source != s.APIKeyFile {
		if err != nil {
			err = fmt.Errorf("%s: %w; set it to the key and nothing else", source, err)
		}
		return key, err
	}
	named := s.given("api-key-file")
	_, other := os.Stat(source + ".txt")
	switch {
	case errors.Is(err, fs.ErrNotExist) && other == nil: // Notepad and TextEdit add the ending
		err = fmt.Errorf("it is not there, but %s.txt is: take .txt off its name", filepath.Base(source))
	case errors.Is(err, fs.ErrNotExist) && !named:
		return pixazo.Key{}, nil
	case errors.Is(err, fs.ErrNotExist):
		err = errors.New("it is not there")
	case err == nil && key.IsZero() && named:
		err = errors.New("it is empty")
	}
	if err != nil {
		err = fmt.Errorf("key file %q of --api-key-file (PIXAZO_API_KEY_FILE): %w; write the key there on a line of its own, or set %s", source, err, KeyVariable)
	}
	return key, err
}

// KeySource returns the variable or the file from which Key reads a key, valid or not,
// and the last 4 characters of it, by which users tell keys apart; end is "" for a key
// of fewer than 16 characters. Both are "" if there is no key.
func (s Settings) KeySource() (source, end string) {
	source, text, _ := s.text()
	if text = strings.TrimSpace(text); text == "" {
		return "", ""
	}
	if len(text) >= 16 {
		end = text[len(text)-4:]
	}
	return source, end
}

// KeyOfFile returns the key in a file. It returns the zero Key if the file does not exist
// or contains only white space, so that writing a key there loses nothing. The error
// contains no part of the key.
func KeyOfFile(path string) (pixazo.Key, error) {
	text, err := disk.ReadText(path, maxKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return pixazo.Key{}, nil
	}
	if err != nil {
		return pixazo.Key{}, err
	}
	return pixazo.NewKey(text)
}

// KeyWarning returns a sentence for the log if the key is read from a file that other
// users of the computer can read or change, else "". It does not check on Windows, which
// has no permission bits.
func (s Settings) KeyWarning() string {
	info, err := os.Stat(s.APIKeyFile)
	if source, _, _ := s.text(); source != s.APIKeyFile || err != nil || runtime.GOOS == "windows" || !info.Mode().IsRegular() || info.Mode().Perm()&0o066 == 0 {
		return ""
	}
	return fmt.Sprintf("other users can read or change the key file %q (mode %04o): run chmod 600 on it", s.APIKeyFile, info.Mode().Perm())
}
