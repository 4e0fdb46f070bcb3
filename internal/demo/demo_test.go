// These tests run the demo against servers that play a part. That it makes a
// video with the real one is tested with the program.

package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// part is what a tool of a server answers.
type part func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error)

// play returns a server with these tools for Options.
func play(tools map[string]part) func(context.Context, io.Reader, io.Writer) error {
	return func(ctx context.Context, in io.Reader, out io.Writer) error {
		srv := server.NewMCPServer("\x1b[2Jplayer\r", "\x071")
		for name, answer := range tools {
			srv.AddTool(mcp.NewTool(name), server.ToolHandlerFunc(answer))
		}
		return server.NewStdioServer(srv).Listen(ctx, in, out)
	}
}

func answer(result job) part {
	return func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultStructured(result, ""), nil
	}
}

func fail(message string) part {
	return func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultError(message), nil
	}
}

const id = "heygen-video-agent_1"

// good are tools that make a video, saved as a file of the test's.
func good(t *testing.T) map[string]part {
	saved := filepath.Join(t.TempDir(), "video.mp4")
	if err := os.WriteFile(saved, make([]byte, 2_500_000), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]part{
		"generate_video": answer(job{RequestID: id, Status: "QUEUED"}),
		"wait_for_video": answer(job{RequestID: id, Status: "COMPLETED", Done: true, ElapsedSeconds: 42, VideoURLs: []string{"https://media.example/video.mp4"}}),
		"download_video": answer(job{RequestID: id, Status: "COMPLETED", Done: true, SavedPath: saved}),
	}
}

// checkPlain requires lines of plain text.
func checkPlain(t *testing.T, out string) {
	t.Helper()
	for _, r := range out {
		if r != '\n' && !unicode.IsGraphic(r) {
			t.Errorf("the output holds %q:\n%q", r, out)
			return
		}
	}
}

func checkContains(t *testing.T, out string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(out, word) {
			t.Errorf("the output lacks %q:\n%s", word, out)
		}
	}
}

func TestTellsTheWholeStory(t *testing.T) {
	tools := good(t)
	dir := filepath.Join(t.TempDir(), "new", "folder")
	var out bytes.Buffer
	o := Options{Serve: play(tools), OutputDir: dir, Stdout: &out, Prompt: "A presenter " + strings.Repeat("very ", 100) + "slowly says \"hello\"\nand waves\x1b[31m."}
	if err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	checkPlain(t, out.String())
	checkContains(t, out.String(), "sandbox: no key, no cost", "Started [2Jplayer 1, which speaks MCP ", `→ generate_video {"allow_duplicate":true,"prompt":"A presenter very`, "very…\n",
		"← QUEUED, request_id "+id+"\n", `→ wait_for_video {"request_id":"`+id+`"}`, "← COMPLETED after 42 s\n  https://media.example/video.mp4\n",
		"Saved 2.5 MB:\n  ", "README.md", "demo --live")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("the output folder has %v, %v", entries, err)
	}
}

func TestLiveDemoSaysThatItCosts(t *testing.T) {
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Serve: play(good(t)), OutputDir: t.TempDir(), Stdout: &out, Live: true}); err != nil {
		t.Fatal(err)
	}
	checkContains(t, out.String(), "this spends credits of your account", `→ generate_video {"prompt":"A friendly presenter`)
	if strings.Contains(out.String(), "allow_duplicate") || strings.Contains(out.String(), "sandbox") {
		t.Errorf("got %s", out.String())
	}
}

func TestAsksAgainWhileTheWaitExpires(t *testing.T) {
	tools, calls := good(t), 0
	done := tools["wait_for_video"]
	tools["wait_for_video"] = func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if calls++; calls == 1 {
			return answer(job{Status: "PROCESSING", WaitExpired: true})(ctx, req)
		}
		return done(ctx, req)
	}
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Serve: play(tools), OutputDir: t.TempDir(), Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	checkContains(t, out.String(), "← PROCESSING, not done yet: asking again\n→ wait_for_video", "Saved")
}

