// This file finds the gateway key: in a variable, else in the key file. That is
// where Pixazo's own agent skills look for it, in the same order.

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"pixazo-mcp/internal/disk"
	"pixazo-mcp/pixazo"
)

// KeyVariable is the variable that gives the key itself.
const KeyVariable = "PIXAZO_API_KEY"

var keyVariables = []string{KeyVariable, "PIXAZO_SUBSCRIPTION_KEY"}

const maxKeyFile = 4 << 10 // bytes

// key returns the first variable that gives the key, and the key.
func (p *parser) key() (name, text string) {
	for _, name := range keyVariables {
		if v := clean(p.variable(name)); v != "" {
			return name, v
		}
	}
	return "", ""
}

// text returns where the key is looked for first, and what is there, unchecked.
func (s Settings) text() (source, text string, err error) {
	if s.keyVariable != nil {
		source, text = s.keyVariable()
	}
	if text == "" && s.APIKeyFile != "" {
		source = s.APIKeyFile
		text, err = readKey(source)
	}
	return source, text, err
}

// Key returns the key of the variable, else that of APIKeyFile, which is read
// afresh at each call: a key put there while the server runs is picked up. It
// returns the zero Key when there is none, which is no error unless a setting
// names the file. The errors say where the key was looked for and what to do,
// and hold no part of it.
func (s Settings) Key() (pixazo.Key, error) {
	// While it is in doubt where the key would be sent to, there is none.
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
	case err == nil && key.IsZero() && named:
		err = errors.New("it is empty")
	}
	if err != nil {
		err = fmt.Errorf("key file %q of --api-key-file (PIXAZO_API_KEY_FILE): %w; write the key there on a line of its own, or set %s", source, err, KeyVariable)
	}
	return key, err
}

// KeySource says where Key looks first that something is set: the name of a
// variable, or the path of the key file. end is the last 4 characters of a key
// of at least 16, by which a user tells one from another, else "". Both are
// empty when nothing is there.
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

// KeyOfFile returns the key in a file, the zero Key when the file does not exist
// or has nothing but white space: one can then be put there without losing
// anything. The error holds no part of the key.
func KeyOfFile(path string) (pixazo.Key, error) {
	text, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return pixazo.Key{}, nil
	}
	if err != nil {
		return pixazo.Key{}, err
	}
	return pixazo.NewKey(text)
}

// KeyWarning returns a sentence for the log when the key file is in use and
// other users of the computer can read or change it, else "". It knows nothing of
// Windows, which has no such permission bits.
func (s Settings) KeyWarning() string {
	info, err := os.Stat(s.APIKeyFile)
	if source, _, _ := s.text(); source != s.APIKeyFile || err != nil || runtime.GOOS == "windows" || !info.Mode().IsRegular() || info.Mode().Perm()&0o066 == 0 {
		return ""
	}
	return fmt.Sprintf("other users can read or change the key file %q (mode %04o): run chmod 600 on it", s.APIKeyFile, info.Mode().Perm())
}

// readKey reads a file that holds nothing but the key, and gives its text
// unchecked, without a byte order mark: Notepad begins a file with one, and
// PowerShell's > writes UTF-16.
func readKey(path string) (string, error) {
	content, err := disk.ReadFile(path, maxKeyFile)
	if err != nil {
		return "", err
	}
	content, _, err = transform.Bytes(unicode.BOMOverride(transform.Nop), content)
	return string(content), err
}
