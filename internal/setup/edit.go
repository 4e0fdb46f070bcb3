// This file edits a client's configuration as text: JSON with comments and
// trailing commas, of which all but our entry stays as it is.

package setup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"

	"pixazo-mcp/internal/text"
)

// maxNesting keeps the parser, which recurses, within its stack.
const maxNesting = 1000

// entry is what a client is told to start.
type entry struct {
	name    string // "pixazo" or "pixazo-sandbox"
	typed   bool
	command string
	args    []string
}

// document is a client's configuration, taken apart.
type document struct {
	root *hujson.Object
	all  hujson.Value

	mark    []byte // the byte order mark, if there is one
	newline bool   // one was added at the end

	// How it is laid out: the end of a line and a step of indentation, both
	// empty when all is on one line.
	eol, unit string
}

// parse takes content apart; what is empty becomes an object. Its errors name
// the line and show nothing of the content, which may hold secrets.
func parse(content []byte) (*document, error) {
	d := &document{eol: "\n", unit: "  "}
	if rest, ok := bytes.CutPrefix(content, []byte("\ufeff")); ok {
		d.mark, content = content[:len(content)-len(rest)], rest
	}
	if bytes.Contains(content, []byte("\r\n")) {
		d.eol = "\r\n"
	}
	if len(bytes.TrimSpace(content)) == 0 {
		content = []byte("{}" + d.eol)
	}
	if nesting(content) > maxNesting {
		return nil, errors.New("it is nested too deeply")
	}
	if content[len(content)-1] != '\n' {
		// The parser wants the last comment to end.
		content, d.newline = append(slices.Clone(content), '\n'), true
	}
	all, err := hujson.Parse(content)
	if err != nil {
		said, _, quotes := strings.Cut(strings.TrimPrefix(err.Error(), "hujson: "), "invalid literal")
		if quotes {
			said += "invalid literal"
		}
		return nil, errors.New(said)
	}
	root, ok := all.Value.(*hujson.Object)
	if !ok {
		return nil, errors.New("line 1: it is not a JSON object")
	}
	d.all, d.root = all, root
	if len(root.Members) > 0 {
		var lines bool
		if d.unit, lines = indentation(root); !lines {
			d.eol = ""
		}
	}
	return d, nil
}

// nesting is how deep the brackets of content lie in each other, without those
// in strings and comments. It may be wrong behind what the parser stops at.
func nesting(content []byte) (deepest int) {
	depth := 0
	for i := 0; i < len(content); i++ {
		rest, end := content[i:], ""
		switch {
		case rest[0] == '{' || rest[0] == '[':
			depth++
			deepest = max(deepest, depth)
		case rest[0] == '}' || rest[0] == ']':
			depth = max(depth-1, 0)
		case rest[0] == '"':
			for i++; i < len(content) && content[i] != '"'; i++ {
				if content[i] == '\\' {
					i++
				}
			}
		case bytes.HasPrefix(rest, []byte("//")):
			end = "\n"
		case bytes.HasPrefix(rest, []byte("/*")):
			end = "*/"
		}
		if end != "" {
			j := bytes.Index(rest[2:], []byte(end))
			if j < 0 {
				break
			}
			i += 2 + j + len(end) - 1
		}
	}
	return deepest
}

// text is the document as a file.
func (d *document) text() []byte {
	text := d.all.Pack()
	if d.newline {
		text = text[:len(text)-1]
	}
	return append(slices.Clone(d.mark), text...)
}

// indentation is what stands before the first member of obj; lines is false
// when that is on the line of the bracket.
func indentation(obj *hujson.Object) (indent string, lines bool) {
	before := string(obj.Members[0].Name.BeforeExtra)
	i := strings.LastIndexByte(before, '\n')
	line := before[i+1:]
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))], i >= 0
}

// member returns the value of a name, the last one as JSON.parse takes it; nil
// if there is none.
func member(obj *hujson.Object, name string) *hujson.Value {
	for i, m := range slices.Backward(obj.Members) {
		if m.Name.Value.(hujson.Literal).String() == name {
			return &obj.Members[i].Value
		}
	}
	return nil
}

// servers is the object under key, nil if there is no such key.
func (d *document) servers(key string) (*hujson.Object, error) {
	value := member(d.root, key)
	if value == nil {
		return nil, nil
	}
	servers, ok := value.Value.(*hujson.Object)
	if !ok {
		return nil, fmt.Errorf("%q in it is not an object", key)
	}
	return servers, nil
}

