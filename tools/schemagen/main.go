// Schemagen writes schemas.json, the JSON Schemas of the tools, from the
// structs of their arguments and results. It is a program of its own since making them
// at each start of the server would double the time that a start takes:
//
//	go generate ./tools
package main

import (
	"log"
	"os"

	"github.com/invopop/jsonschema"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/tools"
)

func main() {
	schemas, err := schemas()
	if err == nil {
		err = os.WriteFile("schemas.json", schemas, 0o644)
	}
	if err != nil {
		log.Fatal("schemagen: ", err)
	}
}

// schemas returns the content of schemas.json. Several clients can't read $schema and
// $ref, so each schema is one object without them. It is not indented, since it is parsed
// at each start; testdata/tools_list.json shows the same schemas for reading.
func schemas() ([]byte, error) {
	reflector := jsonschema.Reflector{Anonymous: true, DoNotReference: true, ExpandedStruct: true}
	all := map[string]map[string]*jsonschema.Schema{}
	for _, shape := range tools.Shapes() {
		input, output := reflector.ReflectFromType(shape.Arguments), reflector.ReflectFromType(shape.Result)
		input.Version, output.Version = "", ""
		all[shape.Tool] = map[string]*jsonschema.Schema{"input": input, "output": output}
	}
	raw, err := text.JSON(all, "")
	return append(raw, '\n'), err
}
