// Package stack makes stacks large while they are shallow. A stack that grows later, deep
// in calls, costs resident memory: the runtime then reads its tables of every function
// on it, and the kernel keeps what was read, with 64 KB around it (BenchmarkIdleMemory).
package stack

import "runtime"

// The packages of the program are initialized on the main goroutine, on whose stack main
// runs later. This one needs no other, so it is among the first.
func init() { grow(false) }

// Go calls f on a new goroutine with a large stack. What a stdio server runs while it is
// idle is begun here, since the runtime also reads its tables of the function that a
// goroutine begins with.
func Go(f func()) { go run(f) }

func run(f func()) {
	grow(false)
	f()
}

// grow makes the stack of the calling goroutine large enough for most of what a server
// does. use must be false; without it the compiler would leave room out.
//
//go:noinline
func grow(use bool) {
	if use {
		var room [16 << 10]byte
		runtime.KeepAlive(&room)
	}
}
