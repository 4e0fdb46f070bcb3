// Schemagen writes schemas/TOOL.input.json and schemas/TOOL.output.json, the JSON Schemas
// of the tools, from the structs of their arguments and results. It is a program of its
// own since making them at each start of the server would double the time that a start
// takes:
//
//	go generate ./tools
package main

import (
	"log"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/invopop/jsonschema"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/tools"
)

func main() {
	all, err := schemas()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err == nil {
			err = os.WriteFile(filepath.Join("schemas", name), all[name], 0o644)
		}
	}
	if err != nil {
		log.Fatal("schemagen: ", err)
	}
}

// schemas returns the content of each file. Several clients can't read $schema and $ref,
// so each schema is one object without them. It is not indented, since it is copied at
// each start; testdata/tools_list.json shows the same schemas for reading.
func schemas() (map[string][]byte, error) {
	reflector := jsonschema.Reflector{Anonymous: true, DoNotReference: true, ExpandedStruct: true}
	all := map[string][]byte{}
	for _, shape := range tools.Shapes() {
		for name, of := range map[string]reflect.Type{".input.json": shape.Arguments, ".output.json": shape.Result} {
			schema := reflector.ReflectFromType(of)
			schema.Version = ""
			raw, err := text.JSON(schema, "")
			if err != nil {
				return nil, err
			}
			all[shape.Tool+name] = append(raw, '\n')
		}
	}
	return all, nil
}
