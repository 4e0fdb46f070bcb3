// This file tests what is said of a full disk, whichever call meets it.

package download

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"pixazo-mcp/pixazo"
)

func TestDiskErrors(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "/out/.pixazo-X.part", Err: syscall.ENOSPC}
	quota := &fs.PathError{Op: "write", Path: "/out/.pixazo-X.part", Err: syscall.EDQUOT}
	if os.PathSeparator == '\\' {
		full.Err, quota.Err = syscall.Errno(112), syscall.Errno(39)
	}
	for _, test := range []struct {
		err         error
		done, total int64
		want        string
	}{
		{full, 20_900_000, 200_024_000, "the disk is full: it needs 200.0 MB and there was room for 20.9 MB; free some"},
		{quota, 20_900_000, 200_024_000, "the disk is full: it needs 200.0 MB and there was room for 20.9 MB; free some"},
		{full, 20_900_000, -1, "the disk is full: it needs more and there was room for 20.9 MB; free some"},
		{full, 200_024_000, 200_024_000, "the disk is full: it needs 200.0 MB and there was room for less; free some"}, // told by the sync
		{&fs.PathError{Op: "write", Path: "/out/.pixazo-X.part", Err: syscall.EIO}, 0, -1, "the file can't be written: " + syscall.EIO.Error()},
		{errors.New("odd"), 0, -1, "the file can't be written: odd"},
	} {
		p := &part{done: test.done, total: test.total}
		err := p.diskError(test.err)
		if !pixazo.IsCode(err, pixazo.DownloadFailed) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), ".part") {
			t.Errorf("diskError(%v) = %v, want %q", test.err, err, test.want)
		}
	}
	if err := (&part{}).diskError(nil); err != nil {
		t.Errorf("diskError(nil) = %v", err)
	}
}
