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

// noOrigins is the page's list of http origins, as it stands in the file.
const noOrigins = "const local = [];"

// playerFor returns the page, which takes http addresses from the http origins
// among mediaOrigins alone, such as the sandbox's. (https ones it takes from
// anywhere, and the client's policy decides.)
func playerFor(mediaOrigins []string) string {
	local := []string{}
	for _, o := range mediaOrigins {
		if u, err := url.Parse(o); err == nil && u.Scheme == "http" && u.Host != "" {
			local = append(local, "http://"+strings.TrimSuffix(strings.ToLower(u.Host), ":80")) // as a browser writes it
		}
	}
	list, err := json.Marshal(local) // which escapes what could end a script element
	if err != nil {
		panic("resources: " + err.Error()) // strings can always be marshalled
	}
	return strings.Replace(playerPage(), noOrigins, "const local = "+string(list)+";", 1)
}

// teamPage says of a team server who can mend what a user can't.
var teamPage = strings.NewReplacer(
	"Look for it in the Pixazo dashboard before you try again.", "Ask whoever runs this server before you try again.",
	`Pixazo needs a good key. Put one into this server\'s settings.`, "This server has no good key. Ask whoever runs it.",
	"Add some in the Pixazo dashboard.", "Ask whoever runs this server.",
	`Wait, or raise it in this server\'s settings.`, "Wait, or ask whoever runs this server.",
	"the Pixazo dashboard knows more", "ask whoever runs this server",
	"This account has no such video.", "There is no such video of yours.",
)

// hidesSave is the condition in the page that hides its button to save the video. A
// saved video keeps the button, which then copies its place.
const hidesSave = "!saved() && (!shown || !can.serverTools)"

// hidesAgain is that which hides its button to make another video.
const hidesAgain = "!job.done || !view.prompt || view.cut || !can.message"

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
	page := sync.OnceValue(func() string { // few clients ever read it
		page := playerFor(o.MediaOrigins)
		if o.Team {
			page = teamPage.Replace(page)
		}
		if o.misses("download_video") {
			page = strings.Replace(page, hidesSave, "!saved()", 1)
		}
		if o.misses("generate_video") {
			page = strings.Replace(page, hidesAgain, "true", 1)
		}
		return page
	})
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
