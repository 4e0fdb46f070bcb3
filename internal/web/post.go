// This file handles the messages of clients, and counts and logs what was answered.

package web

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/identity"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/internal/wire"
	"pixazo-mcp/pixazo"
)

// request is a message of a client.
type request struct {
	wire.Message
	user    identity.User
	session *journal.Session // nil for none
	modern  bool             // version 2026-07-28 of the protocol or later
	tool    string           // name of the tool that it calls, "" for none
	uri     string           // parameter uri, "" for none
}

// post handles one message.
func (s *Server) post(w http.ResponseWriter, r *http.Request, user identity.User) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return refused(http.StatusUnsupportedMediaType, "the content type must be application/json")
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return refused(http.StatusUnsupportedMediaType, "the body must not be compressed")
	}
	a := newReply(w, r)
	if !a.json && !a.events {
		return refused(http.StatusNotAcceptable, "the client must accept application/json and text/event-stream")
	}
	body, release, err := s.body(w, r)
	if err != nil {
		return err
	}
	defer release()
	if countValues(body) > maxValues {
		return refused(http.StatusRequestEntityTooLarge, fmt.Sprintf("the message has more than %d values", maxValues))
	}
	m, wrong := wire.Read(body)
	q := &request{Message: m, user: user}
	if wrong == nil {
		wrong = q.decode(r.Header)
	}
	if wrong != nil {
		wrong.Error.Message = s.o.Clean(wrong.Error.Message, wire.MaxError)
		a.end(http.StatusBadRequest, *wrong)
		return nil
	}
	if r.Header.Get(mcp.HeaderSessionID) != "" && !q.modern && m.Method != string(mcp.MethodInitialize) {
		if q.session, err = s.session(r); err != nil {
			return err
		}
	}
	switch {
	case m.Method == string(mcp.MethodNotificationCancelled) && q.session != nil:
		if err := s.cancel(r.Context(), callKey(q.session.ID, m.Cancelled())); err != nil {
			return err
		}
		w.WriteHeader(http.StatusAccepted)
	case m.Method == "" || m.ID == "": // an answer, or a notification of which nothing follows
		w.WriteHeader(http.StatusAccepted)
	case m.Method == string(mcp.MethodSubscriptionsListen) && !a.events:
		return refused(http.StatusNotAcceptable, "a stream of notifications needs a client that accepts text/event-stream")
	default:
		if err := s.o.Identity.Allows(user, q.tool); err != nil {
			return err
		}
		return s.call(r, a, q)
	}
	return nil
}

// body reads the body of a request, within the limits MaxBody and maxBodies. The
// caller calls release when it no longer uses the body.
func (s *Server) body(w http.ResponseWriter, r *http.Request) (body []byte, release func(), err error) {
	size := r.ContentLength
	if size < 0 {
		size = s.o.MaxBody
	}
	tooLarge := refused(http.StatusRequestEntityTooLarge, fmt.Sprintf("the message is longer than %d bytes (--max-body); give large files as URLs", s.o.MaxBody))
	if size > s.o.MaxBody {
		return nil, nil, tooLarge
	}
	owner, held := journal.Owner(r.Context()), counted(size)
	if !s.hold(owner, held) {
		return nil, nil, unavailable("too many large messages at once")
	}
	release = func() { s.hold(owner, -held) }
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, s.o.MaxBody))
	if err != nil { // the deadline stays: net/http reads the rest of the body before it answers
		release()
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return nil, nil, tooLarge
		}
		return nil, nil, refused(http.StatusBadRequest, "the message was cut off")
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // would end a long call
	taken := counted(int64(len(body)))
	s.hold(owner, taken-held)
	held = taken
	return body, release, nil
}

// hold adds n bytes to those of bodies, which it counts by owner, and returns true. If n
// is above zero and there is no room for it, it only returns false. One of several users
// has half of the room, so that slow or many bodies of theirs don't keep out the others.
func (s *Server) hold(owner string, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := int64(maxBodies)
	if !s.local {
		most = max(most/2, s.o.MaxBody)
	}
	if n > 0 && (s.bodies+n > maxBodies || s.bodiesOf[owner]+n > most) {
		return false
	}
	s.bodies += n
	if s.bodiesOf[owner] += n; s.bodiesOf[owner] == 0 {
		delete(s.bodiesOf, owner)
	}
	return true
}

// counted returns how many bytes of a body count towards maxBodies. A small body does
// not count, so that ordinary calls go on while large bodies come slowly.
func counted(size int64) int64 {
	if size <= smallBody {
		return 0
	}
	return size
}

// countValues returns about how many values are in a JSON text. Decoded, a value
// takes far more memory than the single character that it may be in the text.
func countValues(raw []byte) (n int) {
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

// decode sets the era of a message and the tool or resource that it names. If the
// headers break the rules of the era, it returns the error to answer with, else nil.
func (q *request) decode(h http.Header) *mcp.JSONRPCError {
	var params struct {
		Meta *mcp.Meta `json:"_meta"`
		Name string    `json:"name"`
		URI  string    `json:"uri"`
	}
	q.Params(&params)
	q.uri = params.URI
	if q.Method == string(mcp.MethodToolsCall) {
		q.tool = params.Name
	}
	header, meta := h.Get(mcp.HeaderProtocolVersion), params.Meta.ProtocolVersion()
	q.modern = mcp.IsModernProtocol(header) || mcp.IsModernProtocol(meta)
	refuse := func(code int, why string) *mcp.JSONRPCError {
		return new(q.Refusal(code, why))
	}
	known := mcp.IsValidProtocolVersion(header)
	switch {
	case !q.modern && header != "" && !known && q.Method != string(mcp.MethodInitialize):
		return refuse(mcp.INVALID_REQUEST, unknownVersion())
	case !q.modern:
		return nil
	case q.Method == "":
		return refuse(mcp.INVALID_REQUEST, "a server asks nothing since 2026-07-28")
	case header == "":
		return refuse(mcp.HEADER_MISMATCH, "the header Mcp-Protocol-Version is missing")
	case q.ID == "":
		return nil // a notification needs no version in _meta
	case meta == "":
		return refuse(mcp.INVALID_PARAMS, "_meta must have "+mcp.MetaKeyProtocolVersion)
	case header != meta:
		return refuse(mcp.HEADER_MISMATCH, "the header Mcp-Protocol-Version is another version than that in _meta")
	case !known:
		e := mcp.UnsupportedProtocolVersionError{Version: header, Supported: mcp.ValidProtocolVersions}.JSONRPCError()
		e.ID = mcp.NewRequestId(json.RawMessage(q.ID))
		return &e
	}
	var raw json.RawMessage
	q.Params(&raw)
	if err := mcp.ValidateStandardHeaders(h.Get, header, mcp.MCPMethod(q.Method), raw); err != nil {
		return refuse(mcp.HEADER_MISMATCH, err.Error())
	}
	return nil
}

func unknownVersion() string {
	return fmt.Sprint("this version of the protocol is not known; ", mcp.ValidProtocolVersions, " are")
}

// call handles q, the message of r, and writes the answer to a. Its error is a refusal
// for which nothing was written yet.
func (s *Server) call(r *http.Request, a *reply, q *request) error {
	ctx, begun, o := r.Context(), time.Now(), s.o.Options
	if q.modern { // the client cancels a call by closing the connection
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		a.onGone = cancel
	} else { // a closed connection does not cancel
		ctx = context.WithoutCancel(ctx)
		o.Subscribe = s.checkSubscribe(q.session)
	}
	session := wire.New(ctx, s.srv, rand.Text(), a.send, o)
	switch {
	case q.session != nil:
		key, cancel := callKey(q.session.ID, q.ID), func() { session.Cancel(q.ID) }
		s.calls.Store(key, &cancel)
		defer s.calls.CompareAndDelete(key, &cancel) // unless the client has begun another call of the same id
	case q.modern && q.Method == string(mcp.MethodSubscriptionsListen):
		st := &stream{request: r, owner: q.user.Owner, end: session.Stop}
		if err := s.addStream(st); err != nil {
			return err
		}
		defer s.removeStream(st)
	case q.Method == string(mcp.MethodInitialize):
		a.events = a.events && !a.json // a header has the session's id, so nothing may be written before the answer
	}
	if q.tool != "" {
		open := s.counter("pixazo_mcp_calls_open{tool=%q}", s.label(q.tool))
		open.Inc()
		defer open.Dec()
	}
	a.startHeartbeat()
	answer := session.Do(ctx, q.Message)
	if _, ok := answer.(mcp.JSONRPCResponse); ok && !q.modern {
		if err := s.saveSession(ctx, a, q); err != nil {
			s.log.Warn("a session could not be changed", "error", err)
			answer = q.Refusal(mcp.INTERNAL_ERROR, "the session could not be changed; try again")
		}
	}
	a.end(status(answer, q.modern), answer)
	s.record(q, answer, time.Since(begun))
	return nil
}

// saveSession stores the session that initialize begins, and puts its id into the
// answer's headers. If it can't be stored, the client has none, and can do all but cancel
// calls and subscribe. It also stores what a request changes in the subscriptions of a
// session. For other requests it does nothing.
func (s *Server) saveSession(ctx context.Context, a *reply, q *request) error {
	method := mcp.MCPMethod(q.Method)
	switch {
	case method == mcp.MethodInitialize:
		id := rand.Text()
		if err := s.o.Sessions.OpenSession(ctx, journal.Session{ID: hash(id), Owner: q.user.Owner}); err != nil {
			s.log.Warn("a client has no session, since that could not be written", "error", err)
			return nil
		}
		a.w.Header().Set(mcp.HeaderSessionID, id)
		s.counter("pixazo_mcp_sessions_opened_total").Inc()
	case q.session != nil && (method == mcp.MethodResourcesSubscribe || method == mcp.MethodResourcesUnsubscribe):
		if err := s.o.Sessions.Subscribe(ctx, q.session.ID, q.uri, method == mcp.MethodResourcesSubscribe); err != nil {
			return err
		}
		return s.announceChange(ctx, q.session.ID)
	}
	return nil
}

// status returns the HTTP status of an answer. Version 2026-07-28 of the protocol
// has a status for more of the errors.
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

func (s *Server) counter(format string, labels ...any) *metrics.Counter {
	return s.o.Metrics.GetOrCreateCounter(fmt.Sprintf(format, labels...))
}

// label returns the name of a tool for a metric, "unknown" if there is no such tool,
// so that clients can't create metrics.
func (s *Server) label(tool string) string {
	if s.srv.GetTool(tool) == nil {
		return "unknown"
	}
	return tool
}

// record counts and logs a request that was answered.
func (s *Server) record(q *request, answer mcp.JSONRPCMessage, took time.Duration) {
	outcome, level := outcomeOf(answer), slog.LevelDebug
	if q.tool != "" {
		level = slog.LevelInfo
		s.counter("pixazo_mcp_calls_total{tool=%q,outcome=%q}", s.label(q.tool), outcome).Inc()
	}
	s.log.Log(context.Background(), level, "answered", "method", s.o.Clean(q.Method, 50), "tool", s.o.Clean(q.tool, 50), "user", text.Clean(q.user.Name, 50), "owner", q.user.Owner, "outcome", outcome, "took", took.Round(time.Millisecond))
}

// outcomeOf returns "ok", "cancelled" or "refused" (a JSON-RPC error). For a tool
// that failed it returns the code of the error, "failed" if that has none.
func outcomeOf(answer mcp.JSONRPCMessage) string {
	switch a := answer.(type) {
	case nil:
		return "cancelled"
	case mcp.JSONRPCError:
		return "refused"
	case mcp.JSONRPCResponse:
		result, ok := a.Result.(*mcp.CallToolResult)
		if !ok || !result.IsError {
			return "ok"
		}
		for _, content := range result.Content {
			code, _, _ := strings.Cut(mcp.GetTextFromContent(content), ":")
			if pixazo.Code(code).Info().Meaning != "" {
				return code
			}
		}
	}
	return "failed"
}
