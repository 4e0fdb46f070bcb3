// This file is doctor: it tries what a server needs, and says what to do about
// what does not work.

package setup

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"pixazo-mcp/internal/config"
	"pixazo-mcp/pixazo"
)

// The statuses of a Check.
const (
	statusOK   = "ok"
	statusWarn = "warn" // works, but look at it
	statusFail = "fail" // needs mending
)

// Check is one thing that was looked at. The names do not change: "version",
// "setting." and "client." with a name behind, "key", "gateway", "state-dir",
// "journal", "output-dir" and "files-dir"; "log-file" when there is one; after
// "version", "settings" alone when they are invalid.
type Check struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// worse returns the worse of two statuses.
func worse(a, b string) string {
	order := []string{statusOK, statusWarn, statusFail}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}

// Report is all of them; OK means that none failed.
type Report struct {
	OK     bool    `json:"ok"`
	Checks []Check `json:"checks"`
}

// Doctor writes a report of what a server with these settings would meet, as
// lines or as JSON. It returns an error when something needs mending. It makes
// nothing that stays, not even what a server would, and asks the gateway one
// question that costs nothing.
func Doctor(ctx context.Context, o Options) error {
	o = o.asInvoked()
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
		return errors.New("doctor: 1 problem found")
	}
	return fmt.Errorf("doctor: %d problems found", failed)
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
	if err := o.Settings.Setup.Invalid; err != nil {
		return append(checks, Check{"settings", statusFail, strings.ReplaceAll(err.Error(), "\n", "; "), "correct the flag or the variable, then run this again"})
	}
	for _, v := range o.Settings.Values() {
		text := v.Text
		if text == "" {
			text = "none"
		}
		checks = append(checks, Check{"setting." + v.Name, statusOK, text + " (" + v.From + ")", ""})
	}
	ofClients, keys := o.checkClients()
	checks = append(checks, o.checkGateway(ctx, keys)...)
	state := o.checkFolder("state-dir", o.Settings.StateDir)
	checks = append(checks, state)
	if state.Status == statusOK {
		checks = append(checks, o.checkJournal(ctx))
	}
	checks = append(checks, o.checkFolder("output-dir", o.Settings.OutputDir), o.checkFiles())
	if o.Settings.LogFile != "" {
		checks = append(checks, o.checkLog())
	}
	return append(checks, ofClients...)
}

