// These tests hold the rules of the settings: what is taken, from where, and
// what a refused value says.

package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func testVersion() string { return "1.2.3" }

const testKey = "0123456789abcdef0123456789abcdef"

// homeLine gives the line of the environment that names the home directory.
func homeLine(dir string) string { return homeVariable(runtime.GOOS) + "=" + dir }

func mustParse(t *testing.T, args []string, env ...string) Settings {
	t.Helper()
	s, err := Parse(args, env, testVersion, io.Discard)
	if err != nil {
		t.Fatalf("Parse(%q, %q): %v", args, env, err)
	}
	return s
}

// parseError requires an error and checks what holds for all of them.
func parseError(t *testing.T, args []string, env ...string) string {
	t.Helper()
	var out strings.Builder
	s, err := Parse(args, env, testVersion, &out)
	if err == nil {
		t.Fatalf("Parse(%q, %q) = %+v, want an error", args, env, s)
	}
	if out.Len() > 0 {
		t.Errorf("Parse(%q, %q) printed %q", args, env, out.String())
	}
	if strings.Contains(err.Error(), testKey) {
		t.Errorf("Parse(%q, %q): the error holds the key: %v", args, env, err)
	}
	return err.Error()
}

func TestParseGivesDefaults(t *testing.T) {
	home := t.TempDir()
	s := mustParse(t, nil, homeLine(home))
	videos, state := "Videos", []string{".local", "state", "pixazo-mcp"}
	switch runtime.GOOS {
	case "darwin":
		videos, state = "Movies", []string{"Library", "Application Support", "pixazo-mcp"}
	case "windows":
		state = []string{"AppData", "Local", "pixazo-mcp"}
	}
	if s.keyFileNamed || s.serveArgs != nil {
		t.Errorf("defaults count as given: %v, %q", s.keyFileNamed, s.serveArgs)
	}
	s.keyVariable, s.raw = nil, nil
	want := Settings{
		Command:          Serve,
		Home:             home,
		APIKeyFile:       filepath.Join(home, ".pixazo", "api-key"),
		GatewayURL:       "https://gateway.pixazo.ai",
		SandboxDuration:  8 * time.Second,
		StateDir:         filepath.Join(append([]string{home}, state...)...),
		MaxVideosPerHour: 20,
		OutputDir:        filepath.Join(home, videos, "Pixazo"),
		MaxDownload:      2 << 30,
		MaxWait:          50 * time.Second,
		WebhookMode:      "terminal",
		LogLevel:         slog.LevelInfo,
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
}

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
		"windows": {"~/AppData/Local/pixazo-mcp", "~/Videos/Pixazo"},
	} {
		if got := [2]string{fallback("state-dir", goos), fallback("output-dir", goos)}; got != want {
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

func TestParseTakesLimits(t *testing.T) {
	for in, want := range map[string]int{"0": 0, "1": 1, " 20 ": 20, "007": 7, "1000000": 1_000_000} {
		for _, s := range []Settings{mustParse(t, []string{"--max-videos-per-hour", in}), mustParse(t, nil, "PIXAZO_MAX_VIDEOS_PER_HOUR="+in)} {
			if s.MaxVideosPerHour != want {
				t.Errorf("%q: %d, want %d", in, s.MaxVideosPerHour, want)
			}
		}
	}
}

func TestParseTakesFlagBeforeVariableBeforeDefault(t *testing.T) {
	home := t.TempDir()
	abs := func(name string) string { return filepath.Join(home, name) }
	tests := []struct {
		flag     string
		variable string // value of the variable
		typed    string // value of the flag
		get      func(Settings) any
		fromVar  any
		fromFlag any
	}{
		{"api-key-file", abs("a"), abs("b"), func(s Settings) any { return s.APIKeyFile }, abs("a"), abs("b")},
		{"gateway-url", "https://a.example", "https://b.example/", func(s Settings) any { return s.GatewayURL }, "https://a.example", "https://b.example"},
		{"sandbox", "true", "false", func(s Settings) any { return s.Sandbox }, true, false},
		{"sandbox-duration", "2s", "3s", func(s Settings) any { return s.SandboxDuration }, 2 * time.Second, 3 * time.Second},
		{"state-dir", abs("a"), abs("b"), func(s Settings) any { return s.StateDir }, abs("a"), abs("b")},
		{"max-videos-per-hour", "0", "7", func(s Settings) any { return s.MaxVideosPerHour }, 0, 7},
		{"output-dir", abs("a"), abs("b"), func(s Settings) any { return s.OutputDir }, abs("a"), abs("b")},
		{"max-download", "2MB", "3 KiB", func(s Settings) any { return s.MaxDownload }, int64(2 << 20), int64(3 << 10)},
		{"files-from-roots", "true", "false", func(s Settings) any { return s.FilesFromRoots }, true, false},
		{"max-wait", "2s", "3s", func(s Settings) any { return s.MaxWait }, 2 * time.Second, 3 * time.Second},
		{"webhook-url", "https://a.example/x", "https://b.example/y", func(s Settings) any { return s.WebhookURL }, "https://a.example/x", "https://b.example/y"},
		{"webhook-mode", "sync", "terminal", func(s Settings) any { return s.WebhookMode }, "sync", "terminal"},
		{"media-origins", "https://a.example", "https://*.b.example:8443/, http://127.0.0.1:80", func(s Settings) any { return strings.Join(s.MediaOrigins, " ") }, "https://a.example", "https://*.b.example:8443 http://127.0.0.1"},
		{"log-level", "debug", "error", func(s Settings) any { return s.LogLevel }, slog.LevelDebug, slog.LevelError},
		{"log-file", abs("a"), abs("b"), func(s Settings) any { return s.LogFile }, abs("a"), abs("b")},
	}
	for _, tt := range tests {
		t.Run(tt.flag, func(t *testing.T) {
			env := []string{homeLine(home), variable(tt.flag) + "=" + tt.variable}
			byDefault := tt.get(mustParse(t, nil, homeLine(home)))
			check := func(what string, s Settings, want any) {
				t.Helper()
				if got := tt.get(s); got != want {
					t.Errorf("%s: got %v, want %v", what, got, want)
				}
			}
			check("variable", mustParse(t, nil, env...), tt.fromVar)
			check("white space", mustParse(t, nil, homeLine(home), variable(tt.flag)+"= \t"+tt.variable+"\r\n"), tt.fromVar)
			check("flag=", mustParse(t, []string{"--" + tt.flag + "=" + tt.typed}, env...), tt.fromFlag)
			check("flag in two", mustParse(t, []string{"--" + tt.flag, " " + tt.typed + " "}, env...), tt.fromFlag)
			check("last flag", mustParse(t, []string{"--" + tt.flag, tt.variable, "--" + tt.flag, tt.typed}, env...), tt.fromFlag)
			check("before demo", mustParse(t, []string{"--" + tt.flag, tt.typed, "demo"}, env...), tt.fromFlag)
			check("behind demo", mustParse(t, []string{"demo", "--" + tt.flag, tt.typed}, env...), tt.fromFlag)

			for _, unset := range []string{"", "  ", "${user_config.x}", " ${X", "${X:-1}"} {
				check("unset variable", mustParse(t, nil, homeLine(home), variable(tt.flag)+"="+unset), byDefault)
				check("unset flag", mustParse(t, []string{"--" + tt.flag + "=" + unset}, homeLine(home)), byDefault)
				check("unset flag in two", mustParse(t, []string{"--" + tt.flag, unset}, homeLine(home)), byDefault)
				check("unset flag gives way", mustParse(t, []string{"--" + tt.flag, unset}, env...), tt.fromVar)
				check("unset flag behind a set one", mustParse(t, []string{"--" + tt.flag, tt.typed, "--" + tt.flag, unset}, env...), tt.fromFlag)
			}
		})
	}
}

func TestParseTakesLastLineOfAVariable(t *testing.T) {
	if s := mustParse(t, nil, "PIXAZO_MAX_WAIT=2s", "PIXAZO_MAX_WAIT=3s"); s.MaxWait != 3*time.Second {
		t.Errorf("max wait %v, want 3s", s.MaxWait)
	}
}

func TestParseReadsOnlyThePassedEnvironment(t *testing.T) {
	t.Setenv("PIXAZO_MAX_WAIT", "9s")
	t.Setenv("PIXAZO_API_KEY", testKey)
	s := mustParse(t, nil)
	if key, err := s.Key(); s.MaxWait != 50*time.Second || !key.IsZero() || err != nil || s.OutputDir != "" {
		t.Errorf("the process environment shows: max wait %v, key %v, %v, output folder %q", s.MaxWait, key.IsZero(), err, s.OutputDir)
	}
}

func TestParseTakesCommands(t *testing.T) {
	tests := []struct {
		args   []string
		want   Command
		prompt string
		live   bool
	}{
		{nil, Serve, "", false},
		{[]string{}, Serve, "", false},
		{[]string{"serve"}, Serve, "", false},
		{[]string{"--sandbox"}, Serve, "", false},
		{[]string{"--sandbox", "serve"}, Serve, "", false},
		{[]string{"demo"}, Demo, "", false},
		{[]string{"--sandbox", "demo"}, Demo, "", false},
		{[]string{"demo", "--prompt", "a sea", "--live"}, Demo, "a sea", true},
		{[]string{"demo", "--live=false", "--prompt=- a -"}, Demo, "- a -", false},
		{[]string{"demo", "--prompt", "${PROMPT}", "--live", "${LIVE}"}, Demo, "", false},
	}
	for _, tt := range tests {
		// Neither flag of the demo has a variable: a live demo costs credits.
		s := mustParse(t, tt.args, "PIXAZO_LIVE=true", "PIXAZO_PROMPT=x")
		if s.Command != tt.want || s.Demo.Prompt != tt.prompt || s.Demo.Live != tt.live {
			t.Errorf("%q: got %v, %+v", tt.args, s.Command, s.Demo)
		}
	}
}

func TestParseTakesSetupCommands(t *testing.T) {
	for _, tt := range []struct {
		args    []string
		want    Command
		client  string
		print   bool
		json    bool
		sandbox bool
	}{
		{[]string{"doctor"}, Doctor, "", false, false, false},
		{[]string{"--sandbox", "doctor", "--json"}, Doctor, "", false, true, true},
		{[]string{"install", "claude-desktop"}, Install, "claude-desktop", false, false, false},
		{[]string{"install", "--print", "cursor", "--sandbox"}, Install, "cursor", true, false, true},
		{[]string{"uninstall", "goose", "--print"}, Uninstall, "goose", true, false, false},
	} {
		// Their flags have no variables.
		s := mustParse(t, tt.args, "PIXAZO_PRINT=true", "PIXAZO_JSON=true")
		if s.Command != tt.want || s.Setup.Client != tt.client || s.Setup.Print != tt.print || s.Setup.JSON != tt.json || s.Sandbox != tt.sandbox {
			t.Errorf("%q: got %v, %+v", tt.args, s.Command, s.Setup)
		}
	}
	const all = "claude-desktop, claude-code, cursor, vscode, windsurf, zed, codex, gemini, goose"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"install"}, "install: name a client: " + all},
		{[]string{"uninstall", "--print"}, "uninstall: name a client: " + all},
		{[]string{"install", "cusror"}, `unknown client "cusror", did you mean "cursor"? (pixazo-mcp --help lists what there is); the clients are ` + all},
		{[]string{"install", "claude"}, `unknown client "claude", did you mean "claude-desktop"? (pixazo-mcp --help lists what there is); the clients are ` + all},
		{[]string{"install", "cursor", "zed"}, `unexpected argument "zed" (pixazo-mcp --help lists what there is)`},
		{[]string{"doctor", "cursor"}, `unexpected argument "cursor" (pixazo-mcp --help lists what there is)`},
		{[]string{"docter"}, `unexpected argument "docter", did you mean "doctor"? (pixazo-mcp --help lists what there is)`},
		{[]string{"doctor", "--jsno"}, `unknown flag "--jsno", did you mean "--json"? (pixazo-mcp --help lists what there is)`},
		{[]string{"--json"}, `unknown flag "--json" (pixazo-mcp --help lists what there is)`},
		{[]string{"serve", "--print"}, `unknown flag "--print" (pixazo-mcp --help lists what there is)`},
	} {
		if got := parseError(t, tt.args); got != tt.want {
			t.Errorf("%q: %s", tt.args, got)
		}
	}
}

