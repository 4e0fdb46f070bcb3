// This file tests the resources of a team server, whose users must not see each
// other's videos.

package resources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

// newTeam is a server for several users, and what submits a video of one.
func newTeam(t *testing.T, g *fakeGateway) (s *server.MCPServer, v *Videos, made func(owner, prompt string) (id string)) {
	t.Helper()
	tracker := jobs.New(g, journal.New(journal.Options{Dir: t.TempDir(), Gateway: "test"}), jobs.Options{Team: true})
	t.Cleanup(tracker.Close)
	s = server.NewMCPServer("test", "1", server.WithResourceCapabilities(true, false), server.WithCompletions(), server.WithPromptCapabilities(false))
	return s, Register(s, tracker, Options{Team: true}), func(owner, prompt string) string {
		t.Helper()
		submission, err := tracker.Submit(of(t, owner), prepared(pixazo.VideoRequest{Prompt: prompt}), jobs.SubmitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return submission.Row.Job.RequestID
	}
}

func of(t *testing.T, owner string) context.Context { return journal.WithOwner(t.Context(), owner) }

// askAs asks the server as an owner and returns the whole answer.
func askAs(t *testing.T, s *server.MCPServer, owner, method string, params map[string]any) string {
	t.Helper()
	line, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	answer, err := json.Marshal(s.HandleMessage(of(t, owner), line))
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func TestATeamsUsersSeeTheirOwnVideosOnly(t *testing.T) {
	s, _, made := newTeam(t, &fakeGateway{status: says(pixazo.Processing)})
	ada, bob := made("token:ada", "the sea"), made("token:bob", "the woods")
	if list := askAs(t, s, "token:bob", "resources/list", nil); strings.Contains(list, "the sea") || strings.Contains(list, "the woods") || !strings.Contains(list, jobs.VideosURI) {
		t.Errorf("list: %s", list)
	}
	if recent := askAs(t, s, "token:bob", "resources/read", map[string]any{"uri": jobs.VideosURI}); strings.Contains(recent, "the sea") || !strings.Contains(recent, "the woods") {
		t.Errorf("recent: %s", recent)
	}
	if own := askAs(t, s, "token:ada", "resources/read", map[string]any{"uri": jobs.VideosURI + "/" + ada}); !strings.Contains(own, "the sea") {
		t.Errorf("own: %s", own)
	}
	theirs, none := askAs(t, s, "token:bob", "resources/read", map[string]any{"uri": jobs.VideosURI + "/" + ada}), askAs(t, s, "token:bob", "resources/read", map[string]any{"uri": jobs.VideosURI + "/none"})
	if theirs != strings.ReplaceAll(none, "none", ada) || !strings.Contains(theirs, "error") {
		t.Errorf("another's: %s\nnone: %s", theirs, none)
	}
	completed := askAs(t, s, "token:bob", "completion/complete", map[string]any{
		"ref": map[string]any{"type": "ref/resource", "uri": videoTemplate}, "argument": map[string]any{"name": "request_id", "value": ""}})
	if strings.Contains(completed, `"`+ada+`"`) || !strings.Contains(completed, `"`+bob+`"`) {
		t.Errorf("completed: %s", completed)
	}
	if text := askAs(t, s, "token:bob", "prompts/get", map[string]any{"name": "continue_videos"}); strings.Contains(text, "the sea") || !strings.Contains(text, "the woods") {
		t.Errorf("continue_videos: %s", text)
	}
}

func TestATeamsUsersHearOfTheirOwnVideosOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &fakeGateway{status: says(pixazo.Processing)}
		s, v, made := newTeam(t, g)
		ada := made("token:ada", "the sea")
		heard := map[string]int{}
		subscribe := func(owner, uri string) (func(), error) {
			return v.Subscribe(of(t, owner), uri, func() { heard[owner+" "+uri]++ })
		}
		uri := jobs.VideosURI + "/" + ada
		_, theirs := subscribe("token:bob", uri)
		_, none := subscribe("token:bob", jobs.VideosURI+"/none")
		if !errors.Is(theirs, server.ErrResourceNotFound) || theirs.Error() != strings.ReplaceAll(none.Error(), "none", ada) {
			t.Errorf("another's: %v; none: %v", theirs, none)
		}
		time.Sleep(time.Minute)
		if n := len(g.counts()); n != 0 {
			t.Errorf("a refused subscriber has the gateway asked: %v", g.counts())
		}
		g.set(says(pixazo.Completed)) // before anybody follows the job, so that one change is to be heard
		for owner, uri := range map[string]string{"token:ada": uri, "token:bob": jobs.VideosURI} {
			stop, err := subscribe(owner, uri)
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
		}
		time.Sleep(time.Minute)
		synctest.Wait() // for what the poll wrote into heard
		if got, want := fmt.Sprint(heard), fmt.Sprint(map[string]int{"token:ada " + uri: 1}); got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
		made("token:bob", "the woods")
		time.Sleep(time.Minute)
		synctest.Wait()
		if heard["token:bob "+jobs.VideosURI] == 0 {
			t.Error("a user does not hear of a video of their own")
		}
		if list := askAs(t, s, "token:ada", "resources/list", nil); strings.Contains(list, "the woods") {
			t.Errorf("list: %s", list)
		}
	})
}

// What the texts say of paths, settings and dashboards is not for them.
func TestATeamIsToldWhatItsServerIs(t *testing.T) {
	s, _, _ := newTeam(t, &fakeGateway{})
	menu := askAs(t, s, "token:ada", "prompts/list", nil)
	for name, argument := range map[string]string{"video_brief": "topic", "explain_document": "file"} {
		menu += askAs(t, s, "token:ada", "prompts/get", map[string]any{"name": name, "arguments": map[string]any{argument: "https://example.com/a.pdf"}})
	}
	for _, word := range []string{"path", "--files-dir", "where it is saved"} {
		if strings.Contains(menu, word) {
			t.Errorf("a prompt speaks of %s: %s", word, menu)
		}
	}
	if page := askAs(t, s, "token:ada", "resources/read", map[string]any{"uri": jobs.PlayerURI}); !strings.Contains(page, `\"team\":true};`) {
		t.Error("the player is not told that this is a team's server")
	}
	for _, words := range []string{"Pixazo dashboard", `server\'s settings`, "This account"} {
		for line := range strings.Lines(playerPage()) {
			if strings.Contains(line, words) && !strings.Contains(line, "byServer('") {
				t.Errorf("the player speaks of %s to a team: %s", words, line)
			}
		}
	}
	guide := askAs(t, s, "token:ada", "resources/read", map[string]any{"uri": jobs.PromptingGuideURI})
	for _, words := range []string{"saved in their folder", "saved_path"} {
		if strings.Contains(guide, words) || !strings.Contains(*guides[0].text, words) {
			t.Errorf("the guide speaks of %s", words)
		}
	}
	nothing := server.NewMCPServer("test", "1")
	registerPlayer(nothing, Options{Missing: []string{"download_video", "generate_video"}})
	if page := askAs(t, nothing, "", "resources/read", map[string]any{"uri": jobs.PlayerURI}); !strings.Contains(page, `\"missing\":[\"download_video\",\"generate_video\"]`) ||
		strings.Count(playerPage(), "!offers('download_video')") != 1 || strings.Count(playerPage(), "!offers('generate_video')") != 1 {
		t.Error("the player offers what the server does not")
	}
	if guide := askAs(t, s, "token:ada", "resources/read", map[string]any{"uri": jobs.PromptingGuideURI}); !strings.Contains(guide, "This is a team server.") {
		t.Errorf("guide: %.200s", guide)
	}
}
