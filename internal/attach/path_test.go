package attach

import (
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The folders that are open in these tests, by system: each as it is configured
// and as it is without links.
var openOn = map[string][][]string{
	"linux":   {{"/files", "/data/files"}, {"/more/"}},
	"darwin":  {{"/tmp/files", "/private/tmp/files"}, {"/Users/ann/Movies"}},
	"windows": {{`C:\Users\ann\files`}, {`\\nas\share\media`}, {`D:\`}},
}

var homeOn = map[string]string{"linux": "/more", "darwin": "/Users/ann", "windows": `C:\Users\ann`}

// places lists where item may be, as folder:name, or the rule that it breaks.
func places(item string) (found []string, rule string) {
	p, rule := localPath(item, homeOn[runtime.GOOS])
	if rule != "" {
		return nil, rule
	}
	for i, paths := range openOn[runtime.GOOS] {
		if name, ok := (folder{path: paths[0], real: paths[len(paths)-1]}).nameOf(p); ok {
			found = append(found, string(rune('0'+i))+":"+filepath.ToSlash(name))
		}
	}
	return found, ""
}

func TestPathsLeadBelowTheFoldersOnly(t *testing.T) {
	const nowhere = "nowhere"
	folder, hiddenRune, tilde, fileForm := "not of a folder", "without control characters", "must have its ~ alone", "must be a file URL"
	tests := []struct {
		goos, item string
		want       string // places as folder:name, or nowhere, or a part of the rule
	}{
		// Ways in.
		{"linux", "a.png", "0:a.png 1:a.png"},
		{"linux", "./sub/../a.png", "0:a.png 1:a.png"},
		{"linux", "/files/a.png", "0:a.png"},
		{"linux", "//files//sub/./a.png", "0:sub/a.png"},
		{"linux", "/files/sub/../a.png", "0:a.png"},
		{"linux", "/other/../files/a.png", "0:a.png"},
		{"linux", "/data/files/a.png", "0:a.png"},
		{"linux", "/more/my file.png", "1:my file.png"},
		{"linux", "~/ümläut.png", "1:ümläut.png"},
		{"linux", "./~name", "0:~name 1:~name"},
		{"linux", "file:///files/my%20file%20%E6%97%A5.png", "0:my file 日.png"},
		{"linux", "FILE://localhost/files/a.png", "0:a.png"},
		{"linux", "file:/files/a b.png", "0:a b.png"},
		{"linux", `sub\a.png`, `0:sub\a.png 1:sub\a.png`},
		{"linux", `/files/sub\a.png`, `0:sub\a.png`},
		{"linux", `C:\files\a.png`, `0:C:\files\a.png 1:C:\files\a.png`},
		{"linux", "CON.txt", "0:CON.txt 1:CON.txt"},
		{"linux", "a.png. ", "0:a.png.  1:a.png. "},
		{"linux", "a.png:stream", "0:a.png:stream 1:a.png:stream"},
		{"linux", "/files", "0:."}, // which is no regular file
		{"linux", "%2e%2e/a.png", "0:%2e%2e/a.png 1:%2e%2e/a.png"},
		{"linux", "file:///files/%252e%252e/a.png", "0:%2e%2e/a.png"},
		{"linux", "$HOME/a.png", "0:$HOME/a.png 1:$HOME/a.png"},
		{"linux", "می\u200cخواهم.png", "0:می\u200cخواهم.png 1:می\u200cخواهم.png"},
		{"linux", "Screenshot at 9.41\u202fAM.png", "0:Screenshot at 9.41\u202fAM.png 1:Screenshot at 9.41\u202fAM.png"},
		{"darwin", "/tmp/files/a.png", "0:a.png"},
		{"darwin", "/private/tmp/files/a.png", "0:a.png"},
		{"darwin", "/users/Ann/movies/a.mov", "1:a.mov"},
		{"darwin", "~/Movies/a.mov", "1:a.mov"},
		{"windows", `sub\a.png`, "0:sub/a.png 1:sub/a.png 2:sub/a.png"},
		{"windows", `C:\Users\ann\files\my a.png`, "0:my a.png"},
		{"windows", `c:/users/ANN/files/sub/a.png`, "0:sub/a.png"},
		{"windows", `C:\Users\..\Users\ann\files\a.png`, "0:a.png"},
		{"windows", `~\files\a.png`, "0:a.png"},
		{"windows", `~/files/a.png`, "0:a.png"},
		{"windows", `file:///C:/Users/ann/files/a%20b.png`, "0:a b.png"},
		{"windows", `file:///c%3A/Users/ann/files/a.png`, "0:a.png"},
		{"windows", `file:///C:\Users\ann\files\a.png`, "0:a.png"},
		{"windows", `file://C:\Users\ann\files\a.png`, "0:a.png"},
		{"windows", `file://C:/Users/ann/files/../secret.txt`, nowhere},
		{"windows", `\\nas\share\media\a.png`, "1:a.png"},
		{"windows", `//NAS/share/media/a.png`, "1:a.png"},
		{"windows", `file://nas/share/media/a.png`, "1:a.png"},
		{"windows", `file:////nas/share/media/a.png`, "1:a.png"},
		{"windows", `D:\日本\a.png`, "2:日本/a.png"},
		{"windows", `console.txt`, "0:console.txt 1:console.txt 2:console.txt"},

		// Ways out.
		{"linux", "../a.png", nowhere},
		{"linux", "sub/../../a.png", nowhere},
		{"linux", "./../files/a.png", nowhere},
		{"linux", "..//..//etc/passwd", nowhere},
		{"linux", "/files/../etc/passwd", nowhere},
		{"linux", "/files/../files-secret/a.png", nowhere},
		{"linux", "/files/./.././files/../more2/a.png", nowhere},
		{"linux", "/files-secret/a.png", nowhere},
		{"linux", "/file", nowhere},
		{"linux", "/Files/a.png", nowhere},
		{"linux", "/etc/passwd", nowhere},
		{"linux", "/proc/self/environ", nowhere},
		{"linux", "/dev/zero", nowhere},
		{"linux", `/files\..\..\etc\passwd`, nowhere},
		{"linux", "~/../etc/passwd", nowhere},
		{"linux", "~", "1:."},
		{"linux", "~root/a.png", tilde},
		{"linux", `~\a.png`, tilde},
		{"linux", "~$draft.docx", tilde},
		{"linux", "file:///etc/passwd", nowhere},
		{"linux", "file:///files/%2e%2e/etc/passwd", nowhere},
		{"linux", "file:///files/..%2f..%2Fetc/passwd", nowhere},
		{"linux", "file:///files%2f%2e./etc/passwd", nowhere},
		{"linux", "file:///files/a.png%00.txt", hiddenRune},
		{"linux", "file:///files/%ff.png", hiddenRune},
		{"linux", "file:///files/100%.png", fileForm},
		{"linux", "file:///files/a.png?x=1", fileForm},
		{"linux", "file:///files/a.png#x", fileForm},
		{"linux", "file://server/files/a.png", fileForm},
		{"linux", "file://files/a.png", fileForm},
		{"linux", "file:a.png", fileForm},
		{"linux", "file:../a.png", fileForm},
		{"linux", "file:", fileForm},
		{"linux", "file://", fileForm},
		{"linux", "file://user:pw@localhost/files/a.png", fileForm},
		{"linux", "/files/", folder},
		{"linux", "/", folder},
		{"linux", ".", folder},
		{"linux", "..", folder},
		{"linux", "a.png/", folder},
		{"linux", "a.png/.", folder},
		{"linux", "/files/sub/..", folder},
		{"linux", "a\x00.png", hiddenRune},
		{"linux", "a\n.png", hiddenRune},
		{"linux", "a\x1b[31m.png", hiddenRune},
		{"linux", "a\u202egnp.exe", hiddenRune},
		{"linux", "a\u2066gnp\u2069.exe", hiddenRune},
		{"linux", "a\u2028b.png", hiddenRune},
		{"linux", strings.Repeat("a/", 2100) + "a", "at most 4,096 bytes"},
		{"linux", `\\server\share\a.png`, `0:\\server\share\a.png 1:\\server\share\a.png`},
		{"darwin", "/tmp/files-secret/a.png", nowhere},
		{"darwin", "/Users/ann/Movies/../.ssh/id_rsa", nowhere},
		{"darwin", "/dev/fd/0", nowhere},
		{"darwin", "/.vol/1/2", nowhere},
		{"darwin", "~ann/a.png", tilde},
		{"darwin", "file:///tmp/files/%2E%2E/secret", nowhere},
		{"windows", `..\a.png`, nowhere},
		{"windows", `sub\..\..\a.png`, nowhere},
		{"windows", `C:\Users\ann\files\..\secret.txt`, nowhere},
		{"windows", `C:\Users\ann\files-secret\a.png`, nowhere},
		{"windows", `C:/Windows/win.ini`, nowhere},
		{"windows", `C:\..\..\Windows\win.ini`, nowhere},
		{"windows", `E:\a.png`, nowhere},
		{"windows", `\\nas\share\media\..\a.png`, nowhere},
		{"windows", `\\nas\other\media\a.png`, nowhere},
		{"windows", `\\evil\share\a.png`, nowhere},
		{"windows", `file://evil/share/a.png`, nowhere},
		{"windows", `file:///C:/Users/ann/files/%2e%2e/secret.txt`, nowhere},
		{"windows", `file:///C:/Users/ann/files/..%5csecret.txt`, nowhere},
		{"windows", `C:a.png`, nowhere},
		{"windows", `D:..\a.png`, nowhere},
		{"windows", `\a.png`, nowhere},
		{"windows", `/Users/ann/files/a.png`, nowhere},
		{"windows", `\??\C:\Users\ann\files\a.png`, nowhere},
		{"windows", `\\?\C:\Users\ann\files\a.png`, nowhere},
		{"windows", `//?/C:/Users/ann/files/a.png`, nowhere},
		{"windows", `\\?\UNC\nas\share\media\a.png`, nowhere},
		{"windows", `\\?\GLOBALROOT\Device\HarddiskVolume1\a`, nowhere},
		{"windows", `\\.\pipe\x`, nowhere},
		{"windows", `\\.\PhysicalDrive0`, nowhere},
		{"windows", `//./C:/a.png`, nowhere},
		{"windows", `sub\CON`, nowhere},
		{"windows", `.\con`, nowhere},
		{"windows", `nul.txt`, nowhere},
		{"windows", `NUL .txt`, nowhere},
		{"windows", `aux.tar.gz`, nowhere},
		{"windows", `com1.png`, nowhere},
		{"windows", `LPT³`, nowhere},
		{"windows", `.\CONIN$`, nowhere},
		{"windows", `a.png:stream`, nowhere},
		{"windows", `a.png::$DATA`, nowhere},
		{"windows", `C:\Users\ann\files\C:\a.png`, nowhere},
		{"windows", `~ann\a.png`, tilde},
		{"windows", `sub\`, folder},
		{"windows", `C:\`, folder},
	}
	for _, tt := range tests {
		if tt.goos != runtime.GOOS {
			continue
		}
		got, rule := places(tt.item)
		switch {
		case rule != "" && strings.Contains(rule, tt.want):
		case rule == "" && tt.want == nowhere && len(got) == 0:
		case rule == "" && tt.want == strings.Join(got, " ") && len(got) > 0:
		default:
			t.Errorf("%s %q: places %q, rule %q; want %q", tt.goos, tt.item, got, rule, tt.want)
		}
	}
}

func TestTildeNeedsAHomeDirectory(t *testing.T) {
	if _, rule := localPath("~/a.png", ""); !strings.Contains(rule, "home directory is not known") {
		t.Errorf("rule %q", rule)
	}
}

func TestPathOfAFileURL(t *testing.T) {
	for _, tt := range []struct{ goos, url, want string }{
		{"linux", "file:///home/ann/my%20project", "/home/ann/my project"},
		{"linux", "file:///home/ann/my project/", "/home/ann/my project/"},
		{"linux", "file:///", "/"},
		{"darwin", "FILE://localhost/Users/ann", "/Users/ann"},
		{"windows", "file:///c%3A/Users/ann", "c:/Users/ann"},
		{"windows", "file:///C:/", "C:/"},
		{"windows", "file://C:/Users/ann/a%20b.png", "C:/Users/ann/a b.png"},
		{"windows", `FILE://c:\Users\my files`, "c:/Users/my files"},
		{"windows", "file:/C:/Users", "C:/Users"},
		{"linux", "file://C:/Users", ""},
		{"windows", "file://nas/share", "//nas/share"},
		{"linux", "file://host/home", ""},
		{"linux", "file:relative", ""},
		{"linux", "file:///100%", ""},
		{"linux", "file:///a?b", ""},
		{"linux", "file:///a#b", ""},
		{"linux", "file:///a?", ""},
		{"linux", "file://ann@localhost/a", ""},
	} {
		if got := fileURL(tt.url, tt.goos); got != tt.want {
			t.Errorf("%s %q: %q, want %q", tt.goos, tt.url, got, tt.want)
		}
	}
}

func TestOnlyFileURLsAreRoots(t *testing.T) {
	dir := t.TempDir()
	for root, want := range map[string]int{
		fileURLOf(dir): 1, fileURLOf(dir) + "/": 1, strings.Replace(fileURLOf(dir), "file", "FILE", 1): 1,
		dir: 0, "https://example.com/": 0, "vscode-remote://host/home": 0, "file:relative": 0, "file:///a%00b": 0, "": 0,
	} {
		opened := Resolver{FromRoots: true}.openFolders([]string{root})
		if len(opened.list) != want {
			t.Errorf("%q: %d folders, want %d", root, len(opened.list), want)
		}
		opened.close()
	}
}

// No form of an item may give a name with .. or a separator at its start.
func FuzzPlacesAreLocal(f *testing.F) {
	for _, s := range []string{"a.png", "../x", `..\x`, "file:///files/%2e%2e/x", "/files/../x", `C:\Users\ann\files\x`, `\\nas\share\media\..\..\x`, "~/x", "//", "file:////x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, item string) {
		found, _ := places(item)
		for _, p := range found {
			if _, name, _ := strings.Cut(p, ":"); name == "" || !filepath.IsLocal(name) || slices.Contains(strings.Split(name, "/"), "..") {
				t.Errorf("%q: name %q", item, name)
			}
		}
	})
}
