// This file words the notices that a person gets on the desktop.

package keeper

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	stalledAfter = time.Hour        // how long a job does not change before somebody should look
	noticeTime   = 20 * time.Second // for the desktop to take a notice; Windows' PowerShell starts slowly
)

// Notice is a title of ours, and a text that names the video.
type Notice struct{ Title, Text string }

// noticeOf returns the notice of a row as it stands. ok is false while there is
// nothing to tell, and when none is wanted or it was given.
func noticeOf(row journal.Row, now time.Time) (n Notice, ok bool) {
	if !row.Save.Notify || !row.Save.Told.IsZero() {
		return Notice{}, false
	}
	about := about(row.Prompt)
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
	case row.Pending() && !row.ChangedAt.IsZero() && now.Sub(row.ChangedAt) > stalledAfter && now.Sub(row.ChangedAt) < within:
		return Notice{"Video takes long", about + "\nNothing has changed for an hour."}, true
	}
	return Notice{}, false
}

// about is a prompt as a notice shows it: short, on one line, and in quotation
// marks, so that it is never taken for an option or a title.
func about(prompt string) string { return "“" + text.Clean(prompt, 80) + "”" }

// holder names this process in a lease.
func holder(version string) string {
	return fmt.Sprintf("%s pid %d %s", version, os.Getpid(), rand.Text())
}

// tell gives the row's notice when there is one to be given.
func (k *Keeper) tell(ctx context.Context, row journal.Row) {
	now := time.Now()
	notice, due := noticeOf(row, now)
	if !due {
		return
	}
	first, err := k.o.Journal.Tell(ctx, row.ID)
	attended := row.Save.Attended.After(now) && row.Save.Attended.Before(now.Add(maxAhead))
	if err != nil || !first || k.o.Notify == nil || attended {
		return
	}
	k.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noticeTime)
		defer cancel()
		if err := k.o.Notify(ctx, notice); err != nil {
			k.o.Logger.Debug("no notice could be given", "error", err)
		}
	})
}
