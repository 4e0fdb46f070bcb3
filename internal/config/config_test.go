// These tests hold the rules of the settings: what is taken, from where, and
// what a refused value says.

package config

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

func testVersion() string { return "1.2.3" }

const testKey = "0123456789abcdef0123456789abcdef"

// homeLine gives the line of the environment that names the home directory.
func homeLine(dir string) string { return homeVariable(runtime.GOOS) + "=" + dir }

func variable(flag string) string {
	return "PIXAZO_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

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
		state = []string{".pixazo"}
	}
	if s.given("api-key-file") || s.EntryArgs != nil {
		t.Errorf("defaults count as given: %+v, %q", s.Values, s.EntryArgs)
	}
	s.keyVariable, s.Values, s.allArgs = nil, nil, nil
	want := Settings{
		MaxVideosPerDay:  50,
		AutoSave:         true,
		Keeper:           true,
		Notify:           "auto",
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
			flag := func(v string) []string { return []string{"--" + tt.flag, v} }
			if _, alone := tt.fromVar.(bool); alone { // its value can't be another argument
				flag = func(v string) []string { return []string{"--" + tt.flag + "=" + v} }
			}
			check("flag=", mustParse(t, []string{"--" + tt.flag + "=" + tt.typed}, env...), tt.fromFlag)
			check("flag", mustParse(t, flag(" "+tt.typed+" "), env...), tt.fromFlag)
			check("last flag", mustParse(t, append(flag(tt.variable), flag(tt.typed)...), env...), tt.fromFlag)
			check("before demo", mustParse(t, append(flag(tt.typed), "demo"), env...), tt.fromFlag)
			check("behind demo", mustParse(t, append([]string{"demo"}, flag(tt.typed)...), env...), tt.fromFlag)

			for _, unset := range []string{"", "  ", "${user_config.x}", " ${X", "${X:-1}"} {
				check("unset variable", mustParse(t, nil, homeLine(home), variable(tt.flag)+"="+unset), byDefault)
				check("unset flag", mustParse(t, flag(unset), homeLine(home)), byDefault)
				check("unset flag gives way", mustParse(t, flag(unset), env...), tt.fromVar)
				check("unset flag behind a set one", mustParse(t, append(flag(tt.typed), flag(unset)...), env...), tt.fromFlag)
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

func TestValuesSayWhereTheyComeFrom(t *testing.T) {
	home := t.TempDir()
	s := mustParse(t, []string{"--output-dir", "~/o", "--files-dir", "~/a", "--files-dir", "~/b"}, homeLine(home), "PIXAZO_MAX_WAIT=7", "PIXAZO_LOG_LEVEL=${X}", "PIXAZO_API_KEY="+testKey)
	got := map[string]Value{}
	for _, v := range s.Values {
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
	for _, row := range newParser(nil, &Settings{}).rows {
		if row.kind == "" && row.commands == nil && !row.team && got[row.name].Text == "" {
			t.Errorf("%s is neither true nor false", row.name)
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
		"0": math.MaxInt64, "1": 1, "1B": 1, "007": 7, "1024": 1024, "1.9": 1, "1KB": 1024, "1kib": 1024, "1.5GB": 3 << 29, "1.5 GiB": 3 << 29, ".5mb": 512 << 10,
		"2 \t gb": 2 << 30, "0.001KB": 1, "1TB": 1 << 40, "1tib": 1 << 40, "1099511627775": 1<<40 - 1, "1073741824 KB": 1 << 40,
	} {
		if s := mustParse(t, []string{"--max-download", in}); s.MaxDownload != want {
			t.Errorf("--max-download %s: got %d, want %d", in, s.MaxDownload, want)
		}
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

func TestParseRefusesValues(t *testing.T) {
	long := "https://h.example/" + strings.Repeat("x", 2000)
	tests := []struct {
		flag, rule string
		values     []string
	}{
		{"max-wait", "must be a duration between 1s and 10m, such as 50s",
			[]string{"soon", "0", "999ms", "10m1s", "601", "-5s", "1d", "1e2", ".", "NaN", "99999999999999999999"}},
		{"sandbox-duration", "must be a duration between 1ms and 1h, such as 8s", []string{"0s", "-1s", "1h1ns", "fast"}},
		{"sandbox", "must be true or false", []string{"maybe", "2", "-"}},
		{"files-from-roots", "must be true or false", []string{"maybe", "2", "-"}},
		{"max-download", "must be a size from 1B to 1TB, such as 500MB or 1.5GB", []string{
			"big", "0.5", "0.9B", "-1", "-1GB", "+1GB", "GB", ".", "1..5GB", "1,5GB", "1e3", "0x10", "1_000", "Inf", "NaN", "1ib", "1G", "1Gb/s", "1 G B", "1PB",
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
		{"output-dir", "must have its ~ alone or before a separator", []string{"~bob", "~bob/x"}},
		{"state-dir", "must have its ~ alone or before a separator", []string{"~bob", "~bob/x"}},
		{"state-dir", "the home directory is not known: set HOME", []string{"~", "~/x"}},
		{"files-dir", "must have its ~ alone or before a separator", []string{"~bob", "~bob/x"}},
		{"files-dir", "the home directory is not known: set HOME", []string{"~", "~/x"}},
		{"log-file", "the home directory is not known: set HOME", []string{"~", "~/x"}},
		{"api-key-file", "the home directory is not known: set HOME", []string{"~/key"}},
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
			"--files-dir (PIXAZO_FILES_DIR): must have its ~ alone or before a separator (write ./~name for a file of that name); got \"~a\"\n" +
				`--files-dir (PIXAZO_FILES_DIR): must have its ~ alone or before a separator (write ./~name for a file of that name); got "~b"`},
		{"size", []string{"--max-download=2G"}, nil,
			`--max-download (PIXAZO_MAX_DOWNLOAD): must be a size from 1B to 1TB, such as 500MB or 1.5GB (KB and KiB both mean 1024 bytes, and so on up); got "2G"`},
		{"user info hidden", []string{"--webhook-url", "http://user:secret@h.example/x?token=secret"}, nil,
			`--webhook-url (PIXAZO_WEBHOOK_URL): must be an https URL of at most 2,000 characters, all of them ASCII (http only to this computer); got "http://…@h.example/x?…"`},
		{"live and sandbox", []string{"demo", "--live", "--sandbox"}, nil,
			`--live and --sandbox: the demo uses the gateway, which spends credits, or the sandbox; got both`},
		{"limit that is no number", []string{"--max-videos-per-hour=many"}, nil,
			`--max-videos-per-hour (PIXAZO_MAX_VIDEOS_PER_HOUR): must be a whole number from 0 (no limit) to 1,000,000; got "many"`},
		{"negative limit", nil, []string{"PIXAZO_MAX_VIDEOS_PER_HOUR=-1"},
			`--max-videos-per-hour (PIXAZO_MAX_VIDEOS_PER_HOUR): must be a whole number from 0 (no limit) to 1,000,000; got "-1"`},
		{"no value", []string{"--max-wait"}, nil,
			`--max-wait (PIXAZO_MAX_WAIT): needs a value; got the end of the command line`},
		{"flag for a value", []string{"--max-wait", "--sandbox"}, nil,
			`--max-wait (PIXAZO_MAX_WAIT): needs a value; got "--sandbox", which is a flag`},
		{"unknown flag", []string{"--max-wiat", "5s"}, nil,
			`unknown flag "--max-wiat", did you mean "--max-wait"? (pixazo-mcp --help lists what there is)` + "\n" +
				`unexpected argument "5s" (pixazo-mcp --help lists what there is)`},
		{"unknown flag by variable's name", []string{"--webhook_url=x"}, nil,
			`unknown flag "--webhook_url", did you mean "--webhook-url"? (pixazo-mcp --help lists what there is)`},
		{"unlike any flag", []string{"--colour"}, nil, `unknown flag "--colour" (pixazo-mcp --help lists what there is)`},
		{"short flag", []string{"-x"}, nil, `unknown flag "-x", did you mean "-h"? (pixazo-mcp --help lists what there is)`},
		{"control characters in a flag", []string{"--\x1b[2J"}, nil, `unknown flag "--\x1b[2J" (pixazo-mcp --help lists what there is)`},
		{"flag of the demo without it", []string{"--prompt", "x"}, nil, `--prompt is a flag of demo alone`},
		{"unknown command", []string{"dmeo"}, nil, `unexpected argument "dmeo", did you mean "demo"? (pixazo-mcp --help lists what there is)`},
		{"second command", []string{"serve", "demo"}, nil, `unexpected argument "demo" (pixazo-mcp --help lists what there is)`},
		{"value behind a boolean", []string{"--sandbox", "maybe"}, nil, `unexpected argument "maybe" (pixazo-mcp --help lists what there is)`},
		{"long argument", []string{strings.Repeat("a b", 100)}, nil,
			`unexpected argument "` + strings.Repeat("a b", 26) + `a …" (pixazo-mcp --help lists what there is)`},
		{"key as an argument", []string{testKey}, nil,
			`unexpected argument a word of 32 characters (not shown, since it may be a key) (pixazo-mcp --help lists what there is)`},
		{"key as a path", nil, []string{"PIXAZO_API_KEY_FILE=" + testKey},
			`--api-key-file (PIXAZO_API_KEY_FILE): must be the path of a file that holds the key, not the key itself, which PIXAZO_API_KEY gives; got a word of 32 characters (not shown, since it may be a key)`},
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
	if runtime.GOOS == "windows" { // which has no such names
		path = filepath.Join(t.TempDir(), "me@work")
	}
	for _, v := range mustParse(t, []string{"--output-dir", path, "--webhook-url", "https://u:p@h.example/x?t=1"}).Values {
		if v.Name == "output-dir" && v.Text != path || v.Name == "webhook-url" && v.Text != "https://…@h.example/x?…" {
			t.Errorf("%+v", v)
		}
	}
}
