// Package config turns the command line and the PIXAZO_* variables into one
// validated Settings value. This file holds the settings, Parse, and how the
// command line is taken apart.
//
// Rules that hold for every setting:
//   - --max-wait is also read from PIXAZO_MAX_WAIT, and so on. The flag wins.
//   - White space around a value is trimmed. An empty value counts as unset,
//     and so does one that starts with "${": MCP clients pass a placeholder on
//     as it stands when they have nothing to put in its place.
//   - The key is never a flag, since other users of a computer can read the
//     command lines of its processes.
//   - Nothing is read from the process but the working directory: arguments
//     and variables come in as values.
package config

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"pixazo-mcp/pixazo"
)

// Command is what the program is asked to do.
type Command string

const (
	Serve     Command = "serve"     // speak MCP over stdin and stdout; the default
	Demo      Command = "demo"      // make one video and show how it goes
	Doctor    Command = "doctor"    // say what is set up and what needs mending
	Install   Command = "install"   // add the server to a client's configuration
	Uninstall Command = "uninstall" // take it out again
)

// Clients are the names that Install and Uninstall know.
var Clients = []string{"claude-desktop", "claude-code", "cursor", "vscode", "windsurf", "zed", "codex", "gemini", "goose"}

// Settings is the outcome of Parse: every value is valid, every path absolute.
// It holds the key behind a function, so that no way of printing it shows the
// key; see Key.
type Settings struct {
	Command Command

	// Home is the folder that ~ stands for. It is empty when it is not known.
	Home string
	// APIKeyFile is where the key is looked for when PIXAZO_API_KEY is not
	// set. It is empty when none was named and there is no home directory.
	APIKeyFile string
	// GatewayURL is scheme, host and perhaps port, without a trailing slash.
	GatewayURL string
	// Sandbox asks for the emulator in the gateway's place. GatewayURL is then
	// not to be called.
	Sandbox bool
	// SandboxDuration is how long a video takes in the sandbox: above 0, at
	// most 1h.
	SandboxDuration time.Duration
	// StateDir is where the journal is kept; it need not exist. It is empty
	// when none was named and there is no home directory.
	StateDir string
	// MaxVideosPerHour is how many videos may be submitted within an hour: 0,
	// for any number, to 1,000,000.
	MaxVideosPerHour int
	// OutputDir is where videos are saved; it need not exist. It is empty when
	// none was named and there is no home directory: the working directory is
	// never a default, for clients start servers in "/".
	OutputDir string
	// MaxDownload is the size in bytes of the largest video that is saved: 1 to
	// 1 TiB.
	MaxDownload int64
	// FilesDirs are the folders from which local files may be attached; they
	// need not exist. None allows none.
	FilesDirs []string
	// FilesFromRoots adds the folders that the client offers as roots.
	FilesFromRoots bool
	// MaxWait bounds one wait_for_video call: 1s to 10m.
	MaxWait time.Duration
	// WebhookURL is an https URL in printable ASCII, at most 2,000 characters,
	// or empty.
	WebhookURL string
	// WebhookMode is "terminal" or "sync", whether or not there is a URL.
	WebhookMode string
	// MediaOrigins are further origins of videos, for the player; a host may
	// begin with "*.".
	MediaOrigins []string
	LogLevel     slog.Level
	// LogFile is empty when the log goes to stderr.
	LogFile string

	// Demo holds the flags of the demo command. They have no variables: that
	// it may spend credits is said each time.
	Demo struct {
		Prompt string // empty: the demo has one of its own
		Live   bool   // the gateway instead of the sandbox
	}

	// Setup holds what belongs to doctor, install and uninstall.
	Setup struct {
		Client string // one of Clients, for install and uninstall
		Print  bool   // show what would be written, and write nothing
		JSON   bool   // report as JSON
		// Invalid is set for doctor --json alone, which reports what Parse
		// refuses. The settings are then without their values.
		Invalid error
	}

	keyFileNamed bool
	keyVariable  func() string // PIXAZO_API_KEY; fmt prints unexported strings, of a function only the address
	raw          func(name string) (text, from string)
	serveArgs    []string
	entryArgs    []string
}

