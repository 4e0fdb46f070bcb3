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
// look. A client whose configuration is not edited gets its entry printed. Doing
// it again changes nothing. An error means that a file was left as it was, or
// that the key could not be stored.
func Install(ctx context.Context, o Options) error {
	o = o.asInvoked()
	c := o.find(o.Settings.Setup.Client)
	e, err := o.entry(c)
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	paths, err := c.places()
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	for _, v := range o.Settings.Values() {
		if v.From == "variable" && v.Name != "sandbox" && v.Name != keyFileFlag {
			o.line("The variable of --%s is set here, but %s may not see it; as a flag of this command it goes into the entry.", v.Name, c.title)
		}
	}
	var edits []edit
	for _, path := range paths {
		ed, err := o.plan(c, e, path)
		if err != nil {
			return fmt.Errorf("install: %w", err)
		}
		edits = append(edits, ed)
	}
	for _, ed := range edits {
		if err := o.apply(c, ed); err != nil {
			return fmt.Errorf("install: %w", err)
		}
	}
	if o.Settings.Setup.Print {
		return nil
	}
	if !o.Settings.Sandbox {
		if err := o.ensureKeys(ctx, edits); err != nil {
			return fmt.Errorf("install: %w", err)
		}
	}
	if c.restart != "" {
		o.line("%s", c.restart)
	}
	o.line("To see whether all is well: %s doctor", shown(o.Executable))
	return nil
}

// edit is what is to become of a configuration.
type edit struct {
	path string
	file file
	text []byte // nothing for a client whose configuration is not edited
	put  entry
	then started // the entry as it will be
}

// keyFileFlag is the setting that says where a server looks for the key.
const keyFileFlag = "api-key-file"

// plan says what to write for e, and finds what keeps it from being written.
func (o Options) plan(c client, e entry, path string) (edit, error) {
	if !c.edited {
		e.args = o.withKeyFile(started{}, e.args)
		return edit{path: path, put: e, then: started{program: e.command, args: e.args}}, nil
	}
	f, d, err := open(path)
	if err != nil {
		return edit{}, err
	}
	before, _ := c.entry(f.content, e.name)
	e.args = o.withKeyFile(before, e.args)
	e.args, err = d.put(c.servers, e, func(command string) bool { return o.ours(e.name, command) })
	if err != nil {
		return edit{}, fmt.Errorf("%s: %w", path, err)
	}
	ed := edit{path: path, file: f, text: d.text(), put: e}
	if ed.then, err = c.entry(ed.text, e.name); err == nil && !ed.same() {
		err = f.replaceable()
	}
	return ed, err
}

func (ed edit) same() bool { return string(ed.text) == string(ed.file.content) }

// withKeyFile adds the key file that a variable of this shell names to args: the
// client may not have that variable. A file that the entry names itself stays.
func (o Options) withKeyFile(before started, args []string) []string {
	if o.Settings.Sandbox || from(o.Settings) != "variable" {
		return args
	}
	server, err := o.settingsOf(before)
	if err != nil || from(server) != "default" || server.APIKeyFile == o.Settings.APIKeyFile {
		return args
	}
	return append(slices.Clone(args), "--"+keyFileFlag+"="+o.Settings.APIKeyFile)
}

// from says where settings have the path of the key file from.
func from(s config.Settings) string {
	for _, v := range s.Values() {
		if v.Name == keyFileFlag {
			return v.From
		}
	}
	return ""
}

// settingsOf are the settings that a server has when a client starts it, in an
// environment that has the home directory and what the entry gives.
func (o Options) settingsOf(s started) (config.Settings, error) {
	env := []string{"HOME=" + o.Settings.Home, "USERPROFILE=" + o.Settings.Home}
	for name, value := range s.env {
		env = append(env, name+"="+value)
	}
	settings, err := config.Parse(s.args, env, func() string { return "" }, io.Discard)
	switch {
	case errors.Is(err, config.ErrDone):
		return settings, errors.New("it prints a text and ends")
	case err == nil && settings.Command != config.Serve:
		return settings, fmt.Errorf("%s is not the command of a server", settings.Command)
	}
	return settings, err
}

