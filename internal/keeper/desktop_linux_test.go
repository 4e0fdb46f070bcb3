package keeper

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bus starts a session bus of the test's own, with a real notification service
// on a screen of its own, and returns what it has shown. PIXAZO_TEST_DESKTOP=1
// requires the programs; else the test is skipped where they are missing.
func bus(t *testing.T) (address string, shown func() [][2]string) {
	t.Helper()
	for _, program := range []string{"dbus-daemon", "Xvfb", "dunst", "dunstctl"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("PIXAZO_TEST_DESKTOP") != "" {
				t.Fatal(err)
			}
			t.Skip("needs a session bus, a screen and a notification service: ", err)
		}
	}
	address = "unix:path=" + filepath.Join(t.TempDir(), "bus")
	start(t, nil, "dbus-daemon", "--session", "--nofork", "--print-address=1", "--address="+address)
	display := start(t, nil, "Xvfb", "-displayfd", "1", "-nolisten", "tcp")
	env := []string{"DBUS_SESSION_BUS_ADDRESS=" + address, "DISPLAY=:" + display, "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	conf := filepath.Join(t.TempDir(), "dunstrc")
	if err := os.WriteFile(conf, []byte("[global]\n markup = full\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, env, "dunst", "-conf", conf)
	return address, func() (all [][2]string) {
		closeAll := exec.Command("dunstctl", "close-all") // what is closed is in the history
		closeAll.Env = env
		_ = closeAll.Run()
		cmd := exec.Command("dunstctl", "history")
		cmd.Env = env
		out, err := cmd.Output()
		if err != nil {
			return nil // it is not there yet
		}
		type word struct{ Data string }
		var history struct {
			Data [][]map[string]json.RawMessage
		}
		if err := json.Unmarshal(out, &history); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, list := range history.Data {
			for _, n := range list {
				var title, body word
				_ = json.Unmarshal(n["summary"], &title)
				_ = json.Unmarshal(n["body"], &body)
				all = append(all, [2]string{title.Data, body.Data})
			}
		}
		return all
	}
}

// run starts a program that the test ends.
func run(t *testing.T, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = env
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

// start starts a program that the test ends, and returns the first line it says.
func start(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = env
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return strings.TrimSpace(line)
}

func TestANoticeIsShownAsText(t *testing.T) {
	address, shown := bus(t)
	for name, env := range map[string]map[string]string{
		"the bus is named":             {"DBUS_SESSION_BUS_ADDRESS": address},
		"by the user's runtime folder": {"XDG_RUNTIME_DIR": filepath.Dir(strings.TrimPrefix(address, "unix:path="))},
	} {
		t.Run(name, func(t *testing.T) {
			for _, variable := range []string{"DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"} {
				t.Setenv(variable, env[variable])
			}
			if !HasDesktop(os.Getenv) {
				t.Fatal("no desktop is seen")
			}
			want := Notice{"Video saved", quoted("--urgency=critical <b>bold</b> & \"quotes\"\n$(touch x) "+name) + "\nvideo.mp4"}
			deadline := time.Now().Add(time.Minute)
			for Show(t.Context(), want) != nil { // the service is starting
				if time.Now().After(deadline) {
					t.Fatal(Show(t.Context(), want))
				}
				time.Sleep(50 * time.Millisecond)
			}
			for _, n := range shown() {
				text := strings.NewReplacer("&lt;", "<", "&gt;", ">", "&#34;", `"`, "&quot;", `"`, "&amp;", "&", "&#39;", "'").Replace(n[1])
				if n[0] == want.Title && text == want.Text {
					if strings.Contains(n[1], "<b>") {
						t.Errorf("markup was passed on: %q", n[1])
					}
					return
				}
			}
			t.Errorf("shown %q, want %q", shown(), want)
		})
	}
}

func TestNoDesktopIsSilent(t *testing.T) {
	none := func(string) string { return "" }
	if os.Getuid() == 0 && HasDesktop(none) {
		t.Skip("root has a session here")
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
	if err := Show(t.Context(), Notice{"Video saved", "x"}); err == nil {
		t.Error("it says that it was shown")
	}
}
