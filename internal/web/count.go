// This file counts and logs the requests that were answered.

package web

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

func (s *Server) counter(format string, labels ...any) *metrics.Counter {
	return s.o.Metrics.GetOrCreateCounter(fmt.Sprintf(format, labels...))
}

// label returns the name of a tool for a metric, "unknown" if there is no such tool,
// so that clients can't create metrics.
func (s *Server) label(tool string) string {
	if s.srv.GetTool(tool) == nil {
		return "unknown"
	}
	return tool
}

// record counts and logs a request that was answered.
func (s *Server) record(q *request, answer mcp.JSONRPCMessage, took time.Duration) {
	outcome, level := outcomeOf(answer), slog.LevelDebug
	if q.tool != "" {
		level = slog.LevelInfo
		s.counter("pixazo_mcp_calls_total{tool=%q,outcome=%q}", s.label(q.tool), outcome).Inc()
	}
	s.log.Log(context.Background(), level, "answered", "method", s.o.Clean(q.Method, 50), "tool", s.o.Clean(q.tool, 50), "user", text.Clean(q.user.Name, 50), "owner", q.user.Owner, "outcome", outcome, "took", took.Round(time.Millisecond))
}

// outcomeOf returns "ok", "cancelled" or "refused" (a JSON-RPC error). For a tool
// that failed it returns the code of the error, "failed" if that has none.
func outcomeOf(answer mcp.JSONRPCMessage) string {
	switch a := answer.(type) {
	case nil:
		return "cancelled"
	case mcp.JSONRPCError:
		return "refused"
	case mcp.JSONRPCResponse:
		result, ok := a.Result.(*mcp.CallToolResult)
		if !ok || !result.IsError {
			return "ok"
		}
		for _, content := range result.Content {
			code, _, _ := strings.Cut(mcp.GetTextFromContent(content), ":")
			if pixazo.Code(code).Info().Meaning != "" {
				return code
			}
		}
	}
	return "failed"
}
