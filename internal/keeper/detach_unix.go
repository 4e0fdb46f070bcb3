//go:build !windows

package keeper

import (
	"os"
	"os/exec"
	"syscall"
)

// detachments are the ways to make a command's process one of its own: in a
// session of its own, so that what is sent to the server's process group or
// terminal does not reach it, and in no folder that somebody may want to remove.
var detachments = []func(*exec.Cmd){func(cmd *exec.Cmd) {
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}}

// Program returns the path of the running program. On Linux that is the program
// itself also when its file was replaced or, as "go run" does, deleted.
func Program() (string, error) {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err == nil {
		return self, nil
	}
	return os.Executable()
}
