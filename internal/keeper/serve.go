// This file is the keeper's side of the pipe.

package keeper

import (
	"context"
	"encoding/json"
	"io"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/pixazo"
)

// Parts are what a keeper's process works with. They are made from the settings of
// the server that started it.
type Parts struct {
	Keeper *Keeper
	Submit func(ctx context.Context, req Request, nonce string) (jobs.Submission, error)
	Drain  func() // called when the process is to end: Submit does not try again
	Close  func() // waits for Submit, and closes the journal
}

// Serve runs a keeper's process, from hello to end: it makes at most one submission,
// and works on whatever is pending. open makes the parts. A request that is cut off
// is dropped: its server is gone, and nothing was sent.
func Serve(ctx context.Context, in io.Reader, out io.WriteCloser, version string, open func(settings json.RawMessage) (*Parts, error)) error {
	defer out.Close()
	var server hello
	if err := receiveInto(in, &server); err != nil {
		return err
	}
	parts, err := open(server.Settings)
	said := hello{Version: version}
	if err != nil {
		said.Error = err.Error()
	}
	if sendErr := send(out, said); err != nil || sendErr != nil || server.Version != version {
		if parts != nil {
			parts.Close()
		}
		return err
	}
	defer parts.Close()
	defer context.AfterFunc(ctx, parts.Drain)()
	nonce, req, ok, err := receiveRequest(in)
	if err != nil {
		parts.Keeper.o.Logger.Warn("no whole request came", "error", err)
		return nil
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		defer parts.Keeper.o.Journal.OnlyExisting()
		if ok {
			// No signal ends a submission under way.
			s, err := parts.Submit(context.WithoutCancel(ctx), req, nonce)
			req = Request{} // frees the attachments
			_ = send(out, answer{s, pixazo.AsError(err, pixazo.GatewayError)})
		}
		_ = out.Close() // the server waits for the end
	}()
	parts.Keeper.RunAlone(ctx, sent)
	return nil
}
