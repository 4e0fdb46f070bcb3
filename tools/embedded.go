// This file holds what is built into the program: the icons, small PNGs that travel
// inside of the answers, and schemas.json, which package schemagen writes from the
// structs that arguments are decoded into and results are encoded from.

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

// Shape is a tool with the structs that its schemas are made from.
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

// Icon is the icon of a tool, or of the server, by its name.
func Icon(name string) mcp.Icon {
	png, err := iconFiles.ReadFile("icons/" + name + ".png")
	if err != nil {
		panic("tools: " + err.Error()) // part of the program; any test meets it
	}
	return mcp.Icon{Src: "data:image/png;base64," + base64.StdEncoding.EncodeToString(png), MIMEType: "image/png", Sizes: []string{"32x32"}}
}
