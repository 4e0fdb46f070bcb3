// This file ends the command http so that no accepted call is cut off, and a proxy
// notices in time that it has to use another replica.

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
	drainDelay = 200 * time.Millisecond // from the closing of the listener to the refusal of new calls
	finishTime = 10 * time.Minute       // longer than any submission takes
)

// drain closes the listener, then refuses new calls, then waits for the answers to
// calls in flight, then for submissions. A proxy that can't connect tries another
// replica, but must not repeat a call that it has sent; so the connections that are
// made already are still served. served is closed when the server has stopped
// accepting.
func (a *app) drain(handler *web.Server, server *http.Server, listener net.Listener, served <-chan struct{}) {
	a.log.Info("no new calls")
	grace, cancel := context.WithTimeout(context.Background(), a.settings.HTTP.DrainTime)
	defer cancel()
	handler.Leave()
	_ = listener.Close()
	<-served
	time.Sleep(drainDelay)
	handler.Drain()
	a.tracker.Drain()
	if server.Shutdown(grace) != nil {
		a.log.Warn("calls still in flight are cut off")
	}
	finish, cancel := context.WithTimeout(context.Background(), finishTime)
	defer cancel()
	a.tracker.Finish(finish)
	a.saver.Finish()
}

// drainingListener is a listener that, when it is closed, first hands out the connections
// that the system has accepted and queued. Closing the socket resets those, and calls
// sent on them would be lost.
type drainingListener struct {
	*net.TCPListener
	closing atomic.Bool

	// Used by Accept alone, which is not called concurrently.
	closed bool
	queued []net.Conn
}

// Close makes Accept close the socket, return the queued connections one by one, and
// then net.ErrClosed. The socket stays open if Accept is not called again.
func (l *drainingListener) Close() error {
	l.closing.Store(true)
	return l.SetDeadline(time.Unix(1, 0)) // wakes Accept
}

// Accept implements net.Listener.
func (l *drainingListener) Accept() (net.Conn, error) {
	if !l.closed {
		conn, err := l.TCPListener.Accept()
		if err == nil || !l.closing.Load() {
			return conn, err
		}
		l.queued, l.closed = closeQueue(l.TCPListener), true
	}
	if len(l.queued) == 0 {
		return nil, net.ErrClosed
	}
	conn := l.queued[0]
	l.queued = l.queued[1:]
	return conn, nil
}
