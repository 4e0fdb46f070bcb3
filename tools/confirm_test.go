package tools

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

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
		c.add(of("token:ada"))
		if c.take(of("token:bob")) {
			t.Error("the yes of another counts")
		}
		if !c.take(of("token:ada")) || c.take(of("token:ada")) {
			t.Error("a yes does not count, or twice")
		}
		c.add(of("token:ada"))
		time.Sleep(10 * time.Minute)
		c.add(of("token:bob"))
		if c.take(of("token:ada")) || len(c.yes) != 1 {
			t.Errorf("after ten minutes there are %d", len(c.yes))
		}
	})
}
