// These tests run the demo against the real program, built once, and against
// children that misbehave, which are this test binary in another role.

package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// roleVariable makes this test binary a child with that role.
const roleVariable = "PIXAZO_DEMO_TEST_ROLE"

var program string // the built pixazo-mcp

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		playRole(role)
	}
	dir, err := os.MkdirTemp("", "pixazo-demo-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "pixazo-mcp")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	build := exec.Command("go", "build", "-o", program, "pixazo-mcp")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// playRole is the whole program of a misbehaving child.
func playRole(role string) {
	switch role {
	case "exit":
		fmt.Fprintln(os.Stderr, "first "+strings.Repeat("noise ", tailSize))
		fmt.Fprintln(os.Stderr, "\x1b[31mno state folder\x1b[0m")
		os.Exit(3)
	case "leave": // ends in the middle of generate_video
		srv := mcpserver.NewMCPServer("leaver", "1")
		srv.AddTool(mcp.NewTool("generate_video"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			fmt.Fprintln(os.Stderr, "out of memory")
			os.Exit(4)
			return nil, nil
		})
		_ = mcpserver.ServeStdio(srv)
	case "stubborn": // answers nothing and ignores the end of its input
		interrupted := make(chan os.Signal, 1)
		signal.Notify(interrupted, os.Interrupt)
		<-interrupted
	case "hostile":
		srv := mcpserver.NewMCPServer("\x1b[2Jserver\r", "\x07"+"1")
		srv.AddTool(mcp.NewTool("generate_video"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultStructured(job{RequestID: "abc", Status: "QUE\x1b[31mUED\r\n", Error: "\x1b]0;title\x07"}, ""), nil
		})
		srv.AddTool(mcp.NewTool("wait_for_video"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultError("gateway\x1b[5m_error: \u202ewords\r\n\x00."), nil
		})
		_ = mcpserver.ServeStdio(srv)
	}
	os.Exit(0)
}

// environment is for children: a home of its own and none of our settings.
func environment(t *testing.T, more ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(line string) bool { return strings.HasPrefix(line, "PIXAZO_") })
	home := t.TempDir()
	return append(append(env, "HOME="+home, "USERPROFILE="+home, "XDG_STATE_HOME="+home), more...)
}

// role is the command and the environment of a misbehaving child.
func role(t *testing.T, name string) (command, env []string) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{self}, environment(t, roleVariable+"="+name)
}

// options are for a demo with the real program.
func options(t *testing.T, out, errs *bytes.Buffer) Options {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	return Options{
		Command:   []string{program, "serve", "--sandbox", "--sandbox-duration=1s"},
		Env:       environment(t, "PIXAZO_OUTPUT_DIR="+dir),
		OutputDir: dir,
		Stdout:    out,
		Stderr:    errs,
	}
}

// checkPlain requires lines of plain text.
func checkPlain(t *testing.T, out string) {
	t.Helper()
	for _, r := range out {
		if r != '\n' && !unicode.IsGraphic(r) {
			t.Errorf("output holds %q:\n%q", r, out)
			return
		}
	}
}

func checkContains(t *testing.T, out string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(out, word) {
			t.Errorf("output lacks %q:\n%s", word, out)
		}
	}
}

var savedPath = regexp.MustCompile(`(?m)^Saved [0-9.]+ MB:\n  (.*\.mp4)$`)

func checkSaved(t *testing.T, out string) {
	t.Helper()
	match := savedPath.FindStringSubmatch(out)
	if match == nil {
		t.Fatalf("output names no file:\n%s", out)
	}
	if !filepath.IsAbs(match[1]) {
		t.Errorf("path %s is not absolute", match[1])
	}
	video, err := os.ReadFile(match[1])
	if err != nil {
		t.Fatal(err)
	}
	if len(video) < 10_000 || string(video[4:8]) != "ftyp" {
		t.Errorf("saved %d bytes that begin with %q, want an MP4", len(video), video[:min(12, len(video))])
	}
	if files, _ := os.ReadDir(filepath.Dir(match[1])); len(files) != 1 {
		t.Errorf("folder holds %v, want the video only", files)
	}
}

