// This file drives the program as a person on another system than Linux has it:
// on Windows and macOS the program itself, and on Linux the one for Windows that
// .ci/windows built and runs under Wine.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// pc is a person's computer, with an empty profile.
type pc struct {
	t       *testing.T
	command []string // the program
	home    string   // as this system sees it
	env     []string
	wine    bool
}

// newPC returns a computer that has the program; PIXAZO_TEST_EXE names the one
// for Windows, whose profile is that of WINEPREFIX.
func newPC(t *testing.T) *pc {
	exe := os.Getenv("PIXAZO_TEST_EXE")
	switch {
	case exe != "":
		profiles, err := filepath.Glob(filepath.Join(os.Getenv("WINEPREFIX"), "drive_c", "users", "*", "Temp"))
		if err != nil || len(profiles) != 1 {
			t.Fatalf("%d profiles in %q, %v", len(profiles), os.Getenv("WINEPREFIX"), err)
		}
		return &pc{t: t, command: []string{"wine", exe}, home: filepath.Dir(profiles[0]), env: os.Environ(), wine: true}
	case runtime.GOOS == "linux":
		t.Skip("on Linux other tests drive the program; .ci/windows drives the one for Windows")
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	return &pc{t: t, command: []string{path}, home: home, env: homes(home)}
}

// path is what the program calls a path of this system.
func (c *pc) path(path string) string {
	if c.wine {
		return "Z:" + strings.ReplaceAll(path, "/", `\`)
	}
	return path
}

func (c *pc) cmd(args ...string) *exec.Cmd {
	cmd := exec.Command(c.command[0], slices.Concat(c.command[1:], args)...)
	cmd.Env = append(slices.Clone(c.env), "PIXAZO_API_KEY="+secret, "PIXAZO_NOTIFY=false")
	return cmd
}

// run is a command to its end. It returns what it prints.
func (c *pc) run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := c.cmd(args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })()
	if err := cmd.Wait(); c.failed(err) {
		t.Errorf("%s: %v", args, err)
	}
	return strings.ReplaceAll(out.String(), "\r\n", "\n")
}

// serve starts a server over a state directory and a folder for videos, both in dir.
func (c *pc) serve(t *testing.T, dir string, args ...string) (*program, *exec.Cmd) {
	t.Helper()
	cmd := c.cmd(append(args, "--state-dir", c.path(filepath.Join(dir, "state")), "--output-dir", c.path(filepath.Join(dir, "videos")))...)
	cmd.WaitDelay = time.Second
	return talkTo(t, cmd), cmd
}

// failed reports whether the error of a process means that. Under Wine, a keeper
// and Wine's own processes hold the stderr of the one that started them.
func (c *pc) failed(err error) bool {
	return err != nil && !(c.wine && errors.Is(err, exec.ErrWaitDelay))
}

// end ends a server, as p.end does.
func (c *pc) end(t *testing.T, p *program) {
	t.Helper()
	if err := p.end(); c.failed(err) {
		t.Errorf("at the end of input: %v\n%s", err, p.stderr)
	}
}

// videos are the files in the folder of serve.
func videos(dir string) (paths []string) {
	paths, _ = filepath.Glob(filepath.Join(dir, "videos", "*.mp4")) // the pattern is sound
	return paths
}

func TestProgramOfThisSystem(t *testing.T) {
	c := newPC(t)
	t.Run("version", func(t *testing.T) {
		if out := c.run(t, "--version"); !strings.HasPrefix(out, "pixazo-mcp ") {
			t.Errorf("got %q", out)
		}
	})
	t.Run("demo", func(t *testing.T) {
		out := c.run(t, "demo")
		folder := "Videos"
		if runtime.GOOS == "darwin" {
			folder = "Movies"
		}
		if saved, _ := filepath.Glob(filepath.Join(c.home, folder, "Pixazo", "*")); !strings.Contains(out, "Saved ") || len(saved) != 1 {
			t.Errorf("saved %q\n%s", saved, out)
		}
	})
	t.Run("install and doctor", c.install)
	t.Run("a session with CRLF", c.session)
	t.Run("a keeper outlives its server", c.keeper)
	t.Run("two servers on one journal", c.twoServers)
	t.Run("a server and its submission are killed", c.kill)
}

func (c *pc) install(t *testing.T) {
	out := c.run(t, "install", "cursor", "--sandbox")
	content, err := os.ReadFile(filepath.Join(c.home, ".cursor", "mcp.json"))
	var config struct {
		MCPServers map[string]struct{ Command string }
	}
	if err != nil || json.Unmarshal(content, &config) != nil || config.MCPServers["pixazo-sandbox"].Command == "" {
		t.Fatalf("%v\n%s\n%s", err, content, out)
	}
	want := c.command[len(c.command)-1]
	if got := config.MCPServers["pixazo-sandbox"].Command; !strings.EqualFold(got, c.path(want)) {
		t.Errorf("the entry runs %q, want %q", got, c.path(want))
	}
	if out := c.run(t, "doctor", "--sandbox"); !strings.Contains(out, "pixazo-sandbox starts ") || strings.Contains(out, "FAIL") {
		t.Errorf("doctor:\n%s", out)
	}
	if out := c.run(t, "uninstall", "cursor", "--sandbox"); !strings.Contains(out, ": took pixazo-sandbox out of ") {
		t.Errorf("uninstall:\n%s", out)
	}
}

// session is a client that ends its lines as Windows does.
func (c *pc) session(t *testing.T) {
	dir := t.TempDir()
	p, _ := c.serve(t, dir, "--sandbox", "--sandbox-duration=1s", "--auto-save=false")
	call := func(id, tool, arguments string) (said string) {
		p.send(`{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"` + tool + `","arguments":` + arguments + "}}\r")
		for !strings.Contains(said, `"id":`+id) {
			said = p.receive()
		}
		if strings.Contains(said, `"isError":true`) || strings.HasSuffix(said, "\r") {
			t.Fatalf("%s: %q", tool, said)
		}
		return said
	}
	p.send(strings.TrimSuffix(initializeLine, "\n") + "\r")
	if said := p.receive(); !strings.Contains(said, `"serverInfo"`) {
		t.Fatalf("initialize: %q", said)
	}
	p.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\r")
	id := anyRequestID.FindString(call("2", "generate_video", `{"prompt":"tides"}`))
	if said := call("3", "wait_for_video", `{"request_id":"`+id+`"}`); !strings.Contains(said, "COMPLETED") {
		t.Errorf("wait_for_video: %s", said)
	}
	for n, overwrite := range []string{"false", "true"} {
		call(string(rune('4'+n)), "download_video", `{"request_id":"`+id+`","filename":"Gezeiten für Ada.mp4","overwrite":`+overwrite+`}`)
		if saved := files(t, filepath.Join(dir, "videos")); !slices.Equal(saved, []string{"Gezeiten für Ada.mp4"}) {
			t.Errorf("the folder holds %q", saved)
		}
	}
	c.end(t, p)
}

// keeper is a client that kills its server in the middle of a submission, and
// somebody who looks later.
func (c *pc) keeper(t *testing.T) {
	dir := t.TempDir()
	url, arrived, answer := holdingGateway(t)
	p, cmd := c.serve(t, dir, "--gateway-url", url)
	p.begin("generate_video", generate("tides"))
	<-arrived
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	answer()
	state := []string{"--state-dir", c.path(filepath.Join(dir, "state")), "--gateway-url", url}
	if !soon(time.Minute, func() bool { return len(videos(dir)) == 1 }) {
		log, _ := os.ReadFile(filepath.Join(dir, "state", "keeper.log"))
		t.Errorf("no video was saved\n%s\n%s", c.run(t, append([]string{"list"}, state...)...), log)
	}
	if out := c.run(t, append([]string{"keep", "--stop"}, state[:2]...)...); !strings.Contains(out, "keepers ended: ") {
		t.Errorf("keep --stop: %s", out)
	}
	if out := c.run(t, append([]string{"list"}, state...)...); !strings.Contains(out, "COMPLETED") {
		t.Errorf("list: %s", out)
	}
	if rows := journalRows(t, filepath.Join(dir, "state")); len(rows) != 1 || rows[0].state != "accepted" {
		t.Errorf("the journal has %+v", rows)
	}
}

func (c *pc) twoServers(t *testing.T) {
	dir := t.TempDir()
	gateway := startBilling(t)
	ids := map[any]int{}
	var both []*program
	for range 2 {
		p, _ := c.serve(t, dir, "--gateway-url", gateway.url)
		both = append(both, p)
	}
	for _, p := range both {
		p.begin("generate_video", generate("tides"))
	}
	for _, p := range both {
		ids[p.await(1).Result.StructuredContent["request_id"]]++
	}
	for _, p := range both {
		c.end(t, p)
	}
	c.run(t, "keep", "--stop", "--state-dir", c.path(filepath.Join(dir, "state")))
	if accepted := gateway.accepted["tides"]; len(accepted) != 1 || ids[accepted[0]] != 2 {
		t.Errorf("answered %v, accepted %v", ids, accepted)
	}
	if rows := journalRows(t, filepath.Join(dir, "state")); len(rows) != 1 || rows[0].state != "accepted" {
		t.Errorf("the journal has %+v", rows)
	}
}

// kill is a client that ends all there is in the middle of a submission, and
// another one that asks for the same video.
func (c *pc) kill(t *testing.T) {
	dir := t.TempDir()
	url, arrived, _ := holdingGateway(t)
	args := []string{"--gateway-url", url, "--keeper=false", "--max-wait=2s"}
	p, cmd := c.serve(t, dir, args...)
	p.begin("generate_video", generate("tides"))
	<-arrived
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	p, cmd = c.serve(t, dir, args...)
	if r := p.call("generate_video", generate("tides")); r.Result.StructuredContent["request_id"] != nil {
		t.Errorf("got %s", r.text())
	}
	_ = cmd.Process.Kill() // its end would wait for the intent's
	<-p.ended
	if len(arrived) > 0 {
		t.Error("the request was sent twice")
	}
	if rows := journalRows(t, filepath.Join(dir, "state")); len(rows) != 1 || rows[0].state != "submitting" {
		t.Errorf("the journal has %+v", rows)
	}
}
