// This file is the part of doctor that looks into the clients' configurations.

package setup

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pixazo-mcp/internal/config"
)

// checkClients looks for the entries of this program in the configurations of
// all clients, and at what they start. keys says of each entry whose server
// finds a key where it has it.
func (o Options) checkClients() (checks []Check, keys []string) {
	for _, c := range o.clients() {
		check := Check{Name: "client." + c.name, Status: statusOK}
		var details, fixes []string
		for _, path := range c.places() {
			for _, f := range o.checkConfiguration(c, path) {
				check.Status = worse(check.Status, f.status)
				details = append(details, f.detail)
				if f.fix != "" && !slices.Contains(fixes, f.fix) {
					fixes = append(fixes, f.fix)
				}
				if f.key != "" {
					keys = append(keys, f.key)
				}
			}
		}
		if details == nil {
			details = []string{c.title + " is not set up here"}
		}
		check.Detail, check.Fix = strings.Join(details, "; "), strings.Join(fixes, "; ")
		checks = append(checks, check)
	}
	return checks, keys
}

// finding is what is said of a configuration, or of an entry in it.
type finding struct {
	status string
	detail string
	fix    string
	key    string // where the server of the entry finds the key, if it does
}

// checkConfiguration looks into a configuration. Of one that does not exist
// nothing is said.
func (o Options) checkConfiguration(c client, path string) []finding {
	if c.template != "" {
		if _, err := os.Lstat(path); err != nil {
			return nil
		}
		return []finding{{status: statusOK, detail: path + " is not looked into, since it is not JSON"}}
	}
	f, _, entries, err := o.open(c, path)
	if err != nil {
		return []finding{{status: statusWarn, detail: err.Error(), fix: "correct it by hand"}}
	}
	if !f.exists {
		return nil
	}
	var findings []finding
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		if o.ours(name, entries[name].Command) {
			findings = append(findings, o.checkEntry(c, path, name, entries[name]))
		}
	}
	if findings == nil {
		findings = []finding{{status: statusOK, detail: path + " has no entry for this program", fix: "add it with: pixazo-mcp install " + c.name}}
	}
	return findings
}

// checkEntry checks whether the program of an entry can be started, takes its
// settings and finds a key.
func (o Options) checkEntry(c client, path, name string, e entry) finding {
	f := finding{status: statusOK, detail: fmt.Sprintf("%s: %s starts %s", path, name, e.Command)}
	var fixes []string
	if problem := o.startable(e.Command); problem != "" {
		f.detail += ", " + problem
		if filepath.IsAbs(e.Command) {
			f.status = statusFail
			fixes = append(fixes, "correct it with: "+c.correct(name))
		} else {
			f.status = statusWarn
			fixes = append(fixes, "give the program's whole path: "+c.correct(name))
		}
	}
	settings, err := o.settingsOf(e)
	if err != nil {
		f.status = statusFail
		f.detail += ", which refuses its settings: " + err.Error()
		fixes = append(fixes, "change the arguments or the env of the entry "+name+" by hand")
	} else if key, err := settings.Key(); e.givesKey() {
		f.key = fmt.Sprintf("%s of %s has it as %s", name, c.title, config.KeyVariable)
	} else if err != nil && !settings.Sandbox {
		f.status = worse(f.status, statusWarn)
		f.detail += ", which finds no key: " + err.Error()
		fixes = append(fixes, "put the key there")
	} else if !key.IsZero() && !settings.Sandbox {
		f.key = fmt.Sprintf("%s of %s has it in %s", name, c.title, settings.APIKeyFile)
	}
	f.fix = strings.Join(fixes, "; ")
	return f
}

// correct returns how the command of an entry is corrected.
func (c client) correct(name string) string {
	switch {
	case c.edited && name == liveName:
		return "pixazo-mcp install " + c.name
	case c.edited && name == sandboxName:
		return "pixazo-mcp install " + c.name + " --sandbox"
	}
	return "change the command of its entry " + name + " by hand"
}

// startable returns what keeps a client from starting a program, or "".
func (o Options) startable(program string) string {
	if !filepath.IsAbs(program) {
		return "which a client finds only if it has the right PATH"
	}
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
