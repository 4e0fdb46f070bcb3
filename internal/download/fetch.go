// This file fetches one video from where the gateway put it. The address comes
// from outside, so it decides nothing: which hosts may be dialled, how much is
// taken and what counts as a video is settled here. The key never goes along.

package download

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gabriel-vasile/mimetype"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	fetchTries   = 3
	maxRedirects = 5
	sniffed      = 3072 // bytes that are looked at to tell what a file is
)

// How long a transfer may stand still, and the pause before the first try
// anew, which doubles.
var (
	stallTimeout = 30 * time.Second
	retryPause   = 500 * time.Millisecond
)

// fetcher fetches videos.
type fetcher struct {
	client *http.Client
	own    *url.URL // origin of a gateway on this computer, which serves media itself; else nil
	limit  int64    // bytes
	agent  string
}

func newFetcher(gatewayURL, agent string, limit int64) *fetcher {
	f := &fetcher{limit: limit, agent: agent}
	if u, err := url.Parse(gatewayURL); err == nil && pixazo.IsLoopback(u.Hostname()) {
		f.own = u
	}
	public := &net.Dialer{Timeout: 10 * time.Second, Control: refusePrivate}
	loopback := &net.Dialer{Timeout: 10 * time.Second}
	f.client = &http.Client{CheckRedirect: f.checkRedirect, Transport: &http.Transport{
		// No proxy: which address is dialled for a name would be its affair.
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if own, _ := ctx.Value(ownKey{}).(bool); own && strings.ToLower(address) == hostPort(f.own) {
				return loopback.DialContext(ctx, network, address)
			}
			return public.DialContext(ctx, network, address)
		},
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  stallTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // what is counted, resumed and hashed are the file's own bytes
		DisableKeepAlives:      true,
		ReadBufferSize:         copyBuffer,
	}}
	return f
}

// ownKey marks the context of a fetch that began on the gateway's own origin.
type ownKey struct{}

func (f *fetcher) isOwn(u *url.URL) bool {
	return f.own != nil && u.Scheme == f.own.Scheme && hostPort(u) == hostPort(f.own)
}

func hostPort(u *url.URL) string {
	return net.JoinHostPort(strings.ToLower(u.Hostname()), cmp.Or(u.Port(), map[string]string{"https": "443", "http": "80"}[u.Scheme]))
}

// checkLink allows https, and the gateway's own origin when that is this
// computer.
func (f *fetcher) checkLink(u *url.URL) error {
	switch {
	case u.Host == "" || u.Scheme != "https" && !f.isOwn(u):
		return unsaved("its address must be https; got %s", text.Quote(shownURL(u)))
	case u.User != nil: // would be sent as a password
		return unsaved("its address must not hold a user name; got %s", text.Quote(shownURL(u)))
	}
	return nil
}

func (f *fetcher) checkRedirect(req *http.Request, via []*http.Request) error {
	req.Header.Del("Referer") // the address before may be a signed one
	if len(via) > maxRedirects {
		return unsaved("its address redirects more than %d times", maxRedirects)
	}
	if req.URL.Scheme == "http" && !f.isOwn(via[0].URL) {
		return unsaved("its address redirects to %s, which is not https", text.Quote(shownURL(req.URL)))
	}
	return f.checkLink(req.URL)
}

// shownURL is a URL without its query, which may be a signature.
func shownURL(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return shown.String()
}

// refusePrivate is asked before each connection is made, with the address that
// the name led to: a name that changes its mind after a check gains nothing.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	host, err := netip.ParseAddrPort(address)
	if err != nil || !isPublic(host.Addr()) {
		return unsaved("its host is at %s, which is not an address of the public internet", text.Quote(address))
	}
	return nil
}

// notPublic are the blocks of the IANA special-purpose address registries that
// netip has no word for, and a cloud's metadata address among public ones.
var notPublic = parsePrefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"168.63.129.16/32", // Azure's metadata and platform services
	"::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
)

var nat64 = netip.MustParsePrefix("64:ff9b::/96") // holds an IPv4 address (RFC 6052)

