package attach

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pixazo-mcp/e2e/disktest"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	pngData = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
	gifData = "GIF89a\x01\x00\x01\x00\x00\x00\x00;"
	pdfData = "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
	secret  = "the secret of another folder"
)

// tree makes the folder that is open in these tests, files, with a secret
// beside it, and returns the folder of both, without links.
func tree(t testing.TB) string {
	t.Helper()
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"secret.txt":                secret,
		"files-secret/a.png":        pngData + secret,
		"files/a.png":               pngData,
		"files/my photo.png":        pngData,
		"files/ümläut.txt":          "über",
		"files/日本.pdf":              pdfData,
		"files/notes":               "plain notes",
		"files/wrong.mp4":           gifData,
		"files/sub/deep/b.gif":      gifData,
		"files/sub/c.txt":           "c",
		"files/%2e%2e/d.txt":        "d",
		"files/9j/4AAQSkZJRgABAQAA": pngData,
		"files/empty.txt":           "",
	} {
		path := filepath.Join(top, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files := filepath.Join(top, "files")
	for name, target := range map[string]string{
		"in.png":           "a.png",
		"in absolute.png":  filepath.Join(files, "a.png"),
		"in folder":        "sub",
		"sub/up.png":       "../a.png",
		"chain.png":        "in.png",
		"out.txt":          "../secret.txt",
		"out absolute.txt": filepath.Join(top, "secret.txt"),
		"out missing.txt":  "../missing.txt",
		"out missing 2":    filepath.Join(top, "missing.txt"),
		"out folder":       "..",
		"out root":         "/",
		"out prefix":       "../files-secret",
		"chain out.txt":    "out.txt",
		"loop":             "loop",
		"loop a":           "loop b",
		"loop b":           "loop a",
		"dangling.png":     "nothing.png",
		"self":             ".",
	} {
		disktest.Link(t, target, filepath.Join(files, name))
	}
	return top
}

func fileURLOf(path string) string {
	return "file:///" + strings.TrimPrefix(filepath.ToSlash(path), "/")
}

func TestReadFindsTheFilesOfTheFolder(t *testing.T) {
	top := tree(t)
	files := filepath.Join(top, "files")
	r := Resolver{Dirs: []string{files}, Home: top}
	tests := []struct{ item, want, name string }{
		{"a.png", pngData, "a.png"},
		{"./sub/../a.png", pngData, "a.png"},
		{"my photo.png", pngData, "my photo.png"},
		{"ümläut.txt", "über", "ümläut.txt"},
		{"日本.pdf", pdfData, "日本.pdf"},
		{"notes", "plain notes", "notes"}, // and not an asset ID
		{"./notes", "plain notes", "notes"},
		{"empty.txt", "", "empty.txt"}, // which Prepare refuses
		{"sub/deep/b.gif", gifData, "b.gif"},
		{filepath.Join(files, "my photo.png"), pngData, "my photo.png"},
		{fileURLOf(filepath.Join(files, "my%20photo.png")), pngData, "my photo.png"},
		{fileURLOf(filepath.Join(files, "%252e%252e", "d.txt")), "d", "d.txt"},
		{"%2e%2e/d.txt", "d", "d.txt"},
		{"~/files/a.png", pngData, "a.png"},
		{"9j/4AAQSkZJRgABAQAA", pngData, "4AAQSkZJRgABAQAA"}, // and not base64

		// Links that stay inside.
		{"in.png", pngData, "in.png"},
		{"in absolute.png", pngData, "in absolute.png"},
		{"in folder/deep/b.gif", gifData, "b.gif"},
		{"sub/up.png", pngData, "up.png"},
		{"chain.png", pngData, "chain.png"},
		{"self/self/a.png", pngData, "a.png"},
		{"out folder/files/a.png", pngData, "a.png"}, // out and in again

		// No local files.
		{"https://example.com/a.png", "", ""},
		{"0123456789abcdef0123456789abcdef", "", ""},
		{"asset_1", "", ""},
		{"data:image/png;base64,AAAA", "", ""},
		{base64.StdEncoding.EncodeToString([]byte(pngData)), "", ""},
		{"nothing", "", ""}, // a file or an asset: Prepare asks which
		{"null", "", ""},
		{"", "", ""},
		{"ftp://example.com/a.png", "", ""},
	}
	for _, tt := range tests {
		attached, err := r.Read([]string{tt.item}, nil)
		switch {
		case err != nil || len(attached) != 1:
			t.Errorf("%s: %v, %v", text.Quote(tt.item), attached, err)
		case tt.name == "":
			if attached[0] != nil {
				t.Errorf("%s: %+v, want none", text.Quote(tt.item), attached[0])
			}
		case attached[0] == nil || string(attached[0].Data) != tt.want || attached[0].Name != tt.name:
			t.Errorf("%s: %+v, want %q of %q", text.Quote(tt.item), attached[0], tt.want, tt.name)
		}
	}
}

// A model types neither U+202F, which is in the names of a Mac's screenshots,
// nor the form of Unicode that a disk happens to have.
func TestAFileIsFoundByANameThatLooksTheSame(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"Screenshot 2026-05-22 at 3.04.05\u202fPM.png": "screenshot",
		"re\u0301sume\u0301.pdf":                       "decomposed",
		"na\u00efve.pdf":                               "composed",
		"two  spaces.png":                              "spaces",
		"ﬁnal.png":                                     "ligature",
		"Bilder\u00a0von\u00a0uns/Strand\u2009 1.png":  "in a folder",
		"twice\u202fa.png":                             "one",
		"twice\u00a0a.png":                             "other",
		"both a.png":                                   "exact",
		"both\u202fa.png":                              "alike",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := Resolver{Dirs: []string{dir}}
	for item, want := range map[string]string{
		"Screenshot 2026-05-22 at 3.04.05 PM.png":                     "screenshot",
		filepath.Join(dir, "Screenshot 2026-05-22 at 3.04.05 PM.png"): "screenshot",
		"r\u00e9sum\u00e9.pdf":                                        "decomposed",
		"nai\u0308ve.pdf":                                             "composed",
		"two spaces.png":                                              "spaces",
		" two\u3000spaces.png ":                                       "spaces",
		"final.png":                                                   "ligature",
		"Bilder von uns/Strand 1.png":                                 "in a folder",
		"both a.png":                                                  "exact",
		"both\u202fa.png":                                             "alike",
	} {
		attached, err := r.Read([]string{item}, nil)
		if err != nil || string(attached[0].Data) != want {
			t.Errorf("%q: %v, %v; want %q", item, attached, err, want)
		}
	}
	_, err := r.Read([]string{"twice a.png"}, nil)
	checkRefusal(t, err, pixazo.FileRefused, `files[0] is not there, and several names are alike: write one of "twice\u00a0a.png", "twice\u202fa.png"; got "twice a.png"`)
	// An exact name goes before a name that is alike, also in a later folder.
	later := t.TempDir()
	if err := os.WriteFile(filepath.Join(later, "two spaces.png"), []byte("exact, later"), 0o600); err != nil {
		t.Fatal(err)
	}
	attached, err := Resolver{Dirs: []string{dir, later}}.Read([]string{"two spaces.png"}, nil)
	if err != nil || string(attached[0].Data) != "exact, later" {
		t.Errorf("%v, %v", attached, err)
	}
	_, err = r.Read([]string{"Screenshot 2026-05-22 at 3.04.06 PM.png"}, nil)
	checkRefusal(t, err, pixazo.FileRefused, "is not there")
}

// The path of the folder itself may be typed in another form of Unicode.
func TestAFolderIsFoundByAPathThatLooksTheSame(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cafe\u0301\u00a0files")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.png"), []byte(pngData), 0o600); err != nil {
		t.Fatal(err)
	}
	typed := filepath.Join(filepath.Dir(dir), "caf\u00e9 files", "a.png")
	if _, err := (Resolver{Dirs: []string{dir}}).Read([]string{typed}, nil); err != nil {
		t.Error(err)
	}
}

