// Package text makes strings from outside fit to be shown: the gateway's words
// and a caller's values end up in terminals, logs and models.
package text

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Clean makes s one line of at most limit characters: runs of white space
// become one space; control, formatting (such as bidirectional overrides) and
// invalid characters go. Where it was cut a "…" follows.
func Clean(s string, limit int) string {
	// An error text may be a megabyte of escapes: no more than this is read.
	most := 64 * limit
	cut := len(s) > most
	if cut {
		s = s[:most]
	}
	var b strings.Builder
	n, gap := 0, false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			gap = n > 0
			continue
		case r == utf8.RuneError || !unicode.IsGraphic(r):
			continue
		}
		if n >= limit || gap && n+1 >= limit {
			cut = true
			break
		}
		if gap {
			b.WriteByte(' ')
			n++
			gap = false
		}
		b.WriteRune(r)
		n++
	}
	if cut {
		b.WriteString("…")
	}
	return b.String()
}

// CleanAndHide is Clean that also puts Redacted wherever s repeats secret, see
// hide. The order matters: a character that is taken out would join two halves
// of a secret, and a cut would leave a part of it.
func CleanAndHide(s, secret string, limit int) string {
	if len(secret) < MinSecret {
		return Clean(s, limit)
	}
	return Clean(hide(Clean(s, len(s)), secret), limit)
}

// WithoutNaming returns words without the sentences in which one of names occurs.
func WithoutNaming(words string, names []string) string {
	var kept strings.Builder
	for sentence := range strings.SplitAfterSeq(words, ". ") {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(sentence, name) }) {
			kept.WriteString(sentence)
		}
	}
	return strings.TrimRight(kept.String(), " ")
}

// Pattern returns a regular expression that is compiled when it is first used:
// all of them together would cost each start of the program 0.5 ms.
func Pattern(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

var base64Run = Pattern(`[A-Za-z0-9+/=]+`)

// WithoutData replaces long runs of base64 by "[data]": a gateway that repeats
// a request repeats its attachments, which belong neither in the journal nor
// in a model's context.
func WithoutData(s string) string {
	const longest = 80 // characters of a run that may be a word or an id
	return base64Run().ReplaceAllStringFunc(s, func(run string) string {
		if len(run) > longest {
			return "[data]"
		}
		return run
	})
}

// Near returns the word of known that word is most like: one that begins with it, as
// timeout_seconds does with timeout, or that up to two insertions, deletions or
// replacements of a byte make of it. It returns "" when there is none.
func Near(word string, known []string) string {
	for slips := range 3 {
		for _, k := range known {
			if slips == 0 && strings.HasPrefix(k, word) || within(slips, word, k) {
				return k
			}
		}
	}
	return ""
}

// within reports whether so many insertions, deletions or replacements of a byte, or
// fewer, make b of a.
func within(slips int, a, b string) bool {
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	if a == b || slips == 0 {
		return a == b
	}
	return a != "" && within(slips-1, a[1:], b) || b != "" && within(slips-1, a, b[1:]) || a != "" && b != "" && within(slips-1, a[1:], b[1:])
}

var deviceName = Pattern(`(?i)^(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9¹²³]) *(\.|$)`)

// IsDeviceName reports whether Windows takes the name of a file for a device,
// such as CON or com1.txt.
func IsDeviceName(name string) bool { return deviceName().MatchString(name) }
