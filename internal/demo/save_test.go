// These tests download from servers on loopback.

package demo

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

const mp4 = "\x00\x00\x00\x18ftypisom and so on"

// answer serves body with a content type. Unlike net/http it does not guess
// the type from the body.
func answer(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{contentType}
		_, _ = io.WriteString(w, body)
	}
}

func TestDownload(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(answer("video/mp4", mp4))
	defer elsewhere.Close()
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		wantErr string // "" for a saved file
	}{
		{"video", answer("video/mp4", mp4), ""},
		{"another kind of video", answer("VIDEO/webm; codecs=vp9", "\x1a\x45\xdf\xa3"), ""},
		{"type unknown, begins as MP4", answer("application/octet-stream", mp4), ""},
		{"no type, begins as MP4", answer("", mp4), ""},
		{"redirect on loopback", redirect(elsewhere.URL), ""},
		{"unknown length", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "video/mp4")
			_, _ = io.WriteString(w, mp4)
			w.(http.Flusher).Flush()
		}, ""},

		{"web page", answer("text/html", "<html>\x1b[2J</html>"), "not a video"},
		{"wrong type", answer("image/\u202epng", "\x89PNG"), "not a video"},
		{"too short to tell", answer("application/octet-stream", "ftyp"), "not a video"},
		{"empty", answer("video/mp4", ""), "empty"},
		{"not found", http.NotFound, "404"},
		{"redirect to http elsewhere", redirect("http://example.invalid/video.mp4"), "must be https"},
		{"redirect to a file", redirect("file:///etc/passwd"), "must be https"},
		{"endless redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }, "too many redirects"},
		{"too large", answer("video/mp4", strings.Repeat("x", 101)), "larger than 100 bytes"},
		{"too large, unknown length", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "video/mp4")
			_, _ = io.WriteString(w, mp4)
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, strings.Repeat("x", 100))
		}, "larger than 100 bytes"},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "video/mp4")
			w.Header().Set("Content-Length", "90")
			_, _ = io.WriteString(w, mp4)
		}, "unexpected EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			gateway := httptest.NewServer(tt.handler)
			defer gateway.Close()
			name, size, files, err := save(t, t.Context(), gateway.URL, t.TempDir())
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("error is %v, want one with %q", err, tt.wantErr)
				}
				checkPlain(t, err.Error())
				if len(files) > 0 {
					t.Errorf("left behind: %v", files)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if name != "base.mp4" || len(files) != 1 || files["base.mp4"] == "" || int(size) != len(files["base.mp4"]) {
				t.Errorf("saved %d bytes as %q; the folder holds %q", size, name, files)
			}
		})
	}
}

func TestDownloadNeverReplacesAFile(t *testing.T) {
	t.Parallel()
	gateway := httptest.NewServer(answer("video/mp4", mp4))
	defer gateway.Close()
	dir := t.TempDir()
	for _, want := range []string{"base.mp4", "base-2.mp4", "base-3.mp4"} {
		name, _, files, err := save(t, t.Context(), gateway.URL, dir)
		if err != nil {
			t.Fatal(err)
		}
		if name != want || files[want] != mp4 {
			t.Errorf("saved as %q, want %q; the folder holds %q", name, want, files)
		}
		// Whatever stands there must not change.
		if err := os.WriteFile(dir+"/"+name, []byte("kept"), 0o600); err != nil {
			t.Fatal(err)
		}
		for other, content := range files {
			if other != name && content != "kept" {
				t.Errorf("%s was replaced", other)
			}
		}
	}
}

func TestDownloadCanBeCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "video/mp4")
		_, _ = io.WriteString(w, mp4)
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	}))
	defer gateway.Close()
	if _, _, files, err := save(t, ctx, gateway.URL, t.TempDir()); err == nil || len(files) > 0 {
		t.Errorf("error is %v, the folder holds %q", err, files)
	}
}

// save downloads with a limit of 100 bytes and returns what is then in dir.
func save(t *testing.T, ctx context.Context, link, dir string) (name string, size int64, files map[string]string, err error) {
	t.Helper()
	root, err := openDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	d := newDownloader(&screen{out: io.Discard, terminal: true})
	d.limit = 100
	name, size, err = d.save(ctx, link, root, "base")
	entries, _ := os.ReadDir(dir)
	files = map[string]string{}
	for _, entry := range entries {
		content, _ := os.ReadFile(dir + "/" + entry.Name())
		files[entry.Name()] = string(content)
	}
	return name, size, files, err
}

func TestCheckLink(t *testing.T) {
	for link, want := range map[string]bool{
		"https://cdn.example.com/v.mp4": true,
		"http://127.0.0.1:8080/v.mp4":   true,
		"http://[::1]:8080/v.mp4":       true,
		"http://localhost/v.mp4":        true,
		"http://cdn.example.com/v.mp4":  false,
		"http://localhost.example.com/": false,
		"http://10.0.0.1/v.mp4":         false,
		"file:///etc/passwd":            false,
		"ftp://127.0.0.1/v.mp4":         false,
		"https:///v.mp4":                false,
		"v.mp4":                         false,
	} {
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkLink(u); (err == nil) != want {
			t.Errorf("checkLink(%s) = %v, want allowed: %v", link, err, want)
		}
	}
}

func TestCheckRedirectLeavesHTTPSOnlyForHTTPS(t *testing.T) {
	request := func(link string) *http.Request {
		r, err := http.NewRequest(http.MethodGet, link, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, tt := range []struct {
		first, next string
		want        bool
	}{
		{"https://cdn.example.com/v", "https://other.example.com/v", true},
		{"https://cdn.example.com/v", "http://cdn.example.com/v", false},
		{"https://cdn.example.com/v", "http://127.0.0.1/v", false},
		{"http://127.0.0.1/v", "http://127.0.0.1/w", true},
		{"http://127.0.0.1/v", "https://cdn.example.com/v", true},
	} {
		if err := checkRedirect(request(tt.next), []*http.Request{request(tt.first)}); (err == nil) != tt.want {
			t.Errorf("%s to %s: %v, want allowed: %v", tt.first, tt.next, err, tt.want)
		}
	}
}

func TestFileName(t *testing.T) {
	day := time.Date(2026, 3, 4, 23, 0, 0, 0, time.UTC)
	for id, want := range map[string]string{
		"heygen-video-agent_019a0b1c-2d3e-7f40-8a5b-6c7d8e9f0a1b": "pixazo-2026-03-04-8e9f0a1b",
		"abc": "pixazo-2026-03-04-abc",
	} {
		if got := fileName(day, id); got != want {
			t.Errorf("fileName(%s) = %s, want %s", id, got, want)
		}
	}
}
