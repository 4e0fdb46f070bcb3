// This file decides where a request for a video may go. The address comes from
// outside, and so does each redirect. The key never goes along.

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

	"code.dny.dev/ssrf"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const maxRedirects = 5

// newClient returns the client that fetches videos.
func (s *Saver) newClient() *http.Client {
	guarded := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, Control: refusePrivate}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // what is counted, resumed and hashed are the file's own bytes
		DisableKeepAlives:      true,
		ReadBufferSize:         copyBuffer,
	}
	trusting := guarded.Clone()
	trusting.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	trusting.Proxy = s.proxy
	return &http.Client{CheckRedirect: s.checkRedirect, Transport: router{s, guarded, trusting}}
}

// router sends each request by the way that it may take: to a public address
// directly, to a proxy, or to the gateway's own origin on this computer.
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

// through names the proxy by which link is fetched, for errors; "" without one.
func (s *Saver) through(link *url.URL) string {
	if proxy, err := s.proxy(&http.Request{URL: link}); err == nil && proxy != nil {
		return " (through the proxy " + text.Clean(proxy.Host, 200) + ", by HTTPS_PROXY)"
	}
	return ""
}

// isOwn reports whether u is on the gateway's own origin, on this computer.
func (s *Saver) isOwn(u *url.URL) bool {
	return s.own != "" && pixazo.OriginOf(u) == s.own
}

// checkLink allows https, and the gateway's own origin.
func (s *Saver) checkLink(u *url.URL) error {
	switch {
	case u.Host == "" || u.Scheme != "https" && !s.isOwn(u):
		return failed("its address must be https; got %s", text.Quote(shownURL(u)))
	case u.User != nil: // would be sent as a password
		return failed("its address must not hold a user name; got %s", text.Quote(shownURL(u)))
	}
	return nil
}

// checkRedirect follows at most maxRedirects, and to the gateway's own origin
// only from there.
func (s *Saver) checkRedirect(req *http.Request, via []*http.Request) error {
	req.Header.Del("Referer") // the address before may be a signed one
	if len(via) > maxRedirects {
		return failed("its address redirects more than %d times", maxRedirects)
	}
	if s.isOwn(req.URL) && !s.isOwn(via[0].URL) {
		return failed("its address redirects to %s, which is on this computer", text.Quote(shownURL(req.URL)))
	}
	return s.checkLink(req.URL)
}

// shownURL is a URL without its query, which may be a signature.
func shownURL(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return shown.String()
}

// checkProxied refuses what a proxy must not be asked for: another port than
// https has, and hosts that are addresses within a network. To which address a
// name leads is for the proxy to say.
func checkProxied(u *url.URL) error {
	host := strings.TrimSuffix(u.Hostname(), ".")
	address, err := netip.ParseAddr(host)
	top := host[strings.LastIndex(host, ".")+1:]
	switch {
	case u.Scheme != "https" || u.Port() != "" && u.Port() != "443":
		return failed("through a proxy its address must be https on port 443; got %s", text.Quote(shownURL(u)))
	case err == nil && isPublic(address):
		return nil
	case err == nil || top == host || top < "A" || strings.EqualFold(top, "localhost") || strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }):
		// Names without a dot are within the network, a number at the end is an
		// address in another notation, and other letters may become either.
		return failed("its host %s is not one of the public internet", text.Quote(u.Host))
	}
	return nil
}

// refusePrivate is asked before each connection is made, with the address that
// the name led to: a name that changes its address after a check gains nothing.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	host, err := netip.ParseAddrPort(address)
	if err != nil || !isPublic(host.Addr()) {
		return failed("its host is at %s, which is not an address of the public internet", text.Quote(address))
	}
	return nil
}

var public = ssrf.New(ssrf.WithAnyPort(), ssrf.WithDeniedV4Prefixes(
	netip.MustParsePrefix("168.63.129.16/32"), // Azure's metadata and platform services
))

// isPublic reports whether an address is of the public internet. Of an address
// that holds an IPv4 one for NAT64 (RFC 6052), that one counts.
func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	if ssrf.IPv6NAT64Prefix.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	return a.IsValid() && public.SafeAddr(a) == nil
}
