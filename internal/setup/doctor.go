// This file is doctor: it tries what a server needs, and says what to do about
// what does not work.

package setup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tailscale/hujson"

	"pixazo-mcp/pixazo"
	"pixazo-mcp/pixazo/jobs"
)

// The statuses of a Check.
const (
	statusOK   = "ok"
	statusWarn = "warn" // works, but look at it
	statusFail = "fail" // needs mending
)

// Check is one thing that was looked at. The names do not change: "version",
// "setting." and "client." with a name behind, "key", "gateway", "state-dir",
// "journal", "output-dir" and "files-dir".
type Check struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

func (c *Check) warn() {
	if c.Status == statusOK {
		c.Status = statusWarn
	}
}

// Report is all of them; OK means that none failed.
type Report struct {
	OK     bool    `json:"ok"`
	Checks []Check `json:"checks"`
}

// Doctor writes a report of what a server with these settings would meet, as
// lines or as JSON. It returns an error when something needs mending. It makes
// the folders that are missing, as a server would, and asks the gateway one
// question that costs nothing.
func Doctor(ctx context.Context, o Options) error {
	checks := o.check(ctx)
	failed := 0
	for i := range checks {
		c := &checks[i]
		c.Name, c.Detail, c.Fix = shown(c.Name), shown(c.Detail), shown(c.Fix)
		if c.Status == statusFail {
			failed++
		}
	}
	if err := o.write(Report{failed == 0, checks}); err != nil {
		return fmt.Errorf("doctor: %w", err)
	}
	switch failed {
	case 0:
		return nil
	case 1:
		return errors.New("doctor: one thing needs mending")
	}
	return fmt.Errorf("doctor: %d things need mending", failed)
}

func (o Options) write(r Report) error {
	if o.Settings.Setup.JSON {
		encoder := json.NewEncoder(o.Stdout)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	widest := 0
	for _, c := range r.Checks {
		widest = max(widest, len(c.Name))
	}
	var b bytes.Buffer
	for _, c := range r.Checks {
		status := c.Status
		if status == statusFail {
			status = "FAIL" // to be seen among many
		}
		fmt.Fprintf(&b, "%-4s  %-*s  %s\n", status, widest, c.Name, c.Detail)
		if c.Fix != "" {
			fmt.Fprintf(&b, "%*s→ %s\n", widest+8, "", c.Fix)
		}
	}
	_, err := o.Stdout.Write(b.Bytes())
	return err
}

func (o Options) check(ctx context.Context) []Check {
	checks := []Check{{"version", statusOK, o.Version, ""}}
	for _, v := range o.Settings.Values() {
		text := v.Text
		if text == "" {
			text = "none"
		}
		checks = append(checks, Check{"setting." + v.Name, statusOK, text + " (" + v.From + ")", ""})
	}
	checks = append(checks, o.checkGateway(ctx)...)
	state := o.checkFolder("state-dir", o.Settings.StateDir, 0o700)
	checks = append(checks, state)
	if state.Status == statusOK {
		checks = append(checks, o.checkJournal())
	}
	checks = append(checks, o.checkFolder("output-dir", o.Settings.OutputDir, 0o755), o.checkFiles())
	for _, c := range o.clients() {
		checks = append(checks, o.checkClient(c))
	}
	return checks
}

// checkGateway is about the key and the gateway, with one request for both.
func (o Options) checkGateway(ctx context.Context) []Check {
	if o.Settings.Sandbox {
		return []Check{{"key", statusOK, "not needed in the sandbox", ""}, {"gateway", statusOK, "not asked in the sandbox", ""}}
	}
	key := Check{Name: "key", Status: statusOK}
	found, err := o.Settings.Key()
	switch source, end := o.Settings.KeySource(); {
	case err != nil:
		key.Status, key.Detail, key.Fix = statusFail, err.Error(), "put the key there and nothing else"
	case found.IsZero():
		key.Status, key.Detail = statusFail, "none found"
		key.Fix = "make one at " + pixazo.KeyURL + "; pixazo-mcp install asks for it and stores it"
		if o.Settings.APIKeyFile != "" {
			key.Fix += " in " + o.Settings.APIKeyFile
		}
	case end == "":
		key.Detail = "from " + source
	default:
		key.Detail = "from " + source + ", ends in " + end
	}
	if source, _ := o.Settings.KeySource(); key.Status == statusOK && o.Settings.APIKeyFile != "" && source != o.Settings.APIKeyFile && o.Settings.KeyFileHoldsNone() {
		key.Fix = "a client may not see this variable; pixazo-mcp install stores the key in " + o.Settings.APIKeyFile
	}
	if warning := o.Settings.KeyWarning(); warning != "" && key.Status == statusOK {
		key.Status, key.Fix = statusWarn, warning
	}

	asked, took, said := o.ask(ctx, found)
	gateway := Check{Name: "gateway", Status: statusOK, Detail: fmt.Sprintf("%s answered in %d ms", o.Settings.GatewayURL, took.Milliseconds())}
	e, _ := errors.AsType[*pixazo.Error](said)
	switch {
	case asked == 0:
		gateway.Status, gateway.Detail = statusFail, o.Settings.GatewayURL+" can't be reached: "+said.Error()
		gateway.Fix = "look at the connection, a proxy (HTTPS_PROXY) and --gateway-url"
		if key.Status != statusFail {
			key.Detail += ", not tried"
		}
	case asked >= 500:
		gateway.Status, gateway.Detail = statusFail, gateway.Detail+fmt.Sprintf(", but it fails (HTTP %d)", asked)
		gateway.Fix = "try again later"
	case found.IsZero():
	case e == nil || e.Code == pixazo.NotFound:
		key.Detail += ", accepted by the gateway"
	case e.Code == pixazo.Unauthorized:
		key.Status, key.Detail = statusFail, key.Detail+fmt.Sprintf(", refused by the gateway (HTTP %d)", asked)
		key.Fix = "make a new one at " + pixazo.KeyURL + " and put it in the place of this one"
	case e.Code == pixazo.OutOfCredits:
		key.Status, key.Detail = statusWarn, key.Detail+", accepted, but the account has no credits left"
		key.Fix = "buy some at " + pixazo.CreditsURL
	case e.Code == pixazo.RateLimited:
		gateway.Status, gateway.Detail = statusWarn, gateway.Detail+", but limits the rate of requests"
	default:
		gateway.Status, gateway.Detail = statusWarn, gateway.Detail+", but not as expected: "+e.Message
		gateway.Fix = "see whether --gateway-url is the address of the gateway"
	}
	return []Check{key, gateway}
}

// ask asks for the status of a job that does not exist, or without a key for
// the gateway's front page, and returns the HTTP status, 0 when nothing came,
// the time it took, and what the client made of it.
func (o Options) ask(ctx context.Context, key pixazo.Key) (status int, took time.Duration, said error) {
	timeout := o.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer in %s", timeout))
	defer cancel()
	once := &onlyOnce{transport: http.DefaultTransport, done: cancel}
	client, err := pixazo.NewClient(pixazo.Config{
		GatewayURL: o.Settings.GatewayURL,
		Key:        func() (pixazo.Key, error) { return key, nil },
		UserAgent:  "pixazo-mcp/doctor",
		Transport:  once,
	})
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if key.IsZero() {
		var req *http.Request
		if req, err = http.NewRequestWithContext(ctx, http.MethodGet, o.Settings.GatewayURL+"/", nil); err == nil {
			var resp *http.Response
			if resp, err = once.RoundTrip(req); err == nil {
				_ = resp.Body.Close()
			}
		}
	} else {
		_, err = client.Status(ctx, "heygen-video-agent_00000000-0000-0000-0000-000000000000", "")
	}
	took = time.Since(began)
	if status, failed := once.outcome(); status != 0 {
		return status, took, err
	} else if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	} else if failed != nil {
		err = failed
	}
	return 0, took, err
}

