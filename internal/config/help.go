// This file makes the text of --help from the table of settings.

package config

import (
	"runtime"
	"strings"
)

const (
	helpHead = `pixazo-mcp: an MCP server over stdio that makes HeyGen Video Agent videos
through the Pixazo gateway.

Usage: pixazo-mcp [COMMAND] [flags]

Commands (pixazo-mcp COMMAND --help shows examples):
`
	helpSettings = `
Settings. Each flag is also read from the variable beside it; the flag wins.
A value that is empty or starts with "${" counts as unset. The key itself is
never a flag: set PIXAZO_API_KEY, or write it to the key file.
`
	helpTail = `
Examples:
  pixazo-mcp install claude-desktop
  pixazo-mcp demo --prompt "A 30-second tour of the water cycle"
  PIXAZO_API_KEY=... pixazo-mcp --output-dir ~/Videos --log-level debug
`
	helpWidth = 80 // columns
)

// help is the text of --help: of the whole program, or of one command. That of
// serve is the whole.
func help(of Command) string {
	var b strings.Builder
	if c := info(string(of)); of != "" && of != Serve {
		b.WriteString("Usage: " + strings.TrimSpace("pixazo-mcp "+string(c.name)+" "+c.usage) + " [flags]\n\n")
		wrap(&b, "", c.help)
		b.WriteString("\nFlags:\n")
		writeFlags(&b, c.flags)
		b.WriteString("\nThe settings of pixazo-mcp --help count here too.\n\nExamples:" + c.examples)
		return b.String()
	}
	b.WriteString(helpHead)
	for _, c := range commands {
		b.WriteString("  " + strings.TrimSpace(string(c.name)+" "+c.usage) + "\n")
		wrap(&b, helpIndent, c.help)
	}
	b.WriteString(helpSettings)
	writeFlags(&b, common)
	for _, part := range []struct {
		head string
		of   group
	}{{"demo", ofDemo}, {"doctor", ofDoctor}, {"install and uninstall", ofInstall}} {
		b.WriteString("\nFlags of " + part.head + ":\n")
		writeFlags(&b, part.of)
	}
	b.WriteString("\nOther flags:\n")
	writeFlags(&b, printing)
	b.WriteString(helpTail)
	return b.String()
}

func writeFlags(b *strings.Builder, of group) {
	for _, s := range settings {
		if s.group == of {
			writeFlag(b, s)
		}
	}
}

const helpIndent = "      "

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
	wrap(b, helpIndent, about)
}

// wrap writes s as indented lines of at most helpWidth columns.
func wrap(b *strings.Builder, indent, s string) {
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
