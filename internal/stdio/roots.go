// This file asks the client: which folders it offers, its roots, and what a
// person says. A request of ours is the older way, up to 2025-11-25: a client of
// 2026-07-28 is told in the answer to its call what is missing (specification
// 2026-07-28, "Multi Round-Trip Requests").

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

	"pixazo-mcp/internal/text"
	"pixazo-mcp/internal/wire"
)

// answerTime is how long the client may take to answer. It is a program's
// answer, not a person's.
const answerTime = 10 * time.Second

var errNoAnswers = errors.New("the end of the input came before an answer")

// questions are the requests to the client that it has not answered.
type questions struct {
	session *wire.Session
	log     *slog.Logger
	asked   atomic.Int64
	pending sync.Map        // func(result json.RawMessage), by id as it stands in the message
	ended   context.Context // done when no more answers will come
}

// answer passes an answer on and does not block. It reports whether there is a
// question of that id.
func (q *questions) answer(id string, result, failure json.RawMessage) bool {
	replied, ok := q.pending.LoadAndDelete(id)
	if ok {
		if failure != nil && string(failure) != "null" {
			q.log.Debug("the client answered with an error", "error", text.Clean(string(failure), 500))
		}
		replied.(func(json.RawMessage))(result)
	}
	return ok
}

// listRoots asks the client for its roots. A client that does not name any, for
// whatever reason, offers none: mcp-go would end the call with a JSON-RPC
// error, where the tool can say better what it can't do. The error is that of a
// call which nobody waits for any more.
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
			case answer := <-replied: // with the last message
				err = json.Unmarshal(answer, &result)
			default:
				err = errNoAnswers
			}
		case <-time.After(answerTime):
			// Specification 2025-11-25, "Timeouts": the asker SHOULD say that it no
			// longer waits.
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
		q.log.Debug("the client names no roots", "error", text.Clean(err.Error(), 500))
		return &mcp.ListRootsResult{}, nil
	}
	return &result, nil
}

// elicit asks whoever uses the client, on behalf of the call in ctx. answered is
// called with the result, nil for an error, when there is an answer: also after
// the call.
func (q *questions) elicit(ctx context.Context, params mcp.ElicitationParams, answered func(result json.RawMessage)) error {
	id, err := q.send(ctx, mcp.MethodElicitationCreate, &params, answered)
	if err != nil {
		q.pending.Delete(id)
	}
	return err
}

// send sends a request on behalf of the call in ctx. Its answer goes to answered,
// which must not block.
func (q *questions) send(ctx context.Context, method mcp.MCPMethod, params *mcp.ElicitationParams, answered func(result json.RawMessage)) (id string, err error) {
	// The client's own ids are another set (specification, "Requests"); a word
	// keeps them apart for readers of a log, too.
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
