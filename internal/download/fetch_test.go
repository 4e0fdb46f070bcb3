// This file tests what is taken from the server that has a video, by real
// connections to hostile ones on this computer, which stand for the gateway's
// own origin. Bugs it guards against: half a video under a whole one's name, an
// error page saved as one, a request to an address within the house, the key or
// a signed link where it does not belong.

package download_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pixazo-mcp/internal/download"
	"pixazo-mcp/pixazo"
)

const (
	videoID = "id-of-the-video"
	secret  = "Signature=s3cr3t"
)

// media is a server on loopback that answers its nth request, counted from 1,
// and notes the headers of all.
type media struct {
	*httptest.Server
	answer func(w http.ResponseWriter, r *http.Request, n int)

	mu   sync.Mutex
	seen []*http.Request
}

func newMedia(t testing.TB, answer func(w http.ResponseWriter, r *http.Request, n int)) *media {
	m := &media{answer: answer}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		m.seen = append(m.seen, r)
		n := len(m.seen)
		m.mu.Unlock()
		m.answer(w, r, n)
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *media) link() string { return m.URL + "/video.mp4?" + secret }

func (m *media) requests() []*http.Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.seen)
}

// house is a saver whose gateway is on loopback, with an output folder.
type house struct {
	*download.Saver
	jobs    *fakeJobs
	out     string
	options download.Options
}

func newHouse(t testing.TB, gatewayURL string, links ...string) *house {
	t.Helper()
	h := &house{jobs: completed(links...), out: filepath.Join(t.TempDir(), "out")}
	h.options = download.Options{Dir: h.out, GatewayURL: gatewayURL, UserAgent: "agent/1", RetryPause: time.Millisecond, ReportEvery: time.Millisecond}
	h.Saver = openSaver(t, h.jobs, h.options)
	return h
}

// reopen gives the house another saver, with options changed.
func (h *house) reopen(t testing.TB, change func(*download.Options)) {
	t.Helper()
	change(&h.options)
	h.Saver = openSaver(t, h.jobs, h.options)
}

func (h *house) save(t testing.TB, filename string, overwrite bool) (download.Saved, error) {
	t.Helper()
	return h.Save(t.Context(), download.Request{RequestID: videoID, Filename: filename, Overwrite: overwrite}, time.Minute, nil)
}

// mustSave returns the one file that is saved.
func (h *house) mustSave(t testing.TB, filename string) download.File {
	t.Helper()
	s, err := h.save(t, filename, false)
	if err != nil || len(s.Files) != 1 || s.Pending {
		t.Fatalf("Save as %q = %+v, %v; want one file", filename, s, err)
	}
	return s.Files[0]
}

// tree is every file below dir, links and folders included, with slashes.
func tree(t testing.TB, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) && path == dir {
			return filepath.SkipDir
		}
		if err == nil && path != dir {
			rel, _ := filepath.Rel(dir, path)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func wantTree(t testing.TB, dir string, want ...string) {
	t.Helper()
	if got := tree(t, dir); !slices.Equal(got, want) {
		t.Errorf("the folder holds %q, want %q", got, want)
	}
}

func sumOf(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// wantFile compares the file on the disk and what is said of it with video.
func wantFile(t testing.TB, got download.File, video []byte) {
	t.Helper()
	b, err := os.ReadFile(got.Path)
	if err != nil || !bytes.Equal(b, video) {
		t.Errorf("the file has %d bytes with sum %s, %v; want %d with %s", len(b), sumOf(b), err, len(video), sumOf(video))
	}
	if got.Bytes != int64(len(video)) || got.SHA256 != sumOf(video) {
		t.Errorf("the file is said to have %d bytes with sum %s; want %d with %s", got.Bytes, got.SHA256, len(video), sumOf(video))
	}
}

// video is n bytes of an MP4 file that no other has.
func video(n int) []byte {
	b := mp4(n)
	_, _ = rand.Read(b[64:])
	return b
}

// serve answers with b as a well-behaved server does, ranges and all.
func serve(w http.ResponseWriter, r *http.Request, b []byte, etag string) {
	w.Header().Set("Content-Type", "video/mp4")
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}

// cut answers 200, or 206 from first on, declares the length of the rest of b,
// sends n bytes of it and closes the connection.
func cut(w http.ResponseWriter, b []byte, etag string, first, n int) {
	w.Header().Set("Content-Type", "video/mp4")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)-first))
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	if first > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, len(b)-1, len(b)))
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(b[first : first+n])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func raw200(w http.ResponseWriter, response string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(conn, response)
	_ = conn.Close()
}

