// This file resolves paths lexically, without touching the disk: the forms of
// the system that the program runs on, and file:// URLs.

package attach

import (
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"pixazo-mcp/pixazo"
)

const maxPath = 4096 // bytes

// localPath returns the path that item, a path or a file URL, stands for, or the rule
// that item breaks.
func localPath(item, home string) (p, rule string) {
	p = item
	switch {
	case pixazo.HasScheme(item, "file"):
		if p = fileURL(item, runtime.GOOS); p == "" {
			return "", "must be a file URL with an absolute path and without a host, ? or # (as in file:///folder/my%20file.png)"
		}
	case strings.HasPrefix(item, "~"):
		switch rest := item[1:]; {
		case rest != "" && !os.IsPathSeparator(rest[0]):
			return "", "must have its ~ alone or before a separator (write ./~name for a file of that name)"
		case home == "":
			return "", "must not begin with ~, since the home directory is not known"
		default:
			p = home + rest
		}
	}
	last := p[strings.LastIndexFunc(p, func(r rune) bool { return r < utf8.RuneSelf && os.IsPathSeparator(byte(r)) })+1:]
	switch {
	case !utf8.ValidString(p) || strings.ContainsFunc(p, deceptive):
		return "", "must be a path of valid characters, without control characters, line breaks or overrides of their direction"
	case len(p) > maxPath:
		return "", "must be a path of at most 4,096 bytes"
	case last == "" || last == "." || last == "..":
		return "", "must be the path of a file, not of a folder"
	}
	return p, ""
}

// fileURL returns the path of a file URL, "" if it has no usable one. On Windows a host
// becomes the server of a network path; elsewhere a URL with a host is not usable.
func fileURL(s, goos string) string {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#") || !strings.HasPrefix(u.Path, "/") {
		return ""
	}
	switch p := u.Path; {
	case u.Host != "" && !strings.EqualFold(u.Host, "localhost"):
		if goos != "windows" {
			return ""
		}
		return "//" + u.Host + p
	case goos == "windows" && len(p) > 2 && p[2] == ':':
		return p[1:] // of /C:/folder
	default:
		return p
	}
}

// deceptive reports whether r can make a path look like another one: a control character,
// a line break, or an override of the writing direction. Directional marks and joiners
// are allowed, since names in Arabic, Hebrew or Hindi have them.
func deceptive(r rune) bool {
	return unicode.IsControl(r) || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// below returns p relative to folder, and whether p lies below folder, lexically. Both
// are absolute paths. Names that look alike count as equal. That is safe, since the file
// is opened relative to the folder.
func below(p, folder string) (name string, ok bool) {
	parts, over := elements(p), elements(folder)
	if len(parts) < len(over) {
		return "", false
	}
	for i := range over {
		a, b := foldName(parts[i]), foldName(over[i])
		if a != b && !((runtime.GOOS == "windows" || runtime.GOOS == "darwin") && strings.EqualFold(a, b)) {
			return "", false
		}
	}
	return filepath.Join(append([]string{"."}, parts[len(over):]...)...), true
}

// elements returns the elements of an absolute path; a drive is one of them.
func elements(p string) []string {
	return strings.FieldsFunc(filepath.ToSlash(filepath.Clean(p)), func(r rune) bool { return r == '/' })
}

// foldName returns a form of name that is the same for names that look alike. A model
// types neither the narrow space in the name of a Mac's screenshot nor the Unicode
// normalization that the disk uses.
func foldName(name string) string {
	return strings.Join(strings.Fields(norm.NFKC.String(name)), " ")
}
