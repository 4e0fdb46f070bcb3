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
	srv     *server.MCPServer
	options Options
	log     *slog.Logger
	ctx     context.Context // of all calls that Take begins
	cancel  context.CancelFunc

	info         atomic.Pointer[mcp.Implementation]
	capabilities atomic.Pointer[mcp.ClientCapabilities]

	initialize, inTurn *call // the newest initialize, and the newest call that runs in turn; used by begin alone

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
	s := &Session{srv: srv, options: options, log: options.Logger, calls: map[string]*call{}}
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
	ctx, s.cancel = context.WithCancel(ctx)
	s.ctx = srv.WithContext(ctx, s)
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
		s.refuse(*refused)
	case m.Method == "":
		if !s.takeAnswer(m) && m.Result == nil && m.Error == nil {
			s.Refuse(Message{}, mcp.INVALID_REQUEST, noMethod)
		}
	case m.Method == string(mcp.MethodNotificationCancelled):
		s.Cancel(m.Cancelled())
	case m.ID == "":
		s.handle(s.ctx, m.Raw) // a notification: in order, and never answered
	default:
		s.begin(m)
	}
}

// Do handles a request and returns its answer, nil if it was cancelled. After that the
// session sends nothing more about the request.
func (s *Session) Do(ctx context.Context, m Message) mcp.JSONRPCMessage {
	ctx, cancel := context.WithCancel(s.srv.WithContext(ctx, s))
	defer cancel()
	c := &call{Message: m, cancel: cancel}
	s.mu.Lock()
	stopped := s.stopped.Err() != nil
	s.calls[m.ID] = c
	s.mu.Unlock()
	if stopped {
		cancel()
	}
	response := s.finish(s.answer(context.WithValue(ctx, callKey{}, c), c), c)
	if !s.end(c) {
		return nil
	}
	return response
}

// begin starts a request. Every request waits for the end of the initialize before it.
// Requests to subscribe and unsubscribe run in turn: an unsubscribe that overtakes its
// subscribe would leave the resource subscribed for good.
func (s *Session) begin(m Message) {
	ctx, cancel := context.WithCancel(s.ctx)
	c := &call{Message: m, cancel: cancel, done: make(chan struct{})}
	s.mu.Lock()
	other := s.calls[m.ID]
	taken := other != nil && !other.closed.Load()
	if !taken {
		s.calls[m.ID] = c
	}
	s.mu.Unlock()
	if taken {
		cancel()
		s.Refuse(m, mcp.INVALID_REQUEST, "this id is in use by a request in flight")
		return
	}
	before := s.initialize
	switch mcp.MCPMethod(m.Method) {
	case mcp.MethodInitialize:
		before, s.initialize, s.inTurn = s.inTurn, c, c
	case mcp.MethodResourcesSubscribe, mcp.MethodResourcesUnsubscribe:
		before, s.inTurn = s.inTurn, c
	}
	s.run(func() {
		defer cancel()
		defer close(c.done)
		if before != nil {
			<-before.done
		}
		s.serve(context.WithValue(ctx, callKey{}, c), c)
		c.closed.Store(true)
		s.mu.Lock()
		if s.calls[m.ID] == c {
			delete(s.calls, m.ID)
		}
		s.mu.Unlock()
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
func (s *Session) serve(ctx context.Context, c *call) {
	if c.closed.Load() || ctx.Err() != nil && c.Method != string(mcp.MethodSubscriptionsListen) {
		return
	}
	response := s.answer(ctx, c)
	if response == nil {
		return
	}
	s.flush()
	if err := s.send(ctx, s.finish(response, c), true); err != nil {
		s.log.Debug("answer not sent", "method", s.Clean(c.Method, maxLogged), "id", s.Clean(c.ID, maxLogged), "error", err)
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
		s.log.Debug("cancelled by the client", "method", s.Clean(c.Method, maxLogged), "id", s.Clean(c.ID, maxLogged))
		c.closed.Store(true)
		c.cancel()
	}
}

// Refuse answers m with an error, without waiting until that is sent; see Refusal.
func (s *Session) Refuse(m Message, code int, why string) { s.refuse(m.Refusal(code, why)) }

func (s *Session) refuse(answer mcp.JSONRPCError) {
	s.log.Warn("refused a message of the client", "reason", answer.Error.Message)
	s.run(func() {
		if err := s.send(context.Background(), answer, false); err != nil {
			s.log.Debug("refusal not sent", "error", err)
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
	cancel context.CancelFunc
	done   chan struct{} // closed when the call is over; nil for a call of Do

	// closed means that the call was answered or cancelled. Nothing more is sent about
	// it (specification 2026-07-28, "Cancellation": the server MUST NOT send any
	// further messages for a cancelled request).
	closed atomic.Bool

	errorCode atomic.Int64 // of SetErrorCode; 0 if it was not called
}

type callKey struct{}

// writer sends messages to the client, one at a time.
type writer struct {
	out    func(message []byte) error
	turn   chan struct{} // a lock: holds an element while a message is sent; unlike a mutex it lets the fake time of tests go on
	failed bool          // guarded by turn
	broken chan struct{} // closed when out has failed
}

// write waits until all earlier messages are sent, and then sends message if wanted
// returns true, else returns ErrClosed.
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

// end closes a call when all earlier messages are sent, and reports whether it was open.
func (w *writer) end(c *call) bool {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	return !c.closed.Swap(true)
}

// send sends message. If ctx is that of a call, it sends nothing once the call is closed.
// last says that this is the call's last message, and so closes it.
func (w *writer) send(ctx context.Context, message any, last bool) error {
	c, _ := ctx.Value(callKey{}).(*call)
	return w.write(message, func() bool {
		return c == nil || !c.closed.Load() && (!last || !c.closed.Swap(true))
	})
}
