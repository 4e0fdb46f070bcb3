// This file writes values into sentences and into JSON.

package text

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Quote shows a caller's value in double quotes, cut to 80 characters, with
// what can't be seen escaped: a stray line break may be what is wrong with it.
func Quote(s string) string {
	if utf8.RuneCountInString(s) > 80 {
		s = string([]rune(s[:min(len(s), 4*80)])[:80]) + "…"
	}
	return strconv.QuoteToGraphic(s)
}

// inert replaces what could close a quotation, or make a link, an image or an
// element of it where Markdown or HTML is rendered.
var inert = strings.NewReplacer(`"`, "'", "`", "'", "[", "(", "]", ")", "<", "‹", ">", "›")

// Said shows the gateway's words, which are cleaned already, in double quotes:
// what stands between them is data, and what follows is ours.
func Said(words string) string { return `"` + inert.Replace(words) + `"` }

// JSON encodes v without escaping <, > and &, since models copy \u0026 into
// URLs, and without a line break at the end. indent is that of json.Indent; ""
// keeps it on one line.
func JSON(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
