// This file finds a secret in whatever form an answer repeats it.

package text

import (
	"encoding/base64"
	"encoding/hex"
	"html"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Redacted stands where a secret was.
const Redacted = "[redacted]"

// MinSecret is the length from which on a secret is looked for. A shorter one,
// as the sandbox's is, may be an ordinary word.
const MinSecret = 16

// Holds reports whether s repeats secret, in any of the forms that CleanAndHide
// finds.
func Holds(s, secret string) bool {
	s = Clean(s, len(s))
	return len(secret) >= MinSecret && hide(s, secret) != s
}

// hide returns s with Redacted in the place of secret, and of a beginning of it
// that has MinSecret characters or more, also in hexadecimal and in base64. secret
// is printable ASCII without spaces, quotation marks, \, % and &.
func hide(s, secret string) string {
	var b strings.Builder
	read, forms := charactersOf(s), formsOf(secret)
	for i := 0; i < len(s); {
		n := 0
		for _, form := range forms {
			n = max(n, spelled(read[i:], form))
		}
		if n > 0 {
			b.WriteString(Redacted)
			i += n
			continue
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		b.WriteString(s[i : i+size])
		i += size
	}
	return b.String()
}

// formsOf returns secret, its hexadecimal digits, and that part of its base64 which
// does not depend on what is encoded with it, such as a name and a colon before it
// (RFC 7617): there are three, and each has a form for URLs.
func formsOf(secret string) []string {
	forms := []string{secret, hex.EncodeToString([]byte(secret))}
	for before := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("-", before) + secret))
		form := encoded[(before*8+5)/6 : (before+len(secret))*8/6]
		forms = append(forms, form)
		if forURL := strings.NewReplacer("+", "-", "/", "_").Replace(form); forURL != form {
			forms = append(forms, forURL)
		}
	}
	return forms
}

// spelled returns how many bytes at the beginning of a text, read by charactersOf,
// stand for secret, 0 if none do. Letters count in either case and characters as any
// escape of them; between two of them backslashes, spaces and what is not ASCII are
// passed over, since much of that can't be seen (U+FE0F, U+3164).
func spelled(text []character, secret string) int {
	n, end, found := 0, 0, 0
	for n < len(text) && found < len(secret) {
		r := text[n].r
		n += int(text[n].size)
		if unicode.ToLower(r) == unicode.ToLower(rune(secret[found])) {
			found++
			end = n
		} else if found == 0 || r > ' ' && r <= '~' && r != '\\' {
			break
		}
	}
	if found < MinSecret {
		return 0
	}
	return end
}

// escape matches one character as JSON (\u0041, \n), Go (\x41), URLs (%41) and
// HTML (&#65;) escape it, each also escaped once more.
var escape = Pattern(`(?i)^(?:\\{1,8}(?:u([0-9a-f]{4})|x([0-9a-f]{2})|[bfnrtv])|%(?:25){0,8}([0-9a-f]{2})|&(?:amp;){0,8}([#a-z0-9]{1,40};))`)

// character is what size bytes of a text stand for: a rune, or an escape of one.
type character struct{ r, size int32 }

// charactersOf returns, for each byte of s, the character that begins there.
func charactersOf(s string) []character {
	all := make([]character, len(s))
	for i := range all {
		all[i] = characterAt(s[i:])
	}
	return all
}

// characterAt returns the first character of s.
func characterAt(s string) character {
	plain, size := utf8.DecodeRuneInString(s)
	if strings.IndexByte(`\%&`, s[0]) < 0 {
		return character{plain, int32(size)}
	}
	match := escape().FindStringSubmatch(s)
	if match == nil {
		return character{plain, int32(size)}
	}
	plain = ' ' // a control character
	if entity := match[4]; entity != "" {
		plain, _ = utf8.DecodeRuneInString(html.UnescapeString("&" + entity))
	} else if number, err := strconv.ParseUint(match[1]+match[2]+match[3], 16, 32); err == nil {
		plain = rune(number)
	}
	return character{plain, int32(len(match[0]))}
}
