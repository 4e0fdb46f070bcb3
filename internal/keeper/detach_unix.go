//go:build !windows

package keeper

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// detachments are the ways to make a command's process one of its own: in a
// session of its own, so that what is sent to the server's process group or
// terminal does not reach it, and in no folder that somebody may want to remove.
var detachments = []func(*exec.Cmd){func(cmd *exec.Cmd) {
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}}

// Orphan makes a keeper nobody's child: some clients end whatever descends from
// their server. It returns true in the process that a server started, which has
// then started the keeper, in the same session, and is to end.
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

// Program returns the path of the running program. On Linux that is the program
// itself also when its file was replaced or, as "go run" does, deleted.
func Program() (string, error) {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err == nil {
		return self, nil
	}
	return os.Executable()
}
