// These tests install into clients of every system, in a home directory of
// their own.

package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/e2e/disktest"
	"pixazo-mcp/internal/config"
)

const testKey = "0123456789abcdef0123456789abcdef"

// bench is a home directory with this program in it.
type bench struct {
	t    *testing.T
	home string
	out  bytes.Buffer
	o    Options
}

func newBench(t *testing.T, goos string) *bench {
	t.Helper()
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, home: home}
	b.o = Options{GOOS: goos, Executable: filepath.Join(home, "a b", "pixazo-mcp"), Version: "1.2.3", Stdin: strings.NewReader(""), Stdout: &b.out, Stderr: io.Discard}
	b.o.CheckJournal = func(dir string) (Journal, error) { return Journal{Path: dir}, nil }
	b.write(b.o.Executable, "program", 0o755)
	return b
}

// run gives the command line to the program that doctor, install and uninstall
// are the commands of.
func (b *bench) run(args ...string) error {
	b.t.Helper()
	return b.runWith(nil, args...)
}

func (b *bench) runWith(env []string, args ...string) error {
	b.t.Helper()
	homes := []string{"HOME=" + b.home, "USERPROFILE=" + b.home}
	settings, err := config.Parse(args, append(homes, env...), func() string { return "" }, io.Discard)
	if err != nil && settings.Command != config.Doctor {
		b.t.Fatal(err)
	}
	b.o.Settings = settings
	b.out.Reset()
	return Run(b.t.Context(), b.o)
}

func (b *bench) mustRun(args ...string) {
	b.t.Helper()
	if err := b.run(args...); err != nil {
		b.t.Fatalf("%q: %v", args, err)
	}
}

func (b *bench) path(name string) string { return filepath.Join(b.home, filepath.FromSlash(name)) }

func (b *bench) write(path, content string, mode fs.FileMode) {
	b.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) read(path string) string {
	b.t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(content)
}

// files are the names in dir.
func (b *bench) files(dir string) (names []string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestClientsAreThoseOfTheCommandLine(t *testing.T) {
	var names []string
	for _, c := range newBench(t, "linux").o.clients() {
		names = append(names, c.name)
	}
	if !slices.Equal(names, config.Clients) {
		t.Errorf("got %q, want %q", names, config.Clients)
	}
}

func TestConfigurationsAreWhereEachSystemHasThem(t *testing.T) {
	for _, tt := range []struct {
		goos   string
		env    []string
		client string
		want   string
	}{
		{"linux", nil, "claude-desktop", ".config/Claude/claude_desktop_config.json"},
		{"darwin", nil, "claude-desktop", "Library/Application Support/Claude/claude_desktop_config.json"},
		{"windows", nil, "claude-desktop", "AppData/Roaming/Claude/claude_desktop_config.json"},
		{"windows", []string{"AppData=HOME/Roam"}, "claude-desktop", "Roam/Claude/claude_desktop_config.json"},
		{"linux", nil, "claude-code", ".claude.json"},
		{"darwin", []string{"CLAUDE_CONFIG_DIR=HOME/c"}, "claude-code", "c/.claude.json"},
		{"linux", nil, "cursor", ".cursor/mcp.json"},
		{"windows", nil, "cursor", ".cursor/mcp.json"},
		{"linux", nil, "vscode", ".config/Code/User/mcp.json"},
		{"linux", []string{"XDG_CONFIG_HOME=HOME/x"}, "vscode", "x/Code/User/mcp.json"},
		{"darwin", []string{"XDG_CONFIG_HOME=HOME/x"}, "vscode", "Library/Application Support/Code/User/mcp.json"},
		{"windows", nil, "vscode", "AppData/Roaming/Code/User/mcp.json"},
		{"darwin", nil, "windsurf", ".codeium/windsurf/mcp_config.json"},
		{"darwin", nil, "zed", ".config/zed/settings.json"},
		{"linux", []string{"XDG_CONFIG_HOME=HOME/x"}, "zed", "x/zed/settings.json"},
		{"windows", nil, "zed", "AppData/Roaming/Zed/settings.json"},
		{"linux", nil, "codex", ".codex/config.toml"},
		{"linux", []string{"CODEX_HOME=HOME/c"}, "codex", "c/config.toml"},
		{"linux", nil, "gemini", ".gemini/settings.json"},
		{"windows", nil, "qwen", ".qwen/settings.json"},
		{"windows", nil, "opencode", ".config/opencode/opencode.json"},
		{"linux", []string{"XDG_CONFIG_HOME=HOME/x"}, "opencode", "x/opencode/opencode.json"},
		{"darwin", nil, "goose", ".config/goose/config.yaml"},
		{"windows", nil, "goose", "AppData/Roaming/Block/goose/config/config.yaml"},
	} {
		b := newBench(t, tt.goos)
		b.o.Settings.Home = b.home
		for _, line := range tt.env {
			b.o.Env = append(b.o.Env, strings.ReplaceAll(line, "HOME/", b.home+"/"))
		}
		if got := b.o.find(tt.client).file; got != b.path(tt.want) {
			t.Errorf("%s, %s: %q, want %q", tt.goos, tt.client, got, tt.want)
		}
	}
}

// The app from the Microsoft Store does not see %APPDATA%\Claude.
func TestInstallReachesThePackagedApp(t *testing.T) {
	b := newBench(t, "windows")
	b.write(b.path("AppData/Local/Packages/Claude_pzs8sxrjxfjjc/x"), "", 0o600)
	b.mustRun("install", "claude-desktop", "--sandbox")
	path := b.path("AppData/Local/Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude/claude_desktop_config.json")
	if !strings.Contains(b.read(path), sandboxName) {
		t.Error(b.read(path))
	}
	if _, err := os.Stat(b.path("AppData/Roaming/Claude")); err == nil {
		t.Error("a folder of no app was made")
	}
}

func TestInstallTwiceAndUninstall(t *testing.T) {
	for _, name := range config.Clients[:7] {
		b := newBench(t, runtime.GOOS)
		t.Chdir(b.home)
		b.mustRun("install", name, "--sandbox", "--output-dir", "out", "--files-dir", "~/a", "--files-dir", b.home)
		file := b.o.find(name).file
		text := b.read(file)
		for _, want := range []string{sandboxName, quote(b.o.Executable), `"--sandbox"`, quote("--output-dir=" + b.path("out")), quote("--files-dir=" + b.path("a")), quote("--files-dir=" + b.home)} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %s in %s", name, want, text)
			}
		}
		b.mustRun("install", name, "--sandbox")
		if got := b.files(filepath.Dir(file)); b.read(file) != text || slices.ContainsFunc(got, func(n string) bool { return strings.HasSuffix(n, ".bak") }) {
			t.Errorf("%s: the second time changed something: %q", name, got)
		}
		b.mustRun("uninstall", name, "--print")
		if b.read(file) != text {
			t.Errorf("%s: uninstall --print wrote", name)
		}
		b.mustRun("uninstall", name)
		if strings.Contains(b.read(file), sandboxName) {
			t.Errorf("%s: still there: %s", name, b.read(file))
		}
		b.mustRun("uninstall", name)
		if !strings.Contains(b.out.String(), "no entry of this program") {
			t.Errorf("%s: %s", name, b.out.String())
		}
	}
}

