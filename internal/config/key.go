// This file finds the gateway key: in PIXAZO_API_KEY, else in the key file.
// That is where Pixazo's own agent skills look for it, in the same order.

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"pixazo-mcp/pixazo"
)

// KeyVariable is the variable that gives the key itself.
const KeyVariable = "PIXAZO_API_KEY"

const (
	keyVariable = KeyVariable
	maxKeyFile  = 4 << 10 // bytes
)

// Key returns the key of PIXAZO_API_KEY, else that of APIKeyFile, which is read
// afresh at each call: a key put there while the server runs is picked up. It
// returns the zero Key when there is none, which is no error unless a setting
// names the file. The errors say where the key was looked for and what to do,
// and hold no part of it.
func (s Settings) Key() (pixazo.Key, error) {
	if s.keyVariable != nil {
		if v := s.keyVariable(); v != "" {
			key, err := pixazo.NewKey(v)
			if err != nil {
				return pixazo.Key{}, fmt.Errorf("%s: %w; set it to the key and nothing else", keyVariable, err)
			}
			return key, nil
		}
	}
	if s.APIKeyFile == "" {
		return pixazo.Key{}, nil
	}
	text, err := readKey(s.APIKeyFile)
	var key pixazo.Key
	if err == nil {
		key, err = pixazo.NewKey(text)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && !s.keyFileNamed:
		return pixazo.Key{}, nil
	case err == nil && key.IsZero() && s.keyFileNamed:
		err = errors.New("it is empty")
	}
	if err != nil {
		return pixazo.Key{}, fmt.Errorf("key file %q of %s: %w; write the key there on a line of its own, or set %s",
			s.APIKeyFile, label("api-key-file"), err, keyVariable)
	}
	return key, nil
}

// KeySource says where Key looks first that something is set: "PIXAZO_API_KEY"
// or the path of the key file. end is the last 4 characters of a key of at
// least 16, by which a user tells one from another, else "". Both are empty
// when nothing is there.
func (s Settings) KeySource() (source, end string) {
	source, text := keyVariable, ""
	if s.keyVariable != nil {
		text = s.keyVariable()
	}
	if text == "" && s.APIKeyFile != "" {
		source = s.APIKeyFile
		text, _ = readKey(s.APIKeyFile)
	}
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
// anything. The error holds neither the path nor any part of the key.
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
	if runtime.GOOS == "windows" || s.APIKeyFile == "" || (s.keyVariable != nil && s.keyVariable() != "") {
		return ""
	}
	info, err := os.Stat(s.APIKeyFile)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o066 == 0 {
		return ""
	}
	return fmt.Sprintf("other users can read or change the key file %q (mode %04o): run chmod 600 on it", s.APIKeyFile, info.Mode().Perm())
}

// readKey reads a file that holds nothing but the key, and gives its text
// unchecked. Its errors leave out the path.
func readKey(path string) (string, error) {
	// A pipe would block, or give the key once and then no more.
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		return "", withoutPath(err)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", withoutPath(err)
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return "", withoutPath(err)
	}
	if len(content) > maxKeyFile {
		return "", errors.New("it is larger than 4 KiB")
	}
	// Windows editors begin a file with a byte order mark.
	return string(bytes.TrimPrefix(content, []byte("\ufeff"))), nil
}

// withoutPath strips the operation and the path, which the caller tells.
func withoutPath(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}
