// These tests let doctor loose on what can be wrong: the key, the gateway, the
// folders, the journal, and the clients' configurations.

package setup

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pixazo-mcp/internal/config"
)

// report runs doctor --json and checks what holds for every report.
func (b *bench) report(env []string, args ...string) (Report, map[string]Check) {
	b.t.Helper()
	err := b.runWith(env, append([]string{"doctor", "--json"}, args...)...)
	var r Report
	if err := json.Unmarshal(b.out.Bytes(), &r); err != nil {
		b.t.Fatalf("%v in %s", err, b.out.String())
	}
	checks := map[string]Check{}
	failed := false
	for _, c := range r.Checks {
		if _, twice := checks[c.Name]; twice {
			b.t.Errorf("%s is there twice", c.Name)
		}
		checks[c.Name] = c
		failed = failed || c.Status == statusFail
		if !slices.Contains([]string{statusOK, statusWarn, statusFail}, c.Status) || c.Detail == "" || c.Status == statusFail && c.Fix == "" {
			b.t.Errorf("%+v", c)
		}
	}
	if r.OK == failed || (err != nil) != failed {
		b.t.Errorf("ok is %v, error %v, and failed %v", r.OK, err, failed)
	}
	if strings.Contains(b.out.String(), testKey) || err != nil && strings.Contains(err.Error(), testKey) {
		b.t.Error("the key is shown")
	}
	return r, checks
}