// Each server is its gateway's own origin, since no other may be on loopback.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	whole := video(100_000)
	type answer = func(w http.ResponseWriter, r *http.Request, n int)
	status := func(code int) answer {
		return func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(code) }
	}
	body := func(mediaType, text string) answer {
		return func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Content-Type", mediaType)
			_, _ = io.WriteString(w, text)
		}
	}
	redirect := func(to string) answer {
		return func(w http.ResponseWriter, r *http.Request, _ int) {
			http.Redirect(w, r, to+"?"+secret, http.StatusFound)
		}
	}
	const stalled = "3 tries failed, the last one since less than 16 kB/s came for 100ms"
	const page = "<!DOCTYPE html><html><head><title>Sorry</title></head><body>try later</body></html>"
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(whole)
	_ = z.Close()

	tests := []struct {
		name     string
		answer   answer
		says     string // "" when the whole video is saved
		requests int
	}{
		{"a good one", func(w http.ResponseWriter, r *http.Request, _ int) { serve(w, r, whole, "") }, "", 1},
		{"chunked", func(w http.ResponseWriter, _ *http.Request, _ int) {
			for part := range slices.Chunk(whole, 7001) {
				_, _ = w.Write(part)
				_ = http.NewResponseController(w).Flush()
			}
		}, "", 1},
		{"a type that says nothing", func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = w.Write(whole)
		}, "", 1},
		{"always cut", func(w http.ResponseWriter, _ *http.Request, _ int) { cut(w, whole, "", 0, 50_000) }, "3 tries failed, the last one since the connection broke before the end of the file", 3},
		{"always cut before the first byte", func(w http.ResponseWriter, _ *http.Request, _ int) { cut(w, whole, "", 0, 0) }, "the connection broke", 3},
		{"closed without an answer", func(http.ResponseWriter, *http.Request, int) { panic(http.ErrAbortHandler) }, "the connection broke", 3},
		{"chunks that end in the middle", func(w http.ResponseWriter, _ *http.Request, _ int) {
			_, _ = w.Write(whole[:50_000])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "the connection broke", 3},
		{"cut twice, ranges ignored", func(w http.ResponseWriter, r *http.Request, n int) {
			if n < 3 {
				cut(w, whole, "", 0, 30_000*n)
			}
			r.Header.Del("Range")
			serve(w, r, whole, "")
		}, "", 3},
		{"stalls in the body", func(w http.ResponseWriter, r *http.Request, _ int) {
			w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
			_, _ = w.Write(whole[:10_000])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, stalled, 3},
		{"a trickle", func(w http.ResponseWriter, r *http.Request, _ int) {
			w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
			_, _ = w.Write(whole[:50_000])
			for part := range slices.Chunk(whole[50_000:], 10) { // 2 kB/s
				_, _ = w.Write(part)
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(5 * time.Millisecond):
				case <-r.Context().Done():
					return
				}
			}
		}, stalled, 3},
		{"stalls after the header", func(w http.ResponseWriter, r *http.Request, _ int) {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, stalled, 3},
		{"stalls before the header", func(_ http.ResponseWriter, r *http.Request, _ int) { <-r.Context().Done() }, stalled, 3},
		{"a length shorter than the body", func(w http.ResponseWriter, _ *http.Request, _ int) {
			raw200(w, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n%s and more", len(whole), whole))
		}, "", 1},
		{"two lengths", func(w http.ResponseWriter, _ *http.Request, _ int) {
			raw200(w, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 20\r\n\r\n0123456789")
		}, "3 tries failed", 3},
		{"a negative length", func(w http.ResponseWriter, _ *http.Request, _ int) {
			raw200(w, "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n0123456789")
		}, "3 tries failed", 3},
		{"a length past all limits", func(w http.ResponseWriter, _ *http.Request, _ int) {
			raw200(w, "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 9223372036854775807\r\n\r\n"+string(whole))
		}, "at least 9223372036854775807 bytes and the limit is 200000 (--max-download", 1},
		{"one byte above the limit", func(w http.ResponseWriter, r *http.Request, _ int) { serve(w, r, video(200_001), "") }, "at least 200001 bytes and the limit is 200000", 1},
		{"no end", func(w http.ResponseWriter, _ *http.Request, _ int) {
			for {
				if _, err := w.Write(whole); err != nil {
					return
				}
			}
		}, "and the limit is 200000", 1},
		{"not HTTP", func(w http.ResponseWriter, _ *http.Request, _ int) { raw200(w, "SSH-2.0-OpenSSH_9.6\r\n") }, "malformed HTTP", 3},
		{"an error page", body("text/html; charset=utf-8", page), `the server sent "text/html", not a video`, 1},
		{"an error page that calls itself a video", body("video/mp4", page), "the server sent text/html, not a video", 1},
		{"an error page after a mark", body("video/mp4", "\ufeff\r\n  "+page), "the server sent text/html, not a video", 1},
		{"an error page without a type", body("application/octet-stream", page), "the server sent text/html, not a video", 1},
		{"JSON", body("application/json", `{"error":"expired"}`), `the server sent "application/json", not a video`, 1},
		{"JSON of a kind", body("application/problem+json", `{"error":"expired"}`), `the server sent "application/problem+json", not a video`, 1},
		{"JSON that calls itself a video", body("video/mp4", `{"error":"expired"}`), "the server sent application/json, not a video", 1},
		{"XML", body("application/xml", `<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>`), `the server sent "application/xml", not a video`, 1},
		{"XML that calls itself a video", body("video/mp4", `<?xml version="1.0"?><Error/>`), "the server sent text/xml, not a video", 1},
		{"a drawing that calls itself a video", body("video/mp4", `<svg xmlns="http://www.w3.org/2000/svg"/>`), "the server sent image/svg+xml, not a video", 1},
		{"plain words without a type", body("application/octet-stream", "Access denied."), "the server sent text/plain, not a video", 1},
		{"plain words that call themselves a video", body("video/mp4", "Access denied."), "the server sent text/plain, not a video", 1},
		{"words after a mark", body("video/mp4", "\ufeffAccess denied."), "the server sent text/plain, not a video", 1},
		{"words in UTF-16", body("video/mp4", "\xff\xfeN\x00o\x00 \x00v\x00i\x00d\x00e\x00o\x00"), "the server sent text/plain, not a video", 1},
		{"words in UTF-16 without a mark", body("video/mp4", "N\x00o\x00 \x00v\x00i\x00d\x00e\x00o\x00"), "the server sent application/octet-stream, not a video", 1},
		{"words that hold a mark of videos", body("video/mp4", "the ftypmp42 of it all"), "not a video", 1},
		{"words that begin like a video", body("video/mp4", "\x47 "+strings.Repeat("x", 1000)), "not a video", 1},
		{"words of a playlist", body("application/vnd.apple.mpegurl", "#EXTM3U\n#EXTINF:10,\nhttps://example.com/1.ts\n"), "not a video", 1},
		{"a picture", body("video/mp4", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), "the server sent image/png, not a video", 1},
		{"a photograph", body("video/mp4", "\xff\xd8\xff\xe0\x00\x10JFIF\x00"), "the server sent image/jpeg, not a video", 1},
		{"a moving picture", body("video/mp4", "GIF89a\x01\x00\x01\x00"), "the server sent image/gif, not a video", 1},
		{"a picture in the container of a video", body("video/mp4", "\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1"), "the server sent image/avif, not a video", 1},
		{"a sound", body("video/mp4", "RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00"), "the server sent audio/wav, not a video", 1},
		{"a document", body("video/mp4", "%PDF-1.7\n"), "the server sent application/pdf, not a video", 1},
		{"nothing that is known", body("video/mp4", "\x01\x02\x03\x00\xff"), "the server sent application/octet-stream, not a video", 1},
		{"zeros", body("video/mp4", strings.Repeat("\x00", 5000)), "the server sent application/octet-stream, not a video", 1},
		{"an archive that calls itself a video", body("video/mp4", "PK\x03\x04\x14\x00\x00\x00\x08\x00"), "the server sent application/zip, not a video", 1},
		{"a program", body("application/octet-stream", "MZ\x90\x00\x03\x00\x00\x00\x04\x00"), "the server sent application/vnd.microsoft.portable-executable, not a video", 1},
		{"empty", body("video/mp4", ""), "the file is empty", 1},
		{"empty and chunked", func(w http.ResponseWriter, _ *http.Request, _ int) { _ = http.NewResponseController(w).Flush() }, "the file is empty", 1},
		{"packed though it was not asked for", func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Content-Type", "video/mp4")
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed.Bytes())
		}, `packed ("gzip")`, 1},
		{"packed and not saying so", func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Content-Type", "video/mp4")
			_, _ = w.Write(packed.Bytes())
		}, "the server sent application/gzip, not a video", 1},
		{"an unasked part", func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Content-Range", "bytes 0-9/100")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(whole[:10])
		}, "HTTP 206", 1},
		{"401", status(401), "the server answered HTTP 401", 1},
		{"204", status(204), "the server answered HTTP 204", 1},
		{"500", status(500), "3 tries failed, the last one since the server answered HTTP 500", 3},
		{"429", status(429), "the server answered HTTP 429", 3},
		{"500 twice, then the video", func(w http.ResponseWriter, r *http.Request, n int) {
			if n < 3 {
				w.WriteHeader(500)
				return
			}
			serve(w, r, whole, "")
		}, "", 3},
		{"megabytes of header", func(w http.ResponseWriter, _ *http.Request, _ int) {
			raw200(w, "HTTP/1.1 200 OK\r\nX-Long: "+strings.Repeat("x", 4<<20)+"\r\n\r\n")
		}, "headers exceeded", 3},
		{"to http within the cloud", redirect("http://169.254.169.254/latest/meta-data"), `"http://169.254.169.254/latest/meta-data"`, 1},
		{"to https within the cloud", redirect("https://169.254.169.254/latest"), `at "169.254.169.254:443", which is not an address of the public internet`, 1},
		{"to another port here", redirect("http://127.0.0.1:1/x"), `must be https; got "http://127.0.0.1:1/x"`, 1},
		{"to another port here, by https", redirect("https://127.0.0.1:1/x"), `at "127.0.0.1:1", which is not`, 1},
		{"to an address in another notation", redirect("https://[::ffff:127.0.0.1]/x"), "which is not an address of the public internet", 1},
		{"to http outside", redirect("http://example.com/v.mp4"), `must be https; got "http://example.com/v.mp4"`, 1},
		{"to a file", redirect("file:///etc/passwd"), "must be https", 1},
		{"to a user's name", redirect("https://user:pass@example.com/v.mp4"), `must not hold a user name; got "https://example.com/v.mp4"`, 1},
		{"to nothing that can be read", redirect("https://exa mple.com:x/v.mp4?" + secret + " " + secret), "redirects to one that can't be read", 1},
		{"to itself", func(w http.ResponseWriter, r *http.Request, _ int) {
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
		}, "redirects more than 5 times", 6},
		{"to the video", func(w http.ResponseWriter, r *http.Request, n int) {
			if n == 1 {
				http.Redirect(w, r, "/other.mp4?"+secret, http.StatusMovedPermanently)
				return
			}
			serve(w, r, whole, "")
		}, "", 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newMedia(t, test.answer)
			h := newHouse(t, m.URL, m.link())
			h.reopen(t, func(o *download.Options) {
				o.MaxBytes = 200_000
				if test.says == stalled {
					o.Window = 100 * time.Millisecond
				}
			})
			saved, err := h.save(t, "v.mp4", false)
			// On a busy machine a try may be given up, after 100 ms, before its request has arrived.
			if n := len(m.requests()); n > test.requests || n < test.requests && test.says != stalled {
				t.Errorf("%d requests, want %d", n, test.requests)
			}
			for _, r := range m.requests() {
				for _, name := range []string{"Referer", "Cookie", "Authorization", "Ocp-Apim-Subscription-Key"} {
					if v := r.Header.Get(name); v != "" {
						t.Errorf("a request with %s: %s", name, v)
					}
				}
			}
			if test.says == "" {
				if err != nil {
					t.Fatalf("Save = %v, want the video", err)
				}
				wantFile(t, saved.Files[0], whole)
				wantTree(t, h.out, "v.mp4")
				return
			}
			wantFailure(t, err, pixazo.DownloadFailed, test.says)
			wantTree(t, h.out)
		})
	}
}

