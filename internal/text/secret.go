// This file finds a secret in whatever form an answer repeats it.

package text

import (
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

// hide returns s with Redacted in the place of secret, and of a beginning of it
// that has MinSecret characters or more. secret is printable ASCII without
// spaces, quotation marks, \, % and &.
func hide(s, secret string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		if n := spelled(s[i:], secret); n > 0 {
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

// spelled returns how many bytes at the beginning of s stand for secret, 0 if
// none do. Letters count in either case and characters as any escape of them;
// between two of them backslashes, spaces and what is not ASCII are passed
// over, since much of that can't be seen (U+FE0F, U+3164).
func spelled(s, secret string) int {
	n, end, found := 0, 0, 0
	for n < len(s) && found < len(secret) {
		r, size := character(s[n:])
		n += size
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

// character returns the first character of s, and how many bytes stand for it:
// its own, or those of an escape.
func character(s string) (rune, int) {
	if strings.IndexByte(`\%&`, s[0]) < 0 {
		return utf8.DecodeRuneInString(s)
	}
	match := escape().FindStringSubmatch(s)
	if match == nil {
		return utf8.DecodeRuneInString(s)
	}
	plain := ' ' // a control character
	if entity := match[4]; entity != "" {
		plain, _ = utf8.DecodeRuneInString(html.UnescapeString("&" + entity))
	} else if number, err := strconv.ParseUint(match[1]+match[2]+match[3], 16, 32); err == nil {
		plain = rune(number)
	}
	return plain, len(match[0])
}