// answering is a gateway that gives one answer to everything.
func answering(t *testing.T, status int, body string) (url string, asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if status/100 == 3 {
			w.Header().Set("Location", "https://login.example/?key="+testKey)
		}
		if strings.HasPrefix(body, "<html>") {
			w.Header().Set("Content-Type", "text/html; charset="+testKey)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

func TestDoctorNamesDoNotChange(t *testing.T) {
	b := newBench(t, "linux")
	r, _ := b.report(nil, "--sandbox")
	var names []string
	for _, c := range r.Checks {
		names = append(names, c.Name)
	}
	want := []string{"version"}
	for _, v := range b.o.Settings.Values {
		want = append(want, "setting."+v.Name)
	}
	want = append(want, "key", "gateway", "state-dir", "journal", "output-dir", "files-dir")
	for _, name := range config.Clients {
		want = append(want, "client."+name)
	}
	if !slices.Equal(names, want) || !r.OK {
		t.Errorf("ok %v, names %q\nwant %q", r.OK, names, want)
	}
}

func TestDoctorTellsTheGatewaysAnswersApart(t *testing.T) {
	for _, tt := range []struct {
		name         string
		status       int
		body         string
		key, gateway string // the statuses
		detail       string // in either
		ok           bool
	}{
		{"unknown job", 404, `{"error":"not found"}`, statusOK, statusOK, "ends in cdef, accepted", true},
		{"a job of that name", 200, `{"request_id":"heygen-video-agent_00000000-0000-0000-0000-000000000000","status":"QUEUED"}`, statusOK, statusOK, "accepted", true},
		{"a page that is not there", 404, `<html>Not Found</html>`, statusOK, statusWarn, "text/html", true},
		{"a page", 200, `<html>Welcome</html>`, statusOK, statusWarn, "text/html", true},
		{"a redirect to the key", 302, ``, statusOK, statusWarn, "a redirect", true},
		{"refused key", 401, `{"message":"bad key ` + testKey + `"}`, statusFail, statusOK, "refused the API key", false},
		{"forbidden", 403, `{}`, statusFail, statusOK, "refused the API key", false},
		{"no credits", 402, `{}`, statusWarn, statusOK, "out of credits", true},
		{"no balance", 403, `{"error":"insufficient balance"}`, statusWarn, statusOK, "out of credits", true},
		{"too many", 429, `{}`, statusOK, statusWarn, "limits the rate", true},
		{"failing", 500, `boom ` + testKey, statusOK, statusFail, "HTTP 500", false},
		{"another server", 418, `{"error":"what is this \u001b[2J ` + testKey + `"}`, statusOK, statusWarn, "HTTP 418", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, asked := answering(t, tt.status, tt.body)
			b := newBench(t, "linux")
			r, checks := b.report([]string{"PIXAZO_API_KEY=" + testKey}, "--gateway-url", url)
			key, gateway := checks["key"], checks["gateway"]
			if key.Status != tt.key || gateway.Status != tt.gateway || r.OK != tt.ok || !strings.Contains(key.Detail+gateway.Detail, tt.detail) {
				t.Errorf("key %+v\ngateway %+v\nok %v", key, gateway, r.OK)
			}
			if !strings.Contains(gateway.Detail, " ms") || asked.Load() != 1 || strings.Contains(gateway.Detail, "\x1b") {
				t.Errorf("%d requests: %s", asked.Load(), gateway.Detail)
			}
		})
	}
}

func TestDoctorTakesARefusalWithoutAKeyForAnAnswer(t *testing.T) {
	url, asked := answering(t, 401, `{"error":"no key"}`)
	b := newBench(t, "linux")
	_, checks := b.report(nil, "--gateway-url", url)
	if c := checks["gateway"]; c.Status != statusOK || asked.Load() != 1 {
		t.Errorf("%+v", c)
	}
	if c := checks["key"]; c.Status != statusFail || !strings.Contains(c.Detail, "none found") || !strings.Contains(c.Fix, filepath.Join(b.home, ".pixazo", "api-key")) {
		t.Errorf("%+v", c)
	}
}

// A key can stand wherever a user or a gateway puts it.
func TestDoctorHidesTheKeysInEveryWord(t *testing.T) {
	const entryKey = "fedcba9876543210fedcba9876543210"
	url, _ := answering(t, 404, `<html>`+testKey)
	spelled := testKey[:9] + "\u200b" + testKey[9:20] + "\u0001" + testKey[20:]
	b := newBench(t, "linux")
	entries := map[string]any{
		"at-" + testKey:  map[string]any{"command": "/" + testKey + "/pixazo-mcp"},
		"at-" + entryKey: map[string]any{"command": "/" + spelled + "/pixazo-mcp", "env": map[string]string{"PIXAZO_API_KEY": entryKey}},
		"pixazo":         map[string]any{"command": "pixazo-mcp", "args": []string{"--max-wait=" + spelled}, "env": map[string]string{"PIXAZO_LOG_LEVEL": "x " + entryKey}},
	}
	config, err := json.Marshal(map[string]any{"mcpServers": entries})
	if err != nil {
		t.Fatal(err)
	}
	b.write(b.path(".cursor/mcp.json"), string(config), 0o600)
	b.o.CheckJournal = func(string) (Journal, error) {
		return Journal{Path: "/" + entryKey}, errors.New("no " + spelled)
	}
	for _, sandbox := range []string{"false", "true"} {
		b.report([]string{"PIXAZO_API_KEY=" + testKey}, "--sandbox="+sandbox, "--gateway-url", url,
			"--output-dir", b.path(testKey), "--files-dir", b.path(entryKey), "--log-file", b.path("x/"+testKey))
		for _, word := range []string{testKey, testKey[:9], testKey[9:20], entryKey} {
			if strings.Contains(b.out.String(), word) {
				t.Errorf("%s is shown in %s", word, b.out.String())
			}
		}
	}
}

func TestDoctorSaysThatTheGatewayCannotBeReached(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	for _, env := range [][]string{nil, {"PIXAZO_API_KEY=" + testKey}} {
		b := newBench(t, "linux")
		_, checks := b.report(env, "--gateway-url", closed.URL)
		if g := checks["gateway"]; g.Status != statusFail || !strings.Contains(g.Detail, closed.URL+" can't be reached") || !strings.Contains(g.Fix, "HTTPS_PROXY") {
			t.Errorf("%+v", g)
		}
		if k := checks["key"]; strings.Contains(k.Detail, "not tried") != (env != nil) {
			t.Errorf("%+v", k)
		}
	}
}

func TestDoctorFindsTheKey(t *testing.T) {
	url, _ := answering(t, 404, `{"error":"not found"}`)
	for _, tt := range []struct {
		name   string
		file   string
		mode   os.FileMode
		env    string
		status string
		want   string
	}{
		{"none", "", 0, "", statusFail, "none found"},
		{"variable", "", 0, "PIXAZO_API_KEY=" + testKey, statusOK, "from PIXAZO_API_KEY, ends in cdef, accepted"},
		{"short", "", 0, "PIXAZO_API_KEY=short-enough-15", statusOK, "from PIXAZO_API_KEY, accepted"},
		{"file", testKey, 0o600, "", statusOK, "api-key, ends in cdef, accepted"},
		{"file of everybody", testKey, 0o644, "", statusWarn, "ends in cdef"},
		{"malformed", "a b", 0o600, "", statusFail, "key file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, "linux")
			if tt.file != "" {
				b.write(b.path(".pixazo/api-key"), tt.file, tt.mode)
			}
			_, checks := b.report([]string{tt.env}, "--gateway-url", url)
			if runtime.GOOS == "windows" && tt.mode == 0o644 {
				return // no such modes
			}
			if c := checks["key"]; c.Status != tt.status || !strings.Contains(c.Detail, tt.want) {
				t.Errorf("got %+v", c)
			}
			if c := checks["gateway"]; c.Status != statusOK {
				t.Errorf("got %+v", c)
			}
		})
	}
}

