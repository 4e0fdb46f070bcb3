//go:build !darwin && !windows

package keeper

import (
	"context"
	"errors"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/godbus/dbus/v5"
)

// HasDesktop reports whether notices can be shown with these environment variables.
func HasDesktop(getenv func(string) string) bool { return busAddress(getenv) != "" }

// busAddress returns the address of the user's session bus, "" if there is none. If
// no variable names it, since a client need not pass all of them on, its socket is
// looked for in the user's runtime directory.
func busAddress(getenv func(string) string) string {
	if address := getenv("DBUS_SESSION_BUS_ADDRESS"); address != "" {
		return address
	}
	dirs := []string{getenv("XDG_RUNTIME_DIR"), fmt.Sprintf("/run/user/%d", os.Getuid())}
	for _, dir := range dirs {
		path := filepath.Join(dir, "bus")
		if info, err := os.Stat(path); dir != "" && err == nil && info.Mode()&os.ModeSocket != 0 {
			return "unix:path=" + path
		}
	}
	return ""
}

// Show shows a notice on the desktop: over D-Bus, or else with notify-send.
func Show(ctx context.Context, n Notice) error {
	address := busAddress(os.Getenv)
	if address == "" {
		return errors.New("there is no session bus")
	}
	err := showOnBus(ctx, address, n)
	if err == nil {
		return nil
	}
	program, lookErr := exec.LookPath("notify-send")
	if lookErr != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, "--app-name=Pixazo", "--icon=video-x-generic", "--", n.Title, html.EscapeString(n.Text))
	cmd.Env = append(os.Environ(), "DBUS_SESSION_BUS_ADDRESS="+address)
	return cmd.Run()
}

// showOnBus calls Notify of the Desktop Notifications Specification, version 1.3.
func showOnBus(ctx context.Context, address string, n Notice) error {
	conn, err := dbus.Connect(address, dbus.WithContext(ctx))
	if err != nil {
		return err
	}
	defer conn.Close()
	const service = "org.freedesktop.Notifications"
	desktop := conn.Object(service, "/org/freedesktop/Notifications")
	var capabilities []string
	if err := desktop.CallWithContext(ctx, service+".GetCapabilities", 0).Store(&capabilities); err != nil {
		return err
	}
	text := n.Text
	if slices.Contains(capabilities, "body-markup") {
		text = html.EscapeString(text)
	}
	return desktop.CallWithContext(ctx, service+".Notify", 0, "Pixazo", uint32(0), "video-x-generic", n.Title, text,
		[]string{}, map[string]dbus.Variant{}, int32(-1)).Err
}