// A configuration may hold keys of other servers: nobody else may read the copy,
// whoever may read the file.
func TestInstallAndUninstallKeepACopyThatOnlyTheOwnerReads(t *testing.T) {
	b := newBench(t, runtime.GOOS)
	file := b.path(".cursor/mcp.json")
	b.write(file, "{}\n", 0o644)
	b.mustRun("install", "cursor", "--sandbox")
	installed := b.read(file)
	b.mustRun("uninstall", "cursor")
	copies := map[string]string{}
	for _, name := range b.files(filepath.Dir(file)) {
		path := filepath.Join(filepath.Dir(file), name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		want := fs.FileMode(0o600)
		if path == file {
			want = 0o644
		} else if copies[b.read(path)] = name; !strings.HasPrefix(name, "mcp.json.20") || !strings.HasSuffix(name, ".bak") {
			t.Errorf("left behind: %s", name)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", name, info.Mode().Perm(), want)
		}
	}
	if len(copies) != 2 || copies["{}\n"] == "" || copies[installed] == "" {
		t.Errorf("copies: %q", copies)
	}
}

func TestInstallFollowsLinks(t *testing.T) {
	b := newBench(t, "linux")
	real, link := b.path("dotfiles/mcp.json"), b.path(".cursor/mcp.json")
	b.write(real, "{}", 0o600)
	b.write(b.path(".cursor/x"), "", 0o600)
	disktest.Link(t, real, link)
	b.mustRun("install", "cursor", "--sandbox")
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Error("the link was replaced")
	}
	if !strings.Contains(b.read(real), sandboxName) {
		t.Errorf("its target has %s", b.read(real))
	}
}

