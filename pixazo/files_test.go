// These tests hold what an item of files is taken for, what content may be
// sent, and that a file is read once and costs about its own size.

package pixazo

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"pixazo-mcp/internal/text"
)

const (
	pngData = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
	gifData = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
	pdfData = "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"
	svgData = "<svg xmlns='http://www.w3.org/2000/svg'/>"

	anyForm  = "must be an http(s) URL, an asset ID, the path of a local file, a data URI (data:<media type>;base64,<data>), or base64 of a picture, a video, audio or a PDF; leave it out if there is none"
	headForm = "must begin as a data URI does, data:<media type>;base64,"
	oneURL   = "must be one URL: give each as an item of its own"
	urlForm  = "must be an http(s) URL with a host, without a password, of at most 8,192 characters"
	urlPlace = "must be a URL on the internet, not of this computer or its network, which HeyGen can't reach: give the file itself"
)

func encoded(data string) string { return base64.StdEncoding.EncodeToString([]byte(data)) }

func TestFormOfAnItem(t *testing.T) {
	jpeg := encoded("\xff\xd8\xff\xe0\x00\x10JFIF\x00" + strings.Repeat("\x01\xff", 600))
	for form, items := range map[Form][]string{
		WebURL: {"https://example.com/a.png", "http://example.com", "HTTPS://EXAMPLE.COM/", " https://example.com", "https:", "http:a"},
		AssetID: {"asset_1", "asset-1", "ASSET_abc123DEF", "ast_abc123", "0123456789abcdef", "0123456789ABCDEF0123456789abcdef",
			"019d2f4e-77aa-7bcd-9e01-23456789abcd", "00000000-0000-0000-0000-000000000000", strings.Repeat("0a", 64),
			"ffd8ffe0ffd8ffe0", "4749463839616162ffffffffffffffff"}, // which are base64 too
		Inline: {"data:image/png;base64,AAAA", "DATA:x", "data:,", " data:x", encoded(pngData), encoded(gifData), encoded(pdfData), encoded(svgData),
			encoded("RIFF\x24\x00\x00\x00WEBPVP8 12345678"), encoded("\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41"), jpeg, jpeg[:len(jpeg)-1]},
		LocalPath: {"slides.pdf", "./slides", "../x", "/etc/passwd", `C:\slides.pdf`, "~/slides", "a b", "file:///a", "FILE:/a", "ä", "asset_1\n", "asset_a.png",
			"images/photo", "/home/ann/Videos/holiday/day1", "/9j/", "/9j/4AAQSkZJRgABAQAA", "//server/share/folder/sub/file1234567890", "/var/folders/zz/zyxvpxvq6csfxvn/T/file",
			"QUJD/REVG", "a/b+c/d+", "null.png", "./null", "data.csv", strings.Repeat("a", 200) + ".png"},
		Ambiguous: {"notes", "LICENSE", "https", "data", "deck_2", "asset", "asset_", "0123456789abcde", "0123456789abcdeg", "2026-05-22-10-30-00", "0000000000000000-", strings.Repeat("0a", 65), "SGVsbG8gd29ybGQsIGhvdyBhcmUgeW91", "QUJDREVGR0hJSktMTU5PUA", strings.Repeat("x", 129)},
		Unusable: {"", " \t\n", "null", "None", " UNDEFINED ", "auto", "ftp://example.com/a", "s3://bucket/key", "pixazo://videos/1", "vscode-remote://x/y",
			strings.Repeat("QUJD", 2000), strings.Repeat("_-_-", 2000), strings.Repeat("any thing. ", 2000)},
	} {
		for _, item := range items {
			if got := FormOf(item); got != form {
				t.Errorf("%.80q has form %d, want %d", item, got, form)
			}
		}
	}
}

