// Package stdio serves an mcp-go server over a pair of pipes: one JSON-RPC
// message a line.
//
// mcp-go's own StdioServer cancels every call at the end of input; here it lets
// calls finish.
package stdio

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/wire"
)

const (
	maxGrace  = time.Minute // how long calls in flight may take
	maxFinish = 10 * time.Minute
)

// Options says how serving ends, and what can be subscribed to.
type Options struct {
	// Drain is called when there will be no new calls; it should end what may
	// last long, and return at once. Calls already taken go on.
	Drain func()

	// Finish is called when all calls are answered or cut off. It should return
	// when what must not be cut short is over, at the latest when its context
	// ends, 10 minutes later.
	Finish func(context.Context)

	Subscribe wire.Subscribe // begins subscriptions to resources; nil refuses them all
	Logger    *slog.Logger   // nil means none
}

// Serve answers the messages on in until in ends, ctx is cancelled or out can
// no longer be written; then it takes no new calls, lets those in flight
// finish, and returns nil. An error means that in could not be read.
func Serve(ctx context.Context, srv *server.MCPServer, in io.Reader, out io.Writer, options Options) error {
	options.Logger = cmp.Or(options.Logger, slog.New(slog.DiscardHandler))
	w := &lineWriter{out: out}
	input, endOfInput := context.WithCancel(context.WithoutCancel(ctx))
	defer endOfInput()
	q := &questions{log: options.Logger, ended: input}
	// Calls outlive ctx: its end begins the drain and does not cut them off.
	session, err := wire.Open(context.WithoutCancel(ctx), srv, "stdio", w.write, wire.Options{
		Subscribe: options.Subscribe, ListRoots: q.listRoots, Elicit: q.elicit, Answer: q.answer, Logger: options.Logger,
	})
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	defer session.Close()
	q.session = session

	ended := make(chan error, 1)
	go func() { ended <- takeAll(session, in) }()
	select {
	case err = <-ended:
	case <-ctx.Done(): // a read can't be interrupted: it is left behind
	case <-session.Broken():
		options.Logger.Warn("the client no longer reads")
	}
	endOfInput()
	drain(session, w, options)
	return err
}

// takeAll passes every message of in on.
func takeAll(session *wire.Session, in io.Reader) error {
	lines := newLineReader(in, maxLine)
	for {
		line, err := lines.next()
		switch {
		case err == nil:
			session.Take(line)
		case errors.Is(err, errLineTooLong):
			session.Refuse(nil, mcp.PARSE_ERROR, fmt.Sprintf("message longer than %d bytes", maxLine))
		case errors.Is(err, io.EOF):
			return nil
		default:
			return fmt.Errorf("read input: %w", err)
		}
	}
}

// drain lets calls finish: streams that only wait for news end at once, the
// rest gets the grace period, unless the client does not read its answers.
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
