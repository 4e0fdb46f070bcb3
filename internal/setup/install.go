// This file holds the commands install and uninstall.

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
	"pixazo-mcp/internal/text"
)

// The names of our entries.
const (
	liveName    = "pixazo"
	sandboxName = "pixazo-sandbox"
)

// install adds an entry for this program to the configuration of the client, or updates
// it, and asks for the key if the key file has none. For a client whose configuration is
// not edited it prints the entry. Repeating it changes nothing.
func (o Options) install(ctx context.Context) error {
	c, err := o.target()
	if err != nil {
		return err
	}
	s := o.Settings
	if s.Setup.URL != "" && !c.remote {
		as := "remote server"
		if c.name == "claude-desktop" {
			as = "custom connector"
		}
		o.line("Add it in %s itself, as a %s: %s", c.title, as, s.Setup.URL)
		return nil
	}
	name, e, err := o.entry(c)
	if err != nil {
		return err
	}
	ed, err := o.plan(c, name, e)
	if err != nil {
		return err
	}
	if err := o.apply(c, name, ed); err != nil || s.Setup.Print {
		return err
	}
	if e.URL != "" {
		o.line("%s", c.restart)
		o.line(`%s asks you to sign in. If you were given a token (pxm_…) instead, put "headers": {"Authorization": "Bearer TOKEN"} into the entry.`, c.title)
		return nil
	}
	switch {
	case s.Sandbox:
	case givesKey(ed.server):
		o.line("The entry has a key in its env, which is used.")
	default:
		if err := o.ensureKey(ctx, ed.server.APIKeyFile); err != nil {
			return err
		}
	}
	for _, line := range []string{o.allowed(c, name), c.note, c.restart} {
		if line != "" {
			o.line("%s", line)
		}
	}
	check := text.ShellWord(o.Executable) + " doctor"
	if s.Sandbox {
		check += " --sandbox" // else a key is missed that the entry does not need
	}
	o.line("To check the installation, run: %s", check)
	return nil
}

// allowed returns a sentence on the effect of --allow on the entry of this name, "" without
// it.
func (o Options) allowed(c client, name string) string {
	switch {
	case !o.Settings.Setup.Allow:
		return ""
	case c.trust != "":
		return "With this entry " + c.title + " does not ask before a video is paid for. The limits, --max-videos-per-hour and --max-videos-per-day, still hold."
	}
	how := strings.ReplaceAll(c.allow, "mcp__"+liveName, "mcp__"+name) // as Claude Code names its tools
	return "The entry can't say that nobody is to be asked. " + cmp.Or(how, "Allow the tools in "+c.title+" itself, when it asks.")
}

// edit is a change to a configuration.
type edit struct {
	doc    *document       // the changed configuration; nil for a client whose configuration is not edited
	entry  entry           // the entry that install writes
	server config.Settings // the settings of a server that the entry starts
}

// carried are settings that are written into an entry if its server would have another
// value than this shell. A client may not pass on the variables PIXAZO_API_KEY_FILE,
// PIXAZO_STATE_DIR and XDG_STATE_HOME, and servers with different journals may pay for
// the same video twice.
var carried = []string{"api-key-file", "state-dir"}

// plan returns the change that adds e to the configuration of c, or updates it there.
func (o Options) plan(c client, name string, e entry) (ed edit, err error) {
	var old entry
	if c.edited {
		if ed.doc, err = o.open(c); err != nil {
			return ed, err
		}
		old = ed.doc.entries[name]
		switch {
		case ed.doc.value.Find("/"+c.servers+pointer(name)) == nil:
		case !o.ours(name, old):
			return ed, fmt.Errorf("%s: its entry %q starts something else, or can't be read; rename it or take it out first", c.file, name)
		case (old.URL == "") != (e.URL == ""):
			kind := map[bool]string{true: "calls a server", false: "starts a program"}[old.URL != ""]
			return ed, fmt.Errorf("%s: its entry %q %s; take it out first: pixazo-mcp uninstall %s", c.file, name, kind, c.name)
		}
	}
	if e.URL == "" {
		e.Args, e.Env = mergeArgs(old.Args, e.Args), old.Env
		if e.Args, ed.server, err = o.carry(e); err != nil {
			return ed, fmt.Errorf("%s: a server started by the entry %q would refuse its settings; correct the entry by hand: %w", c.file, name, err)
		}
	}
	ed.entry = e
	if c.edited {
		if err := ed.doc.put(name, e, c.kind); err != nil {
			return ed, fmt.Errorf("%s: %w", c.file, err)
		}
	}
	return ed, nil
}

// carry returns the arguments of e, with flags for the settings of carried that it needs,
// and the settings of a server with these arguments.
func (o Options) carry(e entry) ([]string, config.Settings, error) {
	server, err := o.settingsOf(e)
	if err != nil {
		return nil, server, err
	}
	for i, v := range server.Values {
		if here := o.Settings.Values[i].Text; slices.Contains(carried, v.Name) && v.From == "default" && v.Text != here {
			e.Args = append(e.Args, "--"+v.Name+"="+here)
		}
	}
	server, err = o.settingsOf(e)
	return e.Args, server, err
}

// settingsOf returns the settings of the server that an entry starts. Its environment has
// only the home directory and the entry's own variables.
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

// givesKey reports whether server, the settings of an entry's server, has a key from the
// entry's env, or a placeholder there that the client replaces by one.
func givesKey(server config.Settings) bool {
	source, _ := server.KeySource()
	return source != "" && source != server.APIKeyFile ||
		slices.ContainsFunc(server.Unset, func(name string) bool { return !strings.HasPrefix(name, "--") })
}