func TestAFileThatAnotherProgramHasForItselfIsSaidToBe(t *testing.T) {
	for _, code := range []syscall.Errno{32, 33} { // sharing and lock violation
		err := &fs.PathError{Op: "open", Path: "a.png", Err: code}
		if !inUse(err, "windows") || inUse(err, "linux") {
			t.Errorf("%d", code)
		}
	}
	if inUse(fs.ErrPermission, "windows") || inUse(nil, "windows") {
		t.Error("an error of another kind")
	}
}

func TestReadRefusesWhatLeadsOut(t *testing.T) {
	top := tree(t)
	files := filepath.Join(top, "files")
	r := Resolver{Dirs: []string{files}, Home: top}
	outside := "must lie below a folder of --files-dir (PIXAZO_FILES_DIR): " + text.Clean(files, 200) + "; got"
	missing := "is not there: it must lie below a folder of --files-dir (PIXAZO_FILES_DIR): "
	link := "must not lead through a link out of the folders: it must lie below a folder of --files-dir (PIXAZO_FILES_DIR): "
	irregular := "must be a regular file, not a folder, device, pipe or socket, below a folder of --files-dir"
	folder, characters := "must be the path of a file, not of a folder", "without control characters"
	tests := []struct{ item, rule string }{
		{"../secret.txt", outside},
		{"sub/../../secret.txt", outside},
		{"./../files/a.png", outside},
		{filepath.Join(top, "secret.txt"), outside},
		{filepath.Join(top, "missing.txt"), outside},
		{files + "/../secret.txt", outside},
		{files + "/sub/../../secret.txt", outside},
		{files + "//..//secret.txt", outside},
		{filepath.Join(top, "files-secret", "a.png"), outside},
		{"../files-secret/a.png", outside},
		{files + "-secret/a.png", outside},
		{"~/secret.txt", outside},
		{"~/missing.txt", outside},
		{fileURLOf(filepath.Join(top, "secret.txt")), outside},
		{fileURLOf(files) + "/%2e%2e/secret.txt", outside},
		{fileURLOf(files) + "/%2E%2e%2fsecret.txt", outside},
		{fileURLOf(files) + "/%252e%252e/secret.txt", missing},
		{"/etc/passwd", outside},
		{"/proc/self/environ", outside},
		{"/proc/self/root" + files + "/a.png", outside},
		{"/dev/zero", outside},
		{"/dev/stdin", outside},
		{"%2e%2e/secret.txt", missing},
		{"..%2fsecret.txt", missing},
		{"．．/secret.txt", missing},
		{"..\u2215secret.txt", missing},
		{`..\secret.txt`, missing}, // it may be a name
		{"$HOME/secret.txt", missing},
		{"attach.go", missing}, // in the working directory
		{"missing.png", missing},
		{files + "/missing.png", missing},
		{"a.png/secret.txt", missing},
		{"dangling.png", missing},
		{"a.png.", missing},
		{"nul.txt", missing},
		{"a.png:stream", missing},
		{`\\server\share\a.png`, missing},
		{`\\?\C:\secret.txt`, missing},
		{"C:secret.txt", missing},
		{strings.Repeat("n", 300) + ".png", missing},
		{strings.Repeat("x.", 2100) + "png", "at most 4,096 bytes"},
		{"out.txt", link},
		{"out absolute.txt", link},
		{"out missing.txt", link},
		{"out missing 2", link},
		{"out folder/secret.txt", link},
		{"out folder/missing.txt", link},
		{"out root/etc/passwd", link},
		{"out root/missing", link},
		{"out prefix/a.png", link},
		{"chain out.txt", link},
		{"in folder/../out.txt", link},
		{"self/self/out.txt", link},
		{"loop/", folder},
		{"./loop", link},
		{"loop a", link},
		{files, irregular},
		{"~/files", irregular},
		{"./sub", irregular},
		{"sub/deep", irregular},
		{"in folder", irregular},
		{"sub", irregular}, // and not an asset ID
		{"sub/", folder},
		{"a.png/", folder},
		{".", folder},
		{"..", folder},
		{"/", folder},
		{"sub/deep/..", folder},
		{"~root/a.png", "must have its ~ alone"},
		{"~", outside},
		{"a.png\x00.txt", characters},
		{"a\n.png", characters},
		{"a\u202egnp.exe", characters},
		{fileURLOf(files) + "/a.png%00.txt", characters},
		{fileURLOf(files) + "/100%.png", "must be a file URL"},
		{"file://server/share/a.png", "must be a file URL"},
		{"file://" + files[1:] + "/a.png", "must be a file URL"},
	}
	if runtime.GOOS == "windows" {
		t.Skip("these are the forms of other systems; those of Windows are tested in path_test.go")
	}
	for _, tt := range tests {
		_, err := r.Read([]string{"https://example.com/", tt.item}, nil)
		checkRefusal(t, err, pixazo.FileRefused, "files[1] ", tt.rule, "; got "+text.Quote(tt.item))
	}
}

