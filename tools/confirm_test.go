package tools

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/journal"
)

// A yes counts for the owner who said it, once, for ten minutes, and is not kept
// for longer.
func TestAYesIsOfOneOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c confirmations
		var req mcp.CallToolRequest
		req.Params.Arguments = json.RawMessage(`{"prompt":"x"}`)
		of := func(owner string) string { return requestKey(journal.WithOwner(context.Background(), owner), req) }
		takes := func(owner string) bool { _, ok := c.take(of(owner)); return ok }
		c.add(of("token:ada"), "")
		if takes("token:bob") {
			t.Error("the yes of another counts")
		}
		if !takes("token:ada") || takes("token:ada") {
			t.Error("a yes does not count, or twice")
		}
		c.add(of("token:ada"), "")
		time.Sleep(10 * time.Minute)
		c.add(of("token:bob"), "")
		if takes("token:ada") || len(c.yes) != 1 {
			t.Errorf("after ten minutes there are %d", len(c.yes))
		}
	})
}

// asker is the session of a client whose user has answered the questions of all calls
// before any of them goes on.
type asker struct {
	session
	answered sync.WaitGroup
	answer   string
}

func (*asker) GetClientInfo() mcp.Implementation            { return mcp.Implementation{} }
func (*asker) SetClientInfo(mcp.Implementation)             {}
func (*asker) SetClientCapabilities(mcp.ClientCapabilities) {}
func (*asker) GetClientCapabilities() mcp.ClientCapabilities {
	return mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapability{}}
}

func (a *asker) Elicit(_ context.Context, _ mcp.ElicitationParams, answered func(json.RawMessage)) error {
	answered(json.RawMessage(a.answer))
	a.answered.Done()
	a.answered.Wait()
	return nil
}

func TestEachOfTwoEqualCallsGetsItsOwnAnswer(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]error{`{"action":"accept"}`: nil, `{"action":"decline"}`: errDeclined} {
		synctest.Test(t, func(t *testing.T) {
			var c confirmations
			a := &asker{answer: answer}
			a.answered.Add(2)
			ctx := server.NewMCPServer("test", "1").WithContext(t.Context(), a)
			var calls sync.WaitGroup
			for range 2 {
				calls.Go(func() {
					if _, err := c.ask(ctx, "key", generateArgs{}, time.Minute, func(float64, float64, string) {}); !errors.Is(err, want) {
						t.Errorf("%s: %v, want %v", answer, err, want)
					}
				})
			}
			calls.Wait()
			if len(c.yes) > 0 {
				t.Errorf("%s: a yes is left", answer)
			}
		})
	}
}
