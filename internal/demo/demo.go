// Package demo makes one video the way an MCP client does: it starts the
// server as a child, calls its tools over stdio, prints what it calls, and
// saves the video.
//
// Rules of its output:
//   - "→" is a call, "←" its answer; what is indented belongs to the line above.
//   - The request_id is printed as soon as it is known, and every way out
//     after that which leaves a video behind says how to get back to it.
//   - What the server or the gateway said is one cleaned line; without a
//     terminal there are no escapes and no carriage returns.
//
// The request is in this file, the child in server.go and the output in
// screen.go.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

// defaultPrompt is short, for with Live each second of video is paid for.
const defaultPrompt = "A friendly presenter explains in 15 seconds how to brew a good cup of green tea, in a bright kitchen, calm and cheerful."

const (
	startTimeout = 30 * time.Second // for the child to introduce itself
	// submitGrace is how long an interrupted demo goes on listening for the
	// answer to its submission. The server gives the gateway 60 s.
	submitGrace = 60 * time.Second
	exitGrace   = 5 * time.Second // for the child to end by itself
)

// Options says what to run and where to show it.
type Options struct {
	Command []string // the server: program and arguments
	Env     []string // all of its environment; nil means this process's own
	Prompt  string   // empty: the demo has one of its own
	Live    bool     // Command talks to the gateway, which costs money

	// OutputDir is where Command saves videos; it is made when missing.
	OutputDir string

	Stdout   io.Writer // the story
	Stderr   io.Writer // the server's last words, if it fails
	Terminal bool      // Stdout is a terminal: progress is animated
}

// Run makes one video and saves it. It returns once the child has ended. An
// error means that no video was saved; if ctx ended, it wraps ctx's error, and
// the video goes on without the demo.
func Run(ctx context.Context, o Options) error {
	d := &demo{Options: o, screen: &screen{out: o.Stdout, terminal: o.Terminal}}
	// The child's messages are read by a goroutine that may outlive this call.
	defer d.screen.end()
	if err := d.run(ctx); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// demo is one Run.
type demo struct {
	Options
	*screen
	server    *server
	requestID string // once known
	pending   bool   // a video may be under way or done, and is not saved
}

func (d *demo) run(ctx context.Context) error {
	// Whatever can be wrong with the folder comes out before anything is paid.
	if d.OutputDir == "" {
		return errors.New("no folder to save the video in; name one with --output-dir")
	}
	if err := tryDir(d.OutputDir); err != nil {
		return fmt.Errorf("output folder: %w; name another with --output-dir", err)
	}
	if d.Live {
		d.line("Pixazo demo with the real gateway: this spends credits of your account.")
	} else {
		d.line("Pixazo demo in the sandbox: no key, no cost, and a sample clip instead of a real video.")
	}

	var err error
	if d.server, err = startServer(d.Command, d.Env); err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	err = d.makeVideo(ctx)
	exit := d.server.close(exitGrace)
	if err == nil {
		return nil
	}
	_, broken := errors.AsType[*serverError](err)
	stopped := ctx.Err() != nil && (broken || errors.Is(err, ctx.Err()))
	d.explain(stopped)
	if stopped {
		return fmt.Errorf("stopped before the video was saved: %w", ctx.Err())
	}
	if broken {
		d.server.stderr.print(d.Stderr)
	}
	if errors.Is(err, errEnded) && exit != nil {
		return fmt.Errorf("%w (%w)", err, exit)
	}
	return err
}

// tryDir makes the folder dir where it is missing, and a file in it for a
// moment, to see that it can.
func tryDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".pixazo-*.part")
	if err != nil {
		return err
	}
	_ = f.Close()
	return os.Remove(f.Name())
}

// makeVideo tells the whole story, from the handshake to the saved file.
func (d *demo) makeVideo(ctx context.Context) error {
	hello, err := d.server.initialize(ctx, d.heard)
	if err != nil {
		return err
	}
	d.line("Started %s %s, which speaks MCP %s.\n", text.Clean(hello.ServerInfo.Name, 60), text.Clean(hello.ServerInfo.Version, 40), text.Clean(hello.ProtocolVersion, 20))

	job, err := d.submit(ctx)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err // the interrupt that came while submitting
	}
	if !job.Done {
		if job, err = d.wait(ctx, job); err != nil {
			return err
		}
	}
	if len(job.VideoURLs) == 0 {
		d.pending = job.Status == string(pixazo.Completed) // its URL may be late
		return fmt.Errorf("the job ended as %s, without the address of a video", job.Status)
	}
	for _, link := range job.VideoURLs {
		d.line("  %s", text.Clean(link, 8000))
	}

	saved, err := d.save(ctx)
	if err != nil {
		return err
	}
	d.pending = false
	d.line("\nSaved %.1f MB:\n  %s\n", float64(saved.Bytes)/1e6, text.Clean(saved.SavedPath, 4000))
	d.line("To make videos from your assistant, add this server to your MCP client; README.md shows how.")
	if !d.Live {
		d.line("To make a real one here, which spends credits: pixazo-mcp demo --live")
	}
	return nil
}

// job is what the demo reads of a tool's structuredContent.
type job struct {
	RequestID      string   `json:"request_id"`
	Status         string   `json:"status"`
	Done           bool     `json:"done"`
	VideoURLs      []string `json:"video_urls"`
	Error          string   `json:"error"`
	ElapsedSeconds int      `json:"elapsed_seconds"`
	WaitExpired    bool     `json:"wait_expired"`
	SavedPath      string   `json:"saved_path"`
	Bytes          int64    `json:"bytes"`
}

