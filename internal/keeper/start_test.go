// These tests hold that a request is sent once, by the keeper or by the server,
// whatever becomes of either. The keepers are processes: this test program, which
// then says and does what the test has in an environment variable.

package keeper

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pixazo-mcp/e2e/pgtest"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

const actVariable = "KEEPER_TEST_ACT"

func TestMain(m *testing.M) {
	if act := os.Getenv(actVariable); act != "" {
		playKeeper(act)
		return
	}
	os.Exit(pgtest.Run(m))
}

// playKeeper is a keeper that does the words of act, one after the other.
func playKeeper(act string) {
	in := bufio.NewReader(os.Stdin)
	for word := range strings.FieldsSeq(act) {
		switch word {
		case "greeted":
			var server hello
			if receiveInto(in, &server) != nil {
				os.Exit(1)
			}
		case "hello":
			_ = send(os.Stdout, hello{Version: "1"})
		case "other":
			_ = send(os.Stdout, hello{Version: "0"})
		case "unable":
			_ = send(os.Stdout, hello{Version: "1", Error: "no"})
		case "garbage":
			_, _ = os.Stdout.WriteString("usage: this is another program\n")
		case "read":
			if _, _, _, err := receiveRequest(in); err != nil {
				os.Exit(1)
			}
		case "half":
			_, _ = io.CopyN(io.Discard, in, 20)
		case "answer":
			_ = send(os.Stdout, answer{Submission: jobs.Submission{Row: row(journal.Accepted)}})
		case "refuse":
			_ = send(os.Stdout, answer{Error: &pixazo.Error{Code: pixazo.OutOfCredits, Message: "no credits"}})
		case "cut":
			_, _ = os.Stdout.Write([]byte{0, 0, 0, 0, 0, 0, 1, 0, '{'})
		case "stay":
			_, _ = io.Copy(io.Discard, in)
			time.Sleep(time.Minute)
		}
	}
}

func row(state journal.State) journal.Row {
	r := journal.Row{State: state, Prompt: "tides"}
	if state == journal.Accepted {
		r.Job = pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}
	}
	return r
}

func TestARequestIsSentOnce(t *testing.T) {
	gone := errors.New("no such file")
	finds := func(states ...journal.State) func() (*journal.Row, error) {
		return func() (*journal.Row, error) {
			if len(states) == 0 {
				return nil, nil
			}
			r := row(states[0])
			if states[0] == journal.Refused {
				r.Failure = &pixazo.Error{Code: pixazo.OutOfCredits}
			}
			states = states[min(1, len(states)-1):]
			return &r, nil
		}
	}
	for _, tt := range []struct {
		name, act string
		find      func() (*journal.Row, error)
		direct    bool        // the server submits by itself
		want      pixazo.Code // of the error
	}{
		{name: "a keeper of this version", act: "greeted hello read answer"},
		{name: "its refusal", act: "greeted hello read refuse", want: pixazo.OutOfCredits},
		{name: "it can't be executed", act: "", direct: true},
		{name: "another version", act: "greeted other stay", direct: true},
		{name: "it can't take the settings", act: "greeted unable", direct: true},
		{name: "it ends at once", act: "nothing", direct: true},
		{name: "it ends after the settings", act: "greeted", direct: true},
		{name: "it is another program", act: "garbage", direct: true},
		{name: "it says nothing in time", act: "greeted stay", direct: true},
		{name: "it ends before the request", act: "greeted hello", want: pixazo.Cancelled},
		{name: "it ends in the middle of the request", act: "greeted hello half", want: pixazo.Cancelled},
		{name: "it ends after the request, with nothing in the journal", act: "greeted hello read", want: pixazo.Cancelled},
		{name: "… accepted in the journal", act: "greeted hello read", find: finds(journal.Accepted)},
		{name: "… accepted a moment later", act: "greeted hello read", find: finds(journal.Submitting, journal.Submitting, journal.Accepted)},
		{name: "… uncertain in the end", act: "greeted hello read", find: finds(journal.Submitting, journal.Uncertain), want: pixazo.SubmissionUncertain},
		{name: "… refused in the journal", act: "greeted hello read", find: finds(journal.Refused), want: pixazo.OutOfCredits},
		{name: "… with a journal that can't be read", act: "greeted hello read", find: func() (*journal.Row, error) { return nil, gone }, want: pixazo.SubmissionUncertain},
		{name: "its answer is cut off", act: "greeted hello read cut", find: finds(journal.Accepted)},
		{name: "… and nothing in the journal", act: "greeted hello read cut", want: pixazo.SubmissionUncertain},
		{name: "… and the journal can't be read", act: "greeted hello read cut", find: func() (*journal.Row, error) { return nil, gone }, want: pixazo.SubmissionUncertain},
		{name: "its answer is another program's, which stays", act: "greeted hello read garbage stay", find: finds(journal.Submitting, journal.Accepted)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var direct atomic.Int32
			if tt.find == nil {
				tt.find = finds()
			}
			s := starter(t, tt.act)
			s.Find = func(context.Context, string) (*journal.Row, error) { return tt.find() }
			s.Direct = func(context.Context, Request, string, time.Duration) (jobs.Submission, error) {
				direct.Add(1)
				return jobs.Submission{Row: row(journal.Accepted)}, nil
			}
			listen := time.Minute
			if tt.name == "it says nothing in time" {
				listen = time.Second // of which it may take half
			}
			sub, err := s.Submit(t.Context(), Request{Video: pixazo.VideoRequest{Prompt: "tides"}}, "", listen)
			if got := direct.Load() == 1; got != tt.direct || direct.Load() > 1 {
				t.Errorf("the server submitted %d times", direct.Load())
			}
			if tt.want == "" && (err != nil || sub.Row.Job.RequestID != "id-1") || tt.want != "" && !pixazo.IsCode(err, tt.want) {
				t.Errorf("got %+v, %v; want %s", sub.Row, err, tt.want)
			}
			s.Finish()
		})
	}
}

