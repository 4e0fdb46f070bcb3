// This file holds the gateway key and keeps it out of everything that prints.

package pixazo

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"unique"

	"pixazo-mcp/internal/text"
)

// Key is the gateway's subscription key. Whatever prints, logs or marshals a
// Key shows "[redacted]"; only this package sends the value itself. The zero
// Key means that there is none. Two Keys are equal (==) if their values are.
//
// The value stands behind a handle: fmt calls no method on what lies in an
// unexported field, nor for %p, and would print a plain string there.
type Key struct{ secret unique.Handle[string] }

// NewKey returns the key that s holds, without white space around it; an empty
// s gives the zero Key. The gateway does not say what its keys look like, so
// only what can't be one is refused: more than 512 characters, any that is not
// printable ASCII or belongs to a notation around a key (as in "KEY", <KEY> or
// NAME=KEY), and the usual placeholders. The error never holds any part of s.
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
	if strings.ContainsAny(s, "\"'`\\<>{}[]()%&#;,$") || strings.Contains(s, "://") {
		return Key{}, errors.New("the key holds a quotation mark, a bracket or another sign that does not belong to it; give the key alone")
	}
	if name, value, ok := strings.Cut(s, "="); ok && strings.Trim(value, "=") != "" && isName(name, "_") {
		return Key{}, errors.New("the key begins with a name and an equals sign; give the key alone")
	}
	if isPlaceholder(s) {
		return Key{}, errors.New("the key is a placeholder, the name of one or of its file, not a key; give the key alone")
	}
	return Key{unique.Make(s)}, nil
}

var (
	// What stands in documents and templates where a key belongs, or before one.
	placeholder      = text.Pattern(`^[x*0]*$|yourkey|apikey|subscriptionkey|^bearer:|^(null|none|nil|undefined|true|false|test|todo|example)$`)
	placeholderWords = text.Pattern(`^[^0-9]*(^your|here$|changeme|replaceme|placeholder|redacted)[^0-9]*$`)
)

// isPlaceholder reports whether s stands for a key, such as YOUR_API_KEY, null or
// xxxx, or names one, as the path of its file does.
func isPlaceholder(s string) bool {
	word := strings.NewReplacer("_", "", "-", "", ".", "").Replace(strings.ToLower(s))
	return placeholder().MatchString(word) || placeholderWords().MatchString(word)
}

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k == Key{} }

// Hash returns a short name of the key that does not give it away: the beginning
// of its SHA-256, in hexadecimal; "" for the zero Key.
func (k Key) Hash() string {
	if k.IsZero() {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte("account of "+k.value())))[:16]
}

// value is the key itself, for the header it is sent in.
func (k Key) value() string {
	if k.IsZero() {
		return ""
	}
	return k.secret.Value()
}

// Clean is text.Clean that also puts "[redacted]" wherever s repeats the key: a
// refusal may name what it refuses. It is for every word that comes from the
// gateway or from the network.
func (k Key) Clean(s string, limit int) string { return text.CleanAndHide(s, k.value(), limit) }

// Format writes "[redacted]" for every verb and flag of fmt.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(text.Redacted)) }

// MarshalText returns "[redacted]", for log/slog, JSON and every other text
// encoding.
func (k Key) MarshalText() ([]byte, error) { return []byte(text.Redacted), nil }
