// This file passes requests to mcp-go and mends what goes in and comes out.

package wire

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"runtime/debug"

	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/text"
)

// maxError is the longest message of an error, in characters.
const maxError = 500

var goValue = text.Pattern(`json: cannot unmarshal (\w+).* into Go .*`)

// answer returns mcp-go's answer to the request c, nil for none.
func (s *Session) answer(ctx context.Context, c *call) mcp.JSONRPCMessage {
	switch mcp.MCPMethod(c.Method) {
	case mcp.MethodInitialize:
		return s.handle(ctx, readable(c.Raw))
	case mcp.MethodToolsList, mcp.MethodPromptsList, mcp.MethodResourcesList, mcp.MethodResourcesTemplatesList:
		var params struct{ Cursor json.RawMessage }
		c.Params(&params)
		// mcp-go takes every cursor that is base64, but our lists come whole: no
		// cursor was ever given out.
		if cursor := string(params.Cursor); cursor != "" && cursor != "null" && cursor != `""` {
			return refusal(nil, mcp.INVALID_PARAMS, "unknown cursor: the list comes whole, without one")
		}
	case mcp.MethodSubscriptionsListen:
		return s.listen(ctx, c)
	}
	return s.handle(ctx, c.Raw)
}

// handle passes a message to mcp-go. A panic there costs one answer only.
func (s *Session) handle(ctx context.Context, message []byte) (response mcp.JSONRPCMessage) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("panic while handling a message", "panic", r, "stack", string(debug.Stack()))
			response = refusal(nil, mcp.INTERNAL_ERROR, "internal error")
		}
	}()
	return s.srv.HandleMessage(ctx, message)
}

// listen serves a stream of news. mcp-go returns when the request is cancelled.
func (s *Session) listen(ctx context.Context, c *call) mcp.JSONRPCMessage {
	stream := newNews(ctx, s.writer, rand.Text(), c, s.options.Subscribe)
	stream.hear()
	if err := s.srv.RegisterSession(ctx, stream); err != nil { // so that list changes reach it
		return refusal(nil, mcp.INTERNAL_ERROR, err.Error())
	}
	defer s.srv.UnregisterSession(ctx, stream.id)
	relaying, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go stream.relay(relaying)
	response := s.handle(s.srv.WithContext(ctx, stream), c.Raw)
	stream.flush()
	return response
}

// readable returns an initialize request that mcp-go takes: what is of a wrong
// type is left out, or {} for a capability, since nothing of ours depends on
// it. Clients send capabilities: [], roots: true and version: 1.
func readable(message []byte) []byte {
	if json.Unmarshal(message, &mcp.InitializeRequest{}) == nil {
		return message
	}
	var request map[string]json.RawMessage
	var params struct {
		Meta            json.RawMessage            `json:"_meta,omitempty"`
		ProtocolVersion string                     `json:"protocolVersion"`
		Capabilities    map[string]json.RawMessage `json:"capabilities"`
		ClientInfo      mcp.Implementation         `json:"clientInfo"`
	}
	_ = json.Unmarshal(message, &request)          // an object, or it would not have come this far
	_ = json.Unmarshal(request["params"], &params) // goes on behind a value of a wrong type
	for name, value := range params.Capabilities {
		one, _ := json.Marshal(map[string]json.RawMessage{name: value}) // which came as JSON
		if value[0] != '{' && string(value) != "true" {
			delete(params.Capabilities, name)
		} else if json.Unmarshal(one, &mcp.ClientCapabilities{}) != nil {
			params.Capabilities[name] = json.RawMessage("{}")
		}
	}
	request["params"], _ = json.Marshal(params) // as above
	mended, _ := json.Marshal(request)
	return mended
}

// finish returns mcp-go's answer to c with three changes: the id is the
// client's own, since mcp-go reads numbers as float64, which changes those
// above 2^53; an error has the code of SetErrorCode; its message is short.
func finish(response mcp.JSONRPCMessage, c *call) mcp.JSONRPCMessage {
	id := json.RawMessage(c.ID)
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
		r.Error.Message = text.Clean(goValue().ReplaceAllString(r.Error.Message, "the JSON $1 is out of place or out of range"), maxError)
		return r
	}
	return response
}

// inputRequired returns a question for the client's roots as every client can
// read it: mcp-go leaves out its params, and the official Go SDK (1.8.0) takes
// that for broken JSON.
func inputRequired(result *mcp.CallToolResult) any {
	requests := map[string]any{}
	for id, each := range result.InputRequests {
		requests[id] = each
		if each.Method == mcp.MethodListRoots {
			requests[id] = map[string]any{"method": each.Method, "params": struct{}{}}
		}
	}
	answer := map[string]any{"resultType": result.ResultType, "inputRequests": requests}
	if result.RequestState != "" {
		answer["requestState"] = result.RequestState
	}
	return answer
}

func refusal(id any, code int, message string) mcp.JSONRPCError {
	return mcp.NewJSONRPCError(mcp.NewRequestId(id), code, text.Clean(message, maxError), nil)
}
