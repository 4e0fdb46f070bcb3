// These tests call the tools of a team server, for several owners.

package tools

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/e2e/pgtest"
	"pixazo-mcp/internal/download"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
	"pixazo-mcp/pixazo/sandbox"
)

// teamOf is what the replicas of a team share: gateway, journal, folder.
type teamOf struct {
	t          *testing.T
	gatewayURL string
	state, out string       // state is a folder, or the URL of a database
	fetched    atomic.Int32 // videos
	pause      atomic.Int64 // before each video comes, a time.Duration
	links      *download.Links
}

func newTeam(t *testing.T) *teamOf {
	t.Helper()
	team := &teamOf{t: t, state: filepath.Join(t.TempDir(), "state"), out: filepath.Join(t.TempDir(), "out")}
	emulator := sandbox.New(sandbox.Options{Duration: time.Millisecond})
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, ".mp4") || strings.Contains(r.URL.Path, "media") {
			team.fetched.Add(1)
			time.Sleep(time.Duration(team.pause.Load()))
		}
		emulator.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { emulator.Close(); gateway.Close() })
	team.gatewayURL = gateway.URL
	return team
}

// replica is one server of the team; saves says whether it has an output folder.
func (team *teamOf) replica(saves bool) *server.MCPServer {
	t := team.t
	t.Helper()
	client, err := pixazo.NewClient(pixazo.Config{GatewayURL: team.gatewayURL, Key: func() (pixazo.Key, error) { return pixazo.NewKey("k") }})
	if err != nil {
		t.Fatal(err)
	}
	o := journal.Options{Gateway: "test", Dir: team.state}
	if strings.Contains(team.state, "://") {
		o.Dir, o.Database = "", team.state
	}
	j := journal.New(o)
	key, err := download.LinkKey(team.out)
	if err != nil {
		t.Fatal(err)
	}
	links := &download.Links{Origin: "https://mcp.example.com", Key: key, Dir: team.out, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Find: func(ctx context.Context, id string) (string, []download.File, error) {
			row, err := j.ByNonce(ctx, id)
			if err != nil || row == nil {
				return "", nil, err
			}
			return row.Owner, row.Saved, nil
		}}
	team.links = links
	jo := jobs.Options{Team: true}
	config := Config{MaxWait: 20 * time.Second, KeyFile: keyFile, Team: &Team{MaxBody: 8_000_000}}
	if saves {
		jo.SavedLink = func(r jobs.Row, f jobs.SavedFile) string { return links.To(r.Nonce, r.Owner, f) }
		config.Team.Folder = func(owner string) string { return download.Folder(team.out, owner) }
	}
	config.Tracker = jobs.New(client, j, jo)
	config.Submit = directly(config.Tracker)
	config.Saver = download.New(savedJobs{config.Tracker}, download.Options{GatewayURL: team.gatewayURL, Team: true})
	t.Cleanup(func() {
		config.Saver.Finish()
		config.Tracker.Drain()
		config.Tracker.Finish(context.Background())
		config.Tracker.Close()
	})
	srv := server.NewMCPServer("test", "1")
	Register(srv, config)
	return srv
}

// call calls a tool for an owner, and wants no path of the server's disk in the
// answer.
func (team *teamOf) call(srv *server.MCPServer, owner, tool string, args map[string]any) (text string, s map[string]any, isError bool) {
	team.t.Helper()
	text, s, isError = callTool(journal.WithOwner(team.t.Context(), owner), team.t, srv, tool, args)
	for _, path := range []string{team.state, team.out, keyFile} {
		if strings.Contains(text, path) || strings.Contains(fmt.Sprint(s), path) {
			team.t.Errorf("%s names %s: %s", tool, path, text)
		}
	}
	return text, s, isError
}

// made is the id of a finished video of an owner.
func (team *teamOf) made(srv *server.MCPServer, owner, prompt string) string {
	team.t.Helper()
	text, s, isError := team.call(srv, owner, "generate_video", map[string]any{"prompt": prompt})
	id, _ := s["request_id"].(string)
	if isError {
		team.t.Fatal(text)
	}
	team.call(srv, owner, "wait_for_video", map[string]any{"request_id": id})
	return id
}

