// These tests hold what becomes of settings that can't be taken: a server that
// a client started says so in its answers, everything else refuses to start.

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pixazo-mcp/internal/config"
	"pixazo-mcp/pixazo"
	"pixazo-mcp/tools"
)

// calls are the arguments of every tool.
var calls = map[string]map[string]any{
	"generate_video": {"prompt": "tides"},
	"get_status":     {"request_id": "heygen-video-agent_1"},
	"wait_for_video": {"request_id": "heygen-video-agent_1", "timeout_seconds": 0},
	"list_videos":    {},
	"download_video": {"request_id": "heygen-video-agent_1"},
}

func TestServerOfAClientStartsWhateverItsSettingsAre(t *testing.T) {
	t.Parallel()
	all := []string{"generate_video", "get_status", "wait_for_video", "list_videos", "download_video"}
	for _, tt := range []struct {
		args    []string
		env     string
		refused []string // the tools whose calls are refused
		code    string
		says    string // besides the name of the setting
	}{
		{[]string{"--state-dir=$HOME/state"}, "", []string{"generate_video", "list_videos"}, "journal_unavailable", `got "$HOME/state"`},
		{nil, `PIXAZO_OUTPUT_DIR="/home/me/My Videos"`, []string{"download_video"}, "file_refused", "without quotation marks"},
		{[]string{"--output-dir", `%USERPROFILE%\Videos`}, "", []string{"download_video"}, "file_refused", "nothing fills in"},
		{[]string{"--gateway-url=http://gateway.example"}, "", all, "invalid_argument", "https URL"},
		{[]string{"--sandbox=maybe"}, "", all, "invalid_argument", "true or false"},
		{[]string{"--sandbx"}, "", all, "invalid_argument", `did you mean "--sandbox"?`},
		{[]string{"--output-dir", "--sandbox"}, "", all, "invalid_argument", "which is a flag"},
		{[]string{"--files-dir", `C:\My Docs" --sandbox`}, "", all, "invalid_argument", "holds the next flag"},
		{[]string{"--files-dir", "/My", "Documents"}, "", all, "invalid_argument", `unexpected argument "Documents"`},
		{[]string{""}, "", all, "invalid_argument", `unexpected argument "" (`}, // of a template that was filled in with nothing
		{[]string{`"--sandbox"`}, "", all, "invalid_argument", `unexpected argument "\"--sandbox\""`},
		{[]string{"—sandbox"}, "", all, "invalid_argument", `unexpected argument "—sandbox"`},
		{[]string{"--api-key", secret}, "", all, "invalid_argument", "never a flag"},
		{nil, "PIXAZO_MAX_VIDEOS_PER_HOUR=many", []string{"generate_video"}, "invalid_argument", "whole number"},
		{nil, "PIXAZO_WEBHOOK_URL=http://hooks.example/?token=t0ken", []string{"generate_video"}, "invalid_argument", "https URL"},
		{nil, "PIXAZO_WEBHOOK_MODE=always", []string{"generate_video"}, "invalid_argument", "terminal"},
		{[]string{"--max-wait=soon"}, "", []string{"wait_for_video", "download_video"}, "invalid_argument", `got "soon"`},
		{[]string{"--max-download=big"}, "", []string{"download_video"}, "invalid_argument", "a size"},
		{[]string{"--files-dir=$HOME/x", "--files-from-roots=maybe"}, "", nil, "", ""},
		{[]string{"--log-level=loud", "--media-origins=x", "--sandbox-duration=long"}, "", nil, "", ""},
	} {
		name := strings.Join(append(tt.args, tt.env), " ")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gateway := startBilling(t)
			args := tt.args
			if !strings.Contains(name, "gateway-url") {
				args = append(args, "--gateway-url", gateway.url)
			}
			p := start(t, append(homes(t.TempDir()), "PIXAZO_API_KEY="+secret, tt.env), args...)
			for _, tool := range all {
				r := p.call(tool, calls[tool])
				refused := r.Result.IsError && strings.HasPrefix(r.text(), tt.code+": ") && strings.Contains(r.text(), "a setting of this server")
				if refused != slices.Contains(tt.refused, tool) || refused && !strings.Contains(r.text(), tt.says) {
					t.Errorf("%s: %s", tool, r.text())
				}
				if strings.Contains(r.text(), secret) || strings.Contains(r.text(), "t0ken") {
					t.Errorf("%s tells a secret: %s", tool, r.text())
				}
			}
			if err := p.end(); err != nil {
				t.Error(err)
			}
			if n := len(gateway.accepted["tides"]); n > 0 == slices.Contains(tt.refused, "generate_video") {
				t.Errorf("%d videos were submitted", n)
			}
			if log := p.stderr.String(); !strings.Contains(log, "a setting can't be taken") || strings.Contains(log, secret) {
				t.Errorf("the log is\n%s", log)
			}
		})
	}
}

