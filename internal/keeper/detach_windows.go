package keeper

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/windows"
)

// detachments are the ways to make a command's process one of its own: without
// the server's console, and in no folder that somebody may want to remove;
// outside the client's job object, whose end would be its own, or, where that is
// not allowed, inside it.
var detachments = []func(*exec.Cmd){
	func(cmd *exec.Cmd) { detach(cmd, windows.CREATE_BREAKAWAY_FROM_JOB) },
	func(cmd *exec.Cmd) { detach(cmd, 0) },
}

func detach(cmd *exec.Cmd, flags uint32) {
	cmd.Dir = filepath.VolumeName(os.Getenv("SystemRoot")) + `\`
	cmd.SysProcAttr = &syscall.SysProcAttr{HideWindow: true, CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP | flags}
}

// Orphan returns false: nothing is done about a keeper's parent here.
func Orphan() (bool, error) { return false, nil }

// Program returns the path of the running program.
func Program() (string, error) { return os.Executable() }
