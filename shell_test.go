// These tests hold the commands wait and list: what they print, and their exit
// statuses.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"pixazo-mcp/internal/config"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/pixazo"
	"pixazo-mcp/pixazo/sandbox"
)

// shell runs a command on a state directory, and returns what it printed and its
// exit status.
func shell(t *testing.T, dir string, args ...string) (out, errs string, code int) {
	t.Helper()
	return shellIn(t, nil, dir, args...)
}

// shellIn is shell with more environment variables.
func shellIn(t *testing.T, env []string, dir string, args ...string) (out, errs string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	err := run(context.Background(), append(args, "--state-dir="+dir, "--output-dir="+dir, "--log-level=error"), append(homes(dir), env...), nil, strings.NewReader(""), &stdout, &stderr)
	if err != nil {
		code = exitStatus(err)
		stderr.WriteString(err.Error())
	}
	return stdout.String(), stderr.String(), code
}

func TestWaitAndList(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if out, errs, code := shell(t, dir, "wait"); code != 0 || out != "" || !strings.Contains(errs, "nothing is pending") {
		t.Errorf("wait without a journal: %d, %q, %q", code, out, errs)
	}
	if out, errs, code := shell(t, dir, "list"); code != 0 || out != "" || !strings.Contains(errs, "no videos") {
		t.Errorf("list without a journal: %d, %q, %q", code, out, errs)
	}
	p := start(t, homes(dir), "--sandbox", "--sandbox-duration=400ms", "--state-dir="+dir, "--output-dir="+dir, "--notify=false", "--max-videos-per-hour=0")
	submit := func(prompt string) (id string) {
		r := p.call("generate_video", map[string]any{"prompt": prompt})
		id, _ = r.Result.StructuredContent["request_id"].(string)
		if id == "" {
			t.Fatalf("%s: %s", prompt, r.text())
		}
		return id
	}
	good, bad, slow, page := submit("tides"), submit("sandbox:failed moon"), submit("sandbox:stuck"), submit("sandbox:media-html")

	out, _, code := shell(t, dir, "wait", good, "--timeout=1m")
	if last := lastLine(out); code != 0 || !strings.HasPrefix(last, good+"  COMPLETED  "+dir) || !strings.HasSuffix(last, ".mp4") {
		t.Errorf("a video that is made: %d, %q", code, out)
	}
	if out, _, _ := shell(t, dir, "wait", good); strings.Count(out, "\n") != 1 {
		t.Errorf("one that is done is told in more than a line: %q", out)
	}
	out, _, code = shell(t, dir, "wait", page)
	if code != 0 || !strings.Contains(out, "/output.mp4  not saved: download_failed: ") {
		t.Errorf("one that can't be saved: %d, %q", code, out)
	}
	out, _, code = shell(t, dir, "wait", "--timeout=1m", good, bad)
	if code != 1 || !strings.Contains(out, bad+"  FAILED  ") {
		t.Errorf("one that fails: %d, %q", code, out)
	}
	if out, _, code = shell(t, dir, "wait", slow, "--timeout=1s"); code != 3 {
		t.Errorf("one that is not done in time: %d, %q", code, out)
	}
	if out, _, code = shell(t, dir, "wait", slow, bad, "--timeout=1s"); code != 1 {
		t.Errorf("a failure goes before a timeout: %d, %q", code, out)
	}
	if out, errs, code := shell(t, dir, "wait", "nobody-knows-it", "--sandbox"); code != 1 || !strings.Contains(out, "not_found") {
		t.Errorf("an unknown one: %d, %q, %q", code, out, errs)
	}
	if out, errs, code := shell(t, dir, "wait", "no/id"); code != 2 || !strings.Contains(errs, "request_id must be") {
		t.Errorf("wrong use: %d, %q, %q", code, out, errs)
	}

	out, _, code = shell(t, dir, "wait", "--json", good)
	var object map[string]any
	if err := json.Unmarshal([]byte(out), &object); err != nil || code != 0 || object["request_id"] != good || object["status"] != "COMPLETED" || object["saved_path"] == nil {
		t.Errorf("as JSON: %d, %v, %q", code, err, out)
	}
	out, _, _ = shell(t, dir, "list", "--sandbox", "--json")
	if lines := strings.Count(out, "\n"); lines != 4 {
		t.Errorf("%d lines listed, want 4: %s", lines, out)
	}
	if out, _, _ = shell(t, dir, "list", "--sandbox"); !strings.Contains(out, "COMPLETED   "+good+"  tides  "+dir) {
		t.Errorf("listed %s", out)
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

func TestJSONLinesSteerNoTerminalAndKeepURLs(t *testing.T) {
	t.Parallel()
	const prompt, link = "a\x1b[31m\u009b5m\u202e\u00e9\U0001F600\U000E0041\n", "https://media.example/v.mp4?a=1&b=<2>"
	var out bytes.Buffer
	p := printer{out: &out, asJSON: true}
	p.print(jobs.View{Prompt: prompt, Media: pixazo.Media{VideoURLs: []string{link}}})
	var back jobs.View
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Prompt != prompt || back.VideoURLs[0] != link {
		t.Errorf("%v: %q", err, out.String())
	}
	if s := strings.TrimSuffix(out.String(), "\n"); strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }) || !strings.Contains(s, link) || !strings.Contains(s, "\u00e9\U0001F600") {
		t.Errorf("got %q", s)
	}
}

