// Package resources holds what a client can read from the server, beside the
// tools: guides, written for a model and a person alike, and the videos.
package resources

import (
	"context"
	_ "embed"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/pixazo/jobs"
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

// Register adds every resource to s. It takes the tracker's OnChange, so it
// comes before the tracker is used. The server should declare that resources
// can be subscribed to and change, and completions; Videos.Subscribe makes the
// subscriptions.
func Register(s *server.MCPServer, tracker *jobs.Tracker) *Videos {
	for _, g := range guides {
		s.AddResource(g.resource(), g.read)
	}
	return register(s, tracker)
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