// checkGateway is about the key and the gateway, with one request for both.
// entries are those in clients' configurations that have a key of their own.
func (o Options) checkGateway(ctx context.Context, entries []string) []Check {
	if o.Settings.Sandbox {
		return []Check{{"key", statusOK, "not needed in the sandbox", ""}, {"gateway", statusOK, "not asked in the sandbox", ""}}
	}
	key := Check{Name: "key", Status: statusOK}
	found, err := o.Settings.Key()
	switch source, end := o.Settings.KeySource(); {
	case err != nil:
		key.Status, key.Detail, key.Fix = statusFail, err.Error(), "put the key there and nothing else"
	case found.IsZero() && len(entries) > 0:
		key.Detail = "none for a server that is started here, but " + strings.Join(entries, ", ")
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
	if source, _ := o.Settings.KeySource(); key.Status == statusOK && o.Settings.APIKeyFile != "" && source != o.Settings.APIKeyFile {
		if stored, err := config.KeyOfFile(o.Settings.APIKeyFile); err == nil && stored.IsZero() {
			key.Fix = "a client may not see this variable; pixazo-mcp install stores the key in " + o.Settings.APIKeyFile
		}
	}
	if warning := o.Settings.KeyWarning(); warning != "" && key.Status == statusOK {
		key.Status, key.Fix = statusWarn, warning
	}

	got, took, said := o.ask(ctx, found)
	asked := got.status
	gateway := Check{Name: "gateway", Status: statusOK, Detail: fmt.Sprintf("%s answered in %d ms", o.Settings.GatewayURL, took.Milliseconds())}
	e, _ := errors.AsType[*pixazo.Error](said)
	switch {
	case asked == 0:
		gateway.Status, gateway.Detail = statusFail, o.Settings.GatewayURL+" can't be reached: "+said.Error()
		gateway.Fix = "look at the connection, a proxy (HTTPS_PROXY) and --gateway-url"
		if key.Status != statusFail && !found.IsZero() {
			key.Detail += ", not tried"
		}
	case asked >= 500:
		gateway.Status, gateway.Detail = statusFail, gateway.Detail+fmt.Sprintf(", but it fails (HTTP %d)", asked)
		gateway.Fix = "try again later"
	case found.IsZero():
	case asked/100 == 3:
		gateway.Status, gateway.Detail = statusWarn, gateway.Detail+fmt.Sprintf(", but with a redirect (HTTP %d) to %s", asked, got.location)
		gateway.Fix = "see whether --gateway-url is the address of the gateway, and not of something before it"
	case asked == http.StatusNotFound && !got.isRefusal():
		gateway.Status, gateway.Detail = statusWarn, gateway.Detail+", but not as the gateway does: "+got.what()
		gateway.Fix = "something else seems to be at this address; see whether --gateway-url is that of the gateway"
	case said == nil || asked == http.StatusNotFound:
		key.Detail += ", accepted by the gateway"
	case e != nil && e.Code == pixazo.Unauthorized:
		key.Status, key.Detail = statusFail, key.Detail+fmt.Sprintf(", refused by the gateway (HTTP %d)", asked)
		key.Fix = "make a new one at " + pixazo.KeyURL + " and put it in the place of this one"
	case e != nil && e.Code == pixazo.OutOfCredits:
		key.Status, key.Detail = statusWarn, key.Detail+", accepted, but the account has no credits left"
		key.Fix = "buy some at " + pixazo.CreditsURL
	case e != nil && e.Code == pixazo.RateLimited:
		gateway.Status, gateway.Detail = statusWarn, gateway.Detail+", but limits the rate of requests"
	default:
		gateway.Status, gateway.Detail = statusWarn, gateway.Detail+", but not as expected, with "+got.what()
		if e != nil {
			gateway.Detail += ": " + e.Message
		}
		gateway.Fix = "see whether --gateway-url is the address of the gateway"
	}
	return []Check{key, gateway}
}

// ask asks for the status of a job that does not exist, or without a key for
// the gateway's front page, and returns what came, the time it took, and what
// the client made of it.
func (o Options) ask(ctx context.Context, key pixazo.Key) (got answer, took time.Duration, said error) {
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
		return answer{}, 0, err
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
		_, err = client.Status(ctx, "heygen-video-agent_00000000-0000-0000-0000-000000000000", pixazo.StatusOptions{})
	}
	took = time.Since(began)
	got, failed := once.outcome()
	if got.status != 0 {
		return got, took, err
	} else if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	} else if failed != nil {
		err = failed
	}
	return got, took, err
}

// answer is the gateway's, or that of whatever is in its place.
type answer struct {
	status   int // 0 when nothing came
	kind     string
	location string
	body     []byte // its beginning
}

// isRefusal reports whether the body is an error as the gateway words it.
func (a answer) isRefusal() bool {
	var refused struct{ Error, Message json.RawMessage }
	return json.Unmarshal(a.body, &refused) == nil && (refused.Error != nil || refused.Message != nil)
}

func (a answer) what() string {
	kind, _, _ := strings.Cut(a.kind, ";")
	return fmt.Sprintf("HTTP %d and %s", a.status, cmp.Or(kind, "no type of content"))
}

// onlyOnce ends the client's tries after the first: a user waits for the report,
// and to try again is up to them.
type onlyOnce struct {
	transport http.RoundTripper
	done      func()

	mu  sync.Mutex
	got answer
	err error
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
	t.got = answer{status: resp.StatusCode, kind: resp.Header.Get("Content-Type")}
	if u, err := resp.Location(); err == nil {
		t.got.location = u.Redacted()
	}
	resp.Body = &bodyThen{resp.Body, t}
	return resp, nil
}

func (t *onlyOnce) outcome() (answer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.got, t.err
}

// bodyThen keeps what is read of a body, up to 64 KiB, and says once it is
// closed that all is done.
type bodyThen struct {
	io.ReadCloser
	of *onlyOnce
}

func (b *bodyThen) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	b.of.got.body = append(b.of.got.body, p[:min(n, 64<<10-len(b.of.got.body))]...)
	return n, err
}

