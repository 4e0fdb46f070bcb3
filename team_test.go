// This file tests what the team server makes of its output folder, through the
// whole program.

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pixazo-mcp/internal/download"
)

// teamServer runs the command http until the test ends, and returns where.
func teamServer(t *testing.T, args ...string) (address string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	logs, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"http", "--address=127.0.0.1:0", "--metrics-address=", "--sandbox", "--sandbox-duration=100ms"}, args...),
			homes(t.TempDir()), nil, strings.NewReader(""), io.Discard, out)
		_ = out.CloseWithError(err)
		ended <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	lines := bufio.NewReader(logs)
	for address == "" {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if found := regexp.MustCompile(`serving MCP.*address=(\S+)`).FindStringSubmatch(line); found != nil {
			address = "http://" + found[1] + "/mcp"
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	return address
}

// callTeam calls a tool with a token.
func callTeam(t *testing.T, address, token, tool string, args map[string]any) (text string, s map[string]any) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": map[string]any{"name": tool, "arguments": args}})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Result struct {
			Content           []struct{ Text string }
			StructuredContent map[string]any
		}
	}
	if data := regexp.MustCompile(`(?m)^data: (\{.*"id":1.*)$`).FindSubmatch(answer); data != nil {
		answer = data[1]
	}
	if err := json.Unmarshal(answer, &got); err != nil || len(got.Result.Content) == 0 {
		t.Fatalf("%s: %d %s", tool, resp.StatusCode, answer)
	}
	return got.Result.Content[0].Text, got.Result.StructuredContent
}

func TestATeamsVideosAreSavedAnOwnerAFolder(t *testing.T) {
	t.Parallel()
	begun, dir := time.Now(), t.TempDir()
	out, state, tokens := filepath.Join(dir, "out"), filepath.Join(dir, "state"), filepath.Join(dir, "tokens")
	lines := ""
	for _, name := range []string{"ada", "bob"} {
		lines += fmt.Sprintf("%s sha256:%x\n", name, sha256.Sum256([]byte("the token of "+name)))
	}
	if err := os.WriteFile(tokens, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	address := teamServer(t, "--output-dir="+out, "--state-dir="+state, "--tokens-file="+tokens, "--max-calls-per-minute=0")
	_, made := callTeam(t, address, "the token of ada", "generate_video", map[string]any{"prompt": "the sea"})
	id, _ := made["request_id"].(string)
	if step, _ := made["next_step"].(string); id == "" || !strings.Contains(step, "saved on the server by itself") || strings.Contains(step, dir) {
		t.Fatalf("made %v", made)
	}
	link := ""
	if !soon(patience, func() bool {
		text, status := callTeam(t, address, "the token of ada", "get_status", map[string]any{"request_id": id})
		if strings.Contains(text, dir) {
			t.Fatal(text)
		}
		link, _ = status["saved_url"].(string)
		return link != ""
	}) {
		t.Fatal("it is not saved")
	}
	folder, err := os.ReadDir(download.Folder(out, "token:ada"))
	if err != nil || len(folder) != 1 {
		t.Fatalf("the owner's folder has %v, %v", folder, err)
	}
	want, err := os.ReadFile(filepath.Join(download.Folder(out, "token:ada"), folder[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || !bytes.Equal(got, want) {
		t.Errorf("%s answers %d with %d bytes, want %d: %v", link, resp.StatusCode, len(got), len(want), err)
	}
	if text, _ := callTeam(t, address, "the token of bob", "download_video", map[string]any{"request_id": id}); !strings.HasPrefix(text, "not_found: ") {
		t.Errorf("another's: %s", text)
	}

	used, errs, code := shell(t, state, "list", "--all", "--json", "--sandbox")
	wanted := func(day time.Time) string { // the test may run over midnight
		return fmt.Sprintf(`{"owner":"token:ada","day":%q,"videos":1,"uncertain":0}`+"\n", day.UTC().Format(time.DateOnly))
	}
	if code != 0 || used != wanted(begun) && used != wanted(time.Now()) {
		t.Errorf("list --all: %d %s %s, want %s", code, used, errs, wanted(begun))
	}
	if used, _, _ := shell(t, state, "list", "--all", "--sandbox"); !strings.HasSuffix(used, "  1 videos, 0 uncertain  token:ada\n") {
		t.Errorf("list --all: %s", used)
	}
}

func TestReplicasInTheSandboxTakeEachOthersCallbacks(t *testing.T) {
	t.Parallel()
	state := "--state-dir=" + t.TempDir()
	other, err := url.Parse(teamServer(t, state))
	if err != nil {
		t.Fatal(err)
	}
	other.Path = ""
	came := make(chan int, 10)
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(other) },
		ModifyResponse: func(r *http.Response) error { came <- r.StatusCode; return nil },
	}
	front := httptest.NewServer(proxy)
	defer front.Close()
	address := teamServer(t, state, "--public-url="+front.URL+"/mcp")
	if text, made := callTeam(t, address, "", "generate_video", map[string]any{"prompt": "the sea"}); made["request_id"] == nil {
		t.Fatal(text)
	}
	select {
	case status := <-came:
		if status != http.StatusAccepted {
			t.Errorf("a callback is answered %d", status)
		}
	case <-time.After(patience):
		t.Error("no callback came")
	}
}
