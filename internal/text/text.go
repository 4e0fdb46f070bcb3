// Package text makes strings from outside fit to be shown. The gateway's words and a
// caller's values end up in terminals, in logs and with models.
package text

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Clean returns s as one line of at most limit characters, and "…" behind them if
// something was cut off. A run of white space becomes one space. Control characters,
// formatting characters such as bidirectional overrides, and invalid ones are removed.
func Clean(s string, limit int) string {
	// s may be a megabyte of escapes. No more than this is read.
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

// IsVisible reports whether r can be seen, and is not another space than the ordinary
// one, which looks the same. To Unicode, fillers, variation selectors and the empty
// braille cell are letters, marks and symbols, but they show nothing.
func IsVisible(r rune) bool {
	const brailleBlank, nullNotehead = '\u2800', '\U0001d159'
	return unicode.IsGraphic(r) && (r == ' ' || !unicode.IsSpace(r) && !unicode.Is(unicode.Zs, r)) && r != brailleBlank && r != nullNotehead &&
		!unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// Visible returns s without the characters that can't be seen (see IsVisible). White space
// stays.
func Visible(s string) string {
	return strings.Map(func(r rune) rune {
		if IsVisible(r) || unicode.IsSpace(r) {
			return r
		}
		return -1
	}, s)
}

// CleanVisible returns Clean(Visible(s), limit).
func CleanVisible(s string, limit int) string { return Clean(Visible(s), limit) }

// CleanAndHide returns Clean(s, limit) with Redacted in place of secret, see hide. The
// order matters: removing a character may join two halves of the secret, so it comes
// before; cutting may leave a part that is too short to be found, so it comes after.
func CleanAndHide(s, secret string, limit int) string {
	if len(secret) < MinSecret {
		return Clean(s, limit)
	}
	return Clean(hide(Clean(s, len(s)), secret), limit)
}

// WithoutNaming returns words without the sentences that contain one of names.
func WithoutNaming(words string, names []string) string {
	var kept strings.Builder
	for sentence := range strings.SplitAfterSeq(words, ". ") {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(sentence, name) }) {
			kept.WriteString(sentence)
		}
	}
	return strings.TrimRight(kept.String(), " ")
}

// Pattern returns a function that returns the regular expression. It is compiled at the
// first call: compiling all of them would add 0.5 ms to each start of the program.
func Pattern(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

var base64Run = Pattern(`[A-Za-z0-9+/=]+`)

// WithoutData replaces long runs of base64 by "[data]". A gateway that repeats a request
// also repeats its attachments, which belong neither in the journal nor in a model's
// context.
func WithoutData(s string) string {
	const longest = 80 // characters of a run that is kept, since it may be a word or an id
	return base64Run().ReplaceAllStringFunc(s, func(run string) string {
		if len(run) > longest {
			return "[data]"
		}
		return run
	})
}

// Near returns the word of known that is nearest to word: one that begins with it, as
// timeout_seconds begins with timeout, else one that differs from it by at most two
// inserted, deleted or replaced bytes. It returns "" when there is none.
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

// within reports whether at most this many inserted, deleted or replaced bytes turn a
// into b.
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

// IsDeviceName reports whether Windows opens a device instead of a file of this name,
// as with CON or com1.txt.
func IsDeviceName(name string) bool { return deviceName().MatchString(name) }
