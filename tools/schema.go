// This file makes the JSON Schemas that clients see from the structs that the
// code works with.

package tools

import (
	"encoding/json"
	"reflect"
	"sync"

	"github.com/invopop/jsonschema"
)

// schema is a struct's JSON Schema, and the same encoded.
type schema struct {
	*jsonschema.Schema
	raw json.RawMessage
}

var schemas sync.Map // of func() schema by reflect.Type

// schemaOf reflects T, once, into an inlined object schema. Several clients
// fail on $schema, $ref and type unions, so none of them may be in it.
func schemaOf[T any]() schema {
	once, _ := schemas.LoadOrStore(reflect.TypeFor[T](), sync.OnceValue(func() schema {
		r := jsonschema.Reflector{Anonymous: true, DoNotReference: true, ExpandedStruct: true}
		s := r.ReflectFromType(reflect.TypeFor[T]())
		s.Version = ""
		raw, err := json.Marshal(s)
		if err != nil {
			panic("tools: schema can't be encoded: " + err.Error()) // only by a wrong struct tag, which any test meets
		}
		return schema{s, raw}
	}))
	return once.(func() schema)()
}

// Prepare makes the schemas of all tools. Register would as well; a program
// that reads its settings meanwhile starts sooner.
func Prepare() { Table(Config{}) }
