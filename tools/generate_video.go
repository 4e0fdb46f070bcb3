// generate_video submits a video request, once.

package tools

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/pixazo"
)

func generateVideo(config Config) server.ServerTool {
	return define(config, definition{
		name:  "generate_video",
		title: "Generate a video",
		description: `Makes a narrated video from a text prompt with HeyGen Video Agent 3.0: script, avatar, voice, shots, B-roll and editing. It costs the user real money, so agree on the content first, and call it once per video: every call makes and bills another one, also when an earlier call timed out.

It answers at once with a request_id; the video takes minutes. Then call wait_for_video with the request_id until it is done. The request_id stays valid when this server restarts.

A good prompt says who speaks to whom about what, how long (such as 30 seconds), in which tone and setting, and what must be shown or said.
Example: "A friendly presenter explains our budgeting app to students in 30 seconds, cheerful tone, bright modern office, ends with the words Try it free."`,
		// It changes nothing that exists, but it spends money: marked
		// destructive, so that clients ask first.
		hints:   hints{readOnly: false, destructive: true, idempotent: false, openWorld: true},
		aliases: map[string]string{"avatar": "avatar_id", "voice": "voice_id"},
		submits: true,
	}, func(ctx context.Context, _ mcp.CallToolRequest, in pixazo.VideoRequest) (jobResult, error) {
		job, err := config.Tracker.Submit(ctx, in)
		if err != nil {
			return jobResult{}, err
		}
		return newJobResult(job, nextStep(job)), nil
	})
}
