package main

import "net"

// closeQueue closes a listener. What is queued for it can't be had on Windows.
func closeQueue(l *net.TCPListener) []net.Conn {
	_ = l.Close()
	return nil
}
