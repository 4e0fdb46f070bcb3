// This file holds the rules for the addresses that a user may set.

package pixazo

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// DefaultGatewayURL is the gateway's origin (API, "Authentication").
const DefaultGatewayURL = "https://gateway.pixazo.ai"

// MediaOrigin covers the hosts of finished videos; the gateway itself is
// another.
const MediaOrigin = "https://*.r2.dev"

var (
	errGateway = errors.New("must be an https URL of just a host and perhaps a port (http only to this computer), such as " + DefaultGatewayURL)
	errWebhook = errors.New("must be an https URL of at most 2,000 characters, all of them ASCII")
)

// ParseGatewayURL returns the origin that s names: scheme, host in lower case,
// and the port unless it is the scheme's own. "" means DefaultGatewayURL. A
// path is refused, since the paths of the API are added to it. The error holds
// the rule, and nothing of s.
func ParseGatewayURL(s string) (*url.URL, error) {
	if s == "" {
		s = DefaultGatewayURL
	}
	u, err := url.Parse(s)
	if err != nil || u.User != nil || strings.ContainsAny(s, "?#") || strings.Trim(u.Path, "/") != "" || u.Hostname() == "" {
		return nil, errGateway
	}
	host := strings.ToLower(u.Hostname())
	if u.Scheme != "https" && (u.Scheme != "http" || !IsLoopback(host)) {
		return nil, errGateway
	}
	number, err := strconv.ParseUint(port(u), 10, 16)
	if err != nil || number == 0 || strings.HasSuffix(u.Host, ":") {
		return nil, errGateway
	}
	origin := &url.URL{Scheme: u.Scheme, Host: net.JoinHostPort(host, strconv.FormatUint(number, 10))}
	if origin.Port() == port(&url.URL{Scheme: u.Scheme}) {
		origin.Host = strings.TrimSuffix(origin.Host, ":"+origin.Port())
	}
	return origin, nil
}

// CheckWebhookURL returns an error that holds the rule, and nothing of s, unless
// s can be given to the gateway as the address of a webhook: it travels in a
// header, so it must be of printable ASCII.
func CheckWebhookURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || strings.HasSuffix(u.Host, ":") || len(s) > 2000 ||
		strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errWebhook
	}
	if number, err := strconv.ParseUint(port(u), 10, 16); err != nil || number == 0 {
		return errWebhook
	}
	return nil
}

// IsLoopback reports whether host, in lower case, is this computer: localhost,
// or a loopback address.
func IsLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// port returns the port of u, also where it is left to the scheme.
func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"https": "443", "http": "80"}[u.Scheme]
}

// ours reports whether u lies on the gateway's own origin: same scheme, host
// and port, the default port written out or not.
func (c *Client) ours(u *url.URL) bool {
	return u.Scheme == c.origin.Scheme && strings.EqualFold(u.Hostname(), c.origin.Hostname()) && port(u) == port(c.origin) && u.User == nil
}

// ownURL is s if it is a URL on the gateway's own origin, else "".
func (c *Client) ownURL(s string) string {
	if u, err := url.Parse(s); err != nil || s == "" || !c.ours(u) || len(s) > maxURLLength {
		return ""
	}
	return s
}
