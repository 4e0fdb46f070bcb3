// This file holds the command doctor. It tries what a server needs, and says how to fix
// what does not work.

package setup

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pixazo-mcp/internal/config"
	"pixazo-mcp/internal/disk"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

// The statuses of a Check.
const (
	statusOK   = "ok"
	statusWarn = "warn" // works, but may not be intended
	statusFail = "fail" // does not work
)

// Check is the result of one check. Programs may rely on the names: "version",
// "setting.NAME", "client.NAME", "key", "gateway", "state-dir", "journal", "output-dir",
// "files-dir", "log-file" if one is set, and, if settings are invalid, only "version" and
// "settings".
type Check struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// worsen adds what is wrong to the detail, how to fix it to the fix, and sets the status
// unless that is statusFail already.
func (c *Check) worsen(status, wrong, fix string) {
	if c.Status != statusFail {
		c.Status = status
	}
	c.Detail, c.Fix = c.Detail+wrong, strings.Trim(c.Fix+"; "+fix, "; ")
}

// another returns a fix for the setting of this name.
func another(name string) string {
	return "name another with --" + name + " (PIXAZO_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + ")"
}

// Report holds the checks of one run.
type Report struct {
	OK     bool    `json:"ok"` // no check failed
	Checks []Check `json:"checks"`
}

// doctor checks whether a server with these settings would work, and writes a report, as
// lines or as JSON. It returns an error if a check failed. It leaves nothing behind on the
// disk, and sends the gateway one request, which costs nothing.
func (o Options) doctor(ctx context.Context) error {
	r := &report{Options: o}
	checks := r.check(ctx)
	failed := 0
	for i := range checks {
		c := &checks[i]
		c.Name, c.Detail, c.Fix = r.clean(c.Name), r.clean(c.Detail), r.clean(c.Fix)
		if c.Status == statusFail {
			failed++
		}
	}
	switch err := o.write(Report{failed == 0, checks}); {
	case err != nil || failed == 0:
		return err
	case failed == 1:
		return errors.New("1 problem found")
	}
	return fmt.Errorf("%d problems found", failed)
}

// report is what the checks of one run share.
type report struct {
	Options
	secrets []pixazo.Key // the keys that were read, to be hidden
	keyed   []string     // sentences, each on an entry whose server finds a key
}

// clean returns s cleaned and without the keys, which a configuration or an error may
// contain.
func (r *report) clean(s string) string {
	for _, key := range r.secrets {
		s = key.Clean(s, 4000)
	}
	return text.Clean(s, 2000)
}

// write writes r to Stdout, as lines or as JSON.
func (o Options) write(r Report) error {
	if o.Settings.JSON {
		report, err := text.JSON(r, "  ")
		if err == nil {
			_, err = o.Stdout.Write(append(report, '\n'))
		}
		return err
	}
	widest := 0
	for _, c := range r.Checks {
		widest = max(widest, len(c.Name))
	}
	var b bytes.Buffer
	for _, c := range r.Checks {
		status := strings.Replace(c.Status, statusFail, "FAIL", 1) // so that it stands out
		fmt.Fprintf(&b, "%-4s  %-*s  %s\n", status, widest, c.Name, c.Detail)
		if c.Fix != "" {
			fmt.Fprintf(&b, "%*s→ %s\n", widest+8, "", c.Fix)
		}
	}
	_, err := o.Stdout.Write(b.Bytes())
	return err
}

func (r *report) check(ctx context.Context) []Check {
	s := r.Settings
	checks := []Check{{"version", statusOK, r.Version, ""}}
	if err := s.Invalid(); err != nil {
		return append(checks, Check{"settings", statusFail, strings.ReplaceAll(err.Error(), "\n", "; "), "correct the flag or the variable, then run this again"})
	}
	for _, v := range s.Values {
		checks = append(checks, Check{"setting." + v.Name, statusOK, cmp.Or(v.Text, "none") + " (" + v.From + ")", ""})
	}
	clients := r.checkClients(ctx)
	checks = append(checks, r.checkGateway(ctx)...)
	state := checkFolder("state-dir", s.StateDir)
	checks = append(checks, state)
	if state.Status == statusOK {
		checks = append(checks, r.checkJournal())
	}
	checks = append(checks, checkFolder("output-dir", s.OutputDir), checkFiles(s.FilesDirs))
	if s.LogFile != "" {
		checks = append(checks, checkLog(s.LogFile))
	}
	return append(checks, clients...)
}

// checkFolder checks whether files can be made in dir or, if that does not exist, in the
// nearest folder above it. name is the setting that gives dir.
func checkFolder(name, dir string) Check {
	if dir == "" {
		return Check{name, statusFail, "not known without a home directory", another(name)}
	}
	there, detail := dir, dir+" can be written"
	for filepath.Dir(there) != there {
		if _, err := os.Lstat(there); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		there, detail = filepath.Dir(there), dir+" is not there yet; the first server that needs it makes it"
	}
	if err := disk.TryWrite(there); err != nil {
		return Check{name, statusFail, err.Error(), "make it writable, or " + another(name)}
	}
	return Check{name, statusOK, detail, ""}
}

func checkLog(path string) Check {
	if err := config.TryLogFile(path); err != nil {
		return Check{"log-file", statusFail, err.Error(), "make it writable, or " + another("log-file")}
	}
	return Check{"log-file", statusOK, path + " can be written", ""}
}

