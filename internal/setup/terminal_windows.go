package setup

import "golang.org/x/sys/windows"

// silence makes a console take lines without showing them, and forgets what
// was typed before.
func silence(fd uintptr) error {
	var mode uint32
	if err := windows.GetConsoleMode(windows.Handle(fd), &mode); err != nil {
		return err
	}
	mode &^= windows.ENABLE_ECHO_INPUT
	mode |= windows.ENABLE_PROCESSED_INPUT | windows.ENABLE_LINE_INPUT
	if err := windows.SetConsoleMode(windows.Handle(fd), mode); err != nil {
		return err
	}
	return windows.FlushConsoleInputBuffer(windows.Handle(fd))
}
