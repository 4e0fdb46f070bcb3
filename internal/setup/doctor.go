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
	"slices"
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

// worsen sets status and fix, and adds what is wrong to the detail.
func (c *Check) worsen(status, wrong, fix string) {
	c.Status, c.Detail, c.Fix = status, c.Detail+wrong, fix
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
	err := o.write(Report{failed == 0, checks})
	switch {
	case err == nil && failed == 1:
		err = errors.New("1 problem found")
	case err == nil && failed > 1:
		err = fmt.Errorf("%d problems found", failed)
	}
	return err
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
		status := c.Status
		if status == statusFail {
			status = "FAIL" // so that it stands out
		}
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
	state := r.checkFolder("state-dir", s.StateDir)
	checks = append(checks, state)
	if state.Status == statusOK {
		checks = append(checks, r.checkJournal())
	}
	checks = append(checks, r.checkFolder("output-dir", s.OutputDir), r.checkFiles())
	if s.LogFile != "" {
		checks = append(checks, r.checkLog())
	}
	return append(checks, clients...)
}

// checkFolder checks whether files can be made in dir or, if that does not exist, in the
// nearest folder above it. name is the setting that gives dir.
func (o Options) checkFolder(name, dir string) Check {
	fix := "name another with --" + name + " (PIXAZO_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + ")"
	if dir == "" {
		return Check{name, statusFail, "not known without a home directory", fix}
	}
	there, err := nearest(dir)
	if err == nil {
		err = disk.TryWrite(there)
	}
	switch {
	case err != nil:
		return Check{name, statusFail, err.Error(), "make it writable, or " + fix}
	case there != dir:
		return Check{name, statusOK, dir + " is not there yet; the first server that needs it makes it", ""}
	}
	return Check{name, statusOK, dir + " can be written", ""}
}

// nearest returns dir if it exists, else the nearest folder above it that exists.
func nearest(dir string) (string, error) {
	for {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			return "", fmt.Errorf("%s is not a folder", dir)
		}
		if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(dir) == dir {
			return dir, err
		}
		if _, err := os.Lstat(dir); err == nil {
			return "", fmt.Errorf("%s is a link to a folder that does not exist", dir)
		}
		dir = filepath.Dir(dir)
	}
}

func (o Options) checkLog() Check {
	if err := config.TryLogFile(o.Settings.LogFile); err != nil {
		return Check{"log-file", statusFail, err.Error(), "make it writable, or name another with --log-file (PIXAZO_LOG_FILE)"}
	}
	return Check{"log-file", statusOK, o.Settings.LogFile + " can be written", ""}
}

func (o Options) checkFiles() Check {
	const name = "files-dir"
	var wrong []string
	for _, dir := range o.Settings.FilesDirs {
		if _, err := os.ReadDir(dir); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	all := strings.Join(o.Settings.FilesDirs, ", ")
	switch {
	case all == "":
		return Check{name, statusOK, "none, so no local files can be attached", ""}
	case len(wrong) > 0:
		return Check{name, statusFail, strings.Join(wrong, "; "), "make the folder readable, or name another with --files-dir (PIXAZO_FILES_DIR)"}
	case slices.ContainsFunc(o.Settings.FilesDirs, disk.IsWhole):
		return Check{name, statusWarn, all + ": one is the whole file system, from which a server attaches nothing", "name a folder below it with --files-dir (PIXAZO_FILES_DIR)"}
	}
	return Check{name, statusOK, all + " can be read", ""}
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
	e := &pixazo.Error{Code: pixazo.GatewayUnreachable, Message: fmt.Sprint(err)} // for any other type of error
	errors.As(err, &e)
	switch {
	case err == nil && found.IsZero(), pixazo.IsCode(err, pixazo.Unauthorized) && found.IsZero():
	case err == nil:
		key.Detail += ", accepted by the gateway"
	case e.Code == pixazo.GatewayUnreachable, e.Code == pixazo.Cancelled:
		gateway.Status, gateway.Detail = statusFail, r.Settings.GatewayURL+" can't be reached: "+e.Message
		gateway.Fix = "look at the connection, a proxy (HTTPS_PROXY) and --gateway-url"
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
	key := Check{Name: "key", Status: statusOK}
	source, end := r.Settings.KeySource()
	file := r.Settings.APIKeyFile
	switch {
	case err != nil:
		key.Status, key.Detail, key.Fix = statusFail, err.Error(), "put the key there and nothing else"
		return key
	case found.IsZero() && r.keyed != nil:
		key.Detail = "none for a server that is started here, but " + strings.Join(r.keyed, ", ")
		return key
	case found.IsZero():
		key.Status, key.Detail = statusFail, "none found"
		key.Fix = "make one at " + pixazo.KeyURL + "; pixazo-mcp install asks for it and stores it"
		if file != "" {
			key.Fix += " in " + file
		}
		return key
	}
	key.Detail = "from " + source
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
