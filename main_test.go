// These tests drive the whole program, in this process over pipes or as a
// process of its own: golden conversations, how it ends, and what must never
// come out of it.

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pixazo-mcp/e2e/pgtest"
	"pixazo-mcp/pixazo/sandbox"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// program is a run of the whole program with a client's end of its pipes.
type program struct {
	t      testing.TB
	in     io.WriteCloser
	out    *bufio.Reader
	stdout io.Closer // under out, of a process
	stderr *syncBuffer
	ended  chan error
	nextID int
}

// syncBuffer is a buffer that a log and a test may use at once.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start runs the program in this process. env holds nothing but what is given;
// without a home directory in it, the state directory is one of the test's.
func start(t testing.TB, env []string, args ...string) *program {
	t.Helper()
	if !slices.ContainsFunc(env, func(line string) bool { return strings.HasPrefix(line, "HOME=") }) {
		args = append(args, "--state-dir="+t.TempDir())
	}
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	p := &program{t: t, in: inW, out: bufio.NewReader(outR), stderr: &syncBuffer{}, ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		p.ended <- run(context.Background(), args, env, nil, inR, outW, p.stderr)
		_ = outW.Close()
		close(done)
	}()
	t.Cleanup(func() {
		_ = inW.Close()
		_ = outR.Close()
		<-done // before its state directory goes
	})
	return p
}

var binary = sync.OnceValues(func() (string, error) { return build(".", "pixazo-mcp", "") })

// updated is the program as a later version.
var updated = sync.OnceValues(func() (string, error) {
	return build(".", "updated", "-X main.version=99.0.0 -X main.commit=0123456789abcdef")
})

// build compiles a package of this module as a release is, with further flags for
// the linker, into a directory that TestMain removes.
func build(pkg, name, flags string) (string, error) {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	path := filepath.Join(buildDir, name)
	out, err := exec.Command("go", "build", "-ldflags=-s -w "+flags, "-o", path, pkg).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

var buildDir string

// Tests that measure come first, alone: they are not parallel.
func TestMain(m *testing.M) {
	var err error
	if buildDir, err = os.MkdirTemp("", "pixazo-mcp-test-"); err != nil {
		panic(err)
	}
	code := pgtest.Run(m)
	_ = os.RemoveAll(buildDir)
	os.Exit(code)
}

// startProcess runs the built program as a process.
func startProcess(t testing.TB, env []string, args ...string) (*program, *exec.Cmd) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return startCommand(t, env, path, args...)
}

func startCommand(t testing.TB, env []string, path string, args ...string) (*program, *exec.Cmd) {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Env = slices.Concat(homes(t.TempDir()), []string{"PIXAZO_KEEPER=false", "PIXAZO_NOTIFY=false", "PIXAZO_MAX_VIDEOS_PER_DAY=0"}, env)
	return talkTo(t, cmd), cmd
}

// talkTo starts a command and returns its pipes. ended hears of its end when
// nobody has its stderr open any more.
func talkTo(t testing.TB, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{t: t, stderr: &syncBuffer{}, ended: make(chan error, 1)}
	cmd.Stderr = p.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	// Not StdoutPipe: Wait would close it under the reader.
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = outW
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = outW.Close()
	p.in, p.out, p.stdout = in, bufio.NewReader(outR), outR
	go func() { p.ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = in.Close()
		_ = outR.Close()
		_ = cmd.Process.Kill()
	})
	return p
}

func (p *program) send(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Fatalf("send: %v\n%s", err, p.stderr)
	}
}

func (p *program) receive() string {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("receive: %v\n%s", err, p.stderr)
	}
	return strings.TrimSuffix(line, "\n")
}

// toolResult is the answer to a tools/call.
type toolResult struct {
	ID     int
	Result struct {
		Content           []struct{ Text string }
		StructuredContent map[string]any
		IsError           bool
	}
	Error any
}

func (r toolResult) text() string {
	if len(r.Result.Content) == 0 {
		return fmt.Sprint(r.Error)
	}
	return r.Result.Content[0].Text
}

