// Package config turns the command line and the PIXAZO_* variables into one
// validated Settings value. This file holds the settings and Parse.
//
// Rules for every setting:
//   - The variable of --max-wait is PIXAZO_MAX_WAIT, and so on. Flags override variables.
//   - White space around a value is trimmed. An empty value counts as unset, and so does
//     one that starts with "${": MCP clients pass on placeholders that they have no value
//     for.
//   - The key is never a flag, since other users of the computer can read command lines.
//   - Of the process only the working directory is read. Arguments and variables are
//     passed in.
package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"pixazo-mcp/pixazo"
)

// The commands; Serve is the default.
const (
	Serve     = "serve"
	Keep      = "keep"
	Wait      = "wait"
	List      = "list"
	Demo      = "demo"
	Doctor    = "doctor"
	Install   = "install"
	Uninstall = "uninstall"
	HTTP      = "http"
	Token     = "token"
)

var commands = []string{"serve", "http", "token", "keep", "wait", "list", "demo", "doctor", "install", "uninstall"}

// Clients are the names of the clients that Install and Uninstall support.
var Clients = []string{"claude-desktop", "claude-code", "cursor", "vscode", "gemini", "qwen", "opencode", "windsurf", "zed", "codex", "goose"}

// Settings is the result of Parse. All values are valid, all paths absolute. The key is
// behind a function, so that printing Settings does not show it; see Key.
type Settings struct {
	Command string // "" when the command line begins with a word that is no command

	Home             string        // what ~ stands for; "" when it is not known
	APIKeyFile       string        // "" when none was named and Home is not known
	GatewayURL       string        // the origin; not to be called when Sandbox is set
	Sandbox          bool          // use the emulator in the gateway's place
	SandboxDuration  time.Duration // of a video in the sandbox: 1ms to 1h
	StateDir         string        // of the journal; "" when none was named and Home is not known
	MaxVideosPerHour int           // 0, for any number, to 1,000,000
	MaxVideosPerDay  int           // likewise
	KeepDays         int           // how long ended jobs stay in the journal; 0: for ever
	AutoSave         bool          // save finished videos below OutputDir without being asked
	Keeper           bool          // submit and watch in processes of their own
	Notify           string        // give desktop notices: "true", "false", or "auto" for where they can be shown
	FilesAsObjects   bool          // send attachments as objects, and not as strings
	OutputDir        string        // of saved videos; "" when none was named and Home is not known
	MaxDownload      int64         // bytes of the largest video that is saved: 1 to 1 TiB, or math.MaxInt64 for any
	FilesDirs        []string      // from which local files may be attached
	FilesFromRoots   bool          // attach from the folders that the client offers as roots, too
	MaxWait          time.Duration // of one wait_for_video call: 1s to 10m
	WebhookURL       string        // "" for none
	WebhookMode      string        // "terminal" or "sync", whether or not there is a URL
	MediaOrigins     []string      // further origins of videos, for the player; a host may begin with "*."
	ReadOnly         bool          // offer no tool that spends or writes
	ConfirmSpend     bool          // ask the user before each video
	LogLevel         slog.Level
	LogFile          string // "" when the log goes to stderr

	HTTP  HTTPSettings
	Token string // the name of token, as it was typed

	// Demo holds the flags of the demo command.
	Demo struct {
		Prompt string // "": the demo has one of its own
		Live   bool   // the gateway instead of the sandbox
	}

	// Setup holds what belongs to doctor, install and uninstall.
	Setup struct {
		Client string // one of Clients, for install and uninstall
		Print  bool   // show what would be written, and write nothing
		Allow  bool   // the client is to use the tools without asking
		URL    string // of a team server, to install that instead of this program
	}

	JSON bool // report as JSON: doctor, wait and list

	// Stop is the flag of keep: end the keepers that run.
	Stop bool

	// Shell holds what belongs to wait and list.
	Shell struct {
		RequestIDs []string      // to wait for; none means all that are pending
		Save       bool          // save the videos as they are done
		Timeout    time.Duration // of the wait; 0 means none
		All        bool          // list what the whole team made
	}

	// Problems are the settings with an invalid value. They have their default, but
	// paths are empty.
	Problems []Problem

	// Unset are the flags and variables, such as --max-wait or PIXAZO_MAX_WAIT, that
	// count as unset since their value starts with "${".
	Unset []string

	// Values are all settings but the key, in the order of the help.
	Values []Value

	// EntryArgs are the flags of this command line that are settings, for an entry in a
	// client's configuration. Paths in it are absolute. --sandbox is left out, but not
	// --sandbox=false.
	EntryArgs []string

	keyVariable func() (name, text string) // returns the variable with the key, and the key; a function, since fmt would print strings here
	withoutKey  error                      // of WithoutKey; nil if there may be a key
	allArgs     []string                   // of Handover
}

