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

// character returns the first character of s, and how many bytes stand for it:
// its own, or those of an escape of JSON (\u0041, \n), Go (\x41), URLs (%41) or
// HTML (&#65;), each also escaped once more.
func character(s string) (rune, int) {
	switch s[0] {
	case '\\':
		escape := trimPrefixes(s, `\`)
		if r, rest, ok := numbered(escape, "u", 4); ok {
			return r, len(s) - len(rest)
		}
		if r, rest, ok := numbered(escape, "x", 2); ok {
			return r, len(s) - len(rest)
		}
		if escape != "" && strings.Contains("bfnrtv", escape[:1]) {
			return ' ', len(s) - len(escape) + 1
		}
	case '%':
		escape := trimPrefixes(s[1:], "25")
		if r, rest, ok := numbered(escape, "", 2); ok {
			return r, len(s) - len(rest)
		}
	case '&':
		entity := trimPrefixes(s[1:], "amp;")
		if end := strings.IndexByte(entity[:min(len(entity), 40)], ';'); end > 0 {
			plain := html.UnescapeString("&" + entity[:end+1])
			if r, size := utf8.DecodeRuneInString(plain); size == len(plain) {
				return r, len(s) - len(entity) + end + 1
			}
		}
	}
	return utf8.DecodeRuneInString(s)
}

// trimPrefixes takes prefix off the beginning of s up to 16 times, which is four
// encodings of one another for backslashes.
func trimPrefixes(s, prefix string) string {
	for range 16 {
		s = strings.TrimPrefix(s, prefix)
	}
	return s
}

// numbered reads a character's number, in so many hexadecimal digits behind
// mark in either case, and returns what follows it.
func numbered(s, mark string, digits int) (r rune, rest string, ok bool) {
	end := len(mark) + digits
	if len(s) < end || !strings.EqualFold(s[:len(mark)], mark) {
		return 0, "", false
	}
	number, err := strconv.ParseUint(s[len(mark):end], 16, 32)
	return rune(number), s[end:], err == nil
}
