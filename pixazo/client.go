// This file talks to the gateway. Each call reads as build, send, classify,
// decode. What may be sent again is decided where Submit and Status call
// repeat.

package pixazo

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"pixazo-mcp/internal/text"
)

// KeyURL is where a key is made, and CreditsURL where credits are bought.
const (
	KeyURL     = "https://api-console.pixazo.ai/api_keys"
	CreditsURL = "https://api-console.pixazo.ai/dashboard"
)

const (
	submitPath = "/heygen-video-agent/v1/heygen-video-agent-request"
	statusPath = "/v2/requests/status/"

	submitTimeout = 60 * time.Second // one POST, from dialling to the end of its answer
	atOnce        = 64 << 10         // bytes of a body that may be on its way as a whole before an answer comes
	uploadRate    = 256 << 10        // bytes a second that a slow line sends at least: large attachments get more time
	statusTimeout = 15 * time.Second // one GET
	maxAnswer     = 1 << 20          // bytes; a longer answer is refused

	maxSubmits     = 4 // once, and 3 times again
	submitSpan     = 60 * time.Second
	maxStatusTries = 3
	maxGets        = 64 // status requests under way at once
	statusSpan     = 15 * time.Second
)

// Config is what a Client needs to know.
type Config struct {
	// GatewayURL is the gateway's origin; "" means DefaultGatewayURL. It must
	// be https, or http to a loopback address.
	GatewayURL string

	// Key gives the key at each call, so that one put in place while the
	// program runs is picked up. A zero Key means that there is none.
	Key func() (Key, error)

	// WebhookURL (https) and WebhookMode ("terminal" or "sync") go with every
	// submission when WebhookURL is set (API, "Webhook").
	WebhookURL  string
	WebhookMode string

	FilesFormat string // one of FilesFormats; "" means the first

	UserAgent string            // "" means "pixazo-mcp"
	Transport http.RoundTripper // nil means a transport of the client's own
	Logger    *slog.Logger      // nil means none
}

// Client calls the gateway. It is safe for concurrent use.
type Client struct {
	config Config
	origin *url.URL      // scheme, host and port only
	gets   chan struct{} // a slot for each status request under way
	http   *http.Client
	log    *slog.Logger

	ownTransport bool // made here, so that it is known to report every connection
}

// NewClient checks config and returns a client of that gateway.
func NewClient(config Config) (*Client, error) {
	origin, err := ParseGatewayURL(config.GatewayURL)
	if err != nil {
		return nil, invalid("gateway URL", err.Error(), text.Quote(config.GatewayURL))
	}
	if config.WebhookURL != "" {
		if err := CheckWebhookURL(config.WebhookURL); err != nil {
			return nil, invalid("webhook URL", err.Error(), text.Quote(config.WebhookURL))
		}
		switch config.WebhookMode {
		case "", "terminal", "sync":
		default:
			return nil, invalid("webhook mode", "must be terminal or sync", text.Quote(config.WebhookMode))
		}
	}
	if config.FilesFormat != "" && !slices.Contains(FilesFormats, config.FilesFormat) {
		return nil, invalid("files format", "must be one of "+strings.Join(FilesFormats, ", "), text.Quote(config.FilesFormat))
	}
	if config.UserAgent == "" {
		config.UserAgent = "pixazo-mcp"
	}
	ownTransport := config.Transport == nil
	if ownTransport {
		config.Transport = newTransport()
	}
	c := &Client{config: config, origin: origin, gets: make(chan struct{}, maxGets), log: config.Logger, ownTransport: ownTransport}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.http = &http.Client{Transport: config.Transport, CheckRedirect: c.checkRedirect}
	return c, nil
}

func newTransport() *http.Transport {
	// HTTP/2's transport repeats a request by itself after some stream errors
	// that do not prove the server left it alone; HTTP/1.1's repeats a POST
	// only when not one byte of it was written.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConns:           32,
		MaxIdleConnsPerHost:    32,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		Protocols:              &protocols,
	}
}

var errRedirect = errors.New("a redirect away from the gateway was refused")

// checkRedirect keeps the key at home: net/http would copy the key's header to
// whatever host an answer names. A submission follows no redirect at all,
// since following one sends it again.
func (c *Client) checkRedirect(req *http.Request, via []*http.Request) error {
	if via[0].Method == http.MethodPost {
		return http.ErrUseLastResponse
	}
	if !c.ours(req.URL) || len(via) > 5 {
		return errRedirect
	}
	return nil
}

// repeat calls once until it succeeds, may(err) forbids another call, or tries
// calls were made. Between calls it backs off with jitter, at least as long as
// the gateway asked; it starts no call later than span after the first.
func (c *Client) repeat(ctx context.Context, tries int, span time.Duration, may func(error) bool, once func() (Job, error)) (Job, error) {
	start := time.Now()
	delays := backoff.NewExponentialBackOff()
	for try := 1; ; try++ {
		job, err := once()
		if err == nil || try == tries || !may(err) {
			return job, err
		}
		delay := max(delays.NextBackOff(), RetryAfter(err))
		if time.Since(start)+delay > span {
			return job, err
		}
		c.log.Info("asking the gateway again", "after", delay, "error", err)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		if ctx.Err() != nil {
			return job, err
		}
	}
}

// errNotSent marks an exchange that ended before there was a connection, so
// that the gateway certainly saw none of it.
var errNotSent = errors.New("no connection was made")

// exchange adds the key, sends req and reads the whole answer, at most 1 MiB.
// On an error the answer holds what had come by then.
func (c *Client) exchange(req *http.Request) (a answer, err error) {
	key, err := c.config.Key()
	if err != nil {
		return a, &Error{Code: MissingAPIKey, Message: err.Error(), Err: err}
	}
	if key.IsZero() {
		return a, &Error{Code: MissingAPIKey, Message: "no Pixazo API key is set"}
	}
	a.key = key
	req.Header.Set("Ocp-Apim-Subscription-Key", key.value())
	req.Header.Set("Cache-Control", "no-cache")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.config.UserAgent)

	start := time.Now()
	defer func() {
		c.log.Debug("gateway exchange", "method", req.Method, "path", req.URL.Path, "status", a.status, "took", time.Since(start), "error", err)
	}()
	// Only a transport that says it went for a connection and never got one
	// proves that nothing was sent; one that says nothing proves nothing,
	// unless it is our own, which may give up before it goes for one.
	var asked, connected bool
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GetConn: func(string) { asked = true },
		GotConn: func(httptrace.GotConnInfo) { connected = true },
	}))
	resp, err := c.http.Do(req)
	switch {
	case errors.Is(err, errRedirect):
		return a, &Error{Code: GatewayError, Message: errRedirect.Error(), Err: errRedirect}
	case err != nil && !connected && (asked || c.ownTransport):
		return a, &Error{Code: GatewayUnreachable, Message: "can't connect to the gateway: " + explain(key, err), Err: errors.Join(errNotSent, err)}
	case err != nil:
		return a, &Error{Code: GatewayUnreachable, Message: explain(key, err), Err: key.hideIn(err)}
	}
	defer resp.Body.Close()
	a.status, a.header = resp.StatusCode, resp.Header
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	tooLong := len(a.body) > maxAnswer
	a.body = []byte(key.hide(string(a.body)))
	if err != nil {
		return a, &Error{Code: GatewayUnreachable, HTTPStatus: a.status, Message: explain(key, err), Err: err}
	}
	if tooLong {
		return a, &Error{Code: BadResponse, HTTPStatus: a.status, Message: "the gateway's answer is longer than 1 MiB"}
	}
	return a, nil
}
