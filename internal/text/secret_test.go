// These tests hold that a secret stays hidden in whatever form an answer
// repeats it, and that nothing else is taken for it.

package text

import (
	"encoding/base64"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

const secret = "5c1f0e9ab2d34487+b1c0d9/8f70123=" // with what JSON, URLs and HTML escape

// each writes every character of s by format, which takes its number.
func each(format, s string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, format, r)
	}
	return b.String()
}

func TestSecretIsHiddenHoweverItIsWritten(t *testing.T) {
	forms := map[string]string{
		"as it is":              secret,
		"in capitals":           strings.ToUpper(secret),
		"JSON":                  each(`\u%04x`, secret),
		"JSON in capitals":      each(`\U%04X`, secret),
		"JSON, one character":   secret[:7] + `\u0061` + secret[8:],
		"JSON, a slash":         strings.ReplaceAll(secret, "/", `\/`),
		"JSON in JSON":          each(`\\u%04x`, secret),
		"JSON in JSON in JSON":  each(`\\\\u%04x`, secret),
		"quoted by Go":          strconv.Quote(each(`\x%02x`, secret)),
		"bytes of Go":           each(`\x%02X`, secret),
		"URL":                   url.QueryEscape(secret),
		"URL, lower case":       strings.ToLower(url.QueryEscape(secret)),
		"URL, each character":   each("%%%02x", secret),
		"URL in a URL":          url.QueryEscape(url.QueryEscape(each("%%%02X", secret))),
		"HTML":                  strings.NewReplacer("+", "&plus;", "/", "&sol;", "=", "&equals;").Replace(secret),
		"HTML, decimal":         each("&#%d;", secret),
		"HTML, hexadecimal":     each("&#x%x;", secret),
		"HTML in capitals":      each("&#X%X;", secret),
		"HTML with zeros":       each("&#%07d;", secret),
		"HTML in HTML":          html.EscapeString(html.EscapeString(each("&#%d;", secret))),
		"two kinds of escapes":  `\u0035%63` + secret[2:10] + "&#100;" + secret[11:],
		"behind half an escape": `\u00` + secret,
		"behind a percent sign": "%" + secret,
		"behind an ampersand":   "&#" + secret,
		"hexadecimal":           each("%02x", secret),
		"hexadecimal, capitals": each("%02X", secret),
		"base64":                base64.StdEncoding.EncodeToString([]byte(secret)),
		"base64, one before it": base64.StdEncoding.EncodeToString([]byte(":" + secret)),
		"base64, two before it": base64.StdEncoding.EncodeToString([]byte("a:" + secret)),
		"base64 within more":    base64.StdEncoding.EncodeToString([]byte("key:" + secret + ".")),
		"base64 in JSON":        strings.ReplaceAll(base64.StdEncoding.EncodeToString([]byte("a:"+secret)), "/", `\/`),
		"base64 in a URL":       url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("a:" + secret))),
		"base64 for URLs":       base64.RawURLEncoding.EncodeToString([]byte("a:" + secret)),
		"twice":                 secret + secret,
		"its first half":        secret[:len(secret)/2],
		"all but its end":       secret[:len(secret)-1],
		"behind its beginning":  secret[:5] + secret,
	}
	for name, between := range map[string]string{
		"zero width space": "\u200b", "control": "\x01", "NUL": "\x00", "override": "\u202e", "invalid": "\xff", "replaced": "\ufffd", "soft hyphen": "\u00ad",
		"byte order mark": "\ufeff", "tag": "\U000e0041", "private use": "\ue000", "variation selector": "\ufe0f", "another": "\U000e0101", "filler": "\u3164",
		"half-width filler": "\uffa0", "Braille blank": "\u2800", "accent": "\u0301", "grapheme joiner": "\u034f", "line break": "\r\n", "space": " ",
		"no-break space": "\u00a0", "escape": "\x1b", "escaped line break": `\r\n`, "escaped again": `\\n`, "tab": `\t`, "escaped space": `\u200b`, "escaped twice": `\\u200b`, "percent": "%E2%80%8B", "entity": "&#8203;", "soft hyphen entity": "&shy;",
	} {
		forms[name+" in the middle"] = secret[:13] + between + secret[13:]
		forms[name+" everywhere"] = strings.Join(strings.Split(secret, ""), between)
	}
	for name, form := range forms {
		for _, frame := range []string{"%s", "the key %s was revoked", "[%s]", "“%s”", "\u200b%s\u200b"} {
			got := CleanAndHide(fmt.Sprintf(frame, form), secret, 5000)
			left := strings.ToLower(got)
			for _, part := range []string{secret[:8], secret[8:16], secret[18:26], each("%02x", secret[8:16]), "YjJkMzQ0ODc", "IyZDM0NDg3", "iMmQzNDQ4N"} {
				if strings.Contains(left, strings.ToLower(part)) {
					t.Errorf("%s: %q becomes %q", name, form, got)
				}
			}
			if !strings.Contains(got, Redacted) || len(got) > 80 {
				t.Errorf("%s: %q becomes %q", name, form, got)
			}
			if !Holds(fmt.Sprintf(frame, form), secret) {
				t.Errorf("%s: %q is not found", name, form)
			}
		}
	}
}

