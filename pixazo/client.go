// Package pixazo is a client of the Pixazo gateway's HeyGen Video Agent 3.0
// API: it submits a video request once, asks for its status, and knows which
// failures may be repeated and which must not, because a video costs money.
//
// The gateway's documents are quoted as "API" in the comments: the model's
// page on Pixazo, with its request parameters, answers and webhook section.
//
// This file holds the client, what its calls share to send a request and read the
// answer, and how a failed call is repeated. Each call builds, sends, classifies
// and decodes, in this order.
package pixazo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"time"

	"pixazo-mcp/internal/text"
)

// KeyURL is where a key is made, and CreditsURL where credits are bought.
const (
	KeyURL     = "https://api-console.pixazo.ai/api_keys"
	CreditsURL = "https://api-console.pixazo.ai/dashboard"
)

const maxAnswer = 1 << 20 // bytes; a longer answer is refused

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

	FilesAsObjects bool // send files as the objects of HeyGen's own API, and not as strings

	UserAgent string            // "" means "pixazo-mcp"
	Transport http.RoundTripper // nil means a transport of the client's own
	Logger    *slog.Logger      // nil means none
}

// Client calls the gateway. It is safe for concurrent use.
type Client struct {
	config Config
	origin string
	http   *http.Client // for GETs
	posts  *http.Client // makes a new connection for each request

	// One element for each GET under way: of those that somebody waits for, and
	// of the others.
	gets, polls chan struct{}

	// True if we built the transport: only then does "GetConn was never called"
	// prove that nothing was sent.
	ownTransport bool
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
		if !slices.Contains([]string{"", "terminal", "sync"}, config.WebhookMode) {
			return nil, invalid("webhook mode", "must be terminal or sync", text.Quote(config.WebhookMode))
		}
	}
	config.UserAgent = cmp.Or(config.UserAgent, "pixazo-mcp")
	config.Logger = cmp.Or(config.Logger, slog.New(slog.DiscardHandler))
	c := &Client{config: config, origin: origin, gets: make(chan struct{}, maxGets), polls: make(chan struct{}, maxGets)}
	transport, posts := config.Transport, config.Transport
	if transport == nil {
		c.ownTransport = true
		transport = newTransport()
		// A connection kept since the last call may have died unnoticed, as in a
		// laptop's sleep, and a POST that goes down with it is uncertain.
		fresh := newTransport()
		fresh.DisableKeepAlives = true
		posts = fresh
	}
	c.http = &http.Client{Transport: transport, CheckRedirect: c.checkRedirect}
	// Following a redirect would send a submission again.
	c.posts = &http.Client{Transport: posts, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

func newTransport() *http.Transport {
	// HTTP/2's transport repeats a request by itself after some stream errors
	// that do not prove the server left it alone.
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
// whatever host an answer names.
func (c *Client) checkRedirect(req *http.Request, via []*http.Request) error {
	if !c.isOwn(req.URL.String()) || len(via) > 5 {
		return errRedirect
	}
	return nil
}

// retry says when a call may be repeated.
type retry struct {
	tries int
	span  time.Duration               // no try begins later than this after the first
	may   func(error) bool            // whether a failed try may be repeated
	again func(context.Context) error // asked before each try after the first; its error ends them. nil means yes
}

// repeat calls once until it succeeds or r forbids another try. Between tries it
// backs off with jitter, at least as long as the gateway asked.
func (c *Client) repeat(ctx context.Context, r retry, once func() (Job, error)) (Job, error) {
	start := time.Now().Round(0) // by wall clock, which goes on while the computer sleeps
	backoff := 500 * time.Millisecond
	for try := 1; ; try++ {
		job, err := once()
		if err == nil || try == r.tries || !r.may(err) {
			return job, err
		}
		delay := max(time.Duration((0.5+rand.Float64())*float64(backoff)), RetryAfter(err))
		backoff *= 2
		if time.Since(start)+delay > r.span {
			return job, err
		}
		c.config.Logger.Info("asking the gateway again", "after", delay, "error", err)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
		if ctx.Err() != nil || time.Since(start) > r.span+time.Second {
			return job, err
		}
		if r.again != nil {
			if err := r.again(ctx); err != nil {
				return Job{}, err
			}
		}
	}
}

// errNotSent marks an exchange that ended before there was a connection, so
// that the gateway certainly saw none of it.
var errNotSent = errors.New("no connection was made")

// exchange adds the key, sends req and reads the whole answer, at most 1 MiB.
// On an error the answer holds what had come by then.
func (c *Client) exchange(client *http.Client, req *http.Request) (a answer, err error) {
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
	if req.Method == http.MethodPost {
		// Nothing is logged between a submission's answer and its entry in the journal.
		c.config.Logger.Debug("gateway exchange", "method", req.Method, "path", req.URL.Path)
	} else {
		defer func() {
			c.config.Logger.Debug("gateway exchange", "method", req.Method, "path", req.URL.Path, "status", a.status, "took", time.Since(start), "error", err)
		}()
	}
	// Only a transport that says it went for a connection and never got one
	// proves that nothing was sent; one that says nothing proves nothing,
	// unless it is our own, which may give up before it goes for one.
	var asked, connected bool
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GetConn: func(string) { asked = true },
		GotConn: func(httptrace.GotConnInfo) { connected = true },
	}))
	resp, err := client.Do(req)
	switch {
	case errors.Is(err, errRedirect):
		return a, &Error{Code: GatewayError, Message: errRedirect.Error(), Err: errRedirect}
	case err != nil && !connected && (asked || c.ownTransport):
		return a, &Error{Code: GatewayUnreachable, Message: "can't connect to the gateway: " + explain(key, err), Err: errNotSent}
	case err != nil:
		return a, &Error{Code: GatewayUnreachable, Message: explain(key, err)}
	}
	defer resp.Body.Close()
	a.status, a.header = resp.StatusCode, resp.Header
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	a.body = bytes.TrimPrefix(a.body, []byte("\ufeff"))
	if err != nil {
		return a, &Error{Code: GatewayUnreachable, HTTPStatus: a.status, Message: explain(key, err)}
	}
	if len(a.body) > maxAnswer {
		return a, &Error{Code: BadResponse, HTTPStatus: a.status, Message: "the gateway's answer is longer than 1 MiB"}
	}
	return a, nil
}
