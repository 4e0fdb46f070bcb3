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
	"unicode/utf8"

	"pixazo-mcp/internal/config"
)

// The names of our entries.
const (
	liveName    = "pixazo"
	sandboxName = "pixazo-sandbox"
)

// Install adds this program to the client of the settings, or brings its entry
// up to date, and asks for the key when there is none where the server will
// look. For a client whose configuration is not edited it prints the entry.
// Repeating it changes nothing. An error means that a file was left as it was,
// or that the key could not be stored.
func Install(ctx context.Context, o Options) error {
	if err := o.asInvoked().install(ctx); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	return nil
}

func (o Options) install(ctx context.Context) error {
	c, paths, err := o.target()
	if err != nil {
		return err
	}
	name, e, err := o.entry(c)
	if err != nil {
		return err
	}
	for _, v := range o.Settings.Values() {
		if v.From == "variable" && v.Name != "sandbox" && v.Name != keyFileFlag {
			o.line("The variable of --%s is set here, but %s may not see it; as a flag of this command it goes into the entry.", v.Name, c.title)
		}
	}
	var edits []edit
	for _, path := range paths {
		ed, err := o.plan(c, name, e, path)
		if err != nil {
			return err
		}
		edits = append(edits, ed)
	}
	for _, ed := range edits {
		if err := o.apply(c, name, ed); err != nil {
			return err
		}
	}
	if o.Settings.Setup.Print {
		return nil
	}
	if !o.Settings.Sandbox {
		if err := o.ensureKeys(ctx, edits); err != nil {
			return err
		}
	}
	if c.restart != "" {
		o.line("%s", c.restart)
	}
	o.line("To check the installation, run: %s doctor", o.Executable)
	return nil
}

// edit is a change to a configuration.
type edit struct {
	path  string
	file  file
	text  []byte // what the file is to hold; nil for a client whose configuration is not edited
	entry entry  // our entry as it will be
}

func (ed edit) same() bool { return string(ed.text) == string(ed.file.content) }

// plan returns the change that puts e into the configuration at path, and an
// error for whatever is known to keep it from being written.
func (o Options) plan(c client, name string, e entry, path string) (edit, error) {
	if !c.edited {
		e.Args = o.withKeyFile(entry{}, e.Args)
		return edit{path: path, entry: e}, nil
	}
	f, d, entries, err := o.open(c, path)
	if err != nil {
		return edit{}, err
	}
	old := entries[name]
	if d.value.Find("/"+c.servers+pointer(name)) != nil && !o.ours(name, old.Command) {
		return edit{}, fmt.Errorf("%s: its entry %q starts something else, or can't be read; rename it or take it out first", path, name)
	}
	e.Args, e.Env = mergeArgs(old.Args, o.withKeyFile(old, e.Args)), old.Env
	if err := d.put(entries, name, e, c.typed); err != nil {
		return edit{}, fmt.Errorf("%s: %w", path, err)
	}
	ed := edit{path, f, d.text(), e}
	if !ed.same() {
		err = f.replaceable()
	}
	return ed, err
}

// keyFileFlag is the setting that says where a server looks for the key.
const keyFileFlag = "api-key-file"

// withKeyFile adds the key file that a variable of this shell names to args,
// since the client may not have that variable. A file that the old entry names
// itself stays.
func (o Options) withKeyFile(old entry, args []string) []string {
	if o.Settings.Sandbox || keyFileFrom(o.Settings) != "variable" {
		return args
	}
	server, err := o.settingsOf(old)
	if err != nil || keyFileFrom(server) != "default" || server.APIKeyFile == o.Settings.APIKeyFile {
		return args
	}
	return append(slices.Clone(args), "--"+keyFileFlag+"="+o.Settings.APIKeyFile)
}

// keyFileFrom says where settings have the path of the key file from.
func keyFileFrom(s config.Settings) string {
	for _, v := range s.Values() {
		if v.Name == keyFileFlag {
			return v.From
		}
	}
	return ""
}

