//go:build unix

package jobs

import (
	"errors"
	"syscall"
)

// alive reports whether a process of this computer still runs. One of another
// user counts as running.
func alive(process int) bool {
	err := syscall.Kill(process, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
