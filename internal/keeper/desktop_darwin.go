package keeper

import (
	"context"
	"os/exec"
)

// HasDesktop reports whether env is one in which notices can be shown.
func HasDesktop(getenv func(string) string) bool { return getenv("SSH_CONNECTION") == "" }

// Show shows a notice on the desktop. Its words are arguments of the script, and
// so no part of it.
func Show(ctx context.Context, n Notice) error {
	return exec.CommandContext(ctx, "osascript", "-e", "on run argv", "-e", "display notification (item 2 of argv) with title (item 1 of argv)", "-e", "end run",
		"--", n.Title, n.Text).Run()
}