func TestDoctorSaysWhereSettingsComeFrom(t *testing.T) {
	b := newBench(t, "linux")
	out := b.path("out")
	_, checks := b.report([]string{"PIXAZO_MAX_WAIT=9s", "PIXAZO_WEBHOOK_URL=https://h.example/x?token=secret"}, "--sandbox", "--output-dir", out)
	for name, want := range map[string]string{
		"max-wait": "9s (variable)", "output-dir": out + " (flag)", "log-level": "info (default)", "webhook-url": "https://h.example/x?… (variable)", "sandbox": "true (flag)",
	} {
		if got := checks["setting."+name].Detail; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestDoctorTriesTheFolders(t *testing.T) {
	b := newBench(t, "linux")
	blocked := b.path("file")
	b.write(blocked, "", 0o600)
	_, checks := b.report(nil, "--sandbox", "--state-dir", filepath.Join(blocked, "s"), "--output-dir", blocked, "--files-dir", b.path("gone"), "--files-dir", b.home)
	for _, name := range []string{"state-dir", "output-dir", "files-dir"} {
		if c := checks[name]; c.Status != statusFail || !strings.Contains(c.Fix, "--"+name) {
			t.Errorf("%+v", c)
		}
	}
	if _, there := checks["journal"]; there {
		t.Error("a journal without a folder")
	}

	_, checks = b.report(nil, "--sandbox", "--state-dir", b.path("s/t"), "--output-dir", b.path("o"), "--files-dir", b.home)
	for _, name := range []string{"state-dir", "output-dir", "files-dir"} {
		if c := checks[name]; c.Status != statusOK {
			t.Errorf("%+v", c)
		}
	}
	for _, dir := range []string{"s/t", "o"} {
		if names := b.files(b.path(dir)); len(names) > 0 {
			t.Errorf("left in %s: %q", dir, names)
		}
	}
}

func TestDoctorWorksInAReadOnlyFolderAndWithoutAHome(t *testing.T) {
	b := newBench(t, "linux")
	if os.Geteuid() > 0 {
		b.write(b.path("locked/x"), "", 0o600)
		if err := os.Chmod(b.path("locked"), 0o500); err != nil {
			t.Fatal(err)
		}
		if _, checks := b.report(nil, "--sandbox", "--output-dir", b.path("locked")); checks["output-dir"].Status != statusFail {
			t.Errorf("%+v", checks["output-dir"])
		}
		_ = os.Chmod(b.path("locked"), 0o700) // so that it can be removed
	}
	b.home = ""
	r, checks := b.report(nil, "--sandbox")
	if r.OK || checks["state-dir"].Status != statusFail || checks["output-dir"].Status != statusFail || checks["client.cursor"].Status != statusOK {
		t.Errorf("%+v", r)
	}
}

func TestDoctorReportsOnTheJournal(t *testing.T) {
	for _, tt := range []struct {
		name    string
		journal Journal
		err     error
		goos    string
		status  string
		detail  string
		fix     string
	}{
		{"none", Journal{Path: "/s/journal.db"}, nil, "linux", statusOK, "none yet", ""},
		{"sound", Journal{Path: "/s/journal.db", Exists: true, Jobs: 7}, nil, "linux", statusOK, "/s/journal.db is sound; videos in it: 7", ""},
		{"set aside", Journal{Path: "/s/journal.db", Notice: "an earlier one is damaged"}, nil, "linux", statusWarn, "an earlier one is damaged", "delete it"},
		{"damaged", Journal{Path: "/s/journal.db", Exists: true}, errors.New("it is damaged"), "linux", statusFail, "/s/journal.db: it is damaged", "sets it aside"},
		{"damaged, on Windows", Journal{Path: "/s/journal.db", Exists: true}, errors.New("it is damaged"), "windows", statusFail, "it is damaged", "quit every MCP client"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.goos)
			asked := ""
			b.o.CheckJournal = func(dir string) (Journal, error) {
				asked = dir
				return tt.journal, tt.err
			}
			_, checks := b.report(nil, "--sandbox", "--state-dir", b.path("s"))
			if c := checks["journal"]; c.Status != tt.status || !strings.Contains(c.Detail, tt.detail) || !strings.Contains(c.Fix, tt.fix) || (tt.fix == "") != (c.Fix == "") {
				t.Errorf("%+v", c)
			}
			if asked != b.path("s") {
				t.Errorf("looked into %q", asked)
			}
		})
	}
}

