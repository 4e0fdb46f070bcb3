// These tests take files into the whole program and videos out of it: what the
// README shows, a kill in the middle, and what a large attachment costs.

package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// TestREADMEEntryAttachesADeckAndSavesTheVideo starts the server as the README's
// entry for Claude Desktop says, with nothing in its environment but a home.
func TestREADMEEntryAttachesADeckAndSavesTheVideo(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	entry := regexp.MustCompile("(?s)<!-- desktop:begin -->\\s*```json(.*?)```").FindSubmatch(readme)
	if entry == nil {
		t.Fatal("the README has no entry for Claude Desktop")
	}
	var config struct {
		McpServers map[string]struct {
			Command string
			Args    []string
		} `json:"mcpServers"`
	}
	if err := json.Unmarshal(entry[1], &config); err != nil {
		t.Fatal(err)
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	deck, err := os.ReadFile("e2e/slides/deck.pdf")
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, "Documents"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "Documents", "deck.pdf"), deck, 0o644); err != nil {
		t.Fatal(err)
	}
	p, _ := startCommand(t, append(homes(home), "PIXAZO_SANDBOX_DURATION=100ms"), path, config.McpServers["pixazo"].Args...)
	made := p.call("generate_video", map[string]any{"prompt": "Tides, from the slides: why and when?", "files": []string{"deck.pdf", "~/Documents/deck.pdf"}})
	if made.Result.IsError {
		t.Fatal(made.text())
	}
	id := map[string]any{"request_id": made.Result.StructuredContent["request_id"]}
	if waited := p.call("wait_for_video", id); waited.Result.IsError {
		t.Fatal(waited.text())
	}
	waited := p.call("download_video", id) // it may be saved already, by itself
	saved, _ := waited.Result.StructuredContent["saved_path"].(string)
	video, err := os.ReadFile(saved)
	if err != nil || len(video) < 10_000 {
		t.Fatalf("saved %d bytes, %v: %s", len(video), err, waited.text())
	}
	if name := filepath.Base(saved); filepath.Dir(saved) != filepath.Join(home, "Videos", "Pixazo") ||
		!regexp.MustCompile(`^\d{4}-\d\d-\d\d-tides-from-the-slides-why-and-when-[0-9a-f]{8}\.mp4$`).MatchString(name) {
		t.Errorf("saved as %s", saved)
	}
	again := p.call("download_video", id)
	if again.Result.StructuredContent["already_saved"] != true || again.Result.StructuredContent["saved_path"] != saved {
		t.Errorf("downloaded again: %s", again.text())
	}
	outside := p.call("generate_video", map[string]any{"prompt": "x", "files": []string{"../.pixazo/api-key"}})
	if !strings.HasPrefix(outside.text(), "file_refused: files[0] ") {
		t.Errorf("a file outside: %s", outside.text())
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
	if log := p.stderr.String(); strings.Contains(log, "JVBER") || strings.Contains(log, "data:") {
		t.Errorf("the log has the attachment:\n%s", log)
	}
}

// slowMedia is a gateway whose finished video comes a little at a time, until
// the test ends.
func slowMedia(t *testing.T) (gateway *httptest.Server, begun <-chan struct{}) {
	t.Helper()
	ch := make(chan struct{}, 100)
	over := make(chan struct{})
	mux := http.NewServeMux()
	gateway = httptest.NewServer(mux)
	t.Cleanup(func() { close(over); gateway.Close() })
	mux.HandleFunc("GET /v2/requests/status/{id}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"request_id":%q,"status":"COMPLETED","output":{"media_url":["%s/media/video.mp4"],"media_type":"video/mp4"}}`, r.PathValue("id"), gateway.URL)
	})
	mux.HandleFunc("GET /media/video.mp4", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "video/mp4")
		w.Header().Set("Content-Length", "100000000")
		_, _ = w.Write(append([]byte("\x00\x00\x00\x18ftypmp42"), make([]byte, 1<<20)...))
		_ = http.NewResponseController(w).Flush()
		ch <- struct{}{}
		select {
		case <-over:
		case <-r.Context().Done():
		}
	})
	return gateway, ch
}

