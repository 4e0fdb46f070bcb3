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
	line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff")) // some shells begin a text with that mark
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

// readKey asks on a terminal without showing what is typed; elsewhere it takes
// the first line of stdin, and says so, since a person may sit there all the
// same: Git Bash gives Windows programs a pipe. It returns "" when stdin ends
// without a line, as /dev/null does, or when nothing comes for keyPatience.
func (o Options) readKey(ctx context.Context) (string, error) {
	if f, ok := o.Stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return askHidden(ctx, f, o.Stderr, "Paste the Pixazo API key ("+pixazo.KeyURL+") and press Enter; it is not shown: ")
	}
	_, _ = fmt.Fprintf(o.Stderr, "Reading the Pixazo API key (%s) from standard input, for at most %.0f minutes: paste it and press Enter. "+
		"Here it may be shown as you type; in Git Bash, start the command with winpty to hide it.\n", pixazo.KeyURL, keyPatience.Minutes())
	patient, cancel := context.WithTimeout(ctx, keyPatience)
	defer cancel()
	line, err := await(patient, func() (string, error) {
		line, err := bufio.NewReader(io.LimitReader(o.Stdin, 4<<10)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			line = "" // a closed stdin, for one, has none
		}
		return line, nil
	})
	if ctx.Err() == nil {
		err = nil
	}
	return line, err
}

// await returns what read returns, or the cause for which ctx ended before. A
// read that is blocked then stays so until the program ends.
func await(ctx context.Context, read func() (string, error)) (string, error) {
	type result struct {
		line string
		err  error
	}
	results := make(chan result, 1)
	go func() {
		line, err := read()
		results <- result{line, err}
	}()
	select {
	case r := <-results:
		return r.line, r.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// askHidden reads a line from the terminal f, "" when the user gives up with
// Ctrl-C or Ctrl-D. The terminal is in raw mode before the prompt appears, so
// that a key pasted at once does not show. Its mode is restored at the return,
// also when ctx ends.
func askHidden(ctx context.Context, f *os.File, out io.Writer, prompt string) (string, error) {
	before, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return "", err
	}
	defer func() { _ = term.Restore(int(f.Fd()), before) }()
	return await(ctx, func() (string, error) {
		line, err := term.NewTerminal(readWriter{f, out}, "").ReadPassword(prompt)
		if errors.Is(err, io.EOF) {
			_, _ = io.WriteString(out, "\r\n")
			return "", nil
		}
		if errors.Is(err, term.ErrPasteIndicator) {
			err = nil
		}
		return line, err
	})
}

type readWriter struct {
	io.Reader
	io.Writer
}
