// get_status says where a job stands now.

package tools

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"
)

func getStatus(config Config) tool {
	return define(config, definition{
		name:        "get_status",
		title:       "Get a video's status",
		description: `Says where a video stands now: its status and, once COMPLETED, its URLs. Free. Works for any request_id of the account. Not for a loop: wait_for_video waits.`,
		hints:       hints{readOnly: true, destructive: false, idempotent: true, openWorld: true},
		player:      true,
	}, func(ctx context.Context, _ mcp.CallToolRequest, in requestArgs) (jobResult, error) {
		seen, err := config.Tracker.Status(ctx, in.RequestID)
		if err != nil {
			return jobResult{}, err
		}
		return config.jobResult(ctx, seen.Row, nextStep(seen.Row.Job)), nil
	})
}
