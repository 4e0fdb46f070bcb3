// This file keeps the sessions of clients up to 2025-11-25: who they belong to,
// which of their calls are in flight, and their streams of news.

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

	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/wire"
)

const (
	knownFor         = 10 * time.Second // a session is not read again for each request
	maxKnown         = 10_000
	seenEvery        = time.Hour // how often it is written that a session is in use
	maxSubscriptions = 100       // of one session
)

// The words that replicas signal each other.
const (
	signalCancel = "cancel"  // with the key of a call
	signalChange = "session" // with an id: its subscriptions changed, or it has ended
	signalStream = "stream"  // with an id and the name of its newest stream
)

// knownSession is a session as it was read.
type knownSession struct {
	session journal.Session
	at      time.Time
}

// stream is a stream of news.
type stream struct {
	owner   string
	session string // hash of its id; "" since 2026-07-28
	name    string
	end     func()
	changed chan struct{} // holds an element when the session was changed
}

// hash returns the form in which an id is kept, so that nobody who reads the
// database can use it.
func hash(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}

// callKey returns the name that all replicas give a call. It is made from the
// session, which belongs to one user, so that nobody else can name the call.
func callKey(session, id string) string { return hash(session + " " + id) }

// session returns the session that a request names: 404 makes a client begin a new
// one.
func (s *Server) session(r *http.Request) (*journal.Session, error) {
	given := r.Header.Get(mcp.HeaderSessionID)
	if given == "" {
		return nil, refused(http.StatusBadRequest, "the header Mcp-Session-Id is missing")
	}
	session, err := s.find(r.Context(), hash(given), true)
	switch {
	case err != nil:
		return nil, s.failed(r, "the session can't be looked up", err)
	case session == nil || session.Owner != journal.Owner(r.Context()):
		return nil, refused(http.StatusNotFound, "there is no such session; begin one with initialize")
	}
	return session, nil
}

// failed returns the refusal of a request that may succeed later, and logs why,
// unless its client has left, which ends what is done for it.
func (s *Server) failed(r *http.Request, what string, err error) error {
	if r.Context().Err() == nil {
		s.log.Warn(what, "error", err)
	}
	return unavailable(what + " at the moment")
}

// find returns a session, nil if there is none. With cached, one that was read in
// the last 10 seconds is not read again: changes are signalled.
func (s *Server) find(ctx context.Context, id string, cached bool) (*journal.Session, error) {
	s.mu.Lock()
	known, ok := s.known[id]
	s.mu.Unlock()
	if ok && cached && time.Since(known.at) < knownFor {
		return &known.session, nil
	}
	session, err := s.o.Sessions.FindSession(ctx, id)
	if err != nil || session == nil {
		s.drop(id)
		return nil, err
	}
	if time.Since(session.SeenAt) > seenEvery {
		if err := s.o.Sessions.UseSession(ctx, id); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= maxKnown {
		clear(s.known)
	}
	s.known[id] = knownSession{*session, time.Now()}
	return session, nil
}

// drop takes a session out of the cache.
func (s *Server) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, id)
}

// changed tells all replicas that a session has changed, or ended.
func (s *Server) changed(ctx context.Context, id string) error {
	s.drop(id)
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
		err = s.changed(r.Context(), session.ID)
	}
	switch {
	case err != nil:
		return s.failed(r, "the session can't be ended", err)
	case !ended:
		return refused(http.StatusNotFound, "there is no such session")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// check returns a Subscribe that only looks whether session may subscribe: the
// news come on its stream, which may be another replica's.
func (s *Server) check(session *journal.Session) wire.Subscribe {
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

// get sends the news of a session until the client leaves. The newest stream of
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
	st := &stream{owner: session.Owner, session: session.ID, name: rand.Text(), end: cancel, changed: make(chan struct{}, 1)}
	if err := s.begin(st); err != nil {
		return err
	}
	defer s.forget(st)
	err = s.o.Sessions.Signal(ctx, signalStream+" "+st.session+" "+st.name)
	var news *wire.Session
	if err == nil {
		news, err = wire.Open(ctx, s.srv, st.name, a.send, wire.Options{Subscribe: s.o.Subscribe, Logger: s.log})
	}
	if err != nil {
		return s.failed(r, "no news can be told", err)
	}
	defer news.Close()
	defer news.Stop()
	a.watch()
	defer a.end(http.StatusOK, nil)
	first := comment // so that the client knows that it is heard
	if r.Header.Get(mcp.HeaderProtocolVersion) >= mcp.LATEST_LEGACY_PROTOCOL_VERSION {
		// The Go SDK gives its session up after six streams that ended without an id.
		first = "id: " + st.name + "\ndata:\n\n"
	}
	if a.write([]byte(first)) != nil {
		return nil
	}
	for s.follow(ctx, news, st.session) {
		select {
		case <-st.changed:
		case <-news.Broken():
			return nil
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// follow subscribes to what the session wants to hear of. It returns false when
// the session has ended.
func (s *Server) follow(ctx context.Context, news *wire.Session, id string) bool {
	session, err := s.find(ctx, id, false)
	if err != nil {
		return true // it may be there again with the next change
	}
	if session == nil {
		return false
	}
	for _, uri := range news.SubscribedResources() {
		if !slices.Contains(session.Subscriptions, uri) {
			news.UnsubscribeFromResource(uri)
		}
	}
	for _, uri := range session.Subscriptions {
		if err := news.SubscribeToResourceErr(uri); err != nil {
			s.log.Debug("not subscribed", "error", err)
		}
	}
	return true
}

// begin adds a stream, unless its owner has too many, or Drain was called.
func (s *Server) begin(st *stream) error {
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
	return nil
}

// forget takes out a stream that has ended.
func (s *Server) forget(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, st)
}

// cancelled cancels a call of a session, here or on another replica.
func (s *Server) cancelled(ctx context.Context, key string) error {
	if !s.cancel(key) && s.o.Sessions.Signal(ctx, signalCancel+" "+key) != nil {
		return unavailable("the call can't be cancelled at the moment")
	}
	return nil
}

// cancel cancels a call of this replica, and reports whether there is one.
func (s *Server) cancel(key string) bool {
	cancel, ok := s.calls.Load(key)
	if ok {
		cancel.(func())()
	}
	return ok
}

// Signalled handles what a replica, this one included, gave to Sessions.Signal; ""
// when some of it may have been lost.
func (s *Server) Signalled(text string) {
	word, rest, _ := strings.Cut(text, " ")
	id, name, _ := strings.Cut(rest, " ")
	switch word {
	case "":
		s.mu.Lock()
		clear(s.known)
		s.mu.Unlock()
		s.followAgain(all)
	case signalCancel:
		s.cancel(rest)
	case signalChange:
		s.drop(id)
		s.followAgain(func(st *stream) bool { return st.session == id })
	case signalStream:
		for _, st := range s.streamsOf(func(st *stream) bool { return st.session == id && st.name != name }) {
			st.end()
		}
	}
}

// followAgain has streams read the subscriptions of their sessions again.
func (s *Server) followAgain(which func(*stream) bool) {
	for _, st := range s.streamsOf(which) {
		select {
		case st.changed <- struct{}{}:
		default: // it will look, or has no session
		}
	}
}

// all makes streamsOf return every stream.
func all(*stream) bool { return true }

// streamsOf returns the streams for which wanted returns true.
func (s *Server) streamsOf(wanted func(*stream) bool) (found []*stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.streams {
		if wanted(st) {
			found = append(found, st)
		}
	}
	return found
}
