// This file puts values into sentences and into JSON.

package text

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Quote returns a caller's value in double quotes, cut to 80 characters. Invisible
// characters are escaped, not removed, since a stray line break may be what is wrong.
func Quote(s string) string {
	if utf8.RuneCountInString(s) > 80 {
		s = string([]rune(s[:min(len(s), 4*80)])[:80]) + "…"
	}
	return strconv.QuoteToGraphic(s)
}

// inert replaces the characters that could end a quotation or, where Markdown or HTML
// is rendered, begin a link, an image or an element.
var inert = strings.NewReplacer(`"`, "'", "`", "'", "[", "(", "]", ")", "<", "‹", ">", "›")

// QuoteCleaned returns words of the gateway or of a user, which must be cleaned already, in
// double quotes, so that a reader can tell them from words of ours.
func QuoteCleaned(words string) string { return `"` + inert.Replace(words) + `"` }

// ShellWord returns word in quotation marks if a shell would split or change it without:
// in single ones, which Windows' cmd does not know, only if double ones would not do.
func ShellWord(word string) string {
	switch {
	case strings.ContainsAny(word, "\"$`!"):
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	case strings.ContainsAny(word, " \t'&;()<>|*?[]{}#"):
		return `"` + word + `"`
	}
	return word
}

// JSON encodes v without a line break at the end, and without escaping <, > and &,
// since models copy a \u0026 into URLs. indent is that of json.Indent; with "" all is
// on one line.
func JSON(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
