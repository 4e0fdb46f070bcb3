// This file holds what the tools of a team server say differently, since its users have
// no access to its disk and its settings.

package tools

import (
	"encoding/json"
	"fmt"
	"strings"

	"pixazo-mcp/internal/attach"
	"pixazo-mcp/pixazo"
)

// choose returns own on the user's own computer, team on a team server.
func (t *Team) choose(own, team string) string {
	if t == nil {
		return own
	}
	return team
}

// adapt returns an input schema, on a team server with descriptions that suit that.
func (t *Team) adapt(schema json.RawMessage) json.RawMessage {
	if t == nil {
		return schema
	}
	return json.RawMessage(strings.NewReplacer(
		"20 MB each, 50 MB in all: paths on the user's computer (in a folder that they opened), http(s) URLs, HeyGen asset IDs, data URIs or base64.",
		fmt.Sprintf("http(s) URLs or HeyGen asset IDs; or data URIs or base64, %d MB in all.", t.maxFiles()),
		"Name or path below the output folder, at most 1,000 characters.", "Name of the file, at most 1,000 characters.",
		"saw that the video is not on the dashboard", "heard from whoever runs this server that there is no video",
	).Replace(string(schema)))
}

// maxFiles returns how many megabytes of files can be sent in a call as base64.
func (t *Team) maxFiles() int64 { return t.MaxBody * 3 / 4 / 1_000_000 }

// checkFiles returns an error if there are local files among files, since those are on
// another computer.
func (t *Team) checkFiles(files []string) error {
	rule := fmt.Sprintf("must be an http(s) URL, a HeyGen asset ID, or a data URI or base64 (%d MB in all): this server runs on another computer than the user's", t.maxFiles())
	video := pixazo.VideoRequest{Files: files, Attached: make([]*pixazo.Attachment, len(files))}
	for i, item := range files {
		if attach.IsLocal(item) {
			video.Attached[i] = &pixazo.Attachment{Refused: rule}
		}
	}
	return video.CheckFiles()
}

// runner names the person whom a team's users can ask.
const runner = "whoever runs this server"

// teamAdvice replaces advice that only suits users with a computer and account of their
// own.
var teamAdvice = map[pixazo.Code]string{
	pixazo.MissingAPIKey: "Tell the user to ask " + runner + ".",
	pixazo.Unauthorized:  "Tell the user to ask " + runner + " to check the API key.",
	pixazo.OutOfCredits:  "Tell the user to ask " + runner + " to add credits.",
	pixazo.GatewayError:  "Call again in a minute; if it stays so, tell the user to ask " + runner + ".",
	pixazo.NotFound:      "Check that the request_id is exactly as it was answered to this user; list_videos has theirs. It is no reason to call generate_video again.",
	pixazo.SubmissionUncertain: "Do not call generate_video again before that is settled. With a request_id, it was very likely accepted: call get_status. Without one, a callback of the gateway may settle it within minutes: look at list_videos then. If it stays uncertain, tell the user to ask " + runner +
		", who sees the account. Only if there is no such video, call generate_video as before with allow_duplicate: true.",
	pixazo.DuplicateUncertain: "With a request_id, call get_status. Without one, look at list_videos in some minutes; if it stays uncertain, tell the user to ask " + runner +
		", who sees the account: only if there is no such video, call generate_video with allow_duplicate: true, which may pay for it a second time.",
	pixazo.GatewayUnreachable: "Call again in a minute; if it stays so, tell the user to ask " + runner + ".",
	pixazo.LimitReached:       "Tell the user: they can wait, or ask " + runner + ", whose limits these are.",
	pixazo.JournalUnavailable: "Call again in a minute; if it stays so, tell the user to ask " + runner + ".",
	pixazo.FileRefused:        "Correct it, or leave the file out, and call again.",
}

// advice returns what to do about an error.
func (t *Team) advice(code pixazo.Code) string {
	if words, ok := teamAdvice[code]; ok && t != nil {
		return words
	}
	return code.Info().Advice
}