// Problem is a setting with an invalid value.
type Problem struct {
	Name string // of the flag, without dashes; "" for the command line as a whole
	Err  error  // names flag, variable, rule and value; never contains the key
}

// Problem returns the error of the first problem with one of the settings names, nil if
// there is none.
func (s Settings) Problem(names ...string) error {
	for _, p := range s.Problems {
		if slices.Contains(names, p.Name) {
			return p.Err
		}
	}
	return nil
}

// Invalid joins the errors of Problems.
func (s Settings) Invalid() error {
	var errs []error
	for _, p := range s.Problems {
		errs = append(errs, p.Err)
	}
	return errors.Join(errs...)
}

// WithoutKey returns the settings without a key. The error of their Key says why.
func (s Settings) WithoutKey(why error) Settings {
	s.keyVariable, s.APIKeyFile, s.withoutKey = nil, "", why
	return s
}

// Handover returns arguments and an environment with which Parse returns the same
// settings in another process, whatever its working directory and environment are. env
// contains the home directory, if it is known, and the key, if a variable gives it.
func (s Settings) Handover() (args, env []string) {
	if s.Home != "" {
		env = append(env, homeVariable(runtime.GOOS)+"="+s.Home)
	}
	if s.keyVariable != nil {
		if name, text := s.keyVariable(); text != "" {
			env = append(env, name+"="+text)
		}
	}
	return slices.Clone(s.allArgs), env
}

// Value is a setting in the form in which it is shown to a user.
type Value struct {
	Name string // of the flag, without dashes
	Text string // without the parts of a URL that are often secret
	From string // "flag", "variable" or "default"
}

// given reports whether a flag or a variable sets the setting of this name.
func (s Settings) given(name string) bool {
	return slices.ContainsFunc(s.Values, func(v Value) bool { return v.Name == name && v.From != "default" })
}

// ErrDone is returned by Parse when it has printed the help or the version, and the
// program should end with status 0.
var ErrDone = errors.New("help or version was printed")

// setting is a row of the table of flags and variables.
type setting struct {
	name     string                   // of the flag, without dashes
	kind     string                   // of its value, as in the help; "" for a boolean, whose flag may have no value
	fallback string                   // the default
	set      func(value string) error // stores a value in the Settings; its error is the rule that the value breaks
	commands []string                 // the commands that have this flag; nil for a setting, which all have and which has a variable
	team     bool                     // a setting of the team server, which has a variable, too

	variable string   // "" if there is none
	label    string   // flag and variable, for errors
	typed    []string // values of the flag: the last one or, for filesDir, all
}

// filesDir is the only setting that is a list. Its flag may be repeated.
const filesDir = "files-dir"

