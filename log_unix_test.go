//go:build unix

// These tests start the built program with a log that nobody reads, as some
// clients do: the answers, the journal and the end must come all the same.

package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fullPipe returns a pipe that can take no byte more, and is never read.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	for size := 64 << 10; size > 0; size /= 2 {
		for err = nil; err == nil; {
			if err = w.SetWriteDeadline(time.Now().Add(10 * time.Millisecond)); err == nil {
				_, err = w.Write(make([]byte, size))
			}
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	return w
}

func TestLogThatNobodyReadsHoldsUpNothing(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	endOfInput := func(p *program, _ *exec.Cmd) error { return p.in.Close() }
	sigterm := func(_ *program, cmd *exec.Cmd) error { return cmd.Process.Signal(syscall.SIGTERM) }
	for _, tt := range []struct {
		name string
		args []string
		end  func(*program, *exec.Cmd) error
	}{
		{"stderr, end of input", []string{"--log-level=debug"}, endOfInput},
		{"stderr, SIGTERM", []string{"--log-level=debug"}, sigterm},
		{"a FIFO without a reader, end of input", []string{"--log-level=debug", "--log-file", fifo}, endOfInput},
		{"a FIFO without a reader, SIGTERM", []string{"--log-level=debug", "--log-file", fifo}, sigterm},
		{"a log file that can't be opened", []string{"--log-file", filepath.Join(fifo, "log")}, endOfInput},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gateway, dir := startBilling(t), t.TempDir()
			cmd := exec.Command(path, append(tt.args, "--gateway-url", gateway.url, "--state-dir", dir, "--max-videos-per-hour=0", "--max-videos-per-day=0", "--keeper=false")...)
			cmd.Env = append(homes(t.TempDir()), "PIXAZO_API_KEY="+secret)
			cmd.Stderr = fullPipe(t)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			killed := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
			defer killed.Stop()
			p := &program{t: t, in: in, out: bufio.NewReader(out), stderr: &syncBuffer{}}
			r := p.call("generate_video", generate("tides"))
			id, _ := r.Result.StructuredContent["request_id"].(string)
			if id == "" {
				t.Errorf("got %s", r.text())
			}
			if err := tt.end(p, cmd); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, out)
			if err := cmd.Wait(); err != nil {
				t.Errorf("exit: %v", err)
			}
			if rows := journalRows(t, dir); len(rows) != 1 || rows[0] != (row{"accepted", id, "tides"}) {
				t.Errorf("the journal has %+v, want %s", rows, id)
			}
		})
	}
}

// A reader that comes late gets what has been waiting for it.
func TestLogReachesAFIFOOnceItIsRead(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, nil, "--sandbox", "--log-file", fifo)
	p.call("generate_video", generate("tides"))
	reader, err := os.Open(fifo)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := p.end(); err != nil {
		t.Error(err)
	}
	if said, err := io.ReadAll(reader); err != nil || !strings.Contains(string(said), "video submitted") {
		t.Errorf("the log is %q, %v", said, err)
	}
}

func TestCommandsDoNotWaitForTheReaderOfALog(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	for _, args := range [][]string{
		{"doctor", "--sandbox", "--log-file", fifo},
		{"demo", "--sandbox-duration=1ms", "--log-file", fifo},
	} {
		var out, errs bytes.Buffer
		if err := run(t.Context(), args, homes(home), nil, strings.NewReader(""), &out, &errs); err != nil {
			t.Errorf("%q: %v\n%s", args, err, out.String())
		}
	}
}

// TestLogFileThatIsTheProtocol: the log went between the messages, and a server that may
// write to its own input never saw the end of it.
func TestLogFileThatIsTheProtocol(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"/dev/stdin", "/dev/stdout"} {
		cmd := exec.Command(path, "--sandbox", "--keeper=false", "--state-dir", t.TempDir(), "--log-file", file)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(in, `{"jsonrpc":"2.0","id":1,"method":"ping"}`+"\n")
		_ = in.Close()
		stuck := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		err = cmd.Wait()
		stuck.Stop()
		if err != nil || !strings.HasPrefix(stdout.String(), "{") || strings.Count(stdout.String(), "\n") != 1 || !strings.Contains(stderr.String(), "the log file can't be opened") {
			t.Errorf("%s: %v, standard output %q, standard error %q", file, err, stdout.String(), stderr.String())
		}
	}
}