// ServeArgs returns the arguments that give a child the settings flags of this
// command line, beginning with "serve". The child reaches the same Settings
// when it has the same variables and working directory.
func (s Settings) ServeArgs() []string {
	return append([]string{string(Serve)}, s.serveArgs...)
}

// EntryArgs returns the settings flags of this command line for an entry in a
// client's configuration, which another working directory and other variables
// go with: paths are absolute. --sandbox is left out unless it is refused.
func (s Settings) EntryArgs() []string { return slices.Clone(s.entryArgs) }

// Value is a setting as it is shown to a user.
type Value struct {
	Name string // of the flag, without dashes
	Text string // fit to be shown: what is often secret in a URL is left out
	From string // "flag", "variable" or "default"
}

// Values returns all settings but the key, in the order of the help.
func (s Settings) Values() []Value {
	paths := map[string]string{
		"api-key-file": s.APIKeyFile, "state-dir": s.StateDir, "output-dir": s.OutputDir, "log-file": s.LogFile,
		filesDir: strings.Join(s.FilesDirs, string(filepath.ListSeparator)),
	}
	var values []Value
	for _, row := range settings {
		if row.group != common {
			continue
		}
		text, from := s.raw(row.name)
		if path, ok := paths[row.name]; ok {
			text = path
		}
		if row.placeholder == "URL" { // a path may have an @ or a ?
			text = maskURL(text)
		}
		values = append(values, Value{row.name, text, from})
	}
	return values
}

// ErrDone is returned by Parse when it printed what --help or --version asked
// for and nothing is left to do: the program ends with status 0.
var ErrDone = errors.New("help or version was printed")

// setting is a row of the table that flags, variables, errors and help are made
// of. The text is for users.
type setting struct {
	name        string
	group       group
	placeholder string // "" for a flag that may stand alone, which means true
	fallback    string // the default
	rule        string // which values are valid
	help        string
}

type group int

const (
	common    group = iota // has a variable too
	ofDemo                 // known behind "demo" alone
	ofDoctor               // behind "doctor"
	ofInstall              // behind "install" and "uninstall"
	printing               // asks for a text
)

// filesDir is the one flag that may be given more than once, with a variable
// that is a list.
const filesDir = "files-dir"

// settings is in the order of the help and of ServeArgs.
var settings = []setting{
	{"api-key-file", common, "FILE", "~/.pixazo/api-key", "a path; ~ is the home directory", "File with the gateway key on its only line, read when PIXAZO_API_KEY is not set."},
	{"gateway-url", common, "URL", pixazo.DefaultGatewayURL, "an https URL of just a host and perhaps a port (http only to this computer), such as " + pixazo.DefaultGatewayURL, "The gateway."},
	{"sandbox", common, "", "false", "true or false", "Use a built-in emulator instead of the gateway: no key, no cost, no real video."},
	{"sandbox-duration", common, "DURATION", "8s", "a duration above 0s and at most 1h, such as 8s", "How long a video takes in the sandbox."},
	{"state-dir", common, "DIR", "~/.local/state/pixazo-mcp", "a path; ~ is the home directory", "Folder of the record of submissions, shared by all servers that name it."},
	{"output-dir", common, "DIR", "~/Videos/Pixazo", "a path; ~ is the home directory", "Folder where videos are saved."},
	{"max-download", common, "SIZE", "2GB", "a size from 1B to 1TB, such as 500MB or 1.5GB (KB and KiB both mean 1024 bytes, and so on up)", "The largest video that download_video saves."},
	{filesDir, common, "DIR", "", "a path; ~ is the home directory. Repeat the flag for more folders; the variable takes them with " + string(filepath.ListSeparator) + " in between", "Folder from which local files may be attached to a video."},
	{"files-from-roots", common, "", "false", "true or false", "Let files be attached from the folders that the client offers as roots, too."},
	{"max-wait", common, "DURATION", "50s", "a duration between 1s and 10m, such as 50s", "The longest that one wait_for_video call waits. Keep it below the client's own limit."},
	{"max-videos-per-hour", common, "N", "20", "a whole number from 0 (no limit) to 1,000,000", "How many videos may be submitted within an hour, over all servers that share the state directory."},
	{"webhook-url", common, "URL", "", "an https URL of at most 2,000 characters, all of them ASCII", "Where the gateway reports on every video of this server."},
	{"webhook-mode", common, "MODE", "terminal", "terminal (one report, at the end) or sync (one at each step)", "When the gateway reports to the webhook."},
	{"media-origins", common, "LIST", "", "https origins (http only on this computer) separated by spaces or commas, such as https://cdn.example.com or https://*.example.com", "Further places from which the player may show videos."},
	{"log-level", common, "LEVEL", "info", "debug, info, warn or error", "How much is logged."},
	{"log-file", common, "FILE", "", "a path; ~ is the home directory", "File that the log is appended to, instead of stderr."},

	{"prompt", ofDemo, "TEXT", "", "a text", "What the video should show."},
	{"live", ofDemo, "", "", "true or false", "Use the real gateway, which spends credits, instead of the sandbox."},

	{"json", ofDoctor, "", "", "true or false", "Print one JSON object instead of lines."},

	{"print", ofInstall, "", "", "true or false", "Show what would be written, and write nothing."},

	{"help", printing, "", "", "true or false", "Print this text."},
	{"version", printing, "", "", "true or false", "Print the version."},
}

