// Package setup puts the server into MCP clients and checks what a server needs:
// the commands doctor, install and uninstall. This file knows the clients.
//
// Rules:
//   - Of a client's configuration only the entries that start this program are
//     edited; comments, order and layout of the rest stay.
//   - A file is replaced as a whole or not at all, and a copy of what it held is
//     kept beside it. A file that can't be read with certainty is refused.
//   - The key goes to the key file of the settings, and to nothing else.
//   - Operating system, environment and program come in as values, so that
//     every platform's layout is tested on each.
package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"

	"pixazo-mcp/internal/config"
)

// Options says what a command works on.
type Options struct {
	Settings   config.Settings
	Env        []string // as os.Environ gives it
	GOOS       string   // as runtime.GOOS
	Executable string   // this program, as os.Executable gives it
	Invoked    string   // the name that the program was called by; "" means os.Args[0]
	Version    string   // for the report
	Stdin      io.Reader
	Stdout     io.Writer
	Stderr     io.Writer // for the prompt, which is seen there even when stdout goes to a file

	// CheckJournal looks at the journal in a state directory and changes nothing
	// there. Its error says why the journal can't be used.
	CheckJournal func(ctx context.Context, stateDir string) (Journal, error)
}

// Journal is what CheckJournal found.
type Journal struct {
	Path   string // of the database
	Exists bool   // the first submission makes it
	Jobs   int    // of all gateways
	Notice string // of an earlier journal that was set aside, or ""

	Keepers string // which processes watch its jobs, or ""
}

// Run carries out the command of the settings: doctor, install or uninstall. An
// error of the last two means that a file was left as it was, or that the key
// could not be stored.
func Run(ctx context.Context, o Options) error {
	o = o.asInvoked()
	err := map[string]func(context.Context) error{
		config.Doctor:    o.doctor,
		config.Install:   o.install,
		config.Uninstall: o.uninstall,
	}[o.Settings.Command](ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", o.Settings.Command, err)
	}
	return nil
}

// client is an MCP client and the place of its configuration.
type client struct {
	name    string // one of config.Clients
	title   string
	servers string // the name of the object, or table, that has its entries
	file    string // "" when the home directory is not known

	// For clients whose configuration install edits.
	edited  bool
	remote  bool   // also with the address of a team server
	kind    string // the "type" of an entry; "local" is opencode's, whose command is a list with the arguments
	restart string // what makes the client read its configuration again

	trust string // what of an entry has its tools run without asking: "trust", or a line for the template
	allow string // where there is no such thing: a sentence on what to do instead
	note  string // what else somebody who uses it has to know

	// template is an entry in a format other than JSON, which is only printed:
	// of its name, its command and its arguments.
	template string
}

const (
	tomlEntry = "[mcp_servers.%s]\ncommand = %s\nargs = %s\nrequired = true\n" // else a first turn may begin without the tools
	yamlEntry = "extensions:\n  %[1]s:\n    enabled: true\n    type: stdio\n    name: %[1]s\n    description: Videos through the Pixazo gateway\n" +
		"    cmd: %[2]s\n    args: %[3]s\n    timeout: 300\n"
)

// clients returns those of config.Clients, in that order, with their files on
// this system.
func (o Options) clients() []client {
	home := o.Settings.Home
	dotConfig := filepath.Join(home, ".config")
	if o.GOOS != "windows" && o.GOOS != "darwin" {
		dotConfig = absoluteOr(o.env("XDG_CONFIG_HOME"), dotConfig)
	}
	appData, goose, zed := dotConfig, filepath.Join(dotConfig, "goose"), filepath.Join(dotConfig, "zed")
	desktop := filepath.Join(appData, "Claude")
	switch o.GOOS {
	case "darwin":
		appData = filepath.Join(home, "Library", "Application Support")
		desktop = filepath.Join(appData, "Claude")
	case "windows":
		appData = absoluteOr(o.env("APPDATA"), filepath.Join(home, "AppData", "Roaming"))
		goose, zed = filepath.Join(appData, "Block", "goose", "config"), filepath.Join(appData, "Zed")
		desktop = packagedDesktop(absoluteOr(o.env("LOCALAPPDATA"), filepath.Join(home, "AppData", "Local")), filepath.Join(appData, "Claude"))
	}
	all := []client{
		{name: "claude-desktop", title: "Claude Desktop", servers: "mcpServers", file: filepath.Join(desktop, "claude_desktop_config.json"),
			edited: true, restart: "Quit Claude Desktop and start it again."},
		{name: "claude-code", title: "Claude Code", servers: "mcpServers", file: filepath.Join(absoluteOr(o.env("CLAUDE_CONFIG_DIR"), home), ".claude.json"),
			edited: true, remote: true, kind: "stdio", restart: "Start a new session of Claude Code.",
			allow: `Start it with --allowedTools mcp__pixazo, or put "mcp__pixazo" into permissions.allow of its settings.json.`},
		{name: "cursor", title: "Cursor", servers: "mcpServers", file: filepath.Join(home, ".cursor", "mcp.json"),
			edited: true, remote: true, restart: "Restart Cursor."},
		{name: "vscode", title: "VS Code", servers: "servers", file: filepath.Join(appData, "Code", "User", "mcp.json"),
			edited: true, remote: true, kind: "stdio", restart: "VS Code shows it in MCP: List Servers."},
		{name: "gemini", title: "Gemini CLI", servers: "mcpServers", file: filepath.Join(home, ".gemini", "settings.json"),
			edited: true, trust: "trust", restart: "Start a new session of Gemini CLI.",
			note: "Gemini CLI starts no servers in folders that it does not trust, and gives them none of your variables that look like keys."},
		{name: "qwen", title: "Qwen Code", servers: "mcpServers", file: filepath.Join(home, ".qwen", "settings.json"),
			edited: true, trust: "trust", restart: "Start a new session of Qwen Code."},
		{name: "opencode", title: "opencode", servers: "mcp", file: opencodeFile(filepath.Join(absoluteOr(o.env("XDG_CONFIG_HOME"), filepath.Join(home, ".config")), "opencode")),
			edited: true, kind: "local", restart: "Start opencode again.", allow: "opencode asks nobody, unless its permission setting says so."},
		{name: "windsurf", title: "Windsurf", servers: "mcpServers", file: filepath.Join(home, ".codeium", "windsurf", "mcp_config.json")},
		{name: "zed", title: "Zed", servers: "context_servers", file: filepath.Join(zed, "settings.json")},
		{name: "codex", title: "Codex", servers: "mcp_servers", file: filepath.Join(absoluteOr(o.env("CODEX_HOME"), filepath.Join(home, ".codex")), "config.toml"), template: tomlEntry,
			trust: `default_tools_approval_mode = "approve"`, note: "Codex gives servers few of your variables, and no key: keep it in its file."},
		{name: "goose", title: "goose", servers: "extensions", file: filepath.Join(goose, "config.yaml"), template: yamlEntry},
	}
	if home == "" {
		for i := range all {
			all[i].file = ""
		}
	}
	return all
}

