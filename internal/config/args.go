// This file parses the command line and the environment.

package config

import (
	_ "embed"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

// help is the text of --help.
//
//go:embed help.txt
var help string

// parser reads settings into s. Its methods add mistakes to s.Problems and go on, so that
// a user sees all of them at once.
type parser struct {
	s    *Settings
	goos string
	env  []string
	home string // "" when the environment has none
	rows []setting

	help, version bool // --help or --version was given
}

func newParser(env []string, s *Settings) *parser {
	p := &parser{s: s, goos: runtime.GOOS, env: env}
	if home := clean(p.variable(homeVariable(p.goos))); filepath.IsAbs(home) {
		p.home = filepath.Clean(home)
	}
	p.rows = p.table(s)
	for i := range p.rows {
		row := &p.rows[i]
		row.label = "--" + row.name
		if row.commands == nil || row.team {
			row.variable = "PIXAZO_" + strings.ToUpper(strings.ReplaceAll(row.name, "-", "_"))
			row.label += " (" + row.variable + ")"
		}
	}
	return p
}

// Variable returns the value of a variable in env, lines of KEY=VALUE. Of several lines
// with the same name the last counts, as for os/exec. Names on Windows are not
// case-sensitive.
func Variable(env []string, goos, name string) (value string) {
	for _, line := range env {
		key, v, _ := strings.Cut(line, "=")
		if key == name || goos == "windows" && strings.EqualFold(key, name) {
			value = v
		}
	}
	return value
}

func (p *parser) variable(name string) string { return Variable(p.env, p.goos, name) }

// fromVariable returns the values of a row's variable: several if it is a list, nil if it
// is not set.
func (p *parser) fromVariable(row *setting) (values []string) {
	list := []string{p.variable(row.variable)}
	if row.name == filesDir && !isPlaceholder(list[0]) {
		list = filepath.SplitList(list[0])
	}
	for _, v := range list {
		if isPlaceholder(v) {
			p.s.Unset = append(p.s.Unset, row.variable)
		} else if v = clean(v); v != "" {
			values = append(values, v)
		}
	}
	return values
}

// clean returns value trimmed, "" for a placeholder.
func clean(value string) string {
	if isPlaceholder(value) {
		return ""
	}
	return strings.TrimSpace(value)
}

// isPlaceholder reports whether value is a placeholder like ${KEY} that a client has not
// filled in.
func isPlaceholder(value string) bool { return strings.HasPrefix(strings.TrimSpace(value), "${") }

// keyFlags are flags that people try for the key. Without this list --api-key would be
// reported as a misspelt --api-key-file.
var keyFlags = []string{"api-key", "api_key", "apikey", "API_KEY", "key", "pixazo-api-key", "subscription-key"}

var errKeyFlag = errors.New("the key is never a flag, since other users of the computer could read it there; set the variable " + KeyVariable +
	", or write the key to the file that --api-key-file (PIXAZO_API_KEY_FILE) names")

// commandLine puts the values of the flags into their rows, and returns the words that
// are no flags. A flag whose value counts as unset does not replace an earlier value.
func (p *parser) commandLine(args []string) (words []string) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		flag, value, inOne := strings.Cut(arg, "=")
		name := strings.TrimPrefix(strings.TrimPrefix(flag, "-"), "-")
		row := p.find(name)
		switch {
		case arg == "--": // some launchers pass on the mark behind which flags are not theirs
		case len(arg) < 2 || arg[0] != '-':
			words = append(words, arg)
		case name == "h" || name == "help":
			p.help = true
		case name == "version":
			p.version = true
		case slices.Contains(keyFlags, name):
			p.fail("", errKeyFlag)
			if !inOne {
				i++ // the key
			}
		case row == nil:
			p.unknown("unknown flag", flag)
		case inOne:
			p.take(row, value)
		case row.kind == "":
			p.take(row, "true")
		case i+1 == len(args):
			p.fail("", fmt.Errorf("%s: needs a value; got the end of the command line", row.label))
		default:
			i++
			p.take(row, args[i])
		}
	}
	if len(words) > 0 {
		p.help, p.version = p.help || words[0] == "help", p.version || words[0] == "version"
	}
	return words
}