func TestSavesAVideo(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	o := options(t, &out, &errs)
	o.Prompt = "A presenter " + strings.Repeat("very ", 100) + "slowly says \"hello\"\nand waves\x1b[31m."
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	checkSaved(t, out.String())
	checkPlain(t, out.String())
	checkContains(t, out.String(), "sandbox: no key, no cost", "Started pixazo-mcp ", `→ generate_video {"prompt": "A presenter very`,
		"← QUEUED, request_id heygen-video-agent_", `→ wait_for_video {"request_id": "heygen-video-agent_`, "← COMPLETED after", "README.md")
	if errs.Len() > 0 {
		t.Errorf("stderr holds %q", errs.String())
	}
}

func TestAnimatesOnATerminal(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	o := options(t, &out, &errs)
	o.Terminal = true
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	checkContains(t, out.String(), "| QUEUED", "| Downloading", "[0s]")
	// What is left to see once everything between carriage returns is gone.
	seen := regexp.MustCompile(`(?m)^.*\r`).ReplaceAllString(out.String(), "")
	checkPlain(t, seen)
	checkSaved(t, seen)
}

func TestAsksAgainWhileTheWaitExpires(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	o := options(t, &out, &errs)
	o.Command = []string{program, "serve", "--sandbox", "--sandbox-duration=2500ms", "--max-wait=1s"}
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	checkSaved(t, out.String())
	checkContains(t, out.String(), "← PROCESSING, not done yet: asking again")
	if n := strings.Count(out.String(), "→ wait_for_video"); n < 2 || n > 4 {
		t.Errorf("wait_for_video was called %d times, want about 3", n)
	}
}

func TestSkipsTheWaitForAFinishedVideo(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	o := options(t, &out, &errs)
	o.Prompt = "sandbox:finished"
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	checkSaved(t, out.String())
	if strings.Contains(out.String(), "→ wait_for_video") {
		t.Errorf("waited for a finished video:\n%s", out.String())
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		change  func(*Options)
		wantErr string
		want    []string // in the output
		without string   // not in the output
	}{
		{"failed job", func(o *Options) { o.Prompt = "sandbox:failed" }, "video_failed",
			[]string{"request_id heygen-video-agent_", "← error: video_failed:", "could not render"}, "To get back to the video"},
		{"hostile words", func(o *Options) { o.Prompt = "sandbox:hostile" }, "video_failed",
			[]string{"← error: video_failed:"}, ""},
		{"refused submission", func(o *Options) { o.Prompt = "sandbox:402" }, "out_of_credits",
			[]string{"← error: out_of_credits:"}, "under way"},
		{"no key", func(o *Options) { o.Command = []string{program, "serve"}; o.Live = true }, "missing_api_key",
			[]string{"spends credits", "← error: missing_api_key:"}, "sandbox: no key"},
		{"no output folder", func(o *Options) { o.OutputDir = "" }, "--output-dir", nil, "generate_video"},
		{"output folder is a file", func(o *Options) { o.OutputDir = file }, "--output-dir", nil, "generate_video"},
		{"wrong flag", func(o *Options) { o.Command = []string{program, "serve", "--max-wait=1h"} }, "exit status 1", nil, "generate_video"},
		{"no program", func(o *Options) { o.Command = []string{file + "-not"} }, "start server", nil, "generate_video"},
		{"no command", func(o *Options) { o.Command = nil }, "start server", nil, "generate_video"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			o := options(t, &out, &errs)
			tt.change(&o)
			err := Run(t.Context(), o)
			if err == nil || !strings.HasPrefix(err.Error(), "demo: ") || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error is %v, want one with %q", err, tt.wantErr)
			}
			checkContains(t, out.String(), tt.want...)
			checkPlain(t, out.String())
			if tt.without != "" && strings.Contains(out.String(), tt.without) {
				t.Errorf("output holds %q:\n%s", tt.without, out.String())
			}
		})
	}
}