func parsePrefixes(all ...string) []netip.Prefix {
	prefixes := make([]netip.Prefix, len(all))
	for i, s := range all {
		prefixes[i] = netip.MustParsePrefix(s)
	}
	return prefixes
}

func isPublic(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// unsaved is the error of a video that is not saved, however often it is tried.
func unsaved(format string, args ...any) error {
	return &pixazo.Error{Code: pixazo.DownloadFailed, Message: "the video could not be saved: " + fmt.Sprintf(format, args...)}
}

// errExpired is the error of a link that no longer leads anywhere.
var errExpired = errors.New("the link has expired")

// passing is an error that another try may not meet.
type passing struct{ error }

// transfer is one file on its way.
type transfer struct {
	*fetcher
	link   *url.URL
	file   *os.File
	report func(done, total int64) // total 0 when not known

	sum       *hasher
	buf       []byte
	done      int64  // bytes in the file
	begun     int64  // of these, bytes that the disk has begun to write
	total     int64  // of the whole; -1 when the server does not say
	etag      string // "" when there is no strong one
	mediaType string
}

// fetch writes what is at link into file, in place of anything there. It is
// tried 3 times in all, each going on where the last one broke if the server
// allows. Errors have code download_failed, or are errExpired, or ctx's.
func (f *fetcher) fetch(ctx context.Context, link string, file *os.File, report func(done, total int64)) (File, error) {
	u, err := url.Parse(link)
	if err != nil {
		return File{}, unsaved("its address can't be read")
	}
	if err := f.checkLink(u); err != nil {
		return File{}, err
	}
	if f.isOwn(u) {
		ctx = context.WithValue(ctx, ownKey{}, true)
	}
	t := &transfer{fetcher: f, link: u, file: file, report: report, total: -1, sum: newHasher(), buf: make([]byte, copyBuffer)}
	defer t.sum.close()
	pause := retryPause
	for try := 1; ; try++ {
		err := t.try(ctx)
		var again passing
		switch {
		case ctx.Err() != nil:
			return File{}, ctx.Err()
		case err == nil:
			return File{Bytes: t.done, MediaType: t.mediaType, SHA256: fmt.Sprintf("%x", t.sum.total())}, nil
		case !errors.As(err, &again):
			return File{}, err
		case try == fetchTries:
			return File{}, unsaved("%d tries failed, the last one since %v", fetchTries, again.error)
		}
		if !sleep(ctx, pause) {
			return File{}, ctx.Err()
		}
		pause *= 2
	}
}

// try fetches the file, or the rest of it.
func (t *transfer) try(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Time for the header, by whichever detour, then anew for each read.
	stall := time.AfterFunc(2*stallTimeout, func() { cancel(fmt.Errorf("nothing came for %s", stallTimeout)) })
	defer stall.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.link.String(), nil)
	if err != nil {
		return unsaved("its address can't be read")
	}
	req.Header.Set("User-Agent", t.agent)
	req.Header.Set("Accept-Encoding", "identity")
	if t.etag == "" && t.total < 0 || t.total >= 0 && t.done >= t.total {
		// Nothing is there yet from this link, or nothing would tell whether
		// what follows belongs to it.
		if err := t.restart(); err != nil {
			return err
		}
	}
	if t.done > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", t.done))
		if t.etag != "" {
			req.Header.Set("If-Range", t.etag)
		}
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return t.explain(ctx, err)
	}
	defer resp.Body.Close()
	stall.Reset(stallTimeout)
	if err := t.accept(resp); err != nil {
		return err
	}
	return t.copy(ctx, resp.Body, stall)
}

// explain tells an error that is our own refusal from one of the network.
func (t *transfer) explain(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*pixazo.Error](err); ok {
		return e
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the address, which may be a signed one
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return passing{errors.New("the connection broke before the end of the file")}
	}
	if strings.Contains(err.Error(), "Location header") {
		return unsaved("its address redirects to one that can't be read") // net/http quotes it, and it may be a signed one
	}
	return passing{errors.New(text.Clean(err.Error(), 200))}
}