func TestDoctorLooksIntoTheClientsConfigurations(t *testing.T) {
	b := newBench(t, runtime.GOOS)
	mcp := func(key, command string) string {
		return fmt.Sprintf(`{%q: {"x": {"url": "https://h"}, "mine": {"command": %s}}}`, key, quote(command))
	}
	program, gone, plain := b.o.Executable, b.path("gone/pixazo-mcp"), b.path("plain/pixazo-mcp")
	b.write(plain, "", 0o644)
	for _, tt := range []struct {
		client, content string
		status, want    string
	}{
		{"claude-desktop", mcp("mcpServers", program), statusOK, "mine starts " + program},
		{"claude-code", mcp("mcpServers", gone), statusFail, "mine starts " + gone + ", which is not there"},
		{"cursor", mcp("mcpServers", "pixazo-mcp"), statusWarn, "PATH"},
		{"vscode", mcp("servers", plain), statusFail, "not executable"},
		{"windsurf", mcp("mcpServers", "npx"), statusOK, "no entry"},
		{"zed", "// mine\n" + mcp("context_servers", program), statusOK, "mine starts"},
		{"codex", "[mcp_servers.mine]\ncommand = 'pixazo-mcp'\n", statusOK, "is not looked into, since it is not JSON"},
		{"gemini", "{ oops", statusWarn, "can't be read: line 1"},
		{"goose", "extensions:\n", statusOK, "is not looked into, since it is not JSON"},
	} {
		b.o.Settings.Home = b.home
		file := b.o.find(tt.client).file
		b.write(file, tt.content, 0o600)
		_, checks := b.report(nil, "--sandbox")
		c := checks["client."+tt.client]
		if runtime.GOOS == "windows" && tt.client == "vscode" {
			continue // has no such modes
		}
		if c.Status != tt.status || !strings.Contains(c.Detail, tt.want) || strings.Count(c.Detail, file) != 1 || c.Status != statusOK && c.Fix == "" {
			t.Errorf("%s: %+v", tt.client, c)
		}
	}
}

// Windows starts a program whose command leaves out .exe.
func TestDoctorAddsExeOnWindows(t *testing.T) {
	for goos, want := range map[string]string{"windows": statusOK, "linux": statusFail} {
		b := newBench(t, goos)
		b.o.Executable = b.path("programs/Video-Server.exe")
		b.write(b.o.Executable, "program", 0o755)
		command := strings.TrimSuffix(b.o.Executable, ".exe")
		b.write(b.path(".cursor/mcp.json"), `{"mcpServers": {"mine": {"command": `+quote(command)+`}, "pixazo": {"command": `+quote(command)+`}}}`, 0o600)
		_, checks := b.report(nil, "--sandbox")
		c := checks["client.cursor"]
		if runtime.GOOS == "windows" && goos != "windows" {
			continue
		}
		if c.Status != want || !strings.Contains(c.Detail, "pixazo starts "+command) || strings.Contains(c.Detail, "mine starts "+command) != (goos == "windows") {
			t.Errorf("%s: %+v", goos, c)
		}
	}
}

