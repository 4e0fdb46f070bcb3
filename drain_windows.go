package main

import "net"

// closeQueue closes a listener. On Windows the queued connections can't be taken out.
func closeQueue(l *net.TCPListener) []net.Conn {
	_ = l.Close()
	return nil
}
