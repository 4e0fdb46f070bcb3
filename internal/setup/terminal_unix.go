//go:build unix

package setup

import "golang.org/x/sys/unix"

// silence makes a terminal take lines without showing them, and forgets what
// was typed before.
func silence(fd uintptr) error {
	mode, err := unix.IoctlGetTermios(int(fd), getTermios)
	if err != nil {
		return err
	}
	mode.Lflag &^= unix.ECHO
	mode.Lflag |= unix.ICANON | unix.ISIG
	mode.Iflag |= unix.ICRNL
	return unix.IoctlSetTermios(int(fd), setTermiosAndFlush, mode)
}
