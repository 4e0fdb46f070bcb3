//go:build !windows

package keeper

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// detachments are the ways to detach a command's process from the server, in order
// of preference. Here there is one: a session of its own, so that signals to the
// server's process group or terminal do not reach it. Its folder is one that nobody
// wants to remove.
var detachments = []func(*exec.Cmd){func(cmd *exec.Cmd) {
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}}

// Orphan makes the keeper a process without a parent, since some clients end all
// descendants of their server. In the process that a server started it starts the
// keeper, in the same session, and returns true: the caller is to end. In the keeper
// it returns false.
func Orphan() (bool, error) {
	if session, err := unix.Getsid(0); err != nil || session != os.Getpid() {
		return false, nil
	}
	program, err := Program()
	if err != nil {
		return true, err
	}
	cmd := &exec.Cmd{Path: program, Args: os.Args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	return true, cmd.Start()
}

// Program returns a path that starts the running program. On Linux it does so even
// when the file was replaced or, as by "go run", deleted.
func Program() (string, error) {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err == nil {
		return self, nil
	}
	return os.Executable()
}
