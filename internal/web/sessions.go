// This file handles the sessions of clients up to 2025-11-25: their owners, the
// cancellation of their calls, and their notification streams.

package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"pixazo-mcp/internal/identity"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/wire"
	"pixazo-mcp/pixazo"
)

const (
	knownFor         = 10 * time.Second // how long a session is answered from the cache
	maxKnown         = 10_000           // sessions in the cache
	seenEvery        = time.Hour        // how often it is written that a session is in use
	maxSubscriptions = 100              // of one session
	updateAgain      = time.Second      // before a stream reads its session again when the journal has failed
	tokenEvery       = 15 * time.Second // how often the token of an open stream is checked again
)

// The first words of the signals between replicas.
const (
	signalCancel = "cancel"  // + callKey: cancel the call
	signalChange = "session" // + Session.ID: its subscriptions changed, or it has ended
	signalStream = "stream"  // + Session.ID and stream name: end the older streams of the session
)

// knownSession is a session in the cache.
type knownSession struct {
	session journal.Session
	at      time.Time // when it was read
}

// stream is an open notification stream.
type stream struct {
	request *http.Request // that opened it
	owner   string
	session string // Session.ID; "" since 2026-07-28
	name    string
	end     func()
	check   *time.Timer   // calls checkToken; set by addStream
	changed chan struct{} // has an element after a change of the session
}

// hash returns the form in which an id is stored, with which a reader of the
// database can't make the id.
func hash(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}

// callKey returns the name that all replicas give a call. It is made from the
// session, which belongs to one user, so that nobody else can name the call.
func callKey(session, id string) string { return hash(session + " " + id) }

// session returns the session that a request names. If there is none of the user's,
// its error is a 404, after which a client begins a new one. It also refuses a version of
// the protocol that is not known.
func (s *Server) session(r *http.Request) (*journal.Session, error) {
	if version := r.Header.Get(mcp.HeaderProtocolVersion); version != "" && !mcp.IsValidProtocolVersion(version) {
		return nil, refused(http.StatusBadRequest, unknownVersion())
	}
	given := r.Header.Get(mcp.HeaderSessionID)
	if given == "" {
		return nil, refused(http.StatusBadRequest, "the header Mcp-Session-Id is missing")
	}
	session, err := s.findSession(r.Context(), hash(given), true)
	switch {
	case err != nil:
		return nil, s.retryLater(r, "the session can't be looked up", err)
	case session == nil || session.Owner != journal.Owner(r.Context()):
		return nil, refused(http.StatusNotFound, "there is no such session; begin one with initialize")
	}
	return session, nil
}

// retryLater returns the refusal of a request that failed because of err, and may
// succeed later. It logs err unless the client has left, which may be its cause.
func (s *Server) retryLater(r *http.Request, what string, err error) error {
	if r.Context().Err() == nil {
		s.log.Warn(what, "error", err)
	}
	return unavailable(what + " at the moment")
}

