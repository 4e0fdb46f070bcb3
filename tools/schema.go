// This file reads the arguments of a tool from the struct that they are decoded
// into. Package schemagen writes schemas.json from the same structs.

package tools

import (
	_ "embed"
	"encoding/json"
	"reflect"
	"strings"
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

// argument is one argument of a tool.
type argument struct {
	name     string
	kind     string // JSON Schema's word for its type
	required bool
}

// argumentsOf are the arguments that decode into a struct of type t, in order.
func argumentsOf(t reflect.Type) []argument {
	kinds := map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "boolean", reflect.Float64: "number", reflect.Slice: "array"}
	var arguments []argument
	for _, field := range reflect.VisibleFields(t) {
		if field.Anonymous {
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		value := field.Type
		if value.Kind() == reflect.Pointer {
			value = value.Elem()
		}
		arguments = append(arguments, argument{name, kinds[value.Kind()], !strings.Contains(options, "omitempty")})
	}
	return arguments
}
