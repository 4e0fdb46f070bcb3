// This file reads and edits a client's configuration, JSON that may have comments and
// trailing commas. Everything but the edited entries stays as it is.

package setup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tailscale/hujson"

	"pixazo-mcp/internal/text"
)

// entry is a server in a client's configuration: a program that the client starts, or a
// remote server that it calls.
type entry struct {
	Command string            `json:"command"`
	Args    []string          `json:"args"`
	Env     map[string]string `json:"env"`
	URL     string            `json:"url"`   // of a remote server, which has no command
	Trust   bool              `json:"trust"` // the client does not ask before it calls the tools
}

// UnmarshalJSON reads the form of most clients, and that of opencode, whose command is a
// list.
func (e *entry) UnmarshalJSON(raw []byte) error {
	var listed struct {
		Command     []string
		Environment map[string]string
	}
	if json.Unmarshal(raw, &listed) == nil && len(listed.Command) > 0 {
		*e = entry{Command: listed.Command[0], Args: listed.Command[1:], Env: listed.Environment}
		return nil
	}
	type plain entry
	return json.Unmarshal(raw, (*plain)(e))
}

func (e entry) equal(other entry) bool {
	return e.Command == other.Command && e.URL == other.URL && e.Trust == other.Trust && slices.Equal(e.Args, other.Args) && maps.Equal(e.Env, other.Env)
}

// member is a name and its value in JSON.
type member struct{ name, value string }

// members returns the members of the JSON object for e. kind is that of the client.
func (e entry) members(kind string) (members []member) {
	if kind != "" && e.URL != "" {
		kind = "http"
	}
	if kind != "" {
		members = append(members, member{"type", quote(kind)})
	}
	switch {
	case e.URL != "":
		members = append(members, member{"url", quote(e.URL)})
	case kind == "local":
		members = append(members, member{"command", list(append([]string{e.Command}, e.Args...))})
	default:
		members = append(members, member{"command", quote(e.Command)}, member{"args", list(e.Args)}) // Zed wants args even when empty
	}
	if e.Trust {
		members = append(members, member{"trust", "true"})
	}
	return members
}

// document is a client's configuration, parsed.
type document struct {
	file    file // that it was read from
	value   hujson.Value
	servers string           // the name of the object with the entries
	entries map[string]entry // by name, without those that have neither a command nor a URL

	mark    []byte // the byte order mark, if there is one
	newline bool   // a line break, which the parser needs, was added at the end

	eol, unit string // the end of a line, and one step of indentation
}

// parse parses the content of a configuration; empty content becomes an empty object.
// Errors name the line and quote nothing, since there may be secrets.
func parse(content []byte, servers string) (*document, error) {
	d := &document{servers: servers, eol: "\n", unit: "  "}
	if rest, ok := bytes.CutPrefix(content, []byte("\ufeff")); ok {
		d.mark, content = content[:len(content)-len(rest)], rest
	}
	if bytes.Contains(content, []byte("\r\n")) {
		d.eol = "\r\n"
	}
	if len(bytes.TrimSpace(content)) == 0 {
		content = []byte("{}" + d.eol)
	}
	content = slices.Clone(content) // since patches change it
	if content[len(content)-1] != '\n' {
		content, d.newline = append(content, '\n'), true
	}
	var err error
	if d.value, err = hujson.Parse(content); err != nil {
		place, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "hujson: "), ": ")
		return nil, errors.New(place + ": it is not valid JSON")
	}
	root, ok := d.value.Value.(*hujson.Object)
	if !ok {
		return nil, errors.New("line 1: it is not a JSON object")
	}
	if len(root.Members) > 0 {
		before := root.Members[0].Name.BeforeExtra
		if i := bytes.LastIndexByte(before, '\n'); i >= 0 && len(bytes.TrimLeft(before[i+1:], " \t")) == 0 {
			d.unit = string(before[i+1:])
		}
	}
	return d, d.readEntries()
}

// readEntries sets d.entries. If a name is there twice, the last entry counts, as for
// JSON.parse.
func (d *document) readEntries() error {
	standard := d.value.Clone()
	standard.Standardize()
	root, servers := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if err := json.Unmarshal(standard.Pack(), &root); err != nil {
		return errors.New("it is not valid JSON")
	}
	if raw, there := root[d.servers]; there && json.Unmarshal(raw, &servers) != nil || servers == nil {
		return fmt.Errorf("%q in it is not an object", d.servers)
	}
	d.entries = map[string]entry{}
	for name, raw := range servers {
		var e entry
		if json.Unmarshal(raw, &e) == nil && e.Command+e.URL != "" {
			d.entries[name] = e
		}
	}
	return nil
}

// ours returns the names of this program's entries.
func (d *document) ours(o Options) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(d.entries)) {
		if o.ours(name, d.entries[name]) {
			names = append(names, name)
		}
	}
	return names
}

// text returns the document as it is written to the file.
func (d *document) text() []byte {
	packed := d.value.Pack()
	if d.newline {
		packed = packed[:len(packed)-1]
	}
	return append(slices.Clone(d.mark), packed...)
}

// same reports whether the document has not been changed.
func (d *document) same() bool { return bytes.Equal(d.text(), d.file.content) }

// put adds the entry e under name, or changes the one that is there. It keeps the env of
// that, and members that package setup does not know. kind is that of the client.
func (d *document) put(name string, e entry, kind string) error {
	old := d.entries[name]
	e.Env, e.Trust = old.Env, e.Trust || old.Trust
	path := ""
	for _, part := range []string{d.servers, name} {
		if d.value.Find(path+pointer(part)) == nil {
			if err := d.set(path, part, "{}"); err != nil {
				return err
			}
		}
		path += pointer(part)
	}
	for _, m := range e.members(kind) {
		if m.value == "[]" && old.Command != "" {
			continue // the entry that is there has no arguments either
		}
		if err := d.set(path, m.name, m.value); err != nil {
			return err
		}
	}
	d.entries[name] = e
	return d.verify()
}

