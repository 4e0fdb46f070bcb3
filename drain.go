// This file ends the command http: nothing that a client was promised is cut off,
// and a proxy finds out in time that it is to go to another replica.

package main

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"pixazo-mcp/internal/web"
)

const (
	lull       = 200 * time.Millisecond // between the last new connection and the refusal of new calls
	finishTime = 10 * time.Minute       // longer than any submission takes
)

// drain lets what is under way come to its end, in this order: no new connections,
// no new calls, the answers to those in flight, submissions. A proxy that can't
// connect turns to another replica; a call that it has sent it must not send again,
// so what is sent is answered. served is closed when the server accepts no more.
func (h *house) drain(handler *web.Server, server *http.Server, listener net.Listener, served <-chan struct{}) {
	h.log.Info("no new calls")
	grace, cancel := context.WithTimeout(context.Background(), h.settings.HTTP.DrainTime)
	defer cancel()
	handler.Leave()
	_ = listener.Close()
	<-served
	time.Sleep(lull)
	handler.Drain()
	h.tracker.Drain()
	h.saver.Drain()
	if server.Shutdown(grace) != nil {
		h.log.Warn("calls still in flight are cut off")
	}
	finish, cancel := context.WithTimeout(context.Background(), finishTime)
	defer cancel()
	h.tracker.Finish(finish)
	h.saver.Finish()
}

// lastListener is a listener that hands out what the system has accepted for it
// before it closes. Closed at once, it would reset those connections, and the calls
// that were sent on them would be lost.
type lastListener struct {
	*net.TCPListener
	closing atomic.Bool

	// Of Accept, which is not called twice at a time.
	closed bool
	rest   []net.Conn
}

// Close has Accept return what is queued, close the listener, and return an error
// from then on. The listener stays open when Accept is not called any more.
func (l *lastListener) Close() error {
	l.closing.Store(true)
	return l.SetDeadline(time.Unix(1, 0)) // wakes Accept
}

// Accept implements net.Listener.
func (l *lastListener) Accept() (net.Conn, error) {
	if !l.closed {
		conn, err := l.TCPListener.Accept()
		if err == nil || !l.closing.Load() {
			return conn, err
		}
		l.rest, l.closed = closeQueue(l.TCPListener), true
	}
	if len(l.rest) == 0 {
		return nil, net.ErrClosed
	}
	conn := l.rest[0]
	l.rest = l.rest[1:]
	return conn, nil
}
