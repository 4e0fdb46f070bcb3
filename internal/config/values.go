// This file checks the values of settings, one method a kind of value, and
// words the errors.

package config

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	maxShown = 80 // characters of a refused value in an error
)

// parser reads settings by the names of their flags. Its methods record what
// is wrong in errs and go on, so that a user sees every mistake at once.
type parser struct {
	env   map[string]string   // cleaned; PIXAZO_* and the home directory only
	flags map[string][]string // cleaned, without those that are unset; one value each, but for filesDir
	errs  []error

	client string // that install or uninstall is about
}

// value returns a setting as text: from the flag, else the variable, else the
// default. given is false for the default.
func (p *parser) value(name string) (value string, given bool) {
	if typed := p.flags[name]; len(typed) > 0 {
		return typed[0], true
	}
	if v := p.env[variable(name)]; v != "" {
		return v, true
	}
	if xdg := p.env[stateHome]; name == "state-dir" && filepath.IsAbs(xdg) && runtime.GOOS != "windows" && runtime.GOOS != "darwin" {
		return filepath.Join(xdg, "pixazo-mcp"), false
	}
	return fallback(name, runtime.GOOS), false
}

// stateHome moves the state directory of every program, on the systems that
// follow the XDG base directory specification.
const stateHome = "XDG_STATE_HOME"

func fallback(name, goos string) string {
	switch name + " " + goos {
	case "output-dir darwin":
		return "~/Movies/Pixazo"
	case "state-dir darwin":
		return "~/Library/Application Support/pixazo-mcp"
	case "state-dir windows":
		return "~/AppData/Local/pixazo-mcp"
	}
	return find(name).fallback
}

// fail records that a value breaks the rule of its flag.
func (p *parser) fail(name, got string) {
	p.errs = append(p.errs, fmt.Errorf("%s: must be %s; got %s", label(name), find(name).rule, p.quote(got)))
}

// unknown words the error for a flag or argument that is not among known, with
// the first of those that are most like it.
func (p *parser) unknown(what, came string, known []string) error {
	hint, least := "", 3 // two slips of the hand are still like it
	for _, k := range known {
		d := text.Distance(came, k)
		if strings.HasPrefix(k, came) {
			d = 0
		}
		if d < least {
			hint, least = fmt.Sprintf(", did you mean %q?", k), d
		}
	}
	return fmt.Errorf("%s %s%s (pixazo-mcp --help lists what there is)", what, p.quote(came), hint)
}

// quote shows at most maxShown characters of s, quoted, control characters
// escaped. The key is not shown, nor a word that may be one put in the wrong
// place.
func (p *parser) quote(s string) string {
	if key := p.env[keyVariable]; key != "" && strings.Contains(s, key) {
		return "the key of " + keyVariable
	}
	if looksLikeKey(s) {
		return fmt.Sprintf("a word of %d characters (not shown, since it may be a key)", len(s))
	}
	if utf8.RuneCountInString(s) > maxShown {
		s = string([]rune(s)[:maxShown]) + "…"
	}
	return strconv.Quote(s)
}

// looksLikeKey reports whether s is a single long word of letters and digits,
// as the gateway's keys are.
func looksLikeKey(s string) bool {
	const alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
	return len(s) >= 20 && s[0] != '-' && strings.Trim(s, alphabet) == "" && strings.ContainsAny(s, alphabet[:10]) && strings.ContainsAny(s, alphabet[10:62])
}

var booleans = map[string]bool{
	"true": true, "1": true, "yes": true, "on": true,
	"": false, "false": false, "0": false, "no": false, "off": false,
}

func (p *parser) boolean(name string) bool {
	v, _ := p.value(name)
	b, ok := booleans[strings.ToLower(v)]
	if !ok {
		p.fail(name, v)
	}
	return b
}

func (p *parser) choice(name string, choices ...string) string {
	v, _ := p.value(name)
	lower := strings.ToLower(v)
	if !slices.Contains(choices, lower) {
		p.fail(name, v)
	}
	return lower
}

func (p *parser) level(name string) slog.Level {
	var level slog.Level
	// UnmarshalText alone would also take forms like INFO+3.
	_ = level.UnmarshalText([]byte(p.choice(name, "debug", "info", "warn", "error")))
	return level
}

func (p *parser) count(name string, most int) int {
	v, _ := p.value(name)
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > most {
		p.fail(name, v)
	}
	return n
}

// duration takes Go's notation, and a plain number as seconds.
func (p *parser) duration(name string, least, most time.Duration) time.Duration {
	v, _ := p.value(name)
	in := strings.ToLower(v)
	if strings.Trim(in, "0123456789.") == "" {
		in += "s"
	}
	d, err := time.ParseDuration(in)
	if err != nil || d < least || d > most {
		p.fail(name, v)
	}
	return d
}

