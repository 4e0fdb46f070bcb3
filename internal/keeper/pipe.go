// This file is what a server and a keeper say to each other, over the keeper's
// stdin and stdout: each message is its length, eight bytes, and then itself.
//
//	server  hello: version and settings
//	keeper  hello: version
//	server  request, then the data of each attachment; or an empty message: just watch
//	keeper  answer
//
// Nothing of it is ever in the arguments or the environment of a process, where
// others can read it.

package keeper

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

// The largest messages, in bytes. A request holds data URIs of up to 50 MB in
// base64.
const (
	maxMessage = 1 << 20
	maxRequest = 80 << 20
)

// hello begins a conversation.
type hello struct {
	Version  string          `json:"version"`
	Settings json.RawMessage `json:"settings,omitempty"` // of the server, for the keeper
	Error    string          `json:"error,omitempty"`    // why the keeper can't be one
}

// Request is a video request for a keeper.
type Request struct {
	Video          pixazo.VideoRequest
	AllowDuplicate bool
}

// wireRequest is a Request as it is sent. The data of attachments follows it.
type wireRequest struct {
	Nonce          string
	AllowDuplicate bool
	Video          pixazo.VideoRequest
	Attached       []*attachment
}

type attachment struct {
	Name string
	Size int64
}

// answer is what became of a request.
type answer struct {
	Submission jobs.Submission
	JournalErr string     `json:",omitempty"`
	Error      *wireError `json:",omitempty"`
}

// wireError is a pixazo.Error without its cause.
type wireError struct {
	Code       pixazo.Code
	Message    string
	RequestID  string
	HTTPStatus int
	RetryAfter time.Duration
}

func newAnswer(s jobs.Submission, err error) answer {
	a := answer{Submission: s}
	a.Submission.Row.Failure, a.Submission.JournalErr = nil, nil
	if s.JournalErr != nil {
		a.JournalErr = s.JournalErr.Error()
	}
	if err != nil {
		e, ok := errors.AsType[*pixazo.Error](err)
		if !ok {
			e = &pixazo.Error{Code: pixazo.GatewayError, Message: err.Error()}
		}
		a.Error = &wireError{e.Code, e.Message, e.RequestID, e.HTTPStatus, e.RetryAfter}
	}
	return a
}

// result is the answer as the tracker gave it.
func (a answer) result() (jobs.Submission, error) {
	if e := a.Error; e != nil {
		return jobs.Submission{}, &pixazo.Error{Code: e.Code, Message: e.Message, RequestID: e.RequestID, HTTPStatus: e.HTTPStatus, RetryAfter: e.RetryAfter}
	}
	if a.JournalErr != "" {
		a.Submission.JournalErr = errors.New(a.JournalErr)
	}
	return a.Submission, nil
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

// receiveInto reads a message of at most limit bytes into message.
func receiveInto(r io.Reader, limit uint64, message any) error {
	raw, err := receive(r, limit)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, message)
}

// sendRequest sends a request, whose attachments are not copied.
func sendRequest(w io.Writer, nonce string, req Request) error {
	wire := wireRequest{Nonce: nonce, AllowDuplicate: req.AllowDuplicate, Video: req.Video}
	for _, a := range req.Video.Attached {
		if a == nil {
			wire.Attached = append(wire.Attached, nil)
			continue
		}
		wire.Attached = append(wire.Attached, &attachment{a.Name, int64(len(a.Data))})
	}
	if err := send(w, wire); err != nil {
		return err
	}
	for _, a := range req.Video.Attached {
		if a == nil {
			continue
		}
		if err := sendRaw(w, a.Data); err != nil {
			return err
		}
	}
	return nil
}

// receiveRequest reads a whole request. ok is false when there is none: the
// keeper is only to watch.
func receiveRequest(r io.Reader) (nonce string, req Request, ok bool, err error) {
	raw, err := receive(r, maxRequest)
	if err != nil || len(raw) == 0 {
		return "", Request{}, false, err
	}
	var wire wireRequest
	if err := json.Unmarshal(raw, &wire); err != nil {
		return "", Request{}, false, err
	}
	req = Request{Video: wire.Video, AllowDuplicate: wire.AllowDuplicate}
	for _, a := range wire.Attached {
		if a == nil {
			req.Video.Attached = append(req.Video.Attached, nil)
			continue
		}
		data, err := receive(r, pixazo.MaxFileBytes)
		if err == nil && int64(len(data)) != a.Size {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return "", Request{}, false, err
		}
		req.Video.Attached = append(req.Video.Attached, &pixazo.Attachment{Name: a.Name, Data: data})
	}
	return wire.Nonce, req, true, nil
}

// submissionOf is a row, found in the journal, as the tracker would answer.
func submissionOf(row journal.Row) (s jobs.Submission, known bool, err error) {
	switch row.State {
	case journal.Submitting:
		return jobs.Submission{}, false, nil
	case journal.Accepted, journal.Foreign:
		return jobs.Submission{Row: row, Left: -1}, true, nil
	case journal.Refused:
		if row.Failure != nil {
			return jobs.Submission{}, true, row.Failure
		}
	}
	return jobs.Submission{}, true, &pixazo.Error{Code: pixazo.SubmissionUncertain, RequestID: row.Job.RequestID,
		Message: "the process that sent the request ended before it learned whether the gateway took it"}
}