// findSession returns a session, nil if there is none. With cached, one that was read in the
// last 10 seconds is not read again, since replicas signal changes to each other, and an
// older one counts while the journal can't be read.
func (s *Server) findSession(ctx context.Context, id string, cached bool) (*journal.Session, error) {
	s.mu.Lock()
	known, ok := s.known[id]
	s.mu.Unlock()
	if ok && cached && time.Since(known.at) < knownFor {
		return &known.session, nil
	}
	session, err := s.o.Sessions.FindSession(ctx, id)
	switch {
	case err != nil && ok && cached && ctx.Err() == nil:
		return &known.session, nil
	case err != nil:
		return nil, err
	case session != nil && time.Since(session.SeenAt) > seenEvery:
		if err := s.o.Sessions.UseSession(ctx, id); err != nil { // it is tried again with a later request
			s.log.Debug("the use of a session could not be written", "error", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= maxKnown {
		clear(s.known)
	}
	if delete(s.known, id); session != nil {
		s.known[id] = knownSession{*session, time.Now()}
	}
	return session, nil
}

// announceChange signals all replicas that a session has changed, or ended.
func (s *Server) announceChange(ctx context.Context, id string) error {
	s.mu.Lock()
	delete(s.known, id)
	s.mu.Unlock()
	return s.o.Sessions.Signal(ctx, signalChange+" "+id)
}

// delete ends a session.
func (s *Server) delete(w http.ResponseWriter, r *http.Request) error {
	session, err := s.session(r)
	if err != nil {
		return err
	}
	ended, err := s.o.Sessions.EndSession(r.Context(), session.ID)
	if err == nil {
		err = s.announceChange(r.Context(), session.ID)
	}
	switch {
	case err != nil:
		return s.retryLater(r, "the session can't be ended", err)
	case !ended:
		return refused(http.StatusNotFound, "there is no such session")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// checkSubscribe returns a wire.Subscribe that only checks whether session may
// subscribe to uri. The notifications are sent on the stream of the session, which
// may be open at another replica.
func (s *Server) checkSubscribe(session *journal.Session) wire.Subscribe {
	return func(ctx context.Context, uri string, updated func()) (func(), error) {
		switch {
		case session == nil:
			return nil, errors.New("subscriptions need a session, which initialize begins")
		case s.o.Subscribe == nil:
			return nil, errors.New("there is nothing to subscribe to")
		case len(session.Subscriptions) >= maxSubscriptions:
			return nil, errors.New("too many subscriptions in one session")
		}
		stop, err := s.o.Subscribe(ctx, uri, updated)
		if err == nil {
			stop()
		}
		return func() {}, err
	}
}

// get sends the notifications of a session until the client leaves. A new stream of
// a session ends its older ones, so that nothing is sent twice.
func (s *Server) get(w http.ResponseWriter, r *http.Request) error {
	a := newReply(w, r)
	if !a.events {
		return refused(http.StatusNotAcceptable, "the client must accept text/event-stream")
	}
	session, err := s.session(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	st := &stream{request: r, owner: session.Owner, session: session.ID, name: rand.Text(), end: cancel, changed: make(chan struct{}, 1)}
	if err := s.addStream(st); err != nil {
		return err
	}
	defer s.removeStream(st)
	err = s.o.Sessions.Signal(ctx, signalStream+" "+st.session+" "+st.name)
	var open *wire.Session
	if err == nil {
		open, err = wire.Open(ctx, s.srv, st.name, a.send, s.o.Options)
	}
	if err != nil {
		return s.retryLater(r, "no notifications can be sent", err)
	}
	defer open.Close()
	defer open.Stop()
	a.startHeartbeat()
	defer a.end(http.StatusOK, nil)
	first := heartbeat // so that the client sees at once that the stream is open
	if r.Header.Get(mcp.HeaderProtocolVersion) >= mcp.LATEST_LEGACY_PROTOCOL_VERSION {
		// The Go SDK closes its session after six streams that ended without an id.
		first = "id: " + st.name + "\ndata:\n\n"
	}
	if a.write([]byte(first)) != nil {
		return nil
	}
	for {
		session, err := s.findSession(ctx, st.session, false)
		if err == nil && session == nil {
			return nil
		}
		if err == nil {
			err = s.updateSubscriptions(open, session.Subscriptions)
		}
		var again <-chan time.Time
		if err != nil {
			again = time.After(updateAgain)
		}
		select {
		case <-st.changed:
		case <-again:
		case <-open.Broken():
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// updateSubscriptions makes uris the subscriptions of an open session. It returns the
// error if the journal can't be read; then the rest is still to be done.
func (s *Server) updateSubscriptions(open *wire.Session, uris []string) error {
	for _, uri := range open.SubscribedResources() {
		if !slices.Contains(uris, uri) {
			open.UnsubscribeFromResource(uri)
		}
	}
	for _, uri := range uris {
		err := open.SubscribeToResourceErr(uri)
		if pixazo.IsCode(err, pixazo.JournalUnavailable) {
			return err
		}
		if err != nil {
			s.log.Debug("not subscribed", "error", err)
		}
	}
	return nil
}

// addStream adds a stream unless its owner has too many, or Drain was called.
func (s *Server) addStream(st *stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for other := range s.streams {
		if other.owner == st.owner {
			n++
		}
	}
	if s.draining || n >= maxStreams {
		return unavailable("too many streams at once")
	}
	s.streams[st] = struct{}{}
	st.check = time.AfterFunc(tokenEvery, func() { s.checkToken(st) })
	return nil
}

// checkToken ends a stream if its token is not accepted any more: it has expired, or its
// user was removed. Otherwise the token is checked again later.
func (s *Server) checkToken(st *stream) {
	user, err := s.o.Identity.Identify(st.request)
	refusal, ok := errors.AsType[*identity.Refusal](err)
	if ok && refusal.Status == http.StatusUnauthorized || err == nil && user.Owner != st.owner {
		st.end()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, open := s.streams[st]; open {
		st.check.Reset(tokenEvery)
	}
}

// removeStream removes a stream that has ended.
func (s *Server) removeStream(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, st)
	st.check.Stop()
}

// cancel cancels a call of a session, at this replica or another one.
func (s *Server) cancel(ctx context.Context, key string) error {
	if !s.cancelHere(key) && s.o.Sessions.Signal(ctx, signalCancel+" "+key) != nil {
		return unavailable("the call can't be cancelled at the moment")
	}
	return nil
}

// cancelHere cancels a call of this replica, and reports whether there is one.
func (s *Server) cancelHere(key string) bool {
	cancel, ok := s.calls.Load(key)
	if ok {
		(*cancel.(*func()))()
	}
	return ok
}

// Signalled handles a text that a replica, this one included, passed to
// Sessions.Signal. "" says that some may have been lost.
func (s *Server) Signalled(text string) {
	word, rest, _ := strings.Cut(text, " ")
	if word == signalCancel {
		s.cancelHere(rest)
		return
	}
	id, name, _ := strings.Cut(rest, " ")
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.known, id); word == "" {
		clear(s.known)
	}
	for st := range s.streams {
		switch {
		case word != "" && st.session != id, word == signalStream && st.name == name:
		case word == signalStream:
			st.end()
		default:
			select {
			case st.changed <- struct{}{}:
			default: // it is about to read its session, or has none
			}
		}
	}
}