func TestInstallLeavesAloneWhatItCannotReplace(t *testing.T) {
	for _, tt := range []struct {
		name  string
		begin func(b *bench, file string)
		want  string
	}{
		{"malformed", func(b *bench, file string) { b.write(file, "{\n  oops\n}", 0o600) }, "line 2"},
		{"read-only", func(b *bench, file string) { b.write(file, "{}", 0o444) }, "read-only"},
		{"a folder", func(b *bench, file string) { b.write(filepath.Join(file, "x"), "", 0o600) }, "not a regular file"},
		{"huge", func(b *bench, file string) {
			b.write(file, "", 0o600)
			if err := os.Truncate(file, maxFile+1); err != nil {
				b.t.Fatal(err)
			}
		}, "larger than 32768 KiB"},
		{"a broken link", func(b *bench, file string) {
			b.write(filepath.Join(filepath.Dir(file), "x"), "", 0o600)
			disktest.Link(b.t, "nowhere", file)
		}, "link to a file that does not exist"},
		{"a link to itself", func(b *bench, file string) {
			b.write(filepath.Join(filepath.Dir(file), "x"), "", 0o600)
			disktest.Link(b.t, file, file)
		}, "mcp.json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, "linux")
			file := b.path(".cursor/mcp.json")
			tt.begin(b, file)
			before, _ := os.Lstat(file)
			names := b.files(filepath.Dir(file))
			err := b.run("install", "cursor", "--sandbox")
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "mcp.json") {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
			if after, _ := os.Lstat(file); after.Mode() != before.Mode() || after.Size() != before.Size() || !slices.Equal(names, b.files(filepath.Dir(file))) {
				t.Errorf("something changed: %q", b.files(filepath.Dir(file)))
			}
		})
	}
}

