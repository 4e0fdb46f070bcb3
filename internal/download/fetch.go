// This file fetches one video from where the gateway put it, in several tries
// that go on where the last one broke.

package download

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	fetchTries = 3
	copyBuffer = 256 << 10 // bytes
)

// errExpired is the error of a link that no longer leads anywhere.
var errExpired = errors.New("the link has expired")

// transient marks an error that is worth another try.
type transient struct{ error }

// fetch writes what is at link into the part, in place of anything there. It is
// tried 3 times in all, each going on where the last one broke if the server
// allows. Errors have code download_failed, or are errExpired, or ctx's.
func (p *part) fetch(ctx context.Context, link string) error {
	u, err := url.Parse(link)
	if err != nil {
		return failed("its address can't be read")
	}
	if err := p.checkLink(u); err != nil {
		return err
	}
	p.total, p.etag = -1, "" // nothing of this link is in the file
	pause := p.options.RetryPause
	for try := 1; ; try++ {
		err := p.try(ctx, u)
		var again transient
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.As(err, &again):
			return err
		case try == fetchTries && p.options.Team && p.through(u) != "":
			p.options.Logger.Warn("a video could not be fetched"+p.through(u), "request_id", p.req.RequestID, "error", again.error)
			return failed("%d tries failed, through a proxy of the server", fetchTries)
		case try == fetchTries:
			return failed("%d tries failed, the last one since %v%s", fetchTries, again.error, p.through(u))
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// try fetches the file, or the rest of it.
func (p *part) try(ctx context.Context, link *url.URL) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.timer = time.AfterFunc(p.options.Window, func() {
		cancel(fmt.Errorf("less than %d kB/s came for %s", p.options.LeastRate/1000, p.options.Window))
	})
	defer p.timer.Stop()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link.String(), nil)
	if err != nil {
		return failed("its address can't be read")
	}
	req.Header.Set("User-Agent", p.options.UserAgent)
	req.Header.Set("Accept-Encoding", "identity")
	if p.etag == "" && p.total < 0 || p.total >= 0 && p.done >= p.total {
		// Nothing of this link is there yet, or nothing would tell whether what
		// follows belongs to it.
		if err := p.restart(); err != nil {
			return err
		}
	}
	if p.done > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", p.done))
		if p.etag != "" {
			req.Header.Set("If-Range", p.etag)
		}
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return explain(ctx, err)
	}
	defer resp.Body.Close()
	p.startWindow() // from the header on, bytes are what counts
	if err := p.accept(resp); err != nil {
		return err
	}
	return p.copyBody(ctx, resp.Body)
}

// startWindow gives the try another Window, in which bytes must come at LeastRate.
func (p *part) startWindow() {
	if p.timer != nil { // else p is a copy
		p.missing = int64(float64(p.options.LeastRate) * p.options.Window.Seconds())
		p.timer.Reset(p.options.Window)
	}
}

// explain returns an error of this package unchanged, and any other error of the
// connection as transient, in words without the address, which may be signed.
func explain(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*pixazo.Error](err); ok {
		return e
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return transient{errors.New("the connection broke before the end of the file")}
	}
	if strings.Contains(err.Error(), "Location header") {
		return failed("its address redirects to one that can't be read") // net/http quotes it
	}
	return transient{errors.New(text.Clean(err.Error(), 200))}
}

// accept checks the header of an answer, and whether its body goes on where the
// file ends; if not, the file is emptied.
func (p *part) accept(resp *http.Response) error {
	if coding := resp.Header.Get("Content-Encoding"); resp.StatusCode < 300 && coding != "" && !strings.EqualFold(coding, "identity") {
		return failed("the server sent it packed (%s), though nothing packed was asked for", text.Quote(coding))
	}
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
	case code == http.StatusPartialContent && p.done > 0, code == http.StatusRequestedRangeNotSatisfiable:
		first, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || first != p.done || p.total >= 0 && total != p.total || strongETag(resp) != p.etag {
			return cmp.Or[error](p.restart(), transient{errors.New("the file changed on the server")})
		}
		p.total = total
		return p.checkSize(total)
	case code == http.StatusForbidden || code == http.StatusNotFound || code == http.StatusGone:
		return fmt.Errorf("%w (HTTP %d)", errExpired, code)
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		return transient{fmt.Errorf("the server answered HTTP %d", code)}
	default:
		return failed("the server answered HTTP %d", code)
	}
	if err := p.restart(); err != nil {
		return err
	}
	p.total, p.etag = resp.ContentLength, strongETag(resp)
	declared, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if strings.HasPrefix(declared, "text/") || strings.HasSuffix(declared, "json") || strings.HasSuffix(declared, "xml") {
		return failed("the server sent %s, not a video", text.Quote(declared))
	}
	return p.checkSize(p.total)
}

// copyBody appends body to the file.
func (p *part) copyBody(ctx context.Context, body io.Reader) error {
	buffered := bufio.NewReaderSize(body, copyBuffer)
	if p.done == 0 {
		head, err := buffered.Peek(sniffed)
		if err != nil && !errors.Is(err, io.EOF) {
			return explain(ctx, err)
		}
		if err := p.checkHead(head); err != nil {
			return err
		}
	}
	if _, err := buffered.WriteTo(p); err != nil {
		return explain(ctx, err)
	}
	if p.total >= 0 && p.done != p.total {
		return transient{fmt.Errorf("%d of %d bytes came", p.done, p.total)}
	}
	return nil
}

// strongETag is the name of exactly these bytes, or "" (RFC 9110, section
// 8.8.3).
func strongETag(resp *http.Response) string {
	if tag := resp.Header.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return ""
}

// contentRange reads "bytes 100-199/200". A total of * is refused: nothing would
// tell whether it is still the same file.
func contentRange(s string) (first, total int64, ok bool) {
	var last int64
	n, _ := fmt.Sscanf(s, "bytes %d-%d/%d", &first, &last, &total)
	return first, total, n == 3 && first <= last && last == total-1
}
