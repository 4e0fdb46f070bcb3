// This file is the protocol between a server and a keeper, over the keeper's stdin
// and stdout. Each message is preceded by its length in eight bytes.
//
//	server  hello: version and settings
//	keeper  hello: version
//	server  request, then the data of each attachment; or an empty message for no request
//	keeper  answer
//
// None of this is in the arguments or the environment of a process, where others
// could read it.

package keeper

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/pixazo"
)

// The largest messages, in bytes. A request holds data URIs of up to 50 MB in
// base64.
const (
	maxMessage = 1 << 20
	maxRequest = 80 << 20
)

// hello is the first message of both sides.
type hello struct {
	Version  string          `json:"version"`
	Settings json.RawMessage `json:"settings,omitempty"` // from the server: its settings
	Error    string          `json:"error,omitempty"`    // from the keeper: why it can't work with them
}

// Request is a video request that a server hands to a keeper.
type Request struct {
	Video          pixazo.VideoRequest
	AllowDuplicate bool
}

// wireRequest is the message for a Request. A message with the data of each
// attachment follows.
type wireRequest struct {
	Nonce string
	Request
	Attached []*pixazo.Attachment
}

// answer is the outcome of a request.
type answer struct {
	Submission jobs.Submission
	Error      *pixazo.Error `json:",omitempty"`
}

func send(w io.Writer, message any) error {
	raw, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return sendRaw(w, raw)
}

func sendRaw(w io.Writer, raw []byte) error {
	if err := binary.Write(w, binary.BigEndian, uint64(len(raw))); err != nil {
		return err
	}
	_, err := w.Write(raw)
	return err
}

// receive reads a message of at most limit bytes.
func receive(r io.Reader, limit uint64) ([]byte, error) {
	var size uint64
	if err := binary.Read(r, binary.BigEndian, &size); err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("a message of %d bytes; at most %d are taken", size, limit)
	}
	raw := make([]byte, size)
	_, err := io.ReadFull(r, raw)
	return raw, err
}

// receiveInto reads a message of at most maxMessage bytes into message.
func receiveInto(r io.Reader, message any) error {
	raw, err := receive(r, maxMessage)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, message)
}

// sendRequest sends a request, and the data of its attachments without copying it.
func sendRequest(w io.Writer, nonce string, req Request) error {
	err := send(w, wireRequest{nonce, req, req.Video.Attached})
	for _, a := range req.Video.Attached {
		if a != nil && err == nil {
			err = sendRaw(w, a.Data)
		}
	}
	return err
}

// receiveRequest reads a whole request. ok is false when an empty message came
// instead: the keeper is only to watch.
func receiveRequest(r io.Reader) (nonce string, req Request, ok bool, err error) {
	raw, err := receive(r, maxRequest)
	if err != nil || len(raw) == 0 {
		return "", Request{}, false, err
	}
	var wire wireRequest
	err = json.Unmarshal(raw, &wire)
	for _, a := range wire.Attached {
		if a != nil && err == nil {
			a.Data, err = receive(r, pixazo.MaxFileBytes)
		}
	}
	wire.Video.Attached = wire.Attached
	return wire.Nonce, wire.Request, err == nil, err
}