func (b *bodyThen) Close() error {
	defer b.of.done()
	return b.ReadCloser.Close()
}

// checkFolder makes a file in dir for a moment, or where dir is missing a folder
// in the nearest that is there.
func (o Options) checkFolder(name, dir string) Check {
	fix := "name another with --" + name + " (" + "PIXAZO_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + ")"
	if dir == "" {
		return Check{name, statusFail, "not known without a home directory", fix}
	}
	detail := dir + " can be written"
	there, err := nearest(dir)
	if err == nil && there != dir {
		detail = dir + " is not there yet; the first server that needs it makes it"
		if there, err = os.MkdirTemp(there, ".pixazo-*.tmp"); err == nil {
			err = os.Remove(there)
		}
	} else if err == nil {
		err = tryFile(dir)
	}
	if err != nil {
		return Check{name, statusFail, err.Error(), "make it writable, or " + fix}
	}
	return Check{name, statusOK, detail, ""}
}

// nearest is dir, or the nearest folder above it that is there.
func nearest(dir string) (string, error) {
	for {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			return "", fmt.Errorf("%s is not a folder", dir)
		}
		if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(dir) == dir {
			return dir, err
		}
		if _, linked := os.Lstat(dir); linked == nil {
			return "", fmt.Errorf("%s is a link to a folder that does not exist", dir)
		}
		dir = filepath.Dir(dir)
	}
}

func tryFile(dir string) error {
	f, err := os.CreateTemp(dir, ".pixazo-*.tmp")
	if err == nil {
		_, err = f.WriteString("a try")
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return err
}

// checkLog opens the log file as a server would, but makes none.
func (o Options) checkLog() Check {
	const fix = "make it writable, or name another with --log-file (PIXAZO_LOG_FILE)"
	path := o.Settings.LogFile
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	detail := path + " can be written"
	if err == nil {
		err = f.Close()
	} else if _, missing := os.Lstat(path); errors.Is(missing, fs.ErrNotExist) {
		// A server makes the file, but not its folder.
		detail, err = path+" is not there yet; a server makes it", tryFile(filepath.Dir(path))
	}
	if err != nil {
		return Check{"log-file", statusFail, err.Error(), fix}
	}
	return Check{"log-file", statusOK, detail, ""}
}

func (o Options) checkFiles() Check {
	dirs := o.Settings.FilesDirs
	if len(dirs) == 0 {
		return Check{"files-dir", statusOK, "none, so no local files can be attached", ""}
	}
	var wrong, whole []string
	for _, dir := range dirs {
		if clean := filepath.Clean(dir); clean == filepath.VolumeName(clean)+string(filepath.Separator) {
			whole = append(whole, dir)
		}
		if _, err := os.ReadDir(dir); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	if len(wrong) > 0 {
		return Check{"files-dir", statusFail, strings.Join(wrong, "; "), "make the folder readable, or name another with --files-dir (PIXAZO_FILES_DIR)"}
	}
	if len(whole) > 0 {
		return Check{"files-dir", statusWarn, strings.Join(whole, ", ") + " is the whole file system, from which a server attaches nothing", "name a folder below it with --files-dir (PIXAZO_FILES_DIR)"}
	}
	return Check{"files-dir", statusOK, strings.Join(dirs, ", ") + " can be read", ""}
}

func (o Options) checkJournal(ctx context.Context) Check {
	journal, err := o.CheckJournal(ctx, o.Settings.StateDir)
	switch {
	case err != nil:
		fix := "the next server that uses a damaged one sets it aside; for any other problem, name another folder with --state-dir (PIXAZO_STATE_DIR)"
		if o.GOOS == "windows" {
			fix = "quit every MCP client, since Windows keeps an open file in its place; then " + fix
		}
		return Check{"journal", statusFail, journal.Path + ": " + err.Error(), fix}
	case !journal.Exists && journal.Notice == "":
		return Check{"journal", statusOK, "none yet; the first video begins it", ""}
	case journal.Notice != "":
		return Check{"journal", statusWarn, journal.Notice, "when nothing in it is needed any more, delete it"}
	}
	return Check{"journal", statusOK, fmt.Sprintf("%s is sound; videos in it: %d", journal.Path, journal.Jobs), ""}
}
