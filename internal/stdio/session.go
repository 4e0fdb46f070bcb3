// This file is the one client at the other end of the pipe: what mcp-go asks
// of a session, and the writer through which everything to the client goes.

package stdio

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
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

	errorCode atomic.Int64 // of SetErrorCode; 0 leaves mcp-go's
}

type callKey struct{}

// writer is the one way to the client.
type writer struct {
	mu     sync.Mutex // one whole line at a time
	out    io.Writer
	broken chan struct{} // closed when out fails: nobody reads any more
	failed bool
}

var errClosed = errors.New("the call is answered or cancelled")

// write writes message as one line, unless wanted, asked when it is the
// message's turn, says no.
func (w *writer) write(message any, wanted func() bool) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !wanted() {
		return errClosed
	}
	if w.failed {
		return io.ErrClosedPipe
	}
	if _, err = w.out.Write(append(line, '\n')); err != nil {
		w.failed = true
		close(w.broken)
	}
	return err
}

// send writes message. With a call in ctx, it writes nothing once the call is
// closed, and last closes it.
func (w *writer) send(ctx context.Context, message any, last bool) error {
	c, _ := ctx.Value(callKey{}).(*call)
	return w.write(message, func() bool {
		return c == nil || !c.closed.Load() && (!last || !c.closed.Swap(true))
	})
}

// session implements mcp-go's ClientSession, with the extensions for
// subscriptions, roots and what the client can do: for the client on the pipe as
// a whole, and once more for each subscriptions/listen request, whose news are
// its own.
type session struct {
	*writer
	id            string
	stream        *call // the subscriptions/listen request; nil for the client as a whole
	initialized   atomic.Bool
	notifications chan mcp.JSONRPCNotification
	news          news
	questions     questions
	log           *slog.Logger

	about        sync.Mutex // guards what the client says of itself
	info         mcp.Implementation
	capabilities mcp.ClientCapabilities
}

func newSession(w *writer, id string, stream *call, options Options) *session {
	s := &session{writer: w, id: id, stream: stream, notifications: make(chan mcp.JSONRPCNotification, 100), log: options.Logger}
	s.news.init(options.Subscribe)
	return s
}

func (s *session) SessionID() string { return s.id }
func (s *session) Initialize()       { s.initialized.Store(true) }
func (s *session) Initialized() bool { return s.initialized.Load() }

// GetClientInfo is what the client calls itself.
func (s *session) GetClientInfo() mcp.Implementation {
	s.about.Lock()
	defer s.about.Unlock()
	return s.info
}

// SetClientInfo keeps what the client calls itself.
func (s *session) SetClientInfo(info mcp.Implementation) {
	s.about.Lock()
	defer s.about.Unlock()
	s.info = info
}

// GetClientCapabilities is what the client can do, as it said last. For a call
// of 2026-07-28 only what came with that call counts: mcp-go has it in
// server.RequestProtocolInfoFromContext.
func (s *session) GetClientCapabilities() mcp.ClientCapabilities {
	s.about.Lock()
	defer s.about.Unlock()
	return s.capabilities
}

// SetClientCapabilities keeps what the client says it can do.
func (s *session) SetClientCapabilities(capabilities mcp.ClientCapabilities) {
	s.about.Lock()
	defer s.about.Unlock()
	s.capabilities = capabilities
}

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

// SetErrorCode gives the error with which the call behind ctx will be answered
// its JSON-RPC code. mcp-go answers every error of a resource's handler with
// -32603, also that there is no such resource.
func (s *session) SetErrorCode(ctx context.Context, code int) {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		c.errorCode.Store(int64(code))
	}
}
