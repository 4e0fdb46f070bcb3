// This file sends a client the progress of a call.

package tools

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// notifier is a session that sends notifications before the answer to their call.
type notifier interface {
	Notify(ctx context.Context, method string, params map[string]any) error
}

// progress returns a function that sends the progress of a call to its client, if that
// asked for it with a token, which must come back as it came. The protocol requires that
// progress rises, so it sends a little more than the last time if value does not. A total
// of 0 means that it is not known.
func progress(ctx context.Context, req mcp.CallToolRequest) func(value, total float64, message string) {
	session, ok := server.ClientSessionFromContext(ctx).(notifier)
	if !ok || req.Params.Meta == nil || req.Params.Meta.ProgressToken == nil || isRounded(req.Params.Meta.ProgressToken) {
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
		// An error means that the client is gone or the call has ended.
		_ = session.Notify(ctx, string(mcp.MethodNotificationProgress), params)
	}
}

// isRounded reports whether token may be another number than the client's, since mcp-go
// reads it as a float64. Some clients end the session at a token that they don't know.
func isRounded(token any) bool {
	number, _ := token.(float64)
	return math.Abs(number) >= 1<<53
}

// repeat calls f every 5 s until stop is called. f does not run any more when stop
// returns.
func repeat(f func()) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var calls sync.WaitGroup
	calls.Go(func() {
		for tick := time.Tick(5 * time.Second); ; {
			select {
			case <-tick:
				f()
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		calls.Wait()
	}
}

func thousandths(value float64) float64 { return math.Round(value*1000) / 1000 }
