package attach

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	pngData = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
	gifData = "GIF89a\x01\x00\x01\x00\x00\x00\x00;"
	pdfData = "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
	secret  = "the secret of another folder"
)

func dataURI(mediaType, data string) string {
	return "data:" + mediaType + ";base64," + base64.StdEncoding.EncodeToString([]byte(data))
}

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
		"files/archive.zip":         "PK\x03\x04\x14\x00\x00\x00\x00\x00",
		"files/program":             "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00>\x00",
		"files/data.sqlite":         "SQLite format 3\x00",
		"files/installer.sh":        "#!/bin/sh\nexit\n" + strings.Repeat("# \n", 3000) + "\x00\x01\x02",
		"files/random.bin":          "\x00\x01\x02\x03\x9f\x8a",
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
		if err := os.Symlink(target, filepath.Join(files, name)); err != nil {
			t.Skip("no symbolic links here:", err)
		}
	}
	return top
}

func fileURLOf(path string) string {
	return "file:///" + strings.TrimPrefix(filepath.ToSlash(path), "/")
}

func TestResolveGivesEachItemTheFormThatIsSent(t *testing.T) {
	top := tree(t)
	files := filepath.Join(top, "files")
	r := Resolver{Dirs: []string{files}, Home: top}
	longText := strings.Repeat("a long text. ", 100)
	jpeg := "\xff\xd8\xff\xe0\x00\x10JFIF\x00" + strings.Repeat("\x01\xff", 600)
	tests := []struct{ item, want, name string }{
		// What is sent as it stands.
		{"https://example.com/a.png", "", ""},
		{"HTTP://example.com/a b", "", ""},
		{"0123456789abcdef0123456789abcdef", "", ""},
		{"7b6e5d4c-3b2a-1908-f7e6-d5c4b3a29180", "", ""},
		{"deadbeefdeadbeef", "", ""},
		{"QUJDREVGR0hJSktMTU5PUA", "", ""},
		{"SGVsbG8gd29ybGQsIGhvdyBhcmUgeW91", "", ""}, // text, but also an ID
		{"asset_1", "", ""},
		{"data:image/png;base64,AAAA", "", ""},
		{"data:application/zip;base64,UEsDBA==", "", ""},
		{"DATA:text/plain;charset=utf-8;base64,aGk=", "", ""},

		// Bare base64.
		{base64.StdEncoding.EncodeToString([]byte(pngData)), dataURI("image/png", pngData), ""},
		{base64.StdEncoding.EncodeToString([]byte(gifData + "1")), dataURI("image/gif", gifData+"1"), ""},
		{base64.StdEncoding.EncodeToString([]byte(gifData + "12")), dataURI("image/gif", gifData+"12"), ""}, // no padding: all letters and digits
		{base64.StdEncoding.EncodeToString([]byte(pdfData)), dataURI("application/pdf", pdfData), ""},
		{base64.StdEncoding.EncodeToString([]byte("RIFF\x24\x00\x00\x00WEBPVP8 1")), dataURI("image/webp", "RIFF\x24\x00\x00\x00WEBPVP8 1"), ""},
		{base64.StdEncoding.EncodeToString([]byte(jpeg)), dataURI("image/jpeg", jpeg), ""},
		{base64.StdEncoding.EncodeToString([]byte(jpeg[:301])), dataURI("image/jpeg", jpeg[:301]), ""},
		{base64.StdEncoding.EncodeToString([]byte("Hello, wörld!\n1")), dataURI("text/plain", "Hello, wörld!\n1"), ""},
		{base64.StdEncoding.EncodeToString([]byte(longText)), dataURI("text/plain", longText), ""},
		{base64.StdEncoding.EncodeToString([]byte("<svg xmlns='http://www.w3.org/2000/svg'/>")), dataURI("image/svg+xml", "<svg xmlns='http://www.w3.org/2000/svg'/>"), ""},

		// Local files.
		{"a.png", dataURI("image/png", pngData), "a.png"},
		{"./sub/../a.png", dataURI("image/png", pngData), "a.png"},
		{"my photo.png", dataURI("image/png", pngData), "my photo.png"},
		{"ümläut.txt", dataURI("text/plain", "über"), "ümläut.txt"},
		{"日本.pdf", dataURI("application/pdf", pdfData), "日本.pdf"},
		{"notes", dataURI("text/plain", "plain notes"), "notes"}, // and not an asset ID
		{"./notes", dataURI("text/plain", "plain notes"), "notes"},
		{"wrong.mp4", dataURI("image/gif", gifData), "wrong.mp4"},
		{"sub/deep/b.gif", dataURI("image/gif", gifData), "b.gif"},
		{`sub\deep\b.gif`, dataURI("image/gif", gifData), "b.gif"},
		{filepath.Join(files, "my photo.png"), dataURI("image/png", pngData), "my photo.png"},
		{fileURLOf(filepath.Join(files, "my%20photo.png")), dataURI("image/png", pngData), "my photo.png"},
		{fileURLOf(filepath.Join(files, "%252e%252e", "d.txt")), dataURI("text/plain", "d"), "d.txt"},
		{"%2e%2e/d.txt", dataURI("text/plain", "d"), "d.txt"},
		{"~/files/a.png", dataURI("image/png", pngData), "a.png"},
		{"9j/4AAQSkZJRgABAQAA", dataURI("image/png", pngData), "4AAQSkZJRgABAQAA"},
		{filepath.Join(files, "9j", "4AAQSkZJRgABAQAA"), dataURI("image/png", pngData), "4AAQSkZJRgABAQAA"},

		// Links that stay inside.
		{"in.png", dataURI("image/png", pngData), "in.png"},
		{"in absolute.png", dataURI("image/png", pngData), "in absolute.png"},
		{"in folder/deep/b.gif", dataURI("image/gif", gifData), "b.gif"},
		{"sub/up.png", dataURI("image/png", pngData), "up.png"},
		{"chain.png", dataURI("image/png", pngData), "chain.png"},
		{"self/self/a.png", dataURI("image/png", pngData), "a.png"},
		{"out folder/files/a.png", dataURI("image/png", pngData), "a.png"}, // out and in again
	}
	for _, tt := range tests {
		if tt.want == "" {
			tt.want = tt.item
		}
		got, names, err := resolve(r, []string{tt.item}, nil)
		if err != nil || got[0] != tt.want || names[0] != tt.name {
			t.Errorf("%s: %.80q, %q, %v; want %.80q, %q", text.Quote(tt.item), got, names, err, tt.want, tt.name)
		}
		if err == nil && pixazo.FileRule(got[0]) != "" {
			t.Errorf("%s: what is sent breaks a rule: %s", text.Quote(tt.item), pixazo.FileRule(got[0]))
		}
	}
}