// wantFailure wants an error of that code that says so, in a line that can be
// shown.
func wantFailure(t testing.TB, err error, code pixazo.Code, says string) {
	t.Helper()
	e, ok := errors.AsType[*pixazo.Error](err)
	if !ok || e.Code != code || !strings.Contains(e.Message, says) || e.RequestID != videoID {
		t.Errorf("Save = %#v (%v); want %s of %s saying %q", err, err, code, videoID, says)
		return
	}
	if strings.Contains(e.Message, "s3cr3t") || strings.ContainsAny(e.Message, "\r\n") || len(e.Message) > 500 {
		t.Errorf("the message is %q; want no signature, one line of it, and not long", e.Message)
	}
}

// The addresses of a video are the gateway's to say, and not its server's.
func TestAddressesThatAreNotFetched(t *testing.T) {
	var within []string
	other := newMedia(t, func(w http.ResponseWriter, r *http.Request, _ int) { serve(w, r, video(1000), "") })
	secure := httptest.NewTLSServer(other.Config.Handler)
	t.Cleanup(secure.Close)
	gateway := newMedia(t, func(w http.ResponseWriter, r *http.Request, _ int) { serve(w, r, video(1000), "") })
	port := func(s string) string { return s[strings.LastIndex(s, ":"):] }
	for link, says := range map[string]string{
		"http://example.com/v.mp4":           `must be https; got "http://example.com/v.mp4"`,
		other.URL + "/v.mp4":                 "must be https",
		"ftp://example.com/v.mp4":            "must be https",
		"file:///etc/passwd":                 "must be https",
		"//example.com/v.mp4":                "must be https",
		"v.mp4":                              "must be https",
		"https:///v.mp4":                     "must be https",
		"https://user:pw@example.com/v.mp4":  `must not hold a user name; got "https://example.com/v.mp4"`,
		"https://exa mple.com/%zz":           "can't be read",
		"https://169.254.169.254/v.mp4":      "not an address of the public internet",
		"https://[fd00:ec2::254]/v.mp4":      "not an address of the public internet",
		"https://[::ffff:7f00:1]/v.mp4":      "not an address of the public internet",
		secure.URL + "/v.mp4":                "not an address of the public internet",
		"https://0.0.0.0" + port(secure.URL): "not an address of the public internet",
		// A name that leads within is no better: the address that is dialled
		// counts, which a check of the name beforehand would miss.
		"https://localhost" + port(secure.URL) + "/v.mp4": "not an address of the public internet",
		// The gateway's own origin is a scheme, a host and a port.
		strings.Replace(gateway.URL, "127.0.0.1", "localhost", 1) + "/v.mp4": "must be https",
		"https://127.0.0.1" + port(gateway.URL) + "/v.mp4":                   "not an address of the public internet",
	} {
		h := newHouse(t, gateway.URL, link+"?"+secret)
		_, err := h.save(t, "", false)
		wantFailure(t, err, pixazo.DownloadFailed, says)
		within = append(within, tree(t, h.out)...)
	}
	if n := len(other.requests()) + len(gateway.requests()); n > 0 || len(within) > 0 {
		t.Errorf("%d requests and the files %q; want none", n, within)
	}

	public := newHouse(t, "https://gateway.example", gateway.link())
	_, err := public.save(t, "", false)
	wantFailure(t, err, pixazo.DownloadFailed, "must be https")

	upper := newHouse(t, strings.Replace(gateway.URL, "127.0.0.1", "LOCALHOST", 1), strings.Replace(gateway.link(), "127.0.0.1", "localhost", 1))
	if _, err := upper.save(t, "", false); pixazo.IsLoopback("LOCALHOST") && err != nil {
		t.Errorf("a gateway at LOCALHOST: %v", err)
	}
}

