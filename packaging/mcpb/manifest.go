// This file reads and changes manifest.json without disturbing what it does
// not know: members keep their order. The format is MCPB manifest 0.3.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// member is one member of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// object is a JSON object whose members have an order.
type object []member

func parseObject(source []byte) (object, error) {
	d := json.NewDecoder(bytes.NewReader(source))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("manifest: want a JSON object, got %v (%w)", t, err)
	}
	var o object
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		o = append(o, member{name.(string), value})
	}
	return o, nil
}

func (o object) get(name string) json.RawMessage {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// set gives a member its value: in its place, or before the member named
// before, or at the end.
func (o *object) set(name string, value any, before string) error {
	encoded, err := encode(value)
	if err != nil {
		return err
	}
	at := func(name string) int {
		return slices.IndexFunc(*o, func(m member) bool { return m.name == name })
	}
	if i := at(name); i >= 0 {
		(*o)[i].value = encoded
	} else if i := at(before); i >= 0 {
		*o = slices.Insert(*o, i, member{name, encoded})
	} else {
		*o = append(*o, member{name, encoded})
	}
	return nil
}

func (o *object) remove(name string) {
	*o = slices.DeleteFunc(*o, func(m member) bool { return m.name == name })
}

// MarshalJSON writes the members in their order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := encode(m.name)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// text is the object as a file: indented, & and < as they are.
func (o object) text() ([]byte, error) {
	compact, err := o.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, compact, "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// encode is json.Marshal that leaves & and < as they are.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// programs are the names of the server's program in the bundles, by the
// platforms of MCPB.
var programs = map[string]string{
	"darwin": "server/pixazo-mcp",
	"linux":  "server/pixazo-mcp",
	"win32":  "server/pixazo-mcp.exe",
}

// manifestFor is the manifest of one platform's bundle: source with that
// platform alone, its program, and the version that is packed.
func manifestFor(source []byte, platform, version string) ([]byte, error) {
	program, known := programs[platform]
	if !known {
		return nil, fmt.Errorf("no platform of MCPB: %q", platform)
	}
	manifest, err := parseObject(source)
	if err != nil {
		return nil, err
	}
	server, err := parseObject(manifest.get("server"))
	if err != nil {
		return nil, err
	}
	config, err := parseObject(server.get("mcp_config"))
	if err != nil {
		return nil, err
	}
	config.remove("platform_overrides")
	compatibility, err := parseObject(manifest.get("compatibility"))
	if err != nil {
		return nil, err
	}
	for _, change := range []struct {
		of    *object
		name  string
		value any
	}{
		{&config, "command", "${__dirname}/" + program},
		{&server, "entry_point", program},
		{&server, "mcp_config", &config},
		{&compatibility, "platforms", []string{platform}},
		{&manifest, "server", &server},
		{&manifest, "compatibility", &compatibility},
		{&manifest, "version", version},
	} {
		if err := change.of.set(change.name, change.value, ""); err != nil {
			return nil, err
		}
	}
	return manifest.text()
}
