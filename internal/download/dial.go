// This file decides where a request for a video may go. The address comes from
// outside, and so does each redirect. The key never goes along.

package download

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const maxRedirects = 5

// newClient returns the client that fetches videos.
func (s *Saver) newClient() *http.Client {
	guarded := &http.Transport{
		// No proxy: which address is dialled for a name would be its affair.
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, Control: refusePrivate}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // what is counted, resumed and hashed are the file's own bytes
		DisableKeepAlives:      true,
		ReadBufferSize:         copyBuffer,
	}
	trusting := guarded.Clone()
	trusting.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	return &http.Client{CheckRedirect: s.checkRedirect, Transport: router{s, guarded, trusting}}
}

// router sends each request by the way that it may take: to a public address, or
// to the gateway's own origin on this computer.
type router struct {
	*Saver
	guarded, trusting http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (r router) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.isOwn(req.URL) {
		return r.trusting.RoundTrip(req)
	}
	return r.guarded.RoundTrip(req)
}

// isOwn reports whether u is on the gateway's own origin, on this computer.
func (s *Saver) isOwn(u *url.URL) bool {
	origin, ok := pixazo.OriginOf(u)
	return ok && origin.String() == s.own
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

// refusePrivate is asked before each connection is made, with the address that
// the name led to: a name that changes its address after a check gains nothing.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	host, err := netip.ParseAddrPort(address)
	if err != nil || !isPublic(host.Addr()) {
		return failed("its host is at %s, which is not an address of the public internet", text.Quote(address))
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
