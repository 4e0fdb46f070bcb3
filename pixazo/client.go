// This file talks to the gateway. Each call reads as build, send, classify,
// decode. What may be sent again is decided where Submit and Status call
// repeat.

package pixazo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// ours reports whether u lies on the gateway's own origin: same scheme, host
// and port, the default port written out or not.
func (c *Client) ours(u *url.URL) bool {
	return u.Scheme == c.origin.Scheme && strings.EqualFold(u.Hostname(), c.origin.Hostname()) && port(u) == port(c.origin) && u.User == nil
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

// SubmitOptions adjusts one submission.
type SubmitOptions struct {
	// CallbackURL is the webhook URL of this submission; "" means that of
	// Config.
	CallbackURL string

	// Again is asked before the request is sent another time, which its error
	// prevents; nil means yes.
	Again func(context.Context) error
}

// Submit sends p once and returns the accepted job, which may already be
// finished. It is sent again only when it certainly was not accepted: when no
// connection was made, or after 429, waiting as asked, at most 3 times and
// 60 s in all. Cancelling ctx only keeps it from being sent again: a POST is
// never cut off, since it may already be paid for, and ends by itself within
// 60 s, and a second more for each 256 KiB of attachments.
//
// Errors: invalid_argument, missing_api_key, unauthorized, out_of_credits,
// rate_limited, gateway_unreachable and gateway_error mean that nothing was
// accepted; submission_uncertain means that it may have been, and then
// RequestID is set if the answer could be read that far.
func (c *Client) Submit(ctx context.Context, p *Prepared, o SubmitOptions) (Job, error) {
	notAccepted := func(err error) bool { return errors.Is(err, errNotSent) || IsCode(err, RateLimited) }
	sent := false
	return c.repeat(ctx, maxSubmits, submitSpan, notAccepted, func() (Job, error) {
		if sent && o.Again != nil {
			if err := o.Again(ctx); err != nil {
				return Job{}, err
			}
		}
		sent = true
		job, err := c.submitOnce(ctx, p, o)
		return job, c.adviseFormat(p, err)
	})
}

func (c *Client) submitOnce(ctx context.Context, p *Prepared, o SubmitOptions) (Job, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), submitTimeout+p.UploadTime())
	defer cancel()
	body := p.body
	upload := &counted{r: body.reader()}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.origin.String()+submitPath, upload)
	if err != nil {
		return Job{}, fmt.Errorf("submit video: %w", err)
	}
	req.ContentLength = body.size()
	req.GetBody = func() (io.ReadCloser, error) { // for a connection that took nothing at all
		upload.restart(body.reader())
		return upload, nil
	}
	req.Header.Set("Content-Type", "application/json")
	if callback := cmp.Or(o.CallbackURL, c.config.WebhookURL); callback != "" {
		req.Header.Set("X-Webhook-URL", callback)
		if c.config.WebhookMode != "" {
			req.Header.Set("X-Webhook-Mode", c.config.WebhookMode)
		}
	}
	// A connection kept since the last call may have died unnoticed, as in a
	// laptop's sleep, and a POST that goes down with it is uncertain.
	c.http.CloseIdleConnections()
	a, err := c.exchange(req)
	switch {
	case errors.Is(err, errNotSent) || IsCode(err, MissingAPIKey):
		return Job{}, err
	case a.status/100 == 4 && a.status != http.StatusRequestTimeout && a.status != http.StatusConflict:
		// A refusal, whether its words can be read or not. Two are left out:
		// proxies send 408 when the server behind them was too slow, and 409
		// may speak of this very video.
		return Job{}, refusal(a)
	case a.status == http.StatusTemporaryRedirect || a.status == http.StatusPermanentRedirect:
		// These two alone say that the request was not acted on (RFC 9110,
		// sections 15.4.8 and 15.4.9). Other redirects may follow acceptance.
		return Job{}, refusal(a)
	case err != nil && a.status == 0 && body.size() > atOnce && upload.stop() < body.size():
		// A request that was cut off can't be accepted.
		return Job{}, &Error{Code: GatewayUnreachable, Err: err, Message: fmt.Sprintf(
			"the connection broke after %d of %d bytes of the request: the gateway, or a proxy before it, may refuse the key or so much data", upload.stop(), body.size())}
	case err != nil:
		return Job{}, uncertain(err, a)
	case a.status/100 != 2:
		return Job{}, uncertain(refusal(a), a)
	}
	job, err := c.decode(a, "")
	if job.RequestID == "" {
		return Job{}, uncertain(err, a)
	}
	if job.Status == "" {
		job.Status = Queued // accepted, since it has an id
	}
	return job, nil
}