// resolve is r.Resolve with the files as data URIs, and their names.
func resolve(r Resolver, items, roots []string) (files, names []string, err error) {
	files, attached, err := r.Resolve(items, roots)
	if err != nil {
		return nil, nil, err
	}
	names = make([]string, len(items))
	for i, a := range attached {
		if a != nil {
			files[i], names[i] = dataURI(a.MediaType, string(a.Data)), a.Name
		}
	}
	return files, names, nil
}

func TestResolveRefusesWhatLeadsOut(t *testing.T) {
	top := tree(t)
	files := filepath.Join(top, "files")
	r := Resolver{Dirs: []string{files}, Home: top}
	outside := "must lie below a folder of --files-dir (PIXAZO_FILES_DIR): " + text.Clean(files, 200) + "; got"
	missing := "is not there: it must lie below a folder of --files-dir (PIXAZO_FILES_DIR): "
	link := "must not lead through a link out of the folders: it must lie below a folder of --files-dir (PIXAZO_FILES_DIR): "
	irregular := "must be a regular file, not a folder, device, pipe or socket, below a folder of --files-dir"
	folder, characters, content := "must be the path of a file, not of a folder", "without control characters", "by its content, and not "
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
		{"a.png ", missing},
		{" a.png", missing},
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
		{"empty.txt", "must not be an empty file"},
		{"archive.zip", content + "application/zip"},
		{"./program", content + "application/x-executable"},
		{"data.sqlite", content + "application/vnd.sqlite3"},
		{"installer.sh", content + "text with binary data in it"},
		{"random.bin", content + "application/octet-stream"},
	}
	if runtime.GOOS == "windows" {
		t.Skip("these are the forms of other systems; those of Windows are tested in path_test.go")
	}
	for _, tt := range tests {
		_, _, err := resolve(r, []string{"https://example.com/", tt.item}, nil)
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

func TestResolveRefusesWhatIsNoAttachment(t *testing.T) {
	r := Resolver{Dirs: []string{t.TempDir()}}
	zip := base64.StdEncoding.EncodeToString([]byte("PK\x03\x04" + strings.Repeat("\x01\x00", 600)))
	plain := []byte(strings.Repeat("plain text ", 1000))
	half := base64.StdEncoding.EncodeToString(append(plain, 0, 1, 2))
	uri, base := "must begin as a data URI does", "standard base64"
	tests := []struct{ item, rule string }{
		{"", "must not be empty"},
		{" \t\n", "must not be empty"},
		{"data:", uri},
		{"data:,hello", uri},
		{"data:image/png,x", uri},
		{"Data:image/png;base64,a b=", "behind the comma of its data URI"},
		{"http:", "must be an http(s) URL"},
		{"https:///a.png", "must be an http(s) URL with a host"},
		{"https://ann:pw@example.com/a.png", "without a password"},
		{" https://example.com/a.png", "must be an http(s) URL"},
		{"http://[::1/a.png", "must be an http(s) URL"},
		{"ftp://example.com/a.png", "must be an http(s) URL, if it is a URL"},
		{"s3://bucket/a.png", "must be an http(s) URL, if it is a URL"},
		{"pixazo://videos/1", "must be an http(s) URL, if it is a URL"},
		{zip, "must decode to an image, a video, audio, a PDF, text or an office document by its content, and not to application/zip"},
		{half, "must decode to"},
		{strings.Repeat("QUJD\n", 400), base},            // wrapped
		{strings.Repeat("QUJD", 400) + "Q", base},        // cut off
		{strings.Repeat("_-_-", 400), base},              // of the URL alphabet
		{strings.Repeat("any thing. ", 2000), base},      // longer than a path
		{strings.Repeat("QUJD", 400) + "====", base},     // too much padding
		{strings.Repeat("QQ==", 400) + "QUJDRA==", base}, // two in one
	}
	for _, tt := range tests {
		_, _, err := resolve(r, []string{"asset_1", "asset_2", tt.item}, nil)
		checkRefusal(t, err, pixazo.InvalidArgument, "files[2] ", tt.rule, "; got "+text.Quote(tt.item))
	}
	_, _, err := resolve(r, make([]string, 21), nil)
	checkRefusal(t, err, pixazo.InvalidArgument, "files must have at most 20 items; got 21 items")
}

func TestOneBadItemRefusesTheCallBeforeAnythingIsRead(t *testing.T) {
	r := Resolver{Dirs: []string{filepath.Join(tree(t), "files")}}
	files, names, err := resolve(r, []string{"a.png", "../secret.txt"}, nil)
	if files != nil || names != nil {
		t.Errorf("files %q, names %q", files, names)
	}
	checkRefusal(t, err, pixazo.FileRefused, "files[1] ")
	// What is wrong with a path is told before what is wrong with a content.
	_, _, err = resolve(r, []string{"archive.zip", "a.png", "missing.png"}, nil)
	checkRefusal(t, err, pixazo.FileRefused, "files[2] ")
}

func TestResolveKeepsTheOrderOfItems(t *testing.T) {
	r := Resolver{Dirs: []string{filepath.Join(tree(t), "files")}}
	items := []string{"sub/c.txt", "https://example.com/", "a.png", base64.StdEncoding.EncodeToString([]byte(pngData))}
	given := slices.Clone(items)
	files, names, err := resolve(r, items, nil)
	want := []string{dataURI("text/plain", "c"), items[1], dataURI("image/png", pngData), dataURI("image/png", pngData)}
	if err != nil || !slices.Equal(files, want) || !slices.Equal(names, []string{"c.txt", "", "a.png", ""}) || !slices.Equal(items, given) {
		t.Errorf("%q, %q, %v", files, names, err)
	}
	if files, names, err := resolve(r, nil, nil); len(files)+len(names) > 0 || err != nil {
		t.Errorf("nothing: %q, %q, %v", files, names, err)
	}
}

func TestErrorsNameTheSettingThatOpensAFolder(t *testing.T) {
	top := tree(t)
	files, other, gone := filepath.Join(top, "files"), filepath.Join(top, "files-secret"), filepath.Join(top, "gone")
	a, c := filepath.Join(files, "a.png"), filepath.Join(files, "sub", "c.txt")
	dirs := "a folder of --files-dir (PIXAZO_FILES_DIR)"
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
		{"a relative folder", Resolver{Dirs: []string{"files"}}, nil, "a.png", "files (which is not absolute)"},
		{"the whole file system", Resolver{Dirs: []string{"/"}}, nil, a, "/ (which is the whole file system, and is not opened)"},
		{"many folders", Resolver{Dirs: slices.Repeat([]string{other}, 9)}, nil, a, other + ", 4 more; got"},
		{"a later folder", Resolver{Dirs: []string{other, files}}, nil, "sub/c.txt", ""},
		{"a folder of that name in an earlier folder", Resolver{Dirs: []string{top, filepath.Join(top, "files")}}, nil, "notes", ""},
		{"a link from one folder into another", Resolver{Dirs: []string{files, other}}, nil, "out prefix/a.png", ""},
	}
	for _, tt := range tests {
		if runtime.GOOS == "windows" && tt.name == "the whole file system" {
			continue // it has no path there
		}
		got, _, err := resolve(tt.r, []string{tt.item}, tt.roots)
		switch {
		case tt.want != "":
			checkRefusal(t, err, pixazo.FileRefused, "files[0] ", tt.want, "; got "+text.Quote(tt.item))
		case err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.name == "folders go before roots" && got[0] != dataURI("image/png", pngData+secret):
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}

func TestAFolderIsAlsoKnownByThePathItLinksTo(t *testing.T) {
	top := tree(t)
	link := filepath.Join(top, "link")
	if err := os.Symlink("files", link); err != nil {
		t.Skip(err)
	}
	r := Resolver{Dirs: []string{link}}
	for _, item := range []string{filepath.Join(link, "a.png"), filepath.Join(top, "files", "a.png")} {
		if _, _, err := resolve(r, []string{item}, nil); err != nil {
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
	head := base64.StdEncoding.EncodeToString([]byte(pngData)) // 33 bytes: no padding
	inline := func(size int) string {
		rest := size - len(pngData)
		return head + strings.Repeat("AAAA", rest/3) + []string{"", "AA==", "AAA="}[rest%3]
	}
	one, each, all := "AA==", "must have at most 20 MB of data; got ", "must leave all attachments with at most 50 MB of data together; got "
	tests := []struct {
		items []string
		code  pixazo.Code
		want  string
	}{
		{[]string{"over.png"}, pixazo.FileRefused, "files[0] " + each + `20971521 bytes in "over.png"`},
		{[]string{"huge.png"}, pixazo.FileRefused, each + "3221225472 bytes"},
		{[]string{"20.png", "20.png", "10.png", "small.png"}, pixazo.FileRefused, "files[3] " + all + `100 bytes in "small.png"`},
		{[]string{inline(20*mb + 1)}, pixazo.InvalidArgument, "files[0] " + each + "20971521 bytes in "},
		{[]string{"data:image/png;base64," + inline(20*mb+2)}, pixazo.InvalidArgument, each + "20971522 bytes in \"data:image/png"},
		{[]string{"20.png", "20.png", "10.png", "data:image/png;base64," + one}, pixazo.InvalidArgument, "files[3] " + all + "1 bytes"},
		{[]string{"20.png", inline(20 * mb), "data:image/png;base64," + inline(10*mb), "asset"}, "", ""},
		{[]string{"20.png", inline(20 * mb), "data:image/png;base64," + inline(10*mb), "small.png"}, pixazo.FileRefused, "files[3] " + all},
	}
	for _, tt := range tests {
		_, _, err := resolve(r, tt.items, nil)
		if tt.want == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		checkRefusal(t, err, tt.code, tt.want)
	}
}

func TestAFileThatChangesWhileItIsReadIsRefused(t *testing.T) {
	for _, size := range []int64{201, 1 << 30, 199, 0} {
		dir := t.TempDir()
		sparse(t, dir, "a.png", 200)
		opened := Resolver{Dirs: []string{dir}}.openFolders(nil)
		f, n, _, rule := opened.open("a.png", "")
		if rule != "" || n != 200 {
			t.Fatal(n, rule)
		}
		if err := os.Truncate(filepath.Join(dir, "a.png"), size); err != nil {
			t.Fatal(err)
		}
		_, err := attachment{index: 2, mediaType: "image/png", file: f, size: n}.read("a.png")
		checkRefusal(t, err, pixazo.FileRefused, "files[2] must not change while it is read; got ", "200 bytes", `"a.png"`)
		_ = f.Close()
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
	_, attached, err := Resolver{Dirs: []string{dir}}.Resolve(items, nil)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; float64(got) > 1.02*float64(12<<20) {
		t.Errorf("%d bytes were allocated for 12 MB", got)
	}
	runtime.KeepAlive(attached)
}

func BenchmarkResolve(b *testing.B) {
	dir := b.TempDir()
	sparse(b, dir, "a.png", 20<<20)
	r := Resolver{Dirs: []string{dir}}
	b.SetBytes(20 << 20)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.Resolve([]string{"a.png"}, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzNothingOutsideIsAttached(f *testing.F) {
	top := tree(f)
	files := filepath.Join(top, "files")
	r := Resolver{Dirs: []string{files}, FromRoots: true, Home: top}
	for _, s := range []string{"a.png", "../secret.txt", "out.txt", "out folder/secret.txt", "~/secret.txt", "file://" + top + "/secret.txt", "file://" + files + "/%2e%2e/secret.txt", files + "/../secret.txt", `..\secret.txt`, "/9j/4AAQ", "sub/../../files-secret/a.png", "self/out prefix/a.png", "in folder/../../secret.txt"} {
		f.Add(s)
	}
	// The data of attachments is encoded, at one of three offsets.
	hidden := []string{secret}
	for i := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", i) + secret))
		hidden = append(hidden, encoded[4:len(encoded)-4])
	}
	f.Fuzz(func(t *testing.T, item string) {
		got, names, err := resolve(r, []string{item}, []string{fileURLOf(filepath.Join(files, "sub"))})
		if err != nil {
			if !pixazo.IsCode(err, pixazo.FileRefused, pixazo.InvalidArgument) || !strings.HasPrefix(err.(*pixazo.Error).Message, "files[0] ") || !strings.Contains(err.Error(), "; got ") {
				t.Errorf("%q: %v", item, err)
			}
			return
		}
		for _, h := range hidden {
			if strings.Contains(got[0], h) && !strings.Contains(item, h) {
				t.Errorf("%q: the secret", item)
			}
		}
		if rule := pixazo.FileRule(got[0]); rule != "" {
			t.Errorf("%q: what is sent breaks a rule: %s", item, rule)
		}
		if names[0] == "" && got[0] != item && !bytes.HasSuffix([]byte(got[0]), []byte(item)) {
			t.Errorf("%q: %q", item, got[0])
		}
	})
}
