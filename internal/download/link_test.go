// This file tests the links of a team server: who gets what by which one.

package download_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/internal/download"
	"pixazo-mcp/internal/text"
)

// linked is a team's server of links: ada's job a has two videos, and bob's b
// one.
func linked(t *testing.T) (l *download.Links, files map[string][]download.File) {
	t.Helper()
	dir := t.TempDir()
	key, err := download.LinkKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	save := func(owner, name, content string, video int) download.File {
		path := filepath.Join(download.Folder(dir, owner), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return download.File{Path: path, Bytes: int64(len(content)), MediaType: "video/mp4", Video: video}
	}
	files = map[string][]download.File{
		"a": {save("token:ada", "sea/Fête, 1.mp4", "the first of ada", 0), save("token:ada", "two.mp4", "the second of ada", 1)},
		"b": {save("token:bob", "three.mp4", "the only one of bob", 0)},
	}
	return &download.Links{
		Now:    time.Now,
		Origin: "https://mcp.example.com", Key: key, Dir: dir, Logger: slog.New(slog.DiscardHandler),
		Find: func(_ context.Context, id string) (string, []download.File, error) {
			if id == "broken" {
				return "", nil, errors.New("the database is away")
			}
			return map[string]string{"a": "token:ada", "b": "token:bob"}[id], files[id], nil
		},
	}, files
}

func open(l *download.Links, method, link string, header http.Header) (*http.Response, string) {
	r := httptest.NewRequest(method, link, nil)
	r.Header = header
	w := httptest.NewRecorder()
	l.ServeHTTP(w, r)
	body, _ := io.ReadAll(w.Result().Body)
	return w.Result(), string(body)
}

func TestALinkOpensItsVideo(t *testing.T) {
	l, files := linked(t)
	link := l.To("a", "token:ada", files["a"][0])
	if !strings.HasPrefix(link, "https://mcp.example.com/videos/a/1?exp=") || strings.Contains(link, "ada") {
		t.Errorf("link %s", link)
	}
	for _, tt := range []struct {
		name, method, span string
		status             int
		body               string
	}{
		{"whole", "GET", "", 200, "the first of ada"},
		{"its head", "HEAD", "", 200, ""},
		{"a part", "GET", "bytes=4-8", 206, "first"},
		{"a part behind the end", "GET", "bytes=400-", 416, "invalid range: failed to overlap\n"},
	} {
		header := http.Header{}
		if tt.span != "" {
			header.Set("Range", tt.span)
		}
		resp, body := open(l, tt.method, link, header)
		if resp.StatusCode != tt.status || body != tt.body {
			t.Errorf("%s: %d %q, want %d %q", tt.name, resp.StatusCode, body, tt.status, tt.body)
		}
		if tt.status < 300 {
			for name, want := range map[string]string{"Content-Type": "video/mp4", "X-Content-Type-Options": "nosniff", "Accept-Ranges": "bytes",
				"Cache-Control": "private, no-store", "Content-Disposition": "inline; filename*=utf-8''F%C3%AAte%2C%201.mp4"} {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s: %s is %q, want %q", tt.name, name, got, want)
				}
			}
		}
	}
	if _, body := open(l, "GET", l.To("a", "token:ada", files["a"][1]), nil); body != "the second of ada" {
		t.Errorf("the second video: %q", body)
	}
}

func TestALinkIsGoodForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, files := linked(t)
		link := l.To("b", "token:bob", files["b"][0])
		time.Sleep(59*time.Minute + 58*time.Second)
		if resp, body := open(l, "GET", link, nil); resp.StatusCode != 200 {
			t.Errorf("before: %d %s", resp.StatusCode, body)
		}
		time.Sleep(2 * time.Second)
		if resp, body := open(l, "GET", link, nil); resp.StatusCode != 403 || !strings.Contains(body, "expired") {
			t.Errorf("after: %d %s", resp.StatusCode, body)
		}
	})
}