func TestServerThatExitsAtOnceHasItsLastWords(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	o := options(t, &out, &errs)
	o.Command, o.Env = role(t, "exit")
	err := Run(t.Context(), o)
	if want := "demo: start server: the server ended without an answer (exit status 3)"; err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
	if want := "The server's last words:\n  [31mno state folder[0m\n"; errs.String() != want {
		t.Errorf("stderr is %q, want %q", errs.String(), want)
	}
}

func TestServerThatLeavesWhileSubmittingIsToldAsUncertain(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	o := options(t, &out, &errs)
	o.Command, o.Env = role(t, "leave")
	err := Run(t.Context(), o)
	if want := "demo: generate_video: the server ended without an answer (exit status 4)"; err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
	checkContains(t, out.String(), "may be under way")
	checkContains(t, errs.String(), "out of memory")
}

func TestWordsOfAHostileServerAreCleaned(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	o := options(t, &out, &errs)
	o.Command, o.Env = role(t, "hostile")
	err := Run(t.Context(), o)
	if err == nil {
		t.Fatal("no error")
	}
	checkPlain(t, out.String()+err.Error())
	checkContains(t, out.String(), "request_id abc", "To get back to the video, call get_status of a server in the sandbox with request_id abc")
}

// trigger is a buffer that calls do when word has been written to it. The
// buffer is not embedded: io.WriteString would pass Write by.
type trigger struct {
	buf  bytes.Buffer
	word string
	do   func()
	once sync.Once
}

func (w *trigger) Write(p []byte) (int, error) {
	n, err := w.buf.Write(p)
	if strings.Contains(w.String(), w.word) {
		w.once.Do(w.do)
	}
	return n, err
}

func (w *trigger) String() string { return w.buf.String() }

func TestInterrupt(t *testing.T) {
	t.Parallel()
	stopped := errors.New("stopped")
	tests := []struct {
		name, prompt, at string
		want             []string
	}{
		{"before the submission", "hello", "Pixazo demo", []string{"Nothing was submitted"}},
		// The answer comes after 3 s.
		{"while submitting", "sandbox:slow", "→ generate_video", []string{"Stopping as soon as", "request_id heygen-video-agent_", "The video goes on", "get_status"}},
		{"while waiting", "hello", "→ wait_for_video", []string{"request_id heygen-video-agent_", "The video goes on", "get_status"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// A bound for when the interrupt is missed.
			bounded, release := context.WithTimeout(t.Context(), time.Minute)
			defer release()
			ctx, cancel := context.WithCancelCause(bounded)
			var errs bytes.Buffer
			out := &trigger{word: tt.at, do: func() { cancel(stopped) }}
			o := options(t, nil, &errs)
			o.Stdout, o.Prompt = out, tt.prompt
			o.Command = []string{program, "serve", "--sandbox", "--sandbox-duration=1h"}
			pidFile := filepath.Join(t.TempDir(), "pid")
			if runtime.GOOS != "windows" {
				o.Command = append([]string{"/bin/sh", "-c", `echo $$ >"$0"; exec "$@"`, pidFile}, o.Command...)
			}
			err := Run(ctx, o)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error is %v, want context.Canceled", err)
			}
			checkContains(t, out.String(), tt.want...)
			checkPlain(t, out.String())
			if errs.Len() > 0 {
				t.Errorf("stderr holds %q", errs.String())
			}
			if runtime.GOOS != "windows" {
				checkGone(t, pidFile)
			}
		})
	}
}

// checkGone requires that the process whose id is in the file has ended.
func checkGone(t *testing.T, pidFile string) {
	t.Helper()
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return
	}
	if err := process.Signal(syscall.Signal(0)); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("process %d is still there (%v)", pid, err)
	}
}

func TestStubbornServerIsKilled(t *testing.T) {
	t.Parallel()
	s, err := startServer(role(t, "stubborn"))
	if err != nil {
		t.Fatal(err)
	}
	err = s.close(10 * time.Millisecond)
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Success() {
		t.Errorf("the server ended with %v, want to be killed", err)
	}
}
