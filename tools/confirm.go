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
)

// confirmations holds the confirmations of users that no call has used yet, by requestKey.
type confirmations struct {
	mu  sync.Mutex
	yes map[string]confirmation
}

// confirmation is the yes of a user. The one submission that it allows has its nonce, so
// that a yes that is sent again, to any process, orders no second video; "" means any.
type confirmation struct {
	nonce string
	at    time.Time
}

// answered returns the nonce of the submission that the user allows in req, with which a
// client of 2026-07-28 repeats its call; "" if there is no answer, or one to a question
// about other arguments. The error of an answer other than yes is errDeclined.
func answered(req mcp.CallToolRequest, key string) (nonce string, err error) {
	state := req.Params.RequestState
	if _, ok := server.InputResponse(req.Params.InputResponses, spendQuestion); !ok || !strings.HasPrefix(state, key+".") {
		return "", nil
	}
	answer := server.ElicitationResponse(req.Params.InputResponses, spendQuestion)
	if answer == nil || answer.Action != mcp.ElicitationResponseActionAccept {
		return "", errDeclined
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(state)))[:32], nil
}

// ask asks the user whether the video of the call with this requestKey may be paid for,
// unless an unused yes is there. It returns the nonce of the submission if the user agrees,
// and an error after within at the latest. While it waits it reports progress with tell.
func (c *confirmations) ask(ctx context.Context, key string, in generateArgs, within time.Duration, tell func(value, total float64, message string)) (nonce string, err error) {
	if nonce, ok := c.take(key); ok {
		return nonce, nil
	}
	params := mcp.ElicitationParams{Message: spendMessage(in), RequestedSchema: map[string]any{"type": "object", "properties": map[string]any{}}}
	capabilities, modern := clientCapabilities(ctx)
	session, ok := server.ClientSessionFromContext(ctx).(interface {
		Elicit(context.Context, mcp.ElicitationParams, func(json.RawMessage)) error
	})
	switch e := capabilities.Elicitation; {
	case e == nil || e.Form == nil && e.URL != nil:
		return "", errNotAsked
	case modern:
		return "", question{server.NewInputRequestBuilder(key+"."+rand.Text()).Elicit(spendQuestion, params).ToolResult()}
	case !ok:
		return "", errNotAsked
	}
	return "", c.await(ctx, key, within, tell, func(answered func(json.RawMessage)) error { return session.Elicit(ctx, params, answered) })
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
			c.add(key, "")
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
			c.add(key, "")
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

// add adds a yes that a later call with this requestKey uses.
func (c *confirmations) add(key, nonce string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.yes == nil {
		c.yes = map[string]confirmation{}
	}
	maps.DeleteFunc(c.yes, func(_ string, y confirmation) bool { return time.Since(y.at) >= yesFor })
	c.yes[key] = confirmation{nonce, time.Now()}
}

// take removes the yes of key and returns its nonce. ok is false if there was none that
// still counts.
func (c *confirmations) take(key string) (nonce string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	y, ok := c.yes[key]
	delete(c.yes, key)
	return y.nonce, ok && time.Since(y.at) < yesFor
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
