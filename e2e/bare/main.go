// The bare mcp-go server that the benchmarks measure pixazo-mcp against: as
// many tools and resources, and nothing behind them. It speaks over stdio, or
// with an argument over HTTP at that address.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

func main() {
	srv := server.NewMCPServer("bare", "0", server.WithToolCapabilities(false), server.WithResourceCapabilities(false, false))
	for _, name := range []string{"generate_video", "get_status", "wait_for_video"} {
		srv.AddTool(mcp.NewTool(name, mcp.WithString("request_id", mcp.Required())), answer)
	}
	srv.AddResource(mcp.NewResource("bare://guide", "guide"), func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		return nil, nil
	})
	var err error
	if len(os.Args) > 1 {
		err = server.NewStreamableHTTPServer(srv).Start(os.Args[1])
	} else {
		err = server.ServeStdio(srv)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// answer answers at once, or after timeout_seconds with progress every 5 s.
func answer(ctx context.Context, q mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	end := time.After(time.Duration(q.GetFloat("timeout_seconds", 0) * float64(time.Second)))
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
			_ = server.ServerFromContext(ctx).SendNotificationToClient(ctx, "notifications/progress", map[string]any{"progressToken": q.Params.Meta.ProgressToken, "progress": n})
		case <-end:
			return mcp.NewToolResultText("done"), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