// What comes after a broken try must be the rest of the same file.
func TestBrokenTransferGoesOn(t *testing.T) {
	whole, changed := video(100_000), video(100_000)
	longer := append(slices.Clone(whole), "and more"...)
	const half = 50_000
	type answer = func(w http.ResponseWriter, r *http.Request)
	breaks := func(etag string) answer {
		return func(w http.ResponseWriter, _ *http.Request) { cut(w, whole, etag, 0, half) }
	}
	breaksChunked := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"a"`)
		_, _ = w.Write(whole[:half])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	serves := func(b []byte, etag string) answer {
		return func(w http.ResponseWriter, r *http.Request) { serve(w, r, b, etag) }
	}
	part := func(contentRange string, b []byte) answer {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"a"`)
			w.Header().Set("Content-Range", contentRange)
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(b)
		}
	}
	// An answer with the rest of another video, or of no video, and these headers.
	wrong := func(code int, headers ...string) answer {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 50000-99999/100000")
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(code)
			_, _ = w.Write(changed[half:])
		}
	}
	dated := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
		breaks("")(w, r)
	}
	const rest = "bytes=50000-"
	tests := []struct {
		name    string
		answers []answer
		ranges  []string // and the If-Range after it
		want    []byte   // nil for download_failed
	}{
		{"by its ETag", []answer{breaks(`"a"`), serves(whole, `"a"`)}, []string{" ", rest + ` "a"`}, whole},
		{"by its length", []answer{breaks(""), serves(whole, "")}, []string{" ", rest + " "}, whole},
		{"by its length, for an ETag is weak", []answer{breaks(`W/"a"`), serves(whole, `W/"a"`)}, []string{" ", rest + " "}, whole},
		{"twice", []answer{breaks(`"a"`), func(w http.ResponseWriter, _ *http.Request) { cut(w, whole, `"a"`, half, 20_000) }, serves(whole, `"a"`)},
			[]string{" ", rest + ` "a"`, `bytes=70000- "a"`}, whole},
		{"the server sees that it changed", []answer{breaks(`"a"`), serves(changed, `"b"`)}, []string{" ", rest + ` "a"`}, changed},
		{"the server does not see that it changed", []answer{breaks(`"a"`), func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("If-Range")
			serve(w, r, changed, `"b"`)
		}, serves(changed, `"b"`)}, []string{" ", rest + ` "a"`, " "}, changed},
		{"the ETag is gone", []answer{breaks(`"a"`), func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("If-Range")
			serve(w, r, changed, "")
		}, serves(changed, "")}, []string{" ", rest + ` "a"`, " "}, changed},
		{"another length", []answer{breaks(""), serves(longer, ""), serves(longer, "")}, []string{" ", rest + " ", " "}, longer},
		{"another place", []answer{breaks(`"a"`), part("bytes 49999-99999/100000", whole[49_999:99_999]), serves(whole, `"a"`)}, []string{" ", rest + ` "a"`, " "}, whole},
		{"only a part of the rest", []answer{breaks(`"a"`), part("bytes 50000-59999/100000", whole[half:60_000]), serves(whole, `"a"`)}, []string{" ", rest + ` "a"`, " "}, whole},
		{"no total", []answer{breaks(`"a"`), part("bytes 50000-99999/*", whole[half:]), serves(whole, `"a"`)}, []string{" ", rest + ` "a"`, " "}, whole},
		{"no place", []answer{breaks(`"a"`), part("", whole[half:]), serves(whole, `"a"`)}, []string{" ", rest + ` "a"`, " "}, whole},
		{"nonsense", []answer{breaksChunked, part("bytes 50000-49999/50000", nil), serves(whole, `"a"`)}, []string{" ", rest + ` "a"`, " "}, whole},
		{"more than the rest", []answer{breaks(`"a"`), part("bytes 50000-99999/100000", append(slices.Clone(whole[half:]), "more"...)), serves(whole, `"a"`)},
			[]string{" ", rest + ` "a"`, " "}, whole},
		{"less than the rest", []answer{breaks(`"a"`), part("bytes 50000-99999/100000", whole[half:60_000]), serves(whole, `"a"`)},
			[]string{" ", rest + ` "a"`, `bytes=60000- "a"`}, whole},
		{"an error between", []answer{breaks(`"a"`), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, serves(whole, `"a"`)},
			[]string{" ", rest + ` "a"`, rest + ` "a"`}, whole},
		{"416", []answer{breaks(`"a"`), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(416) }, serves(whole, `"a"`)}, []string{" ", rest + ` "a"`, " "}, whole},
		{"always changing", []answer{breaks(`"a"`), func(w http.ResponseWriter, _ *http.Request) { cut(w, changed, `"b"`, 0, half) },
			func(w http.ResponseWriter, _ *http.Request) { cut(w, longer, `"c"`, 0, half) }}, []string{" ", rest + ` "a"`, rest + ` "b"`}, nil},
		// Nothing would tell whether the rest belongs to it.
		{"neither length nor ETag", []answer{func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(whole[:half])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, serves(whole, "")}, []string{" ", " "}, whole},
		{"no length, but an ETag", []answer{breaksChunked, serves(whole, `"a"`)}, []string{" ", rest + ` "a"`}, whole},
		{"another weak ETag", []answer{breaks(`W/"a"`), wrong(206, "ETag", `W/"b"`), serves(whole, `W/"a"`)}, []string{" ", rest + " ", " "}, whole},
		{"another date", []answer{dated, wrong(206, "Last-Modified", "Fri, 02 Jan 2026 00:00:00 GMT"), serves(whole, "")}, []string{" ", rest + " ", " "}, whole},
		{"a page halfway", []answer{breaks(""), wrong(206, "Content-Type", "text/html"), serves(whole, "")}, []string{" ", rest + " ", " "}, whole},
		{"several ranges", []answer{breaks(""), wrong(206, "Content-Type", "multipart/byteranges; boundary=x"), serves(whole, "")}, []string{" ", rest + " ", " "}, whole},
		{"416 with a range", []answer{breaks(`"a"`), wrong(416, "ETag", `"a"`), serves(whole, `"a"`)}, []string{" ", rest + ` "a"`, " "}, whole},
		{"416 unasked", []answer{func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-99999/100000")
			w.WriteHeader(416)
			_, _ = w.Write(changed)
		}, serves(whole, "")}, []string{" ", " "}, whole},
		{"packed halfway", []answer{breaks(`"a"`), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			serve(w, r, whole, `"a"`)
		}}, []string{" ", rest + ` "a"`}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newMedia(t, func(w http.ResponseWriter, r *http.Request, n int) {
				if n > len(test.answers) {
					t.Errorf("request %d, want %d", n, len(test.answers))
					return
				}
				test.answers[n-1](w, r.Clone(r.Context()))
			})
			h := newHouse(t, m.URL, m.link())
			saved, err := h.save(t, "v.mp4", false)
			var ranges []string
			for _, r := range m.requests() {
				ranges = append(ranges, r.Header.Get("Range")+" "+r.Header.Get("If-Range"))
				if got := r.Header.Get("Accept-Encoding"); got != "identity" {
					t.Errorf("Accept-Encoding: %q, want identity", got)
				}
			}
			if !slices.Equal(ranges, test.ranges) {
				t.Errorf("asked for %q, want %q", ranges, test.ranges)
			}
			if test.want == nil {
				if !pixazo.IsCode(err, pixazo.DownloadFailed) {
					t.Errorf("Save = %v, want download_failed", err)
				}
				wantTree(t, h.out)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantFile(t, saved.Files[0], test.want)
			wantTree(t, h.out, "v.mp4")
		})
	}
}