// take records the value of a flag. If the value contains the next flag, the flag's own
// value was forgotten or, on Windows, ended in \ before a quotation mark. That is a
// problem of the command line as a whole, since the next flag may have been --sandbox.
func (p *parser) take(row *setting, v string) {
	name, _, _ := strings.Cut(strings.TrimLeft(v, "-"), "=")
	switch {
	case strings.HasPrefix(v, "-") && p.find(name) != nil:
		p.fail("", fmt.Errorf("%s: needs a value; got %s, which is a flag", row.label, p.quote(v)))
	case row.isPath() && strings.Contains(v, `" -`):
		p.fail("", fmt.Errorf(`%s: must be one path; got %s, which holds the next flag: on Windows, leave out a \ before a closing quotation mark`, row.label, p.quote(v)))
	case row.name == "prompt" && clean(v) == "": // else --live would pay for a video of something else
		p.fail("", fmt.Errorf("--prompt: must say what the video shows, and not begin with ${; got %s", p.quote(v)))
	case row.name == "prompt" && !utf8.ValidString(v): // JSON would put U+FFFD in place of letters
		p.fail("", fmt.Errorf("--prompt: must be UTF-8; got %s", p.quote(v)))
	case isPlaceholder(v):
		p.s.Unset = append(p.s.Unset, "--"+row.name)
	case clean(v) == "":
	case row.name == filesDir:
		row.typed = append(row.typed, clean(v))
	default:
		row.typed = []string{clean(v)}
	}
}

// commandForm matches what may be a command, perhaps a misspelt one.
var commandForm = text.Pattern(`^[A-Za-z0-9]`)

// command reads the words of the command line: the command and its arguments. wordFirst
// says that the command line begins with a word. If that is no command, no command is
// run. A word behind flags may be the rest of an unquoted path in a client's
// configuration, so the server is started all the same; so it is with what can't be meant
// for a command, such as "" or a flag in quotation marks.
func (p *parser) command(words []string, wordFirst bool) {
	switch {
	case len(words) > 0 && slices.Contains(commands, words[0]):
		p.s.Command, words = words[0], words[1:]
	case !wordFirst:
		p.s.Command = Serve
	}
	switch {
	case p.s.Command == Install || p.s.Command == Uninstall:
		if len(words) > 0 && slices.Contains(Clients, words[0]) {
			p.s.Setup.Client, words = words[0], words[1:]
		} else {
			p.fail("", fmt.Errorf("%s: name a client: %s", p.s.Command, strings.Join(Clients, ", ")))
		}
	case p.s.Command == Token && len(words) == 0:
		p.fail("", errors.New("token: name the user whom the token is for"))
	case p.s.Command == Token:
		p.s.Token, words = words[0], words[1:]
	case p.s.Command == Wait:
		for _, word := range words {
			if err := pixazo.CheckRequestID(word); err != nil {
				p.fail("", err)
			}
		}
		p.s.Shell.RequestIDs, words = words, nil
	}
	for _, word := range words {
		p.unknown("unexpected argument", word)
	}
	for _, row := range p.rows {
		if row.typed != nil && row.commands != nil && !slices.Contains(row.commands, p.s.Command) {
			p.fail("", fmt.Errorf("--%s is a flag of %s alone", row.name, strings.Join(row.commands, ", ")))
		}
	}
}

// find returns the row of the flag with this name, nil if there is none.
func (p *parser) find(name string) *setting {
	for i := range p.rows {
		if p.rows[i].name == name {
			return &p.rows[i]
		}
	}
	return nil
}

// fail records a problem with the setting of this name.
func (p *parser) fail(name string, err error) {
	p.s.Problems = append(p.s.Problems, Problem{name, err})
}

// unknown records a flag or word that there is not, and names the nearest of those that
// there are.
func (p *parser) unknown(what, came string) {
	known := slices.Concat(commands, Clients)
	if strings.HasPrefix(came, "-") {
		known = []string{"-h", "--help", "--version"}
		for _, row := range p.rows {
			known = append(known, "--"+row.name)
		}
	}
	hint := ""
	if near := text.Near(came, known); came != "" && near != "" && near != came {
		hint = fmt.Sprintf(", did you mean %q?", near)
	}
	p.fail("", fmt.Errorf("%s %s%s (pixazo-mcp --help lists what there is)", what, p.quote(came), hint))
}

// quote returns a value in quotation marks, but never the key, nor a word that may be a
// key in the wrong place.
func (p *parser) quote(s string) string {
	if name, key := p.key(); key != "" && strings.Contains(s, key) {
		return "the key of " + name
	}
	if looksLikeKey(s) {
		return fmt.Sprintf("a word of %d characters (not shown, since it may be a key)", len(s))
	}
	return text.Quote(s)
}

// looksLikeKey reports whether s may be a key of the gateway: a long word of letters and
// digits.
func looksLikeKey(s string) bool {
	const digits, letters = "0123456789", "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	return len(s) >= 20 && s[0] != '-' && strings.Trim(s, digits+letters+"-_") == "" && strings.ContainsAny(s, digits) && strings.ContainsAny(s, letters)
}

// isPath reports whether the values of row are paths.
func (row *setting) isPath() bool { return row.kind == "DIR" || row.kind == "FILE" }

// show returns a value of row without what is often secret.
func (row *setting) show(v string) string {
	if strings.HasPrefix(row.kind, "URL") || strings.Contains(v, "://") { // or a URL in place of a path
		return masked(v)
	}
	return v
}
