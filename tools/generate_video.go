// generate_video submits a video request, once.

package tools

import (
	"context"
	"fmt"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/pixazo"
)

type generateArgs struct {
	pixazo.VideoRequest
	AllowDuplicate bool `json:"allow_duplicate,omitempty" jsonschema:"default=false" jsonschema_description:"true makes and bills another video although the same request was submitted before. Only when the user asked for another one."`
}

type generateResult struct {
	jobResult
	Duplicate bool `json:"duplicate" jsonschema_description:"true when nothing was submitted now because the same request was, a short while ago: this is that job."`
}

func generateVideo(config Config) tool {
	return define(config, definition{
		name:  "generate_video",
		title: "Generate a video",
		description: `Makes a narrated video from a text prompt with HeyGen Video Agent 3.0: script, avatar, voice, shots, B-roll and editing. It costs the user real money, so agree on the content first, and call it once per video, also when a call timed out. The same request within 10 minutes is answered with the job that is already there, unless allow_duplicate is true.

It answers at once with a request_id; the video takes minutes. Then call wait_for_video with the request_id until it is done. The request_id stays valid when this server restarts.

A good prompt says who speaks to whom about what, how long (such as 30 seconds), in which tone and setting, and what must be shown or said.
Example: "A friendly presenter explains our budgeting app to students in 30 seconds, cheerful tone, bright modern office, ends with the words Try it free."`,
		// It changes nothing that exists, but it spends money: marked
		// destructive, so that clients ask first.
		hints:   hints{readOnly: false, destructive: true, idempotent: false, openWorld: true},
		aliases: map[string]string{"avatar": "avatar_id", "voice": "voice_id"},
		submits: true,
		player:  true,
	}, func(ctx context.Context, req mcp.CallToolRequest, in generateArgs) (generateResult, error) {
		if err := config.attach(ctx, req, &in.VideoRequest); err != nil {
			return generateResult{}, err
		}
		prepared, err := config.Prepare(in.VideoRequest)
		if err != nil {
			return generateResult{}, err
		}
		s, err := config.Tracker.Submit(ctx, prepared, in.AllowDuplicate)
		if err != nil {
			return generateResult{}, err
		}
		step := nextStep(s.Job)
		if s.Duplicate {
			step = fmt.Sprintf("Nothing was submitted now: the same request was, %s ago, and this is its job. %s To pay for another video of it, call generate_video with allow_duplicate: true.",
				s.Age.Round(time.Second), step)
		}
		if s.JournalErr != nil {
			step += " Keep the request_id: the local record could not take it (" + s.JournalErr.Error() + "), so list_videos may show it as SUBMITTING or UNCERTAIN."
		}
		return generateResult{config.jobResult(s.Job, step), s.Duplicate}, nil
	})
}

// rootsQuestion names the question for the client's roots in a call.
const rootsQuestion = "roots"

// attach makes of the files of a call what is sent. Where the client's roots
// say which local files may be read, it first has to ask for them.
func (c Config) attach(ctx context.Context, req mcp.CallToolRequest, video *pixazo.VideoRequest) (err error) {
	var roots []string
	if c.Files.NeedsRoots(video.Files) {
		_, answered := server.InputResponse(req.Params.InputResponses, rootsQuestion)
		if !answered && hasRoots(ctx) {
			return question{server.NewInputRequestBuilder("").Roots(rootsQuestion).ToolResult()}
		}
		if answer := server.RootsResponse(req.Params.InputResponses, rootsQuestion); answer != nil {
			for _, root := range answer.Roots {
				roots = append(roots, root.URI)
			}
		}
	}
	video.Attached, err = c.Files.Read(video.Files, roots)
	return err
}

// question is the error of a call that can't be answered before the client has
// answered a question.
type question struct{ result *mcp.CallToolResult }

func (question) Error() string { return "the client is asked first" }

// hasRoots reports whether the client said that it can name its roots: with the
// call since 2026-07-28, else when it initialized.
func hasRoots(ctx context.Context) bool {
	if info := server.RequestProtocolInfoFromContext(ctx); info != nil && info.Modern {
		return info.ClientCapabilities != nil && info.ClientCapabilities.Roots != nil
	}
	session, ok := server.ClientSessionFromContext(ctx).(server.SessionWithClientInfo)
	return ok && session.GetClientCapabilities().Roots != nil
}
