// This file prints the text of --help from the grammar. kong's own printer
// would read the terminal's width from the process environment.

package config

import (
	"runtime"
	"strings"

	"github.com/alecthomas/kong"
)

const (
	helpHead = `pixazo-mcp: an MCP server over stdio that makes HeyGen Video Agent videos
through the Pixazo gateway.

Usage: pixazo-mcp [serve | demo] [flags]
`
	helpSettings = `
Settings. Each flag is also read from the variable beside it; the flag wins.
A value that is empty or starts with "${" counts as unset. The key itself is
never a flag: set PIXAZO_API_KEY, or write it to the key file.
`
	helpTail = `
Examples:
  pixazo-mcp demo --prompt "A 30-second tour of the water cycle"
  PIXAZO_API_KEY=... pixazo-mcp --output-dir ~/Videos --log-level debug
`
	helpWidth = 80 // columns
)

// help returns the whole text: commands, settings, the demo's flags, the rest.
func (p *parser) help(app *kong.Application) string {
	var b strings.Builder
	b.WriteString(helpHead)
	b.WriteString("\nCommands:\n")
	for _, command := range app.Children {
		b.WriteString("  " + command.Name + "\n")
		wrap(&b, command.Help)
	}
	b.WriteString(helpSettings)
	for _, flag := range app.Flags {
		if variable(flag.Name) != "" {
			writeFlag(&b, flag)
		}
	}
	for _, command := range app.Children {
		if len(command.Flags) == 0 {
			continue
		}
		b.WriteString("\nFlags of " + command.Name + ":\n")
		for _, flag := range command.Flags {
			writeFlag(&b, flag)
		}
	}
	b.WriteString("\nOther flags:\n")
	for _, flag := range app.Flags {
		if variable(flag.Name) == "" {
			writeFlag(&b, flag)
		}
	}
	b.WriteString(helpTail)
	return b.String()
}

func writeFlag(b *strings.Builder, flag *kong.Flag) {
	left := flag.String() // such as --max-wait=DURATION
	about := flag.Help
	if v := variable(flag.Name); v != "" {
		left += strings.Repeat(" ", max(2, 32-len(left))) + v
		about += " Takes " + flag.Tag.Get("rule") + "."
		if d := fallback(flag, runtime.GOOS); d != "" {
			about += " Default: " + d
		}
	}
	b.WriteString("  " + left + "\n")
	wrap(b, about)
}

// wrap writes s as indented lines of at most helpWidth columns.
func wrap(b *strings.Builder, s string) {
	const indent = "      "
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && len(indent)+len(line)+1+len(word) > helpWidth {
			b.WriteString(indent + line + "\n")
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	b.WriteString(indent + line + "\n")
}
