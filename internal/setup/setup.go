// Package setup puts the server into MCP clients and says what is missing:
// the commands doctor, install and uninstall. This file knows the clients.
//
// Rules:
//   - Of a client's configuration only the entries that start this program are
//     touched; comments, order and layout of the rest stay byte for byte.
//   - A file is replaced as a whole or not at all, and a copy of what was there
//     is kept beside it. One that can't be read with certainty is refused.
//   - The key goes to the key file of the settings, and to nothing else.
//   - Operating system, environment and program come in as values, so that
//     every platform's layout is tested on each.
package setup

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pixazo-mcp/internal/config"
)

// Options says what a command works on.
type Options struct {
	Settings   config.Settings
	Env        []string // as os.Environ gives it
	GOOS       string   // as runtime.GOOS
	Executable string   // this program, as os.Executable gives it
	Version    string   // for the report
	Stdin      io.Reader
	Stdout     io.Writer

	// Timeout bounds the question to the gateway; 0 means 10 s.
	Timeout time.Duration

	askKey func(prompt string) (string, error) // a terminal, for tests
}

// client is an MCP client and where its configuration is.
type client struct {
	name    string // one of config.Clients
	title   string
	format  format
	servers string // the key above its servers
	typed   bool   // its entries say "type": "stdio"
	edited  bool   // by install; else its user does it
	restart string // what makes it read its configuration again

	// files are the places of its configuration. The first is the documented
	// one; a further one counts when its folder exists.
	files []string
}

type format int

const (
	asJSON format = iota // with comments and trailing commas
	asTOML
	asYAML
)

// clients are those of config.Clients, in that order, with their files on this
// system. Without a home directory the files may be none.
func (o Options) clients() []client {
	home := o.Settings.Home
	env := func(name string) string {
		value := ""
		for _, line := range o.Env {
			key, v, _ := strings.Cut(line, "=")
			if key == name || o.GOOS == "windows" && strings.EqualFold(key, name) {
				value = v
			}
		}
		return value
	}
	// in joins a path below dir, "" when dir is not known.
	in := func(dir string, elements ...string) string {
		if dir == "" {
			return ""
		}
		return filepath.Join(append([]string{dir}, elements...)...)
	}
	or := func(dir, fallback string) string {
		if filepath.IsAbs(dir) {
			return dir
		}
		return fallback
	}
	dotConfig := in(home, ".config")
	if o.GOOS != "windows" && o.GOOS != "darwin" {
		dotConfig = or(env("XDG_CONFIG_HOME"), dotConfig)
	}
	appData, goose, zed := dotConfig, in(dotConfig, "goose"), in(dotConfig, "zed")
	switch o.GOOS {
	case "darwin":
		appData = in(home, "Library", "Application Support")
	case "windows":
		appData = or(env("APPDATA"), in(home, "AppData", "Roaming"))
		goose, zed = in(appData, "Block", "goose", "config"), in(appData, "Zed")
	}

	desktop := []string{in(appData, "Claude")}
	if o.GOOS == "windows" {
		// The packaged app is shown other folders than the rest of the system.
		local := or(env("LOCALAPPDATA"), in(home, "AppData", "Local"))
		for _, name := range subfolders(in(local, "Packages"), "claude_") {
			desktop = append(desktop, in(local, "Packages", name, "LocalCache", "Roaming", "Claude"))
		}
		for _, name := range subfolders(in(local, "Claude-Data"), "claude") {
			desktop = append(desktop, in(local, "Claude-Data", name))
		}
	}
	for i, dir := range desktop {
		desktop[i] = in(dir, "claude_desktop_config.json")
	}

	return []client{
		{"claude-desktop", "Claude Desktop", asJSON, "mcpServers", false, true, "Quit Claude Desktop and start it again.", desktop},
		{"claude-code", "Claude Code", asJSON, "mcpServers", true, true, "Start a new session of Claude Code.", []string{in(or(env("CLAUDE_CONFIG_DIR"), home), ".claude.json")}},
		{"cursor", "Cursor", asJSON, "mcpServers", false, true, "Restart Cursor.", []string{in(home, ".cursor", "mcp.json")}},
		{"vscode", "VS Code", asJSON, "servers", true, true, "VS Code shows it in MCP: List Servers.", []string{
			in(appData, "Code", "User", "mcp.json"), in(appData, "Code - Insiders", "User", "mcp.json")}},
		{"windsurf", "Windsurf", asJSON, "mcpServers", false, false, "", []string{in(home, ".codeium", "windsurf", "mcp_config.json")}},
		{"zed", "Zed", asJSON, "context_servers", false, false, "", []string{in(zed, "settings.json")}},
		{"codex", "Codex", asTOML, "mcp_servers", false, false, "", []string{in(or(env("CODEX_HOME"), in(home, ".codex")), "config.toml")}},
		{"gemini", "Gemini CLI", asJSON, "mcpServers", false, false, "", []string{in(home, ".gemini", "settings.json")}},
		{"goose", "goose", asYAML, "extensions", false, false, "", []string{in(goose, "config.yaml")}},
	}
}

// present are the files of c whose folders exist, or else the documented one;
// none when its place is not known.
func (c client) present() []string {
	var present []string
	for _, file := range c.files {
		if info, err := os.Stat(filepath.Dir(file)); file != "" && err == nil && info.IsDir() {
			present = append(present, file)
		}
	}
	if len(present) == 0 && c.files[0] != "" {
		present = c.files[:1]
	}
	return present
}

// subfolders are the names in dir that begin with prefix, in lower case.
func subfolders(dir, prefix string) []string {
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, entry := range entries {
		if strings.HasPrefix(strings.ToLower(entry.Name()), prefix) {
			names = append(names, entry.Name())
		}
	}
	return names
}

// find returns the client of that name, which is one of config.Clients.
func (o Options) find(name string) client {
	for _, c := range o.clients() {
		if c.name == name {
			return c
		}
	}
	return client{}
}

// baseName is a command's file name without .exe, on whatever system it was
// written down.
func baseName(command string) string {
	command = command[strings.LastIndexAny(command, `/\`)+1:]
	if len(command) > 4 && strings.EqualFold(command[len(command)-4:], ".exe") {
		command = command[:len(command)-4]
	}
	return command
}

// ours reports whether a command starts this program, under its own name or as
// this very file.
func (o Options) ours(command string) bool {
	return baseName(command) == "pixazo-mcp" || command != "" && command == o.Executable
}
