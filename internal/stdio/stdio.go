// Package stdio serves an mcp-go server over a pair of pipes, with one JSON-RPC message of
// any length a line.
//
// mcp-go's own StdioServer cancels all calls at the end of input. This package lets them
// finish.
package stdio

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/stack"
	"pixazo-mcp/internal/wire"
)

const (
	maxGrace  = time.Minute      // how long calls in flight may still take at the end
	maxFinish = 10 * time.Minute // how long Options.Finish may take
)

// Options configures Serve.
type Options struct {
	wire.Options

	// Drain is called when no new calls are taken any more. It should make calls that
	// may take long end soon, and return at once.
	Drain func()

	// Finish is called when all calls are answered or cut off. It should return when
	// everything that must not be cut off has ended, at the latest when its context
	// ends, 10 minutes later.
	Finish func(context.Context)
}

// Serve answers the messages of in until in ends, ctx ends, or out can't be written any
// more. Then it takes no new calls, lets those in flight finish, and returns nil. An error
// means that in could not be read.
func Serve(ctx context.Context, srv *server.MCPServer, in io.Reader, out io.Writer, options Options) error {
	options.Logger = cmp.Or(options.Logger, slog.New(slog.DiscardHandler))
	w := &lineWriter{out: out}
	// The end of ctx begins the drain, and does not cut calls off.
	session, err := wire.Open(context.WithoutCancel(ctx), srv, "stdio", w.write, options.Options)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	defer session.Close()

	ended := make(chan error, 1)
	stack.Go(func() { ended <- takeAll(session, in) })
	select {
	case err = <-ended:
	case <-ctx.Done(): // takeAll goes on, since a read can't be interrupted
	case <-session.Broken():
		options.Logger.Warn("the client no longer reads")
	}
	drain(session, w, options)
	return err
}

// takeAll passes the messages of in to session until in ends.
func takeAll(session *wire.Session, in io.Reader) error {
	lines := &lineReader{bufio.NewReaderSize(in, 16<<10), maxLine}
	for {
		line, err := lines.next()
		switch {
		case err == nil:
			session.Take(line)
		case errors.Is(err, errLineTooLong):
			session.Refuse(wire.Message{}.Refusal(mcp.PARSE_ERROR, fmt.Sprintf("message longer than %d bytes", maxLine)))
		case errors.Is(err, io.EOF):
			return nil
		default:
			return fmt.Errorf("read input: %w", err)
		}
	}
}

// drain ends streams of news at once and gives the other calls maxGrace to finish, or less
// if the client does not read their answers. Then it calls options.Finish.
func drain(session *wire.Session, w *lineWriter, options Options) {
	options.Logger.Debug("no new calls")
	grace, stop := context.WithTimeout(context.Background(), maxGrace)
	defer stop()
	session.Stop()
	if options.Drain != nil {
		options.Drain()
	}
	go w.watch(grace, func() {
		options.Logger.Warn("the client does not read its answers")
		stop()
	})
	if session.Wait(grace) != nil {
		options.Logger.Warn("calls still in flight were cut off")
	}
	if options.Finish != nil {
		ctx, stop := context.WithTimeout(context.Background(), maxFinish)
		defer stop()
		options.Finish(ctx)
	}
}

// maxLine is the length of the longest message, in bytes: 50 MB of attachments as base64,
// and as much again. A longer line is skipped.
const maxLine = 128 << 20

var errLineTooLong = errors.New("line too long")

// lineReader splits a stream into lines.
type lineReader struct {
	buf *bufio.Reader
	max int
}

// next returns the next line that is not blank, without white space and byte order marks
// around it; shells of Windows put a byte order mark before what they pipe. It skips a
// line of more than max bytes and returns errLineTooLong for it.
func (l *lineReader) next() ([]byte, error) {
	for {
		line, err := l.read()
		if line = bytes.TrimFunc(line, isBlank); len(line) > 0 {
			return line, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func isBlank(r rune) bool { return unicode.IsSpace(r) || r == '\uFEFF' }

// read returns the next line with its end.
func (l *lineReader) read() ([]byte, error) {
	var line []byte
	tooLong := false
	for {
		part, err := l.buf.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(part) > l.max; tooLong {
			line = nil
		} else {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case tooLong:
			return nil, errLineTooLong
		default:
			return line, err
		}
	}
}

// lineWriter writes lines.
type lineWriter struct {
	out   io.Writer
	turns atomic.Uint64 // odd while a write is under way
}

func (w *lineWriter) write(message []byte) error {
	w.turns.Add(1)
	defer w.turns.Add(1)
	_, err := w.out.Write(append(message, '\n'))
	return err
}

// watch calls stuck, and returns, when a single write has taken more than a second, since
// the client does not read. It also returns when ctx ends.
func (w *lineWriter) watch(ctx context.Context, stuck func()) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for last := uint64(0); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := w.turns.Load()
		if now == last && now%2 == 1 {
			stuck()
			return
		}
		last = now
	}
}