func TestFinishedVideoIsNotWaitedFor(t *testing.T) {
	tools := good(t)
	tools["generate_video"], tools["wait_for_video"] = tools["wait_for_video"], fail("nobody should call this")
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Serve: play(tools), OutputDir: t.TempDir(), Stdout: &out}); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestProgressIsALineForEachStatus(t *testing.T) {
	var out bytes.Buffer
	d := demo{Options: Options{Stdout: &out}}
	d.line("→ %s", "call")
	for _, message := range []string{"QUEUED, 0 s", "QUEUED, 2 s", "PROCESSING, 5 s"} {
		d.progress(message)
	}
	d.line("← answer")
	if want := "→ call\n  QUEUED, 0 s\n  PROCESSING, 5 s\n← answer\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestFailures(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const back = "To get back to the video, call get_status of a server in the sandbox with request_id " + id
	for _, tt := range []struct {
		name    string
		change  func(*Options, map[string]part)
		wantErr string
		want    []string // in the output
		without string   // not in the output
	}{
		{"failed job", func(_ *Options, p map[string]part) {
			p["wait_for_video"] = fail("video_failed: the \x1b[5mgateway\u202e said:\r\n no.")
		}, "wait_for_video answered with an error: video_failed", []string{"← error: video_failed: the [5mgateway said: no.\n"}, back},
		{"refused submission", func(_ *Options, p map[string]part) { p["generate_video"] = fail("out_of_credits: none left.") },
			"generate_video answered with an error: out_of_credits", []string{"← error: out_of_credits: none left.\n", "\nNothing was submitted.\n"}, "get back"},
		{"uncertain submission", func(_ *Options, p map[string]part) { p["generate_video"] = fail("submission_uncertain: who knows.") },
			"generate_video answered with an error: submission_uncertain", []string{"may have been accepted", "list --sandbox"}, "Nothing was"},
		{"no answer in time", func(_ *Options, p map[string]part) { p["generate_video"] = answer(job{Status: "SUBMITTING"}) },
			"did not answer in time", []string{"← SUBMITTING, without a request_id", "may have been accepted"}, "wait_for_video"},
		{"refused wait", func(_ *Options, p map[string]part) { p["wait_for_video"] = fail("unauthorized: no.") }, "unauthorized", []string{back}, ""},
		{"refused download", func(_ *Options, p map[string]part) { p["download_video"] = fail("download_failed: no.") }, "download_failed", []string{back}, ""},
		{"no such file", func(_ *Options, p map[string]part) { p["download_video"] = answer(job{SavedPath: file + "-not"}) }, "download_video: ", []string{back}, ""},
		{"missing tool", func(_ *Options, p map[string]part) { delete(p, "generate_video") }, "generate_video: ", nil, "get back"},
		{"no output folder", func(o *Options, _ map[string]part) { o.OutputDir = "" }, "--output-dir", nil, "generate_video"},
		{"output folder is a file", func(o *Options, _ map[string]part) { o.OutputDir = file }, "--output-dir", nil, "generate_video"},
		{"server that can't start", func(o *Options, _ map[string]part) {
			o.Serve = func(context.Context, io.Reader, io.Writer) error { return errors.New("no port is free") }
		}, "demo: no port is free", nil, "generate_video"},
		{"server that ends", func(o *Options, _ map[string]part) {
			o.Serve = func(context.Context, io.Reader, io.Writer) error { return nil }
		}, "demo: ", nil, "generate_video"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tools := good(t)
			var out bytes.Buffer
			o := Options{Serve: play(tools), OutputDir: t.TempDir(), Stdout: &out}
			tt.change(&o, tools)
			err := Run(t.Context(), o)
			if err == nil || !strings.HasPrefix(err.Error(), "demo: ") || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error is %v, want one with %q", err, tt.wantErr)
			}
			checkPlain(t, out.String()+fmt.Sprint(err))
			checkContains(t, out.String(), tt.want...)
			if tt.without != "" && strings.Contains(out.String(), tt.without) {
				t.Errorf("the output holds %q:\n%s", tt.without, out.String())
			}
		})
	}
}

// trigger is a buffer that calls do when word has been written to it.
type trigger struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	word string
	do   func()
	once sync.Once
}

func (w *trigger) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.buf.Write(p)
	if strings.Contains(w.buf.String(), w.word) {
		w.once.Do(w.do)
	}
	return n, err
}

func TestInterruptLosesNoVideo(t *testing.T) {
	for _, tt := range []struct {
		name, at string
		want     []string
	}{
		{"before the submission", "Pixazo demo", []string{"Stopped. Nothing was submitted."}},
		{"while submitting, without an answer", "→ generate_video", []string{"← SUBMITTING, without", "Stopped. The request may have been accepted", "list --sandbox"}},
		{"while submitting, uncertain", "→ generate_video", []string{"Stopped. The request may have been accepted", "list --sandbox"}},
		{"while submitting, refused", "→ generate_video", []string{"Stopped. Nothing was submitted."}},
		{"while submitting", "→ generate_video", []string{"Stopping as soon as", "← QUEUED, request_id " + id, "The video goes on", "get_status"}},
		{"while waiting", "→ wait_for_video", []string{"request_id " + id, "The video goes on", "get_status"}},
		{"while saving", "→ download_video", []string{"request_id " + id, "The video goes on", "get_status"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// A bound for when the interrupt is missed.
			ctx, stop := context.WithTimeout(t.Context(), time.Minute)
			defer stop()
			interrupted := make(chan struct{})
			out := &trigger{word: tt.at, do: func() { stop(); close(interrupted) }}
			tools := good(t)
			switch tt.name {
			case "while submitting, without an answer":
				tools["generate_video"] = answer(job{Status: "SUBMITTING"})
			case "while submitting, uncertain":
				tools["generate_video"] = fail("submission_uncertain: who knows.")
			case "while submitting, refused":
				tools["generate_video"] = fail("out_of_credits: none left.")
			}
			submit, ended := tools["generate_video"], false
			tools["generate_video"] = func(ctx context.Context, req mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				if strings.HasPrefix(tt.name, "while submitting") {
					<-interrupted
					if ctx.Err() != nil {
						t.Error("the submission was cut off")
					}
				}
				return submit(ctx, req)
			}
			patient := func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			if tt.name == "while waiting" {
				tools["wait_for_video"] = patient
			} else if tt.name == "while saving" {
				tools["download_video"] = patient
			}
			serve := play(tools)
			err := Run(ctx, Options{OutputDir: t.TempDir(), Stdout: out, Serve: func(ctx context.Context, in io.Reader, out io.Writer) error {
				defer func() { ended = true }()
				return serve(ctx, in, out)
			}})
			if !errors.Is(err, context.Canceled) || !ended {
				t.Errorf("error is %v, want context.Canceled; the server ended: %t", err, ended)
			}
			checkContains(t, out.buf.String(), tt.want...)
			checkPlain(t, out.buf.String())
		})
	}
}
