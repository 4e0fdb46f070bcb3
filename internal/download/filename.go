// This file makes the names of saved videos, and checks names that callers give.
// Since folders are shared and synced, a name must be valid on every system.

package download

import (
	"cmp"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gabriel-vasile/mimetype"
	"golang.org/x/text/unicode/norm"

	"pixazo-mcp/internal/text"
)

const (
	maxFilename  = 1000 // bytes, with its folders
	maxComponent = 200  // bytes; file systems take 255, and an ending may follow
	slugWords    = 8
	slugLength   = 60 // bytes
)

// checkFilename returns filename with slashes and in normal form C, if it is a
// relative path of names that every system takes; "" stays "". Its error has code
// file_refused.
func checkFilename(filename string) (string, error) {
	refuse := func(rule string) (string, error) {
		return "", refused("filename must be a name or a relative path below the output folder (--output-dir, PIXAZO_OUTPUT_DIR), %s; got %s", rule, text.Quote(filename))
	}
	if filename == "" {
		return "", nil
	}
	name := norm.NFC.String(strings.ReplaceAll(filename, `\`, "/")) // \ separates on Windows
	switch {
	case len(name) > maxFilename:
		return refuse(fmt.Sprintf("of at most %d bytes", maxFilename))
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r == utf8.RuneError || !text.IsVisible(r) }):
		return refuse("without control or invisible characters, or other spaces than the ordinary one")
	case strings.ContainsAny(name, `<>:"|?*`):
		return refuse(`without any of < > : " | ? *, which not every system allows (and no drive letter)`)
	case strings.HasPrefix(name, "/"):
		return refuse("not an absolute path")
	case name == "~" || strings.HasPrefix(name, "~/"):
		return refuse("not below the home directory")
	}
	for _, component := range strings.Split(name, "/") {
		switch {
		case component == "" || component == "." || component == "..":
			return refuse("without empty parts, . and ..")
		case len(component) > maxComponent:
			return refuse(fmt.Sprintf("each part of at most %d bytes", maxComponent))
		case strings.Trim(component, " ") != component || strings.HasSuffix(component, "."):
			return refuse("no part of which begins or ends with a space or ends with a dot")
		case text.IsDeviceName(component):
			return refuse("without a name that Windows keeps for a device")
		case strings.HasPrefix(component, partPrefix):
			return refuse("not a name of unfinished downloads")
		}
	}
	return name, nil
}

// defaultName returns the name of a video without its ending: the day it was
// made, the first words of its prompt and the end of its request_id.
func defaultName(made time.Time, prompt, requestID string) string {
	id := strings.Trim(requestID[max(0, len(requestID)-8):], ".-_")
	return strings.TrimRight(made.Local().Format(time.DateOnly)+"-"+cmp.Or(slug(prompt), "video")+"-"+id, "-")
}

// slug returns the first words of a text, in lower case, joined by hyphens.
func slug(prompt string) string {
	visible := text.Visible(norm.NFC.String(text.Clean(prompt, 10*slugLength)))
	words := strings.FieldsFunc(visible, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	})
	slug := ""
	for _, word := range words[:min(len(words), slugWords)] {
		word = strings.ToLower(word)
		if next := strings.TrimPrefix(slug+"-"+word, "-"); len(next) <= slugLength {
			slug = next
			continue
		}
		if slug == "" { // a script without spaces
			slug = strings.ToValidUTF8(word[:slugLength], "") // without a part of a letter at the cut
		}
		break
	}
	return slug
}

// split returns a name without the ending of a video, and that ending; "" if it
// has none.
func split(name string) (base, ending string) {
	ending = path.Ext(name)
	if !slices.Contains([]string{".mp4", ".m4v", ".webm", ".mov", ".mkv", ".mpg", ".mpeg", ".avi", ".ogv"}, strings.ToLower(ending)) {
		ending = ""
	}
	return strings.TrimSuffix(name, ending), ending
}

// numbered returns name for n = 1, and for another n the name with " (n)" before
// its ending.
func numbered(name string, n int) string {
	if n == 1 {
		return name
	}
	base, ending := split(name)
	return fmt.Sprintf("%s (%d)%s", base, n, ending)
}

// pathOf returns the path of the ith video of a job that is saved under name,
// with an ending for its media type if name has none.
func pathOf(name string, i int, mediaType string) string {
	base, ending := split(name)
	if kind := mimetype.Lookup(mediaType); ending == "" && kind != nil {
		ending = kind.Extension()
	}
	ending = cmp.Or(ending, ".mp4")
	if i > 0 {
		base = fmt.Sprintf("%s-%d", base, i+1)
	}
	return filepath.FromSlash(base + ending)
}
