// Package config turns the command line and the PIXAZO_* variables into one
// validated Settings value. This file holds the settings, the grammar of the
// command line, and Parse.
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
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// Command is what the program is asked to do.
type Command string

const (
	Serve Command = "serve" // speak MCP over stdin and stdout; the default
	Demo  Command = "demo"  // make one video and show how it goes
)

// Settings is the outcome of Parse: every value is valid, every path absolute.
// It holds the key behind a function, so that no way of printing it shows the
// key; see Key.
type Settings struct {
	Command Command

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
	// MaxWait bounds one wait_for_video call: 1s to 10m.
	MaxWait time.Duration
	// WebhookURL is an https URL in printable ASCII, at most 2,000 characters,
	// or empty.
	WebhookURL string
	// WebhookMode is "terminal" or "sync", whether or not there is a URL.
	WebhookMode string
	LogLevel    slog.Level
	// LogFile is empty when the log goes to stderr.
	LogFile string

	// Demo holds the flags of the demo command. They have no variables: that
	// it may spend credits is said each time.
	Demo struct {
		Prompt string // empty: the demo has one of its own
		Live   bool   // the gateway instead of the sandbox
	}

	keyFileNamed bool
	keyVariable  func() string // PIXAZO_API_KEY; fmt prints unexported strings, of a function only the address
	serveArgs    []string
}

// ServeArgs returns the arguments that give a child the settings flags of this
// command line, beginning with "serve". The child reaches the same Settings
// when it has the same variables and working directory.
func (s Settings) ServeArgs() []string {
	return append([]string{string(Serve)}, s.serveArgs...)
}

// ErrDone is returned by Parse when it printed what --help or --version asked
// for and nothing is left to do: the program ends with status 0.
var ErrDone = errors.New("help or version was printed")

// grammar is the command line for kong. It takes every value as text, since an
// unset flag ("" or "${…}") must give way to its variable, which kong cannot
// express. Beside kong's own tags, rule says which values are valid and
// fallback gives the default, in the words of a user; the errors and the help
// are made of them.
type grammar struct {
	APIKeyFile       text   `placeholder:"FILE" fallback:"~/.pixazo/api-key" rule:"a path; ~ is the home directory" help:"File with the gateway key on its only line, read when PIXAZO_API_KEY is not set."`
	GatewayURL       text   `placeholder:"URL" fallback:"https://gateway.pixazo.ai" rule:"an https URL of just a host and perhaps a port (http only to this computer), such as https://gateway.pixazo.ai" help:"The gateway."`
	Sandbox          toggle `fallback:"false" rule:"true or false" help:"Use a built-in emulator instead of the gateway: no key, no cost, no real video."`
	SandboxDuration  text   `placeholder:"DURATION" fallback:"8s" rule:"a duration above 0s and at most 1h, such as 8s" help:"How long a video takes in the sandbox."`
	StateDir         text   `placeholder:"DIR" fallback:"~/.local/state/pixazo-mcp" rule:"a path; ~ is the home directory" help:"Folder of the record of submissions, shared by all servers that name it."`
	OutputDir        text   `placeholder:"DIR" fallback:"~/Videos/Pixazo" rule:"a path; ~ is the home directory" help:"Folder where videos are saved."`
	MaxWait          text   `placeholder:"DURATION" fallback:"50s" rule:"a duration between 1s and 10m, such as 50s" help:"The longest that one wait_for_video call waits. Keep it below the client's own limit."`
	MaxVideosPerHour text   `placeholder:"N" fallback:"20" rule:"a whole number from 0 (no limit) to 1,000,000" help:"How many videos may be submitted within an hour, over all servers that share the state directory."`
	WebhookURL       text   `placeholder:"URL" rule:"an https URL of at most 2,000 characters, all of them ASCII" help:"Where the gateway reports on every video of this server."`
	WebhookMode      text   `placeholder:"MODE" fallback:"terminal" rule:"terminal (one report, at the end) or sync (one at each step)" help:"When the gateway reports to the webhook."`
	LogLevel         text   `placeholder:"LEVEL" fallback:"info" rule:"debug, info, warn or error" help:"How much is logged."`
	LogFile          text   `placeholder:"FILE" rule:"a path; ~ is the home directory" help:"File that the log is appended to, instead of stderr."`

	Help    bool `short:"h" help:"Print this text."`
	Version bool `help:"Print the version."`

	Serve struct{} `cmd:"" default:"1" help:"Speak MCP over stdin and stdout. This is the default."`
	Demo  struct {
		Prompt text   `placeholder:"TEXT" rule:"a text" help:"What the video should show."`
		Live   toggle `rule:"true or false" help:"Use the real gateway, which spends credits, instead of the sandbox."`
	} `cmd:"" help:"Make one video in the terminal, through the sandbox unless --live is given."`
}

