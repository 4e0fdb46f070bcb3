// This file holds what handlers, which find the session in their context, say to the
// client, and what they and mcp-go know of it. Questions are for clients up to 2025-11-25
// whose messages are passed to Take; one of 2026-07-28 gets them as the answer to its call
// (specification 2026-07-28, "Multi Round-Trip Requests").

package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/text"
)

var (
	_ server.SessionWithClientInfo = (*Session)(nil)
	_ server.SessionWithRoots      = (*Session)(nil)
)

// answerTime is how long the client may take to name its roots. It is short, since the
// client need not ask its user for them.
const answerTime = 10 * time.Second

// send sends a message that belongs to the call in ctx. It sends nothing after that call's
// answer.
func (s *Session) send(ctx context.Context, message any) error {
	c, _ := ctx.Value(callKey{}).(*call)
	return s.write(message, c.isOpen)
}

// Notify sends a notification that belongs to the call in ctx. It sends nothing after
// that call's answer. mcp-go would send it through a channel, and so after the answer of
// a handler that returns at once.
func (s *Session) Notify(ctx context.Context, method string, params map[string]any) error {
	return s.send(ctx, notification(method, params))
}

// SetErrorCode sets the JSON-RPC code of the answer to the call in ctx, if that is an
// error. mcp-go uses -32603 for all errors of a resource's handler, even if there is no
// such resource.
func (s *Session) SetErrorCode(ctx context.Context, code int) {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		c.errorCode.Store(int64(code))
	}
}

// Clean returns words of the client, or of an error, for a message or the log, without
// what Hide hides, cleaned and cut off as text.Clean does.
func (o Options) Clean(words string, most int) string {
	if o.Hide != nil {
		words = o.Hide(words)
	}
	return text.Clean(words, most)
}

// ClientName returns the name that the client of the call in ctx has given, "" if none.
func (s *Session) ClientName(ctx context.Context) string {
	info := s.info.Load()
	if request := server.RequestProtocolInfoFromContext(ctx); request != nil && request.Modern {
		info = request.ClientInfo
	}
	if info == nil {
		return ""
	}
	return text.Clean(info.Name, 100)
}

// GetClientInfo returns the newest value of SetClientInfo.
func (s *Session) GetClientInfo() mcp.Implementation { return *s.info.Load() }

// SetClientInfo keeps the client's name and version.
func (s *Session) SetClientInfo(info mcp.Implementation) { s.info.Store(&info) }

// GetClientCapabilities returns the newest value of SetClientCapabilities. A client of
// 2026-07-28 states its capabilities with each call, see
// server.RequestProtocolInfoFromContext.
func (s *Session) GetClientCapabilities() mcp.ClientCapabilities { return *s.capabilities.Load() }

// SetClientCapabilities keeps the client's capabilities.
func (s *Session) SetClientCapabilities(c mcp.ClientCapabilities) { s.capabilities.Store(&c) }

// takeAnswer passes an answer of the client on, without blocking, and reports whether
// there is a question with its id.
func (s *Session) takeAnswer(m Message) bool {
	replied, ok := s.questions.LoadAndDelete(m.ID)
	if ok {
		if given(m.Error) {
			s.Logger.Debug("the client answered with an error", "error", s.Clean(string(m.Error), MaxError))
			m.Result = nil // which would be against the rules beside an error
		}
		replied.(func(json.RawMessage))(m.Result)
	}
	return ok
}

// ListRoots asks the client for its roots, on behalf of the call in ctx. If the client does
// not name any, for whatever reason, it returns none and no error: mcp-go would make a
// JSON-RPC error of that, while the tool can say what it could not do. It only returns an
// error if the call has ended.
func (s *Session) ListRoots(ctx context.Context, _ mcp.ListRootsRequest) (*mcp.ListRootsResult, error) {
	var result mcp.ListRootsResult
	err := s.askForRoots(ctx, &result)
	if ctx.Err() != nil || errors.Is(err, ErrClosed) {
		return nil, ErrClosed
	}
	if err != nil {
		s.Logger.Debug("the client names no roots", "error", s.Clean(err.Error(), MaxError))
		return &mcp.ListRootsResult{}, nil
	}
	return &result, nil
}

// askForRoots waits for roots until answerTime is over, the session is stopped, or ctx ends.
func (s *Session) askForRoots(ctx context.Context, roots *mcp.ListRootsResult) error {
	replied := make(chan json.RawMessage, 1)
	id, err := s.ask(ctx, mcp.MethodListRoots, nil, func(result json.RawMessage) { replied <- result })
	defer s.questions.Delete(id)
	if err != nil {
		return err
	}
	// At the stop the question counts as answered with nothing, unless there is an answer.
	defer context.AfterFunc(s.stopped, func() { s.takeAnswer(Message{ID: id}) })()
	select {
	case answer := <-replied:
		return json.Unmarshal(answer, roots)
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(answerTime):
	}
	// Specification 2025-11-25, "Timeouts": the sender SHOULD cancel a request after its timeout.
	_ = s.Notify(ctx, string(mcp.MethodNotificationCancelled), map[string]any{"requestId": json.RawMessage(id), "reason": "no answer in time"})
	return fmt.Errorf("no answer within %s", answerTime)
}

// Elicit asks the user of the client, on behalf of the call in ctx. When the client
// answers, it calls answered with the result, or with nil if the answer is an error; the
// call in ctx may have ended by then. answered must not block.
func (s *Session) Elicit(ctx context.Context, params mcp.ElicitationParams, answered func(result json.RawMessage)) error {
	id, err := s.ask(ctx, mcp.MethodElicitationCreate, &params, answered)
	if err != nil {
		s.questions.Delete(id)
	}
	return err
}

// ask sends a request on behalf of the call in ctx, and returns its id, as JSON. answered
// is called with the result, or nil for an error.
func (s *Session) ask(ctx context.Context, method mcp.MCPMethod, params *mcp.ElicitationParams, answered func(result json.RawMessage)) (id string, err error) {
	if s.ctx == nil {
		return "", errors.ErrUnsupported // of a session of New, answers don't come here
	}
	// It may be the same as an id of the client (specification, "Requests"), but a word
	// helps readers of a log to tell them apart.
	id = fmt.Sprintf(`"pixazo-%d"`, s.asked.Add(1))
	s.questions.Store(id, answered)
	if s.stopped.Err() != nil {
		return id, errors.New("the session has ended")
	}
	return id, s.send(ctx, struct {
		JSONRPC string                 `json:"jsonrpc"`
		ID      json.RawMessage        `json:"id"`
		Method  mcp.MCPMethod          `json:"method"`
		Params  *mcp.ElicitationParams `json:"params,omitempty"`
	}{mcp.JSONRPC_VERSION, json.RawMessage(id), method, params})
}