// counted is the body of a request that knows how much of it was taken. The
// transport reads it in a goroutine of its own.
type counted struct {
	mu sync.Mutex
	r  io.Reader
	n  int64
}

func (b *counted) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.r.Read(p)
	b.n += int64(n)
	return n, err
}

func (b *counted) Close() error { return nil }

func (b *counted) restart(r io.Reader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.r, b.n = r, 0
}

// stop is how many bytes may have been sent: from now on there are no more.
func (b *counted) stop() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.r = strings.NewReader("")
	return b.n
}

var idInAnswer = regexp.MustCompile(`"request_id"\s*:\s*"([A-Za-z0-9._-]+)"`)

// uncertain is the error of a submission whose outcome is unknown. An answer
// that can't be read as a whole may still name the request_id, which is all it
// takes to find a paid video again. (Proxies put a request_id of their own into
// their error pages.)
func uncertain(cause error, a answer) *Error {
	e := &Error{Code: SubmissionUncertain, HTTPStatus: a.status, Err: cause,
		Message: "the video request was sent, but its outcome is unknown: " + reason(cause)}
	if said := gatewayWords(a); said != "" && a.status/100 == 2 {
		e.Message += "; the gateway said: " + text.Said(said)
	}
	if m := idInAnswer.FindSubmatch(a.body); m != nil && CheckRequestID(string(m[1])) == nil &&
		(a.status < 400 || bytes.HasPrefix(m[1], []byte("heygen-video-agent_"))) {
		e.RequestID = string(m[1])
	}
	return e
}

