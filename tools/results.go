// This file makes the results and errors of the tools.
//
// Some clients show a model only structuredContent, some only text, and of an error all
// show only text. So a result has the same facts in both, and an error reads "code: what
// happened. What to do."

package tools

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/download"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const maxShown = 2000 // characters of a quotation

// jobResult is the result of a tool that is about one job.
type jobResult struct {
	jobs.View
	NextStep string `json:"next_step" jsonschema_description:"What to do next."`
}

// show returns the result for the job of row.
func (c Config) show(ctx context.Context, row jobs.Row) jobResult {
	v := c.Tracker.View(ctx, row)
	return jobResult{v, c.offered(c.nextStep(ctx, row, v))}
}

// nextStep returns what to do next about the job of row. v is the view of row.
func (c Config) nextStep(ctx context.Context, row jobs.Row, v jobs.View) string {
	switch {
	case v.Done && v.Status != string(pixazo.Completed):
		return "Tell the user that no video was made, and why. A new generate_video is a new charge, so let them decide."
	case v.Done && v.SavedPath+v.SavedURL != "":
		return c.saved()
	case v.Done && len(v.VideoURLs) == 0:
		return "The gateway names no URL for this finished video: call get_status again in a minute, and if there is still none give the user the request_id for " + c.Team.choose("Pixazo's support", runner) + "."
	case v.Done && v.SaveError != "":
		return "Show the user the video_urls exactly as they stand. They expire, and the video could not be saved so far (save_error). To try at once, call download_video."
	case v.Done && c.savesItself(row):
		return "Show the user the video_urls exactly as they stand. They expire; the video is being saved " + c.Team.choose("below "+row.Save.Folder, "on the server") + " by itself. get_status names the file in a moment."
	case v.Done && c.Team != nil && c.Team.Folder == nil:
		return "Show the user the video_urls exactly as they stand. They expire: tell the user to download the video soon; get_status names fresh ones."
	case v.Done:
		return "Show the user the video_urls exactly as they stand. They expire. To keep the video, call download_video."
	case v.Status == "UNCERTAIN":
		return c.Team.advice(pixazo.SubmissionUncertain)
	case v.RequestID == "":
		return "The request is still on its way to the gateway. Do not call generate_video again for it. list_videos has its request_id once the gateway has answered."
	case v.Stalled:
		return "Nothing has changed for an hour: tell the user, who can ask " + c.Team.choose("Pixazo's support", runner) + " with the request_id. Do not call generate_video again for it."
	case v.Status == "":
		return "The gateway does not show this request yet: call get_status with this request_id in a minute."
	}
	return c.whileMade(ctx, row, v)
}

// saved returns what to do next about a video that is saved.
func (c Config) saved() string {
	return c.Team.choose("Tell the user where the video is on their computer, as saved_path says.",
		"Show the user saved_url exactly as it stands: it opens the saved video for an hour, for whoever has it. get_status names a new one.")
}

// savesItself reports whether the video of row will be saved automatically. A video that
// was saved once is not saved again, even if its file was deleted. One that was ordered
// more than jobs.MaxAge ago is not saved either.
func (c Config) savesItself(row jobs.Row) bool {
	return row.Save.Folder != "" && len(row.Saved) == 0 && c.Tracker.Recent(row)
}

// whileMade returns what to do next while the video is being made.
func (c Config) whileMade(ctx context.Context, row jobs.Row, v jobs.View) string {
	takes := "5 to 45 minutes"
	switch minutes := (v.TypicalSeconds + 30) / 60; {
	case minutes > 1:
		takes = fmt.Sprintf("about %d minutes as a rule", minutes)
	case v.TypicalSeconds > 0:
		takes = "about a minute as a rule"
	}
	step := "The video is being made, which takes " + takes + ": tell the user so"
	if c.savesItself(row) {
		step += ", and that it will be saved " + c.Team.choose("below "+row.Save.Folder, "on the server") + " by itself, also when this chat is closed"
	}
	if row.Save.Notify {
		step += ", and that a notice on the desktop tells when"
	}
	step += ", and end your turn. If the user wants to wait or a next step needs the video, "
	if command := c.waitCommand(ctx); command != "" {
		step += "do not call wait_for_video again and again, but run this in the background, which ends when the video is done: " + command + " " + v.RequestID + " ."
	} else {
		step += "call wait_for_video with this request_id."
	}
	return step + " Do not call generate_video again for it."
}

