// This file is install and uninstall: which entry goes where, and what the user
// is told.

package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
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
	c, err := o.target()
	if err != nil {
		return err
	}
	if o.Settings.Setup.URL != "" {
		return o.installURL(c)
	}
	name, e, err := o.entry(c)
	if err != nil {
		return err
	}
	for _, v := range o.Settings.Values() {
		if v.From == "variable" && v.Name != "sandbox" && !slices.Contains(carried, v.Name) {
			o.line("The variable of --%s is set here, but %s may not see it; as a flag of this command it goes into the entry.", v.Name, c.title)
		}
	}
	ed, err := o.plan(c, name, e)
	if err != nil {
		return err
	}
	if err := o.apply(c, name, ed); err != nil || o.Settings.Setup.Print {
		return err
	}
	switch {
	case o.Settings.Sandbox:
	case givesKey(ed.server):
		o.line("The entry has a key in its env, which is used.")
	default:
		if err := o.ensureKey(ctx, ed.server.APIKeyFile); err != nil {
			return err
		}
	}
	for _, line := range []string{o.allowed(c), c.note, c.restart} {
		if line != "" {
			o.line("%s", line)
		}
	}
	o.line("To check the installation, run: %s doctor", o.Executable)
	return nil
}

// allowed says what --allow has done.
func (o Options) allowed(c client) string {
	switch {
	case !o.Settings.Setup.Allow:
		return ""
	case c.trust != "":
		return "With this entry " + c.title + " does not ask before a video is paid for. The limits, --max-videos-per-hour and --max-videos-per-day, still hold."
	}
	return "The entry can't say that nobody is to be asked. " + cmp.Or(c.allow, "Allow the tools in "+c.title+" itself, when it asks.")
}

// edit is a change to a configuration.
type edit struct {
	file   file
	text   []byte          // what the file is to hold; nil for a client whose configuration is not edited
	entry  entry           // the entry that install puts in
	server config.Settings // of a server that is started by the entry
}

func (ed edit) same() bool { return string(ed.text) == string(ed.file.content) }

// carried are the settings that an entry is given where its server would have
// another value than this shell: a client may not pass on PIXAZO_API_KEY_FILE,
// PIXAZO_STATE_DIR and XDG_STATE_HOME, and without the same journal servers pay
// for a video twice.
var carried = []string{"api-key-file", "state-dir"}

