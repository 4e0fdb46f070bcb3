// This file is the command keep, and how a server starts one.

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
	"time"

	"pixazo-mcp/internal/config"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/keeper"
)

const (
	maxKeeperLog = 1 << 20 // bytes
	stopTime     = 10 * time.Minute
)

// handover is a server's settings, as a keeper gets them over its pipe.
type handover struct{ Args, Env []string }

// keepCommand returns the command that is this very program as a keeper. It is
// nil for process 1 of a container, whose end is the end of all others.
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

// keep is the process of a keeper, which a server talks to over stdin and stdout.
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
	return keeper.Serve(ctx, stdin, out, fullVersion(), func(raw json.RawMessage) (*keeper.House, error) {
		var given handover
		if err := json.Unmarshal(raw, &given); err != nil {
			return nil, err
		}
		// What can't be taken was told by the server, and refused where it counts.
		settings, _ := config.Parse(given.Args, given.Env, fullVersion, io.Discard)
		// It is written once the state directory is there, and bounded, since nobody
		// tidies up after a keeper.
		queue := newLogQueue()
		go queue.copyTo(&boundedFile{filepath.Join(settings.StateDir, "keeper.log"), maxKeeperLog})
		log := logTo(queue, settings.LogLevel)
		h, err := newHouse(settings, log)
		if err != nil {
			return nil, err
		}
		return &keeper.House{
			Keeper: h.keeper(),
			Submit: func(ctx context.Context, req keeper.Request, nonce string) (jobs.Submission, error) {
				return h.submit(ctx, req, nonce, 0)
			},
			Drain: h.tracker.Drain,
			Close: func() {
				h.tracker.Drain()
				h.tracker.Finish(context.Background())
				h.close()
				queue.close()
			},
		}, nil
	})
}

// boundedFile is a file, in a folder that it does not make, that is begun anew when
// it is full.
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

// stopKeepers ends the user's keepers after what they are sending.
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

// starter returns what hands submissions to keepers; command makes the process
// of one, and may be nil.
func (h *house) starter(command func() *exec.Cmd) *keeper.Starter {
	if !h.settings.Keeper || h.settings.StateDir == "" {
		command = nil
	}
	return &keeper.Starter{
		Command: command,
		Version: fullVersion(),
		Settings: func() (json.RawMessage, error) {
			args, env := h.settings.Handover()
			return json.Marshal(handover{args, env})
		},
		Direct: h.submit,
		Find:   h.journal.ByNonce,
		Logger: h.log,
	}
}

// watch does what is to be done without anybody asking, until ctx is done: in
// this process, beside the other replicas of a team, or by having a keeper where
// one is missing.
func (h *house) watch(ctx context.Context, s *keeper.Starter) {
	switch {
	case h.settings.Command == config.HTTP:
		h.keeper().RunReplica(ctx, h.settings.HTTP.WebhookSecret.Reveal() != "")
	case s.Command == nil:
		h.keeper().Run(ctx)
	default:
		keeper.WatchOver(ctx, h.keeper(), s.Watch)
	}
}
