// Package demo makes one video as an MCP client does: it calls the tools of a server
// over a pair of pipes, prints the calls, and saves the video.
//
// Rules of its output:
//   - "→" is a call, "←" its answer; indented lines belong to the line above.
//   - The request_id is printed as soon as it is known. If the demo ends before the video
//     is saved, it says how to get back to the video.
//   - Words of the server and the gateway are cleaned and on one line.
package demo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/disk"
	"pixazo-mcp/internal/text"
)

// defaultPrompt asks for a short video, since with Live each second is paid for.
const defaultPrompt = "A friendly presenter explains in 15 seconds how to brew a good cup of green tea, in a bright kitchen, calm and cheerful."

// Options says what to run and where to show it.
type Options struct {
	// Serve serves MCP until in ends. The end of ctx cuts calls off.
	Serve  func(ctx context.Context, in io.Reader, out io.Writer) error
	Prompt string // "" means defaultPrompt
	Live   bool   // Serve talks to the gateway, which costs money

	// OutputDir is where Serve saves videos; it is made when missing.
	OutputDir string

	Stdout io.Writer
}

// Run makes one video, saves it, and returns when the server has ended. An error means
// that no video was saved. If ctx ended, the error wraps ctx's, and a video that was
// submitted is still being made.
func Run(ctx context.Context, o Options) error {
	// Problems with the folder must show before anything is paid for.
	err := errors.New("there is none")
	if o.OutputDir != "" {
		err = cmp.Or(disk.MakeFolder(o.OutputDir, 0o755), disk.TryWrite(o.OutputDir))
	}
	if err != nil {
		return fmt.Errorf("demo: output folder: %w; name one with --output-dir", err)
	}
	d := &demo{Options: o, fate: notSubmitted}
	d.line("Pixazo demo %s", d.choose("with the real gateway: this spends credits of your account.", "in the sandbox: no key, no cost, and a sample clip instead of a real video."))
	in, toServer := io.Pipe()
	fromServer, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := o.Serve(context.WithoutCancel(ctx), in, out)
		_, _ = in.Close(), out.Close() // else the client would wait for ever
		ended <- err
	}()
	d.client = client.NewClient(transport.NewIO(fromServer, toServer, nil))
	err = d.makeVideo(ctx)
	_ = d.client.Close()
	go func() { _, _ = io.Copy(io.Discard, fromServer) }() // so that the server can end
	if err = cmp.Or(<-ended, err); err != nil {
		err = fmt.Errorf("demo: %w", d.explain(ctx, err))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	return err
}

// demo is the state of one Run.
type demo struct {
	Options
	client    *client.Client
	requestID string // of the video; "" before it is submitted and after it failed
	fate      string // what has become of the request

	mu     sync.Mutex // guards the output and what follows
	status string     // of the newest progress
	ended  bool       // nothing is printed any more; goroutines of the client may outlive Run
}

// notSubmitted is the fate of a request that was not sent, or was refused.
const notSubmitted = "Nothing was submitted."

// choose returns live or sandbox, depending on where the video is made.
func (d *demo) choose(live, sandbox string) string {
	if d.Live {
		return live
	}
	return sandbox
}

// line prints a line, and ignores write errors.
func (d *demo) line(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ended {
		_, _ = fmt.Fprintf(d.Stdout, format+"\n", args...)
	}
}

// progress prints message, which begins with a status and a comma, if the status has
// changed.
func (d *demo) progress(message string) {
	status, _, _ := strings.Cut(message, ",")
	d.mu.Lock()
	told := d.status == status
	d.status = status
	d.mu.Unlock()
	if !told {
		d.line("  %s", message)
	}
}

// progressToken is the progress token of every call; only one is under way at a time.
const progressToken = "demo"

