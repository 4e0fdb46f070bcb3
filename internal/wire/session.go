// Package wire holds the rules of a session that every transport shares: what
// a client is sent, in which order, and when it is sent nothing more. The
// transport passes the client's messages in and writes what comes out.
//
// mcp-go's own transports run tool calls in a small pool, lose the
// cancellation of a call that still waits for a worker, answer cancelled calls,
// and send progress after the answer. Here each request has a goroutine of its
// own, cancellations are matched before the request starts, and everything to
// the client goes through one writer.
package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/text"
)

// Options says what a session offers beside the server's own features.
type Options struct {
	Subscribe Subscribe // begins subscriptions to resources; nil refuses them all

	// ListRoots asks the client for its roots, on behalf of the call in ctx;
	// nil means that it has none.
	ListRoots func(ctx context.Context) (*mcp.ListRootsResult, error)

	// Answer takes the client's answer to a request of the transport's, with
	// the id as it stands in the message, and reports whether there was such a
	// request. It must not block. Nil means that there are none.
	Answer func(id string, result, failure json.RawMessage) bool

	Logger *slog.Logger // nil means none
}

// Session is one client's exchange of messages with the server: all that comes
// through a pipe, or one request over HTTP. It is also what mcp-go calls a
// session.
type Session struct {
	*news
	srv     *server.MCPServer
	options Options
	log     *slog.Logger
	ctx     context.Context // of all calls
	cancel  context.CancelFunc
	streams atomic.Int64 // subscriptions/listen requests so far

	info         atomic.Pointer[mcp.Implementation]
	capabilities atomic.Pointer[mcp.ClientCapabilities]

	initialize, inTurn *call // the newest ones of begin, which alone uses them

	mu      sync.Mutex
	calls   map[string]*call // in flight, by id
	stopped bool
	work    sync.WaitGroup
}

// Open begins a session of srv, whose id no other session of srv may have. Its
// calls get the values of ctx and end with it. out writes one message, is never
// called twice at a time, and may block; once it has failed it is not called
// any more, and Broken says so.
func Open(ctx context.Context, srv *server.MCPServer, id string, out func(message []byte) error, options Options) (*Session, error) {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Session{srv: srv, options: options, log: options.Logger, calls: map[string]*call{}}
	s.news = newNews(ctx, newWriter(out), id, nil, options.Subscribe)
	s.SetClientInfo(mcp.Implementation{})
	s.SetClientCapabilities(mcp.ClientCapabilities{})
	if err := srv.RegisterSession(ctx, s); err != nil {
		return nil, err
	}
	ctx, s.cancel = context.WithCancel(ctx)
	s.ctx = srv.WithContext(ctx, s)
	go s.relay(s.ctx)
	return s, nil
}

// Broken is closed when a message could not be written: nobody reads any more.
func (s *Session) Broken() <-chan struct{} { return s.broken }

