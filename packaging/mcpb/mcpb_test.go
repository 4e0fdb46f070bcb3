// These tests keep the bundle what the server is: the manifest lists its tools,
// prompts and settings, and a desktop client can start it. After a change of
// the tools or prompts, write the manifest anew with
//
//	go test ./packaging/mcpb -run Manifest -update

package mcpb

import (
	"bufio"
	"bytes"
	"debug/macho"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tailscale/hujson"

	"pixazo-mcp/internal/text"
)

var update = flag.Bool("update", false, "rewrite the manifest's tools and prompts")

var buildDir string

func TestMain(m *testing.M) {
	var err error
	if buildDir, err = os.MkdirTemp("", "pixazo-mcp-bundle-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(buildDir)
	os.Exit(code)
}

// unpacked is a folder like that of an installed bundle.
var unpacked = sync.OnceValues(func() (string, error) {
	program := "server/pixazo-mcp"
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(buildDir, filepath.FromSlash(program)), "../..").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return buildDir, nil
})

// manifest is what the tests read of manifest.json.
type manifest struct {
	Version string
	Server  struct {
		MCPConfig struct {
			Command           string
			Args              []string
			Env               map[string]string
			PlatformOverrides map[string]struct{ Command string } `json:"platform_overrides"`
		} `json:"mcp_config"`
	}
	UserConfig map[string]struct {
		Type      string
		Default   any
		Multiple  bool
		Sensitive bool
	} `json:"user_config"`
}

func readManifest(t *testing.T) (m manifest, source []byte) {
	t.Helper()
	source, err := os.ReadFile("manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	source = bytes.ReplaceAll(source, []byte("\r\n"), []byte("\n")) // of a checkout on Windows
	if err := json.Unmarshal(source, &m); err != nil {
		t.Fatal(err)
	}
	return m, source
}

// connection is a client's end of a server that runs as a process.
type connection struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
	err *bytes.Buffer
	id  int
}

// connect starts a server as a desktop client does: in the root folder, with
// next to no environment.
func connect(t *testing.T, env []string, path string, args ...string) *connection {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Dir = filepath.VolumeName(buildDir) + string(filepath.Separator)
	home := t.TempDir()
	cmd.Env = append([]string{"HOME=" + home, "USERPROFILE=" + home, "PATH=" + os.Getenv("PATH")}, env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &connection{t: t, in: in, out: bufio.NewReader(out), err: &bytes.Buffer{}}
	cmd.Stderr = c.err
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server ended with %v\n%s", err, c.err)
		}
	})
	return c
}

// request sends a request and decodes the result of its answer.
func (c *connection) request(method string, params, result any) {
	c.t.Helper()
	c.id++
	line, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": c.id, "method": method, "params": params})
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
	for {
		line, err := c.out.ReadBytes('\n')
		if err != nil {
			c.t.Fatalf("%s: %v", method, err)
		}
		var answer struct {
			ID            int
			Result, Error json.RawMessage
		}
		if err := json.Unmarshal(line, &answer); err != nil {
			c.t.Fatalf("stdout has %q: %v", line, err)
		}
		if answer.ID != c.id {
			continue
		}
		if answer.Error != nil {
			c.t.Fatalf("%s: %s", method, answer.Error)
		}
		if err := json.Unmarshal(answer.Result, result); err != nil {
			c.t.Fatalf("%s: %v", method, err)
		}
		return
	}
}

// greeting is what the tests read of the answer to initialize.
type greeting struct {
	ServerInfo struct{ Name, Version string }
}

