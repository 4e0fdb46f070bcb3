// This file holds the gateway key and keeps it out of everything that prints.

package pixazo

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
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

// hide puts "[redacted]" wherever s repeats the key, as it is or with any of
// its characters escaped as JSON may do: a refusal may name what it refuses,
// and its words are shown. It must come before s is cut.
func (k Key) hide(s string) string {
	secret := k.value()
	if len(secret) < minHidden {
		return s
	}
	s = strings.ReplaceAll(s, secret, redacted)
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if n := escapedLength(s[i:], secret); n > 0 {
			b.WriteString(redacted)
			i += n
		} else {
			b.WriteByte(s[i])
			i++
		}
	}
	return b.String()
}

// escapedLength is how many bytes of s stand for secret in a JSON string, or
// in one that was quoted again and so has more backslashes; 0 when s begins
// otherwise. secret is ASCII.
func escapedLength(s, secret string) (n int) {
	for i := range len(secret) {
		c, rest := secret[i], s[n:]
		slashes := 0
		for slashes < min(len(rest), 8) && rest[slashes] == '\\' {
			slashes++
		}
		char := rest[slashes:]
		switch {
		case slashes > 0 && byNumber(char, c):
			n += slashes + len("u0000")
		case c == '\\' && slashes >= 2:
			n += 2
		case char != "" && char[0] == c && (slashes == 0 || c == '"' || c == '/'):
			n += slashes + 1
		default:
			return 0
		}
	}
	return n
}

// byNumber reports whether s begins with c as JSON's \u names it.
func byNumber(s string, c byte) bool {
	if len(s) < 5 || s[0] != 'u' {
		return false
	}
	code, err := strconv.ParseUint(s[1:5], 16, 16)
	return err == nil && code == uint64(c)
}

// hideIn is err, or its words alone when they repeat the key.
func (k Key) hideIn(err error) error {
	if said := k.hide(err.Error()); said != err.Error() {
		return errors.New(said)
	}
	return err
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