// submit calls generate_video. Once the call is made, the end of ctx only
// bounds it: the answer names a video that is paid for.
func (d *demo) submit(ctx context.Context) (job, error) {
	if err := ctx.Err(); err != nil {
		return job{}, err
	}
	patient, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	stop := context.AfterFunc(ctx, func() {
		d.line("  Stopping as soon as the submission is answered, so that the video is not lost. A second interrupt stops at once.")
		time.AfterFunc(submitGrace, giveUp)
	})
	defer stop()

	prompt := d.Prompt
	if prompt == "" {
		prompt = defaultPrompt
	}
	arguments := map[string]any{"prompt": prompt}
	if !d.Live {
		arguments["allow_duplicate"] = true // the clip of an earlier demo went with its sandbox
	}
	d.pending = true
	j, err := d.call(patient, "generate_video", arguments)
	if err != nil {
		return j, err
	}
	if err := pixazo.CheckRequestID(j.RequestID); err != nil {
		return j, fmt.Errorf("generate_video: %w", err)
	}
	d.requestID = j.RequestID
	d.line("← %s, request_id %s", j.Status, j.RequestID)
	if j.Error != "" {
		d.line("  %s", text.Clean(j.Error, 1000))
	}
	return j, nil
}

// wait calls wait_for_video until the job is done. Only ctx bounds it.
func (d *demo) wait(ctx context.Context, j job) (job, error) {
	next, err := d.patiently(ctx, "wait_for_video", j.Status)
	if err != nil {
		return j, err
	}
	d.line("← %s after %d s", next.Status, next.ElapsedSeconds)
	return next, nil
}

// save calls download_video until the file is whole.
func (d *demo) save(ctx context.Context) (job, error) {
	saved, err := d.patiently(ctx, "download_video", "Downloading")
	if err == nil && saved.SavedPath == "" {
		err = errors.New("download_video answered without the path of a file")
	}
	return saved, err
}

// patiently calls a tool about the job, with status in the bar, until its wait
// does not expire.
func (d *demo) patiently(ctx context.Context, tool, status string) (job, error) {
	d.spin(status)
	defer d.hide()
	for {
		began := time.Now()
		next, err := d.call(ctx, tool, map[string]any{"request_id": d.requestID})
		if err != nil {
			return job{}, err
		}
		if !next.WaitExpired {
			d.hide()
			return next, nil
		}
		d.line("← %s, not done yet: asking again", next.Status)
		// A server that is busy or about to end answers without waiting.
		if time.Since(began) < time.Second {
			select {
			case <-ctx.Done():
				return job{}, ctx.Err()
			case <-time.After(time.Second):
			}
		}
	}
}

// call prints a tool call and makes it. An error result is printed and becomes
// an error with its code.
func (d *demo) call(ctx context.Context, tool string, arguments map[string]any) (job, error) {
	var shown []string
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(arguments))) { // the prompt first
		value := arguments[name]
		if s, ok := value.(string); ok {
			value = strconv.Quote(text.Clean(s, 80))
		}
		shown = append(shown, fmt.Sprintf("%q: %v", name, value))
	}
	d.line("→ %s {%s}", tool, strings.Join(shown, ", "))
	result, err := d.server.call(ctx, tool, arguments)
	if err != nil {
		return job{}, err
	}
	if result.IsError {
		said := text.Clean(texts(result), 4000)
		d.hide()
		d.line("← error: %s", said)
		code, _, _ := strings.Cut(said, ":")
		// The text says what has become of the video, unless this was one of
		// several questions about it.
		d.pending = d.requestID != "" && code != string(pixazo.VideoFailed)
		return job{}, fmt.Errorf("%s answered with an error: %s", tool, text.Clean(code, 80))
	}
	var j job
	encoded, err := json.Marshal(result.StructuredContent)
	if err == nil {
		err = json.Unmarshal(encoded, &j)
	}
	if err != nil {
		return job{}, fmt.Errorf("%s: read answer: %w", tool, err)
	}
	if j.Status = text.Clean(j.Status, 40); j.Status == "" {
		j.Status = "no status yet"
	}
	return j, nil
}

// texts joins the text of a result.
func texts(result *mcp.CallToolResult) string {
	var all []string
	for _, content := range result.Content {
		if text, ok := content.(mcp.TextContent); ok {
			all = append(all, text.Text)
		}
	}
	return strings.Join(all, " ")
}

// heard shows a progress message: of a job, which begins with its status, or of
// a download.
func (d *demo) heard(message string) {
	message = text.Clean(message, 100)
	status, _, _ := strings.Cut(message, ",")
	d.progress(status, message)
}

// explain says what becomes of a video that is not saved, after an interrupt
// or an error.
func (d *demo) explain(stopped bool) {
	switch {
	case stopped && !d.pending:
		d.line("\nStopped. Nothing was submitted.")
	case stopped:
		d.line("\nStopped. The video goes on without the demo.")
	}
	sandboxed := ""
	if !d.Live {
		sandboxed = " of a server in the sandbox"
	}
	switch {
	case d.pending && d.requestID != "":
		d.line("To get back to the video, call get_status%s with request_id %s", sandboxed, d.requestID)
	case d.pending:
		d.line("generate_video was not answered: the video may be under way all the same, so look for it before you make another.")
	}
}
