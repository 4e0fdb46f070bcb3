// Package disktest is for the tests of several packages.
package disktest

import (
	"os"
	"testing"
)

// Link makes a symbolic link, or skips the test where there are none: Windows wants
// a privilege for them, and Wine 8 makes folders that lead nowhere.
func Link(t testing.TB, target, path string) {
	t.Helper()
	err := os.Symlink(target, path)
	if err == nil {
		_, err = os.Readlink(path)
	}
	if err != nil {
		t.Skip("no symbolic links here:", err)
	}
}