// accept checks the header of an answer, and whether it goes on where the file
// stands; if not, the file is begun anew.
func (t *transfer) accept(resp *http.Response) error {
	if coding := resp.Header.Get("Content-Encoding"); resp.StatusCode < 300 && coding != "" && !strings.EqualFold(coding, "identity") {
		return unsaved("what came is packed (%s), though nothing packed was asked for", text.Quote(coding))
	}
	switch code := resp.StatusCode; {
	case code == http.StatusPartialContent && t.done > 0:
		first, total, ok := contentRange(resp.Header.Get("Content-Range"))
		etag := strongETag(resp)
		if !ok || first != t.done || t.total >= 0 && total != t.total || etag != t.etag {
			if err := t.restart(); err != nil {
				return err
			}
			return passing{errors.New("the file changed on the server")}
		}
		t.total = total
		return t.checkRoom()
	case code == http.StatusOK:
		if err := t.restart(); err != nil {
			return err
		}
	case code == http.StatusRequestedRangeNotSatisfiable:
		if err := t.restart(); err != nil {
			return err
		}
		return passing{errors.New("the server refused to go on where the transfer broke")}
	case code == http.StatusForbidden || code == http.StatusNotFound || code == http.StatusGone:
		return fmt.Errorf("%w (HTTP %d)", errExpired, code)
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		return passing{fmt.Errorf("the server answered HTTP %d", code)}
	default:
		return unsaved("the server answered HTTP %d", code)
	}
	t.total = resp.ContentLength
	t.etag = strongETag(resp)
	t.mediaType = ""
	declared, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case strings.HasPrefix(declared, "text/") || strings.HasSuffix(declared, "json") || strings.HasSuffix(declared, "xml"):
		return unsaved("what came is no video; its type is %s", text.Quote(declared))
	case t.total == 0:
		return unsaved("the file is empty")
	case isMedia(declared):
		t.mediaType = declared
	}
	return t.checkRoom()
}

// checkRoom refuses a file that is known to be too large, before it is fetched.
func (t *transfer) checkRoom() error {
	if t.total > t.limit {
		return t.tooLarge(t.total)
	}
	free, err := freeSpace(filepath.Dir(t.file.Name()))
	if rest := t.total - t.done; err == nil && uint64(max(rest, 0))+spare > free {
		if t.total < 0 {
			return unsaved("the disk is nearly full; free some, or set --output-dir (PIXAZO_OUTPUT_DIR) to another disk")
		}
		return unsaved("it has %d bytes and the disk has only %d bytes free; free some, or set --output-dir (PIXAZO_OUTPUT_DIR) to another disk", t.total, free)
	}
	return nil
}

func (t *transfer) tooLarge(size int64) error {
	return unsaved("it has at least %d bytes and the limit is %d (--max-download, PIXAZO_MAX_DOWNLOAD)", size, t.limit)
}

// restart empties the file.
func (t *transfer) restart() error {
	t.sum.reset()
	t.done, t.begun, t.total, t.etag = 0, 0, -1, ""
	if err := t.file.Truncate(0); err != nil {
		return diskError(err)
	}
	_, err := t.file.Seek(0, io.SeekStart)
	return diskError(err)
}

const (
	copyBuffer  = 256 << 10 // bytes
	copyBuffers = 8
	writeBehind = 8 << 20 // bytes

	spare = 32 << 20 // bytes that are left free on the disk: the journal is on it too, as a rule
)

// copy adds body to the file.
func (t *transfer) copy(ctx context.Context, body io.Reader, stall *time.Timer) error {
	for {
		n, err := readSome(body, t.buf)
		stall.Reset(stallTimeout)
		if n > 0 {
			if err := t.add(n); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
		case !errors.Is(err, io.EOF):
			return t.explain(ctx, err)
		case t.done == 0:
			return unsaved("the file is empty")
		case t.total >= 0 && t.done != t.total:
			return passing{fmt.Errorf("%d of %d bytes came", t.done, t.total)}
		default:
			return nil
		}
	}
}

