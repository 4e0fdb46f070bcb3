// The bare mcp-go server that the benchmarks measure pixazo-mcp against: as
// many tools and resources, and nothing behind them.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

func main() {
	srv := server.NewMCPServer("bare", "0", server.WithToolCapabilities(false), server.WithResourceCapabilities(false, false))
	for _, name := range []string{"generate_video", "get_status", "wait_for_video"} {
		srv.AddTool(mcp.NewTool(name, mcp.WithString("request_id", mcp.Required())),
			func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
				return mcp.NewToolResultText("done"), nil
			})
	}
	srv.AddResource(mcp.NewResource("bare://guide", "guide"), func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		return nil, nil
	})
	if err := server.ServeStdio(srv); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
