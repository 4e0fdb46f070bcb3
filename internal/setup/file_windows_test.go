// This test has a configuration open as a client on Windows may have it.

package setup

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

func TestInstallWaitsForAnOpenConfigurationAndNamesItsClient(t *testing.T) {
	for _, closes := range []bool{true, false} {
		b := newBench(t, "windows")
		file := b.path(".cursor/mcp.json")
		b.write(file, "{}", 0o600)
		name, err := windows.UTF16PtrFromString(file)
		if err != nil {
			t.Fatal(err)
		}
		handle, err := windows.CreateFile(name, windows.GENERIC_READ, 0, nil, windows.OPEN_EXISTING, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan struct{})
		closeIt := func() {
			_ = windows.CloseHandle(handle)
			close(closed)
		}
		if closes {
			time.AfterFunc(300*time.Millisecond, closeIt)
		}
		err = b.run("install", "cursor", "--sandbox")
		if !closes {
			closeIt()
		}
		<-closed
		if (err == nil) != closes || err != nil && !strings.Contains(err.Error(), "if Cursor is running, quit it") {
			t.Errorf("closes: %v, error %v", closes, err)
		}
		if strings.Contains(b.read(file), sandboxName) != closes {
			t.Errorf("closes: %v, and it has %s", closes, b.read(file))
		}
	}
}
