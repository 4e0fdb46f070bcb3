// This file asks where a job stands.

package pixazo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"pixazo-mcp/internal/text"
)

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
