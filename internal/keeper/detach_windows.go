package keeper

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/windows"
)

// detachments are the ways to detach a command's process from the server, in order
// of preference: outside the client's job object, whose end would end the process,
// and, where that is not allowed, inside it. In both it has no console, and its
// folder is one that nobody wants to remove.
var detachments = []func(*exec.Cmd){
	func(cmd *exec.Cmd) { detach(cmd, windows.CREATE_BREAKAWAY_FROM_JOB) },
	func(cmd *exec.Cmd) { detach(cmd, 0) },
}

func detach(cmd *exec.Cmd, flags uint32) {
	cmd.Dir = filepath.VolumeName(os.Getenv("SystemRoot")) + `\`
	cmd.SysProcAttr = &syscall.SysProcAttr{HideWindow: true, CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP | flags}
}

// Orphan returns false: on Windows a keeper stays the child of its server.
func Orphan() (bool, error) { return false, nil }

// Program returns a path that starts the running program.
func Program() (string, error) { return os.Executable() }