// remove removes the entries with these names, and the comments that go with them.
func (d *document) remove(names []string) error {
	if len(names) == 0 {
		return nil
	}
	servers, ok := d.value.Find("/" + d.servers).Value.(*hujson.Object)
	if !ok {
		return fmt.Errorf("%q in it is not an object", d.servers)
	}
	comma := hasTrailingComma(servers)
	end := slices.Clone(servers.AfterExtra[len(bytes.TrimRight(servers.AfterExtra, space)):]) // before the closing brace
	for _, name := range names {
		if err := d.value.Patch(fmt.Appendf(nil, `[{"op": "remove", "path": %s}]`, quote("/"+d.servers+pointer(name)))); err != nil {
			return err
		}
		delete(d.entries, name)
	}
	if len(servers.Members) == 0 {
		if len(bytes.TrimSpace(servers.AfterExtra)) == 0 {
			servers.AfterExtra = nil
		}
	} else if last := &servers.Members[len(servers.Members)-1].Value; !comma { // it may have been followed by another
		servers.AfterExtra, last.AfterExtra = slices.Concat(last.AfterExtra, servers.AfterExtra), nil
	} else if last.AfterExtra == nil {
		last.AfterExtra = hujson.Extra{}
	}
	// Without this, the closing brace would be indented as far as the removed entry was.
	if len(servers.AfterExtra) > 0 && bytes.Contains(end, []byte("\n")) {
		servers.AfterExtra = slices.Concat(bytes.TrimRight(servers.AfterExtra, space), end)
	}
	return d.verify()
}

// verify returns an error unless parsing the text of the document gives the same entries.
// They differ if a name is there twice: an edit changes the first, but the last counts.
func (d *document) verify() error {
	written, err := parse(d.text(), d.servers)
	if err == nil && !maps.EqualFunc(written.entries, d.entries, entry.equal) {
		return errors.New("it can't be edited with certainty, perhaps since a name is in it twice; edit it by hand")
	}
	return err
}

// set sets a member of the object at path to value, which is JSON. One that has this value
// keeps its layout; a new one is added at the end, on a line of its own.
func (d *document) set(path, name, value string) error {
	parsed, err := hujson.Parse([]byte(value))
	if err != nil {
		return err
	}
	if there := d.value.Find(path + pointer(name)); there != nil {
		if minimal(*there) != minimal(parsed) {
			there.Value = parsed.Value
		}
		return nil
	}
	obj, ok := d.value.Find(path).Value.(*hujson.Object)
	if !ok {
		return fmt.Errorf("%q is not an object", path)
	}
	parsed.BeforeExtra = hujson.Extra(" ")
	if hasTrailingComma(obj) {
		parsed.AfterExtra = hujson.Extra{}
	}
	line, _, _ := bytes.Cut(obj.AfterExtra, []byte("\n")) // a comment behind the last member stays there
	if bytes.Contains(line, []byte("/*")) {
		line = nil // such a comment stays at the end, since remove would take it for a comment on what is removed
	}
	depth := strings.Count(path, "/")
	newName := hujson.Value{BeforeExtra: d.endLine(line, depth+1), Value: hujson.String(name)}
	obj.Members = append(obj.Members, hujson.ObjectMember{Name: newName, Value: parsed})
	obj.AfterExtra = d.endLine(obj.AfterExtra[len(line):], depth)
	return nil
}

// minimal returns the text of v without space and comments.
func minimal(v hujson.Value) string {
	v = v.Clone()
	v.Minimize()
	return v.String()
}

// hasTrailingComma reports whether obj has a comma behind its last member.
func hasTrailingComma(obj *hujson.Object) bool {
	n := len(obj.Members)
	return n > 0 && obj.Members[n-1].Value.AfterExtra != nil
}

const space = " \t\r\n" // as JSON has it

// endLine returns extra, the space and comments between two values, so that it ends with
// a line break and depth steps of indentation.
func (d *document) endLine(extra hujson.Extra, depth int) hujson.Extra {
	return slices.Concat(bytes.TrimRight(extra, space), []byte(d.eol+strings.Repeat(d.unit, depth)))
}

// pointer returns a name as a reference token of a JSON pointer (RFC 6901).
func pointer(name string) string {
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// mergeArgs returns given, arguments of the form --name=value, followed by those flags of
// old, with their values, that are not in given.
func mergeArgs(old, given []string) []string {
	merged := slices.Clone(given)
	for i := 0; i < len(old); i++ {
		name, _, inOne := strings.Cut(old[i], "=")
		if !slices.ContainsFunc(given, func(arg string) bool { flag, _, _ := strings.Cut(arg, "="); return flag == name }) {
			merged = append(merged, old[i])
		} else if !inOne && i+1 < len(old) && !strings.HasPrefix(old[i+1], "-") {
			i++ // the value of the flag
		}
	}
	return merged
}

// quote returns s as a string that is valid in JSON, TOML and YAML.
func quote(s string) string {
	quoted, _ := text.JSON(s, "") // can't fail for a string
	// TOML and YAML refuse this character unescaped.
	return strings.ReplaceAll(string(quoted), "\x7f", `\u007f`)
}

// list returns items as an array that is valid in JSON, TOML and YAML.
func list(items []string) string {
	quoted := make([]string, len(items))
	for i, item := range items {
		quoted[i] = quote(item)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
