// This file parses the values of settings, paths among them. An error says which rule a value
// breaks.

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"pixazo-mcp/internal/disk"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

// into returns a function that parses a value and stores it in *to.
func into[T any](to *T, parse func(string) (T, error)) func(string) error {
	return func(v string) error {
		parsed, err := parse(v)
		if err == nil {
			*to = parsed
		}
		return err
	}
}

var (
	booleans = map[string]bool{
		"true": true, "1": true, "yes": true, "on": true,
		"": false, "false": false, "0": false, "no": false, "off": false,
	}
	notices = map[string]string{
		"auto": "auto", "true": "true", "1": "true", "yes": "true", "on": "true",
		"false": "false", "0": "false", "no": "false", "off": "false",
	}
	modes   = map[string]string{"terminal": "terminal", "sync": "sync"}
	objects = map[string]bool{"strings": false, "objects": true}
	levels  = map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
		"trace": slog.LevelDebug, "warning": slog.LevelWarn, "err": slog.LevelError, "fatal": slog.LevelError, // as other programs call them
	}
)

// oneOf returns a function that looks a value up in words, in upper or lower case.
func oneOf[T any](words map[string]T, rule string) func(string) (T, error) {
	return func(v string) (T, error) {
		meant, ok := words[strings.ToLower(v)]
		if !ok {
			return meant, errors.New(rule)
		}
		return meant, nil
	}
}

func parseLimit(v string) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > 1_000_000 {
		return 0, errors.New("must be a whole number from 0 (no limit) to 1,000,000")
	}
	return n, nil
}

// durations returns a function that parses a duration from least to most, in Go's
// notation or as a number of seconds.
func durations(least, most time.Duration, rule string) func(string) (time.Duration, error) {
	return func(v string) (time.Duration, error) {
		v = strings.ToLower(v)
		if strings.Trim(v, "0123456789.") == "" {
			v += "s"
		}
		d, err := time.ParseDuration(v)
		if err != nil || d < least || d > most {
			return 0, errors.New(rule)
		}
		return d, nil
	}
}

// sizes returns a function that parses a size in bytes from least to most, with or without
// a unit. 0 means zero.
func sizes(least, most, zero int64, rule string) func(string) (int64, error) {
	return func(v string) (int64, error) {
		if v == "0" {
			return zero, nil
		}
		v = strings.ToLower(v)
		number := v[:len(v)-len(strings.TrimLeft(v, "0123456789."))]
		power, known := map[string]int{"": 0, "b": 0, "kb": 1, "kib": 1, "mb": 2, "mib": 2, "gb": 3, "gib": 3, "tb": 4, "tib": 4}[strings.TrimSpace(v[len(number):])]
		n, err := strconv.ParseFloat(number, 64)
		if n *= math.Pow(1024, float64(power)); err != nil || !known || n < float64(least) || n > float64(most) {
			return 0, errors.New(rule)
		}
		return int64(n), nil
	}
}

func parseWebhook(v string) (string, error) { return v, pixazo.CheckWebhookURL(v) }

// parseOrigins parses a list of origins for a content security policy. It refuses what
// else such a policy may contain, such as 'self' or data:.
func parseOrigins(v string) ([]string, error) {
	var origins []string
	for _, item := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		host, wildcard := strings.CutPrefix(item, "https://*.")
		if wildcard {
			host = "https://" + host
		}
		origin, err := pixazo.ParseGatewayURL(host)
		if err != nil || strings.Trim(origin, "abcdefghijklmnopqrstuvwxyz0123456789.-:/[]") != "" {
			return nil, errors.New("must be https origins (http only on this computer) separated by spaces or commas, such as https://cdn.example.com or https://*.example.com")
		}
		if wildcard {
			origin = strings.Replace(origin, "//", "//*.", 1)
		}
		origins = append(origins, origin)
	}
	return origins, nil
}

// masked returns v without what is often secret in URLs: what is before an @, and the
// query.
func masked(v string) string {
	if !strings.ContainsAny(v, "@?") {
		return v // without a pattern
	}
	v = regexp.MustCompile(`(\w+://)?\S*@`).ReplaceAllString(v, "${1}…@")
	return regexp.MustCompile(`\?\S*`).ReplaceAllString(v, "?…")
}

