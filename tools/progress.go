// This file tells a client how far a call is.

package tools

import (
	"context"
	"math"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// notifier is a session that sends notifications in order with the answer of
// the call they belong to.
type notifier interface {
	Notify(ctx context.Context, method string, params map[string]any) error
}

// progress gives a function that sends the client how far the call is; it does
// nothing when the client did not ask. What is told strictly rises, as the
// protocol wants, also when value does not. total is 0 when nobody knows it, as
// for the making of a video.
func progress(ctx context.Context, req mcp.CallToolRequest) func(value, total float64, message string) {
	session, ok := server.ClientSessionFromContext(ctx).(notifier)
	if !ok || req.Params.Meta == nil || req.Params.Meta.ProgressToken == nil {
		return func(float64, float64, string) {}
	}
	var last float64
	return func(value, total float64, message string) {
		last = thousandths(max(value, last+0.001))
		params := map[string]any{
			"progressToken": req.Params.Meta.ProgressToken,
			"progress":      last,
			"message":       message,
		}
		if total > 0 {
			params["total"] = thousandths(max(total, last))
		}
		// A client that is gone ends the call by itself; there is nothing to
		// do about a lost progress message.
		_ = session.Notify(ctx, string(mcp.MethodNotificationProgress), params)
	}
}

// repeat calls f every 5 s until stop is called.
func repeat(f func()) (stop func()) {
	tick, end, ended := time.NewTicker(5*time.Second), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				f()
			case <-end:
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended // nothing may be told after the answer
	}
}

func thousandths(value float64) float64 { return math.Round(value*1000) / 1000 }