// files are the names below dir.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, entry.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// A proxy of the environment is used for videos as it is for the gateway.
func TestDownloadThroughTheProxyOfTheEnvironment(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("other systems can't be told which certificates to trust")
	}
	video := append([]byte("\x00\x00\x00\x18ftypmp42"), make([]byte, 10_000)...)
	media := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(video) }))
	t.Cleanup(media.Close)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: media.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, err := net.Dial("tcp", media.Listener.Addr().String())
		if err != nil || r.Method != http.MethodConnect || r.Host != "media.example.com:443" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		defer to.Close()
		from, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer from.Close()
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(to, buffered) }()
		_, _ = io.Copy(from, to)
	}))
	t.Cleanup(proxy.Close)
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"request_id":"abc","status":"COMPLETED","output":{"media_url":["https://media.example.com/v.mp4"],"media_type":"video/mp4"}}`)
	}))
	t.Cleanup(gateway.Close)
	p, _ := startProcess(t, []string{"PIXAZO_API_KEY=" + secret, "HTTPS_PROXY=" + proxy.URL, "SSL_CERT_FILE=" + roots}, "--gateway-url", gateway.URL, "--output-dir", t.TempDir())
	r := p.call("download_video", map[string]any{"request_id": "abc"})
	saved, _ := r.Result.StructuredContent["saved_path"].(string)
	if b, err := os.ReadFile(saved); err != nil || !bytes.Equal(b, video) {
		t.Errorf("saved %d bytes, %v: %s", len(b), err, r.text())
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

func TestKilledDownloadLeavesNoFinalFile(t *testing.T) {
	t.Parallel()
	gateway, begun := slowMedia(t)
	dir := t.TempDir()
	p, cmd := startProcess(t, []string{"PIXAZO_API_KEY=" + secret}, "--gateway-url", gateway.URL, "--output-dir", dir)
	p.begin("download_video", map[string]any{"request_id": "abc", "filename": "final.mp4"})
	<-begun
	_ = cmd.Process.Kill()
	<-p.ended
	for _, name := range files(t, dir) {
		if !strings.HasSuffix(name, ".part") {
			t.Errorf("there is a file %s", name)
		}
	}
}

// A client whose limit on a call is shorter than the download gets an answer
// that says to call again, and the end of its input leaves nothing behind.
func TestLongDownloadIsToldAsUnfinished(t *testing.T) {
	t.Parallel()
	gateway, _ := slowMedia(t)
	dir := t.TempDir()
	p, _ := startProcess(t, []string{"PIXAZO_API_KEY=" + secret}, "--gateway-url", gateway.URL, "--output-dir", dir, "--max-wait=1s")
	r := p.call("download_video", map[string]any{"request_id": "abc"})
	if r.Result.IsError || r.Result.StructuredContent["wait_expired"] != true || !strings.Contains(r.text(), "call download_video") {
		t.Errorf("got %s", r.text())
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
	if names := files(t, dir); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestManyDownloadsOfAJobMakeOneFile(t *testing.T) {
	t.Parallel()
	gateway := quickGateway(t)
	dir := t.TempDir()
	serve := func() *program {
		p, _ := startProcess(t, []string{"PIXAZO_API_KEY=" + secret}, "--gateway-url", gateway.URL, "--output-dir", dir, "--state-dir", filepath.Join(dir, ".state"))
		return p
	}
	p, other := serve(), serve()
	id := p.call("generate_video", generate("tides")).Result.StructuredContent["request_id"]
	if r := p.call("wait_for_video", map[string]any{"request_id": id}); r.Result.IsError {
		t.Fatal(r.text())
	}
	var paths sync.Map
	var both sync.WaitGroup
	for _, p := range []*program{p, other} {
		both.Go(func() {
			var calls []int
			for range 8 {
				calls = append(calls, p.begin("download_video", map[string]any{"request_id": id}))
			}
			waiting := map[int]bool{}
			for _, call := range calls {
				waiting[call] = true
			}
			for len(waiting) > 0 {
				var r toolResult
				if err := json.Unmarshal([]byte(p.receive()), &r); err != nil {
					t.Error(err)
					return
				}
				delete(waiting, r.ID)
				if r.Result.IsError {
					t.Error(r.text())
				}
				paths.Store(r.Result.StructuredContent["saved_path"], true)
			}
		})
	}
	both.Wait()
	n := 0
	paths.Range(func(path, _ any) bool { n++; return path != "" })
	videos := 0
	for _, name := range files(t, dir) {
		if strings.HasSuffix(name, ".mp4") || strings.HasSuffix(name, ".part") {
			videos++
		}
	}
	if n != 1 || videos != 1 {
		t.Errorf("16 downloads answered %d paths and made %d files", n, videos)
	}
}

// The client's roots open a folder where the operator allows it, in the era in
// which the server asks and in the one in which the answer asks.
func TestRootsOpenAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "deck.pdf"), []byte("%PDF-1.4 a deck"), 0o644); err != nil {
		t.Fatal(err)
	}
	root := "file://" + filepath.ToSlash(dir)
	if runtime.GOOS == "windows" {
		root = "file:///" + filepath.ToSlash(dir)
	}
	roots := fmt.Sprintf(`{"roots":[{"uri":%q}]}`, root)
	call := func(more string) string {
		return `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"generate_video","arguments":{"prompt":"tides","files":["deck.pdf"]}` + more + `}}`
	}
	modern := func(more string) string {
		return `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{"roots":{}}}` + more
	}
	initialize := `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{}},"clientInfo":{"name":"t","version":"1"}}}`
	for _, tt := range []struct {
		name, flag string
		talk       func(p *program) string // the last answer
		want       string
	}{
		{"2025-11-25", "--files-from-roots", func(p *program) string {
			p.send(initialize)
			p.receive()
			p.send(call(""))
			var asked struct{ ID, Method string }
			if err := json.Unmarshal([]byte(p.receive()), &asked); err != nil || asked.Method != "roots/list" {
				t.Fatalf("asked %+v, %v", asked, err)
			}
			p.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,"result":%s}`, asked.ID, roots))
			for {
				if line := p.receive(); strings.Contains(line, `"id":2`) {
					return line
				}
			}
		}, `"status":"QUEUED"`},
		{"2026-07-28", "--files-from-roots", func(p *program) string {
			p.send(call(modern("")))
			if asked := p.receive(); !strings.Contains(asked, `"resultType":"input_required"`) || !strings.Contains(asked, "roots/list") {
				t.Fatalf("got %s", asked)
			}
			p.send(call(modern(`,"inputResponses":{"roots":` + roots + `}`)))
			return p.receive()
		}, `"status":"QUEUED"`},
		{"not allowed", "--files-from-roots=false", func(p *program) string {
			p.send(initialize)
			p.receive()
			p.send(call(""))
			return p.receive()
		}, "file_refused: files[0] "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, nil, "--sandbox", tt.flag)
			if got := tt.talk(p); !strings.Contains(got, tt.want) {
				t.Errorf("got %s, want %s in it", got, tt.want)
			}
		})
	}
}
