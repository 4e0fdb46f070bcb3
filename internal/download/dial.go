// This file decides where a request for a video may go: neither its address nor
// the redirects can be trusted. The API key is never sent along.

package download

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
	"unicode"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const maxRedirects = 5

// newClient returns the client that fetches videos.
func (s *Saver) newClient() *http.Client {
	guarded := newTransport(refusePrivate) // to public addresses alone
	trusting := newTransport(nil)
	trusting.Proxy = s.proxy
	return &http.Client{CheckRedirect: s.checkRedirect, Transport: router{s, guarded, trusting}}
}

// newTransport returns a transport that calls control before it connects to an address,
// and does not connect if that returns an error. A nil control allows all.
func newTransport(control func(network, address string, c syscall.RawConn) error) *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, Control: control}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // so that the file's own bytes are counted, resumed and hashed
		DisableKeepAlives:      true,
		ReadBufferSize:         copyBuffer,
	}
}

// router sends each request to the gateway's own origin on this computer, to a
// proxy if one is set, or else directly to a public address.
type router struct {
	*Saver
	guarded, trusting http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (r router) RoundTrip(req *http.Request) (*http.Response, error) {
	proxy, err := r.proxy(req)
	switch {
	case err != nil:
		return nil, failed("the proxy setting (HTTPS_PROXY) can't be read") // it may hold a password
	case proxy != nil:
		if err := checkProxied(req.URL); err != nil {
			return nil, err
		}
	case !r.isOwn(req.URL):
		return r.guarded.RoundTrip(req)
	}
	return r.trusting.RoundTrip(req)
}

// proxy returns the proxy of a request, nil for none.
func (s *Saver) proxy(req *http.Request) (*url.URL, error) {
	if s.options.Proxy == nil || s.isOwn(req.URL) {
		return nil, nil
	}
	return s.options.Proxy(req)
}

// through returns words for an error that name the proxy of req; "" without one.
func (s *Saver) through(req *http.Request) string {
	if proxy, err := s.proxy(req); err == nil && proxy != nil {
		return " (through the proxy " + text.Clean(proxy.Host, 200) + ", by HTTPS_PROXY)"
	}
	return ""
}

// isOwn reports whether u has the origin of a gateway on this computer.
func (s *Saver) isOwn(u *url.URL) bool {
	return s.own != "" && pixazo.OriginOf(u) == s.own
}

// checkLink refuses any URL but https ones and those of a gateway on this computer.
func (s *Saver) checkLink(u *url.URL) error {
	switch {
	case u.Host == "" || u.Scheme != "https" && !s.isOwn(u):
		return failed("its address must be https; got %s", text.Quote(shownURL(u)))
	case u.User != nil: // would be sent as a password
		return failed("its address must not hold a user name; got %s", text.Quote(shownURL(u)))
	}
	return nil
}

// checkRedirect refuses the redirect after maxRedirects of them, and one to the
// gateway's own origin unless the link was of that origin, too.
func (s *Saver) checkRedirect(req *http.Request, via []*http.Request) error {
	req.Header.Del("Referer") // may be a signed address
	if len(via) > maxRedirects {
		return failed("its address redirects more than %d times", maxRedirects)
	}
	if s.isOwn(req.URL) && !s.isOwn(via[0].URL) {
		return failed("its address redirects to %s, which is on this computer", text.Quote(shownURL(req.URL)))
	}
	return s.checkLink(req.URL)
}

// shownURL returns a URL for an error message, without its query, which may hold a
// signature.
func shownURL(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return shown.String()
}

// checkProxied refuses URLs that a proxy must not be asked for: those with another
// port than https has, and those of hosts within a network. The proxy resolves the
// names, so the addresses that they lead to are not checked. Letters beyond ASCII in a
// name may be mapped to those of another host.
func checkProxied(u *url.URL) error {
	switch host := u.Hostname(); {
	case u.Scheme != "https" || u.Port() != "" && u.Port() != "443":
		return failed("through a proxy its address must be https on port 443; got %s", text.Quote(shownURL(u)))
	case !pixazo.IsPublic(host) || strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }):
		return failed("its host %s is not one of the public internet", text.Quote(u.Host))
	}
	return nil
}

// refusePrivate refuses connections to any but public addresses. The dialer calls
// it with the resolved address before each connection, so a name can't lead to
// another address after the check.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	host, err := netip.ParseAddrPort(address)
	if err != nil || !pixazo.IsPublic(host.Addr().String()) {
		return failed("its host is at %s, which is not an address of the public internet", text.Quote(address))
	}
	return nil
}
