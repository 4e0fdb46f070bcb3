// These tests hold that with --confirm-spend nothing is paid for without a yes,
// and that --read-only offers nothing that spends or writes.

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"
)

// asking starts a server that asks, for a client of 2025-11-25 with these
// capabilities.
func asking(t *testing.T, capabilities string, args ...string) *program {
	t.Helper()
	p := start(t, nil, append([]string{"--sandbox", "--sandbox-duration=1s", "--confirm-spend"}, args...)...)
	p.send(`{"jsonrpc":"2.0","id":1000,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":` + capabilities + `,"clientInfo":{"name":"t","version":"1"}}}`)
	p.receive()
	p.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return p
}

// asked reads the question, and returns its id.
func (p *program) asked() string {
	p.t.Helper()
	var question struct {
		ID     string
		Method string
		Params struct {
			Message         string
			RequestedSchema map[string]any
		}
	}
	line := p.receive()
	if err := json.Unmarshal([]byte(line), &question); err != nil || question.Method != "elicitation/create" || !strings.Contains(question.Params.Message, "tides") ||
		question.Params.RequestedSchema["type"] != "object" {
		p.t.Fatalf("no question: %s", line)
	}
	return question.ID
}

func (p *program) say(id, result string) {
	p.t.Helper()
	p.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%q,%s}`, id, result))
}

const (
	accept  = `"result":{"action":"accept","content":{}}`
	decline = `"result":{"action":"decline"}`
)

func (p *program) videos() int {
	p.t.Helper()
	videos, _ := p.call("list_videos", nil).Result.StructuredContent["videos"].([]any)
	return len(videos)
}

func TestAVideoIsPaidForAfterAYes(t *testing.T) {
	t.Parallel()
	p := asking(t, `{"elicitation":{}}`)
	for _, answer := range []string{decline, `"result":{"action":"cancel"}`, `"result":{}`, `"error":{"code":-32601,"message":"no"}`, `"error":{"code":1,"message":"no"},` + accept} {
		call := p.begin("generate_video", generate("tides"))
		p.say(p.asked(), answer)
		if r := p.await(call); !strings.HasPrefix(r.text(), "not_confirmed: the user said no") {
			t.Errorf("%s: %s", answer, r.text())
		}
	}
	if n := p.videos(); n != 0 {
		t.Fatalf("%d videos without a yes", n)
	}
	call := p.begin("generate_video", generate("tides"))
	p.say(p.asked(), accept)
	if r := p.await(call); r.Result.IsError || p.videos() != 1 {
		t.Errorf("after a yes: %s", r.text())
	}
	again := generate("tides")
	again["allow_duplicate"] = true
	call = p.begin("generate_video", again)
	p.say(p.asked(), decline)
	if r := p.await(call); !r.Result.IsError || p.videos() != 1 {
		t.Errorf("a yes counted twice: %s", r.text())
	}
}

func TestNobodyIsAskedAboutARequestThatCantBeSent(t *testing.T) {
	t.Parallel()
	p := asking(t, `{"elicitation":{}}`)
	for code, args := range map[string]map[string]any{
		"invalid_argument: prompt":   {"prompt": " \n"},
		"invalid_argument: files[1]": {"prompt": "tides", "files": []string{"https://example.com/a.png", "https://example.com/deck.pptx"}},
		"file_refused: files[0]":     {"prompt": "tides", "files": []string{"./lost.png"}},
	} {
		if r := p.call("generate_video", args); !strings.HasPrefix(r.text(), code) {
			t.Errorf("got %s, want %s", r.text(), code)
		}
	}
}

// The call ends before the person answers, or because the client gives it up.
func TestALateYesCountsForTheSameRequest(t *testing.T) {
	t.Parallel()
	p := asking(t, `{"elicitation":{"form":{}}}`, "--max-wait=2s")
	first := p.begin("generate_video", generate("tides"))
	id := p.asked()
	if r := p.await(first); !strings.HasPrefix(r.text(), "not_confirmed: the user has not said yet") {
		t.Fatal(r.text())
	}
	cut := p.begin("generate_video", generate("tides again"))
	p.asked()
	p.send(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}`, cut))
	if n := p.videos(); n != 0 {
		t.Fatalf("%d videos without a yes", n)
	}
	p.say(id, accept)
	// On a busy machine the call's time may be over before the request is in the journal.
	if r := p.call("generate_video", generate("tides")); r.Result.IsError || !soon(patience, func() bool { return p.videos() == 1 }) {
		t.Errorf("after a late yes: %s", r.text())
	}
}

func TestAClientThatCantAskMakesNoVideos(t *testing.T) {
	t.Parallel()
	for _, capabilities := range []string{`{}`, `{"roots":{}}`, `{"elicitation":{"url":{}}}`} {
		p := asking(t, capabilities)
		if r := p.call("generate_video", generate("tides")); !strings.HasPrefix(r.text(), "not_confirmed: this client can't ask") || p.videos() != 0 {
			t.Errorf("%s: %s", capabilities, r.text())
		}
	}
}