// get opens a link as a browser does.
func (team *teamOf) get(link string) (status int, body []byte) {
	w := httptest.NewRecorder()
	team.links.ServeHTTP(w, httptest.NewRequest("GET", link, nil))
	body, _ = io.ReadAll(w.Body)
	return w.Code, body
}

func TestATeamGetsLinks(t *testing.T) {
	team := newTeam(t)
	srv := team.replica(true)
	id := team.made(srv, "token:ada", "sandbox:two-videos")
	if text, _, _ := team.call(srv, "token:ada", "get_status", map[string]any{"request_id": id}); !strings.Contains(text, "To keep the video, call download_video") {
		t.Errorf("before it is saved: %s", text)
	}
	text, s, isError := team.call(srv, "token:ada", "download_video", map[string]any{"request_id": id, "filename": "both"})
	further, _ := s["further_urls"].([]any)
	if isError || s["saved_path"] != nil || s["further_files"] != nil || len(further) != 1 || !strings.Contains(text, "saved_url exactly as it stands") {
		t.Fatal(text)
	}
	first, err := os.ReadFile(filepath.Join(download.Folder(team.out, "token:ada"), "both.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	if status, body := team.get(s["saved_url"].(string)); status != 200 || string(body) != string(first) {
		t.Errorf("the link answers %d with %d bytes, want %d", status, len(body), len(first))
	}
	if status, body := team.get(further[0].(string)); status != 200 || len(body) == 0 {
		t.Errorf("the second link answers %d with %d bytes", status, len(body))
	}
	for _, tool := range []string{"get_status", "wait_for_video", "download_video", "list_videos"} {
		args := map[string]any{"request_id": id}
		if tool == "list_videos" {
			args = nil
		}
		if text, _, _ := team.call(srv, "token:ada", tool, args); !strings.Contains(text, "saved_url: https://mcp.example.com/videos/") {
			t.Errorf("%s does not say where the video is: %s", tool, text)
		}
	}
}

func TestOwnersDoNotSeeEachOther(t *testing.T) {
	team := newTeam(t)
	srv := team.replica(true)
	id := team.made(srv, "token:ada", "a secret of Ada's")
	unknown := id[:len(id)-1] + "x"
	for _, tool := range []string{"get_status", "wait_for_video", "download_video"} {
		theirs, _, isError := team.call(srv, "token:bob", tool, map[string]any{"request_id": id})
		none, _, _ := team.call(srv, "token:bob", tool, map[string]any{"request_id": unknown})
		if !isError || theirs != strings.ReplaceAll(none, unknown, id) || !strings.HasPrefix(theirs, "not_found: ") {
			t.Errorf("%s of another's video: %s\nof none: %s", tool, theirs, none)
		}
	}
	if text, s, _ := team.call(srv, "token:bob", "list_videos", nil); len(s["videos"].([]any)) != 0 || strings.Contains(text, "secret") {
		t.Errorf("the list of bob: %s", text)
	}
	if again := team.made(srv, "token:bob", "a secret of Ada's"); again == id {
		t.Error("the same request of another is answered with her job")
	}
}

func TestATeamAttachesNoLocalFiles(t *testing.T) {
	team := newTeam(t)
	srv := team.replica(true)
	for _, item := range []string{"/etc/passwd", "./slides.pdf", `C:\slides.pdf`, "file:///etc/passwd", "~/slides.pdf", "slides"} {
		text, _, isError := team.call(srv, "token:ada", "generate_video", map[string]any{"prompt": "x", "files": []string{"https://example.com/a.png", item}})
		if !isError || !strings.HasPrefix(text, "file_refused: files[1] must be an http(s) URL, a HeyGen asset ID, or a data URI or base64 (6 MB in all)") ||
			!strings.Contains(text, "Nothing was submitted") || strings.Contains(text, "--files") {
			t.Errorf("%s: %s", item, text)
		}
	}
	if text, _, isError := team.call(srv, "token:ada", "generate_video", map[string]any{"prompt": "x", "files": []string{"https://example.com/a.png", "asset_1"}}); isError {
		t.Error(text)
	}
	input := string(srv.GetTool("generate_video").Tool.RawInputSchema)
	if !strings.Contains(input, "6 MB in all") || strings.Contains(input, "path") || strings.Contains(input, "20 MB") || strings.Contains(input, "dashboard") {
		t.Errorf("the schema: %s", input)
	}
	if input := string(srv.GetTool("download_video").Tool.RawInputSchema); strings.Contains(input, "folder") {
		t.Errorf("the schema: %s", input)
	}
}

func TestATeamThatSavesNothing(t *testing.T) {
	team := newTeam(t)
	srv := team.replica(false)
	if srv.GetTool("download_video") != nil {
		t.Error("download_video is offered")
	}
	id := team.made(srv, "token:ada", "x")
	text, s, _ := team.call(srv, "token:ada", "get_status", map[string]any{"request_id": id})
	if s["video_urls"] == nil || !strings.Contains(text, "tell the user to download the video soon") || strings.Contains(text, "download_video") {
		t.Error(text)
	}
	for _, words := range []string{Instructions(&Team{}), srv.GetTool("get_status").Tool.Description} {
		if strings.Contains(words, "download_video") || strings.Contains(words, "account") {
			t.Error(words)
		}
	}
}

// What is wrong with the server is for those who run it.
func TestATeamHearsNothingOfTheServer(t *testing.T) {
	team := newTeam(t)
	srv := team.replica(true)
	id := team.made(srv, "token:ada", "x")
	if err := os.WriteFile(download.Folder(team.out, "token:ada"), []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, _, _ := team.call(srv, "token:ada", "download_video", map[string]any{"request_id": id})
	if !strings.HasPrefix(text, "download_failed: the video could not be saved: the output folder") || !strings.Contains(text, "those of whoever runs this server") {
		t.Error(text)
	}
	elsewhere := newTeam(t)
	if err := os.WriteFile(elsewhere.state, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	srv = elsewhere.replica(true)
	for tool, args := range map[string]map[string]any{"generate_video": {"prompt": "x"}, "list_videos": nil, "get_status": {"request_id": id}} {
		text, _, isError := elsewhere.call(srv, "token:ada", tool, args)
		if !isError || !strings.HasPrefix(text, "journal_unavailable: the server's journal can't be used just now. ") || !strings.Contains(text, "ask whoever runs this server") ||
			strings.Contains(text, "--state-dir") {
			t.Errorf("%s: %s", tool, text)
		}
	}
}

// An uncertain submission is not for the user to look up.
func TestATeamAsksWhoRunsTheServer(t *testing.T) {
	for _, info := range pixazo.Codes {
		text := failure(Config{Team: &Team{}, KeyFile: keyFile}, definition{submits: true}, &pixazo.Error{Code: info.Code, Message: "as scripted"}).Content
		if said := fmt.Sprint(text); strings.Contains(said, "--") || strings.Contains(said, "PIXAZO_") || strings.Contains(said, pixazo.CreditsURL) || strings.Contains(said, keyFile) {
			t.Errorf("%s: %s", info.Code, said)
		}
	}
}

// However many replicas are asked, a video is fetched once.
func TestReplicasFetchAVideoOnce(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		team := newTeam(t)
		team.state = place(t)
		one, other := team.replica(true), team.replica(true)
		id := team.made(one, "token:ada", "tides")
		team.fetched.Store(0)
		team.pause.Store(int64(2 * time.Second)) // all ask while it comes
		var asks sync.WaitGroup
		for _, srv := range []*server.MCPServer{one, other, one, other} {
			asks.Go(func() {
				if text, s, isError := team.call(srv, "token:ada", "download_video", map[string]any{"request_id": id}); isError || s["saved_url"] == nil {
					t.Error(text)
				}
			})
		}
		asks.Wait()
		if n := team.fetched.Load(); n != 1 {
			t.Errorf("fetched %d times", n)
		}
		entries, err := os.ReadDir(download.Folder(team.out, "token:ada"))
		if err != nil || len(entries) != 1 {
			t.Errorf("the folder has %v, %v", entries, err)
		}
	})
}
