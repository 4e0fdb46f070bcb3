// This file writes the desktop notices, and decides when one is shown.

package keeper

import (
	"context"
	"path/filepath"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	stalledAfter = time.Hour        // without a change of the job
	noticeTime   = 20 * time.Second // the longest time to show a notice; Windows' PowerShell starts slowly
)

// Notice is a desktop notification. Only its text has words from outside.
type Notice struct{ Title, Text string }

// noticeOf returns the notice that a row calls for. ok is false if there is none
// yet, none is wanted, or it was shown already.
func noticeOf(row journal.Row, now time.Time) (n Notice, ok bool) {
	if !row.Save.Notify || !row.Save.Told.IsZero() {
		return Notice{}, false
	}
	about := quoted(row.Prompt)
	status := row.Job.Status
	switch {
	case len(row.Saved) > 0:
		return Notice{"Video saved", about + "\n" + text.Clean(filepath.Base(row.Saved[0].Path), 120)}, true
	case status == pixazo.Completed && row.Save.Folder == "":
		return Notice{"Video ready", about}, true
	case status == pixazo.Completed && row.Save.Tries >= journal.MaxSaves:
		return Notice{"Video could not be saved", about}, true
	case status.Failed():
		return Notice{"Video failed", about}, true
	case row.State == journal.Uncertain && row.Job.RequestID == "":
		return Notice{"Video request uncertain", about + "\nIt may have been accepted and charged."}, true
	case row.Pending() && !row.ChangedAt.IsZero() && now.Sub(row.ChangedAt) > stalledAfter && now.Sub(row.ChangedAt) < jobs.MaxAge:
		return Notice{"Video takes long", about + "\nNothing has changed for an hour."}, true
	}
	return Notice{}, false
}

// quoted returns a prompt for a notice: short, on one line, and in quotation marks,
// so that notify-send can't take it for an option.
func quoted(prompt string) string { return "“" + text.Clean(prompt, 80) + "”" }

// notify shows the row's notice in the background, if one is due and no other
// process has claimed it. While a call waits for the job, or without a desktop, the
// notice is claimed and not shown. With an error the notice could not be claimed.
func (k *Keeper) notify(ctx context.Context, row journal.Row) error {
	now := time.Now()
	notice, due := noticeOf(row, now)
	if !due {
		return nil
	}
	first, err := k.o.Journal.ClaimNotice(ctx, row.ID)
	attended := row.Save.Attended.After(now) && row.Save.Attended.Before(now.Add(maxAhead))
	if err != nil || !first || k.o.Notify == nil || attended {
		return err
	}
	k.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noticeTime)
		defer cancel()
		if err := k.o.Notify(ctx, notice); err != nil {
			k.o.Logger.Debug("no notice could be given", "error", err)
		}
	})
	return nil
}
