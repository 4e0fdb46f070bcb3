// This file asks the gateway for the status of a job.

package pixazo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"

	"pixazo-mcp/internal/text"
)

const (
	statusPath    = "/v2/requests/status/"
	statusTimeout = 15 * time.Second // of one GET, with the time that it waits for its turn
	reusedTimeout = 5 * time.Second  // of one GET on a reused connection, which may have died while a laptop slept
	statusTries   = 3
	statusSpan    = 15 * time.Second // no try begins later than this after the first
	maxGets       = 32               // GETs under way at once, in the background and otherwise
)

// StatusOptions adjusts one status request.
type StatusOptions struct {
	PollingURL string // the job's PollingURL; "" means the documented address

	// Background says that nobody waits for the answer. Such requests have a limit of
	// their own, so that they never hold up a request that somebody waits for.
	Background bool
}

// Status returns the job as the gateway answers now. After network errors, 429 and 5xx
// it asks again, at most 3 times in all, and not later than 15 s after the first time.
//
// Errors: invalid_argument, missing_api_key, unauthorized, out_of_credits,
// not_found, rate_limited, gateway_error, gateway_unreachable, bad_response,
// cancelled; each with RequestID.
func (c *Client) Status(ctx context.Context, requestID string, o StatusOptions) (Job, error) {
	if err := CheckRequestID(requestID); err != nil {
		return Job{}, err
	}
	if key, _ := c.config.Key(); text.Holds(requestID, key.value()) { // since the address is logged
		return Job{}, containsKey("request_id")
	}
	documented := c.origin + statusPath + url.PathEscape(requestID)
	address := documented
	if c.isOwn(o.PollingURL) {
		address = o.PollingURL
	}
	transient := func(err error) bool {
		e, ok := errors.AsType[*Error](err)
		return ok && (e.Code == GatewayUnreachable || e.Code == RateLimited || e.HTTPStatus >= 500)
	}
	job, err := c.repeat(ctx, retry{tries: statusTries, span: statusSpan, may: transient}, func() (Job, error) {
		job, err := c.statusOnce(ctx, address, requestID, o.Background)
		if address != documented && IsCode(err, NotFound, BadResponse, InvalidArgument) { // it may not be this job's
			job, err = c.statusOnce(ctx, documented, requestID, o.Background)
		}
		return job, err
	})
	if e, ok := errors.AsType[*Error](err); ok {
		e.RequestID = requestID
	}
	return job, err
}

func (c *Client) statusOnce(ctx context.Context, address, requestID string, background bool) (Job, error) {
	a, err := c.get(ctx, address, background)
	switch {
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

// Ping asks, once, for a job that can't exist, which costs nothing. It returns nil if the
// gateway accepted the key and answered in its own form.
//
// Errors: missing_api_key, unauthorized, out_of_credits, rate_limited,
// gateway_error, gateway_unreachable, bad_response (something else is at this
// address), cancelled.
func (c *Client) Ping(ctx context.Context) error {
	const nobody = IDPrefix + "00000000-0000-0000-0000-000000000000"
	a, err := c.get(ctx, c.origin+statusPath+nobody, false)
	switch {
	case err != nil:
		return err
	case a.status/100 == 2, a.status == http.StatusNotFound, a.status == http.StatusBadRequest, a.status == http.StatusUnprocessableEntity:
		var object map[string]json.RawMessage
		if json.Unmarshal(a.body, &object) != nil {
			return &Error{Code: BadResponse, HTTPStatus: a.status, Message: fmt.Sprintf("the answer is not the gateway's: HTTP %d with %s",
				a.status, text.QuoteCleaned(a.key.Clean(a.header.Get("Content-Type"), 100)))}
		}
		return nil
	}
	return refusal(a)
}

// get waits until it may send, and sends a GET.
func (c *Client) get(callerCtx context.Context, address string, background bool) (answer, error) {
	ctx, cancel := context.WithTimeout(callerCtx, statusTimeout)
	defer cancel()
	turns := c.gets
	if background {
		turns = c.polls
	}
	select {
	case turns <- struct{}{}:
		defer func() { <-turns }()
	case <-ctx.Done():
	}
	if ctx.Err() == nil { // select may choose the turn although ctx is done
		a, err := c.getNow(ctx, address)
		if err == nil || callerCtx.Err() == nil {
			return a, err
		}
	}
	if callerCtx.Err() != nil {
		return answer{}, &Error{Code: Cancelled, Message: "the status request was given up", Err: callerCtx.Err()}
	}
	return answer{}, &Error{Code: GatewayUnreachable, Message: fmt.Sprintf("no answer in time: the gateway owes an answer to %d requests before this one", maxGets)}
}

// getNow sends a GET. On a reused connection it gives up after reusedTimeout, and closes
// idle connections so that the next try makes a new one.
func (c *Client) getNow(ctx context.Context, address string) (answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	giveUp := time.AfterFunc(reusedTimeout, func() {
		c.http.CloseIdleConnections()
		cancel(context.DeadlineExceeded)
	})
	giveUp.Stop() // GotConn starts it
	defer giveUp.Stop()
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) {
			if got.Reused {
				giveUp.Reset(reusedTimeout)
			}
		},
		GotFirstResponseByte: func() { giveUp.Stop() },
	}), http.MethodGet, address, nil)
	if err != nil {
		return answer{}, fmt.Errorf("get status: %w", err)
	}
	return c.exchange(c.http, req)
}
