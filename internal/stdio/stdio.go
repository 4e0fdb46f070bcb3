// Package stdio serves an mcp-go server over a pair of pipes: one JSON-RPC
// message a line.
//
// mcp-go's own StdioServer runs tool calls in a small pool, loses the
// cancellation of a call that still waits for a worker, answers cancelled
// calls, sends progress after the answer, and cancels every call at the end of
// input. Here each request has a goroutine of its own, cancellations are
// matched before the request starts, progress and answers share one writer,
// and the end of input lets calls finish.
package stdio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// Options says how serving ends, and what can be subscribed to.
type Options struct {
	// Drain is called when there will be no new calls; it should end what may
	// last long, and return at once. Calls already taken go on.
	Drain func()

	// Finish is called when all calls are answered or cut off. It should return
	// when what must not be cut short is over, at the latest when its context
	// ends, 10 minutes later.
	Finish func(context.Context)

	// Subscribe begins the client's subscriptions to resources; nil refuses
	// them all.
	Subscribe Subscribe

	// Grace is how long calls in flight may take, 0 for 60 s.
	Grace time.Duration

	Logger *slog.Logger // nil means none
}

// Serve answers the messages on in until in ends, ctx is cancelled or out can
// no longer be written; then it takes no new calls, lets those in flight
// finish, and returns nil. An error means that in could not be read.
func Serve(ctx context.Context, srv *server.MCPServer, in io.Reader, out io.Writer, options Options) error {
	if options.Grace == 0 {
		options.Grace = 60 * time.Second
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	s := &pipe{srv: srv, log: options.Logger, options: options, calls: map[string]*call{}}
	s.session = newSession(&writer{out: out, broken: make(chan struct{})}, "stdio", nil, options)
	// Calls outlive ctx: its end begins the drain and does not cut them off.
	callCtx, cancelCalls := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelCalls()
	if err := srv.RegisterSession(callCtx, s.session); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	defer srv.UnregisterSession(callCtx, s.session.SessionID())
	callCtx = srv.WithContext(callCtx, s.session)

	go s.session.relay(callCtx)
	err := s.read(ctx, callCtx, in)
	s.session.questions.end()
	s.drain(cancelCalls)
	cancelCalls()
	select {
	case <-s.session.news.over:
	case <-time.After(time.Second): // its client does not read
	}
	return err
}

// pipe is one run of Serve.
type pipe struct {
	srv     *server.MCPServer
	log     *slog.Logger
	options Options
	session *session // of the client as a whole

	// For the goroutine that reads alone.
	streams    int           // subscriptions/listen requests so far
	subscribed chan struct{} // closed when the newest resources/subscribe or unsubscribe is done

	mu    sync.Mutex
	calls map[string]*call // in flight, by id
	work  sync.WaitGroup
}

// read takes messages until there are no more or there is nobody to answer.
func (s *pipe) read(ctx, callCtx context.Context, in io.Reader) error {
	type message struct {
		line []byte
		err  error
	}
	messages := make(chan message)
	go func() { // a read can't be interrupted; at the end it is left behind
		lines := newLineReader(in, maxLine)
		for {
			line, err := lines.next()
			select {
			case messages <- message{line, err}:
			case <-ctx.Done():
				return
			case <-s.session.broken:
				return
			}
			if err != nil && !errors.Is(err, errLineTooLong) {
				return
			}
		}
	}()
	for {
		var m message
		select {
		case m = <-messages:
		case <-ctx.Done():
			return nil
		case <-s.session.broken:
			s.log.Warn("the client no longer reads")
			return nil
		}
		switch {
		case m.err == nil:
			s.take(callCtx, m.line)
		case errors.Is(m.err, errLineTooLong):
			s.refuse(nil, mcp.PARSE_ERROR, fmt.Sprintf("message longer than %d bytes", maxLine))
		case errors.Is(m.err, io.EOF):
			return nil
		default:
			return fmt.Errorf("read input: %w", m.err)
		}
	}
}

// take handles one message.
func (s *pipe) take(ctx context.Context, line []byte) {
	var head struct {
		Method string          `json:"method"`
		ID     json.RawMessage `json:"id"`
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	err := json.Unmarshal(line, &head)
	if _, malformed := errors.AsType[*json.SyntaxError](err); malformed {
		s.refuse(nil, mcp.PARSE_ERROR, "message is not JSON: "+err.Error())
		return
	}
	id := string(bytes.TrimSpace(head.ID))
	switch {
	case id != "" && id != "null" && id[0] != '"' && id[0] != '-' && (id[0] < '0' || id[0] > '9'):
		s.refuse(nil, mcp.INVALID_REQUEST, "id must be a string or a number")
	case err != nil && (id == "" || id == "null"):
		s.refuse(nil, mcp.INVALID_REQUEST, "a message must be one JSON-RPC object, whose method is a string")
	case err != nil:
		s.refuse(json.RawMessage(id), mcp.INVALID_REQUEST, "method must be a string")
	case head.Method == "" && s.session.questions.answer(id, reply{head.Result, head.Error}):
	case head.Method == "" && (head.Result != nil || head.Error != nil):
		// An answer to nothing that was asked, or too late.
	case head.Method == "":
		s.refuse(nil, mcp.INVALID_REQUEST, "a message must have a method")
	case head.Method == string(mcp.MethodNotificationCancelled):
		s.cancel(line)
	case id == "null" && !strings.HasPrefix(head.Method, "notifications/"):
		s.refuse(nil, mcp.INVALID_REQUEST, "id must be a string or a number; got null")
	case id == "" || id == "null":
		s.handle(ctx, line) // a notification: in order, and never answered
	default:
		s.begin(ctx, head.Method, id, line)
	}
}

// begin starts a request. initialize is finished before the next message is
// looked at, since it decides what the rest means.
func (s *pipe) begin(ctx context.Context, method, id string, line []byte) {
	ctx, cancel := context.WithCancel(ctx)
	c := &call{id: id, method: method, cancel: cancel}
	s.mu.Lock()
	if other := s.calls[id]; other != nil && !other.closed.Load() {
		s.mu.Unlock()
		cancel()
		s.refuse(json.RawMessage(id), mcp.INVALID_REQUEST, "this id is in use by a request in flight")
		return
	}
	s.calls[id] = c
	s.mu.Unlock()

	handle := s.handler(c)
	run := func() {
		defer cancel()
		ctx := context.WithValue(ctx, callKey{}, c)
		if response := handle(ctx, line); response != nil {
			s.session.flush()
			if err := s.session.send(ctx, finish(response, c), true); err != nil {
				s.log.Debug("answer not sent", "method", method, "id", id, "error", err)
			}
		}
		c.closed.Store(true)
		s.mu.Lock()
		if s.calls[id] == c {
			delete(s.calls, id)
		}
		s.mu.Unlock()
	}
	if method == string(mcp.MethodInitialize) {
		run()
		s.session.news.open.Store(true)
		return
	}
	s.work.Go(run)
}

// handler is how the request c is passed to mcp-go.
func (s *pipe) handler(c *call) func(context.Context, []byte) mcp.JSONRPCMessage {
	switch c.method {
	case string(mcp.MethodResourcesSubscribe), string(mcp.MethodResourcesUnsubscribe):
		// One after the other, as they came: an unsubscribe that overtook its
		// subscribe would leave the resource subscribed for good.
		before, done := s.subscribed, make(chan struct{})
		s.subscribed = done
		return func(ctx context.Context, line []byte) mcp.JSONRPCMessage {
			defer close(done)
			if before != nil {
				<-before
			}
			if ctx.Err() != nil { // given up before its turn
				return nil
			}
			return s.handle(ctx, line)
		}
	case string(mcp.MethodSubscriptionsListen):
		s.streams++
		stream := newSession(s.session.writer, fmt.Sprintf("stdio stream %d", s.streams), c, s.options)
		return func(ctx context.Context, line []byte) mcp.JSONRPCMessage { return s.listen(ctx, stream, line) }
	}
	return s.handle
}

// listen serves a stream of news. mcp-go returns when the request is cancelled.
func (s *pipe) listen(ctx context.Context, stream *session, line []byte) mcp.JSONRPCMessage {
	if err := s.srv.RegisterSession(ctx, stream); err != nil { // so that list changes reach it
		return refusal(json.RawMessage(stream.stream.id), mcp.INTERNAL_ERROR, err.Error())
	}
	defer s.srv.UnregisterSession(ctx, stream.SessionID())
	relaying, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go stream.relay(relaying)
	response := s.handle(s.srv.WithContext(ctx, stream), line)
	stream.unsubscribe() // mcp-go has, unless it panicked
	stream.flush()
	return response
}

// handle passes a message to mcp-go. A panic there costs one answer only.
func (s *pipe) handle(ctx context.Context, line []byte) (response mcp.JSONRPCMessage) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("panic while handling a message", "panic", r, "stack", string(debug.Stack()))
			if c, ok := ctx.Value(callKey{}).(*call); ok {
				response = refusal(json.RawMessage(c.id), mcp.INTERNAL_ERROR, "internal error")
			}
		}
	}()
	return s.srv.HandleMessage(ctx, line)
}

