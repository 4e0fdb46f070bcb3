// These tests type on a pseudo-terminal.

package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudo-terminal: what is written to keyboard is typed on
// screen, and what screen shows is read from keyboard.
func terminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skip(err)
	}
	keyboard = os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { _ = keyboard.Close() })
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Skip(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	return keyboard, screen
}

// typing types an answer as soon as it is prompted, and returns when the
// terminal has taken it: what the terminal echoes of it is echoed by then.
type typing struct {
	keyboard, screen *os.File
	answer           string
	prompts          int
}

func (w *typing) Write(p []byte) (int, error) {
	if w.prompts++; w.prompts > 1 {
		return len(p), nil
	}
	_, _ = io.WriteString(w.keyboard, w.answer)
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		if n, err := unix.IoctlGetInt(int(w.screen.Fd()), unix.TIOCINQ); err != nil || n > 0 {
			break
		}
	}
	return len(p), nil
}

// A key pasted the moment the prompt appeared was shown half of the time.
func TestKeyIsNotShownWhenItIsTypedAtOnce(t *testing.T) {
	for _, tt := range []struct{ answer, want string }{
		{testKey + "\n", testKey},
		{testKey + "\r", testKey},                        // as the Enter key sends it
		{"\x1b[200~" + testKey + "\x1b[201~\r", testKey}, // pasted, in a terminal that marks it
		{"\x04", ""}, // Ctrl-D
		{"\x03", ""}, // Ctrl-C
		{"abc\x03", ""},
		{testKey + "\x04\r", testKey}, // Ctrl-D ends nothing within a line
	} {
		keyboard, screen := terminal(t)
		before, err := unix.IoctlGetTermios(int(screen.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Stdin: screen, Stdout: io.Discard, Stderr: &typing{keyboard: keyboard, screen: screen, answer: tt.answer}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		got, err := o.readKey(ctx)
		cancel()
		if strings.TrimSpace(got) != tt.want || err != nil {
			t.Errorf("%q: got %q, %v", tt.answer, got, err)
		}
		after, err := unix.IoctlGetTermios(int(screen.Fd()), unix.TCGETS)
		if err != nil || *after != *before {
			t.Errorf("%q: the terminal was left as %+v, not %+v, %v", tt.answer, after, before, err)
		}
		_ = keyboard.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if shown, _ := io.ReadAll(keyboard); strings.Contains(string(shown), testKey[:4]) {
			t.Errorf("%q: the terminal showed %q", tt.answer, shown)
		}
	}
}

func TestTerminalShowsWhatIsTypedAgainWhenTheCommandIsStopped(t *testing.T) {
	_, screen := terminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := Options{Stdin: screen, Stdout: io.Discard, Stderr: io.Discard}
	if _, err := o.readKey(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if mode, err := unix.IoctlGetTermios(int(screen.Fd()), unix.TCGETS); err != nil || mode.Lflag&unix.ECHO == 0 {
		t.Errorf("mode %+v, %v", mode, err)
	}
}
