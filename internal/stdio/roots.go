// This file sends requests to the client: for its roots, the folders that it offers, and
// for answers of its user. That is for clients up to 2025-11-25. A client of 2026-07-28
// gets such a question as the answer to its call (specification 2026-07-28, "Multi
// Round-Trip Requests").

package stdio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/wire"
)

// answerTime is how long the client may take to name its roots. No person has to be
// asked for that.
const answerTime = 10 * time.Second

var errNoAnswers = errors.New("the end of the input came before an answer")

// questions are the requests to the client.
type questions struct {
	session *wire.Session
	log     *slog.Logger
	asked   atomic.Int64    // how many there were
	pending sync.Map        // of those without an answer, by id as JSON: func(result json.RawMessage), which takes the answer
	ended   context.Context // done when no more answers will come
}

// answer passes an answer on, without blocking, and reports whether there is a question
// with this id.
func (q *questions) answer(id string, result, failure json.RawMessage) bool {
	replied, ok := q.pending.LoadAndDelete(id)
	if ok {
		if wire.Given(failure) {
			q.log.Debug("the client answered with an error", "error", q.session.Clean(string(failure), 500))
			result = nil // which would be against the rules beside an error
		}
		replied.(func(json.RawMessage))(result)
	}
	return ok
}

// listRoots asks the client for its roots. If the client does not name any, for whatever
// reason, it returns none and no error: mcp-go would make a JSON-RPC error of that, while
// the tool can say what it could not do. It only returns an error if the call has ended.
func (q *questions) listRoots(ctx context.Context) (*mcp.ListRootsResult, error) {
	replied := make(chan json.RawMessage, 1)
	id, err := q.send(ctx, mcp.MethodListRoots, nil, func(result json.RawMessage) { replied <- result })
	defer q.pending.Delete(id)
	var result mcp.ListRootsResult
	if err == nil {
		select {
		case answer := <-replied:
			err = json.Unmarshal(answer, &result)
		case <-q.ended.Done():
			select {
			case answer := <-replied: // the answer was the last message
				err = json.Unmarshal(answer, &result)
			default:
				err = errNoAnswers
			}
		case <-time.After(answerTime):
			// Specification 2025-11-25, "Timeouts": the sender SHOULD cancel a request
			// after its timeout.
			_ = q.session.Notify(ctx, string(mcp.MethodNotificationCancelled), map[string]any{
				"requestId": json.RawMessage(id), "reason": "no answer in time",
			})
			err = fmt.Errorf("no answer within %s", answerTime)
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil || errors.Is(err, wire.ErrClosed) {
		return nil, wire.ErrClosed
	}
	if err != nil {
		q.log.Debug("the client names no roots", "error", q.session.Clean(err.Error(), 500))
		return &mcp.ListRootsResult{}, nil
	}
	return &result, nil
}

// elicit implements wire.Options.Elicit.
func (q *questions) elicit(ctx context.Context, params mcp.ElicitationParams, answered func(result json.RawMessage)) error {
	id, err := q.send(ctx, mcp.MethodElicitationCreate, &params, answered)
	if err != nil {
		q.pending.Delete(id)
	}
	return err
}

// send sends a request on behalf of the call in ctx, and returns its id, as JSON. answered
// is called with the result, or nil for an error, and must not block.
func (q *questions) send(ctx context.Context, method mcp.MCPMethod, params *mcp.ElicitationParams, answered func(result json.RawMessage)) (id string, err error) {
	// It may be the same as an id of the client (specification, "Requests"), but a word
	// helps readers of a log to tell them apart.
	id = fmt.Sprintf(`"pixazo-%d"`, q.asked.Add(1))
	q.pending.Store(id, answered)
	if q.ended.Err() != nil {
		return id, errNoAnswers
	}
	return id, q.session.Send(ctx, struct {
		JSONRPC string                 `json:"jsonrpc"`
		ID      json.RawMessage        `json:"id"`
		Method  mcp.MCPMethod          `json:"method"`
		Params  *mcp.ElicitationParams `json:"params,omitempty"`
	}{mcp.JSONRPC_VERSION, json.RawMessage(id), method, params})
}