// settingsOf returns the settings of a server that a client starts by an entry,
// in an environment of the home directory and the entry's own variables.
func (o Options) settingsOf(e entry) (config.Settings, error) {
	env := []string{"HOME=" + o.Settings.Home, "USERPROFILE=" + o.Settings.Home}
	for name, value := range e.Env {
		env = append(env, name+"="+value)
	}
	settings, err := config.Parse(e.Args, env, func() string { return "" }, io.Discard)
	switch {
	case errors.Is(err, config.ErrDone):
		return settings, errors.New("its arguments print a text and end")
	case err == nil && settings.Command != config.Serve:
		return settings, fmt.Errorf("%s is not the command of a server", settings.Command)
	}
	return settings, err
}

// givesKey reports whether an entry has the key, or a placeholder that its
// client fills in with it.
func (e entry) givesKey() bool { return strings.TrimSpace(e.Env[config.KeyVariable]) != "" }

// apply writes an edit and says so, or prints the entry where nothing is to be
// written.
func (o Options) apply(c client, name string, ed edit) error {
	switch print := o.Settings.Setup.Print; {
	case !c.edited:
		o.line("Put this into %s, beside what is there:", ed.path)
		o.print(c.snippet(name, ed.entry))
		return nil
	case print && ed.same():
		o.line("%s has this already, nothing would be written:", ed.path)
		o.print(c.snippet(name, ed.entry))
		return nil
	case print:
		o.line("This would be written to %s, beside what is there:", ed.path)
		o.print(c.snippet(name, ed.entry))
		return nil
	case ed.same():
		o.line("%s: %s is up to date in %s", c.title, name, ed.path)
		return nil
	}
	backup, err := o.replace(ed.file, ed.text)
	if err != nil {
		return err
	}
	o.line("%s: wrote %s to %s", c.title, name, ed.path)
	if backup != "" {
		o.line("The file as it was: %s", backup)
	}
	if name == liveName && (slices.Contains(ed.entry.Args, "--sandbox") || slices.Contains(ed.entry.Args, "--sandbox=true")) {
		o.line("The entry had --sandbox before and keeps it, so its videos are samples. For real ones: install %s --sandbox=false", c.name)
	}
	return nil
}

// ensureKeys stores a key wherever the servers of the entries look for it.
func (o Options) ensureKeys(ctx context.Context, edits []edit) error {
	var done []string
	for _, ed := range edits {
		if ed.entry.givesKey() {
			o.line("The key is in the entry, as %s; it is used.", config.KeyVariable)
			continue
		}
		settings, err := o.settingsOf(ed.entry)
		if err != nil {
			o.line("A server started by this entry of %s refuses its settings: %s", ed.path, err)
			settings = o.Settings
		}
		if slices.Contains(done, settings.APIKeyFile) {
			continue
		}
		done = append(done, settings.APIKeyFile)
		if err := o.ensureKey(ctx, settings.APIKeyFile); err != nil {
			return err
		}
	}
	return nil
}

// Uninstall takes all entries that start this program, pixazo and
// pixazo-sandbox and others, out of the configuration of the settings' client;
// with --sandbox, only pixazo-sandbox. An error means that a file was left as it
// was.
func Uninstall(o Options) error {
	if err := o.asInvoked().uninstall(); err != nil {
		return fmt.Errorf("uninstall: %w", err)
	}
	return nil
}

