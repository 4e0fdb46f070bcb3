// This file sends a client the progress of a call.

package tools

import (
	"context"
	"math"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// notifier is a session that sends notifications before the answer to their call.
type notifier interface {
	Notify(ctx context.Context, method string, params map[string]any) error
}

// progress returns a function that sends the progress of a call to its client. It does
// nothing if the client did not ask for that with a valid token. The protocol requires that progress
// rises, so it sends a little more than the last time if value does not. A total of 0
// means that it is not known.
func progress(ctx context.Context, req mcp.CallToolRequest) func(value, total float64, message string) {
	session, ok := server.ClientSessionFromContext(ctx).(notifier)
	if !ok || req.Params.Meta == nil || !validToken(req.Params.Meta.ProgressToken) {
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

// validToken reports whether token is one that the protocol allows, a string or a number.
// A number of 2^53 or more is none: mcp-go has rounded it, so that the client would not
// know it again.
func validToken(token any) bool {
	number, isNumber := token.(float64)
	_, isString := token.(string)
	return isString || isNumber && math.Abs(number) < 1<<53
}

// repeat calls f every 5 s until stop is called. f does not run any more when stop
// returns.
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
		<-ended
	}
}

func thousandths(value float64) float64 { return math.Round(value*1000) / 1000 }