// finished makes a video in the sandbox that is not to be saved, and that nobody watches.
func finished(t *testing.T, dir, prompt string) (id string) {
	t.Helper()
	p := start(t, homes(dir), "--sandbox", "--sandbox-duration=1ms", "--state-dir="+dir, "--auto-save=false")
	id, _ = p.call("generate_video", generate(prompt)).Result.StructuredContent["request_id"].(string)
	if r := p.call("wait_for_video", map[string]any{"request_id": id}); r.Result.StructuredContent["done"] != true {
		t.Fatal(r.text())
	}
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestWaitEndsWithItsTimeoutAlsoWhileAVideoIsSaved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	id := finished(t, dir, "sandbox:media-slow") // takes 5 s to come
	out, errs, code := shell(t, dir, "wait", id, "--save", "--timeout=1s")
	if code != timedOut || !strings.Contains(out, id+"  COMPLETED  http") {
		t.Errorf("with --save: %d, %q, %q", code, out, errs)
	}
	// The video is ordered now.
	out, errs, code = shell(t, dir, "wait", id, "--timeout=1s")
	if code != 0 || !strings.Contains(out, id+"  COMPLETED  http") {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
}

// After a restart of the computer neither a server nor a keeper runs. A save that has
// failed is tried again when it is due, and at once with --save.
func TestWaitSavesInTurn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	id := finished(t, dir, "tides")
	out, errs, code := shell(t, dir, "wait", id, "--save", "--max-download=1")
	if code != oneFailed || !strings.Contains(out, id+"  COMPLETED  download_failed: ") {
		t.Errorf("one that is too large: %d, %q, %q", code, out, errs)
	}
	if _, errs, code = shell(t, dir, "wait"); code != 0 || !strings.Contains(errs, "nothing is pending") {
		t.Errorf("in the minute after a failure: %d, %q", code, errs)
	}
	changeJournal(t, dir, "UPDATE jobs SET save_next = 1")
	begun := time.Now()
	if out, errs, code = shell(t, dir, "wait"); code != 0 || !strings.HasSuffix(out, ".mp4\n") {
		t.Errorf("when it is due: %d, %q, %q", code, out, errs)
	}
	if took := time.Since(begun); took < serverTurn {
		t.Errorf("after %s: a server without a keeper had no time to save it", took)
	}
	_, saved, _ := strings.Cut(strings.TrimSpace(out), "COMPLETED  ")
	if err := os.Remove(saved); err != nil {
		t.Fatal(err)
	}
	if out, _, code = shell(t, dir, "wait", id); code != 0 || !strings.Contains(out, "COMPLETED  http") {
		t.Errorf("one that was saved once: %d, %q", code, out)
	}
	if out, errs, code = shell(t, dir, "wait", id, "--save"); code != 0 || !strings.HasSuffix(out, saved+"\n") {
		t.Errorf("with --save: %d, %q, %q", code, out, errs)
	}
}

