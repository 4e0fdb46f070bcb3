// This file sends requests to the client: for its roots, the folders that it offers, and
// for answers of its user. That is for clients up to 2025-11-25 whose messages are passed
// to Take. A client of 2026-07-28 gets such a question as the answer to its call
// (specification 2026-07-28, "Multi Round-Trip Requests").

package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

// answerTime is how long the client may take to name its roots. It is short, since the
// client need not ask its user for them.
const answerTime = 10 * time.Second

var errNoAnswers = errors.New("the end of the input came before an answer")

// takeAnswer passes an answer of the client on, without blocking, and reports whether
// there is a question with its id.
func (s *Session) takeAnswer(m Message) bool {
	replied, ok := s.questions.LoadAndDelete(m.ID)
	if ok {
		if Given(m.Error) {
			s.log.Debug("the client answered with an error", "error", s.Clean(string(m.Error), MaxError))
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
	replied := make(chan json.RawMessage, 1)
	id, err := s.ask(ctx, mcp.MethodListRoots, nil, func(result json.RawMessage) { replied <- result })
	defer s.questions.Delete(id)
	var result mcp.ListRootsResult
	if err == nil {
		select {
		case answer := <-replied:
			err = json.Unmarshal(answer, &result)
		case <-s.stopped.Done():
			select {
			case answer := <-replied: // the answer was the last message
				err = json.Unmarshal(answer, &result)
			default:
				err = errNoAnswers
			}
		case <-time.After(answerTime):
			// Specification 2025-11-25, "Timeouts": the sender SHOULD cancel a request
			// after its timeout.
			_ = s.Notify(ctx, string(mcp.MethodNotificationCancelled), map[string]any{
				"requestId": json.RawMessage(id), "reason": "no answer in time",
			})
			err = fmt.Errorf("no answer within %s", answerTime)
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil || errors.Is(err, ErrClosed) {
		return nil, ErrClosed
	}
	if err != nil {
		s.log.Debug("the client names no roots", "error", s.Clean(err.Error(), MaxError))
		return &mcp.ListRootsResult{}, nil
	}
	return &result, nil
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
		return id, errNoAnswers
	}
	return id, s.Send(ctx, struct {
		JSONRPC string                 `json:"jsonrpc"`
		ID      json.RawMessage        `json:"id"`
		Method  mcp.MCPMethod          `json:"method"`
		Params  *mcp.ElicitationParams `json:"params,omitempty"`
	}{mcp.JSONRPC_VERSION, json.RawMessage(id), method, params})
}