func TestOnlyCallsThatNeedASettingAreRefused(t *testing.T) {
	settings := func(args ...string) config.Settings {
		s, err := config.Parse(args, homes(t.TempDir()), nil, io.Discard)
		if err == nil {
			t.Fatalf("%q: no problem", args)
		}
		return s
	}
	files := settings("--files-dir=$HOME/x")
	video := settings("--output-dir=$HOME/x")
	for _, tt := range []struct {
		settings config.Settings
		what     string
		want     string // the code
	}{
		{files, tools.LocalFiles, "file_refused"},
		{files, "generate_video", ""},
		{video, "wait_for_video", ""},
		{settings("--sandbox", "--gateway-url=x"), "generate_video", ""},
		{settings("--sandbox", "--sandbox-duration=x"), "generate_video", "invalid_argument"},
		{settings("--sandbox", "--sandbox-duration=x"), "get_status", ""},
	} {
		got := ""
		if err := refuse(tt.settings, tt.what); err != nil {
			got = string(err.(*pixazo.Error).Code)
		}
		if got != tt.want {
			t.Errorf("%v, %s: %q, want %q", tt.settings.Problems, tt.what, got, tt.want)
		}
	}

	// Every setting is needed by a call, but for these.
	notNeeded := []string{"log-level", "log-file", "media-origins", "keep-days", "api-key-file"} // Settings.Key refuses the last
	for _, v := range files.Values {
		s := config.Settings{Sandbox: v.Name == "sandbox-duration", Problems: []config.Problem{{Name: v.Name, Err: io.EOF}}}
		refused := refuse(s, tools.LocalFiles) != nil
		for tool := range calls {
			refused = refused || refuse(s, tool) != nil
		}
		if refused == slices.Contains(notNeeded, v.Name) {
			t.Errorf("%s: refused: %t", v.Name, refused)
		}
	}
}