func checkRefusal(t *testing.T, err error, code pixazo.Code, parts ...string) {
	t.Helper()
	var e *pixazo.Error
	if !errors.As(err, &e) {
		t.Errorf("error %v, want %s with %q", err, code, parts)
		return
	}
	for _, part := range parts {
		if e.Code != code || !strings.Contains(e.Message, part) || len(e.Message) > 2000 || strings.HasSuffix(e.Message, ".") {
			t.Errorf("error %v, want %s with %q", err, code, part)
		}
	}
	for _, leak := range []string{secret, "no such file", "openat", "escapes"} {
		if strings.Contains(e.Message, leak) {
			t.Errorf("error %v tells %q", err, leak)
		}
	}
}

func TestOneBadFileRefusesTheCall(t *testing.T) {
	r := Resolver{Dirs: []string{filepath.Join(tree(t), "files")}}
	attached, err := r.Read([]string{"a.png", "../secret.txt"}, nil)
	if attached != nil {
		t.Errorf("attached %v", attached)
	}
	checkRefusal(t, err, pixazo.FileRefused, "files[1] ")
}

func TestNothingIsReadForACallWithTooManyFiles(t *testing.T) {
	attached, err := Resolver{}.Read(slices.Repeat([]string{"a.png"}, 21), nil) // which Prepare refuses
	if len(attached) != 21 || slices.ContainsFunc(attached, func(a *pixazo.Attachment) bool { return a != nil }) || err != nil {
		t.Errorf("%v, %v", attached, err)
	}
}