// opencodeFile returns which of its two configurations opencode has in dir.
func opencodeFile(dir string) string {
	file := filepath.Join(dir, "opencode.json")
	if _, err := os.Stat(file + "c"); err == nil {
		return file + "c"
	}
	return file
}

// packagedDesktop returns the folder that the packaged Claude Desktop app reads,
// below local: Windows shows such an app other folders than the rest of the
// system. It returns fallback when there is no such app.
func packagedDesktop(local, fallback string) string {
	apps, _ := fs.Glob(os.DirFS(local), "Packages/[Cc]laude_*")
	if len(apps) == 0 {
		return fallback
	}
	return filepath.Join(local, apps[0], "LocalCache", "Roaming", "Claude")
}

func absoluteOr(dir, fallback string) string {
	if filepath.IsAbs(dir) {
		return dir
	}
	return fallback
}

func (o Options) env(name string) string { return config.Variable(o.Env, o.GOOS, name) }

// find returns the client of that name, which is one of config.Clients.
func (o Options) find(name string) client {
	for _, c := range o.clients() {
		if c.name == name {
			return c
		}
	}
	return client{}
}

// target returns the client that install or uninstall is about.
func (o Options) target() (client, error) {
	c := o.find(o.Settings.Setup.Client)
	if c.file == "" {
		return c, errors.New("the home directory is not known, so neither is the place of the configuration; set HOME (USERPROFILE on Windows)")
	}
	// What root writes into a user's home the user's clients can't read.
	if o.env("SUDO_USER") != "" {
		if me, err := user.Current(); err == nil && me.HomeDir != o.Settings.Home {
			return c, fmt.Errorf("%s would get files that belong to %s; run this without sudo", o.Settings.Home, me.Username)
		}
	}
	return c, nil
}

// baseName returns a command's file name in lower case without .exe, whatever
// system it was written for.
func baseName(command string) string {
	return strings.TrimSuffix(strings.ToLower(command[strings.LastIndexAny(command, `/\`)+1:]), ".exe")
}

// ours reports whether the entry of a name is this program's. One that calls a server
// is if it has our name. One that starts a program is if that has our program's name
// or is this very file; under one of our names its file may also begin with the
// program's name, as in pixazo-mcp-1.2, or have the name to which this file was
// renamed.
func (o Options) ours(name string, e entry) bool {
	if e.URL != "" {
		return name == liveName
	}
	command := e.Command
	base := baseName(command)
	if base == "" || base == "pixazo-mcp" || filepath.IsAbs(command) && o.sameFile(command, o.Executable) {
		return base != ""
	}
	return (name == liveName || name == sandboxName) && (strings.HasPrefix(base, "pixazo-mcp") || base == baseName(o.Executable))
}

// stat describes the file that a command with an absolute path starts. Windows
// adds .exe.
func (o Options) stat(command string) (fs.FileInfo, error) {
	info, err := os.Stat(command)
	if err != nil && o.GOOS == "windows" {
		if exe, err := os.Stat(command + ".exe"); err == nil {
			return exe, nil
		}
	}
	return info, err
}

func (o Options) sameFile(a, b string) bool {
	first, err := o.stat(a)
	if err != nil {
		return false
	}
	second, err := o.stat(b)
	return err == nil && os.SameFile(first, second)
}

// asInvoked returns o with the path that this program was called by, if that
// leads to the same file: Linux's os.Executable follows links, and a package
// manager's link is what outlives the next update.
func (o Options) asInvoked() Options {
	path, err := exec.LookPath(cmp.Or(o.Invoked, os.Args[0]))
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err == nil && o.sameFile(path, o.Executable) {
		o.Executable = path
	}
	return o
}
