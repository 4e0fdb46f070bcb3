// This file is what handlers can do with the session they find in their
// context, and what mcp-go keeps in it about the client.

package wire

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/text"
)

var (
	_ server.SessionWithClientInfo = (*Session)(nil)
	_ server.SessionWithRoots      = (*Session)(nil)
)

// Send sends a message that belongs to the call in ctx, before that call's
// answer or not at all.
func (s *Session) Send(ctx context.Context, message any) error { return s.send(ctx, message, false) }

// Notify sends a notification that belongs to the call in ctx, before that
// call's answer or not at all. mcp-go's own way, a channel, delivers it after
// the answer when the handler returns at once.
func (s *Session) Notify(ctx context.Context, method string, params map[string]any) error {
	return s.Send(ctx, struct {
		JSONRPC string         `json:"jsonrpc"`
		Method  string         `json:"method"`
		Params  map[string]any `json:"params"`
	}{mcp.JSONRPC_VERSION, method, params})
}

// SetErrorCode sets the JSON-RPC code of the error with which the call in ctx
// will be answered. mcp-go answers every error of a resource's handler with
// -32603, an unknown resource included.
func (s *Session) SetErrorCode(ctx context.Context, code int) {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		c.errorCode.Store(int64(code))
	}
}

// ListRoots asks the client for its roots.
func (s *Session) ListRoots(ctx context.Context, _ mcp.ListRootsRequest) (*mcp.ListRootsResult, error) {
	if s.options.ListRoots == nil {
		return &mcp.ListRootsResult{}, nil
	}
	return s.options.ListRoots(ctx)
}

// Elicit asks whoever uses the client; see Options.
func (s *Session) Elicit(ctx context.Context, params mcp.ElicitationParams, answered func(result json.RawMessage)) error {
	if s.options.Elicit == nil {
		return errors.ErrUnsupported
	}
	return s.options.Elicit(ctx, params, answered)
}

// ClientName returns what the client of the call in ctx calls itself, "" if it
// does not say.
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

// GetClientInfo returns what the client said last of itself.
func (s *Session) GetClientInfo() mcp.Implementation { return *s.info.Load() }

// SetClientInfo keeps it.
func (s *Session) SetClientInfo(info mcp.Implementation) { s.info.Store(&info) }

// GetClientCapabilities returns what the client said last that it can do. For a
// call of 2026-07-28 only what came with that call counts: mcp-go has it in
// server.RequestProtocolInfoFromContext.
func (s *Session) GetClientCapabilities() mcp.ClientCapabilities { return *s.capabilities.Load() }

// SetClientCapabilities keeps it.
func (s *Session) SetClientCapabilities(c mcp.ClientCapabilities) { s.capabilities.Store(&c) }
