// This file makes the text of --help from the table of settings.

package config

import (
	"runtime"
	"strings"
)

const (
	helpHead = `pixazo-mcp: an MCP server over stdio that makes HeyGen Video Agent videos
through the Pixazo gateway.

Usage: pixazo-mcp [serve | demo] [flags]

Commands:
  serve
      Speak MCP over stdin and stdout. This is the default.
  demo
      Make one video in the terminal, through the sandbox unless --live is
      given.

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

func help() string {
	var b strings.Builder
	for _, part := range []struct {
		head string
		of   group
	}{{helpHead, common}, {"\nFlags of demo:\n", ofDemo}, {"\nOther flags:\n", printing}} {
		b.WriteString(part.head)
		for _, s := range settings {
			if s.group == part.of {
				writeFlag(&b, s)
			}
		}
	}
	b.WriteString(helpTail)
	return b.String()
}

func writeFlag(b *strings.Builder, s setting) {
	left, about := "--"+s.name, s.help
	if s.placeholder != "" {
		left += "=" + s.placeholder
	}
	if s.name == "help" {
		left = "-h, " + left
	}
	if s.group == common {
		left += strings.Repeat(" ", max(2, 32-len(left))) + variable(s.name)
		about += " Takes " + s.rule + "."
		if d := fallback(s.name, runtime.GOOS); d != "" {
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
