// This file changes manifest.json (MCPB manifest 0.3) and leaves the order of
// its members as it is.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/tailscale/hujson"

	"pixazo-mcp/internal/text"
)

// change is one operation of a JSON Patch (RFC 6902).
type change struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// patch returns manifest with the changes, indented by two spaces.
func patch(manifest []byte, changes ...change) ([]byte, error) {
	value, err := hujson.Parse(manifest)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	operations, err := text.JSON(changes, "")
	if err != nil {
		return nil, err
	}
	if err := value.Patch(operations); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, value.Pack(), "", "  "); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return append(bytes.TrimSpace(indented.Bytes()), '\n'), nil
}

// programs are the paths of the server's program in a bundle, by the
// platforms of MCPB.
var programs = map[string]string{
	"darwin": "server/pixazo-mcp",
	"linux":  "server/pixazo-mcp",
	"win32":  "server/pixazo-mcp.exe",
}

// manifestFor returns the manifest of one platform's bundle: source with that
// platform alone, its program, and the version that is packed.
func manifestFor(source []byte, platform, version string) ([]byte, error) {
	program, known := programs[platform]
	if !known {
		return nil, fmt.Errorf("no platform of MCPB: %q", platform)
	}
	return patch(source,
		change{"replace", "/version", version},
		change{"replace", "/server/entry_point", program},
		change{"replace", "/server/mcp_config/command", "${__dirname}/" + program},
		change{"remove", "/server/mcp_config/platform_overrides", nil},
		change{"replace", "/compatibility/platforms", []string{platform}},
	)
}
