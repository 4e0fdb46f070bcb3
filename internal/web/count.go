// This file counts what happens, and writes it into the log.

package web

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

// gauges are what stands now.
func (s *Server) gauges() {
	count := func(f func() int) func() float64 {
		return func() float64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			return float64(f())
		}
	}
	s.o.Metrics.NewGauge("pixazo_mcp_requests_open", count(func() int { return s.open }))
	s.o.Metrics.NewGauge("pixazo_mcp_streams_open", count(func() int { return len(s.streams) }))
	s.o.Metrics.NewGauge("pixazo_mcp_bodies_bytes", func() float64 { return float64(s.bodies.Load()) })
}

func (s *Server) count(status int) {
	s.o.Metrics.GetOrCreateCounter(fmt.Sprintf("pixazo_http_requests_total{code=%q}", strconv.Itoa(cmp.Or(status, http.StatusOK)))).Inc()
}

// note counts a request that was answered and logs it.
func (s *Server) note(q *request, answer mcp.JSONRPCMessage, took time.Duration) {
	outcome, level := outcomeOf(answer), slog.LevelDebug
	if q.name != "" {
		tool := q.name
		if s.srv.GetTool(tool) == nil {
			tool = "unknown"
		}
		level = slog.LevelInfo
		s.o.Metrics.GetOrCreateCounter(fmt.Sprintf("pixazo_mcp_calls_total{tool=%q,outcome=%q}", tool, outcome)).Inc()
	}
	s.log.Log(context.Background(), level, "answered", "method", text.Clean(q.Method, 50), "tool", text.Clean(q.name, 50), "user", text.Clean(q.user.Name, 50), "outcome", outcome, "took", took.Round(time.Millisecond))
}

// outcomeOf is "ok", "cancelled", "refused", or the code with which a tool
// failed.
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
			if said, ok := content.(mcp.TextContent); ok {
				code, _, _ := strings.Cut(said.Text, ":")
				if pixazo.Code(code).Info().Meaning != "" {
					return code
				}
			}
		}
	}
	return "failed"
}
