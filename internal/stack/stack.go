// Package stack makes stacks large while they are shallow. A stack that grows later, deep
// in calls, costs resident memory: the runtime then reads its tables of every function
// on it, and the kernel keeps what was read, with 64 KB around it (BenchmarkIdleMemory).
package stack

import "runtime"

// The packages of the program are initialized on the main goroutine, on whose stack main
// runs later. This one needs no other, so it is among the first.
func init() { Grow(false) }

// Grow makes the stack of the calling goroutine large enough for most of what a server
// does. use must be false; without it the compiler would leave room out.
//
//go:noinline
func Grow(use bool) {
	if use {
		var room [16 << 10]byte
		runtime.KeepAlive(&room)
	}
}