func TestExpiredLinks(t *testing.T) {
	whole := video(100_000)
	fresh := func(m *media) string { return m.URL + "/fresh.mp4?" + secret }
	isFresh := func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/fresh") }
	tests := []struct {
		name     string
		fresh    func(*media) string // the address that the second status names
		answer   func(w http.ResponseWriter, r *http.Request, n int)
		says     string
		requests int
	}{
		{"a fresh one works", fresh, func(w http.ResponseWriter, r *http.Request, _ int) {
			if isFresh(r) {
				serve(w, r, whole, "")
				return
			}
			w.WriteHeader(403)
		}, "", 2},
		// The first link's bytes must not stay before the second's.
		{"expired halfway, and a fresh one works", fresh, func(w http.ResponseWriter, r *http.Request, n int) {
			switch {
			case isFresh(r):
				serve(w, r, whole, "")
			case n == 1:
				cut(w, whole, `"a"`, 0, 30_000)
			default:
				w.WriteHeader(410)
			}
		}, "", 3},
		{"the fresh one is no better", fresh, func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(403) }, "the link has expired (HTTP 403)", 2},
		{"404", (*media).link, func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(404) }, "the link has expired (HTTP 404), and the gateway names no fresh one", 2},
		{"410", (*media).link, func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(410) }, "the link has expired (HTTP 410), and the gateway names no fresh one", 2},
		{"a fresh one that is not allowed", func(*media) string { return "http://10.0.0.1/v.mp4?" + secret },
			func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(403) }, "must be https", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newMedia(t, test.answer)
			h := newHouse(t, m.URL)
			h.jobs.status = func(_ context.Context, id string, poll int) (pixazo.Job, error) {
				if poll > 0 {
					return finished(id, test.fresh(m)), nil
				}
				return finished(id, m.link()), nil
			}
			saved, err := h.save(t, "v.mp4", false)
			if n := len(m.requests()); n != test.requests || h.jobs.count() != 2 {
				t.Errorf("%d requests and %d polls, want %d and 2", n, h.jobs.count(), test.requests)
			}
			if test.says != "" {
				wantFailure(t, err, pixazo.DownloadFailed, test.says)
				wantTree(t, h.out)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantFile(t, saved.Files[0], whole)
			wantTree(t, h.out, "v.mp4")
			if got := h.jobs.Find(t.Context(), videoID).Job.VideoURLs; !slices.Equal(got, []string{fresh(m)}) {
				t.Errorf("the answer names %q, want the fresh link", got)
			}
		})
	}
}

