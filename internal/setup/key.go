// This file asks for the key and stores it.

package setup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"pixazo-mcp/pixazo"
)

// keyPatience is how long to listen to a stdin that is no terminal: a script
// writes the key at once, and an open pipe may never have anything.
const keyPatience = 5 * time.Second

// ensureKey stores a key in the key file when it has none: a client's server
// does not see the variables of this shell.
func (o Options) ensureKey(ctx context.Context) error {
	path := o.Settings.APIKeyFile
	if path == "" {
		o.line("There is no place for the key without a home directory: name one with --api-key-file")
		return nil
	}
	if !o.Settings.KeyFileHoldsNone() {
		if _, err := o.Settings.Key(); err != nil {
			o.line("There is a key, but it can't be used: %s", shown(err.Error()))
			return nil
		}
		o.line("The key in %s stays.", shown(path))
		return nil
	}
	source, _ := o.Settings.KeySource()
	if source != "" {
		o.line("%s is set here, but a client may not see it; the key belongs into %s.", source, shown(path))
	}
	text, err := o.readKey(ctx)
	if err != nil {
		return fmt.Errorf("no key was stored: %w", err)
	}
	key, err := pixazo.NewKey(text)
	if err != nil {
		return fmt.Errorf("%w; nothing was stored, run this again with the key and nothing else", err)
	}
	if key.IsZero() {
		o.line("There is no key yet. Make one at %s, then run this again in a terminal, or write it to %s", pixazo.KeyURL, shown(path))
		return nil
	}
	if err := storeKey(path, strings.TrimSpace(text)); err != nil {
		return fmt.Errorf("store key: %w", err)
	}
	o.line("The key is in %s, which only you can read.", shown(path))
	return nil
}

func storeKey(path, key string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := readFile(path)
	if err != nil {
		return err
	}
	f.mode = 0o600
	_, err = f.replace([]byte(key + "\n"))
	return err
}

// readKey asks on a terminal without showing what is typed, else it takes the
// first line of stdin, "" when none comes.
func (o Options) readKey(ctx context.Context) (string, error) {
	ask := o.askKey
	if f, ok := o.Stdin.(*os.File); ask == nil && ok && term.IsTerminal(int(f.Fd())) {
		ask = func(prompt string) (string, error) { return askHidden(ctx, f, o.Stdout, prompt) }
	}
	if ask != nil {
		return ask("Paste the Pixazo API key (" + pixazo.KeyURL + ") and press Enter; it is not shown: ")
	}
	if o.Stdin == nil {
		return "", nil
	}
	lines := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(io.LimitReader(o.Stdin, 4<<10)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			line = ""
		}
		lines <- line
	}()
	select {
	case line := <-lines:
		return line, nil
	case <-time.After(keyPatience):
		return "", nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// askHidden reads a line from the terminal f. When ctx ends, the terminal shows
// again what is typed.
func askHidden(ctx context.Context, f *os.File, out io.Writer, prompt string) (string, error) {
	before, err := term.GetState(int(f.Fd()))
	if err != nil {
		return "", err
	}
	_, _ = io.WriteString(out, prompt)
	defer func() { _, _ = io.WriteString(out, "\n") }()
	type answer struct {
		line []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		line, err := term.ReadPassword(int(f.Fd()))
		answers <- answer{line, err}
	}()
	select {
	case a := <-answers:
		if errors.Is(a.err, io.EOF) {
			a.err = nil
		}
		return string(a.line), a.err
	case <-ctx.Done():
		_ = term.Restore(int(f.Fd()), before)
		return "", ctx.Err()
	}
}