// commandInfo is a row of the table that the command line and its help are made
// of. The text is for users.
type commandInfo struct {
	name     Command
	usage    string // behind the name
	flags    group  // its own; common for none
	client   bool   // takes one of Clients
	help     string
	examples string
}

var commands = []commandInfo{
	{Serve, "", common, false, "Speak MCP over stdin and stdout. This is the default.", `
  pixazo-mcp --sandbox
  pixazo-mcp serve --output-dir ~/Videos --log-level debug
`},
	{Demo, "", ofDemo, false, "Make one video in the terminal, through the sandbox unless --live is given.", `
  pixazo-mcp demo
  pixazo-mcp demo --prompt "A 30-second tour of the water cycle"
  pixazo-mcp demo --live --output-dir .
`},
	{Doctor, "", ofDoctor, false, "Say what is set up and what needs mending: settings, key, gateway, folders, record, and the entries in the clients' configurations. It makes no folder and no record, and leaves those that are there as they are. The status is 1 when something needs mending.", `
  pixazo-mcp doctor
  pixazo-mcp doctor --sandbox
  pixazo-mcp doctor --json
`},
	{Install, "CLIENT", ofInstall, true, "Add this program to the configuration of a client: claude-desktop, claude-code, cursor or vscode. The rest of the file stays as it is, and a copy of it is kept beside it. For windsurf, zed, codex, gemini and goose, print what to put where. Settings flags go into the entry. With --sandbox the entry is pixazo-sandbox, which needs no key; else the key is asked for when there is none, and goes to the key file, never to the client's.", `
  pixazo-mcp install claude-desktop
  pixazo-mcp install claude-desktop --files-dir ~/Documents --output-dir ~/Out
  pixazo-mcp install cursor --sandbox
  pixazo-mcp install vscode --print
  pixazo-mcp install codex
`},
	{Uninstall, "CLIENT", ofInstall, true, "Take all entries of this program, and no others, out of the configuration of a client: pixazo, pixazo-sandbox, and what starts it under another name. With --sandbox, take out pixazo-sandbox alone. The key and the videos stay.", `
  pixazo-mcp uninstall claude-desktop
  pixazo-mcp uninstall cursor --sandbox
  pixazo-mcp uninstall cursor --print
`},
}

// info returns the row of a command's name, the zero row if there is none.
func info(name string) commandInfo {
	i := slices.IndexFunc(commands, func(c commandInfo) bool { return string(c.name) == name })
	if i < 0 {
		return commandInfo{}
	}
	return commands[i]
}

// find returns the setting of a flag's name, the zero setting if there is none.
func find(name string) setting {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
	if i < 0 {
		return setting{}
	}
	return settings[i]
}