// TestFileRefusalNamesTheRuleOfItsKind: told of asset IDs, a model that sent bad
// base64 would not know what to mend.
func TestFileRefusalNamesTheRuleOfItsKind(t *testing.T) {
	longURL := "https://x.example/" + strings.Repeat("a", 8192-len("https://x.example/"))
	for file, rule := range map[string]string{
		"":                          anyForm,
		"null":                      anyForm,
		" None ":                    anyForm,
		"undefined":                 anyForm,
		"slides.pdf":                anyForm, // a local file that nobody has read
		"ftp://example.com/a":       anyForm,
		strings.Repeat("QUJD", 3e4): anyForm,

		"https://example.com/a.png?b=c#d":  "",
		"https://example.com/@b?c=d@e":     "",
		longURL:                            "",
		longURL + "a":                      urlForm,
		"https://":                         urlForm,
		"https:///a.png":                   urlForm,
		"https://user@example.com/a":       urlForm,
		"https://user:secret@example.com/": urlForm,
		"https://exa mple.com/a.png":       urlForm,
		"https://example.com/\na":          urlForm,
		"http://[::1/a.png":                urlForm,

		"https://example.com/a.png,https://example.com/b.png": oneURL, // would be sent as the URL of one file
		"https://example.com/a.png HTTP://example.com/b.png":  oneURL,
		"https://example.com/a?b=c,https://example.com/b.png": oneURL,
		"https://example.com/w_1,h_2/https://example.org/a":   "",
		"https://example.com/?u=https://a.org/,https://b.org": "",

		"https://example.com/?u=https://a.org/,https://b.org,https://c.org&w=9#d":           "",
		"https://example.com/?u=https://a.org/,https://example.com/?u=https://b.org/":       oneURL,
		"https://example.com/?u=https://a.org/,https://b.org https://example.com/b.png":     oneURL,
		"https://example.com/?u=https://a.org/,https://b.org&v=1,https://example.com/b.png": oneURL,

		"http://localhost:3000/a.png":     urlPlace, // a video without its slides would be paid for
		"https://app.LOCALHOST./a.png":    urlPlace,
		"http://printer.local/a.png":      urlPlace,
		"http://127.0.0.1/a.png":          urlPlace,
		"http://[::1]:8080/a.png":         urlPlace,
		"http://[::ffff:10.0.0.1]/a.png":  urlPlace,
		"http://192.168.1.5/a.png":        urlPlace,
		"http://169.254.169.254/a":        urlPlace,
		"http://0.0.0.0:8000/a.png":       urlPlace,
		"http://[fe80::1%25eth0]/a.png":   urlPlace,
		"http://127.1/a.png":              urlPlace,
		"http://2130706433/a.png":         urlPlace,
		"http://0x7f.0.0.1/a.png":         urlPlace,
		"http://127.0.0.0x1/a.png":        urlPlace,
		"http://host.docker.internal/a":   urlPlace,
		"http://nas.lan/a.png":            urlPlace,
		"http://nas/a.png":                urlPlace,
		"https://Intranet.:8443/a.png":    urlPlace,
		"https://localhost.example/a.png": "",
		"https://203.0.113.5/a.png":       "",
		"https://[2001:db8::1]/a.png":     "",
		"https://8.8.8.8/a.png":           "",
		"https://[2606:4700::1111]/a.png": "",

		"Data:Image/PNG;Base64,AAAA":                          "",
		"data:image/png;base64,AA==":                          "",
		"data:image/png;base64,AAA=":                          "",
		"data:text/plain;charset=utf-8;base64,aGk=":           "",
		"data:text/plain;name=my_notes%20~1!.txt;base64,aGk=": "",
		"data:":                       headForm,
		"data:,hello":                 headForm,
		"data:image/png,AAAA":         headForm,
		"data:;base64,AAAA":           headForm,
		"data:image;base64,AAAA":      headForm,
		"data:image/png; base64,AAAA": headForm,
		"data:image/" + strings.Repeat("x", 300) + ";base64,AAAA":                 headForm,
		"data:image/png;base64,":                                                  base64Rule,
		"data:image/png;base64,=":                                                 base64Rule,
		"data:image/png;base64,A":                                                 base64Rule,
		"data:image/png;base64,AAA":                                               base64Rule,
		"data:image/png;base64,A===":                                              base64Rule,
		"data:image/png;base64,====":                                              base64Rule,
		"data:image/png;base64,AAAA====":                                          base64Rule,
		"data:image/png;base64,AA=A":                                              base64Rule,
		"data:image/png;base64,AA A":                                              base64Rule,
		"data:image/png;base64,AAA\n":                                             base64Rule,
		"data:image/png;base64,AAAAAA\n\n":                                        base64Rule,
		"data:image/png;base64,AA==\n\n\n\n":                                      base64Rule,
		"data:image/png;base64,AA\r\n\r\n==":                                      base64Rule,
		"data:image/png;base64,AA-_":                                              base64Rule,
		"data:image/png;base64,AAA\u00e9":                                         base64Rule,
		"data:image/png;base64," + strings.Repeat("QQ==", 2000):                   base64Rule, // many in one
		"data:image/png;base64," + strings.Repeat("QUJD", 2000) + "QQ==" + "QUJD": base64Rule,
		"data:image/png;base64," + strings.Repeat("QUJD", 2000) + "\nQUJ":         base64Rule,
		encoded(pngData):                                                          "",
		encoded(pngData) + "A":                                                    base64Rule,
		encoded(pngData) + "====":                                                 base64Rule,
	} {
		_, err := Prepare(VideoRequest{Prompt: "p", Files: []string{"asset_1", file}})
		if rule == "" {
			checkError(t, err, "")
		} else if e := checkError(t, err, InvalidArgument); e.Message != "files[1] "+rule+"; got "+text.Quote(file) {
			t.Errorf("%.80q: message %q, want the rule %q", file, e.Message, rule)
		}
	}
}