// add writes the first n bytes of the buffer.
func (t *transfer) add(n int) error {
	if t.done == 0 {
		if err := t.look(t.buf[:n]); err != nil {
			return err
		}
	}
	if t.done+int64(n) > t.limit {
		return t.tooLarge(t.done + int64(n))
	}
	if _, err := t.file.Write(t.buf[:n]); err != nil {
		return diskError(err)
	}
	t.buf = t.sum.add(t.buf[:n])
	t.done += int64(n)
	if behind := t.done - t.begun; behind >= writeBehind {
		beginWriting(t.file, t.begun, behind)
		t.begun = t.done
		if err := t.checkRoom(); err != nil {
			return err
		}
	}
	t.report(t.done, max(t.total, 0))
	return nil
}

// readSome reads until there is enough to be worth a write, or to see what it
// is.
func readSome(r io.Reader, buf []byte) (n int, err error) {
	for n < sniffed && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

// look sees by its first bytes whether a file is a video.
func (t *transfer) look(head []byte) error {
	found := mimetype.Detect(head[:min(len(head), sniffed)])
	name, _, _ := mime.ParseMediaType(found.String())
	isMarkup := bytes.HasPrefix(bytes.TrimLeft(head, "\ufeff \t\r\n"), []byte("<")) // an SVG image, for one, which is a document
	// What is declared counts only where nothing can be told: a page or an archive
	// is no video whatever it is called. Any bytes without a zero pass for text.
	unknown := name == "application/octet-stream" || name == "text/plain"
	switch {
	case isMarkup || !isMedia(name) && !(unknown && t.mediaType != ""):
		return unsaved("what came is no video; it looks like %s", name)
	case isMedia(name):
		t.mediaType = name
	}
	return nil
}

// isMedia leaves pictures out, save one that moves: they stand in for videos
// that are gone.
func isMedia(mediaType string) bool {
	return strings.HasPrefix(mediaType, "video/") || strings.HasPrefix(mediaType, "audio/") || mediaType == "image/gif"
}

// strongETag is the name of exactly these bytes, or "" (RFC 9110, section
// 8.8.3).
func strongETag(resp *http.Response) string {
	if tag := resp.Header.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return ""
}

// contentRange reads "bytes 100-199/200". A total of * does not do: nothing
// would tell whether it is still the same file.
func contentRange(s string) (first, total int64, ok bool) {
	s, ok = strings.CutPrefix(s, "bytes ")
	span, size, cut := strings.Cut(s, "/")
	from, to, dash := strings.Cut(span, "-")
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	total, err3 := strconv.ParseInt(size, 10, 64)
	return first, total, ok && cut && dash && errors.Join(err1, err2, err3) == nil && first <= last && last == total-1
}

// diskError words an error of the file that is being written.
func diskError(err error) error {
	if err == nil {
		return nil
	}
	if p, ok := errors.AsType[*os.PathError](err); ok {
		err = p.Err
	}
	return unsaved("the file can't be written: %s", text.Clean(err.Error(), 200))
}

// hasher makes a SHA-256 in a goroutine of its own, so that a second core takes
// part.
type hasher struct {
	sum        hash.Hash
	full, free chan []byte
	idle       chan struct{}
}

func newHasher() *hasher {
	h := &hasher{sum: sha256.New(), full: make(chan []byte, copyBuffers), free: make(chan []byte, copyBuffers), idle: make(chan struct{})}
	for range copyBuffers - 1 { // the caller has one
		h.free <- nil // made when it is needed
	}
	go h.run()
	return h
}

func (h *hasher) run() {
	for buf := range h.full {
		if buf == nil {
			h.idle <- struct{}{}
			continue
		}
		h.sum.Write(buf)
		h.free <- buf[:cap(buf)]
	}
}

// add takes a buffer of copyBuffer bytes for what is in it, and gives another.
func (h *hasher) add(buf []byte) []byte {
	h.full <- buf
	if buf = <-h.free; buf == nil {
		buf = make([]byte, copyBuffer)
	}
	return buf
}

// wait returns when all that was added is in the sum.
func (h *hasher) wait() {
	h.full <- nil
	<-h.idle
}

func (h *hasher) total() []byte {
	h.wait()
	return h.sum.Sum(nil)
}

func (h *hasher) reset() {
	h.wait()
	h.sum.Reset()
}

func (h *hasher) close() { close(h.full) }

// sleep waits for d, and reports whether ctx lasted as long.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
