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
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/text"
)

var (
	_ server.SessionWithClientInfo = (*Session)(nil)
	_ server.SessionWithRoots      = (*Session)(nil)
)

// Options says what a session offers beside the server's own features.
type Options struct {
	// Subscribe begins the client's subscriptions to resources; nil refuses
	// them all.
	Subscribe Subscribe

	// ListRoots asks the client for its roots, on behalf of the call in ctx;
	// nil means that it has none.
	ListRoots func(ctx context.Context) (*mcp.ListRootsResult, error)

	// Answer takes the client's answer to a request of the transport's, with
	// the id as it stands in the message, and reports whether there was such a
	// request. It must not block. Nil means that there are none.
	Answer func(id string, result, err json.RawMessage) bool

	Logger *slog.Logger // nil means none
}

// Session is one client's exchange of messages with the server: all that comes
// through a pipe, or one request over HTTP. It is also what mcp-go calls a
// session, where the client's name and capabilities are kept.
type Session struct {
	news
	srv     *server.MCPServer
	options Options
	log     *slog.Logger
	ctx     context.Context // of all calls
	cancel  context.CancelFunc

	// For Take alone.
	streams    int   // subscriptions/listen requests so far
	initialize *call // the newest initialize
	subscribed *call // the newest resources/subscribe or resources/unsubscribe

	mu    sync.Mutex
	calls map[string]*call // in flight, by id
	work  sync.WaitGroup

	about        sync.Mutex // guards what the client says of itself
	info         mcp.Implementation
	capabilities mcp.ClientCapabilities
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
	s.news.init(newWriter(out), id, nil, options.Subscribe)
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

// Stop ends what would last for ever: subscriptions and streams of news. The
// other calls go on.
func (s *Session) Stop() {
	s.unsubscribe()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if c.method == string(mcp.MethodSubscriptionsListen) {
			c.cancel()
		}
	}
}

// Wait returns when all calls are answered. At the end of ctx those in flight
// are cut off, have a second left to answer, and the error is that of ctx. Take
// must not be called any more.
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
		s.Refuse(mcp.PARSE_ERROR, "message is not JSON: "+err.Error())
		return
	}
	id := string(bytes.TrimSpace(head.ID))
	switch {
	case id != "" && id != "null" && id[0] != '"' && id[0] != '-' && (id[0] < '0' || id[0] > '9'):
		s.Refuse(mcp.INVALID_REQUEST, "id must be a string or a number")
	case err != nil && (id == "" || id == "null"):
		s.Refuse(mcp.INVALID_REQUEST, "a message must be one JSON-RPC object, whose method is a string")
	case err != nil:
		s.refuse(json.RawMessage(id), mcp.INVALID_REQUEST, "method must be a string")
	case head.Method == "" && s.options.Answer != nil && s.options.Answer(id, head.Result, head.Error):
	case head.Method == "" && (head.Result != nil || head.Error != nil):
		// An answer to nothing that was asked, or too late.
	case head.Method == "":
		s.Refuse(mcp.INVALID_REQUEST, "a message must have a method")
	case head.Method == string(mcp.MethodNotificationCancelled):
		s.cancelled(message)
	case id == "null" && !strings.HasPrefix(head.Method, "notifications/"):
		s.Refuse(mcp.INVALID_REQUEST, "id must be a string or a number; got null")
	case id == "" || id == "null":
		s.handle(s.ctx, message) // a notification: in order, and never answered
	default:
		s.begin(head.Method, id, message)
	}
}

// begin starts a request.
func (s *Session) begin(method, id string, message []byte) {
	ctx, cancel := context.WithCancel(s.ctx)
	c := &call{id: id, method: method, cancel: cancel, done: make(chan struct{})}
	s.mu.Lock()
	if other := s.calls[id]; other != nil && !other.closed.Load() {
		s.mu.Unlock()
		cancel()
		s.refuse(json.RawMessage(id), mcp.INVALID_REQUEST, "this id is in use by a request in flight")
		return
	}
	s.calls[id] = c
	s.mu.Unlock()

	before, handle := s.before(c), s.handler(c)
	s.work.Go(func() {
		defer cancel()
		defer close(c.done)
		for _, earlier := range before {
			<-earlier.done
		}
		s.serve(context.WithValue(ctx, callKey{}, c), c, message, handle)
		c.closed.Store(true)
		s.mu.Lock()
		if s.calls[id] == c {
			delete(s.calls, id)
		}
		s.mu.Unlock()
	})
}

// before returns the calls that must be over when c begins: initialize, which
// decides what the rest means; and for a subscription the one before, since an
// unsubscribe that overtook its subscribe would leave the resource subscribed
// for good.
func (s *Session) before(c *call) []*call {
	var earlier []*call
	if s.initialize != nil {
		earlier = append(earlier, s.initialize)
	}
	switch c.method {
	case string(mcp.MethodInitialize):
		s.initialize = c
	case string(mcp.MethodResourcesSubscribe), string(mcp.MethodResourcesUnsubscribe):
		if s.subscribed != nil {
			earlier = append(earlier, s.subscribed)
		}
		s.subscribed = c
	}
	return earlier
}