// makeVideo initializes the client, makes a video and saves it.
func (d *demo) makeVideo(ctx context.Context) error {
	if err := d.client.Start(ctx); err != nil {
		return err
	}
	d.client.OnNotification(func(n mcp.JSONRPCNotification) {
		message, ok := n.Params.AdditionalFields["message"].(string)
		if ok && n.Params.AdditionalFields["progressToken"] == progressToken {
			d.progress(text.Clean(message, 100))
		}
	})
	var req mcp.InitializeRequest
	req.Params.ClientInfo = mcp.Implementation{Name: "pixazo-mcp-demo", Version: "1"}
	hello, err := d.client.Initialize(ctx, req)
	if err != nil {
		return err
	}
	d.line("Started %s %s, which speaks MCP %s.\n", text.Clean(hello.ServerInfo.Name, 60), text.Clean(hello.ServerInfo.Version, 40), text.Clean(hello.ProtocolVersion, 20))

	job, err := d.submit(ctx)
	if err != nil {
		return err
	}
	if !job.Done {
		if job, err = d.callUntilDone(ctx, "wait_for_video"); err != nil {
			return err
		}
		d.line("← %s after %d s", job.Status, job.ElapsedSeconds)
	}
	for _, link := range job.VideoURLs {
		d.line("  %s", text.Clean(link, 8000))
	}
	if job, err = d.callUntilDone(ctx, "download_video"); err != nil {
		return err
	}
	saved, err := os.Stat(job.SavedPath)
	if err != nil {
		return fmt.Errorf("download_video: %w", err)
	}
	d.line("\nSaved %.1f MB:\n  %s\n", float64(saved.Size())/1e6, text.Clean(job.SavedPath, 4000))
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
	ElapsedSeconds int      `json:"elapsed_seconds"`
	WaitExpired    bool     `json:"wait_expired"`
	SavedPath      string   `json:"saved_path"`
}

// submit calls generate_video. The end of ctx does not cut the call off, since its answer
// names a video that is paid for.
func (d *demo) submit(ctx context.Context) (job, error) {
	if err := ctx.Err(); err != nil {
		return job{}, err
	}
	stop := context.AfterFunc(ctx, func() {
		d.line("  Stopping as soon as the submission is answered, so that the video is not lost.")
	})
	defer stop()
	arguments := map[string]any{"prompt": cmp.Or(d.Prompt, defaultPrompt)}
	if !d.Live {
		arguments["allow_duplicate"] = true // the sandbox of an earlier demo has ended, and its clip with it
	}
	d.fate = "The request may have been accepted. To see what became of it: pixazo-mcp list" + d.choose("", " --sandbox")
	j, err := d.call(context.WithoutCancel(ctx), "generate_video", arguments)
	if err != nil {
		return job{}, err
	}
	if j.RequestID == "" {
		d.line("← %s, without a request_id: waiting for the gateway's answer", j.Status)
		return job{}, errors.New("generate_video: the gateway did not answer in time")
	}
	d.requestID, d.fate = text.Clean(j.RequestID, 200), "The video goes on without the demo."
	d.line("← %s, request_id %s", j.Status, d.requestID)
	return j, ctx.Err()
}

// callUntilDone calls a tool about the job until the answer has no wait_expired.
func (d *demo) callUntilDone(ctx context.Context, tool string) (job, error) {
	for {
		j, err := d.call(ctx, tool, map[string]any{"request_id": d.requestID})
		if err != nil || !j.WaitExpired {
			return j, err
		}
		d.line("← %s, not done yet: asking again", j.Status)
	}
}

// call prints a tool call, makes it, and returns its result. It prints an error result
// and returns an error with the code.
func (d *demo) call(ctx context.Context, tool string, arguments map[string]any) (job, error) {
	shown, _ := text.JSON(arguments, "")
	d.line("→ %s %s", tool, text.Clean(string(shown), 160))
	var req mcp.CallToolRequest
	req.Params.Name, req.Params.Arguments = tool, arguments
	req.Params.Meta = &mcp.Meta{ProgressToken: progressToken}
	result, err := d.client.CallTool(ctx, req)
	if err != nil {
		return job{}, fmt.Errorf("%s: %w", tool, err)
	}
	if result.IsError {
		said := ""
		for _, content := range result.Content {
			said += " " + mcp.GetTextFromContent(content)
		}
		said = text.Clean(said, 4000)
		d.line("← error: %s", said)
		code, _, _ := strings.Cut(said, ":")
		switch {
		case code == "video_failed":
			d.requestID, d.fate = "", "The video has failed."
		case code != "submission_uncertain" && d.requestID == "":
			d.fate = notSubmitted
		}
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
	j.Status = text.Clean(j.Status, 40)
	return j, nil
}

// explain prints what becomes of a video that is not saved because of err, and returns
// the error of Run.
func (d *demo) explain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("stopped before the video was saved: %w", ctx.Err())
		d.line("\nStopped. %s", d.fate)
	case d.requestID == "":
		d.line("\n%s", d.fate)
	}
	if d.requestID != "" {
		d.line("To get back to the video, call get_status%s with request_id %s", d.choose("", " of a server in the sandbox"), d.requestID)
	}
	return err
}