// table returns the rows of all flags, in the order of the help. They store values in s.
func (p *parser) table(s *Settings) []setting {
	text := func(v string) (string, error) { return v, nil }
	parseBoolean := oneOf(booleans, "must be true or false")
	return append([]setting{
		{name: "api-key-file", kind: "FILE", fallback: "~/.pixazo/api-key", set: into(&s.APIKeyFile, p.keyFile)},
		{name: "gateway-url", kind: "URL", fallback: pixazo.DefaultGatewayURL, set: into(&s.GatewayURL, pixazo.ParseGatewayURL)},
		{name: "sandbox", fallback: "false", set: into(&s.Sandbox, parseBoolean)},
		{name: "sandbox-duration", kind: "DURATION", fallback: "8s", set: into(&s.SandboxDuration, durations(time.Millisecond, time.Hour, "must be a duration between 1ms and 1h, such as 8s"))},
		{name: "state-dir", kind: "DIR", fallback: p.stateDir(), set: into(&s.StateDir, p.absolute)},
		{name: "output-dir", kind: "DIR", fallback: outputDir(p.goos), set: into(&s.OutputDir, p.absolute)},
		{name: "auto-save", fallback: "true", set: into(&s.AutoSave, parseBoolean)},
		{name: "keeper", fallback: "true", set: into(&s.Keeper, parseBoolean)},
		{name: "notify", kind: "WHEN", fallback: "auto", set: into(&s.Notify, oneOf(notices, "must be true, false or auto"))},
		{name: "max-download", kind: "SIZE", fallback: "2GB", set: into(&s.MaxDownload, sizes(1, 1<<40, math.MaxInt64, "must be a size from 1B to 1TB, such as 500MB or 1.5GB (KB and KiB both mean 1024 bytes, and so on up)"))},
		{name: filesDir, kind: "DIR", set: p.addFilesDir},
		{name: "files-from-roots", fallback: "false", set: into(&s.FilesFromRoots, parseBoolean)},
		{name: "max-wait", kind: "DURATION", fallback: "50s", set: into(&s.MaxWait, durations(time.Second, 10*time.Minute, "must be a duration between 1s and 10m, such as 50s"))},
		{name: "max-videos-per-hour", kind: "N", fallback: "20", set: into(&s.MaxVideosPerHour, parseLimit)},
		{name: "max-videos-per-day", kind: "N", fallback: "50", set: into(&s.MaxVideosPerDay, parseLimit)},
		{name: "keep-days", kind: "N", fallback: "0", set: into(&s.KeepDays, parseLimit)},
		{name: "files-format", kind: "FORMAT", fallback: "strings", set: into(&s.FilesAsObjects, oneOf(objects, "must be one of strings, objects"))},
		{name: "webhook-url", kind: "URL", set: into(&s.WebhookURL, parseWebhook)},
		{name: "webhook-mode", kind: "MODE", fallback: "terminal", set: into(&s.WebhookMode, oneOf(modes, "must be terminal (one report, at the end) or sync (one at each step)"))},
		{name: "read-only", fallback: "false", set: into(&s.ReadOnly, parseBoolean)},
		{name: "confirm-spend", fallback: "false", set: into(&s.ConfirmSpend, parseBoolean)},
		{name: "media-origins", kind: "URLS", set: into(&s.MediaOrigins, parseOrigins)},
		{name: "log-level", kind: "LEVEL", fallback: "info", set: into(&s.LogLevel, oneOf(levels, "must be debug, info, warn or error"))},
		{name: "log-file", kind: "FILE", set: into(&s.LogFile, p.absolute)},

		{name: "prompt", kind: "TEXT", commands: []string{Demo}, set: into(&s.Demo.Prompt, text)},
		{name: "live", commands: []string{Demo}, set: into(&s.Demo.Live, parseBoolean)},
		{name: "probe", commands: []string{HTTP}, set: into(&s.HTTP.Probe, parseBoolean)},
		{name: "stop", commands: []string{Keep}, set: into(&s.Stop, parseBoolean)},
		{name: "save", commands: []string{Wait}, set: into(&s.Shell.Save, parseBoolean)},
		{name: "timeout", commands: []string{Wait}, kind: "DURATION", set: into(&s.Shell.Timeout, durations(time.Second, 1000*time.Hour, "must be a duration of at least 1s, such as 45m"))},
		{name: "all", commands: []string{List}, set: into(&s.Shell.All, parseBoolean)},
		{name: "json", commands: []string{Doctor, Wait, List}, set: into(&s.JSON, parseBoolean)},
		{name: "url", kind: "URL", commands: []string{Install}, set: into(&s.Setup.URL, parsePublicURL)},
		{name: "allow", commands: []string{Install}, set: into(&s.Setup.Allow, parseBoolean)},
		{name: "print", commands: []string{Install, Uninstall}, set: into(&s.Setup.Print, parseBoolean)},
	}, p.httpTable(&s.HTTP)...)
}

