// This file asks the user before a video is paid for (--confirm-spend).

package tools

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	spendQuestion = "spend"          // the id of the question in the answer to a call
	yesFor        = 10 * time.Minute // how long a yes counts that came after its call had ended
	maxName       = 64               // bytes of a question's name behind its requestKey; those of ask have 26
)

// confirmations holds the confirmations of users that no call has used yet, and the
// names of the questions that were answered with a yes.
type confirmations struct {
	mu   sync.Mutex
	yes  map[string]time.Time // when they came, by requestKey
	used map[string]time.Time // when they were answered, by requestState
}

// takeAnswer takes the user's answer out of req, with which a client of 2026-07-28 repeats its
// call. An answer to a question about other arguments is ignored, and so is a second yes
// to one question, which may be the first that was sent again. An answer other than yes
// is errDeclined.
func (c *confirmations) takeAnswer(ctx context.Context, req mcp.CallToolRequest) error {
	state, key := req.Params.RequestState, requestKey(ctx, req)
	name, ours := strings.CutPrefix(state, key+".")
	if _, answered := server.InputResponse(req.Params.InputResponses, spendQuestion); !answered || !ours || len(name) > maxName {
		return nil // a longer name, which is no question's either, would be kept for a day
	}
	answer := server.ElicitationResponse(req.Params.InputResponses, spendQuestion)
	if answer == nil || answer.Action != mcp.ElicitationResponseActionAccept {
		return errDeclined
	}
	if c.use(state) {
		c.add(key)
	}
	return nil
}

// ask asks the user whether the video may be paid for, unless an unused yes is there. It
// returns nil if the user agrees, which counts for one call, and an error after within
// at the latest. While it waits it reports progress with tell.
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
		return question{server.NewInputRequestBuilder(key+"."+rand.Text()).Elicit(spendQuestion, params).ToolResult()}
	case !ok:
		return errNotAsked
	}
	return c.await(ctx, key, within, tell, func(answered func(json.RawMessage)) error { return session.Elicit(ctx, params, answered) })
}

// await asks the question about key with elicit, which calls answered with the result once
// it comes, and waits for that as ask does.
func (c *confirmations) await(ctx context.Context, key string, within time.Duration, tell func(value, total float64, message string), elicit func(answered func(json.RawMessage)) error) error {
	var mu sync.Mutex
	waiting, said := true, make(chan bool, 1)
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		waiting = false
		if len(said) > 0 && <-said { // it came while this call ended
			c.add(key)
		}
	}()
	begun := time.Now()
	err := elicit(func(result json.RawMessage) {
		var answer mcp.ElicitationResponse
		yes := json.Unmarshal(result, &answer) == nil && answer.Action == mcp.ElicitationResponseActionAccept
		mu.Lock()
		defer mu.Unlock()
		if waiting {
			said <- yes
		} else if yes {
			c.add(key)
		}
	})
	switch {
	case ctx.Err() != nil:
		return errEnded
	case err != nil:
		return errNotAsked
	}
	defer repeat(func() {
		tell(time.Since(begun).Seconds(), 0, "waiting for the user to say whether this video may be paid for")
	})()
	var yes bool
	select {
	case yes = <-said:
	case <-time.After(within):
		return notConfirmed("the user has not said yet whether this video may be paid for; a yes counts for 10 minutes, for the same arguments")
	case <-ctx.Done():
		select {
		case yes = <-said: // the answer was the last message
		default:
			return errEnded
		}
	}
	if !yes {
		return errDeclined
	}
	c.take(key) // a late yes to an earlier call was to the same video
	return nil
}

var (
	errDeclined = notConfirmed("the user said no to the question whether this video may be paid for, or the client did, unasked")
	errNotAsked = notConfirmed("this client can't ask the user whether this video may be paid for")
	errEnded    = notConfirmed("the call was cancelled, or the server is ending, before the user said whether this video may be paid for")
)

// notConfirmed returns an error with the reason why the video is not confirmed.
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

// take removes the yes of key, and reports whether there was one that still counts.
func (c *confirmations) take(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.yes[key]
	delete(c.yes, key)
	return ok && time.Since(at) < yesFor
}

// use reports whether the question of this name is answered with a yes for the first time.
// It remembers the names for a day.
func (c *confirmations) use(state string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used == nil {
		c.used = map[string]time.Time{}
	}
	maps.DeleteFunc(c.used, func(_ string, at time.Time) bool { return time.Since(at) >= 24*time.Hour })
	_, known := c.used[state]
	c.used[state] = time.Now()
	return !known
}

// requestKey returns a hash of the owner and the arguments of a call. A client of
// 2026-07-28 gets it with the question, in the question's name, and returns that with the
// answer.
func requestKey(ctx context.Context, req mcp.CallToolRequest) string {
	arguments, _ := json.Marshal(req.GetArguments()) // can't fail: they came as JSON
	return fmt.Sprintf("%x", sha256.Sum256(append([]byte(jobs.Owner(ctx)+"\n"), arguments...)))
}

// spendMessage returns the question that the user is asked.
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

// clientCapabilities returns the capabilities of the client that made the call in ctx. A
// modern client, one of 2026-07-28, states them with each call, others in initialize.
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
