package wire

import "runtime"

// GrowStack makes the stack of the calling goroutine large enough for most of what a
// server does. A stack that grows later, deep in calls, costs resident memory: the
// runtime then reads its tables of every function on it, and the kernel keeps what was
// read, with 64 KB around it (BenchmarkIdleMemory). use must be false; without it the
// compiler would leave room out.
//
//go:noinline
func GrowStack(use bool) {
	if use {
		var room [16 << 10]byte
		runtime.KeepAlive(&room)
	}
}
