// This file embeds the icons, small PNGs that are sent as data URIs, and schemas.json,
// which the program schemagen writes from the structs of arguments and results.

package tools

import (
	"embed"
	"encoding/base64"
	"encoding/json"
	"reflect"

	"github.com/mark3labs/mcp-go/mcp"
)

//go:generate go run ./schemagen

//go:embed schemas.json
var schemasJSON []byte

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

// schemas are the input and output schema of a tool.
type schemas struct {
	Input  json.RawMessage `json:"input"`
	Output json.RawMessage `json:"output"`
}

//go:embed icons/*.png
var iconFiles embed.FS

// Icon returns the icon of the tool or server with this name.
func Icon(name string) mcp.Icon {
	png, err := iconFiles.ReadFile("icons/" + name + ".png")
	if err != nil {
		panic("tools: " + err.Error()) // the files are part of the program
	}
	return mcp.Icon{Src: "data:image/png;base64," + base64.StdEncoding.EncodeToString(png), MIMEType: "image/png", Sizes: []string{"32x32"}}
}
