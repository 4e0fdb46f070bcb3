// This file makes the text of --help from the table of flags.

package config

import (
	"fmt"
	"strings"
)

const helpHead = `pixazo-mcp: an MCP server over stdio that makes HeyGen Video Agent videos
through the Pixazo gateway.

Usage: pixazo-mcp [COMMAND] [flags]

Commands:
  serve             Speak MCP over stdin and stdout. This is the default.
  demo              Make one video in the terminal, in the sandbox or --live.
  doctor            Check settings, key, gateway, folders, journal, and the
                    clients' configurations. Status 1: problems were found.
  install CLIENT    Add this program to the configuration of a client, with the
                    settings flags given here, and store the key. --sandbox adds
                    pixazo-sandbox, which needs no key.
  uninstall CLIENT  Take this program out of it again. Key and videos stay.

Clients: %s,
%s. The configurations of the
first four are edited; for the others, install prints what to put where.

Settings. Flags override environment variables. A value that is empty or starts
with "${" counts as unset. The key itself is never a flag: set PIXAZO_API_KEY,
or write it to the key file.
`

const helpTail = `
Other flags:
  -h, --help        print this text
  --version         print the version

Examples:
  pixazo-mcp install claude-desktop --files-dir ~/Documents
  pixazo-mcp uninstall cursor --print
  pixazo-mcp doctor --json
  pixazo-mcp demo --prompt "A 30-second tour of the water cycle"
  pixazo-mcp --sandbox --output-dir ~/Videos --log-level debug
`

// helpText is the text of --help.
func (p *parser) helpText() string {
	var b strings.Builder
	fmt.Fprintf(&b, helpHead, strings.Join(Clients[:5], ", "), strings.Join(Clients[5:], ", "))
	of := Command("")
	for i := range p.rows {
		row := &p.rows[i]
		if row.of != of {
			of = row.of
			fmt.Fprintf(&b, "\nFlags of %s:\n", of)
		}
		left := "--" + row.name
		if row.placeholder != "" {
			left += "=" + row.placeholder
		}
		if of != "" {
			fmt.Fprintf(&b, "  %-16s  %s\n", left, row.help)
			continue
		}
		fmt.Fprintf(&b, "  %-30s  %s\n      %s\n", left, row.variable, row.help)
		if row.fallback != "" {
			fmt.Fprintf(&b, "      Default: %s\n", row.fallback)
		}
	}
	return b.String() + helpTail
}
