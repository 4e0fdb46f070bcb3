// This file makes strings from outside fit to be shown: the gateway's words
// and a caller's values end up in terminals, logs and models.

package pixazo

import (
	"strings"
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

// Quote shows a value in double quotes, cleaned and cut to 80 characters.
func Quote(s string) string { return `"` + Clean(s, 80) + `"` }