func TestALocalFileNeedsTheSettingsOfFolders(t *testing.T) {
	p := start(t, append(homes(t.TempDir()), "PIXAZO_API_KEY="+secret), "--files-dir=$HOME/x", "--gateway-url", startBilling(t).url)
	for _, files := range []any{[]string{"deck.pdf"}, []string{"https://a.example/b.pdf", `C:\deck`}, "~/deck", `["~/deck"]`} {
		r := p.call("generate_video", map[string]any{"prompt": "tides", "files": files})
		if !strings.HasPrefix(r.text(), "file_refused: --files-dir") || !strings.Contains(r.text(), "a setting of this server") {
			t.Errorf("%v: %s", files, r.text())
		}
	}
	if r := p.call("generate_video", map[string]any{"prompt": "tides", "files": []string{"https://a.example/b.pdf"}}); r.Result.IsError {
		t.Errorf("a URL: %s", r.text())
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

func TestKeyFileThatCantBeTakenIsNoKey(t *testing.T) {
	p := start(t, homes(t.TempDir()), "--api-key-file=$HOME/key")
	if r := p.call("generate_video", generate("tides")); !strings.HasPrefix(r.text(), "missing_api_key: --api-key-file (PIXAZO_API_KEY_FILE): must be a path as it is") {
		t.Errorf("got %s", r.text())
	}
}

func TestUnsetPlaceholdersAreLogged(t *testing.T) {
	p := start(t, append(homes(t.TempDir()), "PIXAZO_OUTPUT_DIR=${HOME}/Movies", "PIXAZO_API_KEY=${KEY:-"+secret+"}", "PIXAZO_LOG_LEVEL=WARNING"), "--sandbox")
	if r := p.call("generate_video", generate("tides")); r.Result.IsError {
		t.Errorf("got %s", r.text())
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
	log := p.stderr.String()
	if !strings.Contains(log, "PIXAZO_OUTPUT_DIR, PIXAZO_API_KEY") || strings.Contains(log, secret) {
		t.Errorf("the log is\n%s", log)
	}
	if strings.Contains(log, "INF") { // WARNING means warn
		t.Errorf("the log is\n%s", log)
	}
}

// Every command says which settings it left out because they begin with ${. Otherwise list
// would read another journal, and install write an entry without them, unnoticed.
func TestCommandsTellOfUnsetPlaceholders(t *testing.T) {
	for _, args := range []string{"list", "wait", "doctor --sandbox", "uninstall cursor"} {
		var errs bytes.Buffer
		_ = run(t.Context(), strings.Fields(args), append(homes(t.TempDir()), "PIXAZO_STATE_DIR=${HOME}/x"), nil, strings.NewReader(""), io.Discard, &errs)
		if !strings.Contains(errs.String(), "PIXAZO_STATE_DIR") {
			t.Errorf("%s: %q", args, errs.String())
		}
	}
}

func TestLogFileThatCantBeOpenedCostsTheFileOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no", "such", "dir", "log")
	p := start(t, nil, "--sandbox", "--log-file", path)
	if r := p.call("generate_video", generate("tides")); r.Result.IsError {
		t.Errorf("got %s", r.text())
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
	if log := p.stderr.String(); !strings.Contains(log, "--log-file (PIXAZO_LOG_FILE)") || !strings.Contains(log, "video submitted") {
		t.Errorf("the log is\n%s", log)
	}
}

func TestCommandsRefuseSettingsThatCantBeTaken(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"demo", "--max-wait=soon"}, "--max-wait (PIXAZO_MAX_WAIT)"},
		{[]string{"doctor", "--gateway-url=http://example.com"}, "--gateway-url (PIXAZO_GATEWAY_URL)"},
		{[]string{"install", "cursor", "--state-dir=$HOME/x"}, "--state-dir (PIXAZO_STATE_DIR)"},
		{[]string{"install", "cursor", "--log-file", filepath.Join(dir, "none", "log")}, "--log-file (PIXAZO_LOG_FILE)"},
		{[]string{"demo", "--log-file", dir}, "--log-file (PIXAZO_LOG_FILE)"},
		{[]string{"dmeo"}, `did you mean "demo"?`},
	} {
		var out, errs bytes.Buffer
		err := run(t.Context(), tt.args, homes(dir), nil, strings.NewReader(""), &out, &errs)
		if err == nil || !strings.Contains(err.Error(), tt.want) || out.Len() > 0 {
			t.Errorf("%q: %v, stdout %q", tt.args, err, out.String())
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDoctorReportsSettingsThatCantBeTakenAsJSONAlone(t *testing.T) {
	for args, want := range map[string]string{"doctor --json --max-wait=x": `"name": "settings"`, "doctor --max-wait=x": ""} {
		var out bytes.Buffer
		err := run(t.Context(), strings.Fields(args), homes(t.TempDir()), nil, strings.NewReader(""), &out, io.Discard)
		if err == nil || !strings.Contains(out.String(), want) || (want == "") != (out.Len() == 0) {
			t.Errorf("%s: %v, %s", args, err, out.String())
		}
	}
}

// keyboard is a stdin at which a person sits.
type keyboard struct{ io.Reader }

func (keyboard) isTerminal() bool { return true }

func TestServerOnATerminalRefusesSettingsThatCantBeTaken(t *testing.T) {
	for arg, want := range map[string]string{
		"--max-wait=soon":                "--max-wait (PIXAZO_MAX_WAIT)",
		"--log-file=/no/such/folder/log": "--log-file (PIXAZO_LOG_FILE)",
		"--sandbx":                       `did you mean "--sandbox"?`,
		"--sandbox":                      "",
	} {
		var out, errs bytes.Buffer
		err := run(t.Context(), []string{arg}, homes(t.TempDir()), nil, keyboard{strings.NewReader("")}, &out, &errs)
		if want == "" && (err != nil || !strings.Contains(errs.String(), "waits for an MCP client")) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, %s", arg, err, errs.String())
		}
	}
}

// A home directory from before UTF-8 may have any bytes in its name.
func TestAKeeperGetsTheSettingsByteForByte(t *testing.T) {
	home := filepath.Join(t.TempDir(), "j\xf6rg")
	if runtime.GOOS == "windows" { // whose paths are not bytes
		home = filepath.Join(t.TempDir(), "jörg")
	}
	given, err := config.Parse([]string{"--files-dir=" + home, "--files-dir=" + filepath.Join(home, "<&>")}, append(homes(home), "PIXAZO_API_KEY="+secret), fullVersion, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(newHandover(given))
	var sent handover
	if err == nil {
		err = json.Unmarshal(raw, &sent)
	}
	if err != nil {
		t.Fatal(err)
	}
	got := sent.settings()
	key, err := got.Key()
	wantKey, _ := given.Key()
	if got.StateDir != given.StateDir || got.OutputDir != given.OutputDir || !slices.Equal(got.FilesDirs, given.FilesDirs) || err != nil || key != wantKey || key.IsZero() {
		t.Errorf("got %q, %q, %q, %v; want %q, %q, %q", got.StateDir, got.OutputDir, got.FilesDirs, err, given.StateDir, given.OutputDir, given.FilesDirs)
	}
}