// waitCommand returns the command with which the client's agent can wait in a shell, ""
// if it has no shell or the server runs on another computer.
func (c Config) waitCommand(ctx context.Context) string {
	session, ok := server.ClientSessionFromContext(ctx).(interface {
		ClientName(context.Context) string
	})
	if !ok || c.WaitCommand == nil || c.Team != nil {
		return ""
	}
	return c.WaitCommand(session.ClientName(ctx))
}

// success returns result as structuredContent and as text.
func success(result any) *mcp.CallToolResult {
	var lines []string
	if table, ok := result.(interface{ text() string }); ok {
		lines = []string{table.text()}
	} else {
		addLines(&lines, reflect.ValueOf(result))
	}
	return &mcp.CallToolResult{
		Content:           []mcp.Content{mcp.NewTextContent(strings.Join(lines, "\n"))},
		StructuredContent: result,
	}
}

// addLines adds a line "name: value" for each field of the struct v that is in its JSON.
// Words of the gateway or a user are put in quotation marks.
func addLines(lines *[]string, v reflect.Value) {
	for field, value := range v.Fields() {
		if field.Anonymous {
			addLines(lines, value)
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if strings.Contains(options, "omitempty") && (value.IsZero() || value.Kind() == reflect.Slice && value.Len() == 0) {
			continue
		}
		var shown string
		switch x := reflect.Indirect(value).Interface().(type) {
		case []string:
			shown = strings.Join(x, " ")
			if name == "files" {
				shown = quoted(strings.Join(x, ", "), maxShown)
			}
		case []download.File:
			for _, f := range x {
				shown += fmt.Sprintf("%s (%d bytes, %s, sha256 %s) ", f.Path, f.Bytes, f.MediaType, f.SHA256)
			}
		case string:
			shown = x
			if name == "error" || name == "prompt" {
				shown = quoted(x, maxShown)
			}
		default:
			shown = fmt.Sprint(x)
		}
		*lines = append(*lines, name+": "+strings.TrimSpace(shown))
	}
}

// quoted returns words of the gateway or a user cleaned, in quotation marks.
func quoted(words string, limit int) string { return text.QuoteCleaned(text.Clean(words, limit)) }

// failure returns err as an error result, "code: what happened. What to do."
func failure(config Config, d definition, err error) *mcp.CallToolResult {
	e := pixazo.AsError(err, pixazo.GatewayError)
	info := e.Code.Info()
	said := string(e.Code) + ": " + strings.TrimSuffix(e.Message, ".") + place(config, e) + "."
	var advice []string
	switch {
	case d.submits && info.Charged == "no":
		advice = append(advice, "Nothing was submitted or charged.")
	case !d.submits && e.RequestID != "" && info.Charged == "no" || e.Code == pixazo.BadResponse || e.Code == pixazo.DownloadFailed:
		advice = append(advice, "The video itself is not affected. Do not call generate_video for it.")
	}
	advice = append(advice, config.Team.advice(e.Code))
	if config.Team != nil && strings.Contains(e.Message, "(--") {
		advice = append(advice, "The settings that it names are those of "+runner+".")
	}
	if e.RequestID != "" {
		advice = append(advice, "request_id: "+e.RequestID)
	}
	said = strings.TrimSpace(said + " " + config.offered(strings.Join(advice, " ")))
	if config.Hide != nil {
		said = config.Hide(said)
	}
	return mcp.NewToolResultError(said)
}

// offered returns words without the sentences that name a tool which this server does
// not offer.
func (c Config) offered(words string) string { return text.WithoutNaming(words, c.Missing()) }

// place returns where to put the key if e says that there is none, else "".
func place(config Config, e *pixazo.Error) string {
	switch {
	case config.Team != nil || e.Message != pixazo.NoKey:
		return ""
	case config.KeyFile == "":
		return "; it goes into the variable PIXAZO_API_KEY of this server's settings"
	}
	return "; it goes into " + config.KeyFile + " (one line; no restart needed) or into the variable PIXAZO_API_KEY of this server's settings"
}