func (o Options) uninstall() error {
	c, paths, err := o.target()
	if err != nil {
		return err
	}
	type removal struct {
		edit
		names []string
	}
	var removals []removal
	for _, path := range paths {
		if !c.edited {
			o.line("Take %s and %s below %s out of %s", liveName, sandboxName, c.servers, path)
			continue
		}
		f, d, entries, err := o.open(c, path)
		if err != nil {
			return err
		}
		var names []string
		for name, e := range entries {
			if o.ours(name, e.Command) && (!o.Settings.Sandbox || name == sandboxName) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		if err := d.remove(entries, names); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if len(names) > 0 {
			err = f.replaceable()
		}
		if err != nil {
			return err
		}
		removals = append(removals, removal{edit{path: path, file: f, text: d.text()}, names})
	}
	for _, r := range removals {
		if err := o.takeOut(c, r.edit, r.names); err != nil {
			return err
		}
	}
	return nil
}

// takeOut writes a configuration without the entries of names, and says so.
func (o Options) takeOut(c client, ed edit, names []string) error {
	switch list := strings.Join(names, ", "); {
	case len(names) == 0:
		o.line("%s: no entry of this program in %s", c.title, ed.path)
	case o.Settings.Setup.Print:
		o.line("This would be taken out of %s: %s", ed.path, list)
	default:
		backup, err := o.replace(ed.file, ed.text)
		if err != nil {
			return err
		}
		o.line("%s: took %s out of %s", c.title, list, ed.path)
		o.line("The file as it was: %s", backup)
		o.line("%s", c.restart)
	}
	return nil
}

// open reads a configuration and parses it.
func (o Options) open(c client, path string) (file, *document, map[string]entry, error) {
	var d *document
	var entries map[string]entry
	f, err := o.readFile(path, c.title)
	if err != nil {
		return f, nil, nil, err
	}
	if d, err = parse(f.content, c.servers); err == nil {
		entries, err = d.entries()
	}
	if err != nil {
		err = fmt.Errorf("%s can't be read: %w", path, err)
	}
	return f, d, entries, err
}

// entry returns the entry that c is to have, and its name. It starts this very
// file. A link to it is kept, since package managers point theirs to the newest
// version.
func (o Options) entry(c client) (name string, e entry, err error) {
	program := o.Executable
	if !filepath.IsAbs(program) {
		return "", entry{}, errors.New("the path of this program is not known")
	}
	target, err := filepath.EvalSymlinks(program)
	if err != nil {
		return "", entry{}, fmt.Errorf("this program's file: %w", err)
	}
	if info, err := os.Stat(target); err != nil || !info.Mode().IsRegular() {
		return "", entry{}, fmt.Errorf("%s is not a file that a client could start", program)
	}
	if temporary(program) || temporary(target) {
		return "", entry{}, errors.New("go run starts a temporary file that a client would not find again; build the program and use that: go build . && ./pixazo-mcp install " + c.name)
	}
	name, e = liveName, entry{Command: filepath.Clean(program), Args: o.Settings.EntryArgs()}
	if o.Settings.Sandbox {
		name, e.Args = sandboxName, append([]string{"--sandbox"}, e.Args...)
	}
	for _, word := range append([]string{e.Command}, e.Args...) {
		if !utf8.ValidString(word) {
			return "", entry{}, fmt.Errorf("%q is not valid UTF-8, which a configuration can't hold; give it another name", word)
		}
	}
	return name, e, nil
}

// temporary reports whether a program's file is one of go run: below a folder
// go-build123 of the temporary directory, or go-build of the build cache.
func temporary(program string) bool {
	for element := range strings.SplitSeq(filepath.ToSlash(program), "/") {
		if number, ok := strings.CutPrefix(element, "go-build"); ok && strings.Trim(number, "0123456789") == "" {
			return true
		}
	}
	return false
}

// snippet returns e as it stands in c's configuration, with all that is around
// it.
func (c client) snippet(name string, e entry) string {
	if c.template != "" {
		return fmt.Sprintf(c.template, name, quote(e.Command), list(e.Args))
	}
	d, err := parse(nil, c.servers)
	if err == nil {
		err = d.addEntry(name, e, c.typed)
	}
	if err != nil {
		return "" // never, of an empty document
	}
	return string(d.text())
}

// line prints a line, made fit for a terminal. A write error can't be reported
// anywhere.
func (o Options) line(format string, args ...any) {
	_, _ = fmt.Fprintln(o.Stdout, shown(fmt.Sprintf(format, args...)))
}

// print prints an entry, which is quoted and so has no control characters.
func (o Options) print(entry string) { _, _ = io.WriteString(o.Stdout, "\n"+entry+"\n") }
