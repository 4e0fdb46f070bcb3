package keeper

import (
	"context"
	"os/exec"
)

// HasDesktop reports whether notices can be shown with these environment variables.
func HasDesktop(getenv func(string) string) bool { return getenv("SSH_CONNECTION") == "" }

// Show shows a notice on the desktop. Its words are arguments of the script, not
// part of its text, so none of them can be run.
func Show(ctx context.Context, n Notice) error {
	return exec.CommandContext(ctx, "osascript", "-e", "on run argv", "-e", "display notification (item 2 of argv) with title (item 1 of argv)", "-e", "end run",
		"--", n.Title, n.Text).Run()
}
