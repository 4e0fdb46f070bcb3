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

	"pixazo-mcp/internal/config"
	"pixazo-mcp/pixazo"
)

// keyPatience is how long to listen to a pipe: what writes the key into it may
// be asking a person, or a password manager.
const keyPatience = 10 * time.Minute

// ensureKey stores a key in the file at path when that has none: a client's
// server does not see the variables of this shell.
func (o Options) ensureKey(ctx context.Context, path string) error {
	if path == "" {
		o.line("There is no place for the key without a home directory: name one with --api-key-file")
		return nil
	}
	switch key, err := config.KeyOfFile(path); {
	case err != nil:
		o.line("There is a key file, but it can't be used: %s: %s; write the key there on a line of its own", shown(path), shown(err.Error()))
		return nil
	case !key.IsZero():
		o.line("The key in %s stays.", shown(path))
		return nil
	}
	if source, _ := o.Settings.KeySource(); source == config.KeyVariable {
		o.line("%s is set here, but a client may not see it; the key belongs into %s.", source, shown(path))
	}
	text, err := o.readKey(ctx)
	if err != nil {
		return fmt.Errorf("no key was stored: %w", err)
	}
	text = strings.TrimSpace(strings.TrimPrefix(text, "\ufeff")) // some editors and shells begin a text with that mark
	key, err := pixazo.NewKey(text)
	if err == nil && strings.ContainsAny(text, "\"'`") {
		err = errors.New("the key has a quotation mark")
	}
	if err != nil {
		return fmt.Errorf("%w; nothing was stored, run this again with the key and nothing else", err)
	}
	if key.IsZero() {
		o.line("There is no key yet. Make one at %s, then run this again in a terminal, or write it to %s", pixazo.KeyURL, shown(path))
		return nil
	}
	if err := storeKey(path, text); err != nil {
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
// first line of stdin: "" when that ends without one, as /dev/null does, or
// when a pipe has nothing for very long.
func (o Options) readKey(ctx context.Context) (string, error) {
	ask := o.askKey
	if f, ok := o.Stdin.(*os.File); ask == nil && ok && term.IsTerminal(int(f.Fd())) {
		ask = func(prompt string) (string, error) { return askHidden(ctx, f, o.stderr(), prompt) }
	}
	if ask != nil {
		return ask("Paste the Pixazo API key (" + pixazo.KeyURL + ") and press Enter; it is not shown: ")
	}
	if o.Stdin == nil {
		return "", nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, keyPatience, errNoInput)
	defer cancel()
	line, err := readLine(ctx, o.Stdin)
	if errors.Is(err, errNoInput) {
		err = nil
	}
	return line, err
}

var errNoInput = errors.New("nothing came")

// readLine returns the first line of r, or what there is before its end. A
// stream that can't be read, such as a closed one, has none. The error is the
// cause for which ctx ended.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	lines := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(io.LimitReader(r, 4<<10)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			line = ""
		}
		lines <- line
	}()
	select {
	case line := <-lines:
		return line, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// askHidden reads a line from the terminal f, "" at its end (Ctrl-D). The
// terminal is silent before the prompt invites anybody to type: term.ReadPassword
// makes it so too late, and what is pasted at once would show. It is as it was
// when this returns, also because ctx ended.
func askHidden(ctx context.Context, f *os.File, out io.Writer, prompt string) (string, error) {
	before, err := term.GetState(int(f.Fd()))
	if err != nil {
		return "", err
	}
	defer func() { _ = term.Restore(int(f.Fd()), before) }()
	if err := silence(f.Fd()); err != nil {
		return "", err
	}
	_, _ = io.WriteString(out, prompt)
	defer func() { _, _ = io.WriteString(out, "\n") }()
	return readLine(ctx, f)
}

// stderr is where a prompt is seen even when stdout goes to a file.
func (o Options) stderr() io.Writer {
	if o.Stderr == nil {
		return os.Stderr
	}
	return o.Stderr
}
