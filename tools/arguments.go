// This file reads a tool's arguments strictly: a model that misspells an
// optional argument should hear of it before its user pays for the video.

package tools

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

// decode reads the arguments of req into an In: names and types by arguments,
// values by its Validate. An argument that is null counts as left out, as some
// clients send every optional argument. Errors have code invalid_argument and
// name the argument, the rule and what came.
func decode[In input](req mcp.CallToolRequest, arguments []argument, aliases map[string]string) (In, error) {
	var in In
	raw, err := rawArguments(req)
	if err != nil {
		return in, err
	}
	var args map[string]json.RawMessage
	if err := json.Unmarshal(raw, &args); err != nil {
		return in, refuse("arguments must be an object; got %s", kind(raw))
	}
	came := len(args)
	renamed, err := resolve(args, aliases)
	if err != nil {
		return in, err
	}
	for _, name := range slices.Sorted(maps.Keys(args)) { // the same call, the same message
		value := args[name]
		i := slices.IndexFunc(arguments, func(a argument) bool { return a.name == name })
		if i < 0 {
			return in, unknown(name, arguments)
		}
		if string(value) == "null" {
			delete(args, name)
			continue
		}
		if err := checkType(name, value, arguments[i].kind); err != nil {
			return in, err
		}
	}
	for _, a := range arguments {
		if _, ok := args[a.name]; a.required && !ok {
			return in, refuse("%s is required; got nothing", a.name)
		}
	}
	// As it came if it can be: an attachment may be many megabytes.
	if renamed || len(args) != came {
		if raw, err = json.Marshal(args); err != nil {
			return in, refuse("arguments can't be read: %v", err)
		}
	}
	if err := json.Unmarshal(raw, &in); err != nil { // the last value of each argument is of its type
		return in, refuse("arguments must be given once each; got one twice, with values of different types")
	}
	return in, in.Validate()
}

func rawArguments(req mcp.CallToolRequest) (json.RawMessage, error) {
	switch args := req.GetRawArguments().(type) {
	case nil:
		return json.RawMessage("{}"), nil
	case json.RawMessage:
		if string(bytes.TrimSpace(args)) == "null" {
			return json.RawMessage("{}"), nil
		}
		return args, nil
	default: // a client in the same process
		raw, err := json.Marshal(args)
		if err != nil { // NaN, or a value that JSON has no form for
			return nil, refuse("arguments can't be read: %s", text.Clean(err.Error(), 200))
		}
		return raw, nil
	}
}

// resolve gives aliased arguments their real names, in place. The gateway's
// second document calls avatar_id and voice_id avatar and voice, with the value
// auto for what its first document says by leaving them out.
func resolve(args map[string]json.RawMessage, aliases map[string]string) (renamed bool, err error) {
	for _, alias := range slices.Sorted(maps.Keys(aliases)) {
		name := aliases[alias]
		for _, spelling := range []string{alias, name} {
			var s string
			if json.Unmarshal(args[spelling], &s) == nil && strings.EqualFold(s, "auto") || string(args[spelling]) == "null" {
				delete(args, spelling)
			}
		}
		value, ok := args[alias]
		if !ok {
			continue
		}
		if other, both := args[name]; both && !bytes.Equal(value, other) {
			return false, refuse("%s and %s mean the same and must not differ; got %s and %s", name, alias, show(other), show(value))
		}
		args[name] = value
		delete(args, alias)
		renamed = true
	}
	return renamed, nil
}

func unknown(name string, arguments []argument) error {
	var known []string
	nearest, least := "", 1<<30
	for _, a := range arguments {
		known = append(known, a.name)
		d := text.Distance(name[:min(len(name), 100)], a.name)
		if strings.HasPrefix(a.name, name) {
			d = 0 // timeout for timeout_seconds
		}
		if d < least {
			nearest, least = a.name, d
		}
	}
	return refuse("unknown argument %s; the nearest known one is %q, of %s", text.Quote(name), nearest, strings.Join(known, ", "))
}

// checkType compares the JSON kind of value with the wanted one. All arrays are
// arrays of strings.
func checkType(name string, value json.RawMessage, want string) error {
	article := map[string]string{"string": "a string", "boolean": "true or false", "number": "a number", "array": "an array"}
	if got := kind(value); got != want {
		return refuse("%s must be %s; got %s", name, article[want], show(value))
	}
	switch want {
	case "number":
		// The form is right, but encoding/json would name Go's types in its error.
		if err := json.Unmarshal(value, new(float64)); err != nil {
			return refuse("%s must be a number that fits into 64 bits; got %s", name, show(value))
		}
	case "array":
		var items []json.RawMessage
		if err := json.Unmarshal(value, &items); err != nil {
			return refuse("%s can't be read: %v", name, err)
		}
		for i, item := range items {
			if err := checkType(fmt.Sprintf("%s[%d]", name, i), item, "string"); err != nil {
				return err
			}
		}
	}
	return nil
}

// kind is JSON Schema's word for the type of value.
func kind(value json.RawMessage) string {
	value = bytes.TrimSpace(value)
	if len(value) == 0 {
		return "nothing"
	}
	switch value[0] {
	case '"':
		return "string"
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

// show names a value and its type, shortened.
func show(value json.RawMessage) string {
	switch k := kind(value); k {
	case "null", "nothing":
		return k
	case "string":
		var s string
		_ = json.Unmarshal(value, &s)
		return "the string " + text.Quote(s)
	default:
		return "the " + k + " " + text.Clean(string(value), 80)
	}
}

func refuse(format string, args ...any) error {
	return &pixazo.Error{Code: pixazo.InvalidArgument, Message: fmt.Sprintf(format, args...)}
}
