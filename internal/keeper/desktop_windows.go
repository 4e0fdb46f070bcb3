package keeper

import (
	"context"
	"os"
	"os/exec"
	"syscall"
)

// HasDesktop reports whether notices can be shown with these environment variables.
func HasDesktop(getenv func(string) string) bool { return getenv("SSH_CONNECTION") == "" }

// toast is a script that shows a notification in the name of PowerShell, since
// Windows shows none of an application that is not installed. The words are in
// environment variables, not part of the script, so none of them can be run.
const toast = `$ErrorActionPreference = 'Stop'
[void][Windows.UI.Notifications.ToastNotificationManager, Windows.UI.Notifications, ContentType = WindowsRuntime]
$x = [Windows.UI.Notifications.ToastNotificationManager]::GetTemplateContent([Windows.UI.Notifications.ToastTemplateType]::ToastText02)
$t = $x.GetElementsByTagName('text')
[void]$t.Item(0).AppendChild($x.CreateTextNode($env:PIXAZO_NOTICE_TITLE))
[void]$t.Item(1).AppendChild($x.CreateTextNode($env:PIXAZO_NOTICE_TEXT))
$id = '{1AC14E77-02E7-4E5D-B744-2EB1AE5198B7}\WindowsPowerShell\v1.0\powershell.exe'
[Windows.UI.Notifications.ToastNotificationManager]::CreateToastNotifier($id).Show([Windows.UI.Notifications.ToastNotification]::new($x))`

// Show shows a notice on the desktop.
func Show(ctx context.Context, n Notice) error {
	cmd := exec.CommandContext(ctx, "powershell.exe", "-NoProfile", "-NonInteractive", "-Command", toast)
	cmd.Env = append(os.Environ(), "PIXAZO_NOTICE_TITLE="+n.Title, "PIXAZO_NOTICE_TEXT="+n.Text)
	cmd.SysProcAttr = &syscall.SysProcAttr{HideWindow: true}
	return cmd.Run()
}
