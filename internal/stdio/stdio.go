// Package stdio serves an mcp-go server over a pair of pipes, with one JSON-RPC message a
// line.
//
// mcp-go's own StdioServer cancels all calls at the end of input. This package lets them
// finish.
package stdio

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

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
