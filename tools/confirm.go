// This file asks the user before a video is paid for (--confirm-spend).

package tools

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	spendQuestion = "spend"          // names the question in a call
	yesFor        = 10 * time.Minute // how long a yes that came after its call had ended counts for the next
)

// confirmations are the user's confirmations that no call has used yet.
type confirmations struct {
	mu  sync.Mutex
	yes map[string]time.Time // when they came, by request
}

// hear reads the answer that a client of 2026-07-28 sends with its second call. An
// answer to the question about other arguments counts as none; anything but a yes
// is errDeclined.
func (c *confirmations) hear(ctx context.Context, req mcp.CallToolRequest) error {
	if _, answered := server.InputResponse(req.Params.InputResponses, spendQuestion); !answered || req.Params.RequestState != requestKey(ctx, req) {
		return nil
	}
	answer := server.ElicitationResponse(req.Params.InputResponses, spendQuestion)
	if answer == nil || answer.Action != mcp.ElicitationResponseActionAccept {
		return errDeclined
	}
	c.add(requestKey(ctx, req))
	return nil
}

// ask returns nil once the user has agreed to pay for the video, and an error after
// within at the latest. A yes counts for one call. tell is called now and then
// while it waits.
func (c *confirmations) ask(ctx context.Context, req mcp.CallToolRequest, in generateArgs, within time.Duration, tell func(value, total float64, message string)) error {
	key := requestKey(ctx, req)
	if c.take(key) {
		return nil
	}
	params := mcp.ElicitationParams{Message: spendMessage(in), RequestedSchema: map[string]any{"type": "object", "properties": map[string]any{}}}
	capabilities, modern := clientCapabilities(ctx)
	session, ok := server.ClientSessionFromContext(ctx).(interface {
		Elicit(context.Context, mcp.ElicitationParams, func(json.RawMessage)) error
	})
	switch e := capabilities.Elicitation; {
	case e == nil || e.Form == nil && e.URL != nil:
		return errNotAsked
	case modern:
		return question{server.NewInputRequestBuilder(key).Elicit(spendQuestion, params).ToolResult()}
	case !ok:
		return errNotAsked
	}
	said := make(chan bool, 1)
	begun := time.Now()
	err := session.Elicit(ctx, params, func(result json.RawMessage) {
		var answer mcp.ElicitationResponse
		yes := json.Unmarshal(result, &answer) == nil && answer.Action == mcp.ElicitationResponseActionAccept
		if yes {
			c.add(key)
		}
		said <- yes
	})
	if err != nil {
		return errNotAsked
	}
	defer repeat(func() {
		tell(time.Since(begun).Seconds(), 0, "waiting for the user to say whether this video may be paid for")
	})()
	select {
	case yes := <-said:
		if !yes || !c.take(key) {
			return errDeclined
		}
		return nil
	case <-time.After(within):
		return notConfirmed("the user has not said yet whether this video may be paid for; a yes counts for 10 minutes, for the same arguments")
	case <-ctx.Done():
		return notConfirmed("the call was cancelled before the user said whether this video may be paid for")
	}
}

var (
	errDeclined = notConfirmed("the user said no to the question whether this video may be paid for, or the client did, unasked")
	errNotAsked = notConfirmed("this client can't ask the user whether this video may be paid for")
)

// notConfirmed says why nothing is submitted, which failure adds.
func notConfirmed(why string) error {
	return &pixazo.Error{Code: pixazo.NotConfirmed, Message: why}
}

func (c *confirmations) add(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.yes == nil {
		c.yes = map[string]time.Time{}
	}
	maps.DeleteFunc(c.yes, func(_ string, at time.Time) bool { return time.Since(at) >= yesFor })
	c.yes[key] = time.Now()
}

// take uses up a yes, and reports whether there was one.
func (c *confirmations) take(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.yes[key]
	delete(c.yes, key)
	return ok && time.Since(at) < yesFor
}

// requestKey is the same for calls of one owner with the same arguments. It also
// names the question about them, which the answer repeats.
func requestKey(ctx context.Context, req mcp.CallToolRequest) string {
	arguments, _ := json.Marshal(req.GetArguments()) // which came as JSON
	return fmt.Sprintf("%x", sha256.Sum256(append([]byte(jobs.Owner(ctx)+"\n"), arguments...)))
}

// spendMessage is the question, for a person.
func spendMessage(in generateArgs) string {
	message := "Make this video? It is paid for with credits of the Pixazo account.\n\nPrompt: " + text.Clean(in.Prompt, 1000)
	if in.Orientation != "" {
		message += "\nOrientation: " + text.Clean(in.Orientation, 100)
	}
	if n := len(in.Files); n > 0 {
		message += fmt.Sprintf("\nFiles: %d", n)
	}
	if in.AllowDuplicate {
		message += "\nAlso if the same video was ordered before."
	}
	return message
}

// clientCapabilities returns what the client of a call said that it can do: with
// the call since 2026-07-28, else when it initialized.
func clientCapabilities(ctx context.Context) (capabilities mcp.ClientCapabilities, modern bool) {
	info := server.RequestProtocolInfoFromContext(ctx)
	modern = info != nil && info.Modern
	if modern {
		capabilities = *info.ClientCapabilities
	} else if session, ok := server.ClientSessionFromContext(ctx).(server.SessionWithClientInfo); ok {
		capabilities = session.GetClientCapabilities()
	}
	return capabilities, modern
}
