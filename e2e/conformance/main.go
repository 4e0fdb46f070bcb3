// conformance serves the tools, resources and prompts that the official
// conformance suite asks for, over internal/web: what the suite finds is then
// said of our transport, and not of our tools. The first line of its output is
// its address.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/web"
	"pixazo-mcp/internal/wire"
)

// A picture of one pixel, and a sound without samples.
const (
	picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
	sound   = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
)

func main() {
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		log.Fatal(err)
	}
	sessions := journal.New(journal.Options{Dir: dir, File: "sessions.db"})
	srv := server.NewMCPServer("conformance", "1", server.WithToolCapabilities(true), server.WithResourceCapabilities(true, true),
		server.WithPromptCapabilities(true), server.WithCompletions())
	addTools(srv)
	addResources(srv)
	addPrompts(srv)
	handler := web.New(srv, web.Options{
		Sessions: sessions,
		MaxBody:  1 << 20,
		Options: wire.Options{Subscribe: func(context.Context, string, func()) (func(), error) {
			return func() {}, nil
		}},
	})
	sessions.Hear(handler.Signalled)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s/mcp\n", listener.Addr())
	log.Fatal((&http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}).Serve(listener))
}

// notify sends a notification that belongs to the call in ctx.
func notify(ctx context.Context, method string, params map[string]any) error {
	return server.ClientSessionFromContext(ctx).(*wire.Session).Notify(ctx, method, params)
}

func addTools(srv *server.MCPServer) {
	resource := func(uri, mediaType, text string) mcp.Content {
		return mcp.NewEmbeddedResource(mcp.TextResourceContents{URI: uri, MIMEType: mediaType, Text: text})
	}
	for name, content := range map[string][]mcp.Content{
		"test_simple_text":       {mcp.NewTextContent("This is a simple text response for testing.")},
		"test_image_content":     {mcp.NewImageContent(picture, "image/png")},
		"test_audio_content":     {mcp.NewAudioContent(sound, "audio/wav")},
		"test_embedded_resource": {resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")},
		"test_multiple_content_types": {mcp.NewTextContent("Multiple content types test:"), mcp.NewImageContent(picture, "image/png"),
			resource("test://mixed-content-resource", "application/json", `{"test":"data","value":123}`)},
	} {
		srv.AddTool(mcp.NewTool(name, mcp.WithDescription("answers "+name)), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return &mcp.CallToolResult{Content: content}, nil
		})
	}
	srv.AddTool(mcp.NewTool("test_error_handling", mcp.WithDescription("what its name says")), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultError("This tool intentionally returns an error for testing"), nil
	})
	srv.AddTool(mcp.NewTool("test_tool_with_logging", mcp.WithDescription("what its name says")), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		for _, text := range []string{"Tool execution started", "Tool processing data", "Tool execution completed"} {
			if err := notify(ctx, "notifications/message", map[string]any{"level": "info", "data": text}); err != nil {
				return nil, err
			}
			time.Sleep(50 * time.Millisecond) // the suite wants to see them come apart
		}
		return mcp.NewToolResultText("logged"), nil
	})
	srv.AddTool(mcp.NewTool("test_tool_with_progress", mcp.WithDescription("what its name says")), func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		for _, progress := range []int{0, 50, 100} {
			if r.Params.Meta != nil && r.Params.Meta.ProgressToken != nil {
				if err := notify(ctx, "notifications/progress", map[string]any{"progressToken": r.Params.Meta.ProgressToken, "progress": progress, "total": 100}); err != nil {
					return nil, err
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
		return mcp.NewToolResultText("done"), nil
	})
}

func addResources(srv *server.MCPServer) {
	for uri, content := range map[string]mcp.ResourceContents{
		"test://static-text":      mcp.TextResourceContents{URI: "test://static-text", MIMEType: "text/plain", Text: "This is the content of the static text resource."},
		"test://static-binary":    mcp.BlobResourceContents{URI: "test://static-binary", MIMEType: "image/png", Blob: picture},
		"test://watched-resource": mcp.TextResourceContents{URI: "test://watched-resource", MIMEType: "text/plain", Text: "watched"},
	} {
		srv.AddResource(mcp.NewResource(uri, uri), func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
			return []mcp.ResourceContents{content}, nil
		})
	}
	srv.AddResourceTemplate(mcp.NewResourceTemplate("test://template/{id}/data", "template"), func(_ context.Context, r mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		var id string
		if _, err := fmt.Sscanf(r.Params.URI, "test://template/%3s/data", &id); err != nil {
			return nil, errors.New("the id has three characters here")
		}
		text := fmt.Sprintf(`{"id":%q,"templateTest":true,"data":"Data for ID: %s"}`, id, id)
		return []mcp.ResourceContents{mcp.TextResourceContents{URI: r.Params.URI, MIMEType: "application/json", Text: text}}, nil
	})
}

func addPrompts(srv *server.MCPServer) {
	add := func(prompt mcp.Prompt, contents func(arguments map[string]string) []mcp.Content) {
		srv.AddPrompt(prompt, func(_ context.Context, r mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			result := &mcp.GetPromptResult{}
			for _, content := range contents(r.Params.Arguments) {
				result.Messages = append(result.Messages, mcp.NewPromptMessage(mcp.RoleUser, content))
			}
			return result, nil
		})
	}
	add(mcp.NewPrompt("test_simple_prompt", mcp.WithPromptDescription("without arguments")), func(map[string]string) []mcp.Content {
		return []mcp.Content{mcp.NewTextContent("This is a simple prompt for testing.")}
	})
	add(mcp.NewPrompt("test_prompt_with_arguments", mcp.WithPromptDescription("with two arguments"), mcp.WithArgument("arg1"), mcp.WithArgument("arg2")), func(arguments map[string]string) []mcp.Content {
		return []mcp.Content{mcp.NewTextContent(fmt.Sprintf("Prompt with arguments: arg1='%s', arg2='%s'", arguments["arg1"], arguments["arg2"]))}
	})
	add(mcp.NewPrompt("test_prompt_with_embedded_resource", mcp.WithPromptDescription("with a resource"), mcp.WithArgument("resourceUri")), func(arguments map[string]string) []mcp.Content {
		return []mcp.Content{
			mcp.NewEmbeddedResource(mcp.TextResourceContents{URI: arguments["resourceUri"], MIMEType: "text/plain", Text: "Embedded resource content for testing."}),
			mcp.NewTextContent("Please process the embedded resource above."),
		}
	})
	add(mcp.NewPrompt("test_prompt_with_image", mcp.WithPromptDescription("with a picture")), func(map[string]string) []mcp.Content {
		return []mcp.Content{mcp.NewImageContent(picture, "image/png"), mcp.NewTextContent("Please analyze the image above.")}
	})
}
