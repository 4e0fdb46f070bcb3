// Package web serves an mcp-go server over Streamable HTTP, to clients of both
// eras of the protocol: versions up to 2025-11-25 have sessions, those since
// 2026-07-28 have none. It also receives the gateway's callbacks.
//
// mcp-go's own HTTP server loses progress, lets clients cancel each other's
// calls, and keeps its sessions in one process. So this package uses only its
// HandleMessage, through internal/wire.
package web

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
	"golang.org/x/time/rate"

	"pixazo-mcp/internal/identity"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/wire"
	"pixazo-mcp/pixazo"
)

const (
	maxBodies   = 64 << 20 // bytes of all bodies being handled, without the small ones
	smallBody   = 64 << 10
	maxValues   = 10_000      // JSON values in a body
	bodyTime    = time.Minute // the longest time for a body to come
	maxLimiters = 10_000      // users whose rate is remembered
	maxStreams  = 50          // notification streams of one user at once
	readyTime   = 3 * time.Second
	retryAfter  = "2" // seconds
)

// Identity authenticates callers, as *identity.Verifier does. Its errors are
// *identity.Refusal.
type Identity interface {
	Identify(*http.Request) (identity.User, error)
	Allows(u identity.User, tool string) error
	Metadata() http.Handler
}

// Sessions stores the sessions of clients up to 2025-11-25 for all replicas, as
// *journal.Journal does. FindSession returns nil when there is none of that id.
type Sessions interface {
	OpenSession(context.Context, journal.Session) error
	FindSession(ctx context.Context, id string) (*journal.Session, error)
	UseSession(ctx context.Context, id string) error
	Subscribe(ctx context.Context, id, uri string, wanted bool) error
	EndSession(ctx context.Context, id string) (bool, error)
	Signal(ctx context.Context, text string) error // calls Server.Signalled of every replica
}

// Options configure a Server. A nil handler's address is not served.
type Options struct {
	wire.Options // of all sessions; Subscribe begins a subscription of the owner in its ctx

	PublicURL string   // as users type it; MCP is served at its path, and at /mcp
	Identity  Identity // nil for no authentication; the server then answers as localhost alone
	Sessions  Sessions

	AllowedOrigins []string // of pages in browsers that may call
	CallsPerMinute int      // of one user; 0 means any number
	MaxBody        int64    // bytes

	WebhookSecret []byte // as given to CallbackURL; without one no callbacks are received
	// Callback is called when the gateway has sent requestID to the callback address
	// of nonce. After an error the gateway is asked to deliver the callback again.
	Callback func(ctx context.Context, nonce, requestID string) error

	Videos     http.Handler // below /videos/
	Usage      http.Handler // at /usage
	UsageToken string       // the bearer token that Usage needs

	Ready   func(context.Context) error // returns why the server can't work; nil means that it can
	Metrics *metrics.Set                // nil means none
}

// Server is the HTTP handler of all addresses but /metrics.
type Server struct {
	srv *server.MCPServer
	o   Options
	log *slog.Logger
	mux *http.ServeMux

	local   bool        // no authentication: for this computer alone
	leaving atomic.Bool // Leave was called

	open  *metrics.Counter // MCP requests under way
	calls sync.Map         // by callKey: a pointer to the function that cancels the call

	mu       sync.Mutex
	bodies   int64            // bytes that count towards maxBodies
	bodiesOf map[string]int64 // of these, by owner
	draining bool             // Drain was called
	streams  map[*stream]struct{}
	known    map[string]knownSession  // by Session.ID
	limiters map[string]*rate.Limiter // by owner
}