func TestSecretIsHiddenBeforeTheCut(t *testing.T) {
	for before := range 60 {
		got := CleanAndHide(strings.Repeat("x", before)+secret+" and more", secret, 40)
		if strings.Contains(got, secret[:2]) {
			t.Errorf("%d characters before: %q", before, got)
		}
	}
	// A cut within what is taken out.
	if got := CleanAndHide(strings.Repeat("\u200b", 1<<18)+secret, secret, 4); got != "[red…" {
		t.Errorf("behind a lot of rubbish: %q", got)
	}
}

func TestOnlyTheSecretIsHidden(t *testing.T) {
	for _, tt := range []struct{ secret, s, want string }{
		{"", "sandbox", "sandbox"},
		{"sandbox", `{"request_id":"sandbox_1"}`, `{"request_id":"sandbox_1"}`}, // too short to be looked for
		{secret, "", ""},
		{secret, "the key is wrong", "the key is wrong"},
		{secret, secret[:15], secret[:15]},
		{secret, secret[1:], secret[1:]},
		{secret, "5 c 1 f 0 e 9 a", "5 c 1 f 0 e 9 a"},
		{secret, secret[:15] + "-" + secret[15:], secret[:15] + "-" + secret[15:]},
		{secret, `\u005`, `\u005`}, {secret, `\`, `\`}, {secret, `5\`, `5\`}, {secret, "%", "%"}, {secret, "%5", "%5"}, {secret, "&", "&"}, {secret, "&#53", "&#53"},
		{secret, "日本 " + secret + " ü", "日本 [redacted] ü"},
		{secret, secret + secret, "[redacted][redacted]"},
		{secret, secret + "0", "[redacted]0"},
		{secret, secret[:16] + " of it", "[redacted] of it"},
	} {
		if got := CleanAndHide(tt.s, tt.secret, 1000); got != tt.want {
			t.Errorf("%q becomes %q, want %q", tt.s, got, tt.want)
		}
		if Holds(tt.s, tt.secret) != strings.Contains(tt.want, Redacted) {
			t.Errorf("Holds of %q", tt.s)
		}
	}
}

// A gateway that wanted to keep us busy gets no more than a second of a
// megabyte.
func BenchmarkHideInAMegabyte(b *testing.B) {
	for name, s := range map[string]string{
		"words":       strings.Repeat("the key is wrong ", 1<<16),
		"beginnings":  strings.Repeat(secret[:15], 1<<16),
		"backslashes": strings.Repeat(`\`, 1<<20),
		"percents":    "5" + strings.Repeat("%25", 1<<18),
		"ampersands":  "5" + strings.Repeat("&amp;", 1<<18),
		"fillers":     strings.Repeat("5"+strings.Repeat("\u3164", 1<<10), 1<<8),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				CleanAndHide(s, secret, 500)
			}
		})
	}
}
