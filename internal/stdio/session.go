// This file is the one client at the other end of the pipe: what mcp-go asks
// of a session, and the writer through which everything to the client goes.

package stdio

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/mark3labs/mcp-go/mcp"
)

// call is one request of the client's that has not been answered yet.
type call struct {
	id     string // as it stands in the message, white space aside
	method string
	cancel context.CancelFunc

	// Nothing more is sent about a closed call: it was answered, or the client
	// cancelled it (specification 2026-07-28, "Cancellation": the server MUST
	// NOT send any further messages for it).
	closed atomic.Bool
}

type callKey struct{}

// session implements mcp-go's ClientSession for the client on the pipe.
type session struct {
	initialized   atomic.Bool
	notifications chan mcp.JSONRPCNotification

	mu     sync.Mutex // one whole line at a time
	out    io.Writer
	broken chan struct{} // closed when out fails: nobody reads any more
	failed bool
}

func newSession(out io.Writer) *session {
	return &session{out: out, broken: make(chan struct{}), notifications: make(chan mcp.JSONRPCNotification, 100)}
}

func (s *session) SessionID() string { return "stdio" }
func (s *session) Initialize()       { s.initialized.Store(true) }
func (s *session) Initialized() bool { return s.initialized.Load() }

// NotificationChannel takes what mcp-go itself sends, such as list changes.
// What belongs to a call goes through Notify, in order with its answer.
func (s *session) NotificationChannel() chan<- mcp.JSONRPCNotification { return s.notifications }

// Notify sends a notification that belongs to the call behind ctx, before that
// call's answer or not at all. mcp-go's own way, a channel, delivers it after
// the answer when the handler returns at once.
func (s *session) Notify(ctx context.Context, method string, params map[string]any) error {
	return s.send(ctx, struct {
		JSONRPC string         `json:"jsonrpc"`
		Method  string         `json:"method"`
		Params  map[string]any `json:"params"`
	}{mcp.JSONRPC_VERSION, method, params}, false)
}

var errClosed = errors.New("the call is answered or cancelled")

// send writes message as one line. With a call in ctx, it writes nothing once
// the call is closed, and last closes it.
func (s *session) send(ctx context.Context, message any, last bool) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	c, _ := ctx.Value(callKey{}).(*call)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c != nil && (c.closed.Load() || last && c.closed.Swap(true)) {
		return errClosed
	}
	if s.failed {
		return io.ErrClosedPipe
	}
	if _, err = s.out.Write(append(line, '\n')); err != nil {
		s.failed = true
		close(s.broken)
	}
	return err
}
