// These tests hold how the command line is taken apart.

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseTakesCommands(t *testing.T) {
	tests := []struct {
		args   []string
		want   string
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
		{[]string{"demo", "--live=${LIVE}"}, Demo, "", false},
		{[]string{"--prompt", "a sea", "demo"}, Demo, "a sea", false},
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
		want    string
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
		{[]string{"--", "install", "cursor", "--", "--sandbox"}, Install, "cursor", false, false, true},
	} {
		// Their flags have no variables.
		s := mustParse(t, tt.args, "PIXAZO_PRINT=true", "PIXAZO_JSON=true")
		if s.Command != tt.want || s.Setup.Client != tt.client || s.Setup.Print != tt.print || s.JSON != tt.json || s.Sandbox != tt.sandbox {
			t.Errorf("%q: got %v, %+v", tt.args, s.Command, s.Setup)
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
	if got := s.EntryArgs; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := mustParse(t, []string{"install", "cursor", "--sandbox=no"}, homeLine(home)).EntryArgs; !slices.Equal(got, []string{"--sandbox=no"}) {
		t.Errorf("refused sandbox: %q", got)
	}
}

func TestParseSaysWhereTheKeyBelongs(t *testing.T) {
	for _, args := range [][]string{
		{"--api-key", testKey}, {"--api-key=" + testKey}, {"--apikey=" + testKey}, {"--API_KEY", testKey}, {"--key", testKey},
		{"--pixazo-api-key=" + testKey}, {"demo", "--api-key", testKey},
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

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestHelpReportsAFailedWrite(t *testing.T) {
	if _, err := Parse([]string{"--help"}, nil, testVersion, brokenWriter{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v, want that of the writer", err)
	}
}

func TestHelpAndVersionAreCommandsToo(t *testing.T) {
	for _, tt := range []struct{ words, flags []string }{
		{[]string{"help"}, []string{"--help"}},
		{[]string{"help", "install"}, []string{"install", "--help"}},
		{[]string{"help", "nothing"}, []string{"--help"}},
		{[]string{"help", "http"}, []string{"http", "--help"}},
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

func TestCommandLineErrors(t *testing.T) {
	const clients = "claude-desktop, claude-code, cursor, vscode, gemini, qwen, opencode, windsurf, zed, codex, goose"
	const more = " (pixazo-mcp --help lists what there is)"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"install"}, "install: name a client: " + clients},
		{[]string{"uninstall", "--print"}, "uninstall: name a client: " + clients},
		{[]string{"install", "cusror"}, "install: name a client: " + clients + "\n" + `unexpected argument "cusror", did you mean "cursor"?` + more},
		{[]string{"--sandbox", "false"}, `unexpected argument "false"` + more}, // or a sandbox that was switched off would be on
		{[]string{"install", "cursor", "now"}, `unexpected argument "now"` + more},
		{[]string{"doctor", "zed"}, `unexpected argument "zed"` + more},
		{[]string{"docter"}, `unexpected argument "docter", did you mean "doctor"?` + more},
		{[]string{"doctor", "--jsno"}, `unknown flag "--jsno", did you mean "--json"?` + more},
		{[]string{"---json"}, `unknown flag "---json", did you mean "--json"?` + more},
		{[]string{"--json"}, "--json is a flag of doctor, wait, list alone"},
		{[]string{"serve", "--print"}, "--print is a flag of install, uninstall alone"},
		{[]string{"demo", "--live", "--prompt", ""}, `--prompt: must say what the video shows, and not begin with ${; got ""`}, // as of a variable that is not set
		{[]string{"demo", "--live", "--prompt=${TOPIC} in 30 seconds"}, `--prompt: must say what the video shows, and not begin with ${; got "${TOPIC} in 30 seconds"`},
		{[]string{"demo", "--live", "--prompt=caf\xe9"}, `--prompt: must be UTF-8; got "caf\xe9"`},
		{[]string{"demo", "--json"}, "--json is a flag of doctor, wait, list alone"},
	} {
		if got := parseError(t, tt.args); got != tt.want {
			t.Errorf("%q: %s", tt.args, got)
		}
	}
}

// A person's typing error must not start a server that waits for input; a
// client's configuration with one must.
func TestOnlyAWordThatComesFirstIsNoServer(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"dmeo"}, ""},
		{[]string{"dmeo", "--sandbox"}, ""},
		{[]string{"--files-dir", "/home/me/My", "Documents"}, Serve},
		{[]string{"--sandbx"}, Serve},
		{[]string{"serve", "dmeo"}, Serve},
		{[]string{"demo", "--sandbx"}, Demo},
	} {
		s, err := Parse(tt.args, nil, testVersion, io.Discard)
		if err == nil || s.Command != tt.want || s.Problem("") == nil {
			t.Errorf("%q: command %q, error %v", tt.args, s.Command, err)
		}
	}
}

// The flag that was taken for a value may have been --sandbox: nothing may be
// called, or the user pays.
func TestSwallowedFlagPutsTheWholeCommandLineInDoubt(t *testing.T) {
	for _, args := range [][]string{
		{"--output-dir", "--sandbox"},
		{"--output-dir", "-sandbox"},
		{"--max-wait", "--sandbox=true"},
		{"demo", "--prompt", "--live"},
		{"--files-dir", `C:\My Docs" --output-dir D:\Out`}, // "C:\My Docs\" as Windows reads it
		{"--files-dir", `C:\My Docs" --sandbox`},
		{"--log-file", `C:\log" -sandbox`},
	} {
		s, err := Parse(args, nil, testVersion, io.Discard)
		if err == nil || s.Problem("") == nil || s.OutputDir != "" || s.FilesDirs != nil {
			t.Errorf("%q: %v, %+v", args, err, s)
		}
		if strings.Contains(args[1], `"`) && !strings.Contains(err.Error(), `leave out a \ before a closing quotation mark`) {
			t.Errorf("%q: %v", args, err)
		}
	}
	if s := mustParse(t, []string{"demo", "--prompt", `say "hi" - and wave`}); s.Demo.Prompt != `say "hi" - and wave` {
		t.Errorf("prompt %q", s.Demo.Prompt)
	}
}

func TestUnsetPlaceholdersAreNamed(t *testing.T) {
	s := mustParse(t, []string{"--output-dir", "${HOME}/Movies", "--sandbox=${sandbox}", "--log-level=debug"}, homeLine(t.TempDir()),
		"PIXAZO_STATE_DIR= ${STATE}", "PIXAZO_API_KEY=${KEY:-"+testKey+"}", "PIXAZO_MAX_WAIT=", "PIXAZO_FILES_DIR=/a"+string(filepath.ListSeparator)+"${B}", "OTHER=${X}")
	want := []string{"--output-dir", "--sandbox", "PIXAZO_STATE_DIR", "PIXAZO_FILES_DIR", "PIXAZO_API_KEY"}
	if !slices.Equal(s.Unset, want) {
		t.Errorf("got %q, want %q", s.Unset, want)
	}
	if s.Sandbox || s.LogLevel != slog.LevelDebug {
		t.Errorf("got %+v", s)
	}
}

func TestHelpAndVersionPrintAndAreDone(t *testing.T) {
	bad := []string{"PIXAZO_MAX_WAIT=soon"} // help must work when settings do not
	for _, args := range [][]string{{"--help"}, {"-h"}, {"serve", "-h"}, {"install", "--help"}, {"demo", "--nothing", "--help"}, {"http", "--help"}, {"--version"}, {"--sandbox", "--version"}} {
		var out bytes.Buffer
		if _, err := Parse(args, bad, testVersion, &out); !errors.Is(err, ErrDone) {
			t.Errorf("%q: error %v, want ErrDone", args, err)
		}
		if slices.Contains(args, "--version") {
			if out.String() != "pixazo-mcp 1.2.3\n" {
				t.Errorf("%q printed %q", args, out.String())
			}
			continue
		}
		text := out.String()
		ofHTTP := args[0] == "http"
		var s Settings
		for _, row := range newParser(nil, &s).rows {
			if (row.team || row.name == "probe") != ofHTTP {
				continue
			}
			inHelp := "  --" + row.name + strings.TrimSuffix("="+row.kind, "=") + " "
			ofPlatform := row.name == "state-dir" || row.name == "output-dir" || row.fallback == "false"
			if (row.commands == nil || ofHTTP) && (!strings.Contains(text, inHelp) || !ofPlatform && row.fallback != "" && !strings.Contains(text, "("+row.fallback+")")) ||
				!strings.Contains(text, "--"+row.name) {
				t.Errorf("%q: the help lacks %+v", args, row)
			}
		}
		for _, c := range slices.Concat(commands, Clients, []string{"-h, --help", "--version", "PIXAZO_API_KEY,", "PIXAZO_MAX_WAIT"}) {
			if !ofHTTP && !strings.Contains(text, c) {
				t.Errorf("%q: the help lacks %s", args, c)
			}
		}
		for line := range strings.Lines(text) {
			if len(line) > 81 {
				t.Errorf("%q: line of %d columns: %s", args, len(line)-1, line)
			}
		}
	}
}

func TestExamplesOfTheHelpHold(t *testing.T) {
	_, examples, _ := strings.Cut(help, "Examples:\n")
	for line := range strings.Lines(examples) {
		args := strings.Fields(strings.ReplaceAll(line, `"A 30-second tour of the water cycle"`, "A"))
		if _, err := Parse(args[1:], []string{homeLine(t.TempDir())}, testVersion, io.Discard); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestHandoverGivesTheSameSettings(t *testing.T) {
	dir := t.TempDir()
	was := mustParse(t, []string{"--state-dir", dir, "--files-dir", filepath.Join(dir, "a"), "--files-dir", filepath.Join(dir, "b"), "--max-wait=20s", "--keeper=no", "--notify=on", "--sandbox"},
		homeLine(dir), "PIXAZO_SUBSCRIPTION_KEY="+testKey, "PIXAZO_MAX_VIDEOS_PER_DAY=7")
	args, env := was.Handover()
	for _, arg := range args {
		if strings.Contains(arg, testKey) {
			t.Errorf("the key is an argument: %q", arg)
		}
	}
	is := mustParse(t, args, env...)
	key, err := is.Key()
	if wasKey, _ := was.Key(); err != nil || key != wasKey || key.IsZero() {
		t.Errorf("the key is another one: %v", err)
	}
	for _, s := range []*Settings{&was, &is} {
		s.keyVariable, s.Values, s.EntryArgs = nil, nil, nil
	}
	if !reflect.DeepEqual(was, is) {
		t.Errorf("got  %+v\nwant %+v", is, was)
	}
}

func TestHandoverMakesNoDefaultOfAPathThatCantBeTaken(t *testing.T) {
	was, err := Parse([]string{"--output-dir=$HOME/Movies", "--files-dir=~ada"}, []string{homeLine(t.TempDir())}, testVersion, io.Discard)
	args, env := was.Handover()
	is, isErr := Parse(args, env, testVersion, io.Discard)
	if err == nil || is.OutputDir != "" || is.FilesDirs != nil || is.Problem("output-dir") == nil || fmt.Sprint(isErr) != fmt.Sprint(err) {
		t.Errorf("got %q, %q, %v; want none, %v", is.OutputDir, is.FilesDirs, isErr, err)
	}
}

func TestHandoverOfAMissingKeyIsNoError(t *testing.T) {
	for _, args := range [][]string{nil, {"--api-key-file", filepath.Join(t.TempDir(), "key")}} {
		was := mustParse(t, args, homeLine(t.TempDir()))
		args, env := was.Handover()
		is := mustParse(t, args, env...)
		_, wasErr := was.Key()
		if key, err := is.Key(); !key.IsZero() || fmt.Sprint(err) != fmt.Sprint(wasErr) {
			t.Errorf("got %v, want %v", err, wasErr)
		}
	}
}

func TestWaitTakesRequestIDs(t *testing.T) {
	s := mustParse(t, []string{"wait", "--json", "id-1", "id-2", "--save", "--timeout=45m"})
	if want := []string{"id-1", "id-2"}; !slices.Equal(s.Shell.RequestIDs, want) || !s.JSON || !s.Shell.Save || s.Shell.Timeout != 45*time.Minute {
		t.Errorf("%+v", s.Shell)
	}
	if got := parseError(t, []string{"wait", "no id"}); !strings.HasPrefix(got, "invalid_argument: request_id must be") {
		t.Error(got)
	}
}