// cancel ends the request that the client gives up, and silences it.
func (s *pipe) cancel(line []byte) {
	var cancelled struct {
		Params struct {
			RequestID json.RawMessage `json:"requestId"`
		} `json:"params"`
	}
	if json.Unmarshal(line, &cancelled) != nil {
		return
	}
	s.mu.Lock()
	c := s.calls[string(bytes.TrimSpace(cancelled.Params.RequestID))]
	s.mu.Unlock()
	if c != nil && c.method != string(mcp.MethodInitialize) {
		s.log.Debug("cancelled by the client", "method", c.method, "id", c.id)
		c.closed.Store(true)
		c.cancel()
	}
}

// finish mends the answer to c: its id is as it came, since mcp-go reads numbers
// as float64, which changes those above 2^53; its error has the code of
// SetErrorCode and a message of bounded length.
func finish(response mcp.JSONRPCMessage, c *call) mcp.JSONRPCMessage {
	id := json.RawMessage(c.id)
	switch r := response.(type) {
	case mcp.JSONRPCResponse:
		r.ID = mcp.NewRequestId(id)
		if end, ok := r.Result.(mcp.SubscriptionsListenResult); ok {
			end.EnsureResultMeta().SetSubscriptionID(id)
			r.Result = end
		}
		if result, ok := r.Result.(*mcp.CallToolResult); ok && result.NeedsInput() {
			r.Result = inputRequired(result)
		}
		return r
	case mcp.JSONRPCError:
		r.ID = mcp.NewRequestId(id)
		if code := c.errorCode.Load(); code != 0 {
			r.Error.Code = int(code)
		}
		// mcp-go repeats a client's own words, however long they are, and shows
		// which Go value they did not fit into.
		r.Error.Message = shorten(goValue.ReplaceAllString(r.Error.Message, "the JSON $1 is out of place or out of range"))
		return r
	}
	return response
}