func TestEntryArgsHoldInAnyFolder(t *testing.T) {
	home, work := t.TempDir(), t.TempDir()
	t.Chdir(work)
	work, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	s := mustParse(t, []string{"install", "cursor", "--sandbox", "--output-dir", "out", "--files-dir=~/a", "--files-dir", "../b", "--max-wait", "40", "--log-file", "x.log", "--api-key-file=k"},
		homeLine(home), "PIXAZO_STATE_DIR=elsewhere")
	want := []string{"--api-key-file=" + filepath.Join(work, "k"), "--output-dir=" + filepath.Join(work, "out"), "--files-dir=" + filepath.Join(home, "a"),
		"--files-dir=" + filepath.Join(filepath.Dir(work), "b"), "--max-wait=40", "--log-file=" + filepath.Join(work, "x.log")}
	if got := s.EntryArgs(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := mustParse(t, []string{"install", "cursor", "--sandbox=no"}, homeLine(home)).EntryArgs(); !slices.Equal(got, []string{"--sandbox=no"}) {
		t.Errorf("refused sandbox: %q", got)
	}
}

func TestHelpOfACommandHasExamples(t *testing.T) {
	for _, c := range commands {
		var out bytes.Buffer
		if _, err := Parse([]string{string(c.name), "--help"}, nil, testVersion, &out); !errors.Is(err, ErrDone) {
			t.Errorf("%s: %v", c.name, err)
		}
		text := out.String()
		if !strings.Contains(text, "\nExamples:\n  ") || !strings.Contains(text, "Usage: pixazo-mcp ") {
			t.Errorf("%s: %s", c.name, text)
		}
		if c.name != Serve && (!strings.Contains(text, "pixazo-mcp "+string(c.name)+" ") || strings.Contains(text, "PIXAZO_MAX_WAIT")) {
			t.Errorf("%s: %s", c.name, text)
		}
		// The examples hold: each is a command line of this program.
		_, examples, _ := strings.Cut(text, "\nExamples:\n")
		for line := range strings.Lines(examples) {
			args := strings.Fields(strings.ReplaceAll(line, "\"A 30-second tour of the water cycle\"", "A"))
			if args[0] != "pixazo-mcp" {
				continue // begins with a variable
			}
			if _, err := Parse(args[1:], []string{homeLine(t.TempDir())}, testVersion, io.Discard); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
		for line := range strings.Lines(text) {
			if len(line) > helpWidth+1 {
				t.Errorf("%s: line of %d columns: %s", c.name, len(line)-1, line)
			}
		}
	}
}

func TestValuesSayWhereTheyComeFrom(t *testing.T) {
	home := t.TempDir()
	s := mustParse(t, []string{"--output-dir", "~/o", "--files-dir", "~/a", "--files-dir", "~/b"}, homeLine(home), "PIXAZO_MAX_WAIT=7", "PIXAZO_LOG_LEVEL=${X}", "PIXAZO_API_KEY="+testKey)
	got := map[string]Value{}
	for _, v := range s.Values() {
		got[v.Name] = v
	}
	for _, want := range []Value{
		{"output-dir", filepath.Join(home, "o"), "flag"},
		{"files-dir", filepath.Join(home, "a") + string(filepath.ListSeparator) + filepath.Join(home, "b"), "flag"},
		{"max-wait", "7", "variable"},
		{"log-level", "info", "default"},
		{"api-key-file", filepath.Join(home, ".pixazo", "api-key"), "default"},
	} {
		if got[want.Name] != want {
			t.Errorf("got %+v, want %+v", got[want.Name], want)
		}
	}
	if _, there := got["live"]; there || strings.Contains(fmt.Sprint(got), testKey) {
		t.Errorf("got %v", got)
	}
}

func TestParseTakesBooleanForms(t *testing.T) {
	for word, want := range map[string]bool{
		"true": true, "1": true, "yes": true, "on": true, "TRUE": true, "Yes": true,
		"false": false, "0": false, "no": false, "off": false, "OFF": false,
	} {
		for _, s := range []Settings{
			mustParse(t, nil, "PIXAZO_SANDBOX="+word),
			mustParse(t, []string{"--sandbox=" + word}, "PIXAZO_SANDBOX="+fmt.Sprint(!want)),
			mustParse(t, []string{"--sandbox", word, "--max-wait", "1s"}, "PIXAZO_SANDBOX="+fmt.Sprint(!want)),
		} {
			if s.Sandbox != want {
				t.Errorf("%q: sandbox %v", word, s.Sandbox)
			}
		}
	}
}

func TestParseTakesDurations(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"1s": time.Second, "10m": 10 * time.Minute, "45": 45 * time.Second, "1.5": 1500 * time.Millisecond,
		"1m30s": 90 * time.Second, "50S": 50 * time.Second, "600": 10 * time.Minute,
	} {
		if s := mustParse(t, []string{"--max-wait", in}); s.MaxWait != want {
			t.Errorf("--max-wait %s: got %v, want %v", in, s.MaxWait, want)
		}
	}
	for in, want := range map[string]time.Duration{"1ms": time.Millisecond, "0.5": time.Second / 2, "1h": time.Hour} {
		if s := mustParse(t, []string{"--sandbox-duration", in}); s.SandboxDuration != want {
			t.Errorf("--sandbox-duration %s: got %v, want %v", in, s.SandboxDuration, want)
		}
	}
}

func TestParseTakesSizes(t *testing.T) {
	for in, want := range map[string]int64{
		"1": 1, "1B": 1, "007": 7, "1024": 1024, "1.9": 1, "1KB": 1024, "1kib": 1024, "1.5GB": 3 << 29, "1.5 GiB": 3 << 29, ".5mb": 512 << 10,
		"2 \t gb": 2 << 30, "0.001KB": 1, "1TB": 1 << 40, "1tib": 1 << 40, "1099511627775": 1<<40 - 1, "1073741824 KB": 1 << 40,
	} {
		if s := mustParse(t, []string{"--max-download", in}); s.MaxDownload != want {
			t.Errorf("--max-download %s: got %d, want %d", in, s.MaxDownload, want)
		}
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
		{"placeholders", nil, list("${A}", a, "${user_config.x}", " ${B}/x", b), []string{a, b}},
		{"placeholder alone", nil, list("${A}"), nil},
		{"placeholder with a separator", nil, list("${A", "-b}", a, "${B", "-c", "d}", b), []string{a, b}},
		{"placeholder cut off", nil, list(a, "${A"), []string{a}},
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

func TestParseTakesGatewayURLs(t *testing.T) {
	for in, want := range map[string]string{
		"https://gateway.example":       "https://gateway.example",
		"https://gateway.example/":      "https://gateway.example",
		"HTTPS://Gateway.Example:8443/": "https://gateway.example:8443",
		"http://localhost:8080":         "http://localhost:8080",
		"http://LOCALHOST":              "http://localhost",
		"http://127.0.0.1:1":            "http://127.0.0.1:1",
		"http://127.8.9.10/":            "http://127.8.9.10",
		"http://[::1]:8080":             "http://[::1]:8080",
	} {
		if s := mustParse(t, []string{"--gateway-url", in}); s.GatewayURL != want {
			t.Errorf("%s: got %s, want %s", in, s.GatewayURL, want)
		}
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

func TestExpandHomeFollowsThePlatform(t *testing.T) {
	tests := []struct{ path, home, goos, want string }{
		{"~", "/home/a", "linux", "/home/a"},
		{"~/x", "/home/a", "darwin", "/home/a/x"},
		{`~`, `C:\Users\a`, "windows", `C:\Users\a`},
		{`~\Videos\Pixazo`, `C:\Users\a`, "windows", `C:\Users\a\Videos\Pixazo`},
		{`~/Videos`, `C:\Users\a`, "windows", `C:\Users\a/Videos`}, // filepath.Abs cleans it there
		{`D:\out`, `C:\Users\a`, "windows", `D:\out`},
		{`\\server\share`, `C:\Users\a`, "windows", `\\server\share`},
		{`C:\PROGRA~1`, "", "windows", `C:\PROGRA~1`},
		{"/abs", "", "linux", "/abs"},
		{`~\x`, "/home/a", "linux", ""}, // \ is an ordinary character there
		{"~bob/x", "/home/a", "linux", ""},
		{"~/x", "", "linux", ""},
	}
	for _, tt := range tests {
		got, err := expandHome(tt.path, tt.home, tt.goos)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("expandHome(%q, %q, %s) = %q, %v; want %q", tt.path, tt.home, tt.goos, got, err, tt.want)
		}
	}
	if v := homeVariable("windows"); v != "USERPROFILE" {
		t.Errorf("home variable of Windows: %s", v)
	}
	if _, err := expandHome("~", "", "windows"); err == nil || !strings.Contains(err.Error(), "USERPROFILE") {
		t.Errorf("no home on Windows: %v", err)
	}
}

func TestParseRefusesValues(t *testing.T) {
	long := "https://h.example/" + strings.Repeat("x", 2000)
	tests := []struct {
		flag, rule string
		values     []string
	}{
		{"max-wait", "must be a duration between 1s and 10m, such as 50s",
			[]string{"soon", "0", "999ms", "10m1s", "601", "-5s", "1d", "1e2", ".", "NaN", "99999999999999999999"}},
		{"sandbox-duration", "must be a duration above 0s and at most 1h, such as 8s", []string{"0s", "-1s", "1h1ns", "fast"}},
		{"sandbox", "must be true or false", []string{"maybe", "2", "-"}},
		{"files-from-roots", "must be true or false", []string{"maybe", "2", "-"}},
		{"max-download", "must be a size from 1B to 1TB, such as 500MB or 1.5GB", []string{
			"big", "0", "0.5", "0.9B", "-1", "-1GB", "+1GB", "GB", ".", "1..5GB", "1,5GB", "1e3", "0x10", "1_000", "Inf", "NaN", "1ib", "1G", "1Gb/s", "1 G B", "1PB",
			"1.1TB", "1025GB", "1099511627777", "99999999999999999999",
		}},
		{"max-videos-per-hour", "must be a whole number from 0 (no limit) to 1,000,000",
			[]string{"many", "-1", "1.5", "1000001", "1,000", "0x10", "1e3", "99999999999999999999", "NaN"}},
		{"log-level", "must be debug, info, warn or error", []string{"loud", "INFO+3", "4"}},
		{"webhook-mode", "must be terminal (one report, at the end) or sync (one at each step)", []string{"always"}},
		{"gateway-url", "must be an https URL of just a host", []string{
			"gateway.pixazo.ai", "http://gateway.pixazo.ai", "http://localhost.example", "http://10.0.0.1", "http://[::2]",
			"ftp://gateway.pixazo.ai", "https://", "https:///", "https://:443", "https://h.example/v2",
			"https://h.example?", "https://h.example#", "https://h.example/?a=b", "https://u@h.example", "https:h.example",
			"https://h.example:", "https://h.example:0", "https://h.example:65536", "https://h.example:x", "https://h example", "//h.example", "https://h.example/%zz",
		}},
		{"webhook-url", "must be an https URL of at most 2,000 characters", []string{
			"http://h.example", "https://", "h.example/x", "https:///x", long, "https://h.example/ü", "https://h.example/a b", "https://h.example/\x01",
		}},
		{"media-origins", "must be https origins", []string{
			"cdn.example", "http://cdn.example", "https://cdn.example/videos", "https://", "https://*", "https://*.", "'self'", "data:", "*", "https://a.example;script-src", "https://u:p@a.example", "https://a.*.example", "https://ü.example",
		}},
		{"output-dir", "only a ~ alone or before a separator", []string{"~bob", "~bob/x"}},
		{"state-dir", "only a ~ alone or before a separator", []string{"~bob", "~bob/x"}},
		{"state-dir", "is not set to one", []string{"~", "~/x"}},
		{"files-dir", "only a ~ alone or before a separator", []string{"~bob", "~bob/x"}},
		{"files-dir", "is not set to one", []string{"~", "~/x"}},
		{"log-file", "is not set to one", []string{"~", "~/x"}},
		{"api-key-file", "is not set to one", []string{"~/key"}},
	}
	for _, tt := range tests {
		for _, v := range tt.values {
			for _, got := range []string{
				parseError(t, []string{"--" + tt.flag + "=" + v}),
				parseError(t, nil, variable(tt.flag)+"="+v),
			} {
				if want := "--" + tt.flag + " (" + variable(tt.flag) + "): "; !strings.HasPrefix(got, want) {
					t.Errorf("%s %q: error %q does not begin with %q", tt.flag, v, got, want)
				}
				if !strings.Contains(got, tt.rule) || !strings.Contains(got, `; got "`) {
					t.Errorf("%s %q: error %q lacks the rule or the value", tt.flag, v, got)
				}
				if strings.ContainsFunc(got, func(r rune) bool { return r < ' ' }) || len(got) > 400 {
					t.Errorf("%s %q: error is long or holds control characters: %q", tt.flag, v, got)
				}
			}
		}
	}
}

func TestParseWordsErrors(t *testing.T) {
	tests := []struct {
		name string
		args []string
		env  []string
		want string
	}{
		{"rule", []string{"--max-wait", "soon"}, nil,
			`--max-wait (PIXAZO_MAX_WAIT): must be a duration between 1s and 10m, such as 50s; got "soon"`},
		{"shortened and escaped", nil, []string{"PIXAZO_LOG_LEVEL=a\x1b[31m\n" + strings.Repeat("é", 100)},
			`--log-level (PIXAZO_LOG_LEVEL): must be debug, info, warn or error; got "a\x1b[31m\n` + strings.Repeat("é", 73) + `…"`},
		{"flag of the demo", []string{"demo", "--live=perhaps"}, nil, `--live: must be true or false; got "perhaps"`},
		{"all at once", []string{"--max-wait", "soon"}, []string{"PIXAZO_SANDBOX=maybe"},
			"--sandbox (PIXAZO_SANDBOX): must be true or false; got \"maybe\"\n" +
				`--max-wait (PIXAZO_MAX_WAIT): must be a duration between 1s and 10m, such as 50s; got "soon"`},
		{"two folders of a list", nil, []string{"PIXAZO_FILES_DIR=~a" + string(filepath.ListSeparator) + "/x" + string(filepath.ListSeparator) + "~b"},
			"--files-dir (PIXAZO_FILES_DIR): only a ~ alone or before a separator stands for a home directory (write ./~name for a file of that name); got \"~a\"\n" +
				`--files-dir (PIXAZO_FILES_DIR): only a ~ alone or before a separator stands for a home directory (write ./~name for a file of that name); got "~b"`},
		{"size", []string{"--max-download=2G"}, nil,
			`--max-download (PIXAZO_MAX_DOWNLOAD): must be a size from 1B to 1TB, such as 500MB or 1.5GB (KB and KiB both mean 1024 bytes, and so on up); got "2G"`},
		{"user info hidden", []string{"--webhook-url", "http://user:secret@h.example/x?token=secret"}, nil,
			`--webhook-url (PIXAZO_WEBHOOK_URL): must be an https URL of at most 2,000 characters, all of them ASCII; got "http://…@h.example/x?…"`},
		{"live and sandbox", []string{"demo", "--live", "--sandbox"}, nil,
			`--live and --sandbox: the demo uses the gateway, which spends credits, or the sandbox; got both`},
		{"limit that is no number", []string{"--max-videos-per-hour=many"}, nil,
			`--max-videos-per-hour (PIXAZO_MAX_VIDEOS_PER_HOUR): must be a whole number from 0 (no limit) to 1,000,000; got "many"`},
		{"negative limit", nil, []string{"PIXAZO_MAX_VIDEOS_PER_HOUR=-1"},
			`--max-videos-per-hour (PIXAZO_MAX_VIDEOS_PER_HOUR): must be a whole number from 0 (no limit) to 1,000,000; got "-1"`},
		{"no value", []string{"--max-wait"}, nil,
			`--max-wait (PIXAZO_MAX_WAIT): needs a value, a duration between 1s and 10m, such as 50s; got the end of the command line`},
		{"flag for a value", []string{"--max-wait", "--sandbox"}, nil,
			`--max-wait (PIXAZO_MAX_WAIT): needs a value, a duration between 1s and 10m, such as 50s; got "--sandbox"`},
		{"unknown flag", []string{"--max-wiat", "5s"}, nil,
			`unknown flag "--max-wiat", did you mean "--max-wait"? (pixazo-mcp --help lists what there is)`},
		{"unknown flag by variable's name", []string{"--webhook_url=x"}, nil,
			`unknown flag "--webhook_url", did you mean "--webhook-url"? (pixazo-mcp --help lists what there is)`},
		{"unlike any flag", []string{"--colour"}, nil, `unknown flag "--colour" (pixazo-mcp --help lists what there is)`},
		{"short flag", []string{"-x"}, nil, `unknown flag "-x", did you mean "-h"? (pixazo-mcp --help lists what there is)`},
		{"control characters in a flag", []string{"--\x1b[2J"}, nil, `unknown flag "--\x1b[2J" (pixazo-mcp --help lists what there is)`},
		{"flag of the demo without it", []string{"--prompt", "x"}, nil, `unknown flag "--prompt" (pixazo-mcp --help lists what there is)`},
		{"unknown command", []string{"dmeo"}, nil, `unexpected argument "dmeo", did you mean "demo"? (pixazo-mcp --help lists what there is)`},
		{"second command", []string{"serve", "demo"}, nil, `unexpected argument "demo" (pixazo-mcp --help lists what there is)`},
		{"value behind a boolean", []string{"--sandbox", "maybe"}, nil, `unexpected argument "maybe" (pixazo-mcp --help lists what there is)`},
		{"long argument", []string{strings.Repeat("a b", 100)}, nil,
			`unexpected argument "` + strings.Repeat("a b", 26) + `a …" (pixazo-mcp --help lists what there is)`},
		{"key as an argument", []string{testKey}, nil,
			`unexpected argument a word of 32 characters (not shown, since it may be a key) (pixazo-mcp --help lists what there is)`},
		{"key as a path", nil, []string{"PIXAZO_API_KEY_FILE=" + testKey},
			`--api-key-file (PIXAZO_API_KEY_FILE): must be the path of a file that holds the key, not the key itself; got a word of 32 characters (not shown, since it may be a key). Set PIXAZO_API_KEY to give the key`},
		{"key in the wrong variable too", nil, []string{"PIXAZO_API_KEY=short", "PIXAZO_LOG_LEVEL=short"},
			`--log-level (PIXAZO_LOG_LEVEL): must be debug, info, warn or error; got the key of PIXAZO_API_KEY`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := parseError(t, tt.args, tt.env...); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestParseSaysWhereTheKeyBelongs(t *testing.T) {
	for _, args := range [][]string{
		{"--api-key", testKey}, {"--api-key=" + testKey}, {"--apikey=" + testKey}, {"--API_KEY", testKey}, {"--key", testKey},
		{"--pixazo-api-key=" + testKey}, {"demo", "--api-key", testKey}, {"--sandbox", "--api-key"},
	} {
		got := parseError(t, args)
		if !strings.Contains(got, "PIXAZO_API_KEY,") || !strings.Contains(got, "--api-key-file (PIXAZO_API_KEY_FILE)") {
			t.Errorf("%q: %s", args, got)
		}
	}
}

func TestSandboxOffGoesWithGatewayURL(t *testing.T) {
	s := mustParse(t, []string{"--sandbox=false", "--gateway-url", "https://h.example"}, "PIXAZO_SANDBOX=true")
	if s.Sandbox || s.GatewayURL != "https://h.example" {
		t.Errorf("got %+v", s)
	}
}

// TestSandboxWinsOverGatewayURL: a gateway set for everyday use must not keep
// anybody from trying something without cost.
func TestSandboxWinsOverGatewayURL(t *testing.T) {
	for _, tt := range []struct{ args, env []string }{
		{[]string{"--sandbox", "--gateway-url", "https://h.example"}, nil},
		{[]string{"--sandbox"}, []string{"PIXAZO_GATEWAY_URL=https://h.example"}},
		{[]string{"--gateway-url", "https://h.example"}, []string{"PIXAZO_SANDBOX=true"}},
		{nil, []string{"PIXAZO_SANDBOX=true", "PIXAZO_GATEWAY_URL=https://h.example"}},
		{[]string{"--sandbox", "--gateway-url", "${URL}"}, nil},
		{[]string{"demo", "--sandbox", "--gateway-url", "https://h.example"}, nil},
	} {
		if s := mustParse(t, tt.args, tt.env...); !s.Sandbox {
			t.Errorf("%q, %q: no sandbox", tt.args, tt.env)
		}
	}
	// A mistake in either is told all the same.
	parseError(t, []string{"--sandbox", "--gateway-url", "http://h.example"})
}

// TestLiveDemoRefusesOnlyASandboxOfTheCommandLine: there the two contradict
// each other; a variable is an everyday setting, which --live sets aside.
func TestLiveDemoRefusesOnlyASandboxOfTheCommandLine(t *testing.T) {
	for _, args := range [][]string{{"demo", "--live", "--sandbox"}, {"--sandbox", "demo", "--live"}, {"demo", "--live", "--sandbox=on"}} {
		if got := parseError(t, args); !strings.HasPrefix(got, "--live and --sandbox: ") {
			t.Errorf("%q: %s", args, got)
		}
	}
	for _, tt := range []struct {
		args    []string
		env     string
		sandbox bool
	}{
		{[]string{"demo", "--live"}, "PIXAZO_SANDBOX=true", true},
		{[]string{"demo", "--live"}, "PIXAZO_SANDBOX=", false},
		{[]string{"demo", "--live", "--sandbox=false"}, "PIXAZO_SANDBOX=true", false},
		{[]string{"demo", "--live", "--sandbox=${SANDBOX}"}, "PIXAZO_SANDBOX=true", true},
		{[]string{"demo", "--live=false", "--sandbox"}, "", true},
	} {
		if s := mustParse(t, tt.args, tt.env); s.Sandbox != tt.sandbox {
			t.Errorf("%q, %s: sandbox %v", tt.args, tt.env, s.Sandbox)
		}
	}
}

func TestServeArgsGiveAChildTheSameSettings(t *testing.T) {
	home := t.TempDir()
	env := []string{homeLine(home), "PIXAZO_MAX_WAIT=7s", "PIXAZO_WEBHOOK_MODE=sync"}
	demo := mustParse(t, []string{"demo", "--prompt", "x", "--live", "--sandbox=off", "--state-dir", "~/state", "--max-videos-per-hour", "0",
		"--output-dir", " ~/my videos ", "--files-dir", "~/a", "--max-download", "1 MB", "--max-download", "2 MB", "--files-dir=b", "--files-from-roots", "--log-level", "${LEVEL}", "--log-file", home}, env...)
	args := demo.ServeArgs()
	if want := []string{"serve", "--sandbox=off", "--state-dir=~/state", "--output-dir=~/my videos", "--max-download=2 MB",
		"--files-dir=~/a", "--files-dir=b", "--files-from-roots=true", "--max-videos-per-hour=0", "--log-file=" + home}; !slices.Equal(args, want) {
		t.Errorf("ServeArgs() = %q, want %q", args, want)
	}
	child := mustParse(t, args, env...)
	demo.Command, demo.Demo = child.Command, child.Demo
	demo.keyVariable, child.keyVariable, demo.raw, child.raw = nil, nil, nil, nil
	if !reflect.DeepEqual(child, demo) {
		t.Errorf("child  %+v\nparent %+v", child, demo)
	}
	if got := mustParse(t, []string{"demo"}, env...).ServeArgs(); !slices.Equal(got, []string{"serve"}) {
		t.Errorf("without flags: %q", got)
	}
	if got := mustParse(t, []string{"demo", "--sandbox"}, env...).ServeArgs(); !slices.Equal(got, []string{"serve", "--sandbox=true"}) {
		t.Errorf("with a bare flag: %q", got)
	}
}

func TestHelpAndVersionPrintAndAreDone(t *testing.T) {
	bad := []string{"PIXAZO_MAX_WAIT=soon"} // help must work when settings do not
	for _, args := range [][]string{{"--help"}, {"-h"}, {"serve", "-h"}, {"--version"}, {"--sandbox", "--version"}} {
		var out bytes.Buffer
		_, err := Parse(args, bad, testVersion, &out)
		if !errors.Is(err, ErrDone) {
			t.Errorf("%q: error %v, want ErrDone", args, err)
		}
		if slices.Contains(args, "--version") {
			if out.String() != "pixazo-mcp 1.2.3\n" {
				t.Errorf("%q printed %q", args, out.String())
			}
			continue
		}
		text := out.String()
		for _, want := range []string{
			"MCP server over stdio", "\n  serve\n", "\n  demo\n", "\n  doctor\n", "\n  install CLIENT\n", "\n  uninstall CLIENT\n", "--json", "--print", "--prompt=TEXT", "--live", "-h, --help", "--version", "PIXAZO_API_KEY",
			"Default: 50s\n", "Default: ~/.pixazo/api-key\n", "\nExamples:\n",
			"--api-key-file=FILE", "--gateway-url=URL", "--sandbox ", "--sandbox-duration=DURATION", "--output-dir=DIR",
			"--state-dir=DIR", "PIXAZO_STATE_DIR\n", "--max-videos-per-hour=N", "PIXAZO_MAX_VIDEOS_PER_HOUR\n", "Default: 20\n",
			"--max-download=SIZE", "PIXAZO_MAX_DOWNLOAD\n", "Default: 2GB\n", "--files-dir=DIR", "PIXAZO_FILES_DIR\n", "--files-from-roots ", "PIXAZO_FILES_FROM_ROOTS\n",
			"--max-wait=DURATION", "--webhook-url=URL", "--webhook-mode=MODE", "--log-level=LEVEL", "--log-file=FILE",
			"PIXAZO_API_KEY_FILE\n", "PIXAZO_GATEWAY_URL\n", "PIXAZO_SANDBOX\n", "PIXAZO_SANDBOX_DURATION\n", "PIXAZO_OUTPUT_DIR\n",
			"PIXAZO_MAX_WAIT\n", "PIXAZO_WEBHOOK_URL\n", "PIXAZO_WEBHOOK_MODE\n", "PIXAZO_LOG_LEVEL\n", "PIXAZO_LOG_FILE\n",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%q: the help lacks %q", args, want)
			}
		}
		for line := range strings.Lines(text) {
			if len(line) > helpWidth+1 {
				t.Errorf("%q: line of %d columns: %s", args, len(line)-1, line)
			}
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestHelpReportsAFailedWrite(t *testing.T) {
	if _, err := Parse([]string{"--help"}, nil, testVersion, brokenWriter{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v, want that of the writer", err)
	}
}

func TestSettingsNeverShowTheKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(testKey), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, env := range []string{"PIXAZO_API_KEY=" + testKey, "PIXAZO_API_KEY_FILE=" + file} {
		s := mustParse(t, nil, env)
		if key, err := s.Key(); err != nil || key.IsZero() {
			t.Fatalf("no key to hide: %v", err)
		}
		var out bytes.Buffer
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
			fmt.Fprintf(&out, format+format, s, &s)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("", "settings", s)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("", "settings", s)
		if err := json.NewEncoder(&out).Encode(s); err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{testKey, fmt.Sprintf("%x", testKey)} {
			if strings.Contains(out.String(), secret) {
				t.Errorf("%s: printing shows the key: %s", env[:19], out.String())
			}
		}
	}
}

func BenchmarkParse(b *testing.B) {
	args := []string{"serve", "--max-wait", "45s", "--output-dir=~/out", "--sandbox"}
	env := append(os.Environ(), homeLine(b.TempDir()), "PIXAZO_LOG_LEVEL=debug", "PIXAZO_API_KEY="+testKey)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(args, env, testVersion, io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func TestValuesShowPathsAsTheyAre(t *testing.T) {
	path := filepath.Join(t.TempDir(), "me@work", "what?")
	for _, v := range mustParse(t, []string{"--output-dir", path, "--webhook-url", "https://u:p@h.example/x?t=1"}).Values() {
		if v.Name == "output-dir" && v.Text != path || v.Name == "webhook-url" && v.Text != "https://…@h.example/x?…" {
			t.Errorf("%+v", v)
		}
	}
}

func TestHelpAndVersionAreCommandsToo(t *testing.T) {
	for _, tt := range []struct{ words, flags []string }{
		{[]string{"help"}, []string{"--help"}},
		{[]string{"help", "install"}, []string{"install", "--help"}},
		{[]string{"help", "nothing"}, []string{"--help"}},
		{[]string{"version"}, []string{"--version"}},
		{[]string{"--sandbox", "version"}, []string{"--version"}},
	} {
		var got, want strings.Builder
		version := func() string { return "1.2.3" }
		_, err := Parse(tt.words, nil, version, &got)
		if _, wantErr := Parse(tt.flags, nil, version, &want); !errors.Is(err, ErrDone) || !errors.Is(wantErr, ErrDone) || got.String() != want.String() {
			t.Errorf("%q: %v, %s", tt.words, err, got.String())
		}
	}
}

func TestInvalidSettingsReachDoctorAsJSONAlone(t *testing.T) {
	s, err := Parse([]string{"doctor", "--json", "--max-wait=x"}, nil, nil, io.Discard)
	if err != nil || s.Command != Doctor || !s.Setup.JSON || s.Setup.Invalid == nil || !strings.Contains(s.Setup.Invalid.Error(), "--max-wait") {
		t.Errorf("%+v, %v", s.Setup, err)
	}
	if _, err := Parse([]string{"doctor", "--max-wait=x"}, nil, nil, io.Discard); err == nil {
		t.Error("invalid settings were taken")
	}
}

func TestKeyOfFileIsZeroWhereAKeyCanBePut(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]string{"": "", " \n": "", "k3y\n": "k3y", "two words": "error"} {
		path := filepath.Join(dir, "k")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := KeyOfFile(path)
		if (err != nil) != (want == "error") || key.IsZero() != (want != "k3y") {
			t.Errorf("%q: %v, %v", content, key, err)
		}
	}
	if key, err := KeyOfFile(filepath.Join(dir, "none")); err != nil || !key.IsZero() {
		t.Errorf("%v, %v", key, err)
	}
}