// Parse reads args, which come without the program's name, and env, lines of
// KEY=VALUE as os.Environ gives them. For --help and --version it writes to
// stdout and returns ErrDone, as it does for the words help and version in a
// command's place; version is called for the latter alone. Other
// errors name each flag at fault with its
// variable, the rule and the value, on a line each; they never hold the key.
func Parse(args, env []string, version func() string, stdout io.Writer) (Settings, error) {
	p := parser{env: environment(env), flags: map[string][]string{}}
	if err := refuseKeyFlag(args); err != nil {
		return Settings{}, err
	}
	command, err := p.split(args)
	text := ""
	switch {
	case errors.Is(err, flag.ErrHelp):
		text = help(command)
	case err != nil:
		return Settings{}, err
	case p.boolean("version"):
		text = "pixazo-mcp " + version() + "\n"
	}
	if text != "" {
		if _, err := io.WriteString(stdout, text); err != nil {
			return Settings{}, err
		}
		return Settings{}, ErrDone
	}

	s := Settings{
		Command:          command,
		Home:             p.home(),
		APIKeyFile:       p.path("api-key-file"),
		GatewayURL:       p.gatewayURL("gateway-url"),
		Sandbox:          p.boolean("sandbox"),
		SandboxDuration:  p.duration("sandbox-duration", 1, time.Hour),
		StateDir:         p.path("state-dir"),
		OutputDir:        p.path("output-dir"),
		MaxDownload:      p.size("max-download", 1<<40),
		FilesDirs:        p.paths(filesDir),
		FilesFromRoots:   p.boolean("files-from-roots"),
		MaxWait:          p.duration("max-wait", time.Second, 10*time.Minute),
		MaxVideosPerHour: p.count("max-videos-per-hour", 1_000_000),
		WebhookURL:       p.webhookURL("webhook-url"),
		WebhookMode:      p.choice("webhook-mode", "terminal", "sync"),
		MediaOrigins:     p.origins("media-origins"),
		LogLevel:         p.level("log-level"),
		LogFile:          p.path("log-file"),
		keyVariable:      func() string { return p.env[keyVariable] },
	}
	for _, row := range settings {
		if row.group != common {
			continue
		}
		for _, v := range p.flags[row.name] {
			s.serveArgs = append(s.serveArgs, "--"+row.name+"="+v)
			if row.name == "sandbox" && s.Sandbox {
				continue
			}
			if row.placeholder == "DIR" || row.placeholder == "FILE" {
				v, _ = p.absolute(v) // p.path and p.paths told the error
			}
			s.entryArgs = append(s.entryArgs, "--"+row.name+"="+v)
		}
	}
	s.raw = func(name string) (text, from string) {
		text, given := p.value(name)
		switch {
		case !given:
			return text, "default"
		case len(p.flags[name]) > 0:
			return text, "flag"
		}
		return text, "variable"
	}
	s.Setup.Client, s.Setup.Print, s.Setup.JSON = p.client, p.boolean("print"), p.boolean("json")
	s.Demo.Prompt, _ = p.value("prompt")
	s.Demo.Live = p.boolean("live")
	_, s.keyFileNamed = p.value("api-key-file")
	if s.Demo.Live && s.Sandbox && p.flags["sandbox"] != nil {
		p.errs = append(p.errs, errors.New("--live and --sandbox: the demo uses the gateway, which spends credits, or the sandbox; got both"))
	}
	if len(p.errs) > 0 {
		err := errors.Join(p.errs...)
		if command != Doctor || !s.Setup.JSON {
			return Settings{}, err
		}
		refused := Settings{Command: Doctor}
		refused.Setup.JSON, refused.Setup.Invalid = true, err
		return refused, nil
	}
	return s, nil
}

