package download

import (
	"os"

	"golang.org/x/sys/unix"
)

// beginWriting has the disk begin with n bytes of file from first on, and does
// not wait for it: the sync at the end of a transfer then finds little left.
func beginWriting(file *os.File, first, n int64) {
	conn, err := file.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		_ = unix.SyncFileRange(int(fd), first, n, unix.SYNC_FILE_RANGE_WRITE)
	})
}
