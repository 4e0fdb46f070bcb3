package wire

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync/atomic"
)

// ErrClosed is the error of a message about a call that was answered or
// cancelled: it was not sent.
var ErrClosed = errors.New("the call is answered or cancelled")

// call is a request of the client that is being served.
type call struct {
	Message
	cancel context.CancelFunc
	done   chan struct{} // closed when the call is over

	// Nothing more is sent about a closed call: it was answered, or the client
	// cancelled it (specification 2026-07-28, "Cancellation": the server MUST
	// NOT send any further messages for it).
	closed atomic.Bool

	errorCode atomic.Int64 // of SetErrorCode; 0 leaves mcp-go's
}

type callKey struct{}

// writer sends messages to the client, one at a time.
type writer struct {
	out    func(message []byte) error
	turn   chan struct{} // holds one element while a message is sent; unlike a mutex, it lets a test's fake time go on
	failed bool          // guarded by turn
	broken chan struct{} // closed when out has failed
}

// write sends message, unless wanted says no when all earlier messages are
// sent.
func (w *writer) write(message any, wanted func() bool) error {
	raw, err := json.Marshal(message)
	if err != nil {
		return err
	}
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	if !wanted() {
		return ErrClosed
	}
	if w.failed {
		return io.ErrClosedPipe
	}
	if err = w.out(raw); err != nil {
		w.failed = true
		close(w.broken)
	}
	return err
}

// end closes a call once all about it is sent, and reports whether it was open.
func (w *writer) end(c *call) bool {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	return !c.closed.Swap(true)
}

// send sends message. If ctx is that of a call, nothing is sent once the call
// is closed, and last closes it.
func (w *writer) send(ctx context.Context, message any, last bool) error {
	c, _ := ctx.Value(callKey{}).(*call)
	return w.write(message, func() bool {
		return c == nil || !c.closed.Load() && (!last || !c.closed.Swap(true))
	})
}
