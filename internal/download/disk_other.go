//go:build !linux && !darwin && !windows

package download

import "errors"

// freeSpace is not known here; a full disk is met when writing.
func freeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }

func syncDir(string) {}