func TestNothingElseIsServed(t *testing.T) {
	l, files := linked(t)
	mine, theirs := l.To("a", "token:ada", files["a"][0]), l.To("b", "token:bob", files["b"][0])
	if l.To("a", "token:bob", files["a"][0]) != "" || l.To("", "token:ada", files["a"][0]) != "" {
		t.Error("there is a link to a file outside of the owner's folder, or to a job without an id")
	}
	u, _ := url.Parse(mine)
	q := u.Query()
	with := func(path, name, value string) string {
		changed := u.Query()
		changed.Set(name, value)
		return "https://mcp.example.com" + path + "?" + changed.Encode()
	}
	for name, link := range map[string]string{
		"no signature":            "https://mcp.example.com/videos/a/1",
		"another time":            with(u.Path, "exp", "99999999999"),
		"another signature":       with(u.Path, "sig", strings.Repeat("A", len(q.Get("sig")))),
		"another video":           with("/videos/a/2", "exp", q.Get("exp")),
		"another's video":         with("/videos/b/1", "exp", q.Get("exp")),
		"a path":                  with("/videos/a/1/../../b/1", "exp", q.Get("exp")),
		"the same one, escaped":   with("/videos/%61/1", "exp", q.Get("exp")),
		"the folder":              "https://mcp.example.com/videos/",
		"a signature in a broken": strings.Replace(theirs, "/b/", "/broken/", 1),
	} {
		if resp, body := open(l, "GET", link, nil); resp.StatusCode != 404 || !strings.Contains(body, "There is no such video") || resp.Header.Get("Content-Disposition") != "" {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
	if resp, _ := open(l, "POST", mine, nil); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d", resp.StatusCode)
	}

	// A file that the journal names elsewhere, that is another one now, or gone.
	path := files["b"][0].Path
	for _, tt := range []struct {
		name   string
		change func(*download.File)
	}{
		{"elsewhere", func(f *download.File) { f.Path = files["a"][0].Path }},
		{"a link out", func(f *download.File) { f.Path += ".link"; _ = os.Symlink(files["a"][0].Path, f.Path) }},
		{"a folder", func(f *download.File) { f.Path = filepath.Dir(f.Path) }},
		{"another size", func(f *download.File) { f.Bytes++ }},
		{"gone", func(f *download.File) { _ = os.Remove(f.Path) }},
	} {
		files["b"][0] = download.File{Path: path, Bytes: int64(len("the only one of bob")), MediaType: "video/mp4"}
		if resp, _ := open(l, "GET", theirs, nil); resp.StatusCode != 200 {
			t.Errorf("before %s: %d", tt.name, resp.StatusCode)
		}
		tt.change(&files["b"][0])
		if resp, body := open(l, "GET", theirs, nil); resp.StatusCode != 404 || strings.Contains(body, "ada") {
			t.Errorf("%s: %d %s", tt.name, resp.StatusCode, body)
		}
	}
	if resp, _ := open(l, "GET", l.To("broken", "token:ada", files["a"][0]), nil); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("without a database: %d", resp.StatusCode)
	}
}

// All replicas sign with the key that the first one made.
func TestLinkKeyIsShared(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	first, err := download.LinkKey(dir)
	if err != nil || len(first) != 32 {
		t.Fatalf("%x, %v", first, err)
	}
	if second, err := download.LinkKey(dir); err != nil || string(second) != string(first) {
		t.Errorf("%x, then %x, %v", first, second, err)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 {
		t.Errorf("the folder has %v", entries)
	}
	name := filepath.Join(dir, entries[0].Name())
	if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := download.CheckFilename(entries[0].Name()); err == nil {
		t.Error("a video can have the name of the key's file")
	}
	if err := os.WriteFile(name, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := download.LinkKey(dir); err == nil || !strings.Contains(err.Error(), "32 bytes") {
		t.Errorf("a short key: %v", err)
	}
}

// Two owners never share a folder, and each name is safe on every system.
func TestFoldersOfOwners(t *testing.T) {
	seen := map[string]string{}
	for _, owner := range []string{"", "token:ada", "token:Ada", "token_ada", "token ada", "token:a/../../b", "token:" + strings.Repeat("x", 300),
		"token:" + strings.Repeat("x", 301), "con", "token:nul", "token:ä", "token:ö", "..", strings.Repeat("0123456789abcdef", 4)} {
		dir, name := filepath.Split(download.Folder("out", owner))
		if other, taken := seen[name]; taken {
			t.Errorf("%q and %q share %s", owner, other, name)
		}
		seen[name] = owner
		if _, err := download.CheckFilename(name); err != nil || dir != "out"+string(filepath.Separator) || text.IsDeviceName(name) ||
			name != strings.ToLower(name) || strings.Contains(name, "/") || len(name) > 60 {
			t.Errorf("%q has the folder %q: %v", owner, name, err)
		}
	}
}
