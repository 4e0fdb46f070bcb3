// This file runs the command keep, and starts keepers from a server.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"pixazo-mcp/internal/config"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/keeper"
	"pixazo-mcp/internal/stack"
)

const (
	maxKeeperLog = 1 << 20 // bytes
	stopTime     = 10 * time.Minute
)

// handover is the form in which a server sends its settings to a keeper: the results of
// Settings.Handover, each joined by NULs. They are bytes, since JSON would change a path
// that is not valid UTF-8, and the keeper would use another journal.
type handover struct{ Args, Env []byte }

func newHandover(settings config.Settings) handover {
	args, env := settings.Handover()
	return handover{[]byte(strings.Join(args, "\x00")), []byte(strings.Join(env, "\x00"))}
}

// settings returns the settings that newHandover was given.
func (h handover) settings() config.Settings {
	// The server has logged problems of the settings, and refused the calls that need
	// them.
	settings, _ := config.Parse(strings.Split(string(h.Args), "\x00"), strings.Split(string(h.Env), "\x00"), fullVersion, io.Discard)
	return settings
}

// keepCommand returns a function that makes the command of a keeper, which is this
// program. It returns nil when the program's file is not known, and for process 1 of a
// container, since a keeper would be killed with it.
func keepCommand() func() *exec.Cmd {
	program, err := keeper.Program()
	if err != nil || os.Getpid() == 1 {
		return nil
	}
	return func() *exec.Cmd {
		cmd := exec.Command(program)
		cmd.Args = []string{"pixazo-mcp", config.Keep}
		return cmd
	}
}

// keep runs a keeper, which the server that started it talks to over stdin and stdout.
func keep(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	out, ok := stdout.(io.WriteCloser)
	if !ok || isTerminal(stdin) {
		return errors.New("keep is started by a server; to end the keepers that run: pixazo-mcp keep --stop")
	}
	if stdin == io.Reader(os.Stdin) {
		if left, err := keeper.Orphan(); left {
			return err
		}
	}
	return keeper.Serve(ctx, stdin, out, fullVersion(), func(raw json.RawMessage) (*keeper.Parts, error) {
		var given handover
		if err := json.Unmarshal(raw, &given); err != nil {
			return nil, err
		}
		settings := given.settings()
		// The log is bounded, since nobody tidies up after a keeper. Nothing is written
		// as long as there is no state directory.
		queue := newLogQueue()
		go queue.copyTo(&boundedFile{filepath.Join(settings.StateDir, "keeper.log"), maxKeeperLog})
		log := logTo(queue, settings.LogLevel)
		a, err := newApp(settings, log)
		if err != nil {
			return nil, err
		}
		return &keeper.Parts{
			Keeper: a.keeper(),
			Submit: func(ctx context.Context, req keeper.Request, nonce string) (jobs.Submission, error) {
				return a.submit(ctx, req, nonce, 0)
			},
			Drain: a.tracker.Drain,
			Close: func() {
				a.tracker.Drain()
				a.tracker.Finish(context.Background())
				a.close()
				queue.close()
			},
		}, nil
	})
}

// boundedFile appends to the file at path, and empties it first when it has more than
// limit bytes. It does not make the folder.
type boundedFile struct {
	path  string
	limit int64
}

func (b *boundedFile) Write(p []byte) (int, error) {
	how := os.O_APPEND
	if info, err := os.Stat(b.path); err == nil && info.Size() > b.limit {
		how = os.O_TRUNC
	}
	f, err := os.OpenFile(b.path, how|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	n, err := f.Write(p)
	return n, errors.Join(err, f.Close())
}

// stopKeepers tells the user's keepers to end, and waits until they have sent what
// they are sending.
func stopKeepers(ctx context.Context, settings config.Settings, stdout io.Writer) error {
	j := journal.New(journal.Options{Dir: settings.StateDir})
	defer j.Close()
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	n, err := keeper.Stop(ctx, j)
	if err != nil {
		return fmt.Errorf("keep --stop: %w", err)
	}
	_, err = fmt.Fprintf(stdout, "keepers ended: %d\n", n)
	return err
}

// starter returns a Starter that hands submissions to keepers, which command starts.
// It submits from this process when command is nil or keepers are switched off.
func (a *app) starter(command func() *exec.Cmd) *keeper.Starter {
	if !a.settings.Keeper || a.settings.StateDir == "" {
		command = nil
	}
	return &keeper.Starter{
		Command:  command,
		Version:  fullVersion(),
		Settings: func() (json.RawMessage, error) { return json.Marshal(newHandover(a.settings)) },
		Direct:   a.submit,
		Find:     a.journal.ByNonce,
		Logger:   a.log,
	}
}

// watch has pending jobs watched and saved until stop is called: by this process together
// with the other replicas of a team, by this process alone, or by a keeper, which it starts
// when none runs. Meanwhile it deletes old jobs.
func (a *app) watch(s *keeper.Starter) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	k := a.keeper()
	watch := func() { k.Run(ctx) }
	if a.settings.Command == config.HTTP {
		watch = func() { k.RunReplica(ctx, a.settings.HTTP.WebhookSecret.Reveal() != "") }
	} else if s.Command != nil {
		looks := time.Tick(keeper.IdleLook) // not in the function, whose stack would grow; see package stack
		watch = func() { keeper.WatchOver(ctx, looks, k, s.Watch) }
	}
	var watches sync.WaitGroup
	for _, each := range []func(){watch, func() { a.tidy(ctx) }} {
		watches.Add(1)
		stack.Go(func() {
			defer watches.Done()
			each()
		})
	}
	return func() {
		cancel()
		watches.Wait()
	}
}
