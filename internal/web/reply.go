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
	writeTime      = 10 * time.Second // the longest time for one write to a client
	videoTime      = 10 * time.Minute // the same for a video, whose player may be paused
	heartbeatEvery = 15 * time.Second // proxies cut connections on which nothing comes for 60 s
)

// response is an http.ResponseWriter that keeps the status, and gives each write a
// deadline of its own. A deadline for the whole answer would end long calls.
type response struct {
	http.ResponseWriter
	control *http.ResponseController
	status  int
	each    time.Duration // the longest time for one write
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

func (w *response) limit() { _ = w.control.SetWriteDeadline(time.Now().Add(w.each)) } // httptest's recorder has no deadlines

var errOver = errors.New("the answer is complete")

// reply writes the answer to one request: as JSON, or, if anything was written
// before the answer, as a stream of events.
type reply struct {
	w            http.ResponseWriter
	control      *http.ResponseController
	json, events bool   // which of the two the client accepts
	onGone       func() // is called when a write to the client fails; may be nil

	mu        sync.Mutex
	streaming bool        // something was written as a stream
	over      bool        // nothing is written any more
	beat      *time.Timer // writes the next heartbeat; nil if there are none
}

// newReply returns the reply to r, with what r's Accept header allows.
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

// heartbeat is a comment in the stream, which clients ignore.
const heartbeat = ":\n\n"

// startHeartbeat makes a write a heartbeat whenever nothing else was written for
// heartbeatEvery.
func (a *reply) startHeartbeat() {
	if a.events {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.beat = time.AfterFunc(heartbeatEvery, func() { _ = a.write([]byte(heartbeat)) })
	}
}

// send writes one message as an event. For a client that accepts no events it does
// nothing.
func (a *reply) send(message []byte) error {
	if !a.events {
		return nil
	}
	return a.write(event(message))
}

// event returns a message in the form of a server-sent event.
func event(message []byte) []byte {
	return slices.Concat([]byte("event: message\ndata: "), message, []byte("\n\n"))
}

// write writes a piece of the stream, which it begins if need be.
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
		h.Set("X-Accel-Buffering", "no") // for nginx
		a.w.WriteHeader(http.StatusOK)
	}
	_, err := a.w.Write(piece)
	if err == nil {
		err = a.control.Flush()
	}
	if err != nil {
		a.over = true
		if a.onGone != nil {
			a.onGone()
		}
	}
	if a.beat != nil && !a.over {
		a.beat.Reset(heartbeatEvery)
	}
	return err
}

// end writes the answer, unless it is nil, and ends the reply. status is the HTTP
// status of an answer as JSON; that of a stream was sent with its beginning.
func (a *reply) end(status int, answer any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.beat != nil {
		a.beat.Stop()
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
