//go:build unix

package main

import (
	"net"
	"os"
	"syscall"
)

// closeQueue closes a listener and returns the connections that were queued for it.
// Between the last of them and the end is nothing but a system call.
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
		if conn, err := net.FileConn(file); err == nil { // a copy
			conns = append(conns, conn)
		}
		_ = file.Close()
	}
	return conns
}
