// This file holds the gateway key and keeps it out of everything that prints.

package pixazo

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unique"
)

const (
	redacted = "[redacted]"
	// A key of fewer bytes may be an ordinary word, as the sandbox's is, and is
	// not looked for in answers.
	minHidden = 16
)

// Key is the gateway's subscription key. Whatever prints, logs or marshals a
// Key shows "[redacted]"; only this package sends the value itself. The zero
// Key means that there is none. Two Keys are equal (==) if their values are.
//
// The value stands behind a handle: fmt calls no method on what lies in an
// unexported field, nor for %p, and would print a plain string there.
type Key struct{ secret unique.Handle[string] }

// NewKey trims white space around s and checks that what is left can stand in
// an HTTP header: printable ASCII without spaces, at most 512 bytes. An empty
// s gives the zero Key. The error never holds any part of s.
func NewKey(s string) (Key, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return Key{}, nil
	}
	if len(s) > 512 {
		return Key{}, fmt.Errorf("the key has %d characters, more than 512", len(s))
	}
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return Key{}, errors.New("the key holds a space, a line break or a character outside ASCII")
		}
	}
	return Key{unique.Make(s)}, nil
}

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k == Key{} }

// value is the key itself, for the header it is sent in.
func (k Key) value() string {
	if k.IsZero() {
		return ""
	}
	return k.secret.Value()
}

// hide puts "[redacted]" wherever body repeats the key: a refusal may name
// what it refuses, and its words are shown.
func (k Key) hide(body []byte) []byte {
	if len(k.value()) < minHidden {
		return body
	}
	return bytes.ReplaceAll(body, []byte(k.value()), []byte(redacted))
}

// String returns "[redacted]".
func (k Key) String() string { return redacted }

// GoString returns "[redacted]".
func (k Key) GoString() string { return redacted }

// Format writes "[redacted]" for every verb and flag, so that %x or %d cannot
// reach the field either.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue returns "[redacted]" to log/slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]", for JSON and every other text encoding.
func (k Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }
