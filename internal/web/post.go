// This file handles the messages of clients.

package web

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/identity"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/wire"
)

// request is a message of a client, with what its headers and params say.
type request struct {
	wire.Message
	user    identity.User
	session *journal.Session // nil for none
	modern  bool             // of 2026-07-28 or later
	params  json.RawMessage
	tool    string // that is called, "" for none
	uri     string // of the resource
}

// post handles one message.
func (s *Server) post(w http.ResponseWriter, r *http.Request, user identity.User) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		http.Error(w, "the content type must be application/json", http.StatusUnsupportedMediaType)
		return
	}
	a := newReply(w, r)
	if !a.json && !a.events {
		http.Error(w, "the client must accept application/json and text/event-stream", http.StatusNotAcceptable)
		return
	}
	body, release, ok := s.body(w, r)
	if !ok {
		return
	}
	defer release()
	if values(body) > maxValues {
		http.Error(w, fmt.Sprintf("the message has more than %d values", maxValues), http.StatusRequestEntityTooLarge)
		return
	}
	m, refused := wire.Read(body)
	if refused != nil {
		a.end(http.StatusBadRequest, *refused)
		return
	}
	q := &request{Message: m, user: user}
	if err := q.decode(r.Header); err != nil {
		a.end(http.StatusBadRequest, *err)
		return
	}
	if r.Header.Get(mcp.HeaderSessionID) != "" && !q.modern && m.Method != string(mcp.MethodInitialize) {
		if q.session = s.session(w, r); q.session == nil {
			return
		}
	}
	switch {
	case m.Method == string(mcp.MethodNotificationCancelled) && q.session != nil:
		s.cancelled(w, r, callKey(q.session.ID, m.Cancelled()))
	case m.Method == "" || m.ID == "": // an answer, or a notification that nothing of ours hears
		w.WriteHeader(http.StatusAccepted)
	case m.Method == string(mcp.MethodSubscriptionsListen) && !a.events:
		http.Error(w, "a stream of news needs a client that accepts text/event-stream", http.StatusNotAcceptable)
	default:
		if err := s.o.Identity.Allows(user, q.tool); err != nil {
			s.refuse(w, err)
			return
		}
		s.call(r.Context(), a, q)
	}
}

// body reads the body of a request, within MaxBody and maxBodies. If it can't, it
// answers why. The caller calls release when it no longer uses the body.
func (s *Server) body(w http.ResponseWriter, r *http.Request) (body []byte, release func(), ok bool) {
	size := r.ContentLength
	if size < 0 {
		size = s.o.MaxBody
	}
	tooLarge := func() {
		http.Error(w, fmt.Sprintf("the message is longer than %d bytes (--max-body); give large files as URLs", s.o.MaxBody), http.StatusRequestEntityTooLarge)
	}
	if size > s.o.MaxBody {
		tooLarge()
		return nil, nil, false
	}
	held := counted(size)
	if s.bodies.Add(held) > maxBodies && held > 0 {
		s.bodies.Add(-held)
		unavailable(w, "too many large messages at once")
		return nil, nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.o.MaxBody))
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // else it would cut off a wait
	if err != nil {
		s.bodies.Add(-held)
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			tooLarge()
		} else {
			http.Error(w, "the message was cut off", http.StatusBadRequest)
		}
		return nil, nil, false
	}
	taken := counted(int64(len(body)))
	s.bodies.Add(taken - held)
	return body, func() { s.bodies.Add(-taken) }, true
}

// counted returns how much of maxBodies a body takes: a small one nothing, since
// large ones that come slowly must not keep out everybody's calls.
func counted(size int64) int64 {
	if size <= smallBody {
		return 0
	}
	return size
}

// values returns about how many values are in a JSON text: each takes far more
// memory than the character that it may be.
func values(raw []byte) (n int) {
	quoted := false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == '[' || c == '{'):
			n++
		}
	}
	return n
}

