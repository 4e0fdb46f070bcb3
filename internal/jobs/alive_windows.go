package jobs

import "golang.org/x/sys/windows"

// alive reports whether a process of this computer still runs. One that this
// user may not ask about counts as running.
func alive(process int) bool {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(process))
	if err != nil {
		return err != windows.ERROR_INVALID_PARAMETER // the error for a process that is not there
	}
	defer func() { _ = windows.CloseHandle(h) }()
	event, err := windows.WaitForSingleObject(h, 0)
	return err != nil || event == uint32(windows.WAIT_TIMEOUT)
}