// Nobody could save it, since the journal does not say that it is finished.
func TestWaitSaysWhyItDoesNotSave(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	id := finished(t, dir, "tides")
	changeJournal(t, dir, "UPDATE jobs SET status = 'PROCESSING', ended = 0, polled_at = 0, save_folder = '"+filepath.ToSlash(dir)+"'")
	changeJournal(t, dir, "CREATE TRIGGER full BEFORE UPDATE OF status ON jobs BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END")
	changeJournal(t, dir, "INSERT INTO leases (name, holder, until) SELECT 'watch sandbox ' || account || ' later', 'keeper', 1000 * strftime('%s', 'now', '+1 minute') FROM jobs")
	if out, errs, code := shell(t, dir, "wait", id, "--save", "--timeout=5s"); code != timedOut || !strings.Contains(out, "COMPLETED  http") {
		t.Errorf("while a keeper may: %d, %q, %q", code, out, errs)
	}
	changeJournal(t, dir, "DELETE FROM leases; UPDATE jobs SET lease_until = 0, polled_at = 0")
	if out, errs, code := shell(t, dir, "wait", id, "--timeout=1m"); code != 0 || !strings.Contains(out, "/output.mp4  not saved: journal_unavailable: ") {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	changeJournal(t, dir, "DROP TRIGGER full; UPDATE jobs SET lease_until = 0, polled_at = 0")
	if out, errs, code := shell(t, dir, "wait", id, "--save"); code != 0 || !strings.HasSuffix(out, ".mp4\n") {
		t.Errorf("then %d, %q, %q", code, out, errs)
	}
}

func TestWaitCommandIsForTheShellOfTheClient(t *testing.T) {
	for _, c := range []struct {
		program, stateDir, client string
		sandbox                   bool
		want                      string
	}{
		{"/opt/pixazo-mcp", "/home/ada/state", "claude-code", false, "/opt/pixazo-mcp wait --state-dir=/home/ada/state"},
		{"/opt/my tools/pixazo-mcp", "/home/ada/state", "Codex", true, `"/opt/my tools/pixazo-mcp" wait --state-dir=/home/ada/state --sandbox`},
		{`C:\bin\pixazo-mcp.exe`, `C:\Users\ada\.pixazo`, "claude-code", false, "C:/bin/pixazo-mcp.exe wait --state-dir=C:/Users/ada/.pixazo"},
		{`C:\bin\pixazo-mcp.exe`, `C:\Users\ada\.pixazo`, "codex-mcp-client", false, `C:\bin\pixazo-mcp.exe wait --state-dir=C:\Users\ada\.pixazo`},
		{"/opt/pixazo-mcp", "/home/ada/state", "claude-ai", false, ""},
		{filepath.Join(os.TempDir(), "x", "pixazo-mcp"), "/home/ada/state", "codex", false, ""},
		{"", "/home/ada/state", "codex", false, ""},
	} {
		if got := waitCommand(c.program, config.Settings{StateDir: c.stateDir, Sandbox: c.sandbox}, c.client); got != c.want {
			t.Errorf("%s for %s: got %s, want %s", c.program, c.client, got, c.want)
		}
	}
}

// An agent that runs wait in the background would wait for hours without a word.
func TestWaitSaysWhyItDoesNotSee(t *testing.T) {
	t.Parallel()
	refuses := atomic.Bool{}
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuses.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write([]byte(`{"status":"PROCESSING"}`))
	}))
	defer gateway.Close()
	dir, env := t.TempDir(), []string{"PIXAZO_API_KEY=" + secret, "PIXAZO_GATEWAY_URL=" + gateway.URL}
	ids := []string{"heygen-video-agent_019d2f4e-77aa-7bcd-9e01-23456789abcd", "heygen-video-agent_019d2f4e-77aa-7bcd-9e01-ffffffffffff"}
	for _, id := range ids { // the first look at a job leaves the next one to anybody
		if out, _, code := shellIn(t, env, dir, "wait", id, "--timeout=4s"); code != 3 || strings.Contains(out, "failed") {
			t.Errorf("seen: %d, %q", code, out)
		}
	}
	refuses.Store(true)
	const says = "PROCESSING  the newest check failed (unauthorized: the gateway refused the API key"
	if out, _, code := shellIn(t, env, dir, "wait", ids[0], "--timeout=4s"); code != 3 || strings.Count(out, says) != 2 {
		t.Errorf("%d, %q; want it while it waits, and in the end", code, out)
	}
	if out, _, code := shellIn(t, env, dir, "wait", "--json", ids[1], "--timeout=4s"); code != 3 || !strings.Contains(out, `"failure":"the newest check failed (unauthorized: `) {
		t.Errorf("as JSON: %d, %q", code, out)
	}
	if out, _, _ := shellIn(t, env, dir, "list"); strings.Count(out, "2026-03-27 ") != 2 {
		t.Errorf("listed %q, want the time inside each request_id", out)
	}
}

