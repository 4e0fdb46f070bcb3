// This file holds wait_for_video, which waits for the end of a job.

package tools

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/pixazo"
)

// defaultWait, which timeout_seconds has as its default, is shorter than the time limits
// that common clients set on a call, the shortest of which is 60 s.
const defaultWait = 45 * time.Second

type waitArgs struct {
	requestArgs
	TimeoutSeconds int `json:"timeout_seconds,omitempty" jsonschema:"minimum=0,default=45" jsonschema_description:"Whole seconds to wait; at most the server's limit, 50 by default."`
}

// timeout returns how long to wait, at most limit.
func (a waitArgs) timeout(limit time.Duration) time.Duration {
	seconds := min(float64(a.TimeoutSeconds), limit.Seconds()) // as a float, since a huge number would overflow a Duration
	return time.Duration(seconds * float64(time.Second))
}

type waitResult struct {
	jobResult
	WaitExpired bool `json:"wait_expired" jsonschema_description:"true when this call ended before the video was done: call wait_for_video again."`
}

func waitForVideo(config Config) tool {
	return define(config, definition{
		name:        "wait_for_video",
		title:       "Wait for a video",
		description: `Waits for a video, 45 seconds a call; only if the user wants to wait or a next step needs it, since a video takes 5 to 45 minutes. While it answers wait_expired: true, call it again with the same request_id. Free. A wait that ends or is cancelled does not touch the video; a failed video is an error with the gateway's reason.`,
		hints:       hints{readOnly: true, destructive: false, idempotent: true, openWorld: true},
	}, func(ctx context.Context, req mcp.CallToolRequest, in waitArgs) (waitResult, error) {
		tell := progress(ctx, req)
		outcome, err := config.Tracker.Wait(ctx, in.RequestID, in.timeout(config.MaxWait), func(p jobs.Progress) { tell(p.Waited.Seconds(), 0, waited(p)) })
		return config.answerWait(ctx, in.RequestID, outcome, err)
	})
}

// answerWait returns the result of wait_for_video, or its error, from what Tracker.Wait
// has returned.
func (c Config) answerWait(ctx context.Context, requestID string, outcome jobs.Outcome, err error) (waitResult, error) {
	if errors.Is(err, context.Canceled) {
		err = &pixazo.Error{Code: pixazo.Cancelled, Message: "the wait was cancelled", RequestID: requestID, Err: err}
	}
	if err != nil {
		return waitResult{}, err
	}
	job := outcome.Row.Job
	if job.Status.Failed() {
		return waitResult{}, job.Failure()
	}
	result := waitResult{c.show(ctx, *outcome.Row), !job.Done()}
	step := result.NextStep
	switch {
	case job.Done() || result.Stalled:
	case outcome.End == jobs.Busy:
		step = "Too many waits are under way, so this one did not wait: call wait_for_video with this request_id again in a minute, or get_status."
	case outcome.End == jobs.Draining:
		step = "The server is shutting down, which does not touch the video: call wait_for_video with this request_id once it is back."
	case job.Status == "":
		step = "No status could be seen yet: call wait_for_video with this request_id again."
	case c.waitCommand(ctx) != "": // step names it, which spares the model dozens of calls
	default:
		step = "The video is still being made. If the user wants to wait on or a next step needs the video, call wait_for_video with this request_id again; else tell them that it is made without this chat, too, and end your turn. Do not call generate_video again for it."
	}
	result.NextStep = c.offered(step)
	if outcome.LastErr != nil && !job.Done() {
		result.NextStep += fmt.Sprintf(" The newest status check failed (%s).", c.Tracker.Shown(outcome.LastErr))
	}
	return result, nil
}

// waited returns the progress of a wait in words.
func waited(p jobs.Progress) string {
	status := cmp.Or(string(p.Row.Job.Status), "no status yet")
	if p.Age == 0 {
		return fmt.Sprintf("%s, waited %d s", status, int(p.Waited.Seconds()))
	}
	return fmt.Sprintf("%s, %d s since submission", status, int(p.Age.Seconds()))
}
