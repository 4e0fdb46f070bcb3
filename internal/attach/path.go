// This file resolves paths lexically, without touching the disk: the forms of
// the system that the program runs on, and file:// URLs.

package attach

import (
	"net/url"
	"os"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"

	"pixazo-mcp/internal/disk"
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
		var err error
		if p, err = disk.ExpandHome(item, home, runtime.GOOS); err != nil {
			return "", err.Error()
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
// becomes the server of a network path; elsewhere a URL with a host is not usable. Programs
// that put file:// before a path of Windows make URLs like file://C:\folder.
func fileURL(s, goos string) string {
	if drive := len("file://"); goos == "windows" && len(s) > drive+1 && s[drive-1] == '/' && s[drive+1] == ':' {
		s = s[:drive] + "/" + strings.ReplaceAll(s[drive:], `\`, "/")
	}
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
