// These tests hold which paths are taken, and what they lead to.

package config

import (
	"io"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestParseStartsWithoutHome(t *testing.T) {
	for _, env := range [][]string{nil, {homeLine("")}, {homeLine("not/absolute")}} {
		s := mustParse(t, nil, env...)
		if s.Home != "" || s.APIKeyFile != "" || s.OutputDir != "" || s.StateDir != "" {
			t.Errorf("env %q: home %q, key file %q, output folder %q, state folder %q; want all empty", env, s.Home, s.APIKeyFile, s.OutputDir, s.StateDir)
		}
		if key, err := s.Key(); err != nil || !key.IsZero() {
			t.Errorf("env %q: Key() = %v, %v; want none", env, key, err)
		}
		if w := s.KeyWarning(); w != "" {
			t.Errorf("env %q: KeyWarning() = %q", env, w)
		}
	}
}

func TestDefaultFoldersFollowThePlatform(t *testing.T) {
	for goos, want := range map[string][2]string{
		"linux":   {"~/.local/state/pixazo-mcp", "~/Videos/Pixazo"},
		"freebsd": {"~/.local/state/pixazo-mcp", "~/Videos/Pixazo"},
		"darwin":  {"~/Library/Application Support/pixazo-mcp", "~/Movies/Pixazo"},
		"windows": {"~/.pixazo", "~/Videos/Pixazo"},
	} {
		p := parser{goos: goos}
		if got := [2]string{p.stateDir(), outputDir(goos)}; got != want {
			t.Errorf("%s: %q, want %q", goos, got, want)
		}
	}
}

func TestStateDirFollowsXDG(t *testing.T) {
	home, xdg, named := t.TempDir(), t.TempDir(), t.TempDir()
	byDefault := mustParse(t, nil, homeLine(home)).StateDir
	inXDG := filepath.Join(xdg, "pixazo-mcp")
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		inXDG = byDefault // they have places of their own
	}
	for _, tt := range []struct {
		name string
		args []string
		env  []string
		want string
	}{
		{"set", nil, []string{homeLine(home), "XDG_STATE_HOME=" + xdg}, inXDG},
		{"empty", nil, []string{homeLine(home), "XDG_STATE_HOME="}, byDefault},
		{"relative, which the specification says to ignore", nil, []string{homeLine(home), "XDG_STATE_HOME=state"}, byDefault},
		{"with a ~, which only a shell expands", nil, []string{homeLine(home), "XDG_STATE_HOME=~/state"}, byDefault},
		{"left to expand", nil, []string{homeLine(home), "XDG_STATE_HOME=${XDG_STATE_HOME}"}, byDefault},
		{"behind the variable", nil, []string{homeLine(home), "XDG_STATE_HOME=" + xdg, "PIXAZO_STATE_DIR=" + named}, named},
		{"behind the flag", []string{"--state-dir", named}, []string{homeLine(home), "XDG_STATE_HOME=" + xdg}, named},
	} {
		if got := mustParse(t, tt.args, tt.env...).StateDir; got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if runtime.GOOS == "linux" {
		if got := mustParse(t, nil, "XDG_STATE_HOME="+xdg).StateDir; got != inXDG {
			t.Errorf("without a home: %q, want %q", got, inXDG)
		}
	}
	s := mustParse(t, nil, homeLine(home), "XDG_STATE_HOME="+xdg)
	if s.OutputDir != mustParse(t, nil, homeLine(home)).OutputDir {
		t.Errorf("the output folder followed: %q", s.OutputDir)
	}
}

func TestParseTakesFoldersOfFiles(t *testing.T) {
	home, work := t.TempDir(), t.TempDir()
	t.Chdir(work)
	work, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := filepath.Join(work, "a"), filepath.Join(work, "b"), filepath.Join(home, "c")
	list := func(elements ...string) string {
		return "PIXAZO_FILES_DIR=" + strings.Join(elements, string(filepath.ListSeparator))
	}
	odd := "a" + string(filepath.ListSeparator) + "b" // a name, where it stands in a flag
	tests := []struct {
		name string
		args []string
		env  string
		want []string
	}{
		{"none", nil, "", nil},
		{"flag", []string{"--files-dir", a}, "", []string{a}},
		{"flags, in their order", []string{"--files-dir=" + b, "demo", "--files-dir", a}, "", []string{b, a}},
		{"variable", nil, list(a, b), []string{a, b}},
		{"flag before variable", []string{"--files-dir", c}, list(a, b), []string{c}},
		{"unset flag gives way", []string{"--files-dir=", "--files-dir", "${DIR}"}, list(a), []string{a}},
		{"unset flag beside a set one", []string{"--files-dir", b, "--files-dir="}, list(a), []string{b}},
		{"home, relative, unclean", nil, list("~/c", "a", filepath.Join(work, "x")+"/../b/"), []string{c, a, b}},
		{"twice the same", []string{"--files-dir", a, "--files-dir", "./a", "--files-dir", b, "--files-dir", a}, "", []string{a, b}},
		{"separator in a flag", []string{"--files-dir", odd}, "", []string{filepath.Join(work, odd)}},
		{"empty elements", nil, list("", a, " ", " b "), []string{a, b}},
		{"placeholders", nil, list(a, "${user_config.x}", " ${B}/x", b), []string{a, b}},
		{"placeholder first", nil, list("${A:-/srv}", a), nil}, // as for every variable
		{"white space", nil, "PIXAZO_FILES_DIR= \t", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := mustParse(t, tt.args, homeLine(home), tt.env).FilesDirs; !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestHomeIsWhatTheTildeStandsFor: others expand it too.
func TestHomeIsWhatTheTildeStandsFor(t *testing.T) {
	home := t.TempDir()
	if s := mustParse(t, []string{"--output-dir", "~"}, homeLine(" "+home+"/x/.. ")); s.Home != home || s.OutputDir != home {
		t.Errorf("home %q, ~ %q, want %q", s.Home, s.OutputDir, home)
	}
}

// A home directory may have any name, and what is below it is handed to keepers and
// written into entries as an absolute path.
func TestAHomeDirectoryMayHaveAnyName(t *testing.T) {
	for _, name := range []string{"$ann", "%ann%", "it's `me`"} {
		home := filepath.Join(t.TempDir(), name)
		was := mustParse(t, []string{"--output-dir=~/out", "--files-dir", filepath.Join(home, "in")}, homeLine(home))
		args, env := was.Handover()
		for _, is := range []Settings{mustParse(t, args, env...), mustParse(t, was.EntryArgs, env...)} {
			if is.StateDir == "" || is.StateDir != was.StateDir || is.OutputDir != filepath.Join(home, "out") || !slices.Equal(is.FilesDirs, []string{filepath.Join(home, "in")}) {
				t.Errorf("%s: journal in %q, videos in %q, files from %q", name, is.StateDir, is.OutputDir, is.FilesDirs)
			}
		}
		parseError(t, []string{"--output-dir", filepath.Join(home, "$USER")}, homeLine(home))
	}
}

func TestParseMakesPathsAbsolute(t *testing.T) {
	home, work := t.TempDir(), t.TempDir()
	t.Chdir(work)
	work, err := os.Getwd() // on macOS a temporary folder is behind a link
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"~":                             home,
		"~/":                            home,
		"~/a/../b":                      filepath.Join(home, "b"),
		"out":                           filepath.Join(work, "out"),
		"./~name":                       filepath.Join(work, "~name"),
		"a~b":                           filepath.Join(work, "a~b"),
		filepath.Join(home, "a", "b"):   filepath.Join(home, "a", "b"),
		filepath.Join(home, "mit Raum"): filepath.Join(home, "mit Raum"),
	} {
		for _, flag := range []string{"state-dir", "output-dir", "log-file", "api-key-file"} {
			s := mustParse(t, []string{"--" + flag, in}, homeLine(home))
			got := map[string]string{"state-dir": s.StateDir, "output-dir": s.OutputDir, "log-file": s.LogFile, "api-key-file": s.APIKeyFile}[flag]
			if got != want {
				t.Errorf("--%s %s: got %s, want %s", flag, in, got, want)
			}
		}
	}
}

func TestPathsThatNobodyExpandedAreRefused(t *testing.T) {
	for _, tt := range []struct {
		goos, rule string
		paths      []string
	}{
		{"linux", "nothing fills in", []string{"$HOME/Movies", "/srv/$USER", "/home/${USER}/x", "a$(pwd)", "/srv/`whoami`", `%USERPROFILE%\Videos`, "%HOME%/x", "/a/%ProgramFiles(x86)%"}},
		{"linux", "quotation marks", []string{`"/home/me/My Videos"`, `'/home/me'`, `/home/me"`, "“/home/me”", "«/home/me»", `C:\My Docs"`}},
		{"linux", "control characters", []string{"/home/me\n/x", "/a\x00b", "/a\x1b[2J"}},
		{"windows", "Windows does not allow", []string{`C:\a?`, `C:\a*b`, `C:\a<b>`, `C:\a|b`, `C:\a:b`, `a:b:c`, `\\server\a|b`, `\\?\C:\a?`, "~/a:b"}},
	} {
		for _, path := range tt.paths {
			if err := checkPath(path, tt.goos); err == nil || !strings.Contains(err.Error(), tt.rule) {
				t.Errorf("%s %q: %v, want %q", tt.goos, path, err, tt.rule)
			}
		}
	}
	for goos, paths := range map[string][]string{
		"linux":   {"/srv/US$", "/a/50% off", "/a/100%", "/a/My%20Docs%20x", "/home/tom's", "/home/'90s music", "/a?b*c:d|e<f>", "~/“Best of”/x", `a\b`, "'"},
		"windows": {`C:\Users\me\Videos`, `C:/x`, `\\server\c$\Videos`, `\\?\C:\long`, `~\Videos`, "out", `D:`, `C:\Tom's`, `C:\50% off`},
	} {
		for _, path := range paths {
			if err := checkPath(path, goos); err != nil {
				t.Errorf("%s %q: %v", goos, path, err)
			}
		}
	}
}

// A refused path leads nowhere: a journal in its default place would be
// another one than the user named.
func TestRefusedPathIsEmpty(t *testing.T) {
	for _, name := range []string{"api-key-file", "state-dir", "output-dir", "files-dir", "log-file"} {
		for _, args := range [][]string{{"--" + name, "$HOME/x"}, {"--" + name + "=%APPDATA%\\x"}, nil} {
			env := []string{homeLine(t.TempDir())}
			if args == nil && name == "files-dir" && runtime.GOOS == "windows" {
				continue // a list may quote its paths there
			}
			if args == nil {
				env = append(env, variable(name)+`="quoted"`)
			}
			s, err := Parse(args, env, testVersion, io.Discard)
			if err == nil || s.Command != Serve || s.Problem(name) == nil || s.Problem("") != nil || !strings.HasPrefix(err.Error(), "--"+name+" ("+variable(name)+"): ") {
				t.Errorf("%q, %q: command %q, %v", args, env, s.Command, err)
			}
			got := map[string]string{"api-key-file": s.APIKeyFile, "state-dir": s.StateDir, "output-dir": s.OutputDir, "files-dir": strings.Join(s.FilesDirs, ""), "log-file": s.LogFile}[name]
			if got != "" {
				t.Errorf("%q, %q: path %q", args, env, got)
			}
		}
	}
	s, err := Parse(nil, []string{"PIXAZO_FILES_DIR=/a" + string(filepath.ListSeparator) + "/$b"}, testVersion, io.Discard)
	if err == nil || len(s.FilesDirs) != 1 {
		t.Errorf("the other folder: %q, %v", s.FilesDirs, err)
	}
}

func TestOtherRefusedSettingsHaveTheirDefault(t *testing.T) {
	s, err := Parse([]string{"--max-wait=soon", "--max-videos-per-hour=many", "--max-download=big", "--sandbox-duration=0", "--sandbox=maybe", "--gateway-url=x", "--webhook-url=x", "--webhook-mode=x", "--log-level=loud", "--media-origins=x"},
		nil, testVersion, io.Discard)
	want := mustParse(t, nil)
	if err == nil || len(s.Problems) != 10 {
		t.Errorf("%d problems, %v", len(s.Problems), err)
	}
	s.Problems, s.Values, s.keyVariable, s.EntryArgs, s.allArgs, want.Values, want.keyVariable, want.allArgs = nil, nil, nil, nil, nil, nil, nil, nil
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
}

func TestWithHomeAsksTheUserDatabase(t *testing.T) {
	known, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	for _, env := range [][]string{nil, {homeLine("")}, {homeLine("not/absolute")}, {"OTHER=x"}} {
		s := mustParse(t, nil, WithHome(env)...)
		if s.Home != filepath.Clean(known.HomeDir) || s.StateDir == "" || s.APIKeyFile == "" {
			t.Errorf("%q: home %q, state directory %q", env, s.Home, s.StateDir)
		}
	}
	home := t.TempDir()
	if s := mustParse(t, nil, WithHome([]string{homeLine(home)})...); s.Home != home {
		t.Errorf("home %q, want %q", s.Home, home)
	}
}