// reason is err's message without its code.
func reason(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// Status asks where a job stands, again on network errors, 429 and 5xx, at
// most 3 times in all and starting none after 15 s. pollingURL is the job's
// PollingURL; "" means the documented address.
//
// Errors: invalid_argument, missing_api_key, unauthorized, out_of_credits,
// not_found, rate_limited, gateway_error, gateway_unreachable, bad_response,
// cancelled; each with RequestID.
func (c *Client) Status(ctx context.Context, requestID, pollingURL string) (Job, error) {
	if err := CheckRequestID(requestID); err != nil {
		return Job{}, err
	}
	documented := c.origin.String() + statusPath + url.PathEscape(requestID)
	address := c.ownURL(pollingURL)
	if address == "" {
		address = documented
	}
	passing := func(err error) bool {
		var e *Error
		return errors.As(err, &e) && (e.Code == GatewayUnreachable || e.Code == RateLimited || e.HTTPStatus >= 500)
	}
	job, err := c.repeat(ctx, maxStatusTries, statusSpan, passing, func() (Job, error) {
		job, err := c.statusOnce(ctx, address, requestID)
		if IsCode(err, NotFound) && address != documented {
			job, err = c.statusOnce(ctx, documented, requestID)
		}
		return job, err
	})
	if e, ok := err.(*Error); ok {
		e.RequestID = requestID
	}
	return job, err
}

func (c *Client) statusOnce(callerCtx context.Context, address, requestID string) (Job, error) {
	givenUp := func() error {
		return &Error{Code: Cancelled, Message: "the status request was given up", Err: callerCtx.Err()}
	}
	select {
	case c.gets <- struct{}{}:
		defer func() { <-c.gets }()
	case <-callerCtx.Done():
	}
	if callerCtx.Err() != nil { // when both can go, select takes either
		return Job{}, givenUp()
	}
	ctx, cancel := context.WithTimeout(callerCtx, statusTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return Job{}, fmt.Errorf("get status: %w", err)
	}
	a, err := c.exchange(req)
	switch {
	case err != nil && callerCtx.Err() != nil:
		return Job{}, givenUp()
	case err != nil && a.status/100 != 4:
		return Job{}, err
	case a.status == http.StatusNotFound:
		return Job{}, &Error{Code: NotFound, HTTPStatus: a.status, Message: "the gateway knows no such request"}
	case a.status/100 != 2:
		return Job{}, refusal(a)
	}
	job, err := c.decode(a, requestID)
	if err == nil && job.RequestID != requestID {
		err = fmt.Errorf("the answer is about another request, %s", text.Quote(job.RequestID))
	}
	if err != nil {
		return Job{}, &Error{Code: BadResponse, HTTPStatus: a.status, Message: err.Error()}
	}
	return job, nil
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

// answer is what came back: status 0 when nothing did.
type answer struct {
	status int
	header http.Header
	body   []byte
	key    Key // to be kept out of whatever is shown of the answer
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

// decode reads a job and drops a polling_url that would take the key elsewhere.
func (c *Client) decode(a answer, requestID string) (Job, error) {
	job, err := decodeJob(a.body, requestID)
	job.Error = a.key.hide(job.Error)
	job.PollingURL = c.ownURL(job.PollingURL)
	return job, err
}

// ownURL is s if it is a URL on the gateway's own origin, else "".
func (c *Client) ownURL(s string) string {
	if u, err := url.Parse(s); err != nil || s == "" || !c.ours(u) || len(s) > maxURLLength {
		return ""
	}
	return s
}

// refusal is the error that an answer's HTTP status stands for.
func refusal(a answer) *Error {
	e := &Error{HTTPStatus: a.status, RetryAfter: parseRetryAfter(a.header.Get("Retry-After"))}
	said := gatewayWords(a)
	switch {
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		e.Code, e.Message = Unauthorized, "the gateway refused the API key"
	case a.status == http.StatusPaymentRequired:
		e.Code, e.Message = OutOfCredits, "the account is out of credits"
	case a.status == http.StatusTooManyRequests:
		e.Code, e.Message = RateLimited, "the gateway limits the rate of requests"
	case a.status/100 == 4 && said != "":
		e.Code, e.Message = InvalidArgument, "the gateway refused the request"
	case a.status/100 == 3:
		e.Code, e.Message = GatewayError, "the gateway answered with a redirect, which is not followed"
	default:
		e.Code, e.Message = GatewayError, "the gateway failed"
	}
	e.Message += fmt.Sprintf(" (HTTP %d", a.status)
	if e.RetryAfter > 0 {
		e.Message += fmt.Sprintf(", asking to wait %s", e.RetryAfter)
	}
	e.Message += ")"
	if said != "" {
		e.Message += "; it said: " + text.Said(said)
	}
	return e
}

// gatewayWords is the error text in a refusal's body, cleaned; "" when the
// body has none.
func gatewayWords(a answer) string {
	var refused struct {
		Error   json.RawMessage `json:"error"`
		Message json.RawMessage `json:"message"`
	}
	if json.Unmarshal(a.body, &refused) != nil {
		return ""
	}
	said := words(refused.Error)
	if said == "" {
		said = words(refused.Message)
	}
	return text.Clean(a.key.hide(said), 500)
}

// parseRetryAfter reads both forms of the header (RFC 9110, section 10.2.3):
// seconds, or a date, up to the next whole second. It gives 0 for anything
// else, and at most a day.
func parseRetryAfter(s string) time.Duration {
	var d time.Duration
	if n, err := strconv.ParseUint(s, 10, 32); err == nil || errors.Is(err, strconv.ErrRange) { // n is the most there is
		d = time.Duration(n) * time.Second
	} else if t, err := http.ParseTime(s); err == nil {
		d = time.Until(t.Add(time.Second - 1)).Truncate(time.Second)
	}
	return min(max(d, 0), 24*time.Hour)
}

// explain words a network error, which may hold a header of the gateway's.
func explain(key Key, err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "the request was cut off"
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection closed before the answer was complete"
	}
	return text.Clean(key.hide(err.Error()), 200)
}
