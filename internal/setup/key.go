// This file asks for the key and stores it.

package setup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"pixazo-mcp/internal/config"
	"pixazo-mcp/pixazo"
)

// keyPatience is how long readKey waits: the program that writes the key to its stdin may
// first have to ask a person or a password manager.
const keyPatience = 10 * time.Minute

// ensureKey asks for the key and stores it in the file at path, unless there is one. A
// key in a variable of this shell is not enough, since the client's server may not get
// it.
func (o Options) ensureKey(ctx context.Context, path string) error {
	if path == "" {
		o.line("There is no place for the key without a home directory: name one with --api-key-file")
		return nil
	}
	switch key, err := config.KeyOfFile(path); {
	case err != nil:
		o.line("There is a key file, but it can't be used: %s: %s; write the key there on a line of its own", path, err)
		return nil
	case !key.IsZero():
		o.line("The key in %s stays.", path)
		return nil
	}
	if source, _ := o.Settings.KeySource(); source != "" && source != o.Settings.APIKeyFile {
		o.line("%s is set here, but a client may not see it; the key belongs in %s.", source, path)
	}
	line, err := o.readKey(ctx)
	if err != nil {
		return fmt.Errorf("no key was stored: %w", err)
	}
	line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff")) // some shells put a byte order mark first
	key, err := pixazo.NewKey(line)
	if err != nil {
		return fmt.Errorf("%w; nothing was stored, run this again with the key and nothing else", err)
	}
	if key.IsZero() {
		o.line("There is no key yet. Make one at %s, then run this again in a terminal, or write it to %s", pixazo.KeyURL, path)
		return nil
	}
	f, err := o.readFile(path, "the editor of this file")
	if err == nil {
		f.mode = 0o600
		_, err = o.replace(f, []byte(line+"\n"))
	}
	if err != nil {
		return fmt.Errorf("store key: %w", err)
	}
	o.line("The key is in %s, which only you can read.", path)
	return nil
}

// readKey reads the key from a terminal, without showing it, or else from the first line
// of stdin. Then, too, it says what it waits for, since a person may sit there: Git Bash
// gives Windows programs a pipe. It returns "" if stdin ends without a line, as /dev/null
// does, if the user presses Ctrl-C or Ctrl-D, or if nothing comes for keyPatience. The
// goroutine that reads may then be blocked until the program ends.
func (o Options) readKey(ctx context.Context) (string, error) {
	read := func() (string, error) { return bufio.NewReader(io.LimitReader(o.Stdin, 4<<10)).ReadString('\n') }
	if f, ok := o.Stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		// Raw mode comes before the prompt, so that a key pasted at once is not shown.
		before, err := term.MakeRaw(int(f.Fd()))
		if err != nil {
			return "", err
		}
		defer func() { _ = term.Restore(int(f.Fd()), before) }()
		read = func() (string, error) {
			line, err := term.NewTerminal(readWriter{f, o.Stderr}, "").ReadPassword("Pixazo API key (" + pixazo.KeyURL + "), which is not shown: ") // fits into 80 columns
			if errors.Is(err, io.EOF) {
				_, _ = io.WriteString(o.Stderr, "\r\n")
			}
			return line, err
		}
	} else {
		_, _ = fmt.Fprintf(o.Stderr, "Reading the Pixazo API key (%s) from standard input, for at most %.0f minutes: paste it and press Enter. "+
			"Here it may be shown as you type; in Git Bash, start the command with winpty to hide it.\n", pixazo.KeyURL, keyPatience.Minutes())
	}
	lines := make(chan string, 1)
	go func() {
		line, err := read()
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, term.ErrPasteIndicator) {
			line = "" // stdin may be closed
		}
		lines <- line
	}()
	select {
	case line := <-lines:
		return line, nil
	case <-time.After(keyPatience):
		return "", nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

type readWriter struct {
	io.Reader
	io.Writer
}
