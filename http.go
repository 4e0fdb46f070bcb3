// This file runs the command http, the team server.

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"pixazo-mcp/internal/config"
	"pixazo-mcp/internal/download"
	"pixazo-mcp/internal/identity"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/setup"
	"pixazo-mcp/internal/web"
	"pixazo-mcp/internal/wire"
	"pixazo-mcp/pixazo"
	"pixazo-mcp/resources"
	"pixazo-mcp/tools"
)

// serveHTTP serves MCP over HTTP until ctx ends.
func serveHTTP(ctx context.Context, settings config.Settings, stderr io.Writer) error {
	log, endLog := newLogger(settings, stderr)
	defer endLog()
	if os.Getenv("GOMEMLIMIT") == "" { // the limit that main sets is for one person
		debug.SetMemoryLimit(memoryFor(settings.HTTP.MaxWaits))
	}
	listener, err := net.Listen("tcp", settings.HTTP.Address)
	if err != nil {
		return fmt.Errorf("--address (PIXAZO_ADDRESS): %w", err)
	}
	settings.HTTP.Address = listener.Addr().String() // with the port that the system chose for port 0
	if settings.Sandbox {
		settings.HTTP = withCallbacks(settings.HTTP)
	}
	a, err := newApp(settings, log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer a.close()
	starter := a.starter(nil)
	srv, videos := a.register(starter)
	o, err := a.webOptions(videos)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	handler := web.New(srv, o)
	a.journal.Hear(handler.Signalled)

	server, last, served := newHTTPServer(handler, log), &drainingListener{TCPListener: listener.(*net.TCPListener)}, make(chan struct{})
	var failed error
	go func() {
		defer close(served)
		failed = server.Serve(last)
	}()
	defer server.Close()
	defer a.serveMetrics()()
	defer a.watch(starter)()
	log.Info("serving MCP", "at", cmp.Or(settings.HTTP.PublicURL, settings.HTTP.Origin()+"/mcp"), "address", settings.HTTP.Address, "version", version, "gateway", a.gatewayURL, "sandbox", settings.Sandbox)
	select {
	case <-served:
		err = failed
	case <-ctx.Done():
	}
	a.drain(handler, server, last, served)
	return err
}

// withCallbacks returns s with a secret for callbacks, which the sandbox then sends
// as the gateway does; it is the same for all replicas. It returns s as it is where
// there is a secret already, or the address breaks the gateway's rule for callbacks.
func withCallbacks(s config.HTTPSettings) config.HTTPSettings {
	if s.WebhookSecret.Reveal() == "" && pixazo.CheckWebhookURL(s.Origin()) == nil {
		s.WebhookSecret = config.NewSecret("nothing is secret in the sandbox")
	}
	return s
}

// memoryFor returns the soft memory limit, in bytes, of a server that allows this
// number of waits (0: any number). A wait takes up to 76 kB of stacks, buffers and job,
// of which the system has to provide some 60: half of a stack is never touched, but
// counts. 5,000 waits have to stay below 400 MB; those beyond have room for garbage, too.
func memoryFor(waits int) int64 {
	if waits == 0 {
		return math.MaxInt64
	}
	return 118<<20 + int64(waits)*60<<10 + max(int64(waits)-5000, 0)*24<<10
}

// newHTTPServer returns a server that sets no time limit on an answer as a whole:
// package web sets one on each write.
func newHTTPServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// forTeam sets the options of journal and tracker, and the fields of a, that only the
// command http has.
func (a *app) forTeam(o *journal.Options, jo *jobs.Options) error {
	s := a.settings.HTTP
	o.Limits.PerUser = s.MaxVideosPerUser
	jo.Team, jo.MaxWaits = true, cmp.Or(s.MaxWaits, math.MaxInt)
	a.team = &tools.Team{MaxBody: s.MaxBody}
	if secret := s.WebhookSecret.Reveal(); secret != "" {
		jo.CallbackURL = web.CallbackURL(s.Origin(), []byte(secret))
	}
	dir := a.settings.OutputDir
	if dir == "" {
		return nil
	}
	a.team.Folder = func(owner string) string { return download.Folder(dir, owner) }
	key, err := download.LinkKey(dir)
	if err != nil {
		return fmt.Errorf("--output-dir (PIXAZO_OUTPUT_DIR): %w", err)
	}
	now := func() time.Time { return a.journal.Now() } // a.journal is made later
	a.links = &download.Links{Origin: s.Origin(), Key: key, Dir: dir, Now: now, Logger: a.log, Find: func(ctx context.Context, id string) (string, []download.File, error) {
		row, err := a.journal.ByNonce(ctx, id)
		if row == nil {
			return "", nil, err
		}
		return row.Owner, row.Saved, nil
	}}
	jo.SavedLink = func(row journal.Row, file journal.SavedFile) string {
		return a.links.To(row.Nonce, row.Owner, file)
	}
	return nil
}

// webOptions returns the options of the HTTP server, made from the settings.
func (a *app) webOptions(videos *resources.Videos) (web.Options, error) {
	s := a.settings.HTTP
	verifier, err := identity.New(identity.Options{
		PublicURL: s.PublicURL, Issuer: s.OAuthIssuer, Scopes: s.OAuthScopes, TokensFile: s.TokensFile, Logger: a.log,
	})
	if err != nil {
		return web.Options{}, err
	}
	o := web.Options{
		Options:        wire.Options{Subscribe: videos.Subscribe, Hide: a.hideKey, Logger: a.log},
		PublicURL:      s.PublicURL,
		Sessions:       a.journal,
		AllowedOrigins: s.AllowedOrigins,
		CallsPerMinute: s.MaxCallsPerMinute,
		MaxBody:        s.MaxBody,
		Usage:          http.HandlerFunc(a.usage),
		UsageToken:     s.UsageToken.Reveal(),
		Ready:          a.journal.Ping,
		Metrics:        a.metrics,
		WebhookSecret:  []byte(s.WebhookSecret.Reveal()),
		Callback:       a.tracker.Callback,
	}
	if verifier != nil {
		o.Identity = verifier
	}
	if a.links != nil {
		o.Videos = a.links
	}
	return o, nil
}

// used returns how many videos each owner made on each of the last 31 days.
func (a *app) used(ctx context.Context) ([]journal.Used, error) {
	return a.journal.Usage(ctx, time.Now().AddDate(0, 0, -31))
}

// usage answers a request with the result of used, as JSON.
func (a *app) usage(w http.ResponseWriter, r *http.Request) {
	used, err := a.used(r.Context())
	if err != nil {
		a.log.Warn("the usage could not be read", "error", err)
		http.Error(w, "the journal can't be read at the moment", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"used": append([]journal.Used{}, used...)}) // [], not null, when there is none
}

// probe returns an error unless the server that listens at address says that it is
// ready. It is the health check of containers, which have no curl.
func probe(ctx context.Context, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	status, err := setup.Probe(ctx, "http://"+net.JoinHostPort(host, port)+"/readyz")
	switch {
	case err != nil:
		return fmt.Errorf("not ready: %w", err)
	case status != http.StatusOK:
		return fmt.Errorf("not ready: HTTP status %d", status)
	}
	return nil
}