// Take handles one message of the client, and keeps it. It does not wait for
// answers. Messages are taken one after the other, in the order in which the
// client sent them.
func (s *Session) Take(message []byte) {
	var head struct {
		Method string          `json:"method"`
		ID     json.RawMessage `json:"id"`
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	err := json.Unmarshal(message, &head)
	if _, malformed := errors.AsType[*json.SyntaxError](err); malformed {
		s.Refuse(nil, mcp.PARSE_ERROR, "message is not JSON: "+err.Error())
		return
	}
	id := string(bytes.TrimSpace(head.ID))
	switch {
	case id != "" && id != "null" && id[0] != '"' && id[0] != '-' && (id[0] < '0' || id[0] > '9'):
		s.Refuse(nil, mcp.INVALID_REQUEST, "id must be a string or a number")
	case err != nil && (id == "" || id == "null"):
		s.Refuse(nil, mcp.INVALID_REQUEST, "a message must be one JSON-RPC object, whose method is a string")
	case err != nil:
		s.Refuse(json.RawMessage(id), mcp.INVALID_REQUEST, "method must be a string")
	case head.Method == "" && s.options.Answer != nil && s.options.Answer(id, head.Result, head.Error):
	case head.Method == "" && (head.Result != nil || head.Error != nil):
		// An answer to nothing that was asked, or too late.
	case head.Method == "":
		s.Refuse(nil, mcp.INVALID_REQUEST, "a message must have a method")
	case head.Method == string(mcp.MethodNotificationCancelled):
		s.cancelled(message)
	case id == "null" && !strings.HasPrefix(head.Method, "notifications/"):
		s.Refuse(nil, mcp.INVALID_REQUEST, "id must be a string or a number; got null")
	case id == "" || id == "null":
		s.handle(s.ctx, message) // a notification: in order, and never answered
	default:
		s.begin(head.Method, id, message)
	}
}

// begin starts a request. Every request waits for the initialize before it,
// which decides what the rest means. Subscriptions begin and end in turn: an
// unsubscribe that overtook its subscribe would leave the resource subscribed
// for good.
func (s *Session) begin(method, id string, message []byte) {
	ctx, cancel := context.WithCancel(s.ctx)
	c := &call{id: id, method: method, cancel: cancel, done: make(chan struct{})}
	s.mu.Lock()
	other := s.calls[id]
	taken := other != nil && !other.closed.Load()
	if !taken {
		s.calls[id] = c
	}
	s.mu.Unlock()
	if taken {
		cancel()
		s.Refuse(json.RawMessage(id), mcp.INVALID_REQUEST, "this id is in use by a request in flight")
		return
	}
	before := s.initialize
	switch method {
	case string(mcp.MethodInitialize):
		before, s.initialize, s.inTurn = s.inTurn, c, c
	case string(mcp.MethodResourcesSubscribe), string(mcp.MethodResourcesUnsubscribe):
		before, s.inTurn = s.inTurn, c
	}
	s.run(func() {
		defer cancel()
		defer close(c.done)
		if before != nil {
			<-before.done
		}
		s.serve(context.WithValue(ctx, callKey{}, c), c, message)
		c.closed.Store(true)
		s.mu.Lock()
		if s.calls[id] == c {
			delete(s.calls, id)
		}
		s.mu.Unlock()
	})
}

// run runs f beside the caller, unless the session was stopped.
func (s *Session) run(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.work.Go(f)
	}
}

// serve sends the answer to a request, unless it was given up before its turn.
func (s *Session) serve(ctx context.Context, c *call, message []byte) {
	if ctx.Err() != nil {
		return
	}
	response := s.answer(ctx, c, message)
	if response == nil {
		return
	}
	s.flush()
	if err := s.send(ctx, finish(response, c), true); err != nil {
		s.log.Debug("answer not sent", "method", c.method, "id", c.id, "error", err)
	}
	if _, ok := response.(mcp.JSONRPCResponse); ok && c.method == string(mcp.MethodInitialize) {
		s.open.Store(true)
	}
}

// cancelled ends the request that the client gives up.
func (s *Session) cancelled(message []byte) {
	var notification struct {
		Params struct {
			RequestID json.RawMessage `json:"requestId"`
		} `json:"params"`
	}
	if json.Unmarshal(message, &notification) == nil {
		s.Cancel(string(bytes.TrimSpace(notification.Params.RequestID)))
	}
}

// Cancel cuts off the call with this id, as it stands in the message, and
// sends nothing more about it. initialize can't be cancelled.
func (s *Session) Cancel(id string) {
	s.mu.Lock()
	c := s.calls[id]
	s.mu.Unlock()
	if c != nil && c.method != string(mcp.MethodInitialize) {
		s.log.Debug("cancelled by the client", "method", c.method, "id", c.id)
		c.closed.Store(true)
		c.cancel()
	}
}

// Refuse answers a message that mcp-go never sees, without waiting for the
// client. id is nil if it is not known.
func (s *Session) Refuse(id any, code int, message string) {
	message = text.Clean(message, maxError)
	s.log.Warn("refused a message of the client", "reason", message)
	s.run(func() {
		if err := s.send(context.Background(), refusal(id, code, message), false); err != nil {
			s.log.Debug("refusal not sent", "error", err)
		}
	})
}

// Stop takes no more requests and ends what would last for ever: subscriptions
// and streams of news. The calls in flight go on, and can be cancelled.
func (s *Session) Stop() {
	s.unsubscribe()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for _, c := range s.calls {
		if c.method == string(mcp.MethodSubscriptionsListen) {
			c.cancel()
		}
	}
}

// Wait returns when all calls are answered. At the end of ctx those in flight
// are cut off, have a second left to answer, and the error is that of ctx.
// Nothing may be taken any more, or the session was stopped.
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
	case <-s.over:
	case <-time.After(time.Second): // out blocks
	}
	s.srv.UnregisterSession(s.ctx, s.id)
}
