// This file parses the client's messages as far as transports need it.

package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/text"
)

// Message is a message of the client: a request if it has a method and an id, a
// notification if it has no id, an answer if it has no method.
type Message struct {
	Method        string
	ID            string // as JSON, such as 1 or "a"
	Result, Error json.RawMessage
	Raw           []byte
}

const noMethod = "a message must have a method"

// Read parses a message. refused is the answer to a message that must not be handled,
// nil for others.
func Read(raw []byte) (m Message, refused *mcp.JSONRPCError) {
	var head struct {
		Method string          `json:"method"`
		ID     json.RawMessage `json:"id"`
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
		Params occurrences     `json:"params"`
	}
	err := json.Unmarshal(raw, &head)
	_, malformed := errors.AsType[*json.SyntaxError](err)
	m = Message{Method: head.Method, ID: string(bytes.TrimSpace(head.ID)), Result: head.Result, Error: head.Error, Raw: raw}
	null := m.ID == "null"
	wrong := m.ID != "" && !null && !strings.ContainsRune(`"-0123456789`, rune(m.ID[0]))
	if null || wrong {
		m.ID = ""
	}
	refuse := func(code int, why string) (Message, *mcp.JSONRPCError) { return m, new(m.Refusal(code, why)) }
	switch {
	case malformed:
		return refuse(mcp.PARSE_ERROR, "message is not JSON: "+err.Error())
	case wrong, null && m.Method != "" && !strings.HasPrefix(m.Method, "notifications/"):
		return refuse(mcp.INVALID_REQUEST, "id must be a string or a number")
	case !utf8.Valid(raw):
		// encoding/json would put U+FFFD in place of letters, and a video be paid for
		// whose prompt lacks them.
		return refuse(mcp.PARSE_ERROR, "message is not UTF-8")
	case err != nil:
		return refuse(mcp.INVALID_REQUEST, "a message must be one JSON-RPC object, whose method must be a string")
	case m.Method == "" && m.ID == "" && m.Result == nil && m.Error == nil:
		return refuse(mcp.INVALID_REQUEST, noMethod)
	case m.Method != "" && m.ID != "" && (given(m.Result) || given(m.Error)):
		// mcp-go takes it for an answer, and so would never answer it.
		return refuse(mcp.INVALID_REQUEST, "a request must have no result and no error")
	case head.Params > 1:
		// Which of them counts, Params and mcp-go would each decide for itself: what
		// a caller may do is looked up in one, and done by the other.
		return refuse(mcp.INVALID_REQUEST, fmt.Sprintf("params must be given once; got %d of them", head.Params))
	}
	return m, nil
}

// Refusal returns an error as the answer to m, with the id as the client wrote it, since
// mcp-go would make a number a float64. The id is null if m has none, as the zero Message,
// or one that is not UTF-8, or is itself an answer.
func (m Message) Refusal(code int, why string) mcp.JSONRPCError {
	var id any
	isAnswer := m.Method == "" && (m.Result != nil || m.Error != nil)
	if m.ID != "" && !isAnswer && utf8.ValidString(m.ID) {
		id = json.RawMessage(m.ID)
	}
	return mcp.NewJSONRPCError(mcp.NewRequestId(id), code, text.Clean(why, MaxError), nil)
}

// given reports whether a field of a message is there and not null. Some programs write
// null for a field that they leave out.
func given(field json.RawMessage) bool { return field != nil && string(field) != "null" }

// occurrences counts how often an object has a field, in any case of letters, as
// encoding/json reads it.
type occurrences int

// UnmarshalJSON implements json.Unmarshaler.
func (o *occurrences) UnmarshalJSON([]byte) error {
	*o++
	return nil
}

// Params decodes the params of m into p, a pointer. It ignores what does not fit, which
// mcp-go reports.
func (m Message) Params(p any) { _ = json.Unmarshal(m.Raw, &struct{ Params any }{p}) }

// Cancelled returns the id of the request that m, a notification of cancellation, names,
// as JSON; "" if it names none.
func (m Message) Cancelled() string {
	var params struct {
		RequestID json.RawMessage `json:"requestId"`
	}
	m.Params(&params)
	return string(bytes.TrimSpace(params.RequestID))
}
