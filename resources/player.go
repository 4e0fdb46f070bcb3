// This file serves the player, an MCP App: a page that some clients show beside a tool's
// result. It shows one video or, for the result of list_videos, a gallery. Other clients
// have the same facts in the result.

package resources

import (
	"context"
	_ "embed"
	"encoding/json"
	"strings"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/jobs"
)

// appType is the MIME type of a page of MCP Apps (2026-01-26, UI Resource
// Format).
const appType = "text/html;profile=mcp-app"

//go:embed player.html
var playerFile string

//go:embed gallery.html
var galleryFile string

// playerPage returns the whole page: player.html with the elements and the script of
// gallery.html in it.
var playerPage = sync.OnceValue(func() string {
	elements, script, _ := strings.Cut(strings.TrimSuffix(galleryFile, "</script>\n"), "<script>\n")
	return strings.NewReplacer("<!-- gallery.html: elements -->\n", elements, "// gallery.html: script\n", script).Replace(playerFile)
})

// pageServer is what the page has to know of the server.
type pageServer struct {
	Local   []string `json:"local"`   // the http origins, such as the sandbox's, from which it may load videos; https ones are up to the client
	Missing []string `json:"missing"` // see Options
	Team    bool     `json:"team"`
}

// inPage returns the line of the page's script that declares p. JSON escapes what could
// end the script element.
func (p pageServer) inPage() string {
	raw, _ := json.Marshal(p) // can't fail for strings and booleans
	return "const server = " + string(raw) + ";"
}

// playerFor returns the page for a server with these options.
func playerFor(o Options) string {
	p := pageServer{Local: []string{}, Missing: o.Missing, Team: o.Team}
	unknown := pageServer{Local: []string{}}.inPage() // the line in player.html
	for _, origin := range o.MediaOrigins {
		if strings.HasPrefix(origin, "http:") {
			p.Local = append(p.Local, strings.TrimSuffix(origin, ":80")) // browsers leave the default port out
		}
	}
	return strings.Replace(playerPage(), unknown, p.inPage(), 1)
}

// registerPlayer adds the player to s. Clients allow it to load media from o.MediaOrigins
// only.
func registerPlayer(s *server.MCPServer, o Options) {
	// The specification wants csp with the content, not in the list of resources
	// (Resource Discovery).
	meta := map[string]any{"ui": map[string]any{
		"csp":           map[string]any{"resourceDomains": o.MediaOrigins},
		"permissions":   map[string]any{"clipboardWrite": map[string]any{}}, // to copy a video's link
		"prefersBorder": true,
	}}
	page := sync.OnceValue(func() string { return playerFor(o) }) // few clients ever read it
	s.AddResource(mcp.NewResource(jobs.PlayerURI, "video-player",
		mcp.WithResourceTitle("Video player"),
		mcp.WithResourceDescription("The page in which clients that support MCP Apps show a video and how far it is, or the list of videos. It is for those clients, not for a model to read."),
		mcp.WithMIMEType(appType),
		mcp.WithAnnotations([]mcp.Role{mcp.RoleUser}, 0.1, ""),
	), func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		return []mcp.ResourceContents{mcp.TextResourceContents{URI: jobs.PlayerURI, MIMEType: appType, Text: page(), Meta: meta}}, nil
	})
}
