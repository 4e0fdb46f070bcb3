// This file mends what goes into mcp-go and comes out of it, and makes the
// answers to messages that mcp-go never gets to see.

package wire

import (
	"encoding/json"
	"maps"
	"regexp"

	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/text"
)

// finish returns mcp-go's answer to c with three changes: the id is the
// client's own, since mcp-go reads numbers as float64, which changes those
// above 2^53; an error has the code of SetErrorCode; its message is short.
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
		r.Error.Message = text.Clean(goValue.ReplaceAllString(r.Error.Message, "the JSON $1 is out of place or out of range"), maxError)
		return r
	}
	return response
}

// inputRequired is result as every client can read it: mcp-go leaves out the
// params of a question that has none, and the official Go SDK (1.8.0) takes
// that for broken JSON.
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

// readable returns an initialize request that mcp-go takes: what is of a wrong
// type is left out, or {} for a capability, since nothing of ours depends on
// it. Clients send capabilities: [], roots: true and version: 1.
func readable(message []byte) []byte {
	if json.Unmarshal(message, &mcp.InitializeRequest{}) == nil {
		return message
	}
	var request struct {
		JSONRPC json.RawMessage `json:"jsonrpc,omitempty"`
		ID      json.RawMessage `json:"id"`
		Method  string          `json:"method"`
		Params  struct {
			Meta            json.RawMessage            `json:"_meta,omitempty"`
			ProtocolVersion string                     `json:"protocolVersion"`
			Capabilities    map[string]json.RawMessage `json:"capabilities"`
			ClientInfo      mcp.Implementation         `json:"clientInfo"`
		} `json:"params"`
	}
	_ = json.Unmarshal(message, &request) // goes on behind a value of a wrong type
	capabilities := request.Params.Capabilities
	maps.DeleteFunc(capabilities, func(name string, value json.RawMessage) bool {
		return value[0] != '{' && string(value) != "true"
	})
	for name, value := range capabilities {
		one, err := json.Marshal(map[string]json.RawMessage{name: value})
		if err != nil || json.Unmarshal(one, &mcp.ClientCapabilities{}) != nil {
			capabilities[name] = json.RawMessage("{}")
		}
	}
	mended, err := json.Marshal(request)
	if err != nil {
		return message
	}
	return mended
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

// maxError is the longest message of an error, in characters.
const maxError = 500

var goValue = regexp.MustCompile(`json: cannot unmarshal (\w+).* into Go .*`)
