// This file finds a secret in a text, also where the text spells it differently.

package text

import (
	"encoding/base64"
	"encoding/hex"
	"html"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"
)

// Redacted stands where a secret was.
const Redacted = "[redacted]"

// MinSecret is the length of the shortest secret that is looked for. A shorter one,
// like the sandbox's key, may be an ordinary word.
const MinSecret = 16

// Holds reports whether s repeats secret, in any of the forms that CleanAndHide
// finds.
func Holds(s, secret string) bool {
	s = Clean(s, len(s))
	return len(secret) >= MinSecret && hide(s, secret) != s
}

// hide returns s with Redacted in place of secret, and of every beginning of secret
// with at least MinSecret characters; both also in hexadecimal and in base64. secret
// must be printable ASCII without spaces, quotation marks, \, % and &.
func hide(s, secret string) string {
	if len(s) < MinSecret {
		return s
	}
	var b strings.Builder
	read, forms := make([]character, len(s)), formsOf(secret)
	for i := range read {
		read[i] = characterAt(s[i:])
	}
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

// newestForms is what formsOf returned last, since a program has one secret for all texts.
var newestForms atomic.Pointer[[]string]

// base64URL replaces what base64 for URLs writes differently.
var base64URL = strings.NewReplacer("+", "-", "/", "_")

// formsOf returns secret as it is, in hexadecimal, and in base64. There it has three
// forms, by how many bytes are encoded before it, as in "name:secret" (RFC 7617), and
// each may have another one for URLs. Of each only the part is returned that does not
// depend on the bytes around secret. The result must not be changed.
func formsOf(secret string) []string {
	if newest := newestForms.Load(); newest != nil && (*newest)[0] == secret {
		return *newest
	}
	forms := []string{secret, hex.EncodeToString([]byte(secret))}
	for before := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("-", before) + secret))
		form := encoded[(before*8+5)/6 : (before+len(secret))*8/6]
		forms = append(forms, form)
		if forURL := base64URL.Replace(form); forURL != form {
			forms = append(forms, forURL)
		}
	}
	newestForms.Store(&forms)
	return forms
}

// spelled returns how many bytes at the beginning of text spell secret, or at least
// its first MinSecret characters; 0 if they don't. text has a character for each byte,
// see characterAt. Upper and lower case count as equal. Backslashes, spaces and all
// that is not ASCII are skipped, since much of it is invisible (U+FE0F, U+3164).
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

// character is a rune, and the number of bytes by which the text spells it.
type character struct{ r, size int32 }

// characterAt returns the first character of s, decoding an escape.
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