func TestFilesStandWhereTheirItemsDo(t *testing.T) {
	r := Resolver{Dirs: []string{filepath.Join(tree(t), "files")}}
	items := []string{"sub/c.txt", "https://example.com/", "a.png", base64.StdEncoding.EncodeToString([]byte(pngData))}
	attached, err := r.Read(items, nil)
	if err != nil || len(attached) != 4 || attached[0].Name != "c.txt" || attached[1] != nil || attached[2].Name != "a.png" || attached[3] != nil {
		t.Errorf("%v, %v", attached, err)
	}
	if attached, err := r.Read(nil, nil); len(attached) > 0 || err != nil {
		t.Errorf("nothing: %v, %v", attached, err)
	}
}

func TestErrorsNameTheSettingThatOpensAFolder(t *testing.T) {
	top := tree(t)
	files, other, gone := filepath.Join(top, "files"), filepath.Join(top, "files-secret"), filepath.Join(top, "gone")
	a, c := filepath.Join(files, "a.png"), filepath.Join(files, "sub", "c.txt")
	dirs := "a folder of --files-dir (PIXAZO_FILES_DIR)"
	whole := filepath.Join(top, "whole")
	_ = os.Symlink("/", whole) // which is left out on Windows, as below
	tests := []struct {
		name  string
		r     Resolver
		roots []string
		item  string
		want  string // "" for no error
	}{
		{"nothing is open", Resolver{}, nil, a,
			"is a local path, and no folder is open for local files: start the server with --files-dir (PIXAZO_FILES_DIR), or with --files-from-roots (PIXAZO_FILES_FROM_ROOTS) for the folders that the client offers"},
		{"roots do not count", Resolver{}, []string{fileURLOf(files)}, a, "is a local path, and no folder is open"},
		{"roots do not count beside a folder", Resolver{Dirs: []string{other}}, []string{fileURLOf(files)}, c, "must lie below " + dirs + ": " + other},
		{"no roots", Resolver{FromRoots: true}, nil, a, "the client offers no folder for local files: start the server with --files-dir (PIXAZO_FILES_DIR)"},
		{"no roots that are folders", Resolver{FromRoots: true}, []string{"https://example.com", "x"}, a, "the client offers no folder"},
		{"a root", Resolver{FromRoots: true}, []string{"bad", fileURLOf(files)}, a, ""},
		{"a root, for a relative path", Resolver{FromRoots: true}, []string{fileURLOf(files) + "/"}, "sub/c.txt", ""},
		{"the whole file system as a root", Resolver{FromRoots: true}, []string{"file:///"}, a, ""},
		{"folders go before roots", Resolver{Dirs: []string{other}, FromRoots: true}, []string{fileURLOf(files)}, "a.png", ""},
		{"outside of folders and roots", Resolver{Dirs: []string{other}, FromRoots: true}, []string{fileURLOf(filepath.Join(files, "sub"))}, a,
			"must lie below " + dirs + ", or that the client offers: " + other + ", " + filepath.Join(files, "sub")},
		{"a missing folder", Resolver{Dirs: []string{gone}}, nil, a, "must lie below " + dirs + ": " + gone + " (which does not exist)"},
		{"a missing folder, for a relative path", Resolver{Dirs: []string{gone}}, nil, "a.png", "is not there: it must lie below " + dirs + ": " + gone + " (which does not exist)"},
		{"a missing folder beside another", Resolver{Dirs: []string{gone, files}}, nil, "a.png", ""},
		{"a file as a folder", Resolver{Dirs: []string{a}}, nil, "x.png", a + " (which can't be opened as a folder)"},
		{"the whole file system", Resolver{Dirs: []string{"/"}}, nil, a, "/ (which is the whole file system, and is not opened)"},
		{"the whole file system by a link", Resolver{Dirs: []string{whole}}, nil, a, whole + " (which is the whole file system, and is not opened)"},
		{"many folders", Resolver{Dirs: slices.Repeat([]string{other}, 9)}, nil, a, other + " and others; got"},
		{"a later folder", Resolver{Dirs: []string{other, files}}, nil, "sub/c.txt", ""},
		{"a folder of that name in an earlier folder", Resolver{Dirs: []string{top, filepath.Join(top, "files")}}, nil, "notes", ""},
		{"a link from one folder into another", Resolver{Dirs: []string{files, other}}, nil, "out prefix/a.png", ""},
	}
	for _, tt := range tests {
		if runtime.GOOS == "windows" && strings.HasPrefix(tt.name, "the whole file system") {
			continue // it has no path there
		}
		got, err := tt.r.Read([]string{tt.item}, tt.roots)
		switch {
		case tt.want != "":
			checkRefusal(t, err, pixazo.FileRefused, "files[0] ", tt.want, "; got "+text.Quote(tt.item))
		case err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.name == "folders go before roots" && string(got[0].Data) != pngData+secret:
			t.Errorf("%s: %q", tt.name, got[0].Data)
		}
	}
}