// decode sets the era of a message and the tool or resource that it names. It
// returns the answer to one whose headers break the rules of its era.
func (q *request) decode(h http.Header) *mcp.JSONRPCError {
	var body struct {
		Params json.RawMessage `json:"params"`
	}
	var params struct {
		Meta *mcp.Meta `json:"_meta"`
		Name string    `json:"name"`
		URI  string    `json:"uri"`
	}
	_ = json.Unmarshal(q.Raw, &body)
	_ = json.Unmarshal(body.Params, &params) // mcp-go says what is wrong with it
	q.params, q.uri = body.Params, params.URI
	if q.Method == string(mcp.MethodToolsCall) {
		q.tool = params.Name
	}
	header, meta := h.Get(mcp.HeaderProtocolVersion), params.Meta.ProtocolVersion()
	q.modern = mcp.IsModernProtocol(header) || mcp.IsModernProtocol(meta)
	refuse := func(code int, why string) *mcp.JSONRPCError {
		e := mcp.NewJSONRPCError(mcp.NewRequestId(q.rawID()), code, why, nil)
		return &e
	}
	known := mcp.IsValidProtocolVersion(header)
	switch {
	case !q.modern && header != "" && !known && q.Method != string(mcp.MethodInitialize):
		return refuse(mcp.INVALID_REQUEST, "this version of the protocol is not known; "+fmt.Sprint(mcp.ValidProtocolVersions)+" are")
	case !q.modern:
		return nil
	case q.Method == "":
		return refuse(mcp.INVALID_REQUEST, "a server asks nothing since 2026-07-28")
	case header == "":
		return refuse(mcp.HEADER_MISMATCH, "the header Mcp-Protocol-Version is missing")
	case q.ID == "":
		return nil // notifications need not say it twice
	case meta == "":
		return refuse(mcp.INVALID_PARAMS, "_meta must have "+mcp.MetaKeyProtocolVersion)
	case header != meta:
		return refuse(mcp.HEADER_MISMATCH, "the header Mcp-Protocol-Version is another version than that in _meta")
	case !known:
		e := mcp.UnsupportedProtocolVersionError{Version: header, Supported: mcp.ValidProtocolVersions}.JSONRPCError()
		e.ID = mcp.NewRequestId(q.rawID())
		return &e
	}
	if err := mcp.ValidateStandardHeaders(h.Get, header, mcp.MCPMethod(q.Method), q.params); err != nil {
		return refuse(mcp.HEADER_MISMATCH, err.Error())
	}
	return nil
}

// rawID returns the id as the client wrote it: mcp-go's float64 changes those
// above 2^53.
func (q *request) rawID() any {
	if q.ID == "" {
		return nil
	}
	return json.RawMessage(q.ID)
}

// call handles a request.
func (s *Server) call(ctx context.Context, a *reply, q *request) {
	begun := time.Now()
	if q.modern { // closing the connection is how such a client cancels
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		a.gone = cancel
	} else { // and means nothing up to 2025-11-25
		ctx = context.WithoutCancel(ctx)
	}
	o := wire.Options{Subscribe: s.o.Subscribe, Logger: s.log}
	if !q.modern {
		o.Subscribe = s.check(q.session)
	}
	session := wire.New(ctx, s.srv, rand.Text(), a.send, o)
	switch {
	case q.session != nil:
		defer s.cancellable(callKey(q.session.ID, q.ID), inFlight{session, q.ID})()
	case q.modern && q.Method == string(mcp.MethodSubscriptionsListen):
		st := &stream{owner: q.user.Owner, end: session.Stop}
		if !s.begin(st) {
			unavailable(a.w, "too many streams at once")
			return
		}
		defer s.forget(st)
	case q.Method == string(mcp.MethodInitialize):
		a.events = a.events && !a.json // its session must be known before the first byte
	}
	defer s.begun(q)()
	a.watch()
	answer := session.Do(ctx, q.Message)
	if _, ok := answer.(mcp.JSONRPCResponse); ok && !q.modern {
		if err := s.keep(ctx, a, q); err != nil {
			s.log.Warn("a session could not be written", "error", err)
			answer = mcp.NewJSONRPCError(mcp.NewRequestId(q.rawID()), mcp.INTERNAL_ERROR, "the session could not be written; try again", nil)
		}
	}
	a.end(status(answer, q.modern), answer)
	s.note(q, answer, time.Since(begun))
}

// keep writes what a request has changed for the later ones of its session.
func (s *Server) keep(ctx context.Context, a *reply, q *request) error {
	switch mcp.MCPMethod(q.Method) {
	case mcp.MethodInitialize:
		return s.openSession(ctx, a.w.Header(), q.user.Owner)
	case mcp.MethodResourcesSubscribe, mcp.MethodResourcesUnsubscribe:
		if q.session != nil {
			return s.subscribe(ctx, q.session.ID, q.uri, mcp.MCPMethod(q.Method) == mcp.MethodResourcesSubscribe)
		}
	}
	return nil
}

// status returns the HTTP status of an answer. Since 2026-07-28 errors have some
// of their own, for proxies.
func status(answer mcp.JSONRPCMessage, modern bool) int {
	e, failed := answer.(mcp.JSONRPCError)
	if !failed {
		return http.StatusOK
	}
	switch e.Error.Code {
	case mcp.PARSE_ERROR, mcp.INVALID_REQUEST:
		return http.StatusBadRequest
	case mcp.METHOD_NOT_FOUND:
		if modern {
			return http.StatusNotFound
		}
	case mcp.INVALID_PARAMS, mcp.HEADER_MISMATCH, mcp.MISSING_REQUIRED_CLIENT_CAPABILITY, mcp.UNSUPPORTED_PROTOCOL_VERSION:
		if modern {
			return http.StatusBadRequest
		}
	}
	return http.StatusOK
}
