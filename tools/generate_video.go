// This file holds generate_video, which submits a video request once.

package tools

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/attach"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/pixazo"
)

type generateArgs struct {
	pixazo.VideoRequest
	AllowDuplicate bool `json:"allow_duplicate,omitempty" jsonschema:"default=false" jsonschema_description:"true makes and bills another video of the same request. Only if the user asked for one or, after duplicate_uncertain, saw that the video is not on the dashboard."`
}

// answerTime is how long before Config.MaxWait a call stops waiting and answers.
const answerTime = time.Second

type generateResult struct {
	jobResult
	Duplicate  bool     `json:"duplicate,omitempty" jsonschema_description:"true when no video was added, since the same request was submitted before: this is its job."`
	Warnings   []string `json:"warnings,omitempty" jsonschema_description:"What may not work as it was meant, such as a file of a kind that HeyGen does not list. Tell the user."`
	VideosLeft *int     `json:"videos_left,omitempty" jsonschema_description:"How many videos the limits of this server leave."`
}

func generateVideo(config Config) tool {
	var confirmed confirmations
	return define(config, definition{
		name:  "generate_video",
		title: "Generate a video",
		description: `Makes a narrated video from a prompt (HeyGen Video Agent 3.0) for the user's real money: agree on it first, call once per video, never again after a timeout.

Answers at once with a request_id; the video takes 5 to 45 minutes. At HeyGen's list price 30 seconds cost about $1; Pixazo's may differ. While a video is unfinished or younger than 10 minutes, the same request is answered with it.

Prompt: who speaks to whom about what, how long, tone, setting, what must be said or shown.`,
		// It destroys nothing, but spends money; clients ask the user before they call
		// a destructive tool.
		hints:   hints{readOnly: false, destructive: true, idempotent: false, openWorld: true},
		aliases: map[string]string{"avatar": "avatar_id", "voice": "voice_id"},
		submits: true,
	}, func(ctx context.Context, req mcp.CallToolRequest, in generateArgs) (generateResult, error) {
		begun, key, nonce := time.Now(), "", ""
		if config.ConfirmSpend {
			var err error
			key = requestKey(ctx, req)
			if nonce, err = answered(req, key); err != nil {
				return generateResult{}, err
			}
		}
		tell := progress(ctx, req)
		tell(0, 0, "SUBMITTING")
		if err := config.attach(ctx, req, &in.VideoRequest); err != nil {
			if nonce != "" { // the client may be asked for its roots, and repeats the call without the yes
				confirmed.add(key, nonce)
			}
			return generateResult{}, err
		}
		if config.ConfirmSpend && nonce == "" { // after the checks, since nobody need confirm a request that is refused
			_, err := pixazo.Prepare(in.VideoRequest)
			if err == nil {
				asking, cancel := config.Tracker.UntilDrain(ctx)
				nonce, err = confirmed.ask(asking, key, in, config.MaxWait-answerTime, tell)
				cancel()
			}
			if err != nil {
				return generateResult{}, err
			}
		}
		stop := repeat(func() {
			waited := time.Since(begun).Seconds()
			tell(waited, 0, fmt.Sprintf("SUBMITTING, waited %d s", int(waited)))
		})
		s, err := config.Submit(ctx, in.VideoRequest, in.AllowDuplicate, nonce, max(config.MaxWait-answerTime-time.Since(begun), answerTime))
		stop()
		if err != nil {
			return generateResult{}, warnOfTwo(err, in.AllowDuplicate)
		}
		ctx, cancel := context.WithTimeout(ctx, answerTime) // for all that is read from the journal now
		defer cancel()
		result := generateResult{config.show(ctx, s.Row), s.Duplicate, jobs.Warnings(s.Row), videosLeft(config.Tracker.Left(ctx))}
		result.NextStep = config.submitted(s, result.NextStep)
		return result, nil
	})
}

// warnOfTwo returns err, the error of a submission. If that is uncertain and was made with
// allow_duplicate, an equal one may have been uncertain before: the error then warns that
// two may have been accepted.
func warnOfTwo(err error, allowDuplicate bool) error {
	e, ok := errors.AsType[*pixazo.Error](err)
	if !ok || e.Code != pixazo.SubmissionUncertain || !allowDuplicate {
		return err
	}
	again := *e
	again.Message += "; if an equal request was uncertain before, two may have been accepted by now"
	return &again
}

// submitted returns step, what to do next about the job of s, with a remark if s is a
// duplicate or could not be written to the journal.
func (c Config) submitted(s jobs.Submission, step string) string {
	if s.Duplicate {
		same := "the same request was"
		if s.ByForm {
			same = "a request that differs only in white space, in characters that can't be seen, in the form of others or in defaults was"
		}
		step = fmt.Sprintf("Nothing was submitted now: %s, %s ago, and this is its job. %s To pay for another video of it, call generate_video with allow_duplicate: true.",
			same, s.Age.Round(time.Second), step)
	}
	if s.JournalErr != nil {
		step += " Keep the request_id: the journal could not take it (" + c.Tracker.Shown(s.JournalErr).Error() + "), so list_videos may show it as SUBMITTING or UNCERTAIN."
	}
	return step
}

// videosLeft returns a pointer to n, nil if n is negative, since there is no limit or it
// is not known.
func videosLeft(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}

// rootsQuestion is the id of the question for the client's roots in the answer to a call.
const rootsQuestion = "roots"

// attach reads the local files of video into video.Attached. If it needs the client's
// roots for that and req does not have them, its error is a question to the client.
func (c Config) attach(ctx context.Context, req mcp.CallToolRequest, video *pixazo.VideoRequest) (err error) {
	if c.Team != nil {
		return c.Team.checkFiles(video.Files)
	}
	if c.Refuse != nil && slices.ContainsFunc(video.Files, attach.IsLocal) {
		if err := c.Refuse(LocalFiles); err != nil {
			return err
		}
	}
	var roots []string
	if c.Files.NeedsRoots(video.Files) {
		_, answered := server.InputResponse(req.Params.InputResponses, rootsQuestion)
		if capabilities, _ := clientCapabilities(ctx); !answered && capabilities.Roots != nil {
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

// question is an error that makes the call answer with result, which asks the client
// something. The client then repeats the call with its answer.
type question struct{ result *mcp.CallToolResult }

func (question) Error() string { return "the client is asked first" }
