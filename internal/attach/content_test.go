package attach

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"pixazo-mcp/pixazo"
)

// office is a zip archive of entries, in their order. The content of the first
// is long and can't be compressed away.
func office(t *testing.T, entries ...string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i, name := range entries {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		content := "<x/>"
		if i == 0 {
			content = strings.Repeat(name+" ", 20_000)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// container is an OLE file of sector size 1<<shift whose directory, with these
// streams, is far behind its head.
func container(shift byte, streams ...string) string {
	b := make([]byte, 200_000)
	copy(b, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
	b[30], b[32] = shift, 6
	binary.LittleEndian.PutUint32(b[48:], 40)
	dir := b[41<<shift:]
	for i, name := range append([]string{"Root Entry"}, streams...) {
		entry := dir[i*128:]
		for j, u := range utf16.Encode([]rune(name)) {
			binary.LittleEndian.PutUint16(entry[2*j:], u)
		}
		binary.LittleEndian.PutUint16(entry[64:], uint16(2*len(name)+2))
	}
	return string(b)
}

func TestContentTellsTheMediaType(t *testing.T) {
	const types = "[Content_Types].xml"
	tests := []struct{ name, content, want string }{
		{"PNG", pngData, "image/png"},
		{"GIF", gifData, "image/gif"},
		{"PDF", pdfData, "application/pdf"},
		{"SVG", "<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"},
		{"MP4", "\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41", "video/mp4"},
		{"MP3", "\xff\xfb\x90\x64\x00\x00\x00\x00", "audio/mpeg"},
		{"WAV", "RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wav"},
		{"text", "text\twith\r\nlines\f and \x1b[1mcolour", "text/plain"},
		{"Markdown", "# Title\n\n* item\n", "text/plain"},
		{"text of Latin-1", "gr\xfc\xdfe", "text/plain"},
		{"text of UTF-16", "\xff\xfeh\x00i\x00", "text/plain"},
		{"text of UTF-16, the other way", "\xfe\xff\x00h\x00i", "text/plain"},
		{"CSV", "a,b\n1,2\n", "text/csv"},
		{"HTML", "<!DOCTYPE html><p>x", "text/html"},
		{"JSON", `{"a": 1}`, "application/json"},
		{"subtitles", "1\n00:00:01,000 --> 00:00:02,000\nhi\n", "text/plain"},
		{"notes that look like a mail", "From: me\nSubject: x\n\nhi", "text/plain"},
		{"script", "#!/bin/sh\necho hi\n", "text/x-shellscript"},
		{"RTF", `{\rtf1\ansi x}`, "text/rtf"},
		{"pptx, types first", office(t, types, "_rels/.rels", "ppt/presentation.xml"), pptx},
		{"pptx, slides first", office(t, "ppt/slides/slide1.xml", "ppt/presentation.xml", types), pptx},
		{"pptx, thumbnail first", office(t, "docProps/thumbnail.jpeg", types, "ppt/presentation.xml"), pptx},
		{"docx, media first", office(t, "word/media/image1.png", "word/document.xml", types), docx},
		{"docx, custom parts first", office(t, "customXml/item1.xml", types, "word/document.xml"), docx},
		{"xlsx", office(t, types, "xl/workbook.xml"), xlsx},
		{"odt", office(t, "x")[:26] + "\x08\x00\x00\x00mimetypeapplication/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.text"},
		{"odp", office(t, "x")[:26] + "\x08\x00\x00\x00mimetypeapplication/vnd.oasis.opendocument.presentation", "application/vnd.oasis.opendocument.presentation"},
		{"doc", container(9, "Data", "1Table", "WordDocument"), doc},
		{"doc, large sectors", container(12, "WordDocument"), doc},
		{"xls", container(9, "Workbook"), xls},
		{"xls of 1995", container(9, "Book"), xls},
		{"ppt", container(9, "Current User", "PowerPoint Document"), ppt},
	}
	refused := []struct{ name, content, want string }{
		{"zip", office(t, "a.txt", "b.txt"), "application/zip"},
		{"zip with a folder named word", office(t, "a.txt", "word/document.xml"), "application/zip"},
		{"zip with a presentation in it", office(t, "a.txt", "a.pptx"), "application/zip"},
		{"zip that is cut off", office(t, types, "x")[:5000], "application/zip"},
		{"zip without an end", strings.Replace(office(t, types, "ppt/presentation.xml"), "PK\x05\x06", "PK\x05\x07", 1), "application/zip"},
		{"zip with a huge directory", strings.Replace(office(t, types, "ppt/presentation.xml"), "PK\x05\x06\x00\x00\x00\x00\x02\x00\x02\x00", "PK\x05\x06\x00\x00\x00\x00\x02\x00\x02\x00\xff\xff\xff\xff", 1), "application/zip"},
		{"zip with a directory that lies about its names", strings.ReplaceAll(office(t, types, "ppt/presentation.xml"), "PK\x01\x02", "PK\x01\x03"), "application/zip"},
		{"OLE of something else", container(9, "Contents"), "application/x-ole-storage"},
		{"OLE that is cut off", container(9)[:100], "application/x-ole-storage"},
		{"ELF", "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00", "application/x-executable"},
		{"EXE", "MZ\x90\x00\x03\x00\x00\x00", "application/vnd.microsoft.portable-executable"},
		{"gzip", "\x1f\x8b\x08\x00\x00", "application/gzip"},
		{"SQLite", "SQLite format 3\x00", "application/vnd.sqlite3"},
		{"noise", "\x00\x01\x02\x9f", "application/octet-stream"},
		{"text with a zero late", strings.Repeat("text ", 2000) + "\x00", "text with binary data in it"},
		{"nothing", "", "must not be an empty file"},
	}
	for _, tt := range tests {
		if got, rule := fileType(strings.NewReader(tt.content), int64(len(tt.content))); got != tt.want || rule != "" {
			t.Errorf("%s: %q, rule %q; want %q", tt.name, got, rule, tt.want)
		}
	}
	for _, tt := range refused {
		if got, rule := fileType(strings.NewReader(tt.content), int64(len(tt.content))); got != "" || !strings.HasSuffix(rule, tt.want) {
			t.Errorf("%s: %q, rule %q; want %q", tt.name, got, rule, tt.want)
		}
	}
	for _, tt := range append(tests, refused...) {
		b64 := encoded(base64.StdEncoding.EncodeToString([]byte(tt.content)))
		want, _ := sniff(strings.NewReader(tt.content), int64(len(tt.content)))
		if got, _ := sniff(b64, int64(len(tt.content))); got != want {
			t.Errorf("%s: %q as base64, else %q", tt.name, got, want)
		}
	}
}

func TestAnIDIsNotTakenForBase64(t *testing.T) {
	for _, id := range []string{
		"0123456789abcdef0123456789abcdef", "ffd8ffe0ffd8ffe0", "89504e470d0a1a0a", "25504446", "4749463839616162", "52494646",
		"00000000-0000-0000-0000-000000000000", "FFD8FFE0-0010-4A46-4946-000101000001", strings.Repeat("0a", 64),
		"QmluYXJ5RGF0YUlEMTIz", "AAABAAEAEBAAAAEAIABo", "SUQzBAAAAAAAI1RTU0UA", "Qk02AAAAAAAAADYAAAAo",
	} {
		if k, mediaType, rule := classify(id); k != asIs && k != named || mediaType != "" || rule != "" {
			t.Errorf("%q: kind %d, %q, %q", id, k, mediaType, rule)
		}
	}
}

func TestAPathIsNotTakenForBase64(t *testing.T) {
	for _, path := range []string{
		"images/photo", "Documents/report", "/home/ann/Videos/holiday/day1", "/Users/ann/Movies/Pixazo/clip1234", "sub/c.txt",
		"a/b+c/d+", "/tmp/abc", "/9j/", "slides/2026/Q1/", "/var/folders/zz/zyxvpxvq6csfxvn/T/file", "QUJD/REVG", "VGhpcyBpcyB0+ZXh0",
	} {
		if k, mediaType, rule := classify(path); k != local || rule != "" {
			t.Errorf("%q: kind %d, %q, %q", path, k, mediaType, rule)
		}
	}
}

func TestBase64IsReadAtAnyOffset(t *testing.T) {
	for size := range 14 {
		content := "0123456789abcdef"[:size]
		s := encoded(base64.StdEncoding.EncodeToString([]byte(content)))
		if err := iotest.TestReader(io.NewSectionReader(s, 0, int64(size)), []byte(content)); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		if n, ok := pixazo.Base64Size(string(s)); size > 0 && (n != int64(size) || !ok) {
			t.Errorf("%d bytes: size %d, %t", size, n, ok)
		}
	}
}