func (o Options) apply(c client, ed edit) error {
	path, e := ed.path, ed.put
	if !c.edited {
		o.line("Put this into %s, beside what is there:\n", shown(path))
		o.print(c.snippet(e))
		return nil
	}
	switch {
	case o.Settings.Setup.Print && ed.same():
		o.line("%s has this already, nothing would be written:\n", shown(path))
	case o.Settings.Setup.Print:
		o.line("This would be written to %s, beside what is there:\n", shown(path))
	case ed.same():
		o.line("%s: %s is up to date in %s", c.title, e.name, shown(path))
		return nil
	}
	if o.Settings.Setup.Print {
		o.print(c.snippet(e))
		return nil
	}
	backup, err := ed.file.replace(ed.text)
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

// ensureKeys sees to a key wherever the servers of the entries look for it.
func (o Options) ensureKeys(ctx context.Context, edits []edit) error {
	var done []string
	for _, ed := range edits {
		if ed.then.givesKey() {
			o.line("The key is in the entry, as %s; it is used.", config.KeyVariable)
			continue
		}
		settings, err := o.settingsOf(ed.then)
		if err != nil {
			o.line("A server started by this entry of %s refuses its settings: %s", shown(ed.path), shown(err.Error()))
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
	o = o.asInvoked()
	c := o.find(o.Settings.Setup.Client)
	paths, err := c.places()
	if err != nil {
		return fmt.Errorf("uninstall: %w", err)
	}
	type removal struct {
		edit
		names []string
	}
	var removals []removal
	for _, path := range paths {
		if !c.edited {
			o.line("Take %s and %s below %s out of %s", liveName, sandboxName, c.servers, shown(path))
			continue
		}
		f, d, err := open(path)
		if err != nil {
			return fmt.Errorf("uninstall: %w", err)
		}
		names, err := d.remove(c.servers, o.gone)
		if err != nil {
			return fmt.Errorf("uninstall: %s: %w", path, err)
		}
		if len(names) > 0 {
			if err := f.replaceable(); err != nil {
				return fmt.Errorf("uninstall: %w", err)
			}
		}
		removals = append(removals, removal{edit{path: path, file: f, text: d.text()}, names})
	}
	for _, r := range removals {
		if err := o.takeOut(c, r.edit, r.names); err != nil {
			return fmt.Errorf("uninstall: %w", err)
		}
	}
	return nil
}

// gone reports whether uninstall is to take an entry out.
func (o Options) gone(name, command string) bool {
	return o.ours(name, command) && (!o.Settings.Sandbox || name == sandboxName)
}

func (o Options) takeOut(c client, ed edit, names []string) error {
	list := shown(strings.Join(names, ", "))
	switch {
	case len(names) == 0:
		o.line("%s: nothing of ours in %s", c.title, shown(ed.path))
	case o.Settings.Setup.Print:
		o.line("This would be taken out of %s: %s", shown(ed.path), list)
	default:
		backup, err := ed.file.replace(ed.text)
		if err != nil {
			return err
		}
		o.line("%s: took %s out of %s", c.title, list, shown(ed.path))
		o.line("  The file as it was: %s", shown(backup))
		if c.restart != "" {
			o.line("%s", c.restart)
		}
	}
	entries, _ := c.entries(ed.file.content) // it was read before
	for _, s := range entries {
		if s.project != "" && o.gone(s.name, s.program) {
			o.line("  The project %s has an entry of its own; to take it out, run there: claude mcp remove %s", shown(s.project), shown(s.name))
		}
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
	for _, text := range append([]string{e.command}, e.args...) {
		if !utf8.ValidString(text) {
			return entry{}, fmt.Errorf("%q is not valid UTF-8, which a configuration can't hold; give it another name", text)
		}
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
