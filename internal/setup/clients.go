// This file holds doctor's checks of the clients' configurations.

package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pixazo-mcp/pixazo"
)

// checkClients checks this program's entries in the configurations of all clients. It
// returns one check for each client.
func (r *report) checkClients(ctx context.Context) (checks []Check) {
	for _, c := range r.clients() {
		check := Check{"client." + c.name, statusOK, c.title + " is not set up here", ""}
		if found := r.checkConfiguration(ctx, c); found != nil {
			check.Detail = ""
			for _, f := range found {
				if f.Status == statusFail || check.Status == statusOK {
					check.Status = f.Status
				}
				check.Detail = strings.TrimPrefix(check.Detail+"; "+f.Detail, "; ")
				if !strings.Contains(check.Fix, f.Fix) {
					check.Fix = strings.TrimPrefix(check.Fix+"; "+f.Fix, "; ")
				}
			}
		}
		checks = append(checks, check)
	}
	return checks
}

// checkConfiguration returns a nameless check for each of this program's entries in c's
// configuration, a single one if there are no entries or they can't be read, and none if
// there is no configuration.
func (r *report) checkConfiguration(ctx context.Context, c client) (checks []Check) {
	if _, err := os.Lstat(c.file); r.Settings.Home == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if c.template != "" {
		return []Check{{Status: statusOK, Detail: c.file + " is not looked into, since it is not JSON"}}
	}
	d, err := r.open(c)
	if err != nil {
		return []Check{{Status: statusWarn, Detail: err.Error(), Fix: "correct it by hand"}}
	}
	for _, name := range d.ours(r.Options) {
		if e := d.entries[name]; e.URL != "" {
			check := checkRemote(ctx, c, name, e.URL)
			if c.remote && (d.put(name, e, c.kind) != nil || !d.same()) {
				check.worsen(statusFail, ", but lacks the type http", "run pixazo-mcp install "+c.name+" --url "+e.URL)
			}
			checks = append(checks, check)
		} else {
			checks = append(checks, r.checkEntry(c, name, e))
		}
	}
	if checks == nil {
		checks = []Check{{Status: statusOK, Detail: c.file + " has no entry for this program", Fix: "add it with: pixazo-mcp install " + c.name}}
	}
	return checks
}

// checkEntry checks whether the program of an entry can be started, accepts its settings
// and finds a key.
func (r *report) checkEntry(c client, name string, e entry) Check {
	check := Check{Status: statusOK, Detail: fmt.Sprintf("%s: %s starts %s", c.file, name, e.Command)}
	again := "change the command of its entry " + name + " by hand"
	switch {
	case c.edited && name == liveName:
		again = "run pixazo-mcp install " + c.name
	case c.edited && name == sandboxName:
		again = "run pixazo-mcp install " + c.name + " --sandbox"
	}
	if !filepath.IsAbs(e.Command) {
		check.worsen(statusWarn, ", which a client finds only if it has the right PATH", "give the program's whole path: "+again)
	} else if problem := r.startable(e.Command); problem != "" {
		check.worsen(statusFail, ", "+problem, "correct the entry: "+again)
	}
	settings, err := r.settingsOf(e)
	if err != nil {
		check.worsen(statusFail, ", which refuses its settings: "+err.Error(), "change the arguments or the env of the entry "+name+" by hand")
		return check
	}
	key, err := settings.Key()
	source, _ := settings.KeySource()
	switch {
	case givesKey(settings):
		source = "its env"
	case settings.Sandbox || err == nil && key.IsZero():
		return check
	case err != nil:
		check.worsen(statusWarn, ", which finds no key: "+err.Error(), "put the key there")
		return check
	}
	r.secrets = append(r.secrets, key)
	r.keyed = append(r.keyed, fmt.Sprintf("%s of %s has it in %s", name, c.title, source))
	return check
}

// checkRemote checks whether a team server answers at the URL of an entry. It sends no
// token.
func checkRemote(ctx context.Context, c client, name, address string) Check {
	check := Check{Status: statusOK, Detail: fmt.Sprintf("%s: %s calls %s", c.file, name, address)}
	if u, err := url.Parse(address); err != nil || pixazo.OriginOf(u) == "" {
		check.worsen(statusFail, ", which is no https address, so that others could read what is sent", "correct the url of the entry "+name+" by hand")
		return check
	}
	switch status, err := Probe(ctx, address); {
	case err != nil:
		check.worsen(statusFail, ", which can't be reached: "+err.Error(), "ask whoever runs it, or look at the connection")
	case status == http.StatusNotFound || status >= 500 || status >= 300 && status < 400:
		check.worsen(statusFail, fmt.Sprintf(", which answered with HTTP status %d", status), "ask whoever runs it for its exact address")
	default:
		check.Detail += ", which answered"
	}
	return check
}

// Probe sends a GET and returns the HTTP status of the answer. It waits 10 seconds at most
// and follows no redirect.
func Probe(ctx context.Context, url string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// startable returns the reason why a client can't start a program, "" if it can.
func (o Options) startable(program string) string {
	info, err := o.stat(program)
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