// New returns a server of srv.
func New(srv *server.MCPServer, o Options) *Server {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	o.Metrics = cmp.Or(o.Metrics, metrics.NewSet())
	s := &Server{
		srv: srv, o: o, log: o.Logger, mux: http.NewServeMux(), open: o.Metrics.NewCounter("pixazo_mcp_requests_open"),
		bodiesOf: map[string]int64{}, streams: map[*stream]struct{}{}, known: map[string]knownSession{}, limiters: map[string]*rate.Limiter{},
	}
	const prm = "/.well-known/oauth-protected-resource"
	path := "/mcp"
	s.mux.HandleFunc(path, s.handler(s.mcp))
	if u, err := url.Parse(o.PublicURL); err == nil && u.Host != "" && u.Path != path {
		path = u.Path
		s.mux.HandleFunc(cmp.Or(path, "/{$}"), s.handler(s.mcp))
	}
	if s.local = o.Identity == nil; s.local {
		s.o.Identity = (*identity.Verifier)(nil) // allows everybody
	}
	metadata := s.o.Identity.Metadata()
	s.mux.Handle(prm, metadata)
	if path != "" {
		s.mux.Handle(prm+path, metadata)
	}
	if len(o.WebhookSecret) > 0 {
		s.mux.HandleFunc("POST "+webhookPath+"{token}", s.handler(s.webhook))
	}
	if o.Videos != nil {
		s.mux.HandleFunc("/videos/", func(w http.ResponseWriter, r *http.Request) {
			w.(*response).each = videoTime
			o.Videos.ServeHTTP(w, r)
		})
	}
	if o.UsageToken != "" {
		s.mux.HandleFunc("GET /usage", s.handler(s.usage))
	}
	s.mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	s.mux.HandleFunc("GET /readyz", s.handler(s.ready))
	gauge := func(name string, value func() float64) {
		o.Metrics.NewGauge(name, func() float64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			return value()
		})
	}
	gauge("pixazo_mcp_streams_open", func() float64 { return float64(len(s.streams)) })
	gauge("pixazo_mcp_bodies_bytes", func() float64 { return float64(s.bodies) })
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := &response{ResponseWriter: w, control: http.NewResponseController(w), each: writeTime}
	if s.leaving.Load() {
		w.Header().Set("Connection", "close")
	}
	if r.ContentLength != 0 { // net/http reads the body even if no handler does
		_ = out.control.SetReadDeadline(time.Now().Add(bodyTime)) // httptest's recorder has no deadlines
	}
	s.mux.ServeHTTP(out, r)
	out.limit() // net/http has yet to write the end of the answer
	s.counter("pixazo_http_requests_total{route=%q,code=%q}", r.Pattern, fmt.Sprint(cmp.Or(out.status, http.StatusOK))).Inc()
}

// handler returns an http.HandlerFunc that calls h, and turns an error of h into an
// answer: an *identity.Refusal as it says, any other error into 503.
func (s *Server) handler(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		refusal, ok := errors.AsType[*identity.Refusal](err)
		if !ok {
			s.log.Error("a caller could not be identified", "error", err)
			refusal = unavailable("it can't be checked who you are at the moment")
		}
		if refusal.Challenge != "" {
			w.Header().Set("WWW-Authenticate", refusal.Challenge)
		}
		if refusal.Status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", retryAfter)
		}
		http.Error(w, refusal.Message, refusal.Status)
	}
}

func refused(status int, why string) *identity.Refusal {
	return &identity.Refusal{Status: status, Message: why}
}

// unavailable returns the refusal of a request that may succeed later.
func unavailable(why string) *identity.Refusal { return refused(http.StatusServiceUnavailable, why) }