// begin sends a tools/call without waiting for the answer.
func (p *program) begin(tool string, args map[string]any) int {
	p.t.Helper()
	p.nextID++
	line, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": p.nextID, "method": "tools/call",
		"params": map[string]any{"name": tool, "arguments": args}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.send(string(line))
	return p.nextID
}

// await reads up to the answer to the call with this id.
func (p *program) await(id int) toolResult {
	p.t.Helper()
	for {
		line := p.receive()
		var r toolResult
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			p.t.Fatalf("stdout has %q: %v", line, err)
		}
		if r.ID == id {
			return r
		}
	}
}

func (p *program) call(tool string, args map[string]any) toolResult {
	p.t.Helper()
	return p.await(p.begin(tool, args))
}

// end closes the program's input and waits for it.
func (p *program) end() error {
	p.t.Helper()
	_ = p.in.Close()
	if rest, _ := io.ReadAll(p.out); len(rest) > 0 {
		p.t.Logf("unread at the end: %s", rest)
	}
	return <-p.ended
}

func TestGoldenSessions(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/sessions/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no sessions", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := start(t, nil, "--sandbox", "--sandbox-duration=300ms", "--notify=false") // other systems have a desktop
			var got strings.Builder
			requestID := ""
			for line := range strings.Lines(string(golden)) {
				line = strings.TrimRight(line, "\r\n")
				switch {
				case strings.HasPrefix(line, "#"):
					got.WriteString(line + "\n")
				case strings.HasPrefix(line, "> "):
					got.WriteString(line + "\n")
					sent := strings.ReplaceAll(strings.TrimPrefix(line, "> "), "REQUEST_ID", requestID)
					p.send(sent)
					if !expectsAnswer(sent) {
						continue
					}
					for last := ""; ; {
						answer := p.receive()
						if id := anyRequestID.FindString(answer); id != "" {
							requestID = id
						}
						isAnswer := strings.Contains(answer, `"id":`)
						if answer = stable(answer); answer != last {
							got.WriteString("< " + answer + "\n")
						}
						if last = answer; isAnswer {
							break
						}
					}
				}
			}
			if err := p.end(); err != nil {
				t.Error(err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := strings.ReplaceAll(string(golden), "\r\n", "\n"); !*update && got.String() != want {
				t.Errorf("the conversation differs (go test -run TestGoldenSessions -update rewrites it):\n%s", firstDifference(got.String(), want))
			}
		})
	}
}

func expectsAnswer(sent string) bool {
	var m struct{ ID, Method any }
	return json.Unmarshal([]byte(sent), &m) != nil || m.ID != nil
}

var anyRequestID = regexp.MustCompile(`heygen-video-agent_[0-9a-f-]{36}`)

// stable replaces what differs from run to run.
func stable(line string) string {
	for _, r := range []struct{ pattern, with string }{
		{`heygen-video-agent_[0-9a-f-]{36}`, "REQUEST_ID"},
		{`127\.0\.0\.1:\d+`, "SANDBOX"},
		{`\d{4}-\d\d-\d\dT[0-9:.]+Z`, "TIME"},
		{`"progress":[0-9.]+`, `"progress":SECONDS`},
		{`"(no status yet|[A-Z]+), \d+ s since submission"`, `"STATUS, N s since submission"`},
		{`((?:elapsed|check_again)_seconds"?: ?)\d+`, `${1}N`},
		{`, \d+s ago`, `, N ago`},
	} {
		line = regexp.MustCompile(r.pattern).ReplaceAllString(line, r.with)
	}
	return line
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d\n got %s\nwant %s", i+1, g[i], strings.Join(w[min(i, len(w)):min(i+1, len(w))], ""))
		}
	}
	return fmt.Sprintf("the file goes on after line %d", len(g))
}

// secret is a key that must come out nowhere.
const secret = "k3y-that-must-never-be-printed"

// quickGateway is a sandbox with that key, whose videos take a millisecond.
func quickGateway(t *testing.T) *httptest.Server {
	t.Helper()
	emulator := sandbox.New(sandbox.Options{Duration: time.Millisecond, Key: secret})
	gateway := httptest.NewServer(emulator)
	t.Cleanup(func() {
		emulator.Close()
		gateway.Close()
	})
	return gateway
}

