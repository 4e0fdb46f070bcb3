// This file holds download_video, which saves a finished video on the user's computer,
// or on a team server, which answers with a link.

package tools

import (
	"context"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/download"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/pixazo"
)

type downloadArgs struct {
	requestArgs
	Filename  string `json:"filename,omitempty" jsonschema:"maxLength=1000" jsonschema_description:"Name or path below the output folder, at most 1,000 characters. Left out: made of date, prompt and request_id."`
	Overwrite bool   `json:"overwrite,omitempty" jsonschema:"default=false" jsonschema_description:"true replaces a file of that name. Only if the user asked for it."`
}

// downloadResult has saved_path, saved_url and media_type of the first saved file among
// the fields of the job.
type downloadResult struct {
	jobResult
	Bytes        int64           `json:"bytes,omitempty" jsonschema_description:"Size of the saved file."`
	SHA256       string          `json:"sha256,omitempty" jsonschema_description:"SHA-256 of the saved file, in hexadecimal."`
	AlreadySaved bool            `json:"already_saved,omitempty" jsonschema_description:"true when nothing was downloaded, since the file was there and intact."`
	FurtherFiles []download.File `json:"further_files,omitempty" jsonschema_description:"The files of the further video_urls, where there is more than one."`
	FurtherURLs  []string        `json:"further_urls,omitempty" jsonschema_description:"On a team server: links to them."`
	WaitExpired  bool            `json:"wait_expired" jsonschema_description:"true when this call ended before the file was whole, while the download goes on: call download_video again."`
}

// addSaved sets in r where the files of s are and what to do next. row is the job's row in
// the journal.
func (c Config) addSaved(r *downloadResult, row jobs.Row, s download.Saved) {
	first := s.Files[0]
	r.MediaType, r.Bytes, r.SHA256, r.AlreadySaved = first.MediaType, first.Bytes, first.SHA256, s.Already
	r.NextStep = c.saved()
	if c.Team == nil {
		r.SavedPath, r.FurtherFiles = first.Path, s.Files[1:]
	} else {
		for _, f := range s.Files[1:] {
			r.FurtherURLs = append(r.FurtherURLs, c.Tracker.SavedURL(row, f.Video))
		}
	}
	if c.Team != nil && r.SavedURL == "" { // the journal can't be read
		r.NextStep = "The video is saved on the server, but there is no link to it just now: call download_video again in a minute."
	}
	if len(s.Files) > 1 {
		r.NextStep += c.Team.choose(" further_files has the others.", " further_urls has the others.")
	}
}

func downloadVideo(config Config) tool {
	return define(config, definition{
		name:  "download_video",
		title: "Save a video",
		description: config.Team.choose("Saves a finished video (COMPLETED) below the output folder and answers with its path. Links expire, files do not. The server saves videos by itself: this is for another name or place.",
			"Saves a finished video (COMPLETED) on the server and answers with a link to it, saved_url, which is good for an hour, for whoever has it; a further call makes a new one.") +
			" Free. A video that is saved already is not downloaded again. While it answers wait_expired: true, call it again with the same arguments.",
		// overwrite replaces a file.
		hints: hints{readOnly: false, destructive: true, idempotent: true, openWorld: true},
	}, func(ctx context.Context, req mcp.CallToolRequest, in downloadArgs) (downloadResult, error) {
		tell := progress(ctx, req)
		asked := download.Request{RequestID: in.RequestID, Filename: in.Filename, Overwrite: in.Overwrite}
		if config.Team != nil {
			asked.Dir = config.Team.Folder(jobs.Owner(ctx))
		}
		s, err := config.Saver.Save(ctx, asked,
			min(defaultWait, config.MaxWait), func(p download.Progress) { tell(float64(p.Bytes), float64(p.Total), transferred(p)) })
		if err != nil {
			return downloadResult{}, err
		}
		row := jobs.Row{Job: pixazo.Job{RequestID: in.RequestID}}
		if known, err := config.Tracker.Find(ctx, in.RequestID); err == nil && known != nil {
			row = *known
		}
		result := downloadResult{jobResult: config.show(ctx, row), WaitExpired: s.Pending}
		if s.Pending {
			result.NextStep = "The download goes on: call download_video again, with the same arguments."
		} else {
			config.addSaved(&result, row, s)
		}
		return result, nil
	})
}

// transferred returns the progress of a download in words.
func transferred(p download.Progress) string {
	if p.Total == 0 {
		return fmt.Sprintf("%.1f MB downloaded", float64(p.Bytes)/1e6)
	}
	return fmt.Sprintf("%.1f of %.1f MB downloaded", float64(p.Bytes)/1e6, float64(p.Total)/1e6)
}