// inputRequired is a question to the client as every client reads it: mcp-go
// leaves out the params of a request that has none, and the official Go SDK
// (1.8.0) takes that for broken JSON.
func inputRequired(result *mcp.CallToolResult) any {
	type request struct {
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	requests := map[string]request{}
	for id, each := range result.InputRequests {
		raw, err := json.Marshal(each)
		r := request{Params: json.RawMessage("{}")}
		if err != nil || json.Unmarshal(raw, &r) != nil {
			return result // whoever writes it says what is wrong with it
		}
		requests[id] = r
	}
	return struct {
		ResultType    mcp.ResultType     `json:"resultType"`
		InputRequests map[string]request `json:"inputRequests"`
		RequestState  string             `json:"requestState,omitempty"`
	}{result.ResultType, requests, result.RequestState}
}

// drain lets calls finish: streams that only wait for news end at once, the
// rest gets the grace period.
func (s *pipe) drain(cancelCalls context.CancelFunc) {
	s.log.Debug("no new calls")
	grace, stop := context.WithTimeout(context.Background(), s.options.Grace)
	defer stop()
	s.session.unsubscribe()
	s.mu.Lock()
	for _, c := range s.calls {
		if c.method == string(mcp.MethodSubscriptionsListen) {
			c.cancel()
		}
	}
	s.mu.Unlock()
	if s.options.Drain != nil {
		s.options.Drain()
	}
	answered := make(chan struct{})
	go func() {
		s.work.Wait()
		close(answered)
	}()
	select {
	case <-answered:
	case <-grace.Done():
		s.log.Warn("calls still in flight are cut off", "after", s.options.Grace)
		cancelCalls()
		select {
		case <-answered:
		case <-time.After(time.Second):
		}
	}
	if s.options.Finish != nil {
		ctx, stop := context.WithTimeout(context.Background(), maxFinish)
		defer stop()
		s.options.Finish(ctx)
	}
}

const maxFinish = 10 * time.Minute

// refuse answers a message that never reached mcp-go, beside the read loop,
// which a client that does not read must not hold up.
func (s *pipe) refuse(id json.RawMessage, code int, message string) {
	s.work.Go(func() {
		if err := s.session.send(context.Background(), refusal(id, code, message), false); err != nil {
			s.log.Debug("refusal not sent", "error", err)
		}
	})
}

var goValue = regexp.MustCompile(`json: cannot unmarshal (\w+).* into Go .*`)

// shorten bounds the message of an error.
func shorten(message string) string {
	const most = 500 // characters
	if runes := []rune(message); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return message
}

func refusal(id json.RawMessage, code int, message string) mcp.JSONRPCMessage {
	var value any
	if id != nil {
		value = id
	}
	return mcp.JSONRPCError{
		JSONRPC: mcp.JSONRPC_VERSION,
		ID:      mcp.NewRequestId(value),
		Error:   mcp.NewJSONRPCErrorDetails(code, message, nil),
	}
}