func TestKeyPromptAndDataNeverComeOut(t *testing.T) {
	t.Parallel()
	const prompt = "a prompt that nobody but the gateway should read, not even the log"
	const data = "data:image/png;base64,aGFsZiBhIG1lZ2FieXRlIG9mIHBpeGVscw=="
	gateway := quickGateway(t)
	closed := httptest.NewServer(nil)
	closed.Close()

	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, []byte(secret+"\n"), 0o644); err != nil { // too open, so that there is a warning to search
		t.Fatal(err)
	}
	runs := []struct {
		name string
		env  []string
		args []string
		want string // in some answer, so that the run is known to have done its part
	}{
		{"accepted", []string{"PIXAZO_API_KEY=" + secret}, []string{"--gateway-url", gateway.URL}, "COMPLETED"},
		{"from a file", nil, []string{"--gateway-url", gateway.URL, "--api-key-file", keyFile}, "COMPLETED"},
		{"refused", []string{"PIXAZO_API_KEY=" + secret + "x"}, []string{"--gateway-url", gateway.URL}, "unauthorized: "},
		{"malformed", []string{"PIXAZO_API_KEY=" + secret + " " + secret}, []string{"--gateway-url", gateway.URL}, "missing_api_key: "},
		{"unreachable", []string{"PIXAZO_API_KEY=" + secret}, []string{"--gateway-url", closed.URL}, "gateway_unreachable: "},
	}
	for _, r := range runs {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, r.env, append(r.args, "--log-level=debug")...)
			var answers strings.Builder
			p.send(`{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
			answers.WriteString(p.receive())
			scripts := []string{"", " sandbox:400", " sandbox:drop-after", " sandbox:html"}
			if r.name == "unreachable" {
				scripts = scripts[:1] // each one takes its three tries
			}
			for _, script := range scripts {
				for _, call := range []struct {
					tool string
					args map[string]any
				}{
					{"generate_video", map[string]any{"prompt": prompt + script, "files": []string{data}}},
					{"get_status", map[string]any{"request_id": "REQUEST_ID"}},
				} {
					if id := anyRequestID.FindString(answers.String()); id != "" && call.tool == "get_status" {
						call.args["request_id"] = id
					}
					line, _ := json.Marshal(p.call(call.tool, call.args))
					answers.Write(line)
				}
			}
			if err := p.end(); err != nil {
				t.Error(err)
			}
			if !strings.Contains(answers.String(), r.want) {
				t.Errorf("no answer has %q:\n%s", r.want, answers.String())
			}
			for _, out := range []struct{ name, text string }{{"answers", answers.String()}, {"log", p.stderr.String()}} {
				if strings.Contains(out.text, secret) {
					t.Errorf("the key is in the %s", out.name)
				}
			}
			for _, private := range []string{prompt, data} {
				if strings.Contains(p.stderr.String(), private) {
					t.Errorf("the log has %q", private)
				}
			}
			if len(p.stderr.String()) == 0 {
				t.Error("nothing was logged, so nothing was tested")
			}
		})
	}
}

// A user may have pasted the key into the chat, and a model put it into a wrong place.
func TestTheKeyInAnArgumentIsNotRepeated(t *testing.T) {
	t.Parallel()
	p := start(t, []string{"PIXAZO_API_KEY=" + secret}, "--gateway-url", quickGateway(t).URL, "--log-level=debug")
	p.send(`{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
	p.receive()
	for _, c := range []struct {
		tool string
		args map[string]any
	}{
		{"generate_video", map[string]any{"prompt": "a", "mode": secret}},
		{"generate_video", map[string]any{"prompt": []string{secret}}},
		{"generate_video", map[string]any{"prompt": "a", secret: "b"}},
		{"generate_video", map[string]any{"prompt": "a", "files": []string{"./" + secret + ".png"}}},
		{"get_status", map[string]any{"request_id": "key " + secret}},
		{"download_video", map[string]any{"request_id": secret}},
		{"wait_for_video", map[string]any{"request_id": secret}},
		{"list_videos", map[string]any{"cursor": secret}},
	} {
		if answer := p.call(c.tool, c.args).text(); strings.Contains(answer, secret) || !strings.HasPrefix(answer, "invalid_argument: ") && !strings.HasPrefix(answer, "file_refused: ") {
			t.Errorf("%s %v: %s", c.tool, c.args, answer)
		}
	}
	for _, request := range []string{
		`"method":"tools/call","params":{"name":"` + secret + `"}`,
		`"method":"resources/read","params":{"uri":"pixazo://videos/` + secret + `"}`,
		`"method":"prompts/get","params":{"name":"video_brief","arguments":{"topic":"tides","` + secret + `":"x"}}`,
	} {
		p.send(`{"jsonrpc":"2.0","id":"k",` + request + `}`)
		if answer := p.receive(); strings.Contains(answer, secret) || !strings.Contains(answer, `"error":{`) {
			t.Errorf("%s: %s", request, answer)
		}
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
	if strings.Contains(p.stderr.String(), secret) {
		t.Error("the key is in the log")
	}
}

func TestServesWithoutAKey(t *testing.T) {
	t.Parallel()
	p := start(t, append(homes(t.TempDir()), "PIXAZO_API_KEY=${PIXAZO_API_KEY}"))
	p.send(`{"jsonrpc":"2.0","id":0,"method":"tools/list"}`)
	if line := p.receive(); !strings.Contains(line, `"wait_for_video"`) {
		t.Errorf("tools/list answered %s", line)
	}
	for tool, args := range map[string]map[string]any{
		"generate_video": {"prompt": "tides"},
		"get_status":     {"request_id": "heygen-video-agent_1"},
		"wait_for_video": {"request_id": "heygen-video-agent_1"},
	} {
		r := p.call(tool, args)
		for _, part := range []string{"missing_api_key: ", "https://api-console.pixazo.ai/api_keys", filepath.Join(".pixazo", "api-key"), "PIXAZO_API_KEY"} {
			if !r.Result.IsError || !strings.Contains(r.text(), part) {
				t.Errorf("%s answered %q, without %q", tool, r.text(), part)
			}
		}
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

func TestKeyPutInPlaceWhileServingIsUsed(t *testing.T) {
	t.Parallel()
	gateway := quickGateway(t)
	home := t.TempDir()
	p := start(t, homes(home), "--gateway-url", gateway.URL)
	if r := p.call("generate_video", map[string]any{"prompt": "tides"}); !strings.HasPrefix(r.text(), "missing_api_key: ") {
		t.Fatalf("got %s", r.text())
	}
	if err := os.MkdirAll(filepath.Join(home, ".pixazo"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".pixazo", "api-key"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := p.call("generate_video", map[string]any{"prompt": "tides"}); r.Result.IsError {
		t.Errorf("with the key in place: %s", r.text())
	}
}

// A client reads the player's page before it calls the tool.
func TestThePlayerOfEveryToolCanBeRead(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "--sandbox")
	ask := func(method, params string, result any) {
		t.Helper()
		p.send(`{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`)
		answer := struct{ Result any }{result}
		if err := json.Unmarshal([]byte(p.receive()), &answer); err != nil {
			t.Fatal(err)
		}
	}
	type meta struct {
		UI struct {
			ResourceURI string
			CSP         struct{ ResourceDomains []string }
		}
	}
	var list struct {
		Tools []struct {
			Name string
			Meta meta `json:"_meta"`
		}
	}
	ask("tools/list", `{}`, &list)
	shown := map[string]bool{}
	for _, tool := range list.Tools {
		uri := tool.Meta.UI.ResourceURI
		if uri == "" {
			continue
		}
		shown[tool.Name] = true
		var read struct {
			Contents []struct {
				MIMEType, Text string
				Meta           meta `json:"_meta"`
			}
		}
		ask("resources/read", fmt.Sprintf(`{"uri":%q}`, uri), &read)
		if len(read.Contents) != 1 || read.Contents[0].MIMEType != "text/html;profile=mcp-app" || !strings.HasPrefix(read.Contents[0].Text, "<!DOCTYPE html>") {
			t.Fatalf("%s: %s: got %+v", tool.Name, uri, read)
		}
		// The sandbox's videos are on this computer.
		if got := read.Contents[0].Meta.UI.CSP.ResourceDomains; len(got) != 1 || !strings.HasPrefix(got[0], "http://127.0.0.1:") {
			t.Errorf("%s: media may come from %q", tool.Name, got)
		}
	}
	for _, name := range []string{"generate_video", "get_status", "wait_for_video", "download_video"} {
		if !shown[name] {
			t.Errorf("%s has no player", name)
		}
	}
}

func TestJobIsFollowedFromAnotherProcess(t *testing.T) {
	t.Parallel()
	first := start(t, nil, "--sandbox", "--sandbox-duration=1ms")
	id := first.call("generate_video", map[string]any{"prompt": "tides"}).Result.StructuredContent["request_id"]
	if err := first.end(); err != nil {
		t.Fatal(err)
	}
	second, _ := startProcess(t, nil, "--sandbox")
	if r := second.call("get_status", map[string]any{"request_id": id}); r.Result.StructuredContent["status"] != "COMPLETED" {
		t.Errorf("got %s", r.text())
	}
}

func TestHelpAndVersion(t *testing.T) {
	for arg, want := range map[string]string{"--help": "--sandbox-duration", "--version": version} {
		var out, errs bytes.Buffer
		if err := run(t.Context(), []string{arg}, nil, nil, strings.NewReader(""), &out, &errs); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %v, %q", arg, err, out.String())
		}
		reader, stdout := io.Pipe()
		_ = reader.CloseWithError(syscall.EPIPE)
		err := run(t.Context(), []string{arg}, nil, nil, strings.NewReader(""), stdout, &errs)
		if !errors.Is(err, syscall.EPIPE) || exitStatus(err) != 1 {
			t.Errorf("%s to a closed pipe: %v, status %d", arg, err, exitStatus(err))
		}
	}
}

// holdingGateway accepts submissions and answers them only when told to.
func holdingGateway(t *testing.T) (url string, arrived <-chan struct{}, answer func()) {
	t.Helper()
	posts, hold := make(chan struct{}, 10), make(chan struct{})
	emulator := sandbox.New(sandbox.Options{Accepted: func(string, []byte) {
		posts <- struct{}{}
		<-hold
	}})
	gateway := httptest.NewServer(emulator)
	answer = sync.OnceFunc(func() { close(hold) })
	t.Cleanup(func() {
		answer()
		emulator.Close()
		gateway.Close()
	})
	return gateway.URL, posts, answer
}

func TestSubmissionInFlightOutlivesTheClient(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		leave func(*program, *exec.Cmd) error
		unix  bool
	}{
		{"end of input", func(p *program, _ *exec.Cmd) error { return p.in.Close() }, false},
		{"SIGTERM", func(_ *program, cmd *exec.Cmd) error { return cmd.Process.Signal(syscall.SIGTERM) }, true},
		{"SIGHUP", func(_ *program, cmd *exec.Cmd) error { return cmd.Process.Signal(syscall.SIGHUP) }, true},
		{"SIGINT", func(_ *program, cmd *exec.Cmd) error { return cmd.Process.Signal(os.Interrupt) }, true},
		{"every signal, and again", func(p *program, cmd *exec.Cmd) error {
			err := cmd.Process.Signal(os.Interrupt)
			waitFor(t, p.stderr, "no new calls")
			for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt, syscall.SIGHUP, syscall.SIGTERM} {
				err = errors.Join(err, cmd.Process.Signal(signal))
			}
			return err
		}, true},
		{"call cancelled, then end of input", func(p *program, _ *exec.Cmd) error {
			p.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
			return p.in.Close()
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.unix && runtime.GOOS == "windows" {
				t.Skip("Windows has no such signal to send")
			}
			t.Parallel()
			url, arrived, answer := holdingGateway(t)
			dir := t.TempDir()
			p, cmd := startProcess(t, []string{"PIXAZO_API_KEY=" + secret}, "--gateway-url", url, "--state-dir", dir, "--log-level=debug")
			p.begin("generate_video", generate("tides"))
			<-arrived
			if rows := journalRows(t, dir); len(rows) != 1 || rows[0] != (row{"submitting", "", "tides"}) {
				t.Errorf("while the POST is under way, the journal has %+v", rows)
			}
			if err := tt.leave(p, cmd); err != nil {
				t.Fatal(err)
			}
			waitFor(t, p.stderr, "no new calls") // the drain has begun, with the POST under way
			answer()
			rest, _ := io.ReadAll(p.out)
			if err := <-p.ended; err != nil {
				t.Errorf("exit: %v", err)
			}
			if rows := journalRows(t, dir); len(rows) != 1 || rows[0].state != "accepted" || !anyRequestID.MatchString(rows[0].requestID) {
				t.Errorf("the journal has %+v, want the job with its request_id", rows)
			}
			cancelled := strings.HasPrefix(tt.name, "call cancelled")
			if answered := anyRequestID.Match(rest); answered == cancelled {
				t.Errorf("answered: %t, cancelled: %t", answered, cancelled)
			}
		})
	}
}

func TestSubmissionInFlightOutlivesABrokenPipe(t *testing.T) {
	t.Parallel()
	url, arrived, answer := holdingGateway(t)
	p, _ := startProcess(t, []string{"PIXAZO_API_KEY=" + secret}, "--gateway-url", url, "--log-level=debug")
	p.begin("generate_video", map[string]any{"prompt": "tides"})
	<-arrived
	_ = p.stdout.Close() // the client is gone; the next write breaks
	p.send(`{"jsonrpc":"2.0","id":2,"method":"tools/list"}`)
	waitFor(t, p.stderr, "no new calls")
	answer()
	if err := <-p.ended; err != nil {
		t.Errorf("exit: %v\n%s", err, p.stderr)
	}
	if !strings.Contains(p.stderr.String(), "video submitted") {
		t.Errorf("the submission is not in the log:\n%s", p.stderr)
	}
}

// A script writes its calls and closes the pipe at once.
func TestCallRightBeforeTheEndOfInputIsSubmitted(t *testing.T) {
	t.Parallel()
	for range 20 {
		p := start(t, nil, "--sandbox")
		p.begin("generate_video", map[string]any{"prompt": "tides"})
		_ = p.in.Close()
		if r := p.await(1); r.Result.IsError {
			t.Fatalf("got %s", r.text())
		}
		if err := <-p.ended; err != nil {
			t.Fatal(err)
		}
	}
}

// patience is how long a test waits for what is to come at once, on a machine that
// has much else to do.
const patience = time.Minute

// soon waits until what other processes do has come to be, and reports whether it
// has within the time.
func soon(within time.Duration, holds func() bool) bool {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for timeout := time.After(within); ; {
		if holds() {
			return true
		}
		select {
		case <-ticker.C:
		case <-timeout:
			return holds()
		}
	}
}

// waitFor polls a log for a line that another process writes.
func waitFor(t *testing.T, log fmt.Stringer, part string) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	timeout := time.After(patience)
	for !strings.Contains(log.String(), part) {
		select {
		case <-ticker.C:
		case <-timeout:
			t.Fatalf("the log never had %q:\n%s", part, log)
		}
	}
}

func TestIdleServerEndsWithinASecond(t *testing.T) {
	p, _ := startProcess(t, nil, "--sandbox")
	id := p.call("generate_video", map[string]any{"prompt": "tides"}).Result.StructuredContent["request_id"]
	wait := p.begin("wait_for_video", map[string]any{"request_id": id})
	begin := time.Now()
	_ = p.in.Close()
	// A wait ends with an ordinary answer: the client may have been a script
	// that wrote everything at once.
	if r := p.await(wait); r.Result.StructuredContent["wait_expired"] != true {
		t.Errorf("got %s", r.text())
	}
	if err := <-p.ended; err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 30*time.Second { // the wait would last 45 s; machines are noisy
		t.Errorf("ending took %s", took)
	}
}

func TestWaitsInFlightDoNotDelayOtherCalls(t *testing.T) {
	for _, waits := range []int{5, 50, 70} {
		p := start(t, nil, "--sandbox", "--sandbox-duration=10m")
		id := p.call("generate_video", map[string]any{"prompt": "tides"}).Result.StructuredContent["request_id"]
		for range waits {
			p.begin("wait_for_video", map[string]any{"request_id": id, "timeout_seconds": 50})
		}
		begin := time.Now()
		if r := p.call("get_status", map[string]any{"request_id": id}); r.Result.IsError {
			t.Errorf("got %s", r.text())
		}
		if took := time.Since(begin); took > 20*time.Second { // of the 50 that the waits take
			t.Errorf("get_status behind %d waits took %s", waits, took)
		}
		if err := p.end(); err != nil {
			t.Error(err)
		}
	}
}

// arrows are the imports of our own packages that each package may have.
var arrows = map[string][]string{
	"pixazo-mcp":                  {"internal/text", "internal/wire", "internal/identity", "internal/keeper", "internal/attach", "internal/config", "internal/demo", "internal/download", "internal/journal", "internal/setup", "internal/stack", "internal/stdio", "internal/web", "pixazo", "internal/jobs", "pixazo/sandbox", "resources", "tools"},
	"pixazo-mcp/internal/attach":  {"internal/disk", "internal/text", "pixazo"},
	"pixazo-mcp/internal/config":  {"internal/disk", "internal/text", "pixazo"}, // for Key, which keeps itself out of print
	"pixazo-mcp/internal/disk":    {},
	"pixazo-mcp/internal/demo":    {"internal/disk", "internal/text"},
	"pixazo-mcp/internal/setup":   {"internal/config", "internal/disk", "internal/text", "pixazo"},
	"pixazo-mcp/internal/text":    {},
	"pixazo-mcp/internal/keeper":  {"internal/jobs", "internal/journal", "internal/text", "pixazo"},
	"pixazo-mcp/internal/journal": {"internal/disk", "internal/text", "pixazo"},
	"pixazo-mcp/internal/stack":   {},
	"pixazo-mcp/internal/stdio":   {"internal/stack", "internal/text", "internal/wire"},
	"pixazo-mcp/internal/web":     {"internal/identity", "internal/journal", "internal/text", "internal/wire", "pixazo"},
	"pixazo-mcp/internal/wire":    {"internal/stack", "internal/text"},
	"pixazo-mcp/e2e/bare":         {},
	"pixazo-mcp/e2e/conformance":  {"internal/journal", "internal/web", "internal/wire"},
	"pixazo-mcp/packaging/mcpb":   {},
	"pixazo-mcp/pixazo":           {"internal/text"},
	"pixazo-mcp/internal/jobs":    {"internal/text", "pixazo", "internal/journal"},
	"pixazo-mcp/pixazo/sandbox":   {},
	"pixazo-mcp/resources":        {"internal/text", "pixazo", "internal/jobs"},
	"pixazo-mcp/tools":            {"internal/text", "internal/attach", "internal/download", "pixazo", "internal/jobs"},
	"pixazo-mcp/tools/schemagen":  {"internal/text", "tools"},

	"pixazo-mcp/internal/identity": {"internal/disk", "internal/text", "pixazo"},
	"pixazo-mcp/internal/download": {"internal/disk", "internal/text", "pixazo"},

	"pixazo-mcp/e2e/disktest": {},
	"pixazo-mcp/e2e/pgtest":   {},
}

func TestArrows(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}}: {{join .Imports \" \"}}", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	module, err := exec.Command("go", "list", "-m").Output() // packaging/module.sh may have changed it
	if err != nil {
		t.Fatal(err)
	}
	out = bytes.ReplaceAll(out, bytes.TrimSpace(module), []byte("pixazo-mcp"))
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		pkg, imports, _ := strings.Cut(strings.TrimSpace(line), ":")
		seen[pkg] = true
		allowed, known := arrows[pkg]
		if !known {
			t.Errorf("%s is not in the table of arrows", pkg)
		}
		for imported := range strings.FieldsSeq(imports) {
			if name, ours := strings.CutPrefix(imported, "pixazo-mcp/"); ours && !slices.Contains(allowed, name) {
				t.Errorf("%s imports %s", pkg, name)
			}
		}
	}
	for pkg := range maps.Keys(arrows) {
		if !seen[pkg] {
			t.Errorf("%s is in the table of arrows and does not exist", pkg)
		}
	}
}
