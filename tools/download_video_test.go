// These tests save videos through the tools, from a gateway on the loopback.

package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/download"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/pixazo"
	"pixazo-mcp/pixazo/sandbox"
)

// saving is a server of the tools whose videos take duration and are saved in
// dir.
func saving(t *testing.T, duration time.Duration) (srv *server.MCPServer, dir string) {
	t.Helper()
	emulator := sandbox.New(sandbox.Options{Duration: duration})
	gateway := httptest.NewServer(emulator)
	t.Cleanup(func() { emulator.Close(); gateway.Close() })
	client, err := pixazo.NewClient(pixazo.Config{GatewayURL: gateway.URL, Key: func() (pixazo.Key, error) { return pixazo.NewKey("k") }})
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	tracker := newTracker(t, client)
	saver := download.New(savedJobs{tracker}, download.Options{Dir: dir, GatewayURL: gateway.URL})
	t.Cleanup(saver.Finish)
	srv = server.NewMCPServer("test", "1")
	Register(srv, Config{Tracker: tracker, Saver: saver, Submit: directly(tracker), MaxWait: 20 * time.Second})
	return srv, dir
}

// savedJobs is the tracker as a saver sees it.
type savedJobs struct{ *jobs.Tracker }

func (s savedJobs) Status(ctx context.Context, requestID string) (pixazo.Job, error) {
	seen, err := s.Tracker.Status(ctx, requestID)
	return seen.Row.Job, err
}

func (s savedJobs) Find(ctx context.Context, requestID string) (known download.Known) {
	r, err := s.Tracker.Find(ctx, requestID)
	if err == nil && r != nil {
		known = download.Known{Job: r.Job, Prompt: r.Prompt, SubmittedAt: r.SubmittedAt, Saved: r.Saved}
	}
	return known
}

