// Package pixazo is a client of the Pixazo gateway's HeyGen Video Agent 3.0
// API: it submits a video request once, asks for its status, and knows after which
// failures it may send a request again. A submission that was accepted costs money.
//
// "API" in a comment refers to the gateway's documents: the model's page on Pixazo
// with its request parameters, answers and webhook section.
//
// This file holds the client, and what its calls share: sending a request, reading the
// answer, and repeating a failed call.
package pixazo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"time"

	"pixazo-mcp/internal/text"
)

// KeyURL is the page where a user makes a key, CreditsURL where they buy credits.
const (
	KeyURL     = "https://api-console.pixazo.ai/api_keys"
	CreditsURL = "https://api-console.pixazo.ai/dashboard"
)

// NoKey is the message of missing_api_key when there is no key. Any other message says
// what is wrong with the key, and where it is.
const NoKey = "no Pixazo API key is set"

const maxAnswer = 1 << 20 // bytes; a longer answer is refused

// Config configures a Client.
type Config struct {
	// GatewayURL is the gateway's origin; "" means DefaultGatewayURL. It must
	// be https, or http to a loopback address.
	GatewayURL string

	// Key returns the key. It is called for each request, so that a key that is set
	// while the program runs is used. The zero Key means that there is none.
	Key func() (Key, error)

	// WebhookURL (https) and WebhookMode ("terminal" or "sync") are sent with every
	// submission if WebhookURL is set (API, "Webhook").
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
	posts  *http.Client // for POSTs; makes a new connection for each

	// gets and polls limit the GETs under way, each of which holds an element: gets
	// those that somebody waits for, polls those with StatusOptions.Background.
	gets, polls chan struct{}

	// ownTransport is true if we built the transport. Only then does "GetConn was
	// never called" prove that nothing was sent.
	ownTransport bool
}

// NewClient returns a client with this configuration, or an error with code
// invalid_argument.
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
		// A connection that is kept from one call to the next may die unnoticed, as
		// while a laptop sleeps, and a POST sent on it would be uncertain.
		fresh := newTransport()
		fresh.DisableKeepAlives = true
		posts = fresh
	}
	c.http = &http.Client{Transport: transport, CheckRedirect: c.checkRedirect}
	// No redirect of a POST is followed: that would send the submission again.
	c.posts = &http.Client{Transport: posts, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

func newTransport() *http.Transport {
	// Not HTTP/2, whose transport repeats a request after stream errors that do not
	// prove that the server has not handled it.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: checkProxy,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConns:           32,
		MaxIdleConnsPerHost:    32,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		Protocols:              &protocols,
	}
}

// checkProxy returns an error that names the proxy if it refuses to connect to the
// gateway; that of net/http is the proxy's bare word, such as "Forbidden".
func checkProxy(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the proxy %s (of HTTPS_PROXY) answered %s", proxy.Host, resp.Status) // its user info may hold a password
	}
	return nil
}

var errRedirect = errors.New("a redirect away from the gateway, or the sixth in a row, was refused")

// checkRedirect refuses redirects to other hosts, to which net/http would send the
// key's header, too.
func (c *Client) checkRedirect(req *http.Request, via []*http.Request) error {
	if !c.isOwn(req.URL.String()) || len(via) > 5 {
		return errRedirect
	}
	return nil
}

// retry says when a failed try may be repeated.
type retry struct {
	tries int                         // at most
	span  time.Duration               // no try begins later than this after the first
	may   func(error) bool            // reports whether a try that failed so may be repeated
	again func(context.Context) error // called before each further try; an error prevents it. nil allows all
}

// repeat calls once until that succeeds or r forbids another try. Before each further
// try it waits for a backoff with jitter, and at least as long as the gateway asked.
func (c *Client) repeat(ctx context.Context, r retry, once func() (Job, error)) (Job, error) {
	start := time.Now().Round(0) // the wall clock, unlike the monotonic one, goes on while the computer sleeps
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

// errNotSent is the cause of an error of exchange when no connection was made, so that
// the gateway has certainly not received the request.
var errNotSent = errors.New("no connection was made")

// exchange adds the key to req, sends it and reads the whole answer, at most 1 MiB. On
// an error it also returns what had been received of the answer.
func (c *Client) exchange(client *http.Client, req *http.Request) (a answer, err error) {
	key, err := c.config.Key()
	if err != nil {
		return a, &Error{Code: MissingAPIKey, Message: err.Error(), Err: err}
	}
	if key.IsZero() {
		return a, &Error{Code: MissingAPIKey, Message: NoKey}
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
	// Nothing was sent if the transport asked for a connection and never got one. A
	// foreign transport may call neither hook, which proves nothing; if ours has called
	// neither, it gave up before asking.
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
	if a.status == http.StatusSwitchingProtocols {
		// Its body is the connection, which the deadline of req does not end.
		defer context.AfterFunc(req.Context(), func() { _ = resp.Body.Close() })()
	}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	a.body = bytes.TrimPrefix(a.body, []byte("\ufeff"))
	if err != nil {
		return a, &Error{Code: GatewayUnreachable, HTTPStatus: a.status, Message: explain(key, cmp.Or(req.Context().Err(), err))}
	}
	if len(a.body) > maxAnswer {
		return a, &Error{Code: BadResponse, HTTPStatus: a.status, Message: "the gateway's answer is longer than 1 MiB"}
	}
	return a, nil
}
