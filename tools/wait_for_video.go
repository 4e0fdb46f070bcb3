// wait_for_video follows a job for as long as one call may last.

package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/pixazo"
	"pixazo-mcp/pixazo/jobs"
)

// defaultWait stays under the shortest limit that common clients set on a
// call, 60 s.
const defaultWait = 45 * time.Second

type waitArgs struct {
	requestArgs
	TimeoutSeconds *float64 `json:"timeout_seconds,omitempty" jsonschema:"minimum=0,default=45" jsonschema_description:"How many seconds this call may wait. The server's limit, 50 by default, counts where it is lower."`
}

// Validate checks the request_id and the timeout.
func (a waitArgs) Validate() error {
	if a.TimeoutSeconds != nil && *a.TimeoutSeconds < 0 {
		return refuse("timeout_seconds must be 0 or more; got %v", *a.TimeoutSeconds)
	}
	return a.requestArgs.Validate()
}

// timeout is how long to wait, at most limit.
func (a waitArgs) timeout(limit time.Duration) time.Duration {
	if a.TimeoutSeconds == nil {
		return min(defaultWait, limit)
	}
	// Compared as seconds: a huge number would overflow a Duration.
	if *a.TimeoutSeconds >= limit.Seconds() {
		return limit
	}
	return time.Duration(*a.TimeoutSeconds * float64(time.Second))
}

type waitResult struct {
	jobResult
	WaitExpired bool `json:"wait_expired" jsonschema_description:"true when this call ended before the video was done: call wait_for_video again."`
}

func waitForVideo(config Config) tool {
	return define(config, definition{
		name:  "wait_for_video",
		title: "Wait for a video",
		description: `Waits until a video is done and answers with its URLs. Videos take minutes, and one call waits 45 seconds unless timeout_seconds says otherwise: while it answers wait_expired: true the video is still being made, so call it again with the same request_id, as often as it takes. Costs nothing; a wait that ends or is cancelled does not touch the video.

A video that failed is an error result with the gateway's reason.`,
		hints: hints{readOnly: true, destructive: false, idempotent: true, openWorld: true},
	}, func(ctx context.Context, req mcp.CallToolRequest, in waitArgs) (waitResult, error) {
		outcome, err := config.Tracker.Wait(ctx, in.RequestID, in.timeout(config.MaxWait), reporter(ctx, req))
		if errors.Is(err, context.Canceled) {
			err = &pixazo.Error{Code: pixazo.Cancelled, Message: "the wait was cancelled", RequestID: in.RequestID, Err: err}
		}
		if err != nil {
			return waitResult{}, err
		}
		job := outcome.Job
		if job.Status.Failed() {
			return waitResult{}, failed(job)
		}
		step := nextStep(job)
		switch {
		case job.Done():
		case outcome.End == jobs.Busy:
			step = "Too many waits are under way, so this one did not wait: call wait_for_video with this request_id again in a minute, or get_status."
		case outcome.End == jobs.Draining:
			step = "The server is shutting down, which does not touch the video: call wait_for_video with this request_id once it is back."
		case job.Status == "":
			step = "No status could be seen yet: call wait_for_video with this request_id again."
		default:
			step = "The video is still being made: call wait_for_video with this request_id again, and do not call generate_video again."
		}
		if outcome.LastErr != nil && !job.Done() {
			step += fmt.Sprintf(" The newest status check failed (%s).", outcome.LastErr)
		}
		return waitResult{newJobResult(job, step), !job.Done()}, nil
	})
}

// failed is the error of a job that ended without a video.
func failed(job pixazo.Job) error {
	said := "the gateway gave no reason"
	if job.Error != "" {
		said = "the gateway said: " + pixazo.Said(job.Error)
	}
	return &pixazo.Error{Code: pixazo.VideoFailed, RequestID: job.RequestID,
		Message: fmt.Sprintf("the job ended with status %s; %s", job.Status, said)}
}

// notifier is a session that sends notifications in order with the answer of
// the call they belong to.
type notifier interface {
	Notify(ctx context.Context, method string, params map[string]any) error
}

// reporter sends a wait's progress to the client, or is nil when the client
// did not ask for it. progress is the seconds waited, which always rises;
// there is no total, since nobody knows how long a video takes.
func reporter(ctx context.Context, req mcp.CallToolRequest) func(jobs.Progress) {
	if req.Params.Meta == nil || req.Params.Meta.ProgressToken == nil {
		return nil
	}
	session, ok := server.ClientSessionFromContext(ctx).(notifier)
	if !ok {
		return nil
	}
	var last float64
	return func(p jobs.Progress) {
		last = max(p.Waited.Round(time.Millisecond).Seconds(), last+0.001)
		status := string(p.Job.Status)
		if status == "" {
			status = "no status yet"
		}
		message := fmt.Sprintf("%s, %d s since submission", status, int(p.Age.Seconds()))
		if p.Age == 0 {
			message = fmt.Sprintf("%s, waited %d s", status, int(p.Waited.Seconds()))
		}
		params := map[string]any{
			"progressToken": req.Params.Meta.ProgressToken,
			// A number of milliseconds at most, not what float64 makes of it.
			"progress": json.Number(fmt.Sprintf("%.3f", last)),
			"message":  message,
		}
		// A client that is gone ends the wait by itself; there is nothing to
		// do about a lost progress message.
		_ = session.Notify(ctx, string(mcp.MethodNotificationProgress), params)
	}
}