func (c *connection) initialize() (g greeting) {
	c.t.Helper()
	c.request("initialize", map[string]any{"protocolVersion": "2025-11-25", "capabilities": map[string]any{},
		"clientInfo": map[string]any{"name": "desktop", "version": "1"}}, &g)
	if _, err := io.WriteString(c.in, `{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n"); err != nil {
		c.t.Fatal(err)
	}
	return g
}

// listed is a tool of the manifest.
type listed struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}

// prompt is a prompt of the manifest.
type prompt struct {
	listed
	Arguments []string `json:"arguments,omitempty"`
	Text      string   `json:"text"`
}

func (c *connection) tools() []listed {
	c.t.Helper()
	var answer struct{ Tools []listed }
	c.request("tools/list", map[string]any{}, &answer)
	return answer.Tools
}

// prompts are the server's, worded with the placeholders of a manifest.
func (c *connection) prompts() (all []prompt) {
	c.t.Helper()
	var answer struct {
		Prompts []struct {
			listed
			Arguments []struct{ Name string }
		}
	}
	c.request("prompts/list", map[string]any{}, &answer)
	for _, p := range answer.Prompts {
		placeholders := map[string]string{}
		next := prompt{listed: p.listed}
		for _, a := range p.Arguments {
			next.Arguments = append(next.Arguments, a.Name)
			placeholders[a.Name] = "${arguments." + a.Name + "}"
		}
		var worded struct {
			Messages []struct{ Content struct{ Text string } }
		}
		c.request("prompts/get", map[string]any{"name": p.Name, "arguments": placeholders}, &worded)
		var texts []string
		for _, m := range worded.Messages {
			texts = append(texts, m.Content.Text)
		}
		next.Text = strings.Join(texts, "\n\n")
		all = append(all, next)
	}
	return all
}

// withListed returns the manifest with other values of some members, whose order
// stays.
func withListed(t *testing.T, manifest []byte, members map[string]any) []byte {
	t.Helper()
	value, err := hujson.Parse(manifest)
	for name, member := range members {
		var raw []byte
		if err == nil {
			raw, err = text.JSON(member, "")
		}
		if err == nil {
			err = value.Patch(fmt.Appendf(nil, `[{"op": "replace", "path": "/%s", "value": %s}]`, name, raw))
		}
	}
	var indented bytes.Buffer
	if err == nil {
		err = json.Indent(&indented, value.Pack(), "", "  ")
	}
	if err != nil {
		t.Fatal(err)
	}
	return append(bytes.TrimSpace(indented.Bytes()), '\n')
}

func TestManifestListsToolsAndPrompts(t *testing.T) {
	dir, err := unpacked()
	if err != nil {
		t.Fatal(err)
	}
	m, source := readManifest(t)
	c := connect(t, nil, serverIn(m, dir), "--sandbox")
	g := c.initialize()
	// A version of the next release in the making has a suffix.
	if release, _, _ := strings.Cut(g.ServerInfo.Version, "-"); m.Version != release {
		t.Errorf("the manifest has version %s, the server %s", m.Version, g.ServerInfo.Version)
	}

	listing := withListed(t, source, map[string]any{"tools": c.tools(), "prompts": c.prompts()})
	if bytes.Equal(listing, source) {
		return
	}
	if !*update {
		t.Fatalf("manifest.json differs from the server (-update writes it anew); it would be\n%s", listing)
	}
	if err := os.WriteFile("manifest.json", listing, 0o644); err != nil {
		t.Fatal(err)
	}
}

// serverIn is the command of a manifest, in the folder of the bundle.
func serverIn(m manifest, dir string) string {
	command := m.Server.MCPConfig.Command
	if runtime.GOOS == "windows" {
		command = m.Server.MCPConfig.PlatformOverrides["win32"].Command
	}
	return filepath.FromSlash(strings.ReplaceAll(command, "${__dirname}", filepath.ToSlash(dir)))
}

// Claude Desktop may not pass env to a server of type binary, so what is no
// secret is a flag as well. A flag and its value are one argument: a client
// leaves out, or leaves as it stands, an argument that is a placeholder alone.
// For the same reason no setting is "multiple": its values would become
// arguments of their own.
func TestManifestSettingsGoBothWays(t *testing.T) {
	m, _ := readManifest(t)
	config := m.Server.MCPConfig
	for key, setting := range m.UserConfig {
		flag := "--" + strings.ReplaceAll(key, "_", "-") + "=${user_config." + key + "}"
		variable := "PIXAZO_" + strings.ToUpper(key)
		if slices.Contains(config.Args, flag) == setting.Sensitive {
			t.Errorf("%s: sensitive: %t, but a flag: %t", key, setting.Sensitive, !setting.Sensitive)
		}
		if config.Env[variable] != "${user_config."+key+"}" {
			t.Errorf("%s: the variable %s is %q", key, variable, config.Env[variable])
		}
		if setting.Default == nil || setting.Multiple {
			t.Errorf("%s: default %v, multiple %t", key, setting.Default, setting.Multiple)
		}
	}
	if len(config.Env) != len(m.UserConfig) || len(config.Args) != len(m.UserConfig)-1 {
		t.Errorf("%d settings, %d variables, %d flags", len(m.UserConfig), len(config.Env), len(config.Args))
	}
	if !m.UserConfig["api_key"].Sensitive {
		t.Error("the key is not sensitive")
	}
}

func TestDesktopClientStartsTheServer(t *testing.T) {
	dir, err := unpacked()
	if err != nil {
		t.Fatal(err)
	}
	m, _ := readManifest(t)
	unset, empty, defaults, set := map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}
	for key, setting := range m.UserConfig {
		empty[key] = ""
		defaults[key] = fmt.Sprint(setting.Default)
	}
	maps.Copy(set, defaults)
	maps.Copy(set, map[string]string{"sandbox": "true", "max_videos_per_hour": "1", "output_dir": t.TempDir(), "files_dir": t.TempDir(), "api_key": "none"})

	for name, values := range map[string]map[string]string{"unset": unset, "empty": empty, "defaults": defaults, "set": set} {
		for _, passed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, env passed %t", name, passed), func(t *testing.T) {
				fill := func(s string) string {
					for key, value := range values {
						s = strings.ReplaceAll(s, "${user_config."+key+"}", value)
					}
					return s
				}
				var args, env []string
				for _, arg := range m.Server.MCPConfig.Args {
					args = append(args, fill(arg))
				}
				if passed {
					for variable, value := range m.Server.MCPConfig.Env {
						env = append(env, variable+"="+fill(value))
					}
				}
				c := connect(t, env, serverIn(m, dir), args...)
				if g := c.initialize(); g.ServerInfo.Name != "pixazo-mcp" {
					t.Errorf("the server is %q", g.ServerInfo.Name)
				}
				if tools := c.tools(); len(tools) == 0 {
					t.Error("no tools")
				}
				var answer struct {
					Content []struct{ Text string }
					IsError bool
				}
				for i, prompt := range []string{"tides", "the moon"} {
					c.request("tools/call", map[string]any{"name": "generate_video", "arguments": map[string]any{"prompt": prompt}}, &answer)
					// The sandbox's setting and the limit's arrived, or neither.
					want := "missing_api_key: "
					if name == "set" {
						want = []string{"heygen-video-agent_", "limit_reached: "}[i]
					}
					if len(answer.Content) == 0 || !strings.Contains(answer.Content[0].Text, want) {
						t.Errorf("generate_video answered %v, without %q", answer.Content, want)
					}
				}
			})
		}
	}
}

// thin is a Mach-O program for one architecture, of its header alone.
func thin(cpu macho.Cpu, subCPU uint32, size int) []byte {
	var b []byte
	for _, field := range []uint32{macho.Magic64, uint32(cpu), subCPU, uint32(macho.TypeExec), 0, 0, 0, 0} {
		b = binary.LittleEndian.AppendUint32(b, field)
	}
	return append(b, bytes.Repeat([]byte{byte(cpu)}, size)...)
}

func TestUniversalHasEveryArchitecture(t *testing.T) {
	parts := [][]byte{thin(macho.CpuAmd64, 3, 100_000), thin(macho.CpuArm64, 0, 1)}
	dir := t.TempDir()
	var in []string
	for i, part := range parts {
		in = append(in, filepath.Join(dir, fmt.Sprint(i)))
		if err := os.WriteFile(in[i], part, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "universal")
	universal := func(in ...string) error {
		return exec.Command("node", append([]string{"universal.mjs", out}, in...)...).Run()
	}
	switch err := universal(in...); {
	case errors.Is(err, exec.ErrNotFound):
		t.Skip(err) // only who builds the bundles needs it
	case err != nil:
		t.Fatal(err)
	}
	whole, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	fat, err := macho.NewFatFile(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	if len(fat.Arches) != 2 || fat.Arches[0].Cpu != macho.CpuAmd64 || fat.Arches[1].Cpu != macho.CpuArm64 {
		t.Fatalf("got %+v", fat.Arches)
	}
	for i, a := range fat.Arches {
		if a.Offset%(1<<14) != 0 || a.Align != 14 || !bytes.Equal(whole[a.Offset:a.Offset+a.Size], parts[i]) {
			t.Errorf("part %d: %+v", i, a.FatArchHeader)
		}
	}
	for what, in := range map[string][]string{"a file that is no program": {"icon.png"}, "one architecture twice": {in[0], in[0]}} {
		if err := universal(in...); err == nil {
			t.Errorf("%s was joined", what)
		}
	}
}

func TestIconIsASmallSquare(t *testing.T) {
	f, err := os.ReadFile("icon.png")
	if err != nil {
		t.Fatal(err)
	}
	if len(f) > 20_000 {
		t.Errorf("icon.png has %d bytes", len(f))
	}
	icon, err := png.DecodeConfig(bytes.NewReader(f))
	if err != nil || icon.Width != 512 || icon.Height != 512 { // as Claude Desktop recommends
		t.Errorf("icon.png is %d by %d pixels, error %v", icon.Width, icon.Height, err)
	}
}