// serve has the request handled, unless it was given up before its turn, and
// sends the answer.
func (s *Session) serve(ctx context.Context, c *call, message []byte, handle handler) {
	if ctx.Err() != nil {
		return
	}
	response := handle(ctx, message)
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

// handler makes the answer to a message, nil for none.
type handler func(ctx context.Context, message []byte) mcp.JSONRPCMessage

// handler returns the function that passes the request c to mcp-go.
func (s *Session) handler(c *call) handler {
	switch c.method {
	case string(mcp.MethodInitialize):
		return func(ctx context.Context, message []byte) mcp.JSONRPCMessage {
			return s.handle(ctx, readable(message))
		}
	case string(mcp.MethodToolsList), string(mcp.MethodPromptsList), string(mcp.MethodResourcesList), string(mcp.MethodResourcesTemplatesList):
		return s.list
	case string(mcp.MethodSubscriptionsListen):
		s.streams++
		stream := &news{}
		stream.init(s.writer, fmt.Sprintf("%s stream %d", s.id, s.streams), c, s.options.Subscribe)
		return func(ctx context.Context, message []byte) mcp.JSONRPCMessage { return s.listen(ctx, stream, message) }
	}
	return s.handle
}

// list refuses a cursor, and passes any other request for a list to mcp-go,
// which takes every cursor that is base64. Our lists come whole: no cursor was
// ever given out.
func (s *Session) list(ctx context.Context, message []byte) mcp.JSONRPCMessage {
	var request struct {
		Params struct {
			Cursor json.RawMessage `json:"cursor"`
		} `json:"params"`
	}
	_ = json.Unmarshal(message, &request) // mcp-go says what is wrong with it
	switch string(request.Params.Cursor) {
	case "", "null", `""`:
		return s.handle(ctx, message)
	}
	return refusal(nil, mcp.INVALID_PARAMS, "unknown cursor: the list comes whole, without one")
}

// listen serves a stream of news. mcp-go returns when the request is cancelled.
func (s *Session) listen(ctx context.Context, stream *news, message []byte) mcp.JSONRPCMessage {
	if err := s.srv.RegisterSession(ctx, stream); err != nil { // so that list changes reach it
		return refusal(json.RawMessage(stream.stream.id), mcp.INTERNAL_ERROR, err.Error())
	}
	defer s.srv.UnregisterSession(ctx, stream.id)
	relaying, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go stream.relay(relaying)
	response := s.handle(s.srv.WithContext(ctx, stream), message)
	stream.unsubscribe() // mcp-go has, unless it panicked
	stream.flush()
	return response
}

// handle passes a message to mcp-go. A panic there costs one answer only.
func (s *Session) handle(ctx context.Context, message []byte) (response mcp.JSONRPCMessage) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("panic while handling a message", "panic", r, "stack", string(debug.Stack()))
			if c, ok := ctx.Value(callKey{}).(*call); ok {
				response = refusal(json.RawMessage(c.id), mcp.INTERNAL_ERROR, "internal error")
			}
		}
	}()
	return s.srv.HandleMessage(ctx, message)
}

// cancelled ends the request that the client gives up, and silences it.
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

// Refuse answers a message that could not be read, so that its id is not known.
func (s *Session) Refuse(code int, message string) { s.refuse(nil, code, message) }

// refuse answers a message that mcp-go never sees. It does not block, though
// the client may not read.
func (s *Session) refuse(id json.RawMessage, code int, message string) {
	message = text.Clean(message, maxError)
	s.log.Warn("refused a message of the client", "reason", message)
	s.work.Go(func() {
		if err := s.send(context.Background(), refusal(id, code, message), false); err != nil {
			s.log.Debug("refusal not sent", "error", err)
		}
	})
}

// Send sends a message that belongs to the call in ctx, before that call's
// answer or not at all.
func (s *Session) Send(ctx context.Context, message any) error { return s.send(ctx, message, false) }

// Notify sends a notification that belongs to the call in ctx, before that
// call's answer or not at all. mcp-go's own way, a channel, delivers it after
// the answer when the handler returns at once.
func (s *Session) Notify(ctx context.Context, method string, params map[string]any) error {
	return s.Send(ctx, struct {
		JSONRPC string         `json:"jsonrpc"`
		Method  string         `json:"method"`
		Params  map[string]any `json:"params"`
	}{mcp.JSONRPC_VERSION, method, params})
}

// SetErrorCode sets the JSON-RPC code of the error with which the call in ctx
// will be answered. mcp-go answers every error of a resource's handler with
// -32603, an unknown resource included.
func (s *Session) SetErrorCode(ctx context.Context, code int) {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		c.errorCode.Store(int64(code))
	}
}

// ListRoots asks the client for its roots.
func (s *Session) ListRoots(ctx context.Context, _ mcp.ListRootsRequest) (*mcp.ListRootsResult, error) {
	if s.options.ListRoots == nil {
		return &mcp.ListRootsResult{}, nil
	}
	return s.options.ListRoots(ctx)
}

// ClientName returns what the client of the call in ctx calls itself, "" if it
// does not say.
func (s *Session) ClientName(ctx context.Context) string {
	info := s.GetClientInfo()
	if request := server.RequestProtocolInfoFromContext(ctx); request != nil && request.Modern {
		info = mcp.Implementation{}
		if request.ClientInfo != nil {
			info = *request.ClientInfo
		}
	}
	return text.Clean(info.Name, 100)
}

// GetClientInfo returns what the client calls itself.
func (s *Session) GetClientInfo() mcp.Implementation {
	s.about.Lock()
	defer s.about.Unlock()
	return s.info
}

// SetClientInfo keeps what the client calls itself.
func (s *Session) SetClientInfo(info mcp.Implementation) {
	s.about.Lock()
	defer s.about.Unlock()
	s.info = info
}

// GetClientCapabilities returns what the client said last that it can do. For a
// call of 2026-07-28 only what came with that call counts: mcp-go has it in
// server.RequestProtocolInfoFromContext.
func (s *Session) GetClientCapabilities() mcp.ClientCapabilities {
	s.about.Lock()
	defer s.about.Unlock()
	return s.capabilities
}

// SetClientCapabilities keeps what the client says it can do.
func (s *Session) SetClientCapabilities(capabilities mcp.ClientCapabilities) {
	s.about.Lock()
	defer s.about.Unlock()
	s.capabilities = capabilities
}
