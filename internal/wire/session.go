// Package wire holds the rules for a session that both transports share: what is sent to
// a client, in which order, and after what nothing more is sent. A transport passes the
// client's messages to a Session and writes those for the client.
//
// mcp-go's own transports run tool calls in a small pool, lose the cancellation of a call
// that waits for a worker, answer cancelled calls, and send progress after the answer.
// Here each request has a goroutine of its own and can be cancelled as soon as it is
// read, and all messages for the client go through one writer.
package wire

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/stack"
)

// Options configures a Session.
type Options struct {
	Subscribe Subscribe // begins subscriptions to resources

	// Hide returns words of the client, or of an error, without what must be neither
	// sent nor logged. Without Hide they are taken as they are.
	Hide func(words string) string

	Logger *slog.Logger // nil means none
}

// Session is a client's exchange of messages with the server: all messages of a pipe, or
// one request over HTTP. It is a session for mcp-go, too.
type Session struct {
	*news
	Options
	srv    *server.MCPServer
	ctx    context.Context // of all calls that Take begins; nil for a session of New
	cancel context.CancelFunc

	info         atomic.Pointer[mcp.Implementation]
	capabilities atomic.Pointer[mcp.ClientCapabilities]

	initialized, inTurn chan struct{} // closed after the newest initialize, and the newest call that runs in turn; used by begin alone

	asked     atomic.Int64 // how many questions there were
	questions sync.Map     // those without an answer, by id as JSON: func(result json.RawMessage), which takes the answer

	stopped context.Context // ends when Stop is called
	stop    context.CancelFunc
	mu      sync.Mutex       // guards what follows, and stop
	calls   map[string]*call // in flight, by id
	work    sync.WaitGroup
}

// New returns a session of srv for single requests, which are passed to Do. It sends
// nothing but the messages of those calls. The values of ctx tell whose subscriptions
// they make. out writes one message. It is never called concurrently, may block, and is
// not called again after an error, which Broken reports.
func New(ctx context.Context, srv *server.MCPServer, id string, out func(message []byte) error, options Options) *Session {
	options.Logger = cmp.Or(options.Logger, slog.New(slog.DiscardHandler))
	s := &Session{srv: srv, Options: options, calls: map[string]*call{}}
	s.news = newNews(ctx, &writer{out: out, turn: make(chan struct{}, 1), broken: make(chan struct{})}, id, nil, options.Subscribe)
	s.stopped, s.stop = context.WithCancel(context.Background())
	s.SetClientInfo(mcp.Implementation{})
	s.SetClientCapabilities(mcp.ClientCapabilities{})
	return s
}

// Open returns a session like New, but for all messages of a client, which are passed to
// Take, and with news and questions to the client. id must be unique among the sessions of
// srv. ctx is that of all calls.
func Open(ctx context.Context, srv *server.MCPServer, id string, out func(message []byte) error, options Options) (*Session, error) {
	s := New(ctx, srv, id, out, options)
	s.openQueues()
	if err := srv.RegisterSession(ctx, s); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(ctx)
	stack.Go(func() { s.relay(s.ctx) })
	return s, nil
}

// Broken returns a channel that is closed when a message could not be written.
func (s *Session) Broken() <-chan struct{} { return s.broken }

// Take handles one message of the client without waiting for the answer. It must be
// called with one message after the other, in the order in which the client sent them,
// and keeps raw.
func (s *Session) Take(raw []byte) {
	m, refused := Read(raw)
	switch {
	case refused != nil:
		s.Refuse(*refused)
	case m.Method == "":
		if !s.takeAnswer(m) && m.Result == nil && m.Error == nil {
			s.Refuse(Message{}.Refusal(mcp.INVALID_REQUEST, noMethod))
		}
	case m.Method == string(mcp.MethodNotificationCancelled):
		s.Cancel(m.Cancelled())
	case m.ID == "":
		s.handle(s.srv.WithContext(s.ctx, s), m.Raw) // a notification: in order, and never answered
	default:
		s.begin(m)
	}
}

// Do handles a request and returns its answer, nil if it was cancelled. After that the
// session sends nothing more about the request.
func (s *Session) Do(ctx context.Context, m Message) mcp.JSONRPCMessage {
	c := s.enter(ctx, m)
	defer c.cancel()
	response := s.finish(s.answer(c), c)
	if s.inOrder(c.close, nil) != nil {
		return nil
	}
	return response
}

