// This file holds doctor's check of team servers, which clients call over HTTP.

package setup

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"pixazo-mcp/pixazo"
)

// checkRemote checks whether a team server answers at the URL of an entry. It sends no
// token.
func (r *report) checkRemote(ctx context.Context, c client, name string, e entry) Check {
	check := Check{Status: statusOK, Detail: fmt.Sprintf("%s: %s calls %s", c.file, name, e.URL)}
	if u, err := url.Parse(e.URL); err != nil || pixazo.OriginOf(u) == "" {
		check.worsen(statusFail, ", which is no https address, so that others could read what is sent", "correct the url of the entry "+name+" by hand")
		return check
	}
	switch status, err := Probe(ctx, e.URL); {
	case err != nil:
		check.worsen(statusFail, ", which can't be reached: "+err.Error(), "ask whoever runs it, or look at the connection")
	case status == http.StatusNotFound || status >= 500 || status >= 300 && status < 400:
		check.worsen(statusFail, fmt.Sprintf(", which answered with HTTP status %d", status), "ask whoever runs it for its exact address")
	default:
		check.Detail += ", which answered"
	}
	return check
}

// Probe sends a GET and returns the HTTP status of the answer. It waits 10 seconds at most
// and follows no redirect.
func Probe(ctx context.Context, url string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