func TestAFolderIsAlsoKnownByThePathItLinksTo(t *testing.T) {
	top := tree(t)
	link := filepath.Join(top, "link")
	disktest.Link(t, "files", link)
	r := Resolver{Dirs: []string{link}}
	for _, item := range []string{filepath.Join(link, "a.png"), filepath.Join(top, "files", "a.png")} {
		if _, err := r.Read([]string{item}, nil); err != nil {
			t.Error(err)
		}
	}
}

func TestNeedsRootsOnlyForLocalPaths(t *testing.T) {
	png := base64.StdEncoding.EncodeToString([]byte(pngData))
	on := Resolver{FromRoots: true}
	for _, item := range []string{"https://example.com/", "0123456789abcdef0123456789abcdef", "data:image/png;base64,AAAA", png, "ftp://x/y", "", "data:"} {
		if on.NeedsRoots([]string{item}) {
			t.Errorf("%q needs roots", item)
		}
	}
	for _, item := range []string{"a.png", "/a/b", "~/a", "file:///a", `C:\a.png`, "LICENSE", "SGVsbG8sIHfDtnJsZCEKMQ=="} { // the last may be a file

		if !on.NeedsRoots([]string{"asset", item}) {
			t.Errorf("%q needs no roots", item)
		}
		if (Resolver{Dirs: []string{"/"}}).NeedsRoots([]string{item}) {
			t.Errorf("%q needs roots that do not count", item)
		}
	}
}

// sparse makes a file of size bytes that is a PNG by its head.
func sparse(t testing.TB, dir, name string, size int64) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(pngData), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func TestSizesAreLimitedAFileAndInAll(t *testing.T) {
	dir := t.TempDir()
	r := Resolver{Dirs: []string{dir}}
	const mb = 1 << 20
	sparse(t, dir, "20.png", 20*mb)
	sparse(t, dir, "over.png", 20*mb+1)
	sparse(t, dir, "10.png", 10*mb)
	sparse(t, dir, "small.png", 100)
	sparse(t, dir, "huge.png", 3<<30)
	each, all := "must have at most 20 MB of data; got ", "must leave all files with at most 50 MB of data together; got "
	for _, tt := range []struct {
		items []string
		want  string
	}{
		{[]string{"over.png"}, "files[0] " + each + `20971521 bytes in "over.png"`},
		{[]string{"huge.png"}, each + "3221225472 bytes"},
		{[]string{"20.png", "20.png", "10.png"}, ""},
		{[]string{"20.png", "20.png", "10.png", "small.png"}, "files[3] " + all + `100 bytes in "small.png"`},
	} {
		_, err := r.Read(tt.items, nil)
		if tt.want == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		checkRefusal(t, err, pixazo.FileRefused, tt.want)
	}
}

