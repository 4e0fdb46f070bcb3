// This file makes errors of the gateway's refusals and of the network's.

package pixazo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"pixazo-mcp/internal/text"
)

// answer is what came back: status 0 when nothing did.
type answer struct {
	status int
	header http.Header
	body   []byte
	key    Key // to be kept out of whatever is shown of the answer
}

// decode reads a job and drops a polling_url that would take the key elsewhere.
func (c *Client) decode(a answer, requestID string) (Job, error) {
	job, err := decodeJob(a.body, requestID)
	job.Error = a.key.hide(job.Error)
	job.PollingURL = c.ownURL(job.PollingURL)
	return job, err
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
