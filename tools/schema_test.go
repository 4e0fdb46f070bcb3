// This file makes schemas.json, and keeps it what the code says. After a change
// of a tool's arguments or results, write it anew with
//
//	go test ./tools -update

package tools

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/invopop/jsonschema"
)

// reflected is the JSON Schema of a struct, inlined. Several clients fail on
// $schema, $ref and type unions, so none of them may be in it.
func reflected(t *testing.T, of reflect.Type) json.RawMessage {
	t.Helper()
	r := jsonschema.Reflector{Anonymous: true, DoNotReference: true, ExpandedStruct: true}
	s := r.ReflectFromType(of)
	s.Version = ""
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestSchemasAreThoseOfTheStructs(t *testing.T) {
	all := map[string]schemas{}
	for _, tool := range table(Config{}) {
		all[tool.Tool.Name] = schemas{reflected(t, tool.in), reflected(t, tool.out)}
	}
	var want bytes.Buffer
	enc := json.NewEncoder(&want)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(all); err != nil {
		t.Fatal(err)
	}
	got := bytes.ReplaceAll(schemasJSON, []byte("\r\n"), []byte("\n"))
	if bytes.Equal(got, want.Bytes()) {
		return
	}
	if !*update {
		t.Fatalf("schemas.json differs from the code (-update writes it anew):\n%s", firstDifference(string(got), want.String()))
	}
	if err := os.WriteFile("schemas.json", want.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Log("schemas.json was written: run the tests once more, since it is part of the program")
}
