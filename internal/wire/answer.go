// This file passes requests to mcp-go, and corrects requests and answers that other
// programs could not read.

package wire

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"runtime/debug"

	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/text"
)

// MaxError is the length of the longest error message, in characters.
const MaxError = 500

const maxLogged = 100 // characters of a method, or an id, in the log

// goValue matches the part of an error of encoding/json that names a Go type, and perhaps
// a field of the request, in whose path mcp-go's Alias stands for no field.
var goValue = text.Pattern(`json: cannot unmarshal (\w+).* into Go (?:struct field \w+(\.params)?(?:\.Alias)?(\.[\w.]+)?)?.*`)

// answer returns the answer to the request c, nil if there is none.
func (s *Session) answer(c *call) mcp.JSONRPCMessage {
	switch mcp.MCPMethod(c.Method) {
	case mcp.MethodInitialize:
		return s.handle(c.ctx, correctInitialize(c.Raw))
	case mcp.MethodToolsList, mcp.MethodPromptsList, mcp.MethodResourcesList, mcp.MethodResourcesTemplatesList:
		var params struct{ Cursor json.RawMessage }
		c.Params(&params)
		// mcp-go accepts every cursor that is base64. But our lists have one page, so
		// no cursor is valid.
		if cursor := string(params.Cursor); cursor != "" && cursor != "null" && cursor != `""` {
			return c.Refusal(mcp.INVALID_PARAMS, "unknown cursor: the list comes whole, without one")
		}
	case mcp.MethodSubscriptionsListen:
		return s.listen(c)
	}
	return s.handle(c.ctx, c.Raw)
}

// handle passes a message to mcp-go and returns the answer. A panic there becomes an
// error of this one call.
func (s *Session) handle(ctx context.Context, message []byte) (response mcp.JSONRPCMessage) {
	defer func() {
		if r := recover(); r != nil {
			s.Logger.Error("panic while handling a message", "panic", r, "stack", string(debug.Stack()))
			response = Message{}.Refusal(mcp.INTERNAL_ERROR, "internal error")
		}
	}()
	return s.srv.HandleMessage(ctx, message)
}

// listen serves a subscriptions/listen request, a stream of news, until it is cancelled.
func (s *Session) listen(c *call) mcp.JSONRPCMessage {
	ctx := c.ctx
	stream := newNews(ctx, s.writer, rand.Text(), c, s.Subscribe)
	stream.openQueues()
	if err := s.srv.RegisterSession(ctx, stream); err != nil { // list changes are sent to registered sessions
		return c.Refusal(mcp.INTERNAL_ERROR, err.Error())
	}
	defer s.srv.UnregisterSession(ctx, stream.id)
	relaying, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go stream.relay(relaying)
	response := s.handle(s.srv.WithContext(ctx, stream), c.Raw)
	stream.flush()
	return response
}

// correctInitialize returns an initialize request in a form that mcp-go accepts. Of one that
// it does not, only the names of the capabilities count, and values of a wrong type are
// dropped; clients send capabilities: [], roots: true and version: 1.
func correctInitialize(message []byte) []byte {
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
	_ = json.Unmarshal(message, &request)          // can't fail: Read has refused what is no object
	_ = json.Unmarshal(request["params"], &params) // skips values of a wrong type
	for name, value := range params.Capabilities {
		delete(params.Capabilities, name)
		if value[0] == '{' || string(value) == "true" {
			params.Capabilities[name] = json.RawMessage("{}")
		}
	}
	request["params"], _ = json.Marshal(params)
	mended, _ := json.Marshal(request)
	return mended
}

// finish returns response, mcp-go's answer to c, with the client's own id, since mcp-go
// reads ids as float64, which changes numbers above 2^53. It gives an error the code of
// SetErrorCode and a short message.
func (s *Session) finish(response mcp.JSONRPCMessage, c *call) mcp.JSONRPCMessage {
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
		// mcp-go quotes what the client sent, at any length, and names Go types.
		r.Error.Message = s.Clean(goValue().ReplaceAllString(r.Error.Message, "the JSON $1 is out of place or out of range in request$2$3"), MaxError)
		return r
	}
	return response
}

// inputRequired returns a result that asks the client something, with params in a
// question for roots. mcp-go leaves those out, and the official Go SDK (1.8.0) takes that
// for invalid JSON.
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