// Parse reads args, without the program's name, and env, lines of KEY=VALUE as os.Environ
// returns them. For --help and --version, and the commands help and version, it writes to
// stdout and returns ErrDone, or why that could not be written. It calls version only to
// print the version.
//
// Any other error is that of Settings.Invalid. The Settings are usable all the same, so
// that a server which a client started can report the problems in its log and answers.
func Parse(args, env []string, version func() string, stdout io.Writer) (Settings, error) {
	var s Settings
	p := newParser(env, &s)
	words := p.commandLine(args)
	text := ""
	switch {
	case p.help:
		text = help
		if slices.Contains(words, HTTP) {
			text = helpHTTP
		}
	case p.version:
		text = "pixazo-mcp " + version() + "\n"
	}
	if text != "" {
		if _, err := io.WriteString(stdout, text); err != nil {
			return Settings{}, err
		}
		return Settings{}, ErrDone
	}
	p.command(words, len(args) > 0 && commandForm().MatchString(args[0]))
	p.load()
	if s.Command == HTTP || s.Shell.All {
		p.team()
	}
	for _, name := range keyVariables {
		if isPlaceholder(p.variable(name)) {
			s.Unset = append(s.Unset, name)
		}
	}
	s.Home, s.keyVariable = p.home, p.key
	if s.Demo.Live && s.Sandbox && p.find("sandbox").typed != nil {
		p.fail("", errors.New("--live and --sandbox: the demo uses the gateway, which spends credits, or the sandbox; got both"))
	}
	return s, s.Invalid()
}

// load sets each setting to the value of its flag, else of its variable, else to the
// default.
func (p *parser) load() {
	for i := range p.rows {
		row := &p.rows[i]
		if row.commands != nil && !slices.Contains(row.commands, p.s.Command) {
			continue
		}
		if row.name == "output-dir" && p.s.Command == HTTP {
			row.fallback = ""
		}
		values, from := row.typed, "flag"
		if values == nil {
			values, from = p.fromVariable(row), "variable"
		}
		if values == nil {
			from = "default"
			if row.fallback != "" {
				values = []string{row.fallback}
			}
		}
		var shown []string
		for _, v := range values {
			err := row.set(v)
			switch {
			case err != nil && from == "default": // without a home directory a default path is invalid, which is no problem
				continue
			case err != nil:
				p.fail(row.name, fmt.Errorf("%s: %w; got %s", row.label, err, p.quote(row.show(v))))
				if !row.isPath() { // which stays empty, and does not become the default
					_ = row.set(row.fallback)
				}
			case row.isPath():
				v, _ = p.absolute(v)
			}
			arg := "--" + row.name + "=" + v
			// A keeper has a log of its own, and a missing key file is an error only if it is named.
			if row.commands == nil && row.name != "log-file" && (row.name != "api-key-file" || from != "default") {
				p.s.allArgs = append(p.s.allArgs, arg)
			}
			if row.commands == nil && from == "flag" && (row.name != "sandbox" || !p.s.Sandbox) {
				p.s.EntryArgs = append(p.s.EntryArgs, arg)
			}
			shown = append(shown, row.show(v))
		}
		if row.commands == nil {
			p.s.Values = append(p.s.Values, Value{row.name, strings.Join(shown, string(filepath.ListSeparator)), from})
		}
	}
}