// onlyOnce ends the client's tries after the first: a user waits for the report,
// and to try again is up to them.
type onlyOnce struct {
	transport http.RoundTripper
	done      func()

	mu     sync.Mutex
	status int
	err    error
}

func (t *onlyOnce) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.transport.RoundTrip(req)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.err = err
		t.done()
		return nil, err
	}
	t.status = resp.StatusCode
	resp.Body = &bodyThen{resp.Body, t.done}
	return resp, nil
}

func (t *onlyOnce) outcome() (status int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status, t.err
}

// bodyThen calls done once the body is read and closed.
type bodyThen struct {
	body interface {
		Read([]byte) (int, error)
		Close() error
	}
	done func()
}

func (b *bodyThen) Read(p []byte) (int, error) { return b.body.Read(p) }

func (b *bodyThen) Close() error {
	defer b.done()
	return b.body.Close()
}

// checkFolder makes dir, with mode where it is missing, and a file in it for a
// moment.
func (o Options) checkFolder(name, dir string, mode os.FileMode) Check {
	fix := "name another with --" + name + " (" + "PIXAZO_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + ")"
	if dir == "" {
		return Check{name, statusFail, "not known without a home directory", fix}
	}
	err := os.MkdirAll(dir, mode)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, ".pixazo-*.tmp"); err == nil {
			_, err = f.WriteString("a try")
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}
	if err != nil {
		return Check{name, statusFail, err.Error(), "make it writable, or " + fix}
	}
	return Check{name, statusOK, dir + " can be written", ""}
}

