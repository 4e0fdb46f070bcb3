// generate_video submits a video request, once.

package tools

import (
	"context"
	"fmt"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

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
	}, func(ctx context.Context, _ mcp.CallToolRequest, in generateArgs) (generateResult, error) {
		s, err := config.Tracker.Submit(ctx, in.VideoRequest, in.AllowDuplicate)
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
		return generateResult{newJobResult(s.Job, step), s.Duplicate}, nil
	})
}