func callTool(ctx context.Context, t *testing.T, srv *server.MCPServer, name string, args map[string]any) (text string, s map[string]any, isError bool) {
	t.Helper()
	var req mcp.CallToolRequest
	var err error
	if req.Params.RawArguments, err = json.Marshal(args); err != nil {
		t.Fatal(err)
	}
	req.Params.Name, req.Params.Arguments = name, args
	req.Params.Meta = &mcp.Meta{ProgressToken: "token"}
	result, err := srv.GetTool(name).Handler(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(result.StructuredContent)
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return result.Content[0].(mcp.TextContent).Text, s, result.IsError
}

func TestVideosAreSaved(t *testing.T) {
	for _, tt := range []struct {
		name, prompt string
		duration     time.Duration
		tool         string
		args         map[string]any
		want         string // in the text
		files        int
	}{
		{"a name of ours", "Tides", time.Millisecond, "download_video", nil, "-tides-", 1},
		{"a name of the user's", "Tides", time.Millisecond, "download_video", map[string]any{"filename": "sea/tides"}, "saved_path: DIR/sea/tides.mp4\n", 1},
		{"a word for no name", "Tides", time.Millisecond, "download_video", map[string]any{"filename": "None", "overwrite": "False"}, "-tides-", 1},
		{"two videos", "sandbox:two-videos", time.Millisecond, "download_video", map[string]any{"filename": "both.mp4"}, "further_files: DIR/both-2.mp4 (", 2},
		{"a wait that was not asked to", "Tides", time.Millisecond, "wait_for_video", nil, "call download_video", 0},
		{"too early", "Tides", time.Hour, "download_video", nil, "not_ready: the video is not finished; its status is QUEUED. Call wait_for_video, then call again. request_id: ", 0},
		{"a failed one", "sandbox:failed", time.Millisecond, "download_video", nil, "video_failed: the job ended with status FAILED; ", 0},
		{"a page", "sandbox:media-html", time.Millisecond, "download_video", nil, "download_failed: ", 0},
		{"a name that leaves", "Tides", time.Millisecond, "download_video", map[string]any{"filename": "../tides.mp4"}, `file_refused: filename must be `, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv, dir := saving(t, tt.duration)
			_, made, _ := callTool(t.Context(), t, srv, "generate_video", map[string]any{"prompt": tt.prompt})
			args := map[string]any{"request_id": made["request_id"]}
			if tt.tool == "download_video" && tt.duration < time.Second {
				callTool(t.Context(), t, srv, "wait_for_video", args)
			}
			for name, value := range tt.args {
				args[name] = value
			}
			text, s, isError := callTool(t.Context(), t, srv, tt.tool, args)
			if strings.Contains(tt.want, "DIR/") {
				tt.want = filepath.FromSlash(strings.ReplaceAll(tt.want, "DIR", dir))
			}
			if !strings.Contains(text, tt.want) {
				t.Errorf("got %s\nwant %s in it", text, tt.want)
			}
			if isError != (tt.files == 0 && tt.tool == "download_video") {
				t.Errorf("isError is %v", isError)
			}
			if tt.tool == "wait_for_video" && (s["status"] != "COMPLETED" || s["video_urls"] == nil) {
				t.Errorf("the video is hidden: %v", s)
			}
			var paths []string
			if path, _ := s["saved_path"].(string); path != "" {
				paths = append(paths, path)
			}
			further, _ := s["further_files"].([]any)
			for _, file := range further {
				path, _ := file.(map[string]any)["path"].(string)
				paths = append(paths, path)
			}
			if len(paths) != tt.files {
				t.Fatalf("files %q, want %d: %s", paths, tt.files, text)
			}
			for _, path := range paths {
				if info, err := os.Stat(path); err != nil || info.Size() == 0 || !strings.HasPrefix(path, dir) {
					t.Errorf("%s: %v", path, err)
				}
				if n := strings.Count(text, path); n != 1 {
					t.Errorf("the text says %s %d times: %s", path, n, text)
				}
			}
			if tt.files < 2 && strings.Contains(text, "further_files") {
				t.Errorf("the text has no files, and says so: %s", text)
			}
			if tt.files == 0 {
				return
			}
			if s["saved_path"] == nil || s["bytes"] == nil || len(s["sha256"].(string)) != 64 || s["media_type"] != "video/mp4" || s["took_seconds"] != nil || s["wait_expired"] != false {
				t.Errorf("got %v", s)
			}
			if _, status, _ := callTool(t.Context(), t, srv, "get_status", map[string]any{"request_id": made["request_id"]}); status["saved_path"] != s["saved_path"] || strings.Contains(fmt.Sprint(status["next_step"]), "download_video") {
				t.Errorf("get_status has saved_path %v, want %v, and says %v", status["saved_path"], s["saved_path"], status["next_step"])
			}
		})
	}
}

func TestProgressOfADownload(t *testing.T) {
	t.Parallel()
	srv, _ := saving(t, time.Millisecond)
	_, made, _ := callTool(t.Context(), t, srv, "generate_video", map[string]any{"prompt": "sandbox:media-slow"})
	callTool(t.Context(), t, srv, "wait_for_video", map[string]any{"request_id": made["request_id"]})
	s := &session{}
	if text, _, isError := callTool(srv.WithContext(t.Context(), s), t, srv, "download_video", map[string]any{"request_id": made["request_id"]}); isError {
		t.Fatal(text)
	}
	last, total := 0.0, 0.0
	for _, p := range s.heard {
		progress, known := p["progress"].(float64), total > 0
		if total, _ = p["total"].(float64); known && total == 0 { // before the first byte comes, nobody knows it
			t.Errorf("after %v, no total: %v", last, p)
		}
		if progress <= last || total > 0 && progress > total || !strings.HasSuffix(p["message"].(string), " MB downloaded") {
			t.Errorf("after %v: %v", last, p)
		}
		last = progress
	}
	if len(s.heard) < 3 || total == 0 {
		t.Errorf("heard %v, want something each second, and how much it is in all", s.heard)
	}
}
