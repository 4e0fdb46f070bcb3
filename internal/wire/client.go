// This file holds the methods of a session for handlers, which find it in their context,
// and those with which mcp-go keeps what it knows of the client.

package wire

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/text"
)

var (
	_ server.SessionWithClientInfo = (*Session)(nil)
	_ server.SessionWithRoots      = (*Session)(nil)
)

// Send sends a message that belongs to the call in ctx. It sends nothing after that
// call's answer.
func (s *Session) Send(ctx context.Context, message any) error { return s.send(ctx, message, false) }

// Notify sends a notification that belongs to the call in ctx. It sends nothing after
// that call's answer. mcp-go would send it through a channel, and so after the answer of
// a handler that returns at once.
func (s *Session) Notify(ctx context.Context, method string, params map[string]any) error {
	return s.Send(ctx, notification(method, params))
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

// Clean is that of the session's Options.
func (s *Session) Clean(words string, most int) string { return s.options.Clean(words, most) }

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
