// This file asks the client which folders it offers, its roots. A request of
// ours is the older way, up to 2025-11-25: a client of 2026-07-28 is told in
// the answer to its call what is missing, and mcp-go sees to that
// (specification 2026-07-28, "Multi Round-Trip Requests").

package stdio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/internal/wire"
)

// answerTime is how long the client may take to answer. It is a program's
// answer, not a person's.
const answerTime = 10 * time.Second

// questions are the requests to the client that it has not answered.
type questions struct {
	session *wire.Session
	log     *slog.Logger

	mu      sync.Mutex
	asked   int
	pending map[string]chan reply // by id as it stands in the message
	ended   bool                  // no more answers will come
}

// reply is the client's answer to one question.
type reply struct{ result, error json.RawMessage }

// listRoots asks the client for its roots. A client that does not name any, for
// whatever reason, offers none: mcp-go would end the call with a JSON-RPC
// error, where the tool can say better what it can't do. The error is that of a
// call which nobody waits for any more.
func (q *questions) listRoots(ctx context.Context) (*mcp.ListRootsResult, error) {
	answer, err := q.ask(ctx, mcp.MethodListRoots)
	if ctx.Err() != nil || errors.Is(err, wire.ErrClosed) {
		return nil, wire.ErrClosed
	}
	var result mcp.ListRootsResult
	if err == nil {
		err = json.Unmarshal(answer, &result)
	}
	if err != nil {
		q.log.Debug("the client names no roots", "error", text.Clean(err.Error(), 500))
		return &mcp.ListRootsResult{}, nil
	}
	return &result, nil
}

// ask sends a request without parameters, on behalf of the call in ctx, and
// waits for the answer.
func (q *questions) ask(ctx context.Context, method mcp.MCPMethod) (json.RawMessage, error) {
	id, replied, err := q.open()
	if err != nil {
		return nil, err
	}
	defer q.drop(id)
	err = q.session.Send(ctx, struct {
		JSONRPC string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Method  mcp.MCPMethod   `json:"method"`
	}{mcp.JSONRPC_VERSION, json.RawMessage(id), method})
	if err != nil {
		return nil, err
	}
	select {
	case r, ok := <-replied:
		switch {
		case !ok:
			return nil, errNoAnswers
		case r.error != nil && string(r.error) != "null":
			return nil, fmt.Errorf("the client answered with an error: %s", r.error)
		}
		return r.result, nil
	case <-time.After(answerTime):
		// Specification 2025-11-25, "Timeouts": the asker SHOULD say that it no
		// longer waits.
		_ = q.session.Notify(ctx, string(mcp.MethodNotificationCancelled), map[string]any{
			"requestId": json.RawMessage(id), "reason": "no answer in time",
		})
		return nil, fmt.Errorf("no answer within %s", answerTime)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

var errNoAnswers = errors.New("the end of the input came before an answer")

// open begins a question. The channel gets the answer, and is closed when there
// will be none.
func (q *questions) open() (id string, replied chan reply, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended {
		return "", nil, errNoAnswers
	}
	q.asked++
	// The client's own ids are another set (specification, "Requests"); a word
	// keeps them apart for readers of a log, too.
	id = fmt.Sprintf(`"pixazo-%d"`, q.asked)
	replied = make(chan reply, 1)
	if q.pending == nil {
		q.pending = map[string]chan reply{}
	}
	q.pending[id] = replied
	return id, replied, nil
}

// answer passes an answer on and does not block. It reports whether there is a
// question of that id.
func (q *questions) answer(id string, result, failure json.RawMessage) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	replied, ok := q.pending[id]
	if ok {
		delete(q.pending, id)
		replied <- reply{result, failure}
	}
	return ok
}

// drop forgets a question: an answer to it comes too late.
func (q *questions) drop(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.pending, id)
}

// end leaves all questions without an answer.
func (q *questions) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	for id, replied := range q.pending {
		delete(q.pending, id)
		close(replied)
	}
}
