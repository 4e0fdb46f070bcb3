// This file submits a video request, and decides whether it may be sent again: a
// submission that was accepted costs money.

package pixazo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"pixazo-mcp/internal/text"
)

const (
	submitPath    = "/heygen-video-agent/v1/heygen-video-agent-request"
	submitTimeout = 5 * time.Minute  // of one POST, from dialling to the end of the answer: the longer we wait, the fewer submissions are uncertain
	submitTries   = 4                // the first and 3 more
	submitSpan    = time.Minute      // no try begins later than this after the first
	uploadRate    = 256 << 10        // bytes a second that even a slow line sends; the timeout of large requests is based on it
	atOnce        = 64 << 10         // bytes; a smaller body counts as sent as a whole once its sending has begun
	staleAfter    = 20 * time.Second // longer than making a connection takes, unless the process was suspended

	statusClientClosed = 499 // of nginx, and of gRPC's CANCELLED over HTTP
)

// SubmitOptions adjusts one submission.
type SubmitOptions struct {
	// CallbackURL is a webhook URL for this submission, which the gateway calls once,
	// when the job has ended. "" means the URL and mode of Config.
	CallbackURL string

	// Again is called before each try after the first, and before a try whose connection
	// took more than 20 s. Its error prevents the try. nil allows all.
	Again func(context.Context) error
}

// Submit sends p and returns the accepted job, which may already be finished.
//
// p is sent again only if it was certainly not accepted, because no connection was made
// or the whole answer was 429 without a request_id, and only if o.Again allows it: at most 3
// times within 60 s, after the pause that the gateway asked for. Cancelling ctx prevents
// further tries but does not cut off a POST, which may be paid for already. A POST ends
// within 5 minutes, plus a second for each 256 KiB.
//
// Errors: missing_api_key, unauthorized, out_of_credits, invalid_argument, rate_limited,
// gateway_unreachable, gateway_error and those of o.Again mean that nothing was accepted.
// submission_uncertain means that p may have been accepted; its RequestID is set if the
// answer names one.
func (c *Client) Submit(ctx context.Context, p *Prepared, o SubmitOptions) (Job, error) {
	if o.CallbackURL != "" {
		if err := CheckWebhookURL(o.CallbackURL); err != nil {
			return Job{}, invalid("callback URL", err.Error(), "another one") // not quoted, since it contains a secret
		}
	}
	notAccepted := func(err error) bool { return errors.Is(err, errNotSent) || IsCode(err, RateLimited) }
	r := retry{tries: submitTries, span: submitSpan, may: notAccepted, again: o.Again}
	job, err := c.repeat(ctx, r, func() (Job, error) { return c.submitOnce(ctx, p, o) })
	return job, c.adviseFormat(p, err)
}

func (c *Client) submitOnce(ctx context.Context, p *Prepared, o SubmitOptions) (Job, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), submitTimeout+p.UploadTime())
	defer cancel()
	begun := time.Now().Round(0) // by wall clock
	upload := &upload{r: p.body.reader(), may: func() error {
		if o.Again == nil || time.Since(begun).Abs() < staleAfter {
			return nil
		}
		return o.Again(ctx)
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.origin+submitPath, upload)
	if err != nil {
		return Job{}, fmt.Errorf("submit video: %w", err)
	}
	req.ContentLength = p.body.size()
	req.Header.Set("Content-Type", "application/json")
	callbackURL, mode := o.CallbackURL, "terminal"
	if callbackURL == "" {
		callbackURL, mode = c.config.WebhookURL, c.config.WebhookMode
	}
	if callbackURL != "" {
		req.Header.Set("X-Webhook-URL", callbackURL)
		if mode != "" {
			req.Header.Set("X-Webhook-Mode", mode)
		}
	}
	a, err := c.exchange(c.posts, req)
	sent, refused := upload.stop()
	switch {
	case err == nil || a.status != 0 || errors.Is(err, errNotSent):
	case refused != nil:
		return Job{}, refused
	case req.ContentLength > atOnce && sent < req.ContentLength:
		// An incomplete request can't be accepted.
		return Job{}, &Error{Code: GatewayUnreachable, Message: fmt.Sprintf(
			"the connection broke after %d of %d bytes of the request: the gateway, or a proxy before it, may refuse the key or so much data", sent, req.ContentLength)}
	}
	return c.outcome(a, err)
}