// split takes args apart: flags go to p.flags as they were typed, and the
// command is returned. The last flag of a name counts, of filesDir all do; an
// unset flag leaves earlier ones alone. The error is flag.ErrHelp when help was
// asked for, of the command if there is one.
func (p *parser) split(args []string) (command Command, err error) {
	// Package flag has no kind for a flag that stands alone or has its value as
	// the next argument (clients that fill in placeholders give --sandbox
	// ${sandbox} as two), and takes the next flag for a forgotten value.
	args = slices.Clone(args)
	for i, arg := range args {
		if arg == "--" {
			break
		}
		s := find(strings.TrimLeft(arg, "-"))
		if s.name == "" || arg[0] != '-' {
			continue
		}
		next, came := "--", "the end of the command line"
		if i+1 < len(args) {
			next = args[i+1]
			came = p.quote(next)
		}
		_, isWord := booleans[strings.ToLower(clean(next))]
		if s.placeholder == "" && !isWord {
			args[i] += "=true"
		} else if s.placeholder != "" && next != "-" && strings.HasPrefix(next, "-") {
			return "", fmt.Errorf("%s: needs a value, %s; got %s", label(s.name), s.rule, came)
		}
	}

	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	known := []string{"-h", "--help"} // to package flag
	define := func(g group) {
		for _, s := range settings {
			if s.group == g && s.name != "help" {
				known = append(known, "--"+s.name)
				set.Func(s.name, "", func(v string) error {
					if v = clean(v); v != "" && s.name == filesDir {
						p.flags[s.name] = append(p.flags[s.name], v)
					} else if v != "" {
						p.flags[s.name] = []string{v}
					}
					return nil
				})
			}
		}
	}
	define(common)
	define(printing)
	var names []string
	for _, c := range commands {
		names = append(names, string(c.name))
	}
	for {
		if err := set.Parse(args); errors.Is(err, flag.ErrHelp) {
			return command, err
		} else if err != nil { // such as "flag provided but not defined: -name"
			_, name, _ := strings.Cut(err.Error(), ": -")
			if len(name) > 1 && name[0] != '-' {
				name = "-" + name
			}
			return "", p.unknown("unknown flag", "-"+name, known)
		}
		args = set.Args()
		current := info(string(command))
		switch {
		case len(args) == 0 && current.client && p.client == "" && !p.boolean("version"):
			return "", fmt.Errorf("%s: name a client: %s", command, strings.Join(Clients, ", "))
		case len(args) == 0:
			return cmp.Or(command, Serve), nil
		case current.client && p.client == "":
			if !slices.Contains(Clients, args[0]) {
				return "", fmt.Errorf("%w; the clients are %s", p.unknown("unknown client", args[0], Clients), strings.Join(Clients, ", "))
			}
			p.client, args = args[0], args[1:]
			continue
		case command != "":
			return "", p.unknown("unexpected argument", args[0], nil)
		case args[0] == "help": // of the command behind it, if there is one
			if len(args) > 1 {
				command = info(args[1]).name
			}
			return command, flag.ErrHelp
		case args[0] == "version":
			p.flags["version"] = []string{"true"}
			return Serve, nil
		case !slices.Contains(names, args[0]):
			return "", p.unknown("unexpected argument", args[0], names)
		}
		command, args = Command(args[0]), args[1:]
		if own := info(string(command)).flags; own != common {
			define(own)
		}
	}
}

// refuseKeyFlag says where the key belongs, before --api-key is taken for a
// misspelt --api-key-file. Its error leaves the value out.
func refuseKeyFlag(args []string) error {
	for _, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		if !strings.HasPrefix(name, "-") {
			continue
		}
		switch strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(name, "-", ""), "_", "")) {
		case "apikey", "pixazoapikey", "key":
			return fmt.Errorf("%s: the key is never a flag, since other users of the computer could read it there; set the variable %s, or write the key to the file that %s names",
				name, keyVariable, label("api-key-file"))
		}
	}
	return nil
}

// environment makes a map of KEY=VALUE lines. The last line of a name wins, as
// in os/exec. Windows does not tell upper from lower case in names.
func environment(lines []string) map[string]string {
	env := make(map[string]string, len(lines))
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		if runtime.GOOS == "windows" {
			name = strings.ToUpper(name)
		}
		if name == variable(filesDir) {
			env[name] = value // its elements are cleaned one by one
		} else if strings.HasPrefix(name, "PIXAZO_") || name == homeVariable(runtime.GOOS) || name == stateHome {
			env[name] = clean(value)
		}
	}
	return env
}

// clean trims a value and makes "" of a placeholder that nobody filled in.
func clean(value string) string {
	value = strings.TrimSpace(value)
	if strings.HasPrefix(value, "${") {
		return ""
	}
	return value
}

// variable names the variable of a flag, "" for a flag that has none.
func variable(name string) string {
	if find(name).group != common {
		return ""
	}
	return "PIXAZO_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// label names a flag with its variable, for errors.
func label(flag string) string {
	if v := variable(flag); v != "" {
		return "--" + flag + " (" + v + ")"
	}
	return "--" + flag
}
