// This file embeds the icons, small PNGs that are sent as data URIs, and the schemas,
// which the program schemagen writes from the structs of arguments and results.

package tools

import (
	"embed"
	"encoding/base64"
	"reflect"

	"github.com/mark3labs/mcp-go/mcp"
)

//go:generate go run ./schemagen

//go:embed icons/*.png schemas/*.json
var files embed.FS

// file returns the content of a file that is part of the program.
func file(name string) []byte {
	content, err := files.ReadFile(name)
	if err != nil {
		panic("tools: " + err.Error())
	}
	return content
}

// Shape has the types of the structs from which the schemas of a tool are made.
type Shape struct {
	Tool              string
	Arguments, Result reflect.Type
}

// Shapes returns the shape of every tool.
func Shapes() []Shape {
	var shapes []Shape
	for _, t := range table(Config{}) {
		shapes = append(shapes, Shape{t.Tool.Name, t.in, t.out})
	}
	return shapes
}

// Icon returns the icon of the tool or server with this name.
func Icon(name string) mcp.Icon {
	png := file("icons/" + name + ".png")
	return mcp.Icon{Src: "data:image/png;base64," + base64.StdEncoding.EncodeToString(png), MIMEType: "image/png", Sizes: []string{"32x32"}}
}
