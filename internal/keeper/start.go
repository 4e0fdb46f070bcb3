// This file is the server's side: it hands a submission to a keeper, and takes
// care that the request is never sent by both.

package keeper

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

const (
	helloTime = 10 * time.Second       // for a keeper to start and say hello; at most half of what the call has
	goneTime  = 5 * time.Second        // for a keeper whose pipe has ended to be gone
	lookEvery = 200 * time.Millisecond // at the row of a submission whose keeper is gone
)

// Starter hands submissions to keepers. It is safe for concurrent use.
type Starter struct {
	// Command makes the process of a keeper: this very program. Nil when there
	// are to be none; submissions are then made by Direct.
	Command func() *exec.Cmd

	Version  string
	Settings func() (json.RawMessage, error) // of this server, with absolute paths and the key

	// Direct submits in this process: without keepers, and when one can't be
	// started.
	Direct func(ctx context.Context, req Request, nonce string, listen time.Duration) (jobs.Submission, error)

	// Find returns the journal's row of a submission, nil when there is none.
	Find func(ctx context.Context, nonce string) (*journal.Row, error)

	Logger *slog.Logger

	handing sync.WaitGroup // requests that are being written to keepers
}

// Submit submits req, once, and listens at most for listen to what becomes of it;
// then the submission, which goes on, is answered as it stands. The same goes for
// a ctx that ends: the answer is then submission_uncertain.
//
// Errors are those of jobs.Tracker.Submit.
func (s *Starter) Submit(ctx context.Context, req Request, listen time.Duration) (jobs.Submission, error) {
	begun, nonce, prompt := time.Now(), rand.Text(), req.Video.Prompt
	hello, cancel := context.WithTimeout(ctx, min(helloTime, listen/2))
	p := s.start(hello)
	cancel()
	if err := ctx.Err(); err != nil {
		p.end()
		return jobs.Submission{}, &pixazo.Error{Code: pixazo.Cancelled, Message: "the call was cancelled before anything was submitted", Err: err}
	}
	listen -= time.Since(begun)
	if p == nil {
		return s.Direct(ctx, req, nonce, max(listen, time.Millisecond))
	}
	// The keeper may get the request from here on, so this process must not send it.
	s.handing.Add(1)
	return jobs.Await(ctx, max(listen, time.Millisecond), func() (jobs.Submission, error) {
		return s.hand(context.WithoutCancel(ctx), p, nonce, req)
	}, func() journal.Row {
		if row, err := s.Find(ctx, nonce); err == nil && row != nil {
			return *row
		}
		return journal.Row{State: journal.Submitting, Prompt: prompt, SubmittedAt: time.Now()}
	})
}

// Finish waits until every request that was begun to be handed over is in a
// keeper's hands. No Submit may begin any more.
func (s *Starter) Finish() { s.handing.Wait() }

// Watch starts a keeper that watches what is pending.
func (s *Starter) Watch() error {
	ctx, cancel := context.WithTimeout(context.Background(), helloTime)
	defer cancel()
	p := s.start(ctx)
	if p == nil {
		return errNoKeeper
	}
	defer p.close()
	if err := sendRaw(p.in, nil); err != nil {
		return fmt.Errorf("%w: %w", errNoKeeper, err)
	}
	return nil
}

var errNoKeeper = errors.New("no keeper could be started")

// process is a keeper that has said hello.
type process struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  io.ReadCloser
	gone chan struct{} // closed when the process has ended, by the end of its stderr
}

// start returns a keeper of this version that has the settings; nil when there is
// none to be had before ctx is done. Nothing of a request was written yet.
func (s *Starter) start(ctx context.Context) *process {
	if s.Command == nil {
		return nil
	}
	p, err := s.greet(ctx)
	if err != nil {
		s.Logger.Warn("no keeper could be started: this server submits by itself", "error", err)
	}
	return p
}