// mcp serves the MCP endpoint.
func (s *Server) mcp(w http.ResponseWriter, r *http.Request) error {
	if err := s.origin(w, r); err != nil {
		return err
	}
	allowed := []string{http.MethodPost, http.MethodGet, http.MethodDelete, http.MethodOptions}
	if mcp.IsModernProtocol(r.Header.Get(mcp.HeaderProtocolVersion)) {
		allowed = []string{http.MethodPost, http.MethodOptions}
	}
	known := slices.Contains(allowed, r.Method)
	if !known || r.Method == http.MethodOptions {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		if !known {
			return refused(http.StatusMethodNotAllowed, r.Method+" is not allowed here")
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	user, err := s.o.Identity.Identify(r)
	if err == nil {
		err = s.limitRate(w, user.Owner)
	}
	if err != nil {
		return err
	}
	if !s.enter() {
		return unavailable("the server is shutting down")
	}
	defer s.open.Dec()
	r = r.WithContext(journal.WithOwner(r.Context(), user.Owner))
	switch r.Method {
	case http.MethodGet:
		return s.get(w, r)
	case http.MethodDelete:
		return s.delete(w, r)
	}
	return s.post(w, r, user)
}

// origin refuses calls from pages in browsers unless their origin is allowed, and
// sets the headers that let an allowed page read the answer. Without authentication
// only a page of this server's own address may call, and the host that the request
// names must be localhost: a page could have its own host name resolve to this
// computer (DNS rebinding).
func (s *Server) origin(w http.ResponseWriter, r *http.Request) error {
	if s.local && !pixazo.IsLoopback((&url.URL{Host: r.Host}).Hostname()) {
		return refused(http.StatusForbidden, "without authentication this server answers as localhost alone")
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if !slices.Contains(s.o.AllowedOrigins, origin) && !(s.local && origin == "http://"+r.Host) {
		return refused(http.StatusForbidden, "pages of this origin are not allowed (--allowed-origins)")
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Mcp-Session-Id, WWW-Authenticate, Retry-After")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "POST, GET, DELETE")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept, Last-Event-ID, Mcp-Protocol-Version, Mcp-Session-Id, Mcp-Method, Mcp-Name")
		h.Set("Access-Control-Max-Age", "7200")
	}
	return nil
}

// limitRate refuses a call above CallsPerMinute of the owner.
func (s *Server) limitRate(w http.ResponseWriter, owner string) error {
	n := s.o.CallsPerMinute
	if n == 0 {
		return nil
	}
	s.mu.Lock()
	if len(s.limiters) >= maxLimiters {
		clear(s.limiters)
	}
	limiter := s.limiters[owner]
	if limiter == nil {
		limiter = rate.NewLimiter(rate.Every(time.Minute/time.Duration(n)), n)
		s.limiters[owner] = limiter
	}
	s.mu.Unlock()
	if limiter.Allow() {
		return nil
	}
	w.Header().Set("Retry-After", fmt.Sprint((60+n-1)/n)) // when the next call is allowed at the latest, rounded up
	return refused(http.StatusTooManyRequests, "too many calls in a minute")
}

// enter counts an MCP request as under way. It returns false once Drain was
// called.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining {
		s.open.Inc()
	}
	return !s.draining
}

// Leave makes each answer from now on close its connection, so that a proxy sends
// its next request to another replica.
func (s *Server) Leave() { s.leaving.Store(true) }

// Drain makes the server refuse new MCP requests, and ends notification streams.
// Calls in flight go on.
func (s *Server) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for st := range s.streams {
		st.end()
	}
}

// ready serves /readyz: 503 while the server drains or Ready returns an error.
func (s *Server) ready(_ http.ResponseWriter, r *http.Request) error {
	s.mu.Lock()
	draining := s.draining
	s.mu.Unlock()
	if draining {
		return unavailable("draining")
	}
	if s.o.Ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyTime)
	defer cancel()
	if err := s.o.Ready(ctx); err != nil {
		s.log.Warn("not ready", "error", err)
		return unavailable("the journal can't be read at the moment")
	}
	return nil
}

// usage serves /usage to the operator, whose token is not one of a user.
func (s *Server) usage(w http.ResponseWriter, r *http.Request) error {
	given, _ := identity.Bearer(r)
	if subtle.ConstantTimeCompare([]byte(given), []byte(s.o.UsageToken)) != 1 {
		return &identity.Refusal{Status: http.StatusUnauthorized, Challenge: "Bearer", Message: "the token of --usage-token-file is needed"}
	}
	s.o.Usage.ServeHTTP(w, r)
	return nil
}