func TestAYesComesWithTheCallOf2026(t *testing.T) {
	t.Parallel()
	env := []string{"HOME=" + t.TempDir()}
	p := start(t, env, "--sandbox", "--confirm-spend")
	call := func(more map[string]any) string {
		p.nextID++
		params := map[string]any{"name": "generate_video", "arguments": generate("tides"), "_meta": map[string]any{
			"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientInfo": map[string]any{"name": "t", "version": "1"},
			"io.modelcontextprotocol/clientCapabilities": map[string]any{"elicitation": map[string]any{}}}}
		maps.Copy(params, more)
		line, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": p.nextID, "method": "tools/call", "params": params})
		if err != nil {
			t.Fatal(err)
		}
		p.send(string(line))
		return p.receive()
	}
	state := ""
	answer := func(action string) map[string]any {
		return map[string]any{"inputResponses": map[string]any{"spend": map[string]any{"action": action}}, "requestState": state}
	}
	question := func(got string) {
		t.Helper()
		var m struct{ Result struct{ RequestState string } }
		if err := json.Unmarshal([]byte(got), &m); err != nil || !strings.Contains(got, `"resultType":"input_required"`) || !strings.Contains(got, "elicitation/create") || !strings.Contains(got, "Prompt: ") {
			t.Fatalf("no question: %s", got)
		}
		state = m.Result.RequestState
	}
	question(call(nil))
	old := state
	another := answer("accept") // to the question about another video
	another["arguments"] = generate("another")
	question(call(another))
	if state = ""; old == state {
		t.Error("a question has no name")
	}
	question(call(answer("accept"))) // that nobody was asked for
	if got := call(answer("decline")); !strings.Contains(got, "not_confirmed: the user said no") {
		t.Errorf("a no: %s", got)
	}
	yes := answer("accept")
	again := generate("tides")
	again["allow_duplicate"] = true
	yes["arguments"] = again
	question(call(yes)) // the user said nothing of a duplicate
	yes = answer("accept")
	yes["arguments"] = again
	if got := call(yes); !strings.Contains(got, `"request_id":"heygen-video-agent_`) || strings.Contains(got, `"duplicate":true`) {
		t.Errorf("a yes: %s", got)
	}
	for range 2 { // the same yes, sent again, also to another process
		if got := call(yes); !strings.Contains(got, `"request_id":"heygen-video-agent_`) || !strings.Contains(got, `"duplicate":true`) || p.videos() != 1 {
			t.Errorf("a yes that is sent again: %s", got)
		}
		p = start(t, env, "--sandbox", "--confirm-spend")
	}
}

// The answer of a client that has closed its end can't come any more.
func TestAServerThatEndsWaitsForNoAnswer(t *testing.T) {
	t.Parallel()
	p := asking(t, `{"elicitation":{}}`, "--max-wait=10m")
	call := p.begin("generate_video", generate("tides"))
	p.asked()
	if err := p.in.Close(); err != nil {
		t.Fatal(err)
	}
	if r := p.await(call); !strings.HasPrefix(r.text(), "not_confirmed: the call was cancelled, or the server is ending") {
		t.Error(r.text())
	}
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "--sandbox", "--read-only")
	p.send(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	list := p.receive()
	for name, offered := range map[string]bool{"get_status": true, "wait_for_video": true, "list_videos": true, "generate_video": false, "download_video": false} {
		if strings.Contains(list, `"name":"`+name+`"`) != offered {
			t.Errorf("%s in the list: %t", name, !offered)
		}
	}
	p.send(`{"jsonrpc":"2.0","id":2,"method":"prompts/list"}`)
	if prompts := p.receive(); strings.Contains(prompts, "video_brief") || !strings.Contains(prompts, "continue_videos") {
		t.Errorf("prompts: %s", prompts)
	}
	p.nextID = 2
	if r := p.call("generate_video", generate("tides")); r.Error == nil {
		t.Errorf("it can be called all the same: %s", r.text())
	}
	said := list + p.call("list_videos", nil).text() + p.call("get_status", map[string]any{"request_id": "heygen-video-agent_none"}).text()
	for _, request := range []string{`"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}`,
		`"prompts/list"`, `"prompts/get","params":{"name":"continue_videos"}`, `"resources/list"`, `"resources/templates/list"`, `"resources/read","params":{"uri":"pixazo://videos"}`} {
		p.send(`{"jsonrpc":"2.0","id":99,"method":` + request + `}`)
		said += p.receive()
	}
	if named := regexp.MustCompile(`generate_video|download_video|pixazo://guide[^"]*`).FindString(said); named != "" || !strings.Contains(said, "ui://pixazo/player") {
		t.Errorf("a client hears of %s: %s", named, said)
	}
}
