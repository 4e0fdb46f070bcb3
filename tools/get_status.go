// This file holds get_status, which asks the gateway for the status of a job.

package tools

import (
	"context"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"
)

func getStatus(config Config) tool {
	return define(config, definition{
		name:        "get_status",
		title:       "Get a video's status",
		description: `Says where a video stands now: its status and, once COMPLETED, its URLs. Free. ` + config.Team.choose("Works for any request_id of the account.", "Works for the user's own videos.") + ` Not for a loop: wait_for_video waits.`,
		hints:       hints{readOnly: true, destructive: false, idempotent: true, openWorld: true},
	}, func(ctx context.Context, _ mcp.CallToolRequest, in requestArgs) (jobResult, error) {
		asking, cancel := context.WithTimeout(ctx, config.MaxWait)
		defer cancel()
		seen, err := config.Tracker.Status(asking, in.RequestID)
		if err != nil && !seen.Row.Job.Done() {
			return jobResult{}, err
		}
		result := config.show(ctx, seen.Row)
		switch {
		case err != nil: // the job has ended all the same, and its video may be saved
			result.NextStep += fmt.Sprintf(" The newest status check failed (%s).", config.Tracker.Shown(err))
		case seen.Fits == 1:
			result.NextStep += " An uncertain submission is settled by it."
		case seen.Fits > 1:
			result.NextStep += fmt.Sprintf(" It may be any of %d uncertain submissions, which all stay UNCERTAIN: ask the user which one it is, and do not make that one again.", seen.Fits)
		}
		return result, nil
	})
}
