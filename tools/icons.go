// This file holds the icons, small PNGs that travel inside of the answers:
// clients need not fetch anything.

package tools

import (
	"embed"
	"encoding/base64"

	"github.com/mark3labs/mcp-go/mcp"
)

//go:embed icons/*.png
var iconFiles embed.FS

// Icon is the icon of a tool, or of the server, by its name.
func Icon(name string) mcp.Icon {
	png, err := iconFiles.ReadFile("icons/" + name + ".png")
	if err != nil {
		panic("tools: " + err.Error()) // part of the program; any test meets it
	}
	return mcp.Icon{Src: "data:image/png;base64," + base64.StdEncoding.EncodeToString(png), MIMEType: "image/png", Sizes: []string{"32x32"}}
}