func TestWrongUseHasOneExitStatus(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"list", "extra"}, {"list", "--timeout=1s"}, {"wait", "no/id"}, {"wait", "--log-file=" + dir}, {"frobnicate"}, {"doctor", "--max-wait=x"}, {"install"}, {"install", "nobody"},
		{"token"}, {"token", "No Name"}, {"http", "--address=0.0.0.0:0"}, {"keep", "x"}, {"demo", "--live", "--sandbox"}, {"demo", "--live", "--read-only"},
	} {
		if _, errs, code := shell(t, dir, args...); code != wrongUse || errs == "" {
			t.Errorf("%q: exit status %d, %s", args, code, errs)
		}
	}
}

// terminal is a buffer that says it is one.
type terminal struct{ syncBuffer }

func (*terminal) isTerminal() bool { return true }

func TestWaitShowsItsProgressOnATerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, homes(dir), "--sandbox", "--sandbox-duration=2s", "--state-dir="+dir, "--output-dir="+dir, "--notify=false")
	for _, prompt := range []string{"tides", "waves"} {
		if r := p.call("generate_video", generate(prompt)); r.Result.IsError {
			t.Fatal(r.text())
		}
	}
	wait := func(args ...string) string {
		out := &terminal{}
		if err := run(context.Background(), append([]string{"wait", "--state-dir=" + dir, "--output-dir=" + dir}, args...), homes(dir), nil, strings.NewReader(""), out, &syncBuffer{}); err != nil {
			t.Error(err)
		}
		return out.String()
	}
	said := wait()
	for _, part := range []string{`\n2 being made, waited \d+s\r +\r`, `[\r\n][^\r\n ]+  COMPLETED  [^\r\n]+\.mp4\n$`} {
		if !regexp.MustCompile(part).MatchString(said) {
			t.Errorf("%q does not match %s", said, part)
		}
	}
	if said := wait("--json"); strings.Contains(said, "\r") { // nothing is pending any more
		t.Errorf("as JSON: %q", said)
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

// The cursor stays at the beginning of the progress line, and the log is on stderr.
func TestTheLogDoesNotRunIntoTheProgressLine(t *testing.T) {
	t.Parallel()
	var screen bytes.Buffer
	w := &waiter{printer: printer{out: &screen}}
	w.show("1 being made")
	screen.WriteString("a line of the log\n")
	w.show("")
	if want := "1 being made\ra line of the log\n            \r"; screen.String() != want {
		t.Errorf("got %q; want %q", screen.String(), want)
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// A server lets no more than 64 calls wait at once; the command took the others for
// late, though it was given no timeout. What it can't write it says, too.
func TestWaitIsForHoweverManyVideos(t *testing.T) {
	t.Parallel()
	const n = 70
	var looks atomic.Int64
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := "PROCESSING"
		if looks.Add(1) > n {
			status = "COMPLETED"
		}
		_, _ = fmt.Fprintf(w, `{"status":%q}`, status)
	}))
	defer gateway.Close()
	dir, env := t.TempDir(), []string{"PIXAZO_API_KEY=" + secret, "PIXAZO_GATEWAY_URL=" + gateway.URL}
	args := []string{"wait"}
	for i := range n {
		args = append(args, fmt.Sprint("video-", i))
	}
	out, errs, code := shellIn(t, env, dir, args...)
	if code != 0 || strings.Count(out, "  COMPLETED") != n {
		t.Errorf("%d, %q, %s", code, errs, out)
	}
	err := run(t.Context(), []string{"wait", "video-1", "--state-dir=" + dir}, append(homes(dir), env...), nil, strings.NewReader(""), full{}, io.Discard)
	if !errors.Is(err, errFull) {
		t.Errorf("on a full disk: %v", err)
	}
}