// enter makes m a call in flight; nil if there is one of the same id.
func (s *Session) enter(ctx context.Context, m Message) *call {
	c := &call{Message: m}
	ctx, c.cancel = context.WithCancel(s.srv.WithContext(ctx, s))
	c.ctx = context.WithValue(ctx, callKey{}, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.calls[m.ID]; other != nil && other.isOpen() {
		c.cancel()
		return nil
	}
	if s.stopped.Err() != nil {
		c.cancel()
	}
	s.calls[m.ID] = c
	return c
}

// begin starts a request. Every request waits for the end of the initialize before it.
// Requests to subscribe and unsubscribe run in turn: an unsubscribe that overtakes its
// subscribe would leave the resource subscribed for good.
func (s *Session) begin(m Message) {
	c := s.enter(s.ctx, m)
	if c == nil {
		s.Refuse(m.Refusal(mcp.INVALID_REQUEST, "this id is in use by a request in flight"))
		return
	}
	before, done := s.initialized, make(chan struct{})
	switch mcp.MCPMethod(m.Method) {
	case mcp.MethodInitialize:
		before, s.initialized, s.inTurn = s.inTurn, done, done
	case mcp.MethodResourcesSubscribe, mcp.MethodResourcesUnsubscribe:
		before, s.inTurn = s.inTurn, done
	}
	s.run(func() {
		defer c.cancel()
		defer close(done)
		if before != nil {
			<-before
		}
		s.serve(c)
		c.closed.Store(true)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.calls[m.ID] == c {
			delete(s.calls, m.ID)
		}
	})
}

// run runs f in a goroutine, unless the session was stopped.
func (s *Session) run(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped.Err() == nil {
		s.work.Add(1)
		stack.Go(func() {
			defer s.work.Done()
			f()
		})
	}
}

// serve answers a request, unless it was cancelled or cut off while it waited. A stream
// of news that was only ended meanwhile, by Stop, is answered as well.
func (s *Session) serve(c *call) {
	if c.closed.Load() || c.ctx.Err() != nil && c.Method != string(mcp.MethodSubscriptionsListen) {
		return
	}
	response := s.answer(c)
	if response == nil {
		return
	}
	s.flush()
	if err := s.write(s.finish(response, c), c.close); err != nil {
		s.Logger.Debug("answer not sent", "method", s.Clean(c.Method, maxLogged), "id", s.Clean(c.ID, maxLogged), "error", err)
	}
	if _, ok := response.(mcp.JSONRPCResponse); ok && c.Method == string(mcp.MethodInitialize) {
		s.open.Store(true)
	}
}

// Cancel cuts off the call with this id, given as JSON, and sends nothing more about it.
// initialize can't be cancelled.
func (s *Session) Cancel(id string) {
	s.mu.Lock()
	c := s.calls[id]
	s.mu.Unlock()
	if c != nil && c.Method != string(mcp.MethodInitialize) {
		s.Logger.Debug("cancelled by the client", "method", s.Clean(c.Method, maxLogged), "id", s.Clean(c.ID, maxLogged))
		c.closed.Store(true)
		c.cancel()
	}
}

// Refuse sends answer, a Message's Refusal, without waiting until that is done.
func (s *Session) Refuse(answer mcp.JSONRPCError) {
	s.Logger.Warn("refused a message of the client", "reason", answer.Error.Message)
	s.run(func() {
		if err := s.write(answer, always); err != nil {
			s.Logger.Debug("refusal not sent", "error", err)
		}
	})
}

// Stop refuses new requests and ends what has no end by itself, subscriptions and
// streams of news. The calls in flight go on, and can be cancelled.
func (s *Session) Stop() {
	s.unsubscribe()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
	for _, c := range s.calls {
		if c.Method == string(mcp.MethodSubscriptionsListen) {
			c.cancel()
		}
	}
}

// Wait returns when all calls are answered. At the end of ctx it cuts those in flight
// off, gives them a second to answer, and returns the error of ctx. The session must be
// stopped, or Take not be called any more.
func (s *Session) Wait(ctx context.Context) error {
	answered := make(chan struct{})
	go func() {
		s.work.Wait()
		close(answered)
	}()
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
	}
	s.cancel()
	select {
	case <-answered:
	case <-time.After(time.Second):
	}
	return ctx.Err()
}

// Close ends the session. Calls in flight are cut off.
func (s *Session) Close() {
	s.cancel()
	select {
	case <-s.relayEnded:
	case <-time.After(time.Second): // out blocks
	}
	s.srv.UnregisterSession(s.ctx, s.id)
}

// ErrClosed is returned for a message that was not sent because its call was answered or
// cancelled.
var ErrClosed = errors.New("the call is answered or cancelled")

// call is a request of the client that is being served.
type call struct {
	Message
	ctx    context.Context // of its handler; has the call
	cancel context.CancelFunc

	// closed means that the call was answered or cancelled. Nothing more is sent about
	// it (specification 2026-07-28, "Cancellation": the server MUST NOT send any
	// further messages for a cancelled request).
	closed atomic.Bool

	errorCode atomic.Int64 // of SetErrorCode; 0 if it was not called
}

type callKey struct{}

// isOpen reports whether messages about c may be sent; c is nil for those of no call.
func (c *call) isOpen() bool { return c == nil || !c.closed.Load() }

// close closes c and reports whether it was open.
func (c *call) close() bool { return !c.closed.Swap(true) }

// always is for messages that belong to no call.
func always() bool { return true }

// writer sends messages to the client, one at a time.
type writer struct {
	out    func(message []byte) error
	turn   chan struct{} // a lock: holds an element while a message is sent; unlike a mutex it lets the fake time of tests go on
	failed bool          // guarded by turn
	broken chan struct{} // closed when out has failed
}

// inOrder waits until all earlier messages are sent, and then sends message, unless that
// is nil, if wanted returns true, else returns ErrClosed.
func (w *writer) inOrder(wanted func() bool, message []byte) error {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	switch {
	case !wanted():
		return ErrClosed
	case message == nil:
		return nil
	case w.failed:
		return io.ErrClosedPipe
	}
	err := w.out(message)
	if err != nil {
		w.failed = true
		close(w.broken)
	}
	return err
}

// write sends message like inOrder.
func (w *writer) write(message any, wanted func() bool) error {
	raw, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return w.inOrder(wanted, raw)
}
