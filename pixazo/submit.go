// This file submits a video, and decides what may be sent again: a submission
// that was accepted costs money.

package pixazo

import (
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
	submitTimeout = 5 * time.Minute  // one POST, from dialling to the end of its answer: the longer we listen, the less is uncertain
	submitTries   = 4                // once, and 3 times again
	submitSpan    = time.Minute      // no try begins later than this after the first
	uploadRate    = 256 << 10        // bytes a second that a slow line sends at least: large attachments get more time
	atOnce        = 64 << 10         // bytes of a body that may be on its way as a whole before an answer comes
	staleAfter    = 20 * time.Second // no connection takes longer to be made, unless the process is suspended
)

// SubmitOptions adjusts one submission.
type SubmitOptions struct {
	// CallbackURL is the webhook URL of this submission, which is called once,
	// when the job has ended; "" means the URL and mode of Config.
	CallbackURL string

	// Again is asked before the request is sent another time, or later than 20 s
	// after it was meant to be, which its error prevents; nil means yes.
	Again func(context.Context) error
}

// Submit sends p once and returns the accepted job, which may already be
// finished. It is sent again only when it certainly was not accepted: when no
// connection was made, or after 429 without a request_id, waiting as asked, at
// most 3 times and 60 s in all, and only if o.Again agrees. Cancelling ctx only
// keeps it from being sent again: a POST is never cut off, since it may already
// be paid for, and ends by itself within 5 minutes, and a second more for each
// 256 KiB.
//
// Errors: missing_api_key, unauthorized, out_of_credits, invalid_argument,
// rate_limited, gateway_unreachable, gateway_error and those of o.Again mean
// that nothing was accepted; submission_uncertain means that it may have been,
// and then RequestID is set if the answer names one.
func (c *Client) Submit(ctx context.Context, p *Prepared, o SubmitOptions) (Job, error) {
	if o.CallbackURL != "" {
		if err := CheckWebhookURL(o.CallbackURL); err != nil {
			return Job{}, invalid("callback URL", err.Error(), "another one") // which holds a secret
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
		// A request that was cut off can't be accepted.
		return Job{}, &Error{Code: GatewayUnreachable, Message: fmt.Sprintf(
			"the connection broke after %d of %d bytes of the request: the gateway, or a proxy before it, may refuse the key or so much data", sent, req.ContentLength)}
	}
	return c.outcome(a, err)
}

// outcome says what became of a submission that was answered with a, or ended
// with err.
func (c *Client) outcome(a answer, err error) (Job, error) {
	switch {
	case errors.Is(err, errNotSent) || IsCode(err, MissingAPIKey):
		return Job{}, err
	case a.status/100 != 2 && namesOurModel(a.namedID()):
		// Whatever it says beside that, there is a job, and it may be ours.
		return Job{}, uncertain(refusal(a), a)
	case a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed:
		return Job{}, &Error{Code: GatewayError, HTTPStatus: a.status,
			Message: "the gateway's address is wrong: it has nothing at " + c.origin + submitPath + a.details()}
	case a.status/100 == 4 && a.status != http.StatusRequestTimeout && a.status != http.StatusConflict:
		// A refusal, whether its words can be read or not. Two are left out:
		// proxies send 408 when the server behind them was too slow, and 409
		// may speak of this very video.
		return Job{}, refusal(a)
	case a.status == http.StatusTemporaryRedirect || a.status == http.StatusPermanentRedirect:
		// These two alone say that the request was not acted on (RFC 9110,
		// sections 15.4.8 and 15.4.9). Other redirects may follow acceptance.
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
		job.Status = Queued // accepted, since it has an id
	}
	return job, nil
}

// uncertain is the error of a submission whose outcome is unknown. An answer
// that can't be read as a whole may still name the request_id, which is all it
// takes to find a paid video again.
func uncertain(cause error, a answer) *Error {
	e := &Error{Code: SubmissionUncertain, HTTPStatus: a.status, Err: cause, Message: "the video request was sent, but its outcome is unknown: "}
	if known, ok := errors.AsType[*Error](cause); ok {
		e.Message += known.Message
	} else {
		e.Message += cause.Error()
	}
	if said := a.words(); said != "" && a.status/100 == 2 {
		e.Message += "; the gateway said: " + text.Said(said)
	}
	if id := a.namedID(); a.status < 400 || namesOurModel(id) {
		e.RequestID = id
	}
	return e
}

// upload is the body of a request, which the transport reads in a goroutine of its
// own. It knows how much was read of it.
type upload struct {
	mu      sync.Mutex
	r       io.Reader
	may     func() error // asked before the first byte
	refused error        // its answer
	n       int64
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

// stop returns how many bytes may have been sent, and why there are none: from now
// on there are no more.
func (u *upload) stop() (sent int64, refused error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.r = strings.NewReader("")
	return u.n, u.refused
}