// size takes a number of bytes, or of a unit. The unit of 1000 bytes that KB
// may stand for elsewhere is not known here.
func (p *parser) size(name string, most int64) int64 {
	v, _ := p.value(name)
	units := map[string]float64{
		"": 1, "b": 1,
		"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40,
		"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
	}
	number := strings.TrimRight(v, "bBiIkKmMgGtT")
	unit, known := units[strings.ToLower(v[len(number):])]
	number = strings.TrimSpace(number)
	n, err := strconv.ParseFloat(number, 64)
	n *= unit
	// ParseFloat would also take forms like 0x1p4, 1_000 and inf.
	if !known || err != nil || strings.Trim(number, "0123456789.") != "" || n < 1 || n > float64(most) {
		p.fail(name, v)
		return 0
	}
	return int64(n)
}

// path reads a setting that is a path. A default that needs a home directory
// stays empty where there is none, so that the server still starts.
func (p *parser) path(name string) string {
	v, given := p.value(name)
	if v == "" {
		return ""
	}
	if name == "api-key-file" && looksLikeKey(v) {
		p.errs = append(p.errs, fmt.Errorf("%s: must be the path of a file that holds the key, not the key itself; got %s. Set %s to give the key",
			label(name), p.quote(v), keyVariable))
		return ""
	}
	path, err := p.absolute(v)
	if err != nil && given {
		p.errs = append(p.errs, fmt.Errorf("%s: %w; got %s", label(name), err, p.quote(v)))
	}
	return path
}

// paths reads a setting that is a list of paths, and drops what is in it twice.
func (p *parser) paths(name string) []string {
	values := p.flags[name]
	if len(values) == 0 {
		values = elements(p.env[variable(name)])
	}
	var paths []string
	for _, v := range values {
		path, err := p.absolute(v)
		if err != nil {
			p.errs = append(p.errs, fmt.Errorf("%s: %w; got %s", label(name), err, p.quote(v)))
		} else if !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// elements takes the list of a variable apart and drops what counts as unset.
func elements(list string) []string {
	var found []string
	placeholder := false
	for _, v := range filepath.SplitList(list) {
		// The separator can be in a placeholder, as in ${DIR:-/srv}: all up to
		// the brace is one.
		if placeholder = placeholder || strings.HasPrefix(strings.TrimSpace(v), "${"); placeholder {
			placeholder = !strings.Contains(v, "}")
		} else if v = clean(v); v != "" {
			found = append(found, v)
		}
	}
	return found
}

// absolute makes a path absolute: against the home directory if it starts with ~,
// else against the working directory, since a person in a shell types
// --output-dir out.
func (p *parser) absolute(path string) (string, error) {
	expanded, err := expandHome(path, p.home(), runtime.GOOS)
	if err != nil {
		return "", err
	}
	return filepath.Abs(expanded)
}

// home is the home directory, "" if the environment names none.
func (p *parser) home() string {
	home := p.env[homeVariable(runtime.GOOS)]
	if !filepath.IsAbs(home) {
		return ""
	}
	return filepath.Clean(home)
}

func homeVariable(goos string) string {
	if goos == "windows" {
		return "USERPROFILE"
	}
	return "HOME"
}

// expandHome replaces a ~ that stands alone or before a separator; \ is one on
// Windows. It refuses ~name, which only a shell could look up.
func expandHome(path, home, goos string) (string, error) {
	rest, ok := strings.CutPrefix(path, "~")
	if !ok {
		return path, nil
	}
	if rest != "" && rest[0] != '/' && (goos != "windows" || rest[0] != '\\') {
		return "", errors.New("only a ~ alone or before a separator stands for a home directory (write ./~name for a file of that name)")
	}
	if home == "" {
		return "", fmt.Errorf("~ stands for the home directory, but %s is not set to one", homeVariable(goos))
	}
	return home + rest, nil
}

func (p *parser) gatewayURL(name string) string {
	v, _ := p.value(name)
	origin, err := pixazo.ParseGatewayURL(v)
	if err != nil {
		p.fail(name, maskURL(v))
		return ""
	}
	return origin.String()
}

// origins takes a list of what a content security policy may name. Whatever
// else such a policy knows, as 'self' or data:, is refused.
func (p *parser) origins(name string) []string {
	v, _ := p.value(name)
	var origins []string
	for _, item := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		host := strings.Replace(item, "://*.", "://", 1)
		u, err := pixazo.ParseGatewayURL(host)
		if err != nil || strings.Trim(u.Hostname(), "abcdefghijklmnopqrstuvwxyz0123456789.-:") != "" {
			p.fail(name, maskURL(item))
			continue
		}
		origin := u.String()
		if host != item {
			origin = strings.Replace(origin, "://", "://*.", 1)
		}
		origins = append(origins, origin)
	}
	return origins
}

func (p *parser) webhookURL(name string) string {
	v, _ := p.value(name)
	if v != "" && pixazo.CheckWebhookURL(v) != nil {
		p.fail(name, maskURL(v))
		return ""
	}
	return v
}

// maskURL hides what is often secret in a URL: all before an @, and the query.
func maskURL(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		scheme, _, _ := strings.Cut(s[:i], "://")
		if len(scheme) == i {
			scheme = "…"
		}
		s = scheme + "://…@" + s[i+1:]
	}
	if before, _, cut := strings.Cut(s, "?"); cut {
		s = before + "?…"
	}
	return s
}
