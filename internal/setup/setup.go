// Package setup holds the commands doctor, install and uninstall, which check what a
// server needs and edit the configurations of MCP clients. This file knows the clients.
//
// Rules:
//   - In a client's configuration only this program's entries are edited. Comments,
//     order and layout of the rest stay.
//   - A file is replaced as a whole or not at all, and a copy of the old one is kept
//     beside it. A file that can't be read with certainty is not edited.
//   - The key is written to the key file of the settings and nowhere else.
//   - Operating system, environment and program are passed in, so that the layout of
//     every system can be tested on each.
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
	"slices"
	"strings"

	"pixazo-mcp/internal/config"
)

// Options is what a command needs.
type Options struct {
	Settings   config.Settings
	Env        []string // as os.Environ gives it
	GOOS       string   // as runtime.GOOS
	Executable string   // this program, as os.Executable gives it
	Invoked    string   // the name by which the program was called; "" means os.Args[0]
	Version    string   // for the report
	Stdin      io.Reader
	Stdout     io.Writer
	Stderr     io.Writer // for the prompt, which must be seen even if stdout goes to a file

	// CheckJournal reads the journal in a state directory without changing anything.
	// An error means that the journal can't be used.
	CheckJournal func(stateDir string) (Journal, error)
}

// Journal is the result of CheckJournal.
type Journal struct {
	Path    string // of the database
	Exists  bool   // false before the first submission
	Jobs    int    // of all gateways
	Notice  string // on an earlier journal that was set aside, or ""
	Keepers string // the processes that watch its jobs, or ""
}

// Run runs the command of the settings: doctor, install or uninstall. An error of install
// or uninstall means that the configuration was not changed, or the key not stored.
func Run(ctx context.Context, o Options) error {
	o = o.asInvoked()
	run := map[string]func(context.Context) error{config.Doctor: o.doctor, config.Install: o.install, config.Uninstall: o.uninstall}
	if err := run[o.Settings.Command](ctx); err != nil {
		return fmt.Errorf("%s: %w", o.Settings.Command, err)
	}
	return nil
}

// client is an MCP client and the place of its configuration.
type client struct {
	name    string // one of config.Clients
	title   string // its name for people
	servers string // the name of the object, or table, with the entries
	file    string // its configuration

	edited  bool   // install edits file
	remote  bool   // an entry may have the URL of a team server
	kind    string // the "type" of an entry; "local" is that of opencode, whose command is a list with the arguments
	restart string // a sentence on how to make the client read its configuration again

	trust string // what in an entry lets its tools run without asking: "trust", or a line behind the template
	allow string // if trust is "": a sentence on what to do instead
	note  string // a sentence on what else a user has to know

	// template is the format of an entry in a configuration that is not JSON. Its
	// operands are name, command and arguments.
	template string
}

const (
	tomlEntry = "[mcp_servers.%s]\ncommand = %s\nargs = %s\nrequired = true\n" // else a first turn may begin without the tools
	yamlEntry = "extensions:\n  %[1]s:\n    enabled: true\n    type: stdio\n    name: %[1]s\n    description: Videos through the Pixazo gateway\n" +
		"    cmd: %[2]s\n    args: %[3]s\n    timeout: 300\n"
)

// clients returns all clients, in the order of config.Clients, with the paths of their
// configurations on this system, which count only if the home directory is known.
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
	return []client{
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
}

// opencodeFile returns the path of opencode's configuration in dir, opencode.jsonc if that
// exists, else opencode.json.
func opencodeFile(dir string) string {
	file := filepath.Join(dir, "opencode.json")
	if _, err := os.Stat(file + "c"); err == nil {
		return file + "c"
	}
	return file
}

// packagedDesktop returns the folder, below local, from which the packaged Claude Desktop
// app reads its configuration; Windows redirects the folders of such apps. It returns
// fallback if there is no such app.
func packagedDesktop(local, fallback string) string {
	if apps, _ := fs.Glob(os.DirFS(local), "Packages/[Cc]laude_*"); len(apps) > 0 {
		return filepath.Join(local, apps[0], "LocalCache", "Roaming", "Claude")
	}
	return fallback
}

// absoluteOr returns dir if it is an absolute path, else fallback.
func absoluteOr(dir, fallback string) string {
	if filepath.IsAbs(dir) {
		return dir
	}
	return fallback
}

func (o Options) env(name string) string { return config.Variable(o.Env, o.GOOS, name) }

// find returns the client with this name, one of config.Clients.
func (o Options) find(name string) client { return o.clients()[slices.Index(config.Clients, name)] }

// target returns the client that the command is about, or an error if its configuration
// can't be written.
func (o Options) target() (client, error) {
	c := o.find(o.Settings.Setup.Client)
	if o.Settings.Home == "" {
		return c, errors.New("the home directory is not known, so neither is the place of the configuration; set HOME (USERPROFILE on Windows)")
	}
	// With sudo, root would own the files, and the user's clients could not read them.
	if o.env("SUDO_USER") != "" {
		if me, err := user.Current(); err == nil && me.HomeDir != o.Settings.Home {
			return c, fmt.Errorf("%s would get files that belong to %s; run this without sudo", o.Settings.Home, me.Username)
		}
	}
	return c, nil
}

// baseName returns the file name of a command, a path of any system, in lower case and
// without .exe.
func baseName(command string) string {
	return strings.TrimSuffix(strings.ToLower(command[strings.LastIndexAny(command, `/\`)+1:]), ".exe")
}

// ours reports whether an entry is this program's. An entry with a URL is if its name is
// pixazo. An entry with a command is if the command's file is this file or is called
// pixazo-mcp. If the entry has one of our names, its file may also have a name that
// begins with pixazo-mcp, as in pixazo-mcp-1.2, or the name to which this file was
// renamed.
func (o Options) ours(name string, e entry) bool {
	switch base := baseName(e.Command); {
	case e.URL != "":
		return name == liveName
	case base == "":
		return false
	case base == "pixazo-mcp", filepath.IsAbs(e.Command) && o.sameFile(e.Command, o.Executable):
		return true
	default:
		return (name == liveName || name == sandboxName) && (strings.HasPrefix(base, "pixazo-mcp") || base == baseName(o.Executable))
	}
}

// stat returns the FileInfo of the file that a command, an absolute path, starts. Windows
// may add .exe to the path.
func (o Options) stat(command string) (fs.FileInfo, error) {
	info, err := os.Stat(command)
	if err != nil && o.GOOS == "windows" {
		return os.Stat(command + ".exe")
	}
	return info, err
}

func (o Options) sameFile(a, b string) bool {
	first, err := o.stat(a)
	second, otherErr := o.stat(b)
	return err == nil && otherErr == nil && os.SameFile(first, second)
}

// asInvoked returns o with the path by which this program was called as Executable, if
// that leads to the same file. On Linux os.Executable has resolved links, but the link of
// a package manager is what stays valid after an update.
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