// Windows refuses to read or replace a file that another program has open.
func TestAnOpenConfigurationIsTriedForASecondOnWindows(t *testing.T) {
	refused := errors.New("the process cannot access the file")
	for _, tt := range []struct {
		name     string
		goos     string
		failures int
		took     time.Duration
		fails    bool
	}{
		{"free", "windows", 0, 0, false},
		{"open for a moment", "windows", 3, 300 * time.Millisecond, false},
		{"open", "windows", 1000, time.Second, true},
		{"elsewhere", "linux", 1, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				err := Options{GOOS: tt.goos}.whileLocked("Cursor", func() error {
					if tt.failures--; tt.failures < 0 {
						return nil
					}
					return refused
				})
				if took := time.Since(began); took != tt.took || errors.Is(err, refused) != tt.fails {
					t.Errorf("error %v after %s, want one: %v, after %s", err, took, tt.fails, tt.took)
				}
				if tt.fails && strings.Contains(err.Error(), "if Cursor is running, quit it") != (tt.goos == "windows") {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

func TestInstallNamesTheClientThatMayHaveTheConfigurationOpen(t *testing.T) {
	unreadable := "/proc/self/mem" // at its beginning
	if _, err := os.Stat(unreadable); err != nil {
		t.Skip(err)
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "windows")
		file := b.path(".cursor/mcp.json")
		b.write(b.path(".cursor/x"), "", 0o600)
		disktest.Link(t, unreadable, file)
		for _, command := range []string{"install", "uninstall"} {
			if err := b.run(command, "cursor", "--sandbox"); err == nil || !strings.Contains(err.Error(), "if Cursor is running, quit it") {
				t.Errorf("%s: %v", command, err)
			}
		}
	})
}

// An entry of as many variables took over a minute.
func TestALargeConfigurationIsEditedQuickly(t *testing.T) {
	const n = 20_000
	items := func(format string) string {
		var s strings.Builder
		for i := range n {
			if i > 0 {
				s.WriteString(",\n")
			}
			fmt.Fprintf(&s, format, i)
		}
		return s.String()
	}
	for name, content := range map[string]string{
		"servers":   `{"mcpServers": {` + items(`"s%[1]d": {"command": "/x/y%[1]d"}`) + `}}`,
		"variables": `{"mcpServers": {"pixazo": {"command": "pixazo-mcp", "env": {` + items(`"V%d": ""`) + `}}}}`,
		"arguments": `{"mcpServers": {"pixazo": {"command": "pixazo-mcp", "args": [` + items(`"--max-videos-per-hour=%d"`) + `]}}}`,
		"the rest":  `{` + items(`"%d": [1]`) + `}`,
	} {
		b := newBench(t, "linux")
		b.write(b.path(".cursor/mcp.json"), content, 0o600)
		began := time.Now()
		b.mustRun("install", "cursor", "--sandbox=false", "--print")
		if took := time.Since(began); took > time.Minute { // 0.2 s is usual, on a machine with nothing else to do
			t.Errorf("%s: took %s", name, took)
		}
	}
}

// The files would belong to root, and the clients could not read them.
func TestInstallRefusesAnotherUsersHomeUnderSudo(t *testing.T) {
	b := newBench(t, "linux")
	b.o.Env = []string{"SUDO_USER=ann"}
	for _, command := range []string{"install", "uninstall"} {
		if err := b.run(command, "cursor", "--sandbox"); err == nil || !strings.Contains(err.Error(), "without sudo") {
			t.Errorf("%s: %v", command, err)
		}
	}
	if names := b.files(b.home); !slices.Equal(names, []string{"a b"}) {
		t.Errorf("there is %q", names)
	}
}

func TestReplaceLeavesAloneWhatAnotherProgramChanged(t *testing.T) {
	b := newBench(t, "linux")
	path := b.path("config")
	for _, read := range [][]byte{[]byte("a"), {}, nil} {
		b.write(path, "b", 0o600)
		if _, err := b.o.replace(file{path: path, content: read, mode: 0o600}, []byte("c")); err == nil || b.read(path) != "b" {
			t.Errorf("%q, then b: error %v, and it has %q", read, err, b.read(path))
		}
		if names := b.files(b.home); !slices.Equal(names, []string{"a b", "config"}) {
			t.Errorf("left behind: %q", names)
		}
	}
}

func TestInstallPrintWritesNothing(t *testing.T) {
	b := newBench(t, "linux")
	const secret = "a-token-of-another-server"
	file := b.path(".cursor/mcp.json")
	b.write(file, `{"mcpServers": {"o": {"env": {"T": "`+secret+`"}}, "pixazo": {"command": "pixazo-mcp", "args": ["--max-wait=9s"], "env": {"PIXAZO_API_KEY": "`+secret+`"}}}}`, 0o600)
	before := b.read(file)
	b.o.Stdin = strings.NewReader(testKey)
	b.mustRun("install", "cursor", "--print")
	if got := b.out.String(); strings.Contains(got, secret) || !strings.Contains(got, `"--max-wait=9s"`) || !strings.Contains(got, file) {
		t.Errorf("got %s", got)
	}
	if _, err := os.Stat(b.path(".pixazo")); b.read(file) != before || err == nil || len(b.files(filepath.Dir(file))) != 1 {
		t.Error("something was written")
	}
	reader, stdout := io.Pipe()
	_ = reader.Close()
	b.o.Stdout = stdout
	if err := b.run("install", "cursor", "--print"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("printed to a closed pipe: %v", err)
	}
}

func TestInstallRefusesTemporaryProgramsAndTellsOfACache(t *testing.T) {
	for _, path := range []string{"go-build123/b001/exe/pixazo-mcp", ".cache/go-build/ab/abcdef-d/pixazo-mcp"} {
		b := newBench(t, "linux")
		b.o.Executable = b.path(path)
		b.write(b.o.Executable, "program", 0o755)
		if err := b.run("install", "cursor"); err == nil || !strings.Contains(err.Error(), "go build . && ./pixazo-mcp install cursor") {
			t.Errorf("%s: %v", path, err)
		}
	}
	b := newBench(t, "linux")
	for folder, told := range map[string]bool{".npm/_npx/1/node_modules": true, "lib/node_modules/my_npx": false} {
		b.o.Executable = b.path(folder + "/pixazo-mcp")
		b.write(b.o.Executable, "program", 0o755)
		b.mustRun("install", "cursor", "--sandbox")
		if out := b.out.String(); strings.Contains(out, "npm install -g") != told || !strings.Contains(out, "doctor --sandbox") {
			t.Errorf("%s: %s", folder, out)
		}
	}
	b = newBench(t, "linux")
	b.o.Executable = b.path("go-builder/mine") // an ordinary folder, an odd name
	b.write(b.o.Executable, "program", 0o755)
	b.write(b.path(".cursor/mcp.json"), `{"mcpServers": {"theirs": {"command": "/x/mine"}}}`, 0o600)
	b.mustRun("install", "cursor", "--sandbox")
	b.mustRun("uninstall", "cursor")
	if text := b.read(b.path(".cursor/mcp.json")); !strings.Contains(text, "theirs") || strings.Contains(text, sandboxName) {
		t.Errorf("got %s", text)
	}
	for _, path := range []string{"", "pixazo-mcp", b.path("gone")} {
		b.o.Executable = path
		if err := b.run("install", "cursor"); err == nil {
			t.Errorf("%q was installed", path)
		}
	}
}

// A package manager's link leads to the newest version; the file behind it goes
// with the next update.
func TestInstallKeepsALinkToTheProgram(t *testing.T) {
	b := newBench(t, "darwin")
	link := b.path("bin/pixazo-mcp")
	b.write(b.path("bin/x"), "", 0o600)
	disktest.Link(t, b.o.Executable, link)
	b.o.Executable = link
	b.mustRun("install", "cursor", "--sandbox")
	if text := b.read(b.path(".cursor/mcp.json")); !strings.Contains(text, quote(link)) {
		t.Errorf("got %s", text)
	}
}

func TestInstallNeedsAHome(t *testing.T) {
	b := newBench(t, "linux")
	b.home = ""
	for _, args := range [][]string{{"install", "cursor"}, {"uninstall", "cursor"}, {"install", "goose"}} {
		if err := b.run(args...); err == nil || !strings.Contains(err.Error(), "home directory") {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// A client may give its servers another environment than this shell's; with
// another journal the limit and the duplicates of the same person are not seen.
func TestEntryHasTheStateDirectoryOfThisShell(t *testing.T) {
	for _, tt := range []struct {
		env, entry, want string
	}{
		{"PIXAZO_STATE_DIR=~/s", "", `"--state-dir=HOME/s"`},
		{"XDG_STATE_HOME=HOME/x", "", `"--state-dir=HOME/x/pixazo-mcp"`},
		{"PIXAZO_STATE_DIR=~/s", `"args": ["--state-dir", "~/mine"]`, `["--state-dir", "~/mine"]`},
		{"PIXAZO_STATE_DIR=~/s", `"env": {"PIXAZO_STATE_DIR": "~/mine"}`, `pixazo-mcp", "env": {"PIXAZO_STATE_DIR": "~/mine"}}`},
		{"", "", `"args": ["--sandbox"]`},
	} {
		if strings.HasPrefix(tt.env, "XDG") && runtime.GOOS != "linux" {
			continue // which has a place of its own
		}
		b := newBench(t, "linux")
		file, name := b.path(".cursor/mcp.json"), "pixazo"
		args := []string{"install", "cursor", "--sandbox"}
		if tt.entry != "" {
			args = args[:2]
			b.write(file, `{"mcpServers": {"`+name+`": {"command": "pixazo-mcp", `+tt.entry+`}}}`, 0o600)
		}
		env := []string{strings.ReplaceAll(tt.env, "HOME/", b.home+"/")}
		for _, round := range []string{"first", "second"} {
			if err := b.runWith(env, args...); err != nil {
				t.Fatal(err)
			}
			quoted := quote(b.home + string(filepath.Separator))
			want := strings.ReplaceAll(tt.want, "HOME/", quoted[1:len(quoted)-1])
			if text := b.read(file); !strings.Contains(text, want) {
				t.Errorf("%s, %s time: no %s in %s", tt.env, round, want, text)
			}
		}
	}
}

func TestInstallRefusesSettingsThatTheServerWouldRefuse(t *testing.T) {
	b := newBench(t, "linux")
	file := b.path(".cursor/mcp.json")
	const content = `{"mcpServers": {"pixazo": {"command": "pixazo-mcp", "args": ["--no-such-flag"]}}}`
	b.write(file, content, 0o600)
	if err := b.run("install", "cursor"); err == nil || !strings.Contains(err.Error(), "--no-such-flag") || b.read(file) != content {
		t.Errorf("error %v, and it has %s", err, b.read(file))
	}
}

func TestInstallTellsOfVariablesThatStayBehind(t *testing.T) {
	b := newBench(t, "linux")
	if err := b.runWith([]string{"PIXAZO_OUTPUT_DIR=/o"}, "install", "cursor", "--sandbox"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.out.String(), "--output-dir") {
		t.Errorf("got %s", b.out.String())
	}
}

func TestInstallTellsOfAnEntryThatStaysInTheSandbox(t *testing.T) {
	b := newBench(t, "linux")
	b.write(b.path(".cursor/mcp.json"), `{"mcpServers": {"pixazo": {"command": "/x/pixazo-mcp", "args": ["--sandbox"]}}}`, 0o600)
	b.mustRun("install", "cursor")
	if !strings.Contains(b.out.String(), "--sandbox=false") {
		t.Errorf("got %s", b.out.String())
	}
	b.mustRun("install", "cursor", "--sandbox=false")
	if text := b.read(b.path(".cursor/mcp.json")); !strings.Contains(text, `["--sandbox=false"]`) {
		t.Errorf("got %s", text)
	}
}

func TestSnippetsAreWhatEachClientReads(t *testing.T) {
	e := entry{Command: `C:\Program Files\pixazo-mcp.exe`, Args: []string{`--output-dir=D:\my "videos"`}}
	const program, args = `"C:\\Program Files\\pixazo-mcp.exe"`, `["--output-dir=D:\\my \"videos\""]`
	want := map[string]string{
		"windsurf": "{\n  \"mcpServers\": {\n    \"pixazo\": {\n      \"command\": " + program + ",\n      \"args\": " + args + "\n    }\n  }\n}\n",
		"zed":      "{\n  \"context_servers\": {\n    \"pixazo\": {\n      \"command\": " + program + ",\n      \"args\": " + args + "\n    }\n  }\n}\n",
		"codex":    "[mcp_servers.pixazo]\ncommand = " + program + "\nargs = " + args + "\nrequired = true\n",
		"gemini":   "{\n  \"mcpServers\": {\n    \"pixazo\": {\n      \"command\": " + program + ",\n      \"args\": " + args + "\n    }\n  }\n}\n",
		"opencode": "{\n  \"mcp\": {\n    \"pixazo\": {\n      \"type\": \"local\",\n      \"command\": [" + program + ", " + args[1:] + "\n    }\n  }\n}\n",
		"goose": "extensions:\n  pixazo:\n    enabled: true\n    type: stdio\n    name: pixazo\n    description: Videos through the Pixazo gateway\n    cmd: " + program +
			"\n    args: " + args + "\n    timeout: 300\n",
	}
	b := newBench(t, "windows")
	b.o.Settings.Home = b.home
	for name, want := range want {
		if got := b.o.find(name).snippet("pixazo", e); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}

// Without --allow an entry is as it is; with it, and from then on, it has the
// client's word for tools that run without asking.
func TestInstallAllow(t *testing.T) {
	for _, tt := range []struct{ client, entry, said string }{
		{"gemini", `"trust": true`, "does not ask before a video is paid for"},
		{"qwen", `"trust": true`, "does not ask before a video is paid for"},
		{"codex", `default_tools_approval_mode = "approve"`, "does not ask before a video is paid for"},
		{"claude-code", "", `--allowedTools mcp__pixazo-sandbox, or put "mcp__pixazo-sandbox" into`},
		{"opencode", "", "unless its permission setting"},
		{"cursor", "", "Allow the tools in Cursor itself"},
	} {
		b := newBench(t, runtime.GOOS)
		written := func(args ...string) string {
			b.mustRun(append([]string{"install", tt.client, "--sandbox"}, args...)...)
			if file := b.o.find(tt.client); file.edited {
				return b.read(file.file)
			}
			return b.out.String()
		}
		if got := written(); strings.Contains(got, "trust") || strings.Contains(got, "approval") || strings.Contains(b.out.String(), tt.said) {
			t.Errorf("%s without --allow: %s%s", tt.client, got, b.out.String())
		}
		if got := written("--allow"); !strings.Contains(got, tt.entry) || !strings.Contains(b.out.String(), tt.said) {
			t.Errorf("%s with --allow: %s%s", tt.client, got, b.out.String())
		}
		if got := written(); b.o.find(tt.client).edited && !strings.Contains(got, tt.entry) {
			t.Errorf("%s afterwards: %s", tt.client, got)
		}
	}
}

func TestAnEntryOfOpencodeIsBroughtUpToDate(t *testing.T) {
	b := newBench(t, "linux")
	file := b.path(".config/opencode/opencode.jsonc")
	b.write(file, `{
  // mine
  "mcp": {
    "pixazo-sandbox": { "type": "local", "enabled": true, "command": ["/old/pixazo-mcp", "--sandbox", "--max-wait=30s"], "environment": { "A": "b" } }
  }
}
`, 0o600)
	b.mustRun("install", "opencode", "--sandbox", "--log-level=debug")
	want := `{
  // mine
  "mcp": {
    "pixazo-sandbox": { "type": "local", "enabled": true, "command": [` + quote(b.o.Executable) + `, "--sandbox", "--log-level=debug", "--max-wait=30s"], "environment": { "A": "b" } }
  }
}
`
	if got := b.read(file); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestAnEntryInTheFormOfAnotherClientBecomesOneOfOpencode(t *testing.T) {
	b := newBench(t, "linux")
	file := b.path(".config/opencode/opencode.json")
	b.write(file, `{"mcp": {"pixazo-sandbox": {"command": `+quote(b.o.Executable)+`, "args": ["--sandbox"]}}}`, 0o600)
	b.mustRun("install", "opencode", "--sandbox")
	if got := b.read(file); !strings.Contains(got, `"type": "local"`) || !strings.Contains(got, `"command": [`+quote(b.o.Executable)+`, "--sandbox"]`) {
		t.Errorf("got %s", got)
	}
}

func TestKeyIsAskedForAndStored(t *testing.T) {
	for _, tt := range []struct {
		name  string
		stdin string
		env   []string
		file  string // what is there before
		want  string // what is there after
		says  string
		fails bool
	}{
		{name: "pipe", stdin: testKey + "\r\nmore", want: testKey + "\n", says: "only you can read"},
		{name: "pipe without a line", stdin: testKey, want: testKey + "\n"},
		{name: "pipe that begins with a byte order mark", stdin: "\ufeff" + testKey + "\r\n", want: testKey + "\n"},
		{name: "pipe with the key in quotes", stdin: `"` + testKey + `"`, fails: true},
		{name: "good key in a variable, bad one in the file", env: []string{"PIXAZO_API_KEY=" + testKey}, file: "two words\n", want: "two words\n", says: "write the key there"},
		{name: "no input", says: "no key yet"},
		{name: "no key", stdin: "two words\n", fails: true},
		{name: "key in place", stdin: testKey, file: "another-key\n", want: "another-key\n", says: "stays"},
		{name: "bad key in place", stdin: testKey, file: "two words\n", want: "two words\n", says: "write the key there"},
		{name: "empty file", stdin: testKey, file: "\n", want: testKey + "\n"},
		{name: "key in a variable", env: []string{"PIXAZO_API_KEY=" + testKey}, says: "a client may not see it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, "linux")
			path := b.path(".pixazo/api-key")
			if tt.file != "" {
				b.write(path, tt.file, 0o600)
			}
			b.o.Stdin = strings.NewReader(tt.stdin)
			err := b.runWith(tt.env, "install", "cursor")
			if (err != nil) != tt.fails || !strings.Contains(b.out.String(), tt.says) {
				t.Errorf("error %v, output %s", err, b.out.String())
			}
			content, err := os.ReadFile(path)
			if tt.want == "" && !errors.Is(err, fs.ErrNotExist) || string(content) != tt.want {
				t.Errorf("the file has %q, %v; want %q", content, err, tt.want)
			}
			if info, err := os.Stat(path); err == nil && runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
				t.Errorf("mode %o", info.Mode().Perm())
			}
			if info, err := os.Stat(filepath.Dir(path)); err == nil && tt.file == "" && runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
				t.Errorf("mode of the folder %o", info.Mode().Perm())
			}
			for _, text := range []string{b.out.String(), b.read(b.path(".cursor/mcp.json"))} {
				if strings.Contains(text, testKey) || err != nil && strings.Contains(err.Error(), testKey) {
					t.Error("the key is shown, or in the client's file")
				}
			}
		})
	}
}

// An open pipe that nobody writes to must not keep install for good.
func TestKeyIsNotWaitedForWhenTheCommandIsStopped(t *testing.T) {
	b := newBench(t, "linux")
	r, w := io.Pipe()
	defer w.Close()
	b.o.Stdin = r
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.o.readKey(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// What writes the key may ask somebody first. In Git Bash a person's terminal is
// a pipe, too, and install seemed to hang.
func TestKeyIsWaitedForOnASlowPipeAndTheWaitIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		defer w.Close()
		said := &timed{}
		o := Options{Stdin: r, Stderr: said}
		go func() {
			time.Sleep(time.Minute)
			_, _ = io.WriteString(w, testKey+"\n")
		}()
		began := time.Now()
		if got, err := o.readKey(t.Context()); strings.TrimSpace(got) != testKey || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if !said.at.Equal(began) || !strings.Contains(said.text, "API key") || !strings.Contains(said.text, "press Enter") || !strings.Contains(said.text, "10 minutes") {
			t.Errorf("after %s it said %q", said.at.Sub(began), said.text)
		}
		began = time.Now()
		if got, err := o.readKey(t.Context()); got != "" || err != nil || time.Since(began) != keyPatience {
			t.Errorf("after %s: got %q, %v", time.Since(began), got, err)
		}
	})
}

// timed keeps what was written last, and when.
type timed struct {
	text string
	at   time.Time
}

func (w *timed) Write(p []byte) (int, error) {
	w.text, w.at = string(p), time.Now()
	return len(p), nil
}

func TestKeyIsNotLookedForInAClosedStdin(t *testing.T) {
	b := newBench(t, "linux")
	closed, err := os.Open(b.o.Executable)
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	b.o.Stdin = closed
	b.mustRun("install", "cursor")
	if !strings.Contains(b.out.String(), "no key yet") {
		t.Errorf("got %s", b.out.String())
	}
}

func TestInstallStoresTheKeyWhereTheServerWillLook(t *testing.T) {
	for _, tt := range []struct {
		name     string
		env      []string
		args     []string
		entry    string // what is in the entry before
		stored   string
		wantFlag bool
	}{
		{"default", nil, nil, "", ".pixazo/api-key", false},
		{"flag", nil, []string{"--api-key-file=~/mine"}, "", "mine", true},
		{"variable of the shell", []string{"PIXAZO_API_KEY_FILE=~/mine"}, nil, "", "mine", true},
		{"variable that names the default", []string{"PIXAZO_API_KEY_FILE=~/.pixazo/api-key"}, nil, "", ".pixazo/api-key", false},
		{"flag of the entry", []string{"PIXAZO_API_KEY_FILE=~/mine"}, nil, `"args": ["--api-key-file", "~/theirs"]`, "theirs", true},
		{"variable of the entry", []string{"PIXAZO_API_KEY_FILE=~/mine"}, nil, `"env": {"PIXAZO_API_KEY_FILE": "~/theirs"}`, "theirs", false},
		{"key in the entry", nil, nil, `"env": {"PIXAZO_API_KEY": "` + testKey + `"}`, "", false},
		{"key in the entry, by its other name", nil, nil, `"env": {"PIXAZO_SUBSCRIPTION_KEY": "` + testKey + `"}`, "", false},
		{"key that the client asks for", nil, nil, `"env": {"PIXAZO_API_KEY": "${input:key}"}`, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, "linux")
			file := b.path(".cursor/mcp.json")
			if tt.entry != "" {
				b.write(file, `{"mcpServers": {"pixazo": {"command": "/x/pixazo-mcp", `+tt.entry+`}}}`, 0o600)
			}
			b.o.Stdin = strings.NewReader(testKey)
			if err := b.runWith(tt.env, append([]string{"install", "cursor"}, tt.args...)...); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{".pixazo/api-key", "mine", "theirs"} {
				if _, err := os.Stat(b.path(name)); (err == nil) != (name == tt.stored) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if got := strings.Contains(b.read(file), "--api-key-file"); got != tt.wantFlag {
				t.Errorf("got %s", b.read(file))
			}
		})
	}
}

func TestInstallRefusesPathsThatAreNotUTF8(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("each path is valid Unicode there")
	}
	b := newBench(t, "linux")
	if err := b.run("install", "cursor", "--sandbox", "--output-dir", b.path("a\xffb")); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(b.path(".cursor")); err == nil {
		t.Error("something was written")
	}
}

// Linux says of a program started through a link what the link leads to.
func TestInstallKeepsTheLinkThatTheProgramWasCalledBy(t *testing.T) {
	b := newBench(t, "linux")
	link := b.path("bin/pixazo-mcp")
	b.write(b.path("bin/x"), "", 0o600)
	disktest.Link(t, b.o.Executable, link)
	b.o.Invoked = link
	b.mustRun("install", "cursor", "--sandbox")
	if text := b.read(b.path(".cursor/mcp.json")); !strings.Contains(text, quote(link)) {
		t.Errorf("got %s", text)
	}
	b.o.Invoked = b.path("bin/x") // some other file
	b.mustRun("install", "claude-code", "--sandbox")
	if text := b.read(b.path(".claude.json")); !strings.Contains(text, quote(b.o.Executable)) {
		t.Errorf("got %s", text)
	}
}

func TestEntriesOfThisProgramAreKnownByTheirCommand(t *testing.T) {
	b := newBench(t, "linux")
	b.o.Executable = b.path("a b/video-server")
	b.write(b.o.Executable, "program", 0o755)
	link := b.path("link")
	disktest.Link(t, b.o.Executable, link)
	for _, tt := range []struct {
		name, command string
		want          bool
	}{
		{"any", "pixazo-mcp", true},
		{"any", `C:\x\pixazo-mcp.exe`, true},
		{"any", b.o.Executable, true},
		{"any", link, true},
		{"any", "/old/video-server", false},
		{"any", "/x/pixazo-mcp-1.2", false},
		{"pixazo", "/x/pixazo-mcp-1.2", true},
		{"pixazo-sandbox", "/x/pixazo-mcp_linux_amd64", true},
		{"pixazo", "/old/video-server", true}, // this program as it was renamed
		{"pixazo", "npx", false},
		{"pixazo", "", false},
		{"pixazo", "/x/", false},
	} {
		if got := b.o.ours(tt.name, entry{Command: tt.command}); got != tt.want {
			t.Errorf("%s, %s: %v", tt.name, tt.command, got)
		}
	}
}

func TestUninstallTakesOutBothEntriesUnlessTold(t *testing.T) {
	b := newBench(t, "linux")
	file := b.path(".cursor/mcp.json")
	b.mustRun("install", "cursor", "--sandbox")
	b.mustRun("install", "cursor")
	b.mustRun("uninstall", "cursor", "--sandbox")
	if text := b.read(file); !strings.Contains(text, `"pixazo"`) || strings.Contains(text, sandboxName) {
		t.Errorf("got %s", text)
	}
	b.mustRun("install", "cursor", "--sandbox")
	b.mustRun("uninstall", "cursor")
	if text := b.read(file); strings.Contains(text, "pixazo") {
		t.Errorf("got %s", text)
	}
}

func TestSnippetOfZedHasArgumentsEvenWhenThereAreNone(t *testing.T) {
	b := newBench(t, "linux")
	b.mustRun("install", "zed")
	if !strings.Contains(b.out.String(), `"args": []`) {
		t.Errorf("got %s", b.out.String())
	}
}

func TestEachCopyHasAFileOfItsOwn(t *testing.T) {
	b := newBench(t, "linux")
	path := b.path("c/config")
	b.write(path, "0", 0o600)
	for i := range 10 {
		f, err := b.o.readFile(path, "Cursor")
		if err == nil {
			_, err = b.o.replace(f, []byte{'1' + byte(i)})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if names := b.files(b.path("c")); len(names) != 11 {
		t.Errorf("there are %q", names)
	}
}
