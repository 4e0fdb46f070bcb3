// This file is the child: a server process and an MCP client on its pipes.
//
// mcp-go's stdio transport can start a process itself, but then it adds this
// process's environment, drops what the child says on stderr while it ends,
// and sends SIGTERM after two seconds. A terminal's Ctrl-C has reached the
// child by then, so that this would be its second signal, which cuts off a
// submission. So the process is started here, and mcp-go gets its pipes.

package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/text"
)

// errEnded means that the server closed its end of the pipes.
var errEnded = errors.New("the server ended without an answer")

// serverError is a failure of the server itself, unlike an error result, which
// is a proper answer.
type serverError struct {
	operation string
	err       error
}

func (e *serverError) Error() string { return e.operation + ": " + e.err.Error() }
func (e *serverError) Unwrap() error { return e.err }

// server is a running child. End it with close.
type server struct {
	cmd    *exec.Cmd
	client *client.Client
	stderr tail
}

// startServer starts command with exactly env, or with this process's
// environment if that is nil. No context is bound to the process: an
// interrupted child must be able to finish a submission.
func startServer(command, env []string) (*server, error) {
	if len(command) == 0 {
		return nil, errors.New("no command")
	}
	s := &server{cmd: exec.Command(command[0], command[1:]...)}
	s.cmd.Env = env
	s.cmd.Stderr = &s.stderr
	s.cmd.WaitDelay = time.Second // for a grandchild that holds stderr open
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.client = client.NewClient(transport.NewIO(stdout, stdin, nil))
	return s, nil
}

// progressToken names the progress of wait_for_video. One token is enough,
// since only one call is under way at a time.
const progressToken = "demo"

// initialize makes the handshake. progress gets the messages of later calls,
// on a goroutine of the client's.
func (s *server) initialize(ctx context.Context, progress func(message string)) (*mcp.InitializeResult, error) {
	const operation = "start server"
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("no answer within %v", startTimeout))
	defer cancel()
	if err := s.client.Start(ctx); err != nil {
		return nil, failure(ctx, operation, err)
	}
	s.client.OnNotification(func(n mcp.JSONRPCNotification) {
		message, ok := n.Params.AdditionalFields["message"].(string)
		if ok && n.Method == string(mcp.MethodNotificationProgress) && n.Params.AdditionalFields["progressToken"] == progressToken {
			progress(message)
		}
	})
	var req mcp.InitializeRequest
	req.Params.ClientInfo = mcp.Implementation{Name: "pixazo-mcp-demo", Version: "1"}
	hello, err := s.client.Initialize(ctx, req)
	if err != nil {
		return nil, failure(ctx, operation, err)
	}
	return hello, nil
}

// call calls a tool and asks for its progress.
func (s *server) call(ctx context.Context, tool string, arguments map[string]any) (*mcp.CallToolResult, error) {
	var req mcp.CallToolRequest
	req.Params.Name = tool
	req.Params.Arguments = arguments
	req.Params.Meta = &mcp.Meta{ProgressToken: progressToken}
	result, err := s.client.CallTool(ctx, req)
	if err != nil {
		return nil, failure(ctx, tool, err)
	}
	return result, nil
}

// failure words a failed exchange with the server.
func failure(ctx context.Context, operation string, err error) error {
	var pipe *fs.PathError
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, transport.ErrTransportClosed), errors.As(err, &pipe):
		err = errEnded
	default:
		err = errors.New(text.Clean(err.Error(), 500)) // it may quote the server
	}
	return &serverError{operation, err}
}

// close ends the child by closing its stdin, and kills it when it is still
// there after grace. It returns how the child ended, nil for exit status 0.
func (s *server) close(grace time.Duration) error {
	_ = s.client.Close()
	kill := time.AfterFunc(grace, func() { _ = s.cmd.Process.Kill() })
	defer kill.Stop()
	return s.cmd.Wait()
}

// tail is a writer that keeps the last 4 KiB.
type tail struct {
	mu  sync.Mutex
	buf []byte
	cut bool
}

const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
		t.cut = true
	}
	return len(p), nil
}

// print writes the kept lines to w, cleaned.
func (t *tail) print(w io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := t.buf
	if _, rest, ok := bytes.Cut(kept, []byte("\n")); t.cut && ok {
		kept = rest // the first line lacks its beginning
	}
	kept = bytes.TrimSpace(kept)
	if len(kept) == 0 {
		return
	}
	_, _ = fmt.Fprintln(w, "The server's last words:")
	for line := range strings.Lines(string(kept)) {
		_, _ = fmt.Fprintln(w, "  "+text.Clean(line, tailSize))
	}
}
