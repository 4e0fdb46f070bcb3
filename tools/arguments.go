// This file decodes the arguments of a tool. It accepts a value of the wrong type if
// that can mean only one thing, since some clients send every value as text and the
// model can't change that. It refuses everything else, so that a model learns of a
// misspelt argument before its user pays for the video.

package tools

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

// argument describes an argument of a tool. It is made from the type and the tags of the
// field that the argument is decoded into.
type argument struct {
	name        string
	kind        string // JSON Schema's name of its type
	required    bool
	words       []string // the values of an enumeration; nil if any string is allowed
	least, most float64  // the range of an integer
	byDefault   int      // the value of an integer that is left out
	index       []int    // of the field, for reflect
}

// argumentsOf returns the arguments that decode into a struct of type t, in
// the order of its fields.
func argumentsOf(t reflect.Type) []argument {
	kinds := map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Slice: "array"}
	var arguments []argument
	for _, field := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous || name == "-" {
			continue
		}
		a := argument{name: name, kind: kinds[field.Type.Kind()], required: !strings.Contains(options, "omitempty"),
			least: math.Inf(-1), most: math.Inf(1), index: field.Index}
		for keyword := range strings.SplitSeq(field.Tag.Get("jsonschema"), ",") {
			switch word, value, _ := strings.Cut(keyword, "="); word {
			case "enum":
				a.words = append(a.words, value)
			case "minimum":
				a.least, _ = strconv.ParseFloat(value, 64)
			case "maximum":
				a.most, _ = strconv.ParseFloat(value, 64)
			case "default":
				a.byDefault, _ = strconv.Atoi(value) // 0 for what is no integer
			}
		}
		arguments = append(arguments, a)
	}
	return arguments
}

// decode returns the arguments of req as an In, after calling its method Validate if it
// has one. aliases are other names of arguments, with the real ones. Errors have code
// invalid_argument and name the argument, the rule and what came.
func decode[In any](req mcp.CallToolRequest, arguments []argument, aliases map[string]string) (In, error) {
	var in In
	args := map[string]json.RawMessage{}
	if raw := req.Params.RawArguments; len(raw) > 0 && json.Unmarshal(raw, &args) != nil {
		return in, refuse("arguments must be an object; got %s", kind(raw))
	}
	if err := cmp.Or(resolve(args, aliases), checkNames(args, arguments)); err != nil {
		return in, err
	}
	fields := reflect.ValueOf(&in).Elem()
	for _, a := range arguments {
		field := fields.FieldByIndex(a.index)
		switch {
		case !leftOut(a.name, args[a.name]):
			value, err := a.read(args[a.name])
			if err != nil {
				return in, err
			}
			field.Set(reflect.ValueOf(value))
		case a.kind == "integer":
			field.SetInt(int64(a.byDefault))
		}
	}
	if checked, ok := any(in).(interface{ Validate() error }); ok {
		return in, checked.Validate()
	}
	return in, nil
}

// leftOut reports whether value means that the argument is left out. Some clients send
// all optional arguments, as null, and some models send "none" or the like for an ID or
// a name; the gateway's second document uses "auto" in this way.
func leftOut(name string, value json.RawMessage) bool {
	if len(value) == 0 || string(value) == "null" {
		return true
	}
	if !strings.HasSuffix(name, "_id") && name != "filename" && name != "cursor" {
		return false
	}
	var s string
	return json.Unmarshal(value, &s) == nil && pixazo.LeftOut(s)
}

// resolve renames the arguments in args that are aliases, such as avatar and voice, which
// the gateway's second document uses for avatar_id and voice_id.
func resolve(args map[string]json.RawMessage, aliases map[string]string) error {
	for _, alias := range slices.Sorted(maps.Keys(aliases)) { // sorted, so that the same call always gets the same error
		value, ok := args[alias]
		if !ok {
			continue
		}
		delete(args, alias)
		name := aliases[alias]
		other := args[name]
		switch {
		case leftOut(name, value):
		case leftOut(name, other) || bytes.Equal(value, other):
			args[name] = value
		default:
			return refuse("%s and %s mean the same and must not differ; got %s and %s", name, alias, show(other), show(value))
		}
	}
	return nil
}

