//go:build !linux && !darwin && !windows

package keeper

import (
	"context"
	"errors"
)

// HasDesktop reports whether env is one in which notices can be shown.
func HasDesktop(func(string) string) bool { return false }

// Show shows no notice on this system.
func Show(context.Context, Notice) error { return errors.ErrUnsupported }