// A request that is on its way has no id by which to wait for it, and one that may have
// been accepted is not what a script may take for a success.
func TestWaitKnowsOfSubmissionsWithoutAnID(t *testing.T) {
	t.Parallel()
	emulator := sandbox.New(sandbox.Options{Duration: time.Millisecond, Key: secret})
	defer emulator.Close()
	sent, answer := make(chan struct{}, 2), make(chan bool)
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			sent <- struct{}{}
			if !<-answer {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
		}
		emulator.ServeHTTP(w, r)
	}))
	defer gateway.Close()
	dir, env := t.TempDir(), []string{"PIXAZO_API_KEY=" + secret, "PIXAZO_GATEWAY_URL=" + gateway.URL}
	p := start(t, append(homes(dir), env...), "--state-dir="+dir, "--auto-save=false", "--notify=false", "--max-wait=1s")
	for _, tt := range []struct {
		accepted    bool
		code        int
		want, never string
	}{
		{true, 0, "  COMPLETED  ", "none"},
		{false, oneFailed, "none  UNCERTAIN  tides false\n", "SUBMITTING"},
	} {
		if r := p.call("generate_video", map[string]any{"prompt": fmt.Sprint("tides ", tt.accepted)}); !strings.Contains(r.text(), "status: SUBMITTING") {
			t.Fatal(r.text())
		}
		<-sent
		ended, out := make(chan struct{}), &terminal{}
		go func() {
			defer close(ended)
			err := run(context.Background(), []string{"wait", "--state-dir=" + dir, "--output-dir=" + dir, "--log-level=error"}, append(homes(dir), env...), nil, strings.NewReader(""), out, io.Discard)
			if said := out.String(); (err == nil) != (tt.code == 0) || err != nil && exitStatus(err) != tt.code || !strings.Contains(said, tt.want) || strings.Contains(said, tt.never) {
				t.Errorf("%t: %v, %q", tt.accepted, err, said)
			}
		}()
		waitFor(t, out, "1 being sent, waited ") // it has looked while the request is on its way
		if out, _, code := shellIn(t, env, dir, "wait", "--timeout=1s"); code != timedOut || !strings.Contains(out, "none  SUBMITTING  tides") {
			t.Errorf("%t, not answered: %d, %q", tt.accepted, code, out)
		}
		answer <- tt.accepted
		<-ended
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

var errFull = errors.New("no space left")

// full is a file on a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

// The key goes to the gateway of the settings alone, whatever the journal says.
func TestWaitSendsTheKeyToNoGatewayOfTheJournal(t *testing.T) {
	t.Parallel()
	const another = secret + "-of-the-shell" // the server may still be asking with its own
	dir := t.TempDir()
	var requests atomic.Int64
	emulator := sandbox.New(sandbox.Options{Duration: time.Hour, Key: secret})
	defer emulator.Close()
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Ocp-Apim-Subscription-Key") == another {
			requests.Add(1)
		}
		emulator.ServeHTTP(w, r)
	}))
	defer gateway.Close()
	p := start(t, append(homes(dir), "PIXAZO_API_KEY="+secret), "--gateway-url="+gateway.URL, "--state-dir="+dir, "--auto-save=false", "--notify=false")
	r := p.call("generate_video", map[string]any{"prompt": "tides"})
	id, _ := r.Result.StructuredContent["request_id"].(string)
	if err := p.end(); err != nil || id == "" {
		t.Fatal(r.text(), err)
	}
	out, _, code := shellIn(t, []string{"PIXAZO_API_KEY=" + another}, dir, "wait", id, "--timeout=1s")
	if code != timedOut || requests.Load() > 0 {
		t.Errorf("%d, %q; another gateway than that of the settings got the key %d times", code, out, requests.Load())
	}
	settings, err := config.Parse([]string{"wait"}, append(homes(dir), "PIXAZO_API_KEY="+another), fullVersion, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	a, err := appOf(settings, gateway.URL, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	if _, err := a.client.Status(t.Context(), id, pixazo.StatusOptions{}); err == nil || !strings.Contains(err.Error(), "this video is at "+gateway.URL+": it is followed in the journal") {
		t.Errorf("the user, who has set a key, is told: %v", err)
	}
}
