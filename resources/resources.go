// Package resources holds what a client can read from the server, beside the
// tools: guides, written for a model and a person alike.
package resources

import (
	"context"
	_ "embed"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// PromptingGuideURI names the guide on writing prompts and following a video.
const PromptingGuideURI = "pixazo://guide/prompting"

//go:embed guides/prompting.md
var promptingGuide string

// guide is one Markdown text, built into the binary.
type guide struct {
	uri         string
	name        string
	title       string
	description string
	priority    float64 // 0 to 1, how much a model needs it (MCP, Annotations)
	text        string
}

// guides is the whole list; a new guide is one more entry.
var guides = []guide{{
	uri:   PromptingGuideURI,
	name:  "prompting-guide",
	title: "How to prompt the video agent",
	description: "How to write a prompt for generate_video, with examples; every parameter; " +
		"what each status means; how to wait without paying twice.",
	priority: 0.8,
	text:     promptingGuide,
}}

// Register adds every resource to s.
func Register(s *server.MCPServer) {
	for _, g := range guides {
		s.AddResource(g.resource(), g.read)
	}
}

func (g guide) resource() mcp.Resource {
	return mcp.NewResource(g.uri, g.name,
		mcp.WithResourceTitle(g.title),
		mcp.WithResourceDescription(g.description),
		mcp.WithMIMEType("text/markdown"),
		mcp.WithResourceSize(int64(len(g.text))),
		mcp.WithAnnotations([]mcp.Role{mcp.RoleUser, mcp.RoleAssistant}, g.priority, ""),
	)
}

func (g guide) read(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
	return []mcp.ResourceContents{mcp.TextResourceContents{
		URI: g.uri, MIMEType: "text/markdown", Text: g.text,
	}}, nil
}