func TestDoctorLinesAreAlignedAndClean(t *testing.T) {
	b := newBench(t, "linux")
	b.write(b.path(".cursor/mcp.json"), `{"mcpServers": {"a\u001b[31m\nb": {"command": `+quote(b.path("gone/pixazo-mcp"))+`}}}`, 0o600)
	err := b.run("doctor", "--sandbox")
	if err == nil || err.Error() != "doctor: 1 problem found" {
		t.Errorf("error %v", err)
	}
	text := b.out.String()
	if strings.ContainsAny(text, "\x1b\r") {
		t.Errorf("%q", text)
	}
	for line := range strings.Lines(text) {
		if status, _, _ := strings.Cut(line, " "); !slices.Contains([]string{"ok", "warn", "FAIL"}, status) && !strings.HasPrefix(strings.TrimSpace(line), "→ ") {
			t.Errorf("%q", line)
		}
	}
	if !strings.Contains(text, "\nFAIL  client.cursor ") || !strings.Contains(text, "\nok    version") && !strings.HasPrefix(text, "ok    version ") {
		t.Error(text)
	}
}

func TestDoctorNamesACommandThatHelps(t *testing.T) {
	for name, want := range map[string]string{
		"pixazo":         "run pixazo-mcp install cursor",
		"pixazo-sandbox": "run pixazo-mcp install cursor --sandbox",
		"mine":           "change the command of its entry mine by hand",
	} {
		for _, program := range []string{"/gone/pixazo-mcp", "pixazo-mcp"} {
			b := newBench(t, "linux")
			b.write(b.path(".cursor/mcp.json"), `{"mcpServers": {"`+name+`": {"command": "`+program+`"}}}`, 0o600)
			_, checks := b.report(nil, "--sandbox")
			if c := checks["client.cursor"]; !strings.HasSuffix(c.Fix, ": "+want) {
				t.Errorf("%s with %s: %+v", name, program, c)
			}
		}
	}
}

func TestDoctorFindsTheKeyOfAnEntry(t *testing.T) {
	url, _ := answering(t, 200, "")
	b := newBench(t, "linux")
	b.write(b.path("k"), testKey, 0o600)
	for _, tt := range []struct{ file, content, want string }{
		{".cursor/mcp.json", `{"mcpServers": {"pixazo": {"command": %s, "env": {"PIXAZO_API_KEY": "` + testKey + `"}}}}`, "pixazo of Cursor has it in its env"},
		{".cursor/mcp.json", `{"mcpServers": {"pixazo": {"command": %s, "env": {"PIXAZO_SUBSCRIPTION_KEY": "` + testKey + `"}}}}`, "pixazo of Cursor has it in its env"},
		{".cursor/mcp.json", `{"mcpServers": {"pixazo": {"command": %s, "env": {"PIXAZO_API_KEY": "${input:key}"}}}}`, "pixazo of Cursor has it in its env"},
		{".cursor/mcp.json", `{"mcpServers": {"pixazo": {"command": %s, "args": ["--api-key-file=~/k"]}}}`, "pixazo of Cursor has it in " + b.path("k")},
	} {
		b.write(b.path(tt.file), fmt.Sprintf(tt.content, quote(b.o.Executable)), 0o600)
		_, checks := b.report(nil, "--gateway-url", url)
		if c := checks["key"]; c.Status != statusOK || !strings.Contains(c.Detail, tt.want) {
			t.Errorf("%s: %+v", tt.file, c)
		}
		_ = os.Remove(b.path(tt.file))
	}
}