// plan returns the change that puts e into the configuration of c.
func (o Options) plan(c client, name string, e entry) (edit, error) {
	var f file
	var d *document
	var entries map[string]entry
	if c.edited {
		var err error
		if f, d, entries, err = o.open(c); err != nil {
			return edit{}, err
		}
		switch {
		case entries[name].URL != "":
			return edit{}, fmt.Errorf("%s: its entry %q calls a server; take it out first: pixazo-mcp uninstall %s", c.file, name, c.name)
		case d.value.Find("/"+c.servers+pointer(name)) != nil && !o.ours(name, entries[name]):
			return edit{}, fmt.Errorf("%s: its entry %q starts something else, or can't be read; rename it or take it out first", c.file, name)
		}
		e.Args, e.Env = mergeArgs(entries[name].Args, e.Args), entries[name].Env
	}
	server, err := o.settingsOf(e)
	if err != nil {
		return edit{}, fmt.Errorf("%s: a server started by the entry %q would refuse its settings; correct the entry by hand: %w", c.file, name, err)
	}
	here := o.Settings.Values()
	for i, v := range server.Values() {
		if slices.Contains(carried, v.Name) && v.From == "default" && v.Text != here[i].Text {
			e.Args = append(e.Args, "--"+v.Name+"="+here[i].Text)
		}
	}
	if server, err = o.settingsOf(e); err != nil {
		return edit{}, err
	}
	ed := edit{file: f, entry: e, server: server}
	if !c.edited {
		return ed, nil
	}
	if err := d.put(entries, name, e, c.kind); err != nil {
		return edit{}, fmt.Errorf("%s: %w", c.file, err)
	}
	ed.text = d.text()
	return ed, nil
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

// givesKey reports whether the env of an entry gives its server a key, or has a
// placeholder that the client fills in with it.
func givesKey(server config.Settings) bool {
	source, _ := server.KeySource()
	return source != "" && source != server.APIKeyFile ||
		slices.ContainsFunc(server.Unset, func(name string) bool { return !strings.HasPrefix(name, "--") })
}

// apply writes an edit and says so, or prints the entry where nothing is to be
// written.
func (o Options) apply(c client, name string, ed edit) error {
	print := o.Settings.Setup.Print
	switch {
	case !c.edited:
		o.line("Put this into %s, beside what is there:", c.file)
	case print && ed.same():
		o.line("%s has this already, nothing would be written:", c.file)
	case print:
		o.line("This would be written to %s, beside what is there:", c.file)
	case ed.same():
		o.line("%s: %s is up to date in %s", c.title, name, c.file)
		return nil
	default:
		if err := o.save(ed, fmt.Sprintf("%s: wrote %s to %s", c.title, name, c.file)); err != nil {
			return err
		}
		if name == liveName && (slices.Contains(ed.entry.Args, "--sandbox") || slices.Contains(ed.entry.Args, "--sandbox=true")) {
			o.line("The entry had --sandbox before and keeps it, so its videos are samples. For real ones: install %s --sandbox=false", c.name)
		}
		return nil
	}
	_, _ = fmt.Fprintf(o.Stdout, "\n%s\n", c.snippet(name, ed.entry)) // which is quoted and so has no control characters
	return nil
}

// save writes an edit, and says so in a line.
func (o Options) save(ed edit, line string) error {
	backup, err := o.replace(ed.file, ed.text)
	if err != nil {
		return err
	}
	o.line("%s", line)
	if backup != "" {
		o.line("The file as it was: %s", backup)
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
	c, err := o.target()
	if err != nil {
		return err
	}
	if !c.edited {
		o.line("Take %s and %s below %s out of %s", liveName, sandboxName, c.servers, c.file)
		return nil
	}
	f, d, entries, err := o.open(c)
	if err != nil {
		return err
	}
	var gone []string
	for name, e := range entries {
		if o.ours(name, e) && (!o.Settings.Sandbox || name == sandboxName) {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	if err := d.remove(entries, gone); err != nil {
		return fmt.Errorf("%s: %w", c.file, err)
	}
	switch names := strings.Join(gone, ", "); {
	case gone == nil:
		o.line("%s: no entry of this program in %s", c.title, c.file)
	case o.Settings.Setup.Print:
		o.line("This would be taken out of %s: %s", c.file, names)
	default:
		if err := o.save(edit{file: f, text: d.text()}, fmt.Sprintf("%s: took %s out of %s", c.title, names, c.file)); err != nil {
			return err
		}
		o.line("%s", c.restart)
	}
	return nil
}

// open reads the configuration of c and parses it.
func (o Options) open(c client) (f file, d *document, entries map[string]entry, err error) {
	if f, err = o.readFile(c.file, c.title); err != nil {
		return f, nil, nil, err
	}
	if d, err = parse(f.content, c.servers); err == nil {
		entries, err = d.entries()
	}
	if err != nil {
		err = fmt.Errorf("%s can't be read: %w", c.file, err)
	}
	return f, d, entries, err
}

// entry returns the entry that c is to have, and its name. It starts this very
// file. A link to it is kept, since package managers point theirs to the newest
// version.
func (o Options) entry(c client) (name string, e entry, err error) {
	if !filepath.IsAbs(o.Executable) {
		return "", entry{}, errors.New("the path of this program is not known")
	}
	target, err := filepath.EvalSymlinks(o.Executable)
	if err != nil {
		return "", entry{}, fmt.Errorf("this program's file: %w", err)
	}
	// go run starts a file below go-build123 in the temporary directory, or
	// go-build in the build cache.
	if ok, _ := regexp.MatchString(`[/\\]go-build[0-9]*[/\\]`, o.Executable+" "+target); ok {
		return "", entry{}, errors.New("go run starts a temporary file that a client would not find again; build the program and use that: go build . && ./pixazo-mcp install " + c.name)
	}
	name, e = liveName, entry{Command: filepath.Clean(o.Executable), Args: o.Settings.EntryArgs(), Trust: o.Settings.Setup.Allow && c.trust != ""}
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

// snippet returns e as it stands in c's configuration, with all that is around
// it.
func (c client) snippet(name string, e entry) string {
	if c.template != "" {
		entry := fmt.Sprintf(c.template, name, quote(e.Command), list(e.Args))
		if e.Trust {
			entry += c.trust + "\n"
		}
		return entry
	}
	d, err := parse(nil, c.servers)
	if err == nil {
		err = d.addEntry(name, e, c.kind)
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