// stateDir returns the default of --state-dir. On systems that follow the XDG base
// directory specification it depends on XDG_STATE_HOME. On Windows it is outside of
// AppData, since Claude Desktop's packaged app sees different files there.
func (p *parser) stateDir() string {
	switch xdg := clean(p.variable("XDG_STATE_HOME")); {
	case p.goos == "darwin":
		return "~/Library/Application Support/pixazo-mcp"
	case p.goos == "windows":
		return "~/.pixazo"
	case filepath.IsAbs(xdg):
		return filepath.Join(xdg, "pixazo-mcp")
	}
	return "~/.local/state/pixazo-mcp"
}

// outputDir returns the default of --output-dir. It is not the working directory, since
// clients start servers in "/".
func outputDir(goos string) string {
	if goos == "darwin" {
		return "~/Movies/Pixazo"
	}
	return "~/Videos/Pixazo"
}

// keyFile parses --api-key-file. It refuses what looks like a key.
func (p *parser) keyFile(v string) (string, error) {
	if looksLikeKey(v) {
		return "", fmt.Errorf("must be the path of a file that holds the key, not the key itself, which %s gives", KeyVariable)
	}
	return p.absolute(v)
}

// addFilesDir parses one folder of --files-dir and adds it to s.FilesDirs, once.
func (p *parser) addFilesDir(v string) error {
	path, err := p.absolute(v)
	if err == nil && !slices.Contains(p.s.FilesDirs, path) {
		p.s.FilesDirs = append(p.s.FilesDirs, path)
	}
	return err
}

// absolute returns a path as an absolute one. It replaces ~ by the home directory; any
// other relative path is relative to the working directory, as a person in a shell means
// it. The home directory may have any name, as in C:\Users\$ann.
func (p *parser) absolute(path string) (string, error) {
	if err := checkPath(strings.TrimPrefix(path, p.home), p.goos); err != nil {
		return "", err
	}
	expanded, err := disk.ExpandHome(path, p.home, p.goos)
	if err != nil {
		return "", err
	}
	return filepath.Abs(expanded)
}

// shellSyntax matches what a shell would replace.
var shellSyntax = text.Pattern("\\$[A-Za-z_{(]|`|%[A-Za-z_][A-Za-z0-9_()]*%")

// checkPath refuses a path with syntax that only a shell would replace or remove, or with
// characters that the system does not allow.
func checkPath(path, goos string) error {
	switch inner := strings.Trim(path, "“”„‘’«»"); {
	case strings.ContainsAny(path, "$`%") && shellSyntax().MatchString(path): // most paths need no pattern
		return errors.New("must be a path as it is: nothing fills in $NAME, ${NAME} or %NAME% (~ is the home directory)")
	case strings.Contains(path, `"`) || inner != path || len(path) > 1 && path[0] == '\'' && strings.HasSuffix(path, "'"):
		return errors.New("must be a path without quotation marks")
	case strings.ContainsFunc(path, unicode.IsControl):
		return errors.New("must be a path without line breaks or other control characters")
	}
	if goos != "windows" {
		return nil
	}
	rest := strings.TrimPrefix(strings.TrimPrefix(path, `\\?\`), `\\.\`)
	if len(rest) > 1 && rest[1] == ':' {
		rest = rest[2:]
	}
	if strings.ContainsAny(rest, `<>:|?*`) {
		return errors.New(`must be a path without any of < > : | ? * behind the drive, which Windows does not allow`)
	}
	return nil
}

func homeVariable(goos string) string {
	if goos == "windows" {
		return "USERPROFILE"
	}
	return "HOME"
}

// TryLogFile returns an error if the log can't be appended to the file at path. It leaves
// no new file behind, and opens no FIFO or device, which could block.
func TryLogFile(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) { // a server would make the file, but not its folder
		return disk.TryWrite(filepath.Dir(path))
	}
	if err != nil || info.Mode()&fs.ModeType&^fs.ModeDir != 0 {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// WithHome returns env and, if it has no home directory, that of the user database. Some
// clients start servers in an empty environment.
func WithHome(env []string) []string {
	name := homeVariable(runtime.GOOS)
	if !filepath.IsAbs(clean(Variable(env, runtime.GOOS, name))) {
		if u, err := user.Current(); err == nil {
			return append(slices.Clone(env), name+"="+u.HomeDir)
		}
	}
	return env
}