// Parse reads args, which come without the program's name, and env, lines of
// KEY=VALUE as os.Environ gives them. For --help and --version it writes to
// stdout and returns ErrDone. Other errors name each flag at fault with its
// variable, the rule and the value, on a line each; they never hold the key.
func Parse(args, env []string, version string, stdout io.Writer) (Settings, error) {
	p := parser{env: environment(env)}
	if err := refuseKeyFlag(args); err != nil {
		return Settings{}, err
	}

	// kong's own help flag would call its Exit and read COLUMNS from the
	// process. Without it, kong neither exits nor prints.
	var g grammar
	k, err := kong.New(&g, kong.NoDefaultHelp())
	if err != nil {
		return Settings{}, fmt.Errorf("build command line: %w", err)
	}
	p.index(k.Model)
	chosen, err := k.Parse(args)
	if err != nil {
		return Settings{}, p.commandLineError(err)
	}
	if g.Help || g.Version {
		out := "pixazo-mcp " + version + "\n"
		if g.Help {
			out = p.help(k.Model)
		}
		if _, err := io.WriteString(stdout, out); err != nil {
			return Settings{}, err
		}
		return Settings{}, ErrDone
	}

	s := Settings{
		Command:          Command(chosen.Command()),
		APIKeyFile:       p.path("api-key-file"),
		GatewayURL:       p.gatewayURL("gateway-url"),
		Sandbox:          p.boolean("sandbox"),
		SandboxDuration:  p.duration("sandbox-duration", 1, time.Hour),
		StateDir:         p.path("state-dir"),
		OutputDir:        p.path("output-dir"),
		MaxWait:          p.duration("max-wait", time.Second, 10*time.Minute),
		MaxVideosPerHour: p.count("max-videos-per-hour", 1_000_000),
		WebhookURL:       p.webhookURL("webhook-url"),
		WebhookMode:      p.choice("webhook-mode", "terminal", "sync"),
		LogLevel:         p.level("log-level"),
		LogFile:          p.path("log-file"),
		keyVariable:      func() string { return p.env[keyVariable] },
		serveArgs:        p.given(k.Model),
	}
	s.Demo.Prompt, _ = p.value("prompt")
	s.Demo.Live = p.boolean("live")
	_, s.keyFileNamed = p.value("api-key-file")
	if s.Demo.Live && p.flagGiven("sandbox") && s.Sandbox {
		p.errs = append(p.errs, errors.New("--live and --sandbox: the demo uses the gateway, which spends credits, or the sandbox; got both"))
	}
	if len(p.errs) > 0 {
		return Settings{}, errors.Join(p.errs...)
	}
	return s, nil
}

// refuseKeyFlag says where the key belongs, before kong takes --api-key for a
// misspelt --api-key-file. Its error leaves the value out.
func refuseKeyFlag(args []string) error {
	for _, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		if !strings.HasPrefix(name, "--") {
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
		if strings.HasPrefix(name, "PIXAZO_") || name == homeVariable(runtime.GOOS) || name == stateHome {
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
func variable(flag string) string {
	switch flag {
	case "help", "version", "prompt", "live":
		return ""
	}
	return "PIXAZO_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// label names a flag with its variable, for errors.
func label(flag string) string {
	if v := variable(flag); v != "" {
		return "--" + flag + " (" + v + ")"
	}
	return "--" + flag
}

// text is the value of a flag as it was typed, "" if it was not given.
type text string

// usageError passes through kong, which wraps what Decode returns.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

// Decode takes the flag's value from the command line. A flag given twice has
// its last value; an unset one leaves it alone.
func (t *text) Decode(ctx *kong.DecodeContext) error {
	token := ctx.Scan.Pop()
	if !token.IsValue() {
		name := ctx.Value.Name
		came := "the end of the command line"
		if !token.IsEOL() {
			came = quote(token.String())
		}
		return &usageError{fmt.Sprintf("%s: needs a value, %s; got %s", label(name), ctx.Value.Tag.Get("rule"), came)}
	}
	if v := clean(token.String()); v != "" {
		*t = text(v)
	}
	return nil
}

// toggle is a flag that may stand alone, which means true, or have a boolean
// word as its value, behind "=" or as the next argument: clients that fill in
// placeholders give --sandbox ${sandbox} as two arguments.
type toggle string

// IsBool tells kong that the value may be left out.
func (*toggle) IsBool() bool { return true }

// Decode is as text's.
func (t *toggle) Decode(ctx *kong.DecodeContext) error {
	token := ctx.Scan.Peek()
	v := clean(token.String())
	_, isWord := booleans[strings.ToLower(v)]
	switch {
	case token.Type == kong.FlagValueToken, token.Type == kong.UntypedToken && (isWord || v == ""):
		ctx.Scan.Pop()
	default:
		v = "true"
	}
	if v != "" {
		*t = toggle(v)
	}
	return nil
}

// given renders the settings flags of the command line in the form --name=value.
func (p *parser) given(app *kong.Application) []string {
	var args []string
	for _, flag := range app.Flags {
		if v := typed(flag); v != "" {
			args = append(args, "--"+flag.Name+"="+v)
		}
	}
	return slices.Clip(args)
}

// typed returns what a flag was given on the command line, "" for nothing and
// for --help and --version.
func typed(flag *kong.Flag) string {
	switch v := flag.Target.Interface().(type) {
	case text:
		return string(v)
	case toggle:
		return string(v)
	}
	return ""
}
