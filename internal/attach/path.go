// This file says where a local path leads, by its letters alone: the forms of
// Linux, macOS and Windows, and which of them are refused. Within it paths have
// slashes between their parts on every system.

package attach

import (
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"pixazo-mcp/internal/text"
)

const maxPath = 4096 // bytes

// place is where a file may be: name, a local slash-separated path, below the
// folder of that number.
type place struct {
	folder int
	name   string
}

// places lists where the file of item may be, the likeliest first. folders has
// the forms in which each folder is written. An item that leads out of all of
// them has no place; rule is what an item breaks that is no path of a file.
func places(item, home, goos string, folders [][]string) (found []place, rule string) {
	p, rule := localPath(item, home, goos)
	if rule != "" {
		return nil, rule
	}
	forms := []string{p}
	if strings.Contains(p, `\`) {
		// A path as Windows writes it may mean the same file here; but \ is
		// also a letter of names.
		forms = append(forms, strings.ReplaceAll(p, `\`, "/"))
	}
	for i, p := range forms {
		if r := pathRule(p, goos); r != "" {
			if i == 0 {
				return nil, r
			}
			continue
		}
		name := path.Clean(p)
		for n, forms := range folders {
			if !isAbs(p, goos) {
				if name != ".." && !strings.HasPrefix(name, "../") {
					found = append(found, place{n, name})
				}
				continue
			}
			for _, f := range forms {
				if name, ok := below(p, f, goos); ok {
					found = append(found, place{n, name})
					break
				}
			}
		}
	}
	return found, ""
}

// localPath is the path that item stands for: ~ and file:// URLs are replaced.
func localPath(item, home, goos string) (p, rule string) {
	switch {
	case hasScheme(item, "file"):
		p, ok := fileURL(item, goos)
		if !ok {
			return "", "must be a file URL with an absolute path and without a host, ? or # (as in file:///folder/my%20file.png)"
		}
		return p, ""
	case strings.HasPrefix(item, "~"):
		rest := slashed(item, goos)[1:]
		switch {
		case rest != "" && rest[0] != '/':
			return "", "must have its ~ alone or before a separator (write ./~name for a file of that name)"
		case home == "":
			return "", "must not begin with ~, since the home directory is not known"
		}
		return slashed(home, goos) + rest, ""
	}
	return slashed(item, goos), ""
}

// rootPath is the folder that a client's root stands for.
func rootPath(root, goos string) (p string, ok bool) {
	if !hasScheme(root, "file") {
		return "", false
	}
	p, ok = fileURL(root, goos)
	if !ok || !isAbs(p, goos) {
		return "", false
	}
	vol, rest := volume(p, goos)
	p = vol + path.Clean("/"+rest)
	// A drive as a whole is a folder, though its path has no name at its end.
	return p, pathRule(p+"/name", goos) == ""
}

// fileURL is the path of a file URL. A host is a server's name on Windows, and
// refused elsewhere.
func fileURL(s, goos string) (p string, ok bool) {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#") || !strings.HasPrefix(u.Path, "/") {
		return "", false
	}
	p = slashed(u.Path, goos)
	if u.Host != "" && !strings.EqualFold(u.Host, "localhost") {
		return "//" + u.Host + p, goos == "windows"
	}
	if goos == "windows" && len(p) > 2 && isDrive(p[1:3]) {
		p = p[1:]
	}
	return p, true
}

// pathRule is the rule that a path breaks by its form, or "".
func pathRule(p, goos string) string {
	last := p[strings.LastIndexByte(p, '/')+1:]
	switch {
	case !utf8.ValidString(p) || strings.ContainsFunc(p, hidden):
		return "must be a path of valid characters, without control characters, line breaks or overrides of their direction"
	case len(p) > maxPath:
		return "must be a path of at most 4,096 bytes"
	case last == "" || last == "." || last == "..":
		return "must be the path of a file, not of a folder"
	case goos != "windows":
		return ""
	}
	vol, rest := volume(p, goos)
	switch {
	case strings.HasPrefix(vol, "//.") || strings.HasPrefix(vol, "//?"):
		return "must be the path of a file, not of a device"
	case vol != "" && !strings.HasPrefix(rest, "/"), vol == "" && strings.HasPrefix(rest, "/"):
		return `must be a path that is relative or begins with a drive and a separator (C:\) or a server and its share`
	}
	if !isDrive(vol) {
		rest = strings.TrimPrefix(vol, "//") + rest
	}
	for name := range strings.SplitSeq(rest, "/") {
		if name == "." || name == ".." {
			continue
		}
		if strings.ContainsAny(name, `:<>"|?*`) || strings.TrimRight(name, ". ") != name || text.IsDeviceName(name) {
			return `must be a path without names that Windows reserves (CON, NUL, COM1 …), that end in a dot or a space, or that have one of : < > " | ? *`
		}
	}
	return ""
}

// hidden reports whether r makes a path read as another: a control character,
// a line break, or an override of the writing direction. Marks of direction
// and joiners stay, since names in Arabic, Hebrew or Hindi have them.
func hidden(r rune) bool {
	return unicode.IsControl(r) || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// below is the name of p relative to folder, if p lies there by its letters.
// Both are absolute; .. is resolved before.
func below(p, folder, goos string) (name string, ok bool) {
	vol, rest := volume(p, goos)
	folderVol, folderRest := volume(slashed(folder, goos), goos)
	parts, folderParts := split(rest), split(folderRest)
	// Where names differ in case only they may still be the same. Taking them
	// for the same is safe: the file is opened relative to the folder.
	same := func(a, b string) bool {
		return a == b || (goos == "windows" || goos == "darwin") && strings.EqualFold(a, b)
	}
	if !same(vol, folderVol) || len(parts) < len(folderParts) {
		return "", false
	}
	for i, f := range folderParts {
		if !same(parts[i], f) {
			return "", false
		}
	}
	return path.Join(append([]string{"."}, parts[len(folderParts):]...)...), true
}

// split cuts an absolute path without its volume into its names.
func split(p string) []string {
	return strings.FieldsFunc(path.Clean("/"+p), func(r rune) bool { return r == '/' })
}

// volume cuts off what .. can't leave: on Windows a drive (C:) or a server with
// its share (//server/share).
func volume(p, goos string) (vol, rest string) {
	if goos != "windows" {
		return "", p
	}
	if len(p) >= 2 && isDrive(p[:2]) {
		return p[:2], p[2:]
	}
	if after, ok := strings.CutPrefix(p, "//"); ok {
		server, after, _ := strings.Cut(after, "/")
		share, _, _ := strings.Cut(after, "/")
		if server != "" && share != "" {
			n := len("//") + len(server) + len("/") + len(share)
			return p[:n], p[n:]
		}
	}
	return "", p
}

func isDrive(s string) bool {
	return len(s) == 2 && s[1] == ':' && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z')
}

func isAbs(p, goos string) bool {
	vol, rest := volume(p, goos)
	return vol != "" || strings.HasPrefix(rest, "/")
}

// slashed writes a path with slashes, where \ is a separator.
func slashed(p, goos string) string {
	if goos == "windows" {
		return strings.ReplaceAll(p, `\`, "/")
	}
	return p
}

// hasScheme reports whether s begins as a URL of scheme does.
func hasScheme(s, scheme string) bool {
	return len(s) > len(scheme) && s[len(scheme)] == ':' && strings.EqualFold(s[:len(scheme)], scheme)
}