// checkNames refuses a call that lacks a required argument or has an unknown one. If both
// are the case, the error is about the required one, which is often misspelt.
func checkNames(args map[string]json.RawMessage, arguments []argument) error {
	var names []string
	for _, a := range arguments {
		names = append(names, a.name)
	}
	known := strings.Join(names, ", ")
	unknown := slices.DeleteFunc(slices.Sorted(maps.Keys(args)), func(name string) bool { return slices.Contains(names, name) })
	for _, a := range arguments {
		switch {
		case !a.required || !leftOut(a.name, args[a.name]):
		case len(unknown) > 0:
			return refuse("%s is required; got the unknown argument %s, which is none of %s", a.name, text.Quote(unknown[0]), known)
		default:
			return refuse("%s is required; got %s", a.name, show(args[a.name]))
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	if near := text.Near(unknown[0], names); near != "" {
		return refuse("unknown argument %s; the nearest known one is %q, of %s", text.Quote(unknown[0]), near, known)
	}
	return refuse("unknown argument %s, which is none of %s", text.Quote(unknown[0]), known)
}

// read returns value as the string, bool, int or []string of the argument's field. It
// also accepts a string that is the text form of another type.
func (a argument) read(value json.RawMessage) (any, error) {
	var s string
	isText := kind(value) == "string" && json.Unmarshal(value, &s) == nil
	if isText && !isWhole(value, s) {
		return nil, refuse("%s must have no half of a character, which is left where a text was cut within one; got %s", a.name, show(value))
	}
	if a.kind == "array" {
		return a.readArray(value, s, isText)
	}
	literal := string(value)
	if isText {
		literal = strings.TrimSpace(s)
	}
	switch {
	case a.kind == "string" && isText:
		if len(a.words) == 0 || literal == "" {
			return s, nil
		}
		for _, word := range a.words {
			if strings.EqualFold(literal, word) {
				return word, nil
			}
		}
		return nil, refuse("%s must be one of %s; got %s", a.name, strings.Join(a.words, ", "), text.Quote(s))
	case a.kind == "boolean" && (strings.EqualFold(literal, "true") || strings.EqualFold(literal, "false")):
		return strings.EqualFold(literal, "true"), nil
	case a.kind == "integer" && (kind(value) == "number" || isText && decimal().MatchString(literal)):
		number, _ := strconv.ParseFloat(literal, 64) // infinite if it is too large
		if number == math.Trunc(number) && number >= a.least && number <= a.most {
			return int(min(number, 1<<53)), nil
		}
	}
	return nil, refuse("%s must be %s; got %s", a.name, a.rule(), show(value))
}

// isWhole reports whether s, which value decodes to, has all of its characters. Where
// value has one of two surrogates alone, decoding puts U+FFFD.
func isWhole(value json.RawMessage, s string) bool {
	decoded := strings.Count(s, "\ufffd")
	return decoded == 0 || decoded <= bytes.Count(value, []byte("\ufffd"))+bytes.Count(bytes.ToLower(value), []byte(`\ufffd`))
}

// rule says which values the argument takes.
func (a argument) rule() string {
	switch {
	case a.kind == "boolean":
		return "true or false"
	case a.kind == "array":
		return "an array of strings"
	case a.kind == "integer" && math.IsInf(a.most, 1):
		return fmt.Sprintf("a whole number, %v or more", a.least)
	case a.kind == "integer":
		return fmt.Sprintf("a whole number from %v to %v", a.least, a.most)
	}
	return "a string"
}

// readArray reads an array of strings, the JSON text of such an array, or a single
// string, which becomes an array of one. s is value as a string if isText is true.
func (a argument) readArray(value json.RawMessage, s string, isText bool) ([]string, error) {
	var items []json.RawMessage
	if isText {
		s = strings.TrimSpace(s)
		isJSON := strings.HasPrefix(s, "[") && json.Unmarshal([]byte(s), &items) == nil
		if !isJSON && !strings.HasPrefix(s, `["`) && !strings.HasPrefix(s, `{"`) { // else it is other JSON, or was cut off
			return []string{s}, nil
		}
	} else if kind(value) == "array" {
		_ = json.Unmarshal(value, &items) // can't fail: value is a JSON array
	}
	if items == nil {
		return nil, refuse("%s must be %s; got %s", a.name, a.rule(), show(value))
	}
	list := make([]string, len(items))
	for i, item := range items {
		if kind(item) != "string" {
			return nil, refuse("%s[%d] must be a string; got %s", a.name, i, show(item))
		}
		_ = json.Unmarshal(item, &list[i])
	}
	return list, nil
}

// decimal matches a plain decimal number, such as 45 or -4.5.
var decimal = text.Pattern(`^-?[0-9]+(\.[0-9]+)?$`)

// kind returns JSON Schema's name of the type of value.
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

// show returns the type and the beginning of value, for an error.
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
