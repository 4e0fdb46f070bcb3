// This file writes answers: JSON, or a stream of server-sent events.

package web

import (
	"cmp"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	writeTime = 10 * time.Second // one write to a client may take
	silence   = 15 * time.Second // proxies cut connections that are silent for 60 s
)

// response notes the status and gives each write a deadline of its own: one for
// the whole answer would cut off every wait.
type response struct {
	http.ResponseWriter
	control *http.ResponseController
	status  int
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	w.status = cmp.Or(w.status, status)
	w.limit()
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	w.status = cmp.Or(w.status, http.StatusOK)
	w.limit()
	return w.ResponseWriter.Write(p)
}

func (w *response) limit() { _ = w.control.SetWriteDeadline(time.Now().Add(writeTime)) } // a recorder of a test has none

var errOver = errors.New("the answer is complete")

// reply answers one request: with JSON, or with a stream of events once anything,
// even a sign of life, was written before the answer.
type reply struct {
	w            http.ResponseWriter
	control      *http.ResponseController
	json, events bool   // what the client takes
	gone         func() // is called when the client can't be written to; may be nil

	mu        sync.Mutex
	streaming bool
	over      bool
	quiet     *time.Timer
}

// newReply returns the reply to r, to a client that takes what its Accept says.
func newReply(w http.ResponseWriter, r *http.Request) *reply {
	a := &reply{w: w, control: http.NewResponseController(w)}
	values := r.Header.Values("Accept")
	if len(values) == 0 {
		values = []string{"*/*"}
	}
	for kind := range strings.SplitSeq(strings.Join(values, ","), ",") {
		media, parameters, err := mime.ParseMediaType(kind)
		if q, given := parameters["q"]; err != nil || given && strings.Trim(q, "0.") == "" {
			continue
		}
		a.json = a.json || media == "application/json" || media == "application/*" || media == "*/*"
		a.events = a.events || media == "text/event-stream" || media == "text/*" || media == "*/*"
	}
	return a
}

// comment is a piece of the stream that means nothing: a sign of life.
const comment = ":\n\n"

// watch begins to write a comment whenever nothing was written for the time of
// silence.
func (a *reply) watch() {
	if a.events {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.quiet = time.AfterFunc(silence, func() { _ = a.write([]byte(comment)) })
	}
}

// send writes one message. A client that takes no events gets the answer alone.
func (a *reply) send(message []byte) error {
	if !a.events {
		return nil
	}
	return a.write(event(message))
}

// event returns a message as a piece of the stream.
func event(message []byte) []byte {
	return slices.Concat([]byte("event: message\ndata: "), message, []byte("\n\n"))
}

// write writes a piece of the stream.
func (a *reply) write(piece []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return errOver
	}
	return a.put(piece)
}

// put is write for a caller that holds a.mu.
func (a *reply) put(piece []byte) error {
	if !a.streaming {
		a.streaming = true
		h := a.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-cache, no-store")
		h.Set("X-Accel-Buffering", "no") // nginx would hold it back
		a.w.WriteHeader(http.StatusOK)
	}
	_, err := a.w.Write(piece)
	if err == nil {
		err = a.control.Flush()
	}
	if err != nil {
		a.over = true
		if a.gone != nil {
			a.gone()
		}
	}
	if a.quiet != nil && !a.over {
		a.quiet.Reset(silence)
	}
	return err
}

// end writes the answer, if any, with the status if it is JSON. Nothing is written
// from then on.
func (a *reply) end(status int, answer any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.quiet != nil {
		a.quiet.Stop()
	}
	if a.over {
		return
	}
	defer func() { a.over = true }()
	raw, err := json.Marshal(answer)
	switch {
	case answer == nil && !a.streaming:
		a.w.WriteHeader(http.StatusAccepted)
	case answer == nil || err != nil:
	case a.streaming || !a.json && status == http.StatusOK:
		_ = a.put(event(raw)) // a client that is gone can't be told
	default:
		a.w.Header().Set("Content-Type", "application/json")
		a.w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
		a.w.WriteHeader(status)
		_, _ = a.w.Write(raw)
	}
}
