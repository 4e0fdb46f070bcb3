// This file holds the gateway key and keeps it from being printed.

package pixazo

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"unique"

	"pixazo-mcp/internal/text"
)

// Key is the gateway's subscription key. Printed, logged or marshalled it is
// "[redacted]"; only this package can read the value. The zero Key means that there is
// none. Two Keys are equal (==) if their values are.
//
// The value is behind a handle, because fmt calls no methods on unexported fields, nor
// for %p, and would print a plain string there.
type Key struct{ secret unique.Handle[string] }

// NewKey returns s as a key, without white space around it; for an empty s it returns
// the zero Key. The gateway does not say what its keys look like, so only what can't be
// one is refused: more than 512 characters, characters that are not printable ASCII or
// that surround a key (as in "KEY", <KEY> or NAME=KEY), and the usual placeholders. The
// error quotes nothing of s.
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
			return Key{}, errors.New("the key holds a space, a line break or a character that can't be seen or is outside ASCII")
		}
	}
	if strings.ContainsAny(s, "\"'`\\<>{}[]()%&#;,$") || strings.Contains(s, "://") {
		return Key{}, errors.New("the key holds a quotation mark, a bracket or another sign that does not belong to it; give the key alone")
	}
	if name, value, ok := strings.Cut(s, "="); ok && strings.Trim(value, "=") != "" && (name == "" || isName(name, "_")) {
		return Key{}, errors.New("the key begins with an equals sign, or a name and an equals sign; give the key alone")
	}
	if isPlaceholder(s) {
		return Key{}, errors.New("the key is a placeholder, the name of one or of its file, not a key; give the key alone")
	}
	return Key{unique.Make(s)}, nil
}

var (
	// What documents and templates have in place of a key, or in front of one.
	placeholder      = text.Pattern(`^[x*0]*$|yourkey|apikey|subscriptionkey|^(bearer|key|token|secret|value):|^(null|none|nil|undefined|true|false|test|todo|example)$`)
	placeholderWords = text.Pattern(`^[^0-9]*(^your|^(insert|replace|enter|paste)(with|the|my|your|pixazo|key|token|secret|value)|here$|changeme|replaceme|placeholder|redacted)[^0-9]*$`)
	withoutMarks     = strings.NewReplacer("_", "", "-", "", ".", "")
)

// isPlaceholder reports whether s is a placeholder, such as YOUR_API_KEY, null or xxxx,
// or the name of a key or of its file.
func isPlaceholder(s string) bool {
	word := withoutMarks.Replace(strings.ToLower(s))
	return placeholder().MatchString(word) || placeholderWords().MatchString(word)
}

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k == Key{} }

// Hash returns the beginning of a SHA-256 of the key in hexadecimal, which identifies the
// key without revealing it; "" for the zero Key.
func (k Key) Hash() string {
	if k.IsZero() {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte("account of "+k.value())))[:16]
}

// value returns the key itself, "" for the zero Key.
func (k Key) value() string {
	if k.IsZero() {
		return ""
	}
	return k.secret.Value()
}

// Clean returns text.Clean(s, limit) with "[redacted]" in place of the key. All text
// from the gateway or the network must pass through it, since a refusal may quote the
// key.
func (k Key) Clean(s string, limit int) string { return text.CleanAndHide(s, k.value(), limit) }

// Format writes "[redacted]" for every verb and flag of fmt.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(text.Redacted)) }

// MarshalText returns "[redacted]", for log/slog, JSON and every other text
// encoding.
func (k Key) MarshalText() ([]byte, error) { return []byte(text.Redacted), nil }