// apply writes an edit and says so. With --print, and for a client whose configuration is
// not edited, it prints the entry instead.
func (o Options) apply(c client, name string, ed edit) error {
	print := o.Settings.Setup.Print
	switch {
	case !c.edited:
		o.line("Put this into %s, beside what is there:", c.file)
	case print && ed.doc.same():
		o.line("%s has this already, nothing would be written:", c.file)
	case print:
		o.line("This would be written to %s, beside what is there:", c.file)
	case ed.doc.same():
		o.line("%s: %s is up to date in %s", c.title, name, c.file)
		return nil
	default:
		err := o.save(ed.doc, fmt.Sprintf("%s: wrote %s to %s", c.title, name, c.file))
		if err == nil && name == liveName && ed.server.Sandbox {
			o.line("The entry had --sandbox before and keeps it, so its videos are samples. For real ones: install %s --sandbox=false", c.name)
		}
		return err
	}
	_, err := fmt.Fprintf(o.Stdout, "\n%s\n", c.snippet(name, ed.entry)) // has no control characters, since its values are quoted
	return err
}

// save writes a document and then prints line.
func (o Options) save(d *document, line string) error {
	backup, err := o.replace(d.file, d.text())
	if err != nil {
		return err
	}
	o.line("%s", line)
	if backup != "" {
		o.line("The file as it was: %s", backup)
	}
	return nil
}

// uninstall removes all of this program's entries, whatever their names, from the
// configuration of the client; with --sandbox only pixazo-sandbox.
func (o Options) uninstall(context.Context) error {
	c, err := o.target()
	if err != nil {
		return err
	}
	if !c.edited {
		o.line("Take %s and %s below %s out of %s", liveName, sandboxName, c.servers, c.file)
		return nil
	}
	d, err := o.open(c)
	if err != nil {
		return err
	}
	gone := d.ours(o)
	if o.Settings.Sandbox {
		gone = slices.DeleteFunc(gone, func(name string) bool { return name != sandboxName })
	}
	if err := d.remove(gone); err != nil {
		return fmt.Errorf("%s: %w", c.file, err)
	}
	switch names := strings.Join(gone, ", "); {
	case len(gone) == 0:
		o.line("%s: no entry of this program in %s", c.title, c.file)
	case o.Settings.Setup.Print:
		o.line("This would be taken out of %s: %s", c.file, names)
	default:
		if err := o.save(d, fmt.Sprintf("%s: took %s out of %s", c.title, names, c.file)); err != nil {
			return err
		}
		o.line("%s", c.restart)
	}
	return nil
}

// open reads and parses the configuration of c.
func (o Options) open(c client) (*document, error) {
	f, err := o.readFile(c.file, c.title)
	if err != nil {
		return nil, err
	}
	d, err := parse(f.content, c.servers)
	if err != nil {
		return nil, fmt.Errorf("%s can't be read: %w", c.file, err)
	}
	d.file = f
	return d, nil
}

// entry returns the entry for c, and its name. Its command is the path by which this
// program was called, even if that is a link, since package managers let their link lead
// to the newest version.
func (o Options) entry(c client) (name string, e entry, err error) {
	args := o.Settings.EntryArgs
	if url := o.Settings.Setup.URL; url != "" {
		if o.Settings.Sandbox || o.Settings.Setup.Allow || len(args) > 0 {
			err = errors.New("--url names a server that has settings of its own; leave out the other flags")
		}
		return liveName, entry{URL: url}, err
	}
	for _, v := range o.Settings.Values {
		if v.From == "variable" && v.Name != "sandbox" && !slices.Contains(carried, v.Name) {
			o.line("The variable of --%s is set here, but %s may not see it; as a flag of this command it goes into the entry.", v.Name, c.title)
		}
	}
	if !filepath.IsAbs(o.Executable) {
		return "", entry{}, errors.New("the path of this program is not known")
	}
	target, err := filepath.EvalSymlinks(o.Executable)
	if err != nil {
		return "", entry{}, fmt.Errorf("this program's file: %w", err)
	}
	// go run builds the program in a temporary folder go-build123, or in the build
	// cache, go-build.
	if ok, _ := regexp.MatchString(`[/\\]go-build[0-9]*[/\\]`, o.Executable+" "+target); ok {
		return "", entry{}, errors.New("go run starts a temporary file that a client would not find again; build the program and use that: go build . && ./pixazo-mcp install " + c.name)
	}
	// npx keeps the packages that it runs in npm's cache.
	if ok, _ := regexp.MatchString(`[/\\]_npx[/\\]`, target); ok {
		o.line("This program lies in the cache of npx, which npm may empty. For an entry that lasts, install its package (npm install -g), then: pixazo-mcp install %s", c.name)
	}
	name, e = liveName, entry{Command: filepath.Clean(o.Executable), Args: args, Trust: o.Settings.Setup.Allow && c.trust != ""}
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

// snippet returns the text of a configuration of c that has only the entry e.
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
		err = d.put(name, e, c.kind)
	}
	if err != nil {
		return "" // can't happen for an empty document
	}
	return string(d.text())
}

// line prints a line, cleaned, and ignores write errors.
func (o Options) line(format string, args ...any) {
	_, _ = fmt.Fprintln(o.Stdout, text.Clean(fmt.Sprintf(format, args...), 2000))
}