// starter starts this test program as a keeper, or no program when act is "".
func starter(t *testing.T, act string) *Starter {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if act == "" {
		program = "/nonexistent/program"
	}
	return &Starter{
		Command: func() *exec.Cmd {
			cmd := exec.Command(program)
			cmd.Env = append(os.Environ(), actVariable+"="+act)
			return cmd
		},
		Version:  "1",
		Settings: func() (json.RawMessage, error) { return json.RawMessage(`{}`), nil },
		Find:     func(context.Context, string) (*journal.Row, error) { return nil, nil },
		Logger:   slog.New(slog.DiscardHandler),
	}
}

func TestACallEndsBeforeItsSubmission(t *testing.T) {
	t.Parallel()
	t.Run("it listened long enough", func(t *testing.T) {
		t.Parallel()
		s := starter(t, "greeted hello read stay")
		begun := time.Now()
		sub, err := s.Submit(t.Context(), Request{Video: pixazo.VideoRequest{Prompt: "tides"}}, "", 10*time.Second) // of which the keeper has half to start
		if err != nil || sub.Row.State != journal.Submitting || sub.Row.Prompt != "tides" || time.Since(begun) > 40*time.Second {
			t.Errorf("got %+v, %v after %s", sub, err, time.Since(begun))
		}
	})
	for name, tt := range map[string]struct {
		act   string
		after time.Duration
		want  pixazo.Code
	}{
		"cancelled before the request": {"greeted stay", time.Second, pixazo.Cancelled},
		"cancelled after it":           {"greeted hello read stay", 10 * time.Second, pixazo.SubmissionUncertain}, // the keeper has to start in it
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := starter(t, tt.act)
			ctx, cancel := context.WithTimeout(t.Context(), tt.after)
			defer cancel()
			if _, err := s.Submit(ctx, Request{}, "", time.Minute); !pixazo.IsCode(err, tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// pipeEnd is a keeper's stdout whose reader may be gone.
type pipeEnd struct {
	bytes.Buffer
	limit int // bytes until the reader is gone
}

func (p *pipeEnd) Write(b []byte) (int, error) {
	if p.Len()+len(b) > p.limit {
		return 0, io.ErrClosedPipe
	}
	return p.Buffer.Write(b)
}

func (p *pipeEnd) Close() error { return nil }

// conversation is what a server writes to a keeper, with one attachment.
func conversation(t *testing.T, version string) []byte {
	t.Helper()
	var b bytes.Buffer
	err := send(&b, hello{Version: version, Settings: json.RawMessage(`{}`)})
	if err == nil {
		err = sendRequest(&b, "the nonce", Request{Video: pixazo.VideoRequest{Prompt: "tides", Files: []string{"", "https://x.example/1.png"},
			Attached: []*pixazo.Attachment{{Name: "1.png", Data: []byte("12345678")}, nil}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// serveOnce is a keeper's whole life, fed with what came over the pipe.
func serveOnce(t *testing.T, came []byte, out *pipeEnd) (submitted []Request) {
	t.Helper()
	h := newHouse(t, t.TempDir(), &gateway{end: pixazo.Completed})
	err := Serve(t.Context(), bytes.NewReader(came), out, "1", func(json.RawMessage) (*Parts, error) {
		return &Parts{Keeper: h.keeper, Drain: h.tracker.Drain, Close: h.close,
			Submit: func(_ context.Context, req Request, nonce string) (jobs.Submission, error) {
				if nonce != "the nonce" {
					t.Errorf("nonce %q", nonce)
				}
				submitted = append(submitted, req)
				row, err := h.submit(t, req.Video.Prompt)
				return jobs.Submission{Row: row}, err
			}}, nil
	})
	if err != nil && len(submitted) > 0 {
		t.Error(err)
	}
	if len(submitted) > 0 && len(h.saver.saved) != 1 {
		t.Errorf("saved %q", h.saver.saved)
	}
	return submitted
}

func TestARequestThatComesShortIsDropped(t *testing.T) {
	whole := conversation(t, "1")
	for n := range len(whole) {
		if n%7 != 0 && n < len(whole)-12 { // each byte of the attachment
			continue
		}
		if submitted := serveOnce(t, whole[:n], &pipeEnd{limit: 1 << 20}); len(submitted) > 0 {
			t.Fatalf("of %d bytes %d came, and it was submitted: %+v", len(whole), n, submitted)
		}
	}
	submitted := serveOnce(t, whole, &pipeEnd{limit: 1 << 20})
	if len(submitted) != 1 || string(submitted[0].Video.Attached[0].Data) != "12345678" || submitted[0].Video.Attached[1] != nil {
		t.Errorf("submitted %+v", submitted)
	}
}

func TestAServerOfAnotherVersionIsNotServed(t *testing.T) {
	if submitted := serveOnce(t, conversation(t, "2"), &pipeEnd{limit: 1 << 20}); len(submitted) > 0 {
		t.Errorf("submitted %+v", submitted)
	}
}

// The server may be gone when the keeper says hello, and when it answers.
func TestAVideoIsMadeForAServerThatIsGone(t *testing.T) {
	var said bytes.Buffer
	if err := send(&said, hello{Version: "1"}); err != nil {
		t.Fatal(err)
	}
	if submitted := serveOnce(t, conversation(t, "1"), &pipeEnd{limit: said.Len()}); len(submitted) != 1 {
		t.Errorf("submitted %+v", submitted)
	}
	if submitted := serveOnce(t, conversation(t, "1"), &pipeEnd{}); len(submitted) != 0 {
		t.Errorf("nobody heard hello, so that the server may have submitted by itself: %+v", submitted)
	}
}

// Whoever may look at the processes of a computer sees no settings there.
func TestTheEnvironmentOfAKeeperHasNoSettings(t *testing.T) {
	t.Setenv("PIXAZO_API_KEY", "secret")
	t.Setenv("pixazo_state_dir", "/x")
	s := starter(t, "greeted stay")
	p, err := startDetached(s.Command)
	if err != nil {
		t.Fatal(err)
	}
	defer p.end()
	kept := false
	for _, line := range p.cmd.Env {
		if strings.HasPrefix(strings.ToUpper(line), "PIXAZO_") {
			t.Errorf("the environment has %s", line)
		}
		kept = kept || strings.HasPrefix(line, actVariable)
	}
	if !kept {
		t.Errorf("the environment is %q", p.cmd.Env)
	}
}
