// This file serves the player, an MCP App: a page that some clients put beside
// a tool's result. The result holds the same facts, for all others. The page shows
// one video, or the gallery: the answer of list_videos, and the one that is chosen.

package resources

import (
	"context"
	_ "embed"
	"encoding/json"
	"net/url"
	"slices"
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

// playerPage is the whole page: the gallery's elements and script are put into
// the player's, whose functions they use.
var playerPage = sync.OnceValue(func() string {
	elements, script, _ := strings.Cut(strings.TrimSuffix(galleryFile, "</script>\n"), "<script>\n")
	return strings.NewReplacer("<!-- gallery.html: elements -->\n", elements, "// gallery.html: script\n", script).Replace(playerFile)
})

// pageServer is what the page has to know of the server.
type pageServer struct {
	Local   []string `json:"local"` // the only http origins from which it takes videos, such as the sandbox's; of https ones the client's policy decides
	Missing []string `json:"missing"`
	Team    bool     `json:"team"`
}

// inPage returns the line of the page that has it. JSON escapes what could end a
// script element.
func (p pageServer) inPage() string {
	raw, err := json.Marshal(p)
	if err != nil {
		panic("resources: " + err.Error()) // strings can always be marshalled
	}
	return "const server = " + string(raw) + ";"
}

// playerFor returns the page for a server.
func playerFor(o Options) string {
	p := pageServer{Local: []string{}, Missing: o.Missing, Team: o.Team}
	unknown := pageServer{Local: []string{}}.inPage() // as it stands in the file
	for _, origin := range o.MediaOrigins {
		if u, err := url.Parse(origin); err == nil && u.Scheme == "http" && u.Host != "" {
			p.Local = append(p.Local, "http://"+strings.TrimSuffix(strings.ToLower(u.Host), ":80")) // as a browser writes it
		}
	}
	return strings.Replace(playerPage(), unknown, p.inPage(), 1)
}

// registerPlayer adds the player to s. Clients let it load media from the origins
// of o alone.
func registerPlayer(s *server.MCPServer, o Options) {
	// csp stands on the content, not on the list's entry: so the specification
	// wants it (Resource Discovery). A list may be empty, an entry never.
	csp := map[string]any{}
	if origins := slices.DeleteFunc(slices.Clone(o.MediaOrigins), func(o string) bool { return o == "" }); len(origins) > 0 {
		csp["resourceDomains"] = origins
	}
	meta := map[string]any{"ui": map[string]any{
		"csp":           csp,
		"permissions":   map[string]any{"clipboardWrite": map[string]any{}}, // for the link
		"prefersBorder": true,
	}}
	page := sync.OnceValue(func() string { return playerFor(o) }) // few clients ever read it
	// mcp-go lists by name: the guide comes first.
	s.AddResource(mcp.NewResource(jobs.PlayerURI, "video-player",
		mcp.WithResourceTitle("Video player"),
		mcp.WithResourceDescription("The page in which clients that support MCP Apps show a video and how far it is, or the list of videos. It is for those clients, not for a model to read."),
		mcp.WithMIMEType(appType),
		mcp.WithAnnotations([]mcp.Role{mcp.RoleUser}, 0.1, ""),
	), func(context.Context, mcp.ReadResourceRequest) ([]mcp.ResourceContents, error) {
		return []mcp.ResourceContents{mcp.TextResourceContents{URI: jobs.PlayerURI, MIMEType: appType, Text: page(), Meta: meta}}, nil
	})
}