func (o Options) checkFiles() Check {
	dirs := o.Settings.FilesDirs
	if len(dirs) == 0 {
		return Check{"files-dir", statusOK, "none, so no local files can be attached", ""}
	}
	var wrong []string
	for _, dir := range dirs {
		if _, err := os.ReadDir(dir); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	if len(wrong) > 0 {
		return Check{"files-dir", statusFail, strings.Join(wrong, "; "), "make the folder readable, or name another with --files-dir (PIXAZO_FILES_DIR)"}
	}
	return Check{"files-dir", statusOK, strings.Join(dirs, ", ") + " can be read", ""}
}

func (o Options) checkJournal() Check {
	report, err := jobs.CheckJournal(o.Settings.StateDir)
	switch {
	case err != nil:
		return Check{"journal", statusFail, report.Path + ": " + err.Error(), "a damaged one is set aside by the next server that uses it; for anything else, name another folder with --state-dir (PIXAZO_STATE_DIR)"}
	case !report.Exists && report.Notice == "":
		return Check{"journal", statusOK, "none yet; the first video begins it", ""}
	case report.Notice != "":
		return Check{"journal", statusWarn, report.Notice, "when nothing in it is needed any more, delete it"}
	}
	return Check{"journal", statusOK, fmt.Sprintf("%s is sound; videos in it: %d", report.Path, report.Jobs), ""}
}

// checkClient looks for our entries in c's configuration, and for what they
// start.
func (o Options) checkClient(c client) Check {
	check := Check{Name: "client." + c.name, Status: statusOK}
	add := "add it with: pixazo-mcp install " + c.name
	var details, fixes []string
	found := false
	for _, path := range c.present() {
		f, err := readFile(path)
		if err == nil && !f.exists {
			continue
		}
		found = true
		var commands []command
		if err == nil {
			commands, err = c.commands(f.content)
		}
		if err != nil {
			check.warn()
			details, fixes = append(details, path+" can't be read: "+err.Error()), append(fixes, "mend it by hand")
			continue
		}
		commands = slices.DeleteFunc(commands, func(cmd command) bool { return !o.ours(cmd.program) })
		if len(commands) == 0 {
			details, fixes = append(details, path+" has no entry for this program"), append(fixes, add)
		}
		for _, cmd := range commands {
			detail := fmt.Sprintf("%s: %s starts %s", path, cmd.name, cmd.program)
			switch problem := o.startable(cmd.program); {
			case problem != "" && filepath.IsAbs(cmd.program):
				check.Status = statusFail
				details, fixes = append(details, detail+", "+problem), append(fixes, "put it right with: pixazo-mcp install "+c.name)
			case problem != "":
				check.warn()
				details, fixes = append(details, detail+", "+problem), append(fixes, "name it with all of its path: pixazo-mcp install "+c.name)
			default:
				details = append(details, detail)
			}
		}
	}
	if !found {
		check.Detail = c.title + " is not set up here"
		return check
	}
	check.Detail, check.Fix = strings.Join(details, "; "), strings.Join(slices.Compact(fixes), "; ")
	return check
}

// startable says what keeps a client from starting a program, or "".
func (o Options) startable(program string) string {
	if !filepath.IsAbs(program) {
		return "which a client finds only if it has the right PATH"
	}
	info, err := os.Stat(program)
	switch {
	case err != nil:
		return "which is not there"
	case !info.Mode().IsRegular():
		return "which is not a file"
	case o.GOOS != "windows" && info.Mode()&0o111 == 0:
		return "which is not executable"
	}
	return ""
}

// command is what an entry starts.
type command struct{ name, program string }

// commands are those of all entries in c's configuration.
func (c client) commands(content []byte) ([]command, error) {
	if c.format != asJSON {
		return scan(content), nil
	}
	d, err := parse(content)
	if err != nil {
		return nil, err
	}
	servers, err := d.servers(c.servers)
	if servers == nil {
		return nil, err
	}
	var commands []command
	for _, m := range servers.Members {
		own, _ := m.Value.Value.(*hujson.Object)
		if program, ok := stringMember(own, "command"); ok {
			commands = append(commands, command{m.Name.Value.(hujson.Literal).String(), program})
		}
	}
	return commands, nil
}

// scan finds the commands in TOML and YAML line by line, which is enough to
// look: install never writes such a file.
func scan(content []byte) []command {
	var commands []command
	name := ""
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if table, ok := strings.CutPrefix(line, "[mcp_servers."); ok {
			name = strings.Trim(strings.TrimRight(table, "]"), `"'`)
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.TrimSpace(key) != "command" {
			if key, value, ok = strings.Cut(line, ":"); ok && value == "" {
				name = strings.Trim(key, `"'`)
			}
			if !ok || key != "cmd" {
				continue
			}
		}
		commands = append(commands, command{name, unquote(strings.TrimSpace(value))})
	}
	return commands
}

// unquote reads a string of TOML or YAML with what may stand behind it.
func unquote(s string) string {
	if prefix, err := strconv.QuotedPrefix(s); err == nil && s[0] == '"' {
		s, _ = strconv.Unquote(prefix)
		return s
	}
	if rest, ok := strings.CutPrefix(s, "'"); ok {
		s, _, _ = strings.Cut(rest, "'")
		return s
	}
	s, _, _ = strings.Cut(s, " #")
	return strings.TrimSpace(s)
}
