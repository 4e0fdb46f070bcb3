// This file is the server's side of the pipe: it hands a submission to a keeper, and
// takes care that server and keeper never both send the request.

package keeper

import (
	"cmp"
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
	helloTime = 10 * time.Second       // the longest time for a keeper to start and say hello; a call gives it at most half of its own
	lookEvery = 200 * time.Millisecond // between two looks at the row of a submission whose pipe has ended
)

// Starter hands submissions to keepers. It is safe for concurrent use.
type Starter struct {
	// Command returns the command that starts a keeper, which is this program. With
	// nil no keepers are started, and Direct submits.
	Command func() *exec.Cmd

	Version  string
	Settings func() (json.RawMessage, error) // of this server, with absolute paths and the key

	// Direct submits in this process. It is called when no keeper was started, or
	// none could be.
	Direct func(ctx context.Context, req Request, nonce string, listen time.Duration) (jobs.Submission, error)

	// Find returns the journal's row of a submission, nil when there is none.
	Find func(ctx context.Context, nonce string) (*journal.Row, error)

	Logger *slog.Logger

	handing sync.WaitGroup // requests that are being written to keepers
}

// Submit submits req once, and returns the outcome. nonce names the submission as in
// jobs.SubmitOptions. If the outcome takes longer than listen, Submit returns the
// submission as it stands. If ctx ends first, it returns submission_uncertain. In both
// cases the submission goes on.
//
// Errors are those of jobs.Tracker.Submit.
func (s *Starter) Submit(ctx context.Context, req Request, nonce string, listen time.Duration) (jobs.Submission, error) {
	begun, prompt := time.Now(), req.Video.Prompt
	nonce = cmp.Or(nonce, rand.Text())
	hello, cancel := context.WithTimeout(ctx, min(helloTime, listen/2))
	p, err := s.start(hello)
	cancel()
	if err := ctx.Err(); err != nil {
		p.end()
		return jobs.Submission{}, &pixazo.Error{Code: pixazo.Cancelled, Message: "the call was cancelled before anything was submitted", Err: err}
	}
	listen -= time.Since(begun)
	if err != nil {
		s.Logger.Warn("no keeper could be started: this server submits by itself", "error", err)
	}
	if p == nil {
		return s.Direct(ctx, req, nonce, max(listen, time.Millisecond))
	}
	// From here on the keeper may have the request, so this process must not send it.
	s.handing.Add(1)
	return jobs.Await(ctx, max(listen, time.Millisecond), func() (jobs.Submission, error) {
		return s.hand(context.WithoutCancel(ctx), p, nonce, req)
	}, func(ctx context.Context) journal.Row {
		if row, err := s.Find(ctx, nonce); err == nil && row != nil {
			return *row
		}
		return journal.Row{State: journal.Submitting, Prompt: prompt, SubmittedAt: time.Now()}
	})
}

// Finish waits until all requests that Submit is handing over are in a keeper's
// pipe. No Submit may begin any more.
func (s *Starter) Finish() { s.handing.Wait() }

// Watch starts a keeper without a request, which works on what is pending.
func (s *Starter) Watch() error {
	ctx, cancel := context.WithTimeout(context.Background(), helloTime)
	defer cancel()
	p, err := s.start(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	return sendRaw(p.in, nil)
}

// process is the process of a keeper.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.ReadCloser // ends when the keeper has answered or ended
}

// start starts a keeper and exchanges hellos with it. The keeper then has the
// settings, but nothing of a request. Without a Command it returns nil. Its error says
// why no keeper of this version was ready before ctx was done.
func (s *Starter) start(ctx context.Context) (*process, error) {
	if s.Command == nil {
		return nil, nil
	}
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
		err = receiveInto(p.out, &said)
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

// startDetached starts the process of a keeper, detached in the first of the ways
// in detachments that the system allows.
func startDetached(command func() *exec.Cmd) (*process, error) {
	var failed error
	for _, detach := range detachments {
		p := &process{cmd: command()}
		detach(p.cmd)
		// The settings go over the pipe, since others can read an environment.
		p.cmd.Env = slices.DeleteFunc(p.cmd.Environ(), func(line string) bool { return strings.HasPrefix(strings.ToUpper(line), "PIXAZO_") })
		var inErr, outErr error
		p.in, inErr = p.cmd.StdinPipe()
		p.out, outErr = p.cmd.StdoutPipe()
		if err := errors.Join(inErr, outErr); err != nil {
			return nil, err
		}
		if failed = p.cmd.Start(); failed == nil {
			go p.cmd.Process.Wait() // cmd.Wait would close the pipes that are being read
			return p, nil
		}
	}
	return nil, failed
}

func (p *process) close() {
	_ = p.in.Close()
	_ = p.out.Close()
}

// end ends a process that was given no request. Where the process has started the
// keeper as another one, that ends because its input ends.
func (p *process) end() {
	if p != nil {
		_ = p.cmd.Process.Kill()
		p.close()
	}
}

// hand writes the request into the keeper's pipe and returns the outcome that the
// keeper answers, or that is in the journal if the keeper ends without an answer.
func (s *Starter) hand(ctx context.Context, p *process, nonce string, req Request) (jobs.Submission, error) {
	defer p.close()
	sendErr := sendRequest(p.in, nonce, req)
	_ = p.in.Close()
	s.handing.Done()
	var a answer
	answerErr := receiveInto(p.out, &a)
	switch {
	case answerErr == nil && a.Error != nil:
		return jobs.Submission{}, a.Error
	case answerErr == nil:
		return a.Submission, nil
	}
	s.Logger.Warn("no whole answer of a keeper came", "error", cmp.Or(sendErr, answerErr))
	// Either the keeper has ended, or it had begun to answer, which it does when the
	// submission has ended. So it does nothing more of which the journal does not know.
	for {
		row, err := s.Find(ctx, nonce)
		switch {
		case err != nil, row == nil && !errors.Is(answerErr, io.EOF):
			return jobs.Submission{}, &pixazo.Error{Code: pixazo.SubmissionUncertain, Message: "the keeper, the process that submits videos, gave no whole answer, and the journal does not tell what it did", Err: err}
		case row == nil: // it ended without a word
			return jobs.Submission{}, &pixazo.Error{Code: pixazo.Cancelled, Message: "the keeper, the process that submits videos, ended before it submitted anything"}
		}
		if submission, known, err := jobs.SubmissionOf(*row); known {
			return submission, err
		}
		time.Sleep(lookEvery) // until the lease of its intent has ended
	}
}