func checkFiles(dirs []string) Check {
	check := Check{"files-dir", statusOK, strings.Join(dirs, ", ") + " can be read", ""}
	if dirs == nil {
		check.Detail = "none, so no local files can be attached"
	}
	for _, dir := range dirs {
		if _, err := os.ReadDir(dir); err != nil {
			return Check{check.Name, statusFail, err.Error(), "make the folder readable, or " + another(check.Name)}
		}
		if disk.IsWhole(dir) {
			check.worsen(statusWarn, ": one is the whole file system, from which a server attaches nothing", another(check.Name))
		}
	}
	return check
}

func (o Options) checkJournal() Check {
	journal, err := o.CheckJournal(o.Settings.StateDir)
	switch {
	case err != nil:
		fix := "the next server that uses a damaged one sets it aside; for any other problem, name another folder with --state-dir (PIXAZO_STATE_DIR)"
		if o.GOOS == "windows" {
			fix = "quit every MCP client, since Windows keeps an open file in its place; then " + fix
		}
		return Check{"journal", statusFail, journal.Path + ": " + err.Error(), fix}
	case journal.Notice != "":
		return Check{"journal", statusWarn, journal.Notice, "when nothing in it is needed any more, delete it"}
	case !journal.Exists:
		return Check{"journal", statusOK, "none yet; the first video begins it", ""}
	}
	watched := "no keeper runs"
	if journal.Keepers != "" {
		watched = "a keeper watches: " + journal.Keepers
	}
	return Check{"journal", statusOK, fmt.Sprintf("%s is sound; videos in it: %d; %s", journal.Path, journal.Jobs, watched), ""}
}

// checkGateway checks the key and the gateway with a single request.
func (r *report) checkGateway(ctx context.Context) []Check {
	found, err := r.Settings.Key()
	r.secrets = append(r.secrets, found)
	if r.Settings.Sandbox {
		return []Check{{"key", statusOK, "not needed in the sandbox", ""}, {"gateway", statusOK, "not asked in the sandbox", ""}}
	}
	key := r.checkKey(found, err)
	asked := found
	if asked.IsZero() {
		asked, _ = pixazo.NewKey("doctor-has-no-key") // refusing it shows that the gateway works
	}
	client, err := pixazo.NewClient(pixazo.Config{
		GatewayURL: r.Settings.GatewayURL,
		Key:        func() (pixazo.Key, error) { return asked, nil },
		UserAgent:  "pixazo-mcp/doctor",
	})
	began := time.Now()
	if err == nil {
		err = client.Ping(ctx)
	}
	gateway := Check{Name: "gateway", Status: statusOK, Detail: fmt.Sprintf("%s answered in %d ms", r.Settings.GatewayURL, time.Since(began).Milliseconds())}
	e := pixazo.AsError(err, pixazo.GatewayUnreachable)
	switch {
	case found.IsZero() && (err == nil || e.Code == pixazo.Unauthorized):
	case err == nil:
		key.Detail += ", accepted by the gateway"
	case e.Code == pixazo.GatewayUnreachable, e.Code == pixazo.Cancelled:
		gateway = Check{gateway.Name, statusFail, r.Settings.GatewayURL + " can't be reached: " + e.Message, "look at the connection, a proxy (HTTPS_PROXY) and --gateway-url"}
		if !found.IsZero() {
			key.Detail += ", not tried"
		}
	case e.Code == pixazo.Unauthorized:
		key.worsen(statusFail, ": "+e.Message, "make a new one at "+pixazo.KeyURL+" and put it in the place of this one")
	case e.Code == pixazo.OutOfCredits:
		key.worsen(statusWarn, ", accepted, but "+e.Message, "buy credits at "+pixazo.CreditsURL)
	case e.HTTPStatus >= 500:
		gateway.worsen(statusFail, ", but "+e.Message, "try again later")
	case e.Code == pixazo.RateLimited:
		gateway.worsen(statusWarn, ", but "+e.Message, "")
	default:
		gateway.worsen(statusWarn, ", but not as expected: "+e.Message, "check that --gateway-url is the address of the gateway, and not of something else")
	}
	return []Check{key, gateway}
}

// checkKey checks the result of Settings.Key without asking the gateway.
func (r *report) checkKey(found pixazo.Key, err error) Check {
	source, end := r.Settings.KeySource()
	file := r.Settings.APIKeyFile
	switch {
	case err != nil:
		return Check{"key", statusFail, err.Error(), "put the key there and nothing else"}
	case found.IsZero() && r.keyed != nil:
		return Check{"key", statusOK, "none for a server that is started here, but " + strings.Join(r.keyed, ", "), ""}
	case found.IsZero():
		return Check{"key", statusFail, "none found", "make one at " + pixazo.KeyURL + "; pixazo-mcp install asks for it and stores it in " + cmp.Or(file, "its file")}
	}
	key := Check{"key", statusOK, "from " + source, ""}
	if end != "" {
		key.Detail += ", ends in " + end
	}
	if warning := r.Settings.KeyWarning(); warning != "" {
		key.Status, key.Fix = statusWarn, warning
	} else if file != "" && source != file {
		if stored, err := config.KeyOfFile(file); err == nil && stored.IsZero() {
			key.Fix = "a client may not see this variable; pixazo-mcp install stores the key in " + file
		}
	}
	return key
}