// A limit that is only met after gigabytes would not be one.
func TestEndlessBodyIsLeftAtTheLimit(t *testing.T) {
	sent := make(chan int, 1)
	block := mp4(64 << 10)
	m := newMedia(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		n := 0
		for {
			m, err := w.Write(block)
			n += m
			if err != nil {
				sent <- n
				return
			}
		}
	})
	h := newHouse(t, m.URL, m.link())
	h.reopen(t, func(o *download.Options) { o.MaxBytes = 1 << 20 })
	_, err := h.save(t, "", false)
	wantFailure(t, err, pixazo.DownloadFailed, "and the limit is 1048576")
	// Besides the limit, what is in the buffers of both ends.
	if n := <-sent; n > 32<<20 {
		t.Errorf("the server could send %d bytes, want no more than the limit of 1 MB and what is under way", n)
	}
}

// A user of a team can't fill its disk with one video.
func TestATeamSavesAVideoUnderSomeNames(t *testing.T) {
	m := wellBehaved(t, video(1000))
	h := newHouse(t, m.URL, m.link())
	h.reopen(t, func(o *download.Options) { o.Team = true })
	for n := range 10 {
		h.mustSave(t, fmt.Sprint("copy-", n))
	}
	_, err := h.save(t, "copy-10", false)
	wantFailure(t, err, pixazo.FileRefused, "it is saved under 10 names")
	h.mustSave(t, "copy-3")
	h.mustSave(t, "")
}

