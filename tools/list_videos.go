// This file holds list_videos, which lists the jobs in the journal.

package tools

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/pixazo"
)

const maxList = 20_000 // bytes of an answer; several clients cut off longer ones

type listArgs struct {
	Status string `json:"status,omitempty" jsonschema:"enum=all,enum=pending,enum=completed,enum=failed,enum=uncertain,default=all" jsonschema_description:"uncertain: may have been accepted, outcome unknown."`
	Limit  int    `json:"limit,omitempty" jsonschema:"minimum=1,maximum=100,default=20" jsonschema_description:"At most so many, 1 to 100."`
	Cursor string `json:"cursor,omitempty" jsonschema_description:"next_cursor of the page before."`
}

type listResult struct {
	Videos     []jobs.View `json:"videos"`
	VideosLeft *int        `json:"videos_left,omitempty" jsonschema_description:"How many videos the limits of this server leave."`
	NextCursor string      `json:"next_cursor,omitempty" jsonschema_description:"The cursor of the next page; left out on the last one."`
	Notice     string      `json:"notice,omitempty" jsonschema_description:"Something to know of the journal as a whole."`
	NextStep   string      `json:"next_step"`
}

func listVideos(config Config) tool {
	return define(config, definition{
		name:        "list_videos",
		title:       "List the videos",
		description: `Lists the videos that ` + config.Team.choose("were submitted on this computer", "this user submitted") + `, newest first: status, prompt, times and every request_id. Call it to find a request_id. Call it before generate_video to see what was submitted. Free. A pending video may be done by now: get_status tells.`,
		hints:       hints{readOnly: true, destructive: false, idempotent: true, openWorld: false},
	}, func(ctx context.Context, _ mcp.CallToolRequest, in listArgs) (listResult, error) {
		for {
			result, err := config.list(ctx, in)
			if err != nil {
				return listResult{}, err
			}
			answer, err := json.Marshal(success(result))
			if n := len(result.Videos); err == nil && len(answer) > maxList && n > 0 {
				if n == 1 { // get_status shows what is left out here
					v := &result.Videos[0]
					v.VideoURLs, v.ThumbnailURL, v.SubtitleURL, v.CaptionedVideoURL, v.Files = nil, "", "", "", nil
					return result, nil
				}
				in.Limit = min(n-1, max(1, n*maxList/len(answer)))
				continue
			}
			return result, err
		}
	})
}

// list returns a page of videos.
func (c Config) list(ctx context.Context, in listArgs) (listResult, error) {
	page, err := c.Tracker.List(ctx, jobs.Filter(cmp.Or(in.Status, string(jobs.All))), in.Limit, in.Cursor)
	if err != nil {
		return listResult{}, err
	}
	result := listResult{Videos: []jobs.View{}, VideosLeft: videosLeft(page.Left), NextCursor: page.Next, Notice: page.Notice}
	var uncertain, sending, pending bool // the first two: without a request_id
	for _, r := range page.Rows {
		v := c.Tracker.View(ctx, r)
		result.Videos = append(result.Videos, v)
		switch {
		case v.RequestID != "":
			pending = pending || !v.Done
		case v.Status == "SUBMITTING":
			sending = true
		case v.Status != "REPLACED": // which asks for nothing: its video was made after all
			uncertain = true
		}
	}
	var steps []string
	if sending { // not on the dashboard yet, perhaps, so that another one would be a second video
		steps = append(steps, "Those SUBMITTING are still on their way to the gateway. Do not call generate_video again for them. list_videos has their request_id once the gateway has answered.")
	}
	if uncertain {
		steps = append(steps, "Those UNCERTAIN without a request_id may have been accepted. "+c.Team.advice(pixazo.SubmissionUncertain))
	}
	if pending {
		steps = append(steps, "Call get_status with a request_id to see where a pending video stands now.")
	}
	switch {
	case len(steps) > 0:
	case len(page.Rows) > 0:
		steps = append(steps, "None of these is pending. Links expire: get_status names fresh ones.")
	case in.Status != "" && in.Status != string(jobs.All):
		steps = append(steps, "No video has the status "+in.Status+"; list_videos without status shows all of them.")
	default:
		steps = append(steps, "There is nothing to show.")
	}
	if page.Next != "" {
		steps = append(steps, "For older ones, call list_videos with cursor "+page.Next+".")
	}
	result.NextStep = c.offered(strings.Join(steps, " "))
	return result, nil
}

// columns are the fields that the text of a list shows as a table.
var columns = []string{"created_at", "status", "done", "last_checked_at", "request_id", "prompt"}

// text returns the list as a table of columns, with the other fields of a video in lines
// below its row.
func (l listResult) text() string {
	var b strings.Builder
	if l.Notice != "" {
		fmt.Fprintf(&b, "notice: %s\n", l.Notice)
	}
	if len(l.Videos) > 0 {
		b.WriteString(strings.Join(columns, " | ") + "\n")
	}
	for _, v := range l.Videos {
		shown := 60
		if v.RequestID == "" { // the caller may have to make the request again, in the same words
			shown = len(v.Prompt)
		}
		fmt.Fprintf(&b, "%s | %s | %t | %s | %s | %s\n", cmp.Or(v.CreatedAt, "not known"), cmp.Or(v.Status, "not known"), v.Done,
			cmp.Or(v.LastCheckedAt, "never"), cmp.Or(v.RequestID, "none"), quoted(v.Prompt, shown))
		var facts []string
		addLines(&facts, reflect.ValueOf(v))
		for _, fact := range facts {
			if name, _, _ := strings.Cut(fact, ":"); !slices.Contains(columns, name) {
				fmt.Fprintf(&b, "  %s\n", fact)
			}
		}
	}
	if l.VideosLeft != nil {
		fmt.Fprintf(&b, "videos_left: %d\n", *l.VideosLeft)
	}
	if l.NextCursor != "" {
		fmt.Fprintf(&b, "next_cursor: %s\n", l.NextCursor)
	}
	b.WriteString("next_step: " + l.NextStep)
	return b.String()
}
