//go:build unix

package main

import (
	"net"
	"os"
	"syscall"
)

// closeQueue closes a listener and returns the connections that were queued for it. It
// closes right after the last accept, so that hardly any connection can come between.
func closeQueue(l *net.TCPListener) (conns []net.Conn) {
	var accepted []int
	if raw, err := l.SyscallConn(); err == nil {
		_ = raw.Control(func(listener uintptr) {
			for {
				fd, _, err := syscall.Accept(int(listener))
				if err == syscall.EINTR || err == syscall.ECONNABORTED {
					continue
				}
				if err != nil { // mostly that there are no more
					return
				}
				accepted = append(accepted, fd)
			}
		})
	}
	_ = l.Close()
	for _, fd := range accepted {
		file := os.NewFile(uintptr(fd), "")
		if conn, err := net.FileConn(file); err == nil { // which copies the descriptor
			conns = append(conns, conn)
		}
		_ = file.Close()
	}
	return conns
}