// The real client's key must not go where the videos are.
func TestKeyStaysWithTheGateway(t *testing.T) {
	const key = "0123456789abcdef0123456789abcdef"
	whole := video(5000)
	m := newMedia(t, nil)
	m.answer = func(w http.ResponseWriter, r *http.Request, _ int) {
		if strings.HasSuffix(r.URL.Path, ".mp4") {
			http.SetCookie(w, &http.Cookie{Name: "crumb", Value: "1", Path: "/"})
			if r.URL.Path == "/video.mp4" {
				http.Redirect(w, r, "/elsewhere.mp4?"+secret, http.StatusFound)
				return
			}
			serve(w, r, whole, "")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"request_id": videoID, "status": "COMPLETED", "output": map[string]any{"media_url": []string{m.link()}}})
	}
	client, err := pixazo.NewClient(pixazo.Config{GatewayURL: m.URL, Key: func() (pixazo.Key, error) { return pixazo.NewKey(key) }})
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, m.URL)
	h.jobs.status = func(ctx context.Context, id string, _ int) (pixazo.Job, error) {
		return client.Status(ctx, id, pixazo.StatusOptions{})
	}
	if _, err := h.Save(t.Context(), download.Request{RequestID: videoID}, time.Minute, nil); err != nil {
		t.Fatal(err)
	}
	asked, fetched := 0, 0
	for _, r := range m.requests() {
		if !strings.HasSuffix(r.URL.Path, ".mp4") {
			asked++
			if r.Header.Get("Ocp-Apim-Subscription-Key") != key {
				t.Error("the gateway was asked without the key")
			}
			continue
		}
		fetched++
		for name, values := range r.Header {
			if !slices.Contains([]string{"User-Agent", "Accept-Encoding", "Connection"}, name) || strings.Contains(strings.Join(values, ""), key) {
				t.Errorf("a request for the video has %s: %q", name, values)
			}
		}
		if got := r.Header.Get("User-Agent"); got != "agent/1" {
			t.Errorf("User-Agent %q, want agent/1", got)
		}
	}
	if asked != 1 || fetched != 2 {
		t.Errorf("%d status requests and %d of the video, want 1 and 2", asked, fetched)
	}
}

// A slow server is no stalled one, however long it takes in all.
func TestSlowServerIsHeardOut(t *testing.T) {
	t.Parallel()
	whole := video(800_000) // at more than ten times the rate that it must have: the machine may be busy
	m := newMedia(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		for part := range slices.Chunk(whole, 80_000) {
			_, _ = w.Write(part)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(220 * time.Millisecond) // 2.2 s in all
		}
	})
	h := newHouse(t, m.URL, m.link())
	h.reopen(t, func(o *download.Options) { o.Window = 2 * time.Second })
	wantFile(t, h.mustSave(t, ""), whole)
}