func TestDoctorSeesArgumentsThatAServerRefuses(t *testing.T) {
	for _, tt := range []struct{ args, env, want string }{
		{`["--max-wait=forever"]`, `{}`, "--max-wait"},
		{`["--no-such-flag"]`, `{}`, "unknown flag"},
		{`["demo"]`, `{}`, "demo is not the command of a server"},
		{`["--version"]`, `{}`, "print a text"},
		{`[]`, `{"PIXAZO_MAX_WAIT": "1h"}`, "PIXAZO_MAX_WAIT"},
		{`["--output-dir=$HOME/Movies"]`, `{}`, "--output-dir"},
		{`["--output-dir", "\"/my videos\""]`, `{}`, "--output-dir"},
		{`[]`, `{"PIXAZO_STATE_DIR": "%USERPROFILE%\\state"}`, "PIXAZO_STATE_DIR"},
		{`[]`, `{"PIXAZO_API_KEY_FILE": "/x/${KEY}/key"}`, "PIXAZO_API_KEY_FILE"},
	} {
		b := newBench(t, "linux")
		b.write(b.path(".cursor/mcp.json"), `{"mcpServers": {"pixazo": {"command": `+quote(b.o.Executable)+`, "args": `+tt.args+`, "env": `+tt.env+`}}}`, 0o600)
		_, checks := b.report(nil, "--sandbox")
		if c := checks["client.cursor"]; c.Status != statusFail || !strings.Contains(c.Detail, tt.want) {
			t.Errorf("%s: %+v", tt.args, c)
		}
	}
}

// Both are to be mended, not the second alone.
func TestDoctorSaysHowToMendTheProgramAndTheArguments(t *testing.T) {
	b := newBench(t, "linux")
	b.write(b.path(".cursor/mcp.json"), `{"mcpServers": {"pixazo": {"command": "/gone/pixazo-mcp", "args": ["--no-such-flag"]}}}`, 0o600)
	_, checks := b.report(nil, "--sandbox")
	if c := checks["client.cursor"]; !strings.Contains(c.Fix, "run pixazo-mcp install cursor; change the arguments") {
		t.Errorf("%+v", c)
	}
}

func TestDoctorTriesTheLogFile(t *testing.T) {
	b := newBench(t, "linux")
	b.write(b.path("log"), "before", 0o600)
	for path, status := range map[string]string{"log": statusOK, "new": statusOK, "a b": statusFail, "none/log": statusFail} {
		_, checks := b.report(nil, "--sandbox", "--log-file", b.path(path))
		if c := checks["log-file"]; c.Status != status {
			t.Errorf("%+v", c)
		}
	}
	if names := b.files(b.home); !slices.Equal(names, []string{"a b", "log"}) || b.read(b.path("log")) != "before" {
		t.Errorf("left behind: %q", names)
	}
}

func TestDoctorWarnsOfTheWholeFileSystem(t *testing.T) {
	b := newBench(t, "linux")
	root := filepath.VolumeName(b.home) + string(filepath.Separator)
	_, checks := b.report(nil, "--sandbox", "--files-dir", root, "--files-dir", b.home)
	if c := checks["files-dir"]; c.Status != statusWarn || !strings.Contains(c.Detail, root) || !strings.Contains(c.Detail, "one is the whole file system") {
		t.Errorf("%+v", c)
	}
}

func TestDoctorMakesNothing(t *testing.T) {
	b := newBench(t, "linux")
	r, checks := b.report(nil, "--sandbox", "--state-dir", b.path("s/t"), "--output-dir", b.path("o"))
	if names := b.files(b.home); !slices.Equal(names, []string{"a b"}) || !r.OK {
		t.Errorf("ok %v, and there is %q", r.OK, names)
	}
	for _, name := range []string{"state-dir", "output-dir"} {
		if c := checks[name]; !strings.Contains(c.Detail, "makes it") {
			t.Errorf("%+v", c)
		}
	}
}

func TestDoctorReportsInvalidSettingsAsJSON(t *testing.T) {
	b := newBench(t, "linux")
	_, checks := b.report([]string{"PIXAZO_SANDBOX=perhaps"}, "--max-wait=forever")
	if c := checks["settings"]; c.Status != statusFail || !strings.Contains(c.Detail, "--max-wait") || !strings.Contains(c.Detail, "PIXAZO_SANDBOX") {
		t.Errorf("%+v", checks)
	}
}