func (s *Starter) greet(ctx context.Context) (*process, error) {
	settings, err := s.Settings()
	if err != nil {
		return nil, err
	}
	p, err := startDetached(s.Command)
	if err != nil {
		return nil, err
	}
	late := context.AfterFunc(ctx, p.end)
	var said hello
	err = send(p.in, hello{Version: s.Version, Settings: settings})
	if err == nil {
		err = receiveInto(p.out, maxMessage, &said)
	}
	switch {
	case !late():
		err = ctx.Err()
	case err != nil:
	case said.Error != "":
		err = errors.New(said.Error)
	case said.Version != s.Version:
		err = fmt.Errorf("the program on the disk is of version %s, this server of %s", said.Version, s.Version)
	default:
		return p, nil
	}
	p.end()
	return nil, err
}

// startDetached starts the process of a keeper, in the first of the ways that the
// system allows.
func startDetached(command func() *exec.Cmd) (*process, error) {
	var failed error
	for _, detach := range detachments {
		p := &process{cmd: command(), gone: make(chan struct{})}
		detach(p.cmd)
		// The settings come over the pipe. An environment can be read by others.
		p.cmd.Env = slices.DeleteFunc(p.cmd.Environ(), func(line string) bool { return strings.HasPrefix(strings.ToUpper(line), "PIXAZO_") })
		var err [3]error
		var life io.ReadCloser
		p.in, err[0] = p.cmd.StdinPipe()
		p.out, err[1] = p.cmd.StdoutPipe()
		life, err[2] = p.cmd.StderrPipe()
		if err := errors.Join(err[:]...); err != nil {
			return nil, err
		}
		if failed = p.cmd.Start(); failed != nil {
			continue
		}
		go func() {
			_, _ = p.cmd.Process.Wait() // and not cmd.Wait, which closes the pipes that are being read
			_, _ = io.Copy(io.Discard, life)
			_ = life.Close()
			close(p.gone)
		}()
		return p, nil
	}
	return nil, failed
}

func (p *process) close() {
	_ = p.in.Close()
	_ = p.out.Close()
}

// end ends a process that was given no request: a keeper goes when its input ends.
func (p *process) end() {
	if p != nil {
		_ = p.cmd.Process.Kill()
		p.close()
	}
}

// wait returns when the process has ended, or has not for goneTime.
func (p *process) wait() {
	select {
	case <-p.gone:
	case <-time.After(goneTime):
	}
}

// hand gives the request to the keeper and waits for what becomes of it.
func (s *Starter) hand(ctx context.Context, p *process, nonce string, req Request) (jobs.Submission, error) {
	defer p.close()
	err := sendRequest(p.in, nonce, req)
	_ = p.in.Close()
	s.handing.Done()
	var a answer
	if answerErr := receiveInto(p.out, maxMessage, &a); answerErr == nil {
		if a.Error != nil {
			return jobs.Submission{}, a.Error
		}
		return a.Submission, nil
	} else if err == nil {
		err = answerErr
	}
	s.Logger.Warn("a keeper ended before it answered", "error", err)
	p.wait()
	return s.lookUp(ctx, p, nonce)
}

// lookUp answers from the journal for a keeper that ended before it did.
func (s *Starter) lookUp(ctx context.Context, p *process, nonce string) (jobs.Submission, error) {
	for {
		gone := closed(p.gone) // before the look, so that nothing is written after it
		row, err := s.Find(ctx, nonce)
		if err == nil && row != nil {
			if submission, known, err := submissionOf(*row); known {
				return submission, err
			}
		}
		switch {
		case !gone || row != nil:
		case err == nil:
			return jobs.Submission{}, &pixazo.Error{Code: pixazo.Cancelled, Message: "the keeper, the process that submits videos, ended before it submitted anything"}
		default:
			return jobs.Submission{}, &pixazo.Error{Code: pixazo.SubmissionUncertain, Message: "the keeper, the process that submits videos, ended, and the journal that would tell what it did can't be read", Err: err}
		}
		time.Sleep(lookEvery)
	}
}