// put adds e under key, or brings what is there up to date: its command, and of
// its arguments those that e has. args are the arguments it then has. It refuses
// an entry of that name that is not ours.
func (d *document) put(key string, e entry, ours func(command string) bool) (args []string, err error) {
	servers, err := d.servers(key)
	if err != nil {
		return nil, err
	}
	if servers == nil {
		servers = &hujson.Object{}
		d.add(d.root, "", key, servers)
	}
	indent := d.inner(d.root, "")
	value := member(servers, e.name)
	if value == nil {
		own, inner := &hujson.Object{}, d.inner(servers, indent)
		if e.typed {
			d.add(own, inner, "type", literal("stdio"))
		}
		d.add(own, inner, "command", literal(e.command))
		d.add(own, inner, "args", array(e.args)) // Zed wants it even when it is empty
		d.add(servers, indent, e.name, own)
		return e.args, nil
	}
	own, ok := value.Value.(*hujson.Object)
	command, _ := stringMember(own, "command")
	if !ok || !ours(command) {
		return nil, fmt.Errorf("its entry %q starts something else; rename it or take it out first", e.name)
	}
	if command != e.command {
		member(own, "command").Value = literal(e.command)
	}
	old := member(own, "args")
	if old == nil {
		if len(e.args) > 0 {
			d.add(own, d.inner(servers, indent), "args", array(e.args))
		}
		return e.args, nil
	}
	list, ok := old.Value.(*hujson.Array)
	if !ok {
		return nil, fmt.Errorf("%q of its entry %q is not an array", "args", e.name)
	}
	return mergeArgs(list, e.args), nil
}

// remove takes the entries under key that gone asks for out, and returns their
// names.
func (d *document) remove(key string, gone func(name, command string) bool) (names []string, err error) {
	servers, err := d.servers(key)
	if servers == nil {
		return nil, err
	}
	for i := len(servers.Members) - 1; i >= 0; i-- {
		name := servers.Members[i].Name.Value.(hujson.Literal).String()
		own, _ := servers.Members[i].Value.Value.(*hujson.Object)
		if command, ok := stringMember(own, "command"); ok && gone(name, command) {
			drop(servers, i)
			names = append(names, name)
		}
	}
	slices.Reverse(names)
	return names, nil
}

// stringMember is the string under name in obj, which may be nil.
func stringMember(obj *hujson.Object, name string) (string, bool) {
	if obj == nil {
		return "", false
	}
	value := member(obj, name)
	if value == nil || value.Value.Kind() != '"' {
		return "", false
	}
	return value.Value.(hujson.Literal).String(), true
}

// inner is the indentation of obj's members; indent is that of its own line.
func (d *document) inner(obj *hujson.Object, indent string) string {
	if d.eol == "" {
		return ""
	}
	if len(obj.Members) > 0 {
		if indent, lines := indentation(obj); lines {
			return indent
		}
	}
	return indent + d.unit
}

// add appends a member to obj. What is said at the end of the line before, and
// whether there is a comma after the last member, stays.
func (d *document) add(obj *hujson.Object, indent, name string, value hujson.ValueTrimmed) {
	m := hujson.ObjectMember{
		Name:  hujson.Value{Value: literal(name)},
		Value: hujson.Value{BeforeExtra: hujson.Extra(" "), Value: value},
	}
	comments, rest := splitExtra(obj.AfterExtra)
	before := d.eol + d.inner(obj, indent)
	if n := len(obj.Members); n > 0 {
		if obj.Members[n-1].Value.AfterExtra != nil {
			m.Value.AfterExtra = hujson.Extra{} // a trailing comma
		}
		if before == "" {
			before = " "
		}
	}
	if len(comments) > 0 && d.eol == "" {
		before = "\n" // that ends the comment
	}
	m.Name.BeforeExtra = append(slices.Clone(comments), before...)
	if d.eol != "" && !bytes.Contains(rest, []byte("\n")) {
		rest = hujson.Extra(d.eol + indent)
	}
	obj.Members = append(obj.Members, m)
	obj.AfterExtra = rest
}

// drop takes member i out of obj. Comments before and behind it stay.
func drop(obj *hujson.Object, i int) {
	gone := obj.Members[i]
	comments := around(gone.Name.BeforeExtra, gone.Value.AfterExtra)
	obj.Members = slices.Delete(obj.Members, i, i+1)
	switch {
	case i < len(obj.Members):
		next := &obj.Members[i].Name
		next.BeforeExtra = carry(comments, next.BeforeExtra)
	case i == 0:
		obj.AfterExtra = carry(comments, obj.AfterExtra)
		if len(bytes.TrimSpace(obj.AfterExtra)) == 0 {
			obj.AfterExtra = nil
		}
	default:
		last := &obj.Members[i-1].Value
		obj.AfterExtra = carry(comments, obj.AfterExtra)
		if gone.Value.AfterExtra == nil { // no trailing comma
			obj.AfterExtra = append(slices.Clone(last.AfterExtra), obj.AfterExtra...)
			last.AfterExtra = nil
		} else if last.AfterExtra == nil {
			last.AfterExtra = hujson.Extra{}
		}
	}
}

// splitExtra divides what stands between two values into comments, with the
// white space before them, and the white space after.
func splitExtra(extra hujson.Extra) (comments, rest hujson.Extra) {
	comments = bytes.TrimRight(extra, " \t\r\n")
	return comments, extra[len(comments):]
}

// around are the comments before a value and those between it and its comma.
func around(before, after hujson.Extra) hujson.Extra {
	comments, _ := splitExtra(before)
	behind, _ := splitExtra(after)
	if len(behind) == 0 {
		return comments
	}
	return carry(comments, behind)
}