// A model mends all of them in one go.
func TestOneRefusalNamesEveryFileThatCantBeSent(t *testing.T) {
	dir := t.TempDir()
	r := Resolver{Dirs: []string{dir}}
	sparse(t, dir, "good.png", 100)
	sparse(t, dir, "deck.pptx", 100)
	_, err := r.Read([]string{"good.png", "lost.png", "gone.png", "deck.pptx", "https://example.com/a.png", "null", "../up.png"}, nil)
	lost, up := "is not there: it must lie below a folder of "+dirSetting+": "+dir, "must lie below a folder of "+dirSetting+": "+dir
	checkRefusal(t, err, pixazo.FileRefused,
		`files[1] `+lost+`; got "lost.png"; so with files[2], "gone.png". files[3] must not be an office document, since`, `export a PDF of it; got "deck.pptx". files[5] must be`,
		`leave it out if there is none; got "null". files[6] `+up+`; got "../up.png"`)
}

func TestAFileThatChangesWhileItIsReadIsRefused(t *testing.T) {
	for _, size := range []int64{201, 1 << 30, 199, 0} {
		dir := t.TempDir()
		sparse(t, dir, "a.png", 200)
		opened := Resolver{Dirs: []string{dir}}.openFolders(nil)
		found, rule := opened.open("a.png", "")
		if rule != "" || found.size != 200 {
			t.Fatal(found, rule)
		}
		if err := os.Truncate(filepath.Join(dir, "a.png"), size); err != nil {
			t.Fatal(err)
		}
		if data, rule := readAll(found.file, found.size); data != nil || !strings.HasPrefix(rule, "must not change while it is read") {
			t.Errorf("%d bytes, rule %q", len(data), rule)
		}
		_ = found.file.Close()
		opened.close()
	}
}

func TestAFileIsHeldOnce(t *testing.T) {
	dir := t.TempDir()
	items := []string{"a.png", "b.png", "c.png"}
	for i, size := range []int64{5 << 20, 5 << 20, 2 << 20} {
		sparse(t, dir, items[i], size)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	attached, err := Resolver{Dirs: []string{dir}}.Read(items, nil)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; float64(got) > 1.02*float64(12<<20) {
		t.Errorf("%d bytes were allocated for 12 MB", got)
	}
	runtime.KeepAlive(attached)
}

func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	sparse(b, dir, "a.png", 20<<20)
	r := Resolver{Dirs: []string{dir}}
	b.SetBytes(20 << 20)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Read([]string{"a.png"}, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzNothingOutsideIsAttached(f *testing.F) {
	top := tree(f)
	files := filepath.Join(top, "files")
	r := Resolver{Dirs: []string{files}, FromRoots: true, Home: top}
	for _, s := range []string{"a.png", "../secret.txt", "out.txt", "out folder/secret.txt", "~/secret.txt", "file://" + top + "/secret.txt", "file://" + files + "/%2e%2e/secret.txt", files + "/../secret.txt", `..\secret.txt`, "/9j/4AAQ", "sub/../../files-secret/a.png", "self/out prefix/a.png", "in folder/../../secret.txt", "．．/secret.txt", "out\u202ffolder/secret.txt"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, item string) {
		attached, err := r.Read([]string{item}, []string{fileURLOf(filepath.Join(files, "sub"))})
		if err != nil {
			if !pixazo.IsCode(err, pixazo.FileRefused) || !strings.HasPrefix(err.(*pixazo.Error).Message, "files[0] ") || !strings.Contains(err.Error(), "; got ") {
				t.Errorf("%q: %v", item, err)
			}
			return
		}
		if attached[0] != nil && strings.Contains(string(attached[0].Data), secret) {
			t.Errorf("%q: the secret", item)
		}
	})
}
