// This file tests the names of saved videos, each on a real folder as well. Bugs
// it guards against: a file outside the output folder, a name that one system
// takes for a device, another for a stream and a third for somebody's home.

package download_test

import (
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pixazo-mcp/internal/download"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

var refusedNames = []string{
	// Out of the folder.
	"..", "../v.mp4", "../../etc/passwd", "a/../../v.mp4", "a/..", "a/../b.mp4", "./../v.mp4", `..\v.mp4`, `a\..\..\v.mp4`, `..\/v.mp4`, `a/..\..\v.mp4`,
	`\..\v.mp4`, "a//../v.mp4", ".. /v.mp4", "..\\", "../", "/..", ".../v.mp4", ".. .mp4/../v.mp4", "..\u200b/v.mp4", "a/\u202e../v.mp4", "..\x00/v.mp4",
	// Not below it at all.
	"/v.mp4", "/etc/passwd", "//server/share/v.mp4", `\v.mp4`, `\\server\share\v.mp4`, `\\?\C:\v.mp4`, `\\.\COM1`, `\??\C:\v.mp4`, "C:", "C:v.mp4", `C:\v.mp4`,
	"C:/v.mp4", "c:../v.mp4", "z:/v.mp4", "file:///etc/passwd", "https://example.com/v.mp4", "~", "~/v.mp4", `~\v.mp4`,
	// Parts that are none.
	".", "./v.mp4", "a/./v.mp4", "a//v.mp4", "a/", "/", "//", `\`, " ", ".mp4/.", "a/ /v.mp4",
	// Devices and streams on Windows.
	"con", "CON", "nul", "nul.txt", "NUL.mp4", "aux.mp4", "prn", "com1", "COM9.mp4", "COM0", "COM¹", "com².mp4", "LPT³", "lpt1.tar.gz", "conin$", "CONOUT$.mp4",
	"clock$", "con .txt", "con . .txt", "nul.", "a/aux/v.mp4", `a\con.mp4`, "con/v.mp4", "v.mp4:stream", "v.mp4::$DATA", "nul:", ":v.mp4",
	// What only some systems take.
	"v.mp4.", "v.mp4 ", " v.mp4", "v.", "a./v.mp4", "a /v.mp4", "a/ v.mp4", "v?.mp4", "v*.mp4", "v|w.mp4", "<v>.mp4", `"v".mp4`,
	// What can't be seen.
	"v\x00.mp4", "v\n.mp4", "v\r\n.mp4", "v\t.mp4", "v\x1b[31m.mp4", "v\x7f.mp4", "v\u0085.mp4", "v\u202e4pm.exe", "v\u200f.mp4", "v\u2066.mp4", "v\u200b.mp4",
	"v\u2028.mp4", "\ufeffv.mp4", "v\u00ad.mp4", "v\U000e0041.mp4", "v\xff.mp4", "v\xc0\xae\xc0\xae/x.mp4", "v\ufffd.mp4",
	"v\ufe0f.mp4", "❤\ufe0f.mp4", "v\u3164.mp4", "\u3164", "\u2800.mp4", "a/\u2800/v.mp4", "v\u115f.mp4", "v\u1160.mp4", "v\uffa0.mp4", "v\u034f.mp4", "v\u17b4.mp4",
	"v\u180b.mp4", "v\u180e.mp4", "v\u200d.mp4", "v\U000e0100.mp4", "v\U0001d159.mp4", "v\ue000.mp4", "v\u00a0.mp4", "\u3000", "a/\u2003/v.mp4", "v\u202fw.mp4", "v\u205f.mp4",
	// Too long, and ours.
	strings.Repeat("v", 201), strings.Repeat("ü", 101) + ".mp4", "a/" + strings.Repeat("v", 201) + "/v.mp4", strings.Repeat("abcdefghi/", 101) + "v.mp4",
	".pixazo-X.part", "a/.pixazo-X.part", ".pixazo-", ".pixazo-v.mp4",
}

// acceptedNames are names and what becomes of them.
var acceptedNames = map[string]string{
	"v.mp4": "v.mp4", "v": "v.mp4", "V.MP4": "V.MP4", "v.m4v": "v.m4v", "v.exe": "v.exe.mp4", "v.html": "v.html.mp4", "v.mp4.mp4": "v.mp4.mp4", "v1.2": "v1.2.mp4",
	"my video.mp4": "my video.mp4", "Grüße ümläut.mp4": "Grüße ümläut.mp4", "日本語.mp4": "日本語.mp4", "фильм": "фильм.mp4", "वीडियो.mp4": "वीडियो.mp4", "🎬.mp4": "🎬.mp4",
	"a/v.mp4": "a/v.mp4", "a/b/c/d/v": "a/b/c/d/v.mp4", `a\v.mp4`: "a/v.mp4", `a\b/v.mp4`: "a/b/v.mp4", "..v.mp4": "..v.mp4", "v..mp4": "v..mp4", "a..b/v.mp4": "a..b/v.mp4",
	".v.mp4": ".v.mp4", "-rf.mp4": "-rf.mp4", "--output=x": "--output=x.mp4", "$HOME.mp4": "$HOME.mp4", "%TEMP%.mp4": "%TEMP%.mp4", "`id`.mp4": "`id`.mp4",
	"$(id);'.mp4": "$(id);'.mp4", "~v.mp4": "~v.mp4", "v~1.mp4": "v~1.mp4", "console.mp4": "console.mp4", "com10.mp4": "com10.mp4", "nullable": "nullable.mp4",
	"auxiliary/con-v.mp4": "auxiliary/con-v.mp4", "aux1.mp4": "aux1.mp4", "com.mp4": "com.mp4", "%2e%2e%2fv.mp4": "%2e%2e%2fv.mp4", "v [1] {2} (3) #4 & 5, 6; 7.mp4": "v [1] {2} (3) #4 & 5, 6; 7.mp4",
	"u\u0308ml.mp4": "\u00fcml.mp4", "한글": "한글.mp4", "가": "가.mp4", "⠠⠃": "⠠⠃.mp4", // letters that only look like the invisible ones
	"..．/v.mp4": "..．/v.mp4", "․․/v.mp4": "․․/v.mp4", "a∕..∕v.mp4": "a∕..∕v.mp4", // look-alikes, which no system takes for the real ones
	strings.Repeat("v", 200): strings.Repeat("v", 200) + ".mp4",
}

func TestNamesThatAreRefused(t *testing.T) {
	m := newMedia(t, func(w http.ResponseWriter, r *http.Request, _ int) { serve(w, r, video(1000), "") })
	h := newHouse(t, m.URL, m.link())
	for _, name := range refusedNames {
		for _, overwrite := range []bool{false, true} {
			_, err := h.save(t, name, overwrite)
			wantFailure(t, err, pixazo.FileRefused, "filename must be a name or a relative path below the output folder (--output-dir, PIXAZO_OUTPUT_DIR), ")
			if shown := text.Quote(name); err != nil && !strings.HasSuffix(err.Error(), "; got "+shown) {
				t.Errorf("the refusal of %s is %q; want it to name the value", shown, err)
			}
		}
	}
	wantTree(t, filepath.Dir(h.out)) // not even the folder
	if n := len(m.requests()) + h.jobs.count(); n > 0 {
		t.Errorf("%d requests for names that are refused", n)
	}
}

func TestNamesThatAreAccepted(t *testing.T) {
	whole := video(1000)
	m := newMedia(t, func(w http.ResponseWriter, r *http.Request, _ int) { serve(w, r, whole, "") })
	h := newHouse(t, m.URL, m.link())
	for name, want := range acceptedNames {
		saved := h.mustSave(t, name)
		if saved.Path != filepath.Join(h.out, filepath.FromSlash(want)) {
			t.Errorf("%q was saved as %q, want %q below %q", name, saved.Path, want, h.out)
		}
		wantFile(t, saved, whole)
		if err := os.Remove(saved.Path); err != nil {
			t.Error(err)
		}
	}
	for _, name := range tree(t, h.out) {
		if info, err := os.Lstat(filepath.Join(h.out, name)); err != nil || !info.IsDir() {
			t.Errorf("%q was left", name)
		}
	}
}

// What is there already decides as well, and only the real folder knows.
func TestNamesThatLeadAstray(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need a privilege there")
	}
	whole := video(1000)
	m := newMedia(t, func(w http.ResponseWriter, r *http.Request, _ int) { serve(w, r, whole, "") })
	tests := []struct {
		name      string
		build     func(t *testing.T, out, outside string) error
		filename  string
		overwrite bool
		says      string // "" when it is saved
	}{
		{"a folder is a link that leads out", func(_ *testing.T, out, outside string) error { return os.Symlink(outside, filepath.Join(out, "a")) },
			"a/v.mp4", true, "can't be written below the output folder"},
		{"a folder is a relative link that leads out", func(_ *testing.T, out, _ string) error { return os.Symlink("../outside", filepath.Join(out, "a")) },
			"a/v.mp4", false, "can't be written below the output folder"},
		{"a folder on the way is a link that leads out", func(_ *testing.T, out, outside string) error { return os.Symlink(outside, filepath.Join(out, "a")) },
			"a/b/c/v.mp4", false, "can't be written below the output folder"},
		{"a folder is a link that leads nowhere", func(_ *testing.T, out, outside string) error {
			return os.Symlink(filepath.Join(outside, "new"), filepath.Join(out, "a"))
		},
			"a/v.mp4", false, "can't be written below the output folder"},
		{"a folder is a link within", func(_ *testing.T, out, _ string) error {
			return cmpErr(os.Mkdir(filepath.Join(out, "b"), 0o755), os.Symlink("b", filepath.Join(out, "a")))
		}, "a/v.mp4", false, ""},
		{"the name is a link that leads out", func(_ *testing.T, out, outside string) error {
			return os.Symlink(filepath.Join(outside, "kept"), filepath.Join(out, "v.mp4"))
		},
			"v.mp4", false, "filename must be a free name"},
		{"the name is a link that leads nowhere", func(_ *testing.T, out, outside string) error {
			return os.Symlink(filepath.Join(outside, "new"), filepath.Join(out, "v.mp4"))
		},
			"v.mp4", false, "filename must be a free name"},
		{"the name is a link that leads out, to be overwritten", func(_ *testing.T, out, outside string) error {
			return os.Symlink(filepath.Join(outside, "kept"), filepath.Join(out, "v.mp4"))
		},
			"v.mp4", true, ""},
		{"the name is a folder", func(_ *testing.T, out, _ string) error { return os.Mkdir(filepath.Join(out, "v.mp4"), 0o755) }, "v.mp4", false, "filename must name a file"},
		{"the name is a folder, to be overwritten", func(_ *testing.T, out, _ string) error { return os.Mkdir(filepath.Join(out, "v.mp4"), 0o755) }, "v.mp4", true, "filename must name a file"},
		{"the folder is a file", func(_ *testing.T, out, _ string) error { return os.WriteFile(filepath.Join(out, "a"), nil, 0o600) }, "a/v.mp4", true, "can't be written below the output folder"},
		{"a folder on the way is a file", func(_ *testing.T, out, _ string) error { return os.WriteFile(filepath.Join(out, "a"), nil, 0o600) }, "a/b/v.mp4", false, "can't be written below the output folder"},
		{"a file is there", func(_ *testing.T, out, _ string) error {
			return os.WriteFile(filepath.Join(out, "v.mp4"), []byte("mine"), 0o600)
		}, "v.mp4", false, "filename must be a free name"},
		{"a file is there, to be overwritten", func(_ *testing.T, out, _ string) error {
			return os.WriteFile(filepath.Join(out, "v.mp4"), []byte("mine"), 0o600)
		}, "v.mp4", true, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t, m.URL, m.link())
			outside := filepath.Join(filepath.Dir(h.out), "outside")
			for _, dir := range []string{h.out, outside} {
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := cmpErr(os.WriteFile(filepath.Join(outside, "kept"), []byte("kept"), 0o600), test.build(t, h.out, outside)); err != nil {
				t.Fatal(err)
			}
			before := tree(t, h.out)
			saved, err := h.save(t, test.filename, test.overwrite)
			wantTree(t, outside, "kept")
			if b, _ := os.ReadFile(filepath.Join(outside, "kept")); string(b) != "kept" {
				t.Errorf("the file outside now has %d bytes", len(b))
			}
			if test.says != "" {
				wantFailure(t, err, pixazo.FileRefused, test.says)
				wantTree(t, h.out, before...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantFile(t, saved.Files[0], whole)
			if info, err := os.Lstat(saved.Files[0].Path); err != nil || !info.Mode().IsRegular() {
				t.Errorf("what has the name is %v, %v; want a file", info, err)
			}
		})
	}
}

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestDefaultNames(t *testing.T) {
	made := time.Date(2026, 3, 4, 12, 0, 0, 0, time.Local)
	for _, test := range []struct{ prompt, id, want string }{
		{"A lighthouse in the fog", "heygen-video-agent_0123456789abcdef", "2026-03-04-a-lighthouse-in-the-fog-89abcdef"},
		{"one two three four five six seven eight nine ten", "12345678", "2026-03-04-one-two-three-four-five-six-seven-eight-12345678"},
		{"", "12345678", "2026-03-04-video-12345678"},
		{"?!… 🎬", "12345678", "2026-03-04-video-12345678"},
		{"../../etc/passwd", "12345678", "2026-03-04-etc-passwd-12345678"},
		{"C:\\con\nnul.txt\x00\u202e", "12345678", "2026-03-04-c-con-nul-txt-12345678"},
		{"Ein Leuchtturm über Ölfässern", "12345678", "2026-03-04-ein-leuchtturm-über-ölfässern-12345678"},
		{"霧の中の灯台" + strings.Repeat("灯", 100), "12345678", "2026-03-04-霧の中の灯台" + strings.Repeat("灯", 14) + "-12345678"},
		{strings.Repeat("x", 500), "12345678", "2026-03-04-" + strings.Repeat("x", 60) + "-12345678"},
		{"word " + strings.Repeat("x", 500), "12345678", "2026-03-04-word-12345678"},
		{"I ❤\ufe0f the\u3164 \u2800sea\u034f", "12345678", "2026-03-04-i-the-sea-12345678"},
		{"\u3164\u2800", "12345678", "2026-03-04-video-12345678"},
		{"u\u0308ber\u00a0uns", "12345678", "2026-03-04-\u00fcber-uns-12345678"},
		{"a", "short", "2026-03-04-a-short"},
		{"a", "id-._.-._.-._.", "2026-03-04-a"},
		{"a", "id.to..end..", "2026-03-04-a-o..end"},
	} {
		if got := download.DefaultName(made, test.prompt, test.id); got != test.want {
			t.Errorf("the name of %.40q, %s is %q, want %q", test.prompt, test.id, got, test.want)
		}
	}
}

// The ending says what came, not what the gateway or the link calls it.
func TestEndingIsThatOfTheBytes(t *testing.T) {
	for name, head := range map[string]string{
		".mp4": "\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42", ".webm": "\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82\x84webm",
		".mov": "\x00\x00\x00\x14ftypqt  \x00\x00\x02\x00qt  ",
	} {
		m := newMedia(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Content-Type", "video/mp4")
			_, _ = w.Write([]byte(head + strings.Repeat("\x00", 500)))
		})
		h := newHouse(t, m.URL, m.link())
		saved := h.mustSave(t, "")
		if got := filepath.Ext(saved.Path); got != name {
			t.Errorf("saved as %q with type %s, want the ending %s", filepath.Base(saved.Path), saved.MediaType, name)
		}
		if base := filepath.Base(saved.Path); !regexp.MustCompile(`^\d{4}-\d\d-\d\d-video-he-video\.`).MatchString(base) {
			t.Errorf("the name is %q, want date, slug and the end of %s", base, videoID)
		}
	}
}

// windowsDevice is a second wording of the rule, from Microsoft's "Naming Files,
// Paths, and Namespaces": the part before the first dot counts, without spaces.
func windowsDevice(component string) bool {
	base, _, _ := strings.Cut(component, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	for _, device := range []string{"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"} {
		if base == device {
			return true
		}
	}
	for _, device := range []string{"COM", "LPT"} {
		if digit, ok := strings.CutPrefix(base, device); ok && utf8.RuneCountInString(digit) == 1 && strings.ContainsAny(digit, "0123456789¹²³") {
			return true
		}
	}
	return false
}

func FuzzCheckFilename(f *testing.F) {
	for _, name := range refusedNames {
		f.Add(name)
	}
	for name := range acceptedNames {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, err := download.CheckFilename(name)
		if err != nil {
			if !pixazo.IsCode(err, pixazo.FileRefused) || got != "" {
				t.Errorf("checkFilename(%q) = %q, %v; want file_refused", name, got, err)
			}
			return
		}
		if name == "" {
			return
		}
		if !filepath.IsLocal(got) || path.Clean(got) != got || !strings.HasPrefix(path.Join("/out", got), "/out/") {
			t.Errorf("%q became %q, which is not below the folder", name, got)
		}
		if strings.ContainsAny(got, `\:<>"|?*`) || strings.ContainsFunc(got, unicode.IsControl) || !utf8.ValidString(got) || len(got) > 1000 {
			t.Errorf("%q became %q, which not every system takes", name, got)
		}
		for component := range strings.SplitSeq(got, "/") {
			if windowsDevice(component) || component != strings.TrimRight(component, ". ") || len(component) > 200 || strings.HasPrefix(component, ".pixazo-") {
				t.Errorf("%q became %q with a part %q, which not every system takes", name, got, component)
			}
		}
		if again, err := download.CheckFilename(got); err != nil || again != got {
			t.Errorf("%q became %q, which becomes %q, %v", name, got, again, err)
		}
	})
}
