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
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	Invoked    string   // what it was called as; "" means os.Args[0]
	Version    string   // for the report
	Stdin      io.Reader
	Stdout     io.Writer
	Stderr     io.Writer // for the prompt; nil means os.Stderr

	// CheckJournal looks at the journal in a state directory and changes nothing
	// there. Its error says why the journal can't be used.
	CheckJournal func(ctx context.Context, stateDir string) (Journal, error)

	// Timeout bounds the question to the gateway; 0 means 10 s.
	Timeout time.Duration
}

// Journal is what CheckJournal found.
type Journal struct {
	Path   string // of the database
	Exists bool   // the first submission makes it
	Jobs   int    // of all gateways
	Notice string // of an earlier journal that was set aside, or ""
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
	sure  []string // of files, those that count without their folder, too
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

	const desktopFile = "claude_desktop_config.json"
	desktop, packaged := []string{in(appData, "Claude")}, []string(nil)
	if o.GOOS == "windows" {
		// The packaged app is shown other folders than the rest of the system.
		local := or(env("LOCALAPPDATA"), in(home, "AppData", "Local"))
		for _, name := range subfolders(in(local, "Packages"), "claude_") {
			dir := in(local, "Packages", name, "LocalCache", "Roaming", "Claude")
			desktop, packaged = append(desktop, dir), append(packaged, in(dir, desktopFile))
		}
		for _, name := range subfolders(in(local, "Claude-Data"), "claude") {
			desktop = append(desktop, in(local, "Claude-Data", name))
		}
	}
	for i, dir := range desktop {
		desktop[i] = in(dir, desktopFile)
	}

	return []client{
		{"claude-desktop", "Claude Desktop", asJSON, "mcpServers", false, true, "Quit Claude Desktop and start it again.", desktop, packaged},
		{"claude-code", "Claude Code", asJSON, "mcpServers", true, true, "Start a new session of Claude Code.", []string{in(or(env("CLAUDE_CONFIG_DIR"), home), ".claude.json")}, nil},
		{"cursor", "Cursor", asJSON, "mcpServers", false, true, "Restart Cursor.", []string{in(home, ".cursor", "mcp.json")}, nil},
		{"vscode", "VS Code", asJSON, "servers", true, true, "VS Code shows it in MCP: List Servers.", []string{
			in(appData, "Code", "User", "mcp.json"), in(appData, "Code - Insiders", "User", "mcp.json")}, nil},
		{"windsurf", "Windsurf", asJSON, "mcpServers", false, false, "", []string{in(home, ".codeium", "windsurf", "mcp_config.json")}, nil},
		{"zed", "Zed", asJSON, "context_servers", false, false, "", []string{in(zed, "settings.json")}, nil},
		{"codex", "Codex", asTOML, "mcp_servers", false, false, "", []string{in(or(env("CODEX_HOME"), in(home, ".codex")), "config.toml")}, nil},
		{"gemini", "Gemini CLI", asJSON, "mcpServers", false, false, "", []string{in(home, ".gemini", "settings.json")}, nil},
		{"goose", "goose", asYAML, "extensions", false, false, "", []string{in(goose, "config.yaml")}, nil},
	}
}

// present are the files of c whose folders exist or that are sure, or else the
// documented one; none when its place is not known.
func (c client) present() []string {
	var present []string
	for _, file := range c.files {
		if info, err := os.Stat(filepath.Dir(file)); file != "" && err == nil && info.IsDir() || slices.Contains(c.sure, file) {
			present = append(present, file)
		}
	}
	if len(present) == 0 && c.files[0] != "" {
		present = c.files[:1]
	}
	return present
}

// places are the files of c that are present; there is an error when there are
// none.
func (c client) places() ([]string, error) {
	present := c.present()
	if len(present) == 0 {
		return nil, errors.New("the home directory is not known, so neither is the place of the configuration; set HOME (USERPROFILE on Windows)")
	}
	return present, nil
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

// ours reports whether the entry of a name starts this program with its command:
// under its own name or as this very file. An entry that has our name may call
// it otherwise: by the version in its file name, or as this file was renamed.
func (o Options) ours(name, command string) bool {
	base := baseName(command)
	if base == "" {
		return false
	}
	if base == "pixazo-mcp" || command == o.Executable || filepath.IsAbs(command) && sameFile(command, o.Executable) {
		return true
	}
	return (name == liveName || name == sandboxName) && (strings.HasPrefix(base, "pixazo-mcp") || base == baseName(o.Executable))
}

func sameFile(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

// asInvoked is o with the path that this program was called by, if it leads to
// the same file: Linux's os.Executable has followed links, and a package
// manager's link is what outlives the next update.
func (o Options) asInvoked() Options {
	path, err := exec.LookPath(cmp.Or(o.Invoked, os.Args[0]))
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err == nil && sameFile(path, o.Executable) {
		o.Executable = path
	}
	return o
}
