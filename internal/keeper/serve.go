// This file is the keeper's side of the pipe.

package keeper

import (
	"context"
	"encoding/json"
	"io"

	"pixazo-mcp/internal/jobs"
)

// House is what a keeper's process works with, made from the settings of the
// server that started it.
type House struct {
	Keeper *Keeper
	Submit func(ctx context.Context, req Request, nonce string) (jobs.Submission, error)
	Drain  func() // begins the end: a submission that was not accepted is not tried again
	Close  func() // ends it all, after what is under way
}

// Serve is the whole of a keeper's process: hello, at most one submission, then
// whatever is pending. Open makes the house of the settings. A request that
// comes short is dropped: its server is gone and nothing was sent.
func Serve(ctx context.Context, in io.Reader, out io.WriteCloser, version string, open func(settings json.RawMessage) (*House, error)) error {
	defer out.Close()
	var server hello
	if err := receiveInto(in, maxMessage, &server); err != nil {
		return err
	}
	house, err := open(server.Settings)
	said := hello{Version: version}
	if err != nil {
		said.Error = err.Error()
	}
	if sendErr := send(out, said); err != nil || sendErr != nil || server.Version != version {
		if house != nil {
			house.Close()
		}
		return err
	}
	defer house.Close()
	defer context.AfterFunc(ctx, house.Drain)()
	nonce, req, ok, err := receiveRequest(in)
	if err != nil {
		house.Keeper.o.Logger.Warn("no whole request came", "error", err)
		return nil
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		defer house.Keeper.o.Journal.OnlyExisting()
		if ok {
			// Nothing cuts a submission off, also no signal.
			s, err := house.Submit(context.WithoutCancel(ctx), req, nonce)
			req = Request{} // attachments may be large
			_ = send(out, newAnswer(s, err))
		}
		_ = out.Close() // the server waits for the end
	}()
	house.Keeper.RunAlone(ctx, sent)
	return nil
}
