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
	"runtime/debug"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// Options says how serving ends.
type Options struct {
	// Drain is called once when there will be no new calls. It should end what
	// may last long and return when what must not be cut short is over, at the
	// latest when its context ends.
	Drain func(context.Context)

	// Grace is how long calls in flight may take after that, 0 for 60 s.
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
	s := &pipe{srv: srv, log: options.Logger, session: newSession(out), calls: map[string]*call{}}
	// Calls outlive ctx: its end begins the drain and does not cut them off.
	callCtx, cancelCalls := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelCalls()
	if err := srv.RegisterSession(callCtx, s.session); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	defer srv.UnregisterSession(callCtx, s.session.SessionID())
	callCtx = srv.WithContext(callCtx, s.session)

	relayed := make(chan struct{})
	go func() {
		defer close(relayed)
		s.relay(callCtx)
	}()
	err := s.read(ctx, callCtx, in)
	s.drain(options, cancelCalls)
	cancelCalls()
	<-relayed
	return err
}

// pipe is one run of Serve.
type pipe struct {
	srv     *server.MCPServer
	log     *slog.Logger
	session *session

	mu    sync.Mutex
	calls map[string]*call // in flight, by id
	work  sync.WaitGroup
}

// relay sends what mcp-go puts into the session's channel.
func (s *pipe) relay(ctx context.Context) {
	for {
		select {
		case n := <-s.session.notifications:
			if err := s.session.send(context.Background(), n, false); err != nil {
				s.log.Debug("notification not sent", "method", n.Method, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
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
		Params json.RawMessage `json:"params"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		s.refuse(nil, mcp.PARSE_ERROR, "message is not a JSON-RPC object: "+err.Error())
		return
	}
	id := string(bytes.TrimSpace(head.ID))
	switch {
	case head.Method == "" && (head.Result != nil || head.Error != nil):
		return // an answer; nothing was asked
	case head.Method == string(mcp.MethodNotificationCancelled):
		s.cancel(head.Params)
	case id == "" || id == "null":
		s.handle(ctx, line) // a notification: in order, and never answered
	case id[0] != '"' && id[0] != '-' && (id[0] < '0' || id[0] > '9'):
		s.refuse(nil, mcp.INVALID_REQUEST, "id must be a string or a number")
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

	run := func() {
		defer cancel()
		ctx := context.WithValue(ctx, callKey{}, c)
		if response := s.handle(ctx, line); response != nil {
			if err := s.session.send(ctx, withID(response, id), true); err != nil {
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
		return
	}
	s.work.Go(run)
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
func (s *pipe) cancel(params json.RawMessage) {
	var cancelled struct {
		RequestID json.RawMessage `json:"requestId"`
	}
	if json.Unmarshal(params, &cancelled) != nil {
		return
	}
	s.mu.Lock()
	c := s.calls[string(bytes.TrimSpace(cancelled.RequestID))]
	s.mu.Unlock()
	if c != nil && c.method != string(mcp.MethodInitialize) {
		s.log.Debug("cancelled by the client", "method", c.method, "id", c.id)
		c.closed.Store(true)
		c.cancel()
	}
}

// withID answers with the id as it came: mcp-go reads numbers as float64,
// which changes those above 2^53.
func withID(response mcp.JSONRPCMessage, id string) mcp.JSONRPCMessage {
	switch r := response.(type) {
	case mcp.JSONRPCResponse:
		r.ID = mcp.NewRequestId(json.RawMessage(id))
		return r
	case mcp.JSONRPCError:
		r.ID = mcp.NewRequestId(json.RawMessage(id))
		return r
	}
	return response
}

// drain lets calls finish: streams that only wait for news end at once, the
// rest gets the grace period.
func (s *pipe) drain(options Options, cancelCalls context.CancelFunc) {
	s.log.Debug("no new calls")
	grace, stop := context.WithTimeout(context.Background(), options.Grace)
	defer stop()
	s.mu.Lock()
	for _, c := range s.calls {
		if c.method == string(mcp.MethodSubscriptionsListen) {
			c.cancel()
		}
	}
	s.mu.Unlock()
	finished := make(chan struct{})
	go func() {
		if options.Drain != nil {
			options.Drain(grace)
		}
		s.work.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return
	case <-grace.Done():
	}
	s.log.Warn("calls still in flight are cut off", "after", options.Grace)
	cancelCalls()
	select {
	case <-finished:
	case <-time.After(time.Second):
	}
}

// refuse answers a message that never reached mcp-go.
func (s *pipe) refuse(id json.RawMessage, code int, message string) {
	if err := s.session.send(context.Background(), refusal(id, code, message), false); err != nil {
		s.log.Debug("refusal not sent", "error", err)
	}
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
