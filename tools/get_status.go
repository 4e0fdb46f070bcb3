// get_status says where a job stands now.

package tools

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"
)

func getStatus(config Config) tool {
	return define(config, definition{
		name:  "get_status",
		title: "Get a video's status",
		description: `Says where a video request stands now, without waiting: its status, and the URLs of the video once it is COMPLETED. Costs nothing. Works for any request_id of the account, also after restarts.

To wait for a video, call wait_for_video instead of calling this in a loop.`,
		hints:  hints{readOnly: true, destructive: false, idempotent: true, openWorld: true},
		player: true,
	}, func(ctx context.Context, _ mcp.CallToolRequest, in requestArgs) (jobResult, error) {
		job, err := config.Tracker.Status(ctx, in.RequestID)
		if err != nil {
			return jobResult{}, err
		}
		return config.jobResult(job, nextStep(job)), nil
	})
}
