// list_videos shows what was submitted, from the journal alone.

package tools

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	defaultList = 20
)

type listArgs struct {
	Status string `json:"status,omitempty" jsonschema:"enum=all,enum=pending,enum=completed,enum=failed,enum=uncertain,default=all" jsonschema_description:"uncertain: may have been accepted, outcome unknown."`
	Limit  *int   `json:"limit,omitempty" jsonschema:"minimum=1,maximum=100,default=20" jsonschema_description:"At most so many, 1 to 100."`
	Cursor string `json:"cursor,omitempty" jsonschema_description:"next_cursor of the page before."`
}

type listResult struct {
	Videos     []jobs.View `json:"videos"`
	NextCursor string      `json:"next_cursor,omitempty" jsonschema_description:"The cursor of the next page; left out on the last one."`
	Notice     string      `json:"notice,omitempty" jsonschema_description:"Something to know of the record as a whole."`
	NextStep   string      `json:"next_step"`
}

func listVideos(config Config) tool {
	return define(config, definition{
		name:        "list_videos",
		title:       "List the videos",
		description: `Lists the videos that were submitted on this computer, newest first: status, prompt, times and every request_id. Call it to find a request_id, or before submitting to see whether it was. Free. Reads the local journal alone: a pending video may be done by now, which get_status tells.`,
		hints:       hints{readOnly: true, destructive: false, idempotent: true, openWorld: false},
	}, func(ctx context.Context, _ mcp.CallToolRequest, in listArgs) (listResult, error) {
		limit := defaultList
		if in.Limit != nil {
			limit = *in.Limit
		}
		page, err := config.Tracker.List(ctx, jobs.Filter(cmp.Or(in.Status, string(jobs.All))), limit, in.Cursor)
		if err != nil {
			return listResult{}, err
		}
		result := listResult{Videos: []jobs.View{}, NextCursor: page.Next, Notice: page.Notice}
		next := page.Next
		for _, r := range page.Rows {
			result.Videos = append(result.Videos, config.Tracker.View(ctx, r))
		}
		switch {
		case len(page.Rows) == 0:
			result.NextStep = "There is nothing to show."
			if in.Status != "" && in.Status != string(jobs.All) {
				result.NextStep = "No video has the status " + in.Status + "; list_videos without status shows all of them."
			}
		case slices.ContainsFunc(result.Videos, func(v jobs.View) bool { return v.RequestID == "" }):
			result.NextStep = "Do not submit those without a request_id again: ask the user to look at " + pixazo.CreditsURL + " first."
			if next != "" {
				result.NextStep += " Call list_videos with cursor " + next + " for older ones."
			}
		case next != "":
			result.NextStep = "Call list_videos with cursor " + next + " for older ones."
		default:
			result.NextStep = "Call get_status or wait_for_video with a request_id to see where a pending video stands now."
		}
		return result, nil
	})
}

// columns are the fields that the text of a list shows as a table.
var columns = []string{"created_at", "status", "done", "last_checked_at", "request_id", "prompt"}

// text is a short table, and below each row what a table has no room for. Of a
// long prompt it shows the beginning.
func (l listResult) text() string {
	var b strings.Builder
	if l.Notice != "" {
		fmt.Fprintf(&b, "notice: %s\n", l.Notice)
	}
	if len(l.Videos) > 0 {
		b.WriteString(strings.Join(columns, " | ") + "\n")
	}
	for _, v := range l.Videos {
		fmt.Fprintf(&b, "%s | %s | %t | %s | %s | %s\n", cmp.Or(v.CreatedAt, "not known"), cmp.Or(v.Status, "not known"), v.Done,
			cmp.Or(v.LastCheckedAt, "never"), cmp.Or(v.RequestID, "none"), text.Clean(v.Prompt, 60))
		for _, url := range v.VideoURLs {
			fmt.Fprintf(&b, "  video_urls: %s\n", url)
		}
		v.VideoURLs = nil
		var facts []string
		addLines(&facts, reflect.ValueOf(v))
		for _, fact := range facts {
			if name, _, _ := strings.Cut(fact, ":"); !slices.Contains(columns, name) {
				fmt.Fprintf(&b, "  %s\n", fact)
			}
		}
	}
	if l.NextCursor != "" {
		fmt.Fprintf(&b, "next_cursor: %s\n", l.NextCursor)
	}
	b.WriteString("next_step: " + l.NextStep)
	return b.String()
}