// outcome returns the result of a submission whose exchange returned a and err.
func (c *Client) outcome(a answer, err error) (Job, error) {
	switch {
	case errors.Is(err, errNotSent) || IsCode(err, MissingAPIKey):
		return Job{}, err
	case a.status/100 != 2 && namesOurModel(a.namedID()):
		// Whatever else the answer says, it names a job that may be ours.
		return Job{}, uncertain(refusal(a), a)
	case a.status == http.StatusTooManyRequests && (err != nil || errors.Is(decodeJSON(a.body, new(any)), io.ErrUnexpectedEOF)):
		// It broke off, and the rest may have named a job.
		return Job{}, uncertain(cmp.Or[error](err, refusal(a)), a)
	case a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed:
		return Job{}, &Error{Code: GatewayError, HTTPStatus: a.status,
			Message: "the gateway's address is wrong: it has nothing at " + c.origin + submitPath + a.details()}
	case a.status/100 == 4 && a.status != http.StatusRequestTimeout && a.status != http.StatusConflict && a.status != statusClientClosed,
		a.status == http.StatusTemporaryRedirect, a.status == http.StatusPermanentRedirect:
		// A refusal, even if its words can't be read. But proxies send 408 when the
		// server behind them is too slow, and 499 when they think that we are gone; after
		// both the server may have done the work. 409 may be about this very video. Of the
		// redirects only these two mean that the request was not carried out (RFC 9110,
		// sections 15.4.8 and 15.4.9).
		return Job{}, refusal(a)
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
		job.Status = Queued // it has an id, so it was accepted
	}
	return job, nil
}

// anyID matches the request_id of a job of this model in a text.
var anyID = text.Pattern(IDPrefix + `[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// uncertain returns the error of a submission whose outcome is unknown. It has the
// request_id that the answer names, with which a paid video can be found again.
func uncertain(cause error, a answer) *Error {
	e := &Error{Code: SubmissionUncertain, HTTPStatus: a.status, Err: cause, Message: "the video request was sent, but its outcome is unknown: "}
	if known, ok := errors.AsType[*Error](cause); ok {
		e.Message += known.Message
	} else {
		e.Message += cause.Error()
	}
	if said := a.words(); said != "" && a.status/100 == 2 {
		e.Message += "; the gateway said: " + text.QuoteCleaned(said)
	}
	if id := a.namedID(); a.status < 400 || namesOurModel(id) {
		e.RequestID = id
	}
	if id := anyID().FindString(string(a.body)); e.RequestID == "" && a.status/100 == 2 && !strings.Contains(e.Message, id) {
		e.Message += "; somewhere in its answer stands " + id
	}
	return e
}

// upload is the body of a request. The transport reads it in a goroutine of its own;
// upload counts how much has been read.
type upload struct {
	mu      sync.Mutex
	r       io.Reader
	may     func() error // called before the first byte; an error prevents the sending
	refused error        // the error that may returned
	n       int64        // bytes that have been read
}

func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.n == 0 && u.refused == nil {
		u.refused = u.may()
	}
	if u.refused != nil {
		return 0, u.refused
	}
	n, err := u.r.Read(p)
	u.n += int64(n)
	return n, err
}

// stop ends the reading. It returns how many bytes have been read, which may have been
// sent, and the error of may.
func (u *upload) stop() (sent int64, refused error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.r = strings.NewReader("")
	return u.n, u.refused
}
