// This file submits a video, and decides what may be sent again: a submission
// that was accepted costs money.

package pixazo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"pixazo-mcp/internal/text"
)

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
