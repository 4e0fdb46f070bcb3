// This file is the part of doctor that looks into the clients' configurations.

package setup

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pixazo-mcp/pixazo"
)

// keyed is an entry whose server finds a key.
type keyed struct {
	where string     // the entry, and where it has the key, in words
	key   pixazo.Key // zero for a placeholder that the client fills in
}

// checkClients looks for the entries of this program in the configurations of
// all clients, and checks what they start. It returns those that have a key,
// too.
func (o Options) checkClients() (checks []Check, entries []keyed) {
	for _, c := range o.clients() {
		check := Check{Name: "client." + c.name, Status: statusOK}
		var details, fixes []string
		for _, path := range c.places() {
			for _, f := range o.checkConfiguration(c, path) {
				if f.Status == statusFail || check.Status == statusOK {
					check.Status = f.Status
				}
				details = append(details, f.Detail)
				if f.Fix != "" && !slices.Contains(fixes, f.Fix) {
					fixes = append(fixes, f.Fix)
				}
				if f.where != "" {
					entries = append(entries, f.keyed)
				}
			}
		}
		if details == nil {
			details = []string{c.title + " is not set up here"}
		}
		check.Detail, check.Fix = strings.Join(details, "; "), strings.Join(fixes, "; ")
		checks = append(checks, check)
	}
	return checks, entries
}

// finding is the check of a configuration, or of an entry in it.
type finding struct {
	Check
	keyed
}

// checkConfiguration looks into a configuration. It finds nothing in one that
// does not exist.
func (o Options) checkConfiguration(c client, path string) []finding {
	if c.template != "" {
		if _, err := os.Lstat(path); err != nil {
			return nil
		}
		return []finding{{Check: Check{Status: statusOK, Detail: path + " is not looked into, since it is not JSON"}}}
	}
	f, _, entries, err := o.open(c, path)
	if err != nil {
		return []finding{{Check: Check{Status: statusWarn, Detail: err.Error(), Fix: "correct it by hand"}}}
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
		findings = []finding{{Check: Check{Status: statusOK, Detail: path + " has no entry for this program", Fix: "add it with: pixazo-mcp install " + c.name}}}
	}
	return findings
}

// checkEntry checks whether the program of an entry can be started, takes its
// settings and finds a key.
func (o Options) checkEntry(c client, path, name string, e entry) finding {
	f := finding{Check: Check{Status: statusOK, Detail: fmt.Sprintf("%s: %s starts %s", path, name, e.Command)}}
	again := "change the command of its entry " + name + " by hand"
	switch {
	case c.edited && name == liveName:
		again = "run pixazo-mcp install " + c.name
	case c.edited && name == sandboxName:
		again = "run pixazo-mcp install " + c.name + " --sandbox"
	}
	if !filepath.IsAbs(e.Command) {
		f.Status, f.Detail, f.Fix = statusWarn, f.Detail+", which a client finds only if it has the right PATH", "give the program's whole path: "+again
	} else if problem := o.startable(e.Command); problem != "" {
		f.Status, f.Detail, f.Fix = statusFail, f.Detail+", "+problem, "correct the entry: "+again
	}
	settings, err := o.settingsOf(e)
	if err != nil {
		f.Status, f.Detail, f.Fix = statusFail, f.Detail+", which refuses its settings: "+err.Error(), "change the arguments or the env of the entry "+name+" by hand"
		return f
	}
	source, _ := settings.KeySource()
	switch f.key, err = settings.Key(); {
	case givesKey(settings):
		source = "its env"
	case settings.Sandbox:
		return f
	case err != nil:
		f.Detail += ", which finds no key: " + err.Error()
		if f.Status == statusOK {
			f.Status, f.Fix = statusWarn, "put the key there"
		}
		return f
	case f.key.IsZero():
		return f
	}
	f.where = fmt.Sprintf("%s of %s has it in %s", name, c.title, source)
	return f
}

// startable returns what keeps a client from starting a program, or "".
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