// carry puts comments before extra, and ends the last of them.
func carry(comments, extra hujson.Extra) hujson.Extra {
	joined := slices.Clone(comments)
	if !joined.IsValid() && !bytes.HasPrefix(extra, []byte("\n")) && !bytes.HasPrefix(extra, []byte("\r\n")) {
		last := comments[bytes.LastIndexByte(comments, '\n')+1:]
		joined = append(joined, '\n')
		joined = append(joined, last[:len(last)-len(bytes.TrimLeft(last, " \t"))]...)
		extra = bytes.TrimLeft(extra, " \t")
	}
	return append(joined, extra...)
}

// mergeArgs gives list the flags of given, each of the form --name=value or
// --name, and returns what is then in it. A flag that has the same values
// already stays where it is; all that given does not name stays.
func mergeArgs(list *hujson.Array, given []string) []string {
	for _, name := range flagNames(given) {
		var has []int // where the flag's elements are
		var values []string
		for i := 0; i < len(list.Elements); i++ {
			flag, value, inOne := strings.Cut(element(list, i), "=")
			if flag != name {
				continue
			}
			has = append(has, i)
			if next := element(list, i+1); !inOne && next != "" && next[0] != '-' && takesValue(flag, next) {
				i++
				has, value = append(has, i), next
			}
			values = append(values, meant(value))
		}
		var wanted, added []string
		for _, arg := range given {
			if flag, value, _ := strings.Cut(arg, "="); flag == name {
				wanted, added = append(wanted, meant(value)), append(added, arg)
			}
		}
		if slices.Equal(values, wanted) {
			continue
		}
		for _, i := range slices.Backward(has) {
			dropElement(list, i)
		}
		for _, arg := range added {
			addElement(list, arg)
		}
	}
	var args []string
	for i := range list.Elements {
		args = append(args, element(list, i))
	}
	return args
}

// flagNames are the flags of args, each once.
func flagNames(args []string) []string {
	var names []string
	for _, arg := range args {
		if name, _, _ := strings.Cut(arg, "="); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// takesValue reports whether the argument behind a flag is its value. Flags
// that stand alone have one only when it is a word of theirs.
func takesValue(flag, next string) bool {
	if flag != "--sandbox" && flag != "--files-from-roots" {
		return true
	}
	return slices.Contains([]string{"true", "false", "1", "0", "yes", "no", "on", "off"}, strings.ToLower(next))
}

// meant is a flag's value, of which one that stands alone has "true".
func meant(value string) string {
	if value == "" {
		return "true"
	}
	return value
}

// element is the string at i, "" when there is none.
func element(list *hujson.Array, i int) string {
	if i >= len(list.Elements) || list.Elements[i].Value.Kind() != '"' {
		return ""
	}
	return list.Elements[i].Value.(hujson.Literal).String()
}

func addElement(list *hujson.Array, arg string) {
	value := hujson.Value{Value: literal(arg)}
	comments, rest := splitExtra(list.AfterExtra)
	before := hujson.Extra{}
	if n := len(list.Elements); n > 0 {
		last := list.Elements[n-1]
		_, before = splitExtra(last.BeforeExtra)
		if len(before) == 0 {
			before = hujson.Extra(" ")
		}
		if last.AfterExtra != nil {
			value.AfterExtra = hujson.Extra{}
		}
	}
	value.BeforeExtra = carry(comments, before)
	list.Elements = append(list.Elements, value)
	if len(comments) > 0 || len(list.Elements) > 1 {
		list.AfterExtra = rest
	}
}

func dropElement(list *hujson.Array, i int) {
	gone := list.Elements[i]
	_, before := splitExtra(gone.BeforeExtra)
	comments := around(gone.BeforeExtra, gone.AfterExtra)
	list.Elements = slices.Delete(list.Elements, i, i+1)
	if i < len(list.Elements) {
		next := &list.Elements[i]
		if i == 0 && len(bytes.TrimSpace(next.BeforeExtra)) == 0 {
			next.BeforeExtra = before
		}
		next.BeforeExtra = carry(comments, next.BeforeExtra)
		return
	}
	list.AfterExtra = carry(comments, list.AfterExtra)
	if i == 0 {
		return
	}
	last := &list.Elements[i-1]
	if gone.AfterExtra == nil {
		list.AfterExtra = append(slices.Clone(last.AfterExtra), list.AfterExtra...)
		last.AfterExtra = nil
	} else if last.AfterExtra == nil {
		last.AfterExtra = hujson.Extra{}
	}
}

func literal(s string) hujson.Literal { return hujson.Literal(quote(s)) }

func array(items []string) *hujson.Array {
	list := &hujson.Array{}
	for _, item := range items {
		addElement(list, item)
	}
	return list
}

// quote writes s as a string that JSON, TOML and YAML all read.
func quote(s string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // of a string into memory
	// The other two refuse this one as it is.
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\x7f", `\u007f`)
}

// shown makes a line of text fit for a terminal.
func shown(s string) string { return text.Clean(s, 2000) }