// A name that is neither a path nor an asset ID for certain was sent, and billed,
// as an asset ID.
func TestAmbiguousFileIsRefusedWithBothReadings(t *testing.T) {
	_, err := Prepare(VideoRequest{Prompt: "p", Files: []string{"notes"}})
	e := checkError(t, err, InvalidArgument)
	if want := `files[0] may be the name of a local file, which would be ./notes below a folder that is open to this server, or an asset ID, which begins with asset_ or ast_ or has at least 16 hexadecimal digits: write one of them; got "notes"`; e.Message != want {
		t.Errorf("message\n%s\nwant\n%s", e.Message, want)
	}
	if _, err := Prepare(VideoRequest{Prompt: "p", Files: []string{"notes"}, Attached: []*Attachment{{Name: "notes", Data: []byte("text")}}}); err != nil {
		t.Errorf("with the file: %v", err)
	}
}

// archive is a zip archive with entries of these names.
func archive(t *testing.T, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range names {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "<x/>"); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestContentThatMayBeSent(t *testing.T) {
	const (
		html   = "must not be HTML, which HeyGen rejects: export a PDF or take a picture of it"
		office = "must not be an office document, since HeyGen takes png, jpeg, mp4, webm, mp3, wav and pdf: export a PDF of it"
		other  = "must be a picture, a video, audio, a PDF or text by its content, and not "
	)
	for _, tt := range []struct {
		name, content string
		mediaType     string
		warned        bool
		rule          string
	}{
		{"a.png", pngData, "image/png", false, ""},
		{"a.jpg", "\xff\xd8\xff\xe0\x00\x10JFIF\x00", "image/jpeg", false, ""},
		{"a.mp4", "\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41", "video/mp4", false, ""},
		{"sony.mp4", "\x00\x00\x00\x1cftypMSNV\x01\x29\x00\x46MSNVmp42isom", "video/mp4", false, ""},
		{"a.webm", "\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm", "video/webm", false, ""},
		{"a.mp3", "\xff\xfb\x90\x64\x00\x00\x00\x00", "audio/mpeg", false, ""},
		{"a.wav", "RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wav", false, ""},
		{"a.pdf", pdfData, "application/pdf", false, ""},
		{"wrong.mp4", pngData, "image/png", false, ""}, // by its content

		{"a.gif", gifData, "image/gif", true, ""},
		{"a.webp", "RIFF\x24\x00\x00\x00WEBPVP8 1", "image/webp", true, ""},
		{"a.mov", "\x00\x00\x00\x14ftypqt  \x00\x00\x00\x00qt  ", "video/quicktime", true, ""},
		{"a.svg", svgData, "image/svg+xml", true, ""},
		{"a.json", `{"a": 1}`, "application/json", true, ""},
		{"notes", "text\twith\r\nlines", "text/plain", true, ""},
		{"a.md", "# Title\n\n* item\n", "text/plain", true, ""},
		{"latin1.txt", "gr\xfc\xdfe", "text/plain", true, ""},
		{"utf16.txt", "\xff\xfeh\x00i\x00", "text/plain", true, ""},
		{"a.csv", "a,b\n1,2\n", "text/csv", true, ""},
		{"mail.txt", "From: me\nSubject: x\n\nhi", "text/plain", true, ""},
		{"a.sh", "#!/bin/sh\necho hi\n", "text/x-shellscript", true, ""},

		{"a.html", "<!DOCTYPE html><p>x", "", false, html},
		{"a.txt", "\n <HTML><p>x", "", false, html},
		{"a.xml", "<?xml version='1.0'?>\n<html xmlns='http://www.w3.org/1999/xhtml'></html>", "", false, html},
		{"utf16.xml", "\xff\xfe<\x00h\x00t\x00m\x00l\x00>\x00", "", false, html},
		{"widget", "<div>x</div>", "", false, html},
		{"part.htm", "just words", "", false, html},
		{"A.HTML", pngData, "", false, html},
		{"a.bin", archive(t, "[Content_Types].xml", "_rels/.rels", "ppt/presentation.xml"), "", false, office},
		{"a.zip", archive(t, "a.txt", "b.txt"), "", false, other + "application/zip"},
		{"program", "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00", "", false, other + "application/x-executable"},
		{"a.exe", "MZ\x90\x00\x03\x00\x00\x00", "", false, other + "application/vnd.microsoft.portable-executable"},
		{"a.db", "SQLite format 3\x00", "", false, other + "application/vnd.sqlite3"},
		{"noise", "\x00\x01\x02\x9f", "", false, other + "application/octet-stream"},
		{"a.png", "", "", false, "must not be an empty file"},
	} {
		p, err := Prepare(VideoRequest{Prompt: "p", Files: []string{"asset_1", "/some/path"}, Attached: []*Attachment{nil, {Name: tt.name, Data: []byte(tt.content)}}})
		if tt.rule != "" {
			if e := checkError(t, err, FileRefused); e.Message != "files[1] "+tt.rule+`; got "/some/path"` {
				t.Errorf("%s: %q, want the rule %q", tt.name, e.Message, tt.rule)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if f := p.Files[1]; f.MediaType != tt.mediaType || f.Name != tt.name || f.Size != int64(len(tt.content)) {
			t.Errorf("%s: %+v, want %s", tt.name, f, tt.mediaType)
		}
		var want []string
		if tt.warned {
			want = []string{"files[1]: " + tt.name + " is " + tt.mediaType + ": HeyGen takes png, jpeg, mp4, webm, mp3, wav and pdf, and may ignore other files or refuse the request."}
		}
		if got := Warnings(p.Files); !slices.Equal(got, want) {
			t.Errorf("%s: warnings %q, want %q", tt.name, got, want)
		}
	}
	for _, ending := range []string{"ppt", "pptx", "PPTX", "pptm", "ppsx", "doc", "docx", "docm", "dotx", "xls", "xlsx", "xlsm", "xlsb", "odt", "odp", "ods", "key", "pages", "numbers"} {
		_, err := Prepare(VideoRequest{Prompt: "p", Files: []string{"x"}, Attached: []*Attachment{{Name: "deck." + ending, Data: []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")}}})
		if e := checkError(t, err, FileRefused); e.Message != "files[0] "+office+`; got "x"` {
			t.Errorf("%s: %q", ending, e.Message)
		}
	}
}

// What a data URI is declared to be counts where its content does not tell.
func TestContentOfDataThatMayBeSent(t *testing.T) {
	for _, tt := range []struct {
		item, mediaType string
		warned          bool
		refused         string
	}{
		{"data:image/png;base64,AAAA", "image/png", false, ""},
		{"data:IMAGE/JPG;base64,AAAA", "image/jpg", false, ""},
		{"data:image/png;base64," + encoded(gifData), "image/gif", true, ""},
		{encoded(pngData), "image/png", false, ""},
		{encoded(svgData), "image/svg+xml", true, ""},
		{"data:text/csv;charset=utf-8;base64," + encoded("a"), "text/csv", true, ""},
		{"data:image/svg+xml;base64," + encoded("a"), "image/svg+xml", true, ""},
		{"data:image/png;base64," + encoded("a"), "text/plain", true, ""},
		{"data:text/html;base64," + encoded("a"), "", false, "HTML"},
		{"data:application/xhtml+xml;base64," + encoded("a"), "", false, "HTML"},
		{"data:image/png;base64," + encoded("<html>"), "", false, "HTML"},
		{"data:application/vnd.ms-powerpoint;base64,AAAA", "", false, "export a PDF"},
		{"data:application/msword;base64," + encoded("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "", false, "export a PDF"},
		{"data:application/vnd.openxmlformats-officedocument.presentationml.presentation;base64," + encoded(archive(t, "a")), "", false, "export a PDF"},
		{"data:application/vnd.oasis.opendocument.text;base64,AAAA", "", false, "export a PDF"},
		{"data:application/octet-stream;base64,AAAA", "", false, "by its content, and not application/octet-stream"},
		{"data:image/png;base64," + encoded("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00"), "", false, "by its content, and not application/x-executable"},
	} {
		p, err := Prepare(VideoRequest{Prompt: "p", Files: []string{tt.item}})
		switch {
		case tt.refused != "":
			if e := checkError(t, err, InvalidArgument); !strings.Contains(e.Message, tt.refused) {
				t.Errorf("%.60s: %s", tt.item, e.Message)
			}
		case err != nil:
			t.Errorf("%.60s: %v", tt.item, err)
		case p.Files[0].MediaType != tt.mediaType || len(Warnings(p.Files)) > 0 != tt.warned:
			t.Errorf("%.60s: %+v, warnings %q", tt.item, p.Files[0], Warnings(p.Files))
		}
	}
}

func TestSizesOfFilesAreLimitedEachAndInAll(t *testing.T) {
	const mb = 1 << 20
	local := func(size int) *Attachment {
		return &Attachment{Name: "a.png", Data: append([]byte(pngData), make([]byte, size-len(pngData))...)}
	}
	uri := func(size int) string { return "data:image/png;base64," + encoded(string(local(size).Data)) }
	each, all := " must have at most 20 MB of data; got ", " must leave all files with at most 50 MB of data together; got "
	for _, tt := range []struct {
		files    []string
		attached []*Attachment
		code     Code
		want     string
	}{
		{[]string{"a"}, []*Attachment{local(20 * mb)}, "", ""},
		{[]string{"a"}, []*Attachment{local(20*mb + 1)}, FileRefused, "files[0]" + each + `20971521 bytes in "a"`},
		{[]string{uri(20*mb + 1)}, nil, InvalidArgument, "files[0]" + each + `20971521 bytes in "data:image/png;base64,`},
		{[]string{uri(20*mb + 1)[len("data:image/png;base64,"):]}, nil, InvalidArgument, "files[0]" + each + `20971521 bytes in "iVBOR`},
		{[]string{"a", "asset_1", uri(20 * mb), "c"}, []*Attachment{local(20 * mb), nil, nil, local(10 * mb)}, "", ""},
		{[]string{"a", "asset_1", uri(20 * mb), "c"}, []*Attachment{local(20 * mb), nil, nil, local(10*mb + 1)}, FileRefused, "files[3]" + all + `10485761 bytes in "c"`},
		{[]string{"a", "b", uri(10*mb + 2)}, []*Attachment{local(20 * mb), local(20 * mb)}, InvalidArgument, "files[2]" + all + "10485762 bytes"},
	} {
		_, err := Prepare(VideoRequest{Prompt: "p", Files: tt.files, Attached: tt.attached})
		if e := checkError(t, err, tt.code); !strings.HasPrefix(e.Message, tt.want) || len(e.Message) > 400 {
			t.Errorf("message %.200q, want %q", e.Message, tt.want)
		}
	}
}

func TestURLsOfKindsThatHeyGenDoesNotTakeAreRefused(t *testing.T) {
	const html, office = "must not be HTML, which HeyGen rejects", "must not be an office document, since HeyGen takes"
	for url, rule := range map[string]string{
		"https://example.com/deck.PPTX":             office,
		"https://example.com/a%20b/notes.docx#2":    office,
		"https://example.com/about.html":            html,
		"https://example.com/deck.pptx?format=pdf":  "",
		"https://example.com/":                      "",
		"https://pptx.example.com":                  "",
		"https://example.com/deck.pptx/preview.png": "",
	} {
		_, err := Prepare(VideoRequest{Prompt: "p", Files: []string{url}})
		if rule == "" {
			if err != nil {
				t.Error(err)
			}
		} else if e := checkError(t, err, InvalidArgument); !strings.HasPrefix(e.Message, "files[0] "+rule) || !strings.HasSuffix(e.Message, "; got "+text.Quote(url)) {
			t.Errorf("%s: %s", url, e.Message)
		}
	}
}

func TestOneRefusalNamesEveryFile(t *testing.T) {
	_, err := Prepare(VideoRequest{Prompt: "p", Files: []string{"none", "asset_1", "a.html", "b.html", "notes"},
		Attached: []*Attachment{2: {Name: "a.html", Data: []byte("x")}, 3: {Name: "b.html", Data: []byte("y")}}})
	e := checkError(t, err, InvalidArgument)
	for _, part := range []string{`files[0] must be an http(s) URL`, `; got "none". files[2] must not be HTML`, `; got "a.html"; so with files[3], "b.html". files[4] may be the name`, `; got "notes"`} {
		if !strings.Contains(e.Message, part) {
			t.Errorf("message %q lacks %q", e.Message, part)
		}
	}
}

func TestFilesAreSentInTheFormatThatIsSet(t *testing.T) {
	req := VideoRequest{Prompt: `"files":[""]`, Orientation: "portrait",
		Files: []string{"https://example.com/?a=1&b=2", "asset_1", "DATA:image/PNG;x=y;base64,AAAA", encoded(pngData), "a.gif"}, Attached: []*Attachment{4: {Name: "a.gif", Data: []byte(gifData)}}}
	png, gif := encoded(pngData), encoded(gifData)
	for objects, want := range map[bool]string{
		false: `["https://example.com/?a=1&b=2","asset_1","DATA:image/PNG;x=y;base64,AAAA","data:image/png;base64,` + png + `","data:image/gif;base64,` + gif + `"]`,
		true: `[{"type":"url","url":"https://example.com/?a=1&b=2"},{"type":"asset_id","asset_id":"asset_1"},{"type":"base64","media_type":"image/png","data":"AAAA"},` +
			`{"type":"base64","media_type":"image/png","data":"` + png + `"},{"type":"base64","media_type":"image/gif","data":"` + gif + `"}]`,
	} {
		s := newScript(t, answered(200, queuedBody))
		c := newTestClient(t, s, func(c *Config) { c.FilesAsObjects = objects })
		if _, err := submit(t.Context(), c, req); err != nil {
			t.Fatal(err)
		}
		got := s.arrivals()[0].body
		if want := `{"prompt":"\"files\":[\"\"]","orientation":"portrait","files":` + want + `}`; got != want {
			t.Errorf("objects %t: sent\n%s\nwant\n%s", objects, got, want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("objects %t: not JSON", objects)
		}
	}
}

// Nobody knows which form of files this gateway takes.
func TestRefusalThatBlamesFilesNamesTheOtherFormat(t *testing.T) {
	const advice = "; files can also be sent as %s, with the setting --files-format (PIXAZO_FILES_FORMAT)"
	for _, tt := range []struct {
		name    string
		objects bool
		files   []string
		reply   reply
		code    Code
		want    string // the end of the message
	}{
		{"strings", false, []string{"asset_1"}, answered(400, `{"error":"files: invalid format"}`), InvalidArgument, fmt.Sprintf(advice, "objects")},
		{"objects", true, []string{"asset_1"}, answered(422, `{"error":"files.0 must be a string"}`), InvalidArgument, fmt.Sprintf(advice, "strings")},
		{"one file", false, []string{"asset_1"}, answered(400, `{"error":"unreadable file"}`), InvalidArgument, fmt.Sprintf(advice, "objects")},
		{"their size", false, []string{"asset_1"}, answered(413, `{"error":"file too large"}`), InvalidArgument, `file too large"`},
		{"something else", false, []string{"asset_1"}, answered(400, `{"error":"profile is missing"}`), InvalidArgument, `missing"`},
		{"no files", false, nil, answered(400, `{"error":"files: invalid"}`), InvalidArgument, `invalid"`},
		{"the key", false, []string{"asset_1"}, answered(401, `{"error":"files"}`), Unauthorized, `files"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newTestClient(t, newScript(t, tt.reply), func(c *Config) { c.FilesAsObjects = tt.objects })
			_, err := submit(t.Context(), c, VideoRequest{Prompt: "p", Files: tt.files})
			if e := checkError(t, err, tt.code); !strings.HasSuffix(e.Message, tt.want) {
				t.Errorf("message %q, want %q at its end", e.Message, tt.want)
			}
		})
	}
}

// The key is found wherever it stands in a file, also across the blocks in which
// data is read.
func TestFileThatContainsTheKeyIsRefused(t *testing.T) {
	c := newTestClient(t, newScript(t, answered(200, queuedBody)))
	for _, before := range []int{0, 1, 700, 1023, 1024 * 3 / 4, 32 << 10, 64<<10 - 5, 200_001} {
		content := strings.Repeat("x", before) + testSecret + "end"
		for _, req := range []VideoRequest{
			{Prompt: "p", Files: []string{"notes.txt"}, Attached: []*Attachment{{Name: "notes.txt", Data: []byte(content)}}},
			{Prompt: "p", Files: []string{"data:text/plain;base64," + encoded(content)}},
		} {
			_, err := c.Prepare(req)
			if e := checkError(t, err, InvalidArgument); e.Message != "files[0] contains the API key: remove it; got it" {
				t.Errorf("after %d bytes: %q", before, e.Message)
			}
		}
		if _, err := c.Prepare(VideoRequest{Prompt: "p", Files: []string{"data:text/plain;base64," + encoded(content[:len(content)-4])}}); err != nil {
			t.Errorf("a part of the key: %v", err)
		}
	}
}
