// Package resources holds what a client can read from the server: guides for models and
// people, the videos, the page that plays them, and prompts.
package resources

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/jobs"
)

// The guides, built into the binary. As strings they take no memory until they are read.
var (
	//go:embed guides/prompting.md
	prompting string
	//go:embed guides/parameters.md
	parameters string
	//go:embed guides/troubleshooting.md
	troubleshooting string
	//go:embed guides/costs.md
	costs string
)

// guide is one Markdown text.
type guide struct {
	topic       string // the end of its URI
	text        *string
	title       string
	description string
	priority    float64 // 0 to 1 (MCP, Annotations)
}

// guides are all guides.
var guides = []guide{
	{"prompting", &prompting, "How to prompt the video agent",
		"How to write a prompt for generate_video, what HeyGen's producers know, examples; every parameter; what each status means.", 0.8},
	{"parameters", &parameters, "Parameters in detail",
		"What each argument of the tools takes and what is checked before anything is sent; attachments: paths, URLs, data, types and sizes.", 0.5},
	{"troubleshooting", &troubleshooting, "Troubleshooting by error code",
		"What each error code means, whether anything was charged, and what to do; what to do when a call timed out.", 0.6},
	{"costs", &costs, "What a video costs and how spending is limited",
		"HeyGen's list price; what spends credits and what costs nothing; duplicates; the limits; what to tell the user.", 0.6},
}

func (g guide) uri() string { return jobs.GuideURI + g.topic }

// Options are what the resources need to know of the server.
type Options struct {
	// MediaOrigins are the origins, in lower case, from which the player may load videos,
	// such as https://*.example.com. It shows links to other videos.
	MediaOrigins []string

	// Team means that the server has several users. Then no video is a resource of its
	// own, since all users would see it, and the texts suit a team.
	Team bool

	// Missing are the tools that the server does not offer. Without generate_video
	// there are no guides, and no prompts that lead to a video.
	Missing []string
}

func (o Options) misses(tool string) bool { return slices.Contains(o.Missing, tool) }

// Register adds all resources and prompts to s. Call it before the tracker is used. s
// should declare prompts, completions, and resources with subscriptions and, unless
// options.Team is set, list changes. Begin subscriptions with Videos.Subscribe.
func Register(s *server.MCPServer, tracker *jobs.Tracker, options Options) *Videos {
	for _, g := range guides {
		if options.misses("generate_video") {
			break
		}
		text := *g.text
		if options.Team {
			saving := "a saved video is a link (`saved_url`)"
			if options.misses("download_video") {
				saving = "no video is saved, and there is no `download_video`"
			}
			text = fmt.Sprintf(teamPreface, saving) + teamGuide.Replace(text)
		}
		listed := mcp.NewResource(g.uri(), g.topic+"-guide",
			mcp.WithResourceTitle(g.title),
			mcp.WithResourceDescription(g.description),
			mcp.WithMIMEType("text/markdown"),
			mcp.WithResourceSize(int64(len(text))),
			mcp.WithAnnotations(both, g.priority, ""),
		)
		s.AddResource(listed, func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
			return []mcp.ResourceContents{mcp.TextResourceContents{URI: g.uri(), MIMEType: "text/markdown", Text: text}}, nil
		})
	}
	registerPlayer(s, options)
	registerPrompts(s, tracker, options)
	return register(s, tracker, options.Team)
}

// teamPreface is put before each guide of a team server; %s is what becomes of videos.
const teamPreface = "> This is a team server. It runs on another computer than the user's: `files` takes URLs, asset IDs and data, but no paths; " +
	"%s; settings, key, credits and dashboard are those of whoever runs the server: ask them where the text says to change or to look at one.\n\n"

// teamGuide replaces what is wrong in a guide of a team server even with teamPreface.
var teamGuide = strings.NewReplacer(
	" and that the video will be saved in their folder and announced by itself, and\n   end your turn.", ", and\n   end your turn.",
	"say where it is saved (`saved_path`), or show the URL in `video_urls`, which expires.", "show its `saved_url`, where there is one, or the URL in `video_urls`; both expire.",
)
