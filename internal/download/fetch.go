// This file fetches one video from where the gateway put it, in several tries,
// each of which resumes where the last one broke.

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
	leastRate  = 16_000    // bytes a second
)

// errExpired says that a link does not work any more. A fresh one may.
var errExpired = errors.New("the link has expired")

// transient marks an error that is worth another try.
type transient struct{ error }

// fetch replaces the content of the part by the file at link. It makes 3 tries in
// all, and each resumes where the last one broke if the server allows that. Errors
// have code download_failed, or are errExpired, or ctx's.
func (p *part) fetch(ctx context.Context, link string) error {
	req, err := http.NewRequest(http.MethodGet, link, nil)
	if err != nil {
		return failed("its address can't be read")
	}
	req.Header.Set("User-Agent", p.options.UserAgent)
	req.Header.Set("Accept-Encoding", "identity")
	if err := cmp.Or(p.checkLink(req.URL), p.restart()); err != nil {
		return err
	}
	pause, through := p.options.RetryPause, p.through(req)
	for try := 1; ; try++ {
		err := p.try(ctx, req.Clone(ctx))
		var again transient
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.As(err, &again):
			return err
		case try == fetchTries && p.options.Team && through != "":
			p.options.Logger.Warn("a video could not be fetched"+through, "request_id", p.req.RequestID, "error", again.error)
			return failed("%d tries failed, through a proxy of the server", fetchTries)
		case try == fetchTries:
			return failed("%d tries failed, the last one since %v%s", fetchTries, again.error, through)
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
		}
	}
}

// try sends req and fetches the file, or the rest of it.
func (p *part) try(ctx context.Context, req *http.Request) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.timer = time.AfterFunc(p.options.Window, func() {
		cancel(fmt.Errorf("less than %d kB/s came for %s", leastRate/1000, p.options.Window))
	})
	defer p.timer.Stop()

	tag := strongETag(p.header)
	if tag == "" && p.total < 0 || p.total >= 0 && p.done >= p.total {
		// Nothing would tell whether the rest belongs to what is there, or there is none.
		if err := p.restart(); err != nil {
			return err
		}
	}
	if p.done > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", p.done))
		if tag != "" {
			req.Header.Set("If-Range", tag)
		}
	}
	resp, err := p.client.Do(req.WithContext(ctx))
	if err != nil {
		return explain(ctx, err)
	}
	defer resp.Body.Close()
	p.startWindow() // of the body: the time until the header does not count
	if err := p.accept(resp); err != nil {
		return err
	}
	return p.copyBody(ctx, resp.Body)
}

// startWindow starts the timer of the try anew. It cancels the try unless bytes come at
// leastRate or faster, on average over the next Window.
func (p *part) startWindow() {
	if p.timer != nil { // nil while a saved file is copied
		p.missing = int64(leastRate * p.options.Window.Seconds())
		p.timer.Reset(p.options.Window)
	}
}

// explain returns an error of this package unchanged. It makes any other error of
// the connection transient, and leaves out the address, which may be signed.
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
		return failed("its address redirects to one that can't be read") // the error of net/http quotes the address
	}
	return transient{errors.New(text.Clean(err.Error(), 200))}
}

// accept checks the header of an answer. If the body does not continue where the
// file ends, the file is emptied.
func (p *part) accept(resp *http.Response) error {
	if coding := resp.Header.Get("Content-Encoding"); resp.StatusCode < 300 && coding != "" && !strings.EqualFold(coding, "identity") {
		return failed("the server sent it packed (%s), though nothing packed was asked for", text.Quote(coding))
	}
	switch code := resp.StatusCode; {
	case code == http.StatusPartialContent && p.done > 0, code == http.StatusRequestedRangeNotSatisfiable:
		if code != http.StatusPartialContent || !p.continues(resp) {
			return cmp.Or[error](p.restart(), transient{errors.New("the file changed on the server")})
		}
		return p.checkSize(p.total)
	case code == http.StatusForbidden || code == http.StatusNotFound || code == http.StatusGone:
		return fmt.Errorf("%w (HTTP %d)", errExpired, code)
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		return transient{fmt.Errorf("the server answered HTTP %d", code)}
	case code != http.StatusOK:
		return failed("the server answered HTTP %d", code)
	}
	if err := p.restart(); err != nil {
		return err
	}
	p.total, p.header = resp.ContentLength, resp.Header
	if declared := notVideo(resp); declared != "" {
		return failed("the server sent %s, not a video", text.Quote(declared))
	}
	return p.checkSize(p.total)
}

// continues reports whether an answer has all that the file lacks, of the same version,
// and then sets p.total. A weak ETag or a date can't prove that both are of one version,
// only that they are not.
func (p *part) continues(resp *http.Response) bool {
	var first, last, total int64
	n, _ := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &total)
	if n != 3 || first != p.done || first > last || last != total-1 || p.total >= 0 && total != p.total ||
		strongETag(resp.Header) != strongETag(p.header) || notVideo(resp) != "" {
		return false
	}
	for _, name := range []string{"ETag", "Last-Modified"} {
		if before, now := p.header.Get(name), resp.Header.Get(name); before != "" && now != "" && before != now {
			return false
		}
	}
	p.total = total
	return true
}

// notVideo returns the media type that an answer states, if it can't be that of a video;
// "" if it can.
func notVideo(resp *http.Response) string {
	declared, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if strings.HasPrefix(declared, "text/") || strings.HasPrefix(declared, "multipart/") || strings.HasSuffix(declared, "json") || strings.HasSuffix(declared, "xml") {
		return declared
	}
	return ""
}

// copyBody appends body to the file.
func (p *part) copyBody(ctx context.Context, body io.Reader) error {
	buffered := bufio.NewReaderSize(body, copyBuffer)
	if p.done == 0 {
		head, err := buffered.Peek(sniffLength)
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

// strongETag returns the ETag of an answer if equal tags mean equal bytes, else ""
// (RFC 9110, section 8.8.3).
func strongETag(header http.Header) string {
	if tag := header.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return ""
}
