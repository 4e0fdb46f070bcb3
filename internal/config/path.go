// This file parses settings that are paths.

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode"

	"pixazo-mcp/internal/disk"
	"pixazo-mcp/internal/text"
)

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
// it.
func (p *parser) absolute(path string) (string, error) {
	if err := checkPath(path, p.goos); err != nil {
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
	if filepath.IsAbs(clean(Variable(env, runtime.GOOS, homeVariable(runtime.GOOS)))) {
		return env
	}
	u, err := user.Current()
	if err != nil || !filepath.IsAbs(u.HomeDir) {
		return env
	}
	return append(slices.Clone(env), homeVariable(runtime.GOOS)+"="+u.HomeDir)
}
