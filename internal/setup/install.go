// This file is install and uninstall: which entry goes where, and what the user
// is told.

package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The names of our entries.
const (
	liveName    = "pixazo"
	sandboxName = "pixazo-sandbox"
)

// Install adds this program to the client of the settings, or brings its entry
// up to date, and asks for the key when there is none. A client whose
// configuration is not edited gets its entry printed. Doing it again changes
// nothing. An error means that a file was left as it was, or that the key could
// not be stored.
func Install(ctx context.Context, o Options) error {
	c := o.find(o.Settings.Setup.Client)
	e, err := o.entry(c)
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	if len(c.present()) == 0 {
		return errors.New("install: the home directory is not known, so neither is the place of the configuration; set HOME (USERPROFILE on Windows)")
	}
	for _, v := range o.Settings.Values() {
		if v.From == "variable" && v.Name != "sandbox" {
			o.line("The variable of --%s is set here, but %s may not see it; as a flag of this command it goes into the entry.", v.Name, c.title)
		}
	}
	for _, path := range c.present() {
		if err := o.install(c, e, path); err != nil {
			return fmt.Errorf("install: %w", err)
		}
	}
	if o.Settings.Setup.Print {
		return nil
	}
	if !o.Settings.Sandbox {
		if err := o.ensureKey(ctx); err != nil {
			return fmt.Errorf("install: %w", err)
		}
	}
	if c.restart != "" {
		o.line("%s", c.restart)
	}
	o.line("To see whether all is well: %s doctor", shown(o.Executable))
	return nil
}

func (o Options) install(c client, e entry, path string) error {
	if !c.edited {
		o.line("Put this into %s, beside what is there:\n", shown(path))
		o.print(c.snippet(e))
		return nil
	}
	f, d, err := open(path)
	if err != nil {
		return err
	}
	e.args, err = d.put(c.servers, e, o.ours)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	text := d.text()
	switch same := string(text) == string(f.content); {
	case o.Settings.Setup.Print && same:
		o.line("%s has this already, nothing would be written:\n", shown(path))
	case o.Settings.Setup.Print:
		o.line("This would be written to %s, beside what is there:\n", shown(path))
	case same:
		o.line("%s: %s is up to date in %s", c.title, e.name, shown(path))
		return nil
	}
	if o.Settings.Setup.Print {
		o.print(c.snippet(e))
		return nil
	}
	backup, err := f.replace(text)
	if err != nil {
		return err
	}
	o.line("%s: wrote %s to %s", c.title, e.name, shown(path))
	if backup != "" {
		o.line("  The file as it was: %s", shown(backup))
	}
	if e.name == liveName && slices.ContainsFunc(e.args, func(arg string) bool { return arg == "--sandbox" || arg == "--sandbox=true" }) {
		o.line("  The entry had --sandbox before and keeps it, so its videos are samples. For real ones: install %s --sandbox=false", c.name)
	}
	return nil
}

// Uninstall takes the entries that start this program out of the configuration
// of the settings' client; with --sandbox, only the one that install makes
// then. An error means that a file was left as it was.
func Uninstall(o Options) error {
	c := o.find(o.Settings.Setup.Client)
	if len(c.present()) == 0 {
		return errors.New("uninstall: the home directory is not known, so neither is the place of the configuration; set HOME (USERPROFILE on Windows)")
	}
	for _, path := range c.present() {
		if err := o.uninstall(c, path); err != nil {
			return fmt.Errorf("uninstall: %w", err)
		}
	}
	return nil
}

func (o Options) uninstall(c client, path string) error {
	if !c.edited {
		o.line("Take %s and %s below %s out of %s", liveName, sandboxName, c.servers, shown(path))
		return nil
	}
	f, d, err := open(path)
	if err != nil {
		return err
	}
	names, err := d.remove(c.servers, func(name, command string) bool {
		return o.ours(command) && (!o.Settings.Sandbox || name == sandboxName)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	list := shown(strings.Join(names, ", "))
	switch {
	case len(names) == 0:
		o.line("%s: nothing of ours in %s", c.title, shown(path))
		return nil
	case o.Settings.Setup.Print:
		o.line("This would be taken out of %s: %s", shown(path), list)
		return nil
	}
	backup, err := f.replace(d.text())
	if err != nil {
		return err
	}
	o.line("%s: took %s out of %s", c.title, list, shown(path))
	o.line("  The file as it was: %s", shown(backup))
	if c.restart != "" {
		o.line("%s", c.restart)
	}
	return nil
}

// open reads a configuration and takes it apart.
func open(path string) (file, *document, error) {
	f, err := readFile(path)
	if err != nil {
		return file{}, nil, err
	}
	d, err := parse(f.content)
	if err != nil {
		return file{}, nil, fmt.Errorf("%s can't be read, so it is left as it is: %w", path, err)
	}
	return f, d, nil
}

// entry is what c is to start: this very file. A link is kept as it is, since
// package managers point theirs to the newest version.
func (o Options) entry(c client) (entry, error) {
	program := o.Executable
	if !filepath.IsAbs(program) {
		return entry{}, errors.New("the path of this program is not known")
	}
	target, err := filepath.EvalSymlinks(program)
	if err != nil {
		return entry{}, fmt.Errorf("this program's file: %w", err)
	}
	if info, err := os.Stat(target); err != nil || !info.Mode().IsRegular() {
		return entry{}, fmt.Errorf("%s is not a file that a client could start", program)
	}
	for _, path := range []string{program, target} {
		for element := range strings.SplitSeq(filepath.ToSlash(path), "/") {
			// go-build123 below the temporary directory, go-build in the cache.
			if number, ok := strings.CutPrefix(element, "go-build"); ok && strings.Trim(number, "0123456789") == "" {
				return entry{}, errors.New("go run starts a temporary file that a client would not find again; build the program and use that: go build . && ./pixazo-mcp install " + c.name)
			}
		}
	}
	e := entry{name: liveName, typed: c.typed, command: filepath.Clean(program), args: o.Settings.EntryArgs()}
	if o.Settings.Sandbox {
		e.name, e.args = sandboxName, append([]string{"--sandbox"}, e.args...)
	}
	return e, nil
}

// snippet is e as it stands in c's configuration, with all that is around it.
func (c client) snippet(e entry) string {
	list := make([]string, len(e.args))
	for i, arg := range e.args {
		list[i] = quote(arg)
	}
	args := "[" + strings.Join(list, ", ") + "]"
	switch c.format {
	case asTOML:
		return "[" + c.servers + "." + e.name + "]\ncommand = " + quote(e.command) + "\nargs = " + args + "\n"
	case asYAML:
		return c.servers + ":\n  " + e.name + ":\n    enabled: true\n    type: stdio\n    name: " + e.name +
			"\n    description: Videos through the Pixazo gateway\n    cmd: " + quote(e.command) + "\n    args: " + args + "\n    timeout: 300\n"
	}
	d, err := parse(nil)
	if err == nil {
		_, err = d.put(c.servers, e, nil)
	}
	if err != nil {
		return "" // not of an empty document
	}
	return string(d.text())
}

// line prints a line. A write error has nobody to be told to.
func (o Options) line(format string, args ...any) {
	_, _ = fmt.Fprintf(o.Stdout, format+"\n", args...)
}

// print prints what is to be copied, which is quoted and so has no control
// characters.
func (o Options) print(text string) { _, _ = io.WriteString(o.Stdout, text+"\n") }
