// This file reads schemas.json, which package schemagen writes from the structs
// that arguments are decoded into and results are encoded from.

package tools

import (
	_ "embed"
	"encoding/json"
	"reflect"
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

// loadSchemas reads the schemas of all tools, by name.
func loadSchemas() map[string]schemas {
	var all map[string]schemas
	if err := json.Unmarshal(schemasJSON, &all); err != nil {
		panic("tools: schemas.json: " + err.Error()) // part of the program; any test meets it
	}
	return all
}
