// This file holds the rules for addresses, those that a user sets and those that the
// gateway names.

package pixazo

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"code.dny.dev/ssrf"
)

// DefaultGatewayURL is the gateway's origin (API, "Authentication").
const DefaultGatewayURL = "https://gateway.pixazo.ai"

// MediaOrigin matches the hosts from which finished videos are served, but for the
// gateway itself, which may serve some.
const MediaOrigin = "https://*.r2.dev"

var (
	errGateway = errors.New("must be an https URL of just a host and perhaps a port (http only to this computer), such as " + DefaultGatewayURL)
	errWebhook = errors.New("must be an https URL of at most 2,000 characters, all of them ASCII (http only to this computer)")
)

// ParseGatewayURL returns the origin of the URL s, see OriginOf. "" stands for
// DefaultGatewayURL. A URL with a path is refused, since the paths of the API are put
// behind the origin. The error is the rule that s breaks and quotes nothing of s.
func ParseGatewayURL(s string) (origin string, err error) {
	if s == "" {
		s = DefaultGatewayURL
	}
	u, err := url.Parse(s)
	if err != nil || u.User != nil || strings.ContainsAny(s, "?#") || strings.Trim(u.Path, "/") != "" || strings.HasSuffix(u.Host, ":") {
		return "", errGateway
	}
	if origin = OriginOf(u); origin == "" {
		return "", errGateway
	}
	return origin, nil
}

// OriginOf returns scheme, host and port of u in normal form: the host in lower case
// and without a final dot, an IP address in its shortest form, without the scheme's
// default port. It returns "" unless u is an https URL, or an http URL of this
// computer, with a valid port.
func OriginOf(u *url.URL) string {
	host := normalHost(u.Hostname())
	own := map[string]string{"https": "443", "http": "80"}[u.Scheme]
	number, err := strconv.ParseUint(cmp.Or(u.Port(), own), 10, 16)
	if err != nil || number == 0 || host == "" || u.Scheme != "https" && (u.Scheme != "http" || !IsLoopback(u.Hostname())) {
		return ""
	}
	port := strconv.FormatUint(number, 10)
	address := net.JoinHostPort(host, port)
	if port == own {
		address = strings.TrimSuffix(address, ":"+port)
	}
	return u.Scheme + "://" + address
}

func normalHost(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String()
	}
	return host
}

// normalURL returns the URL s with scheme and host in lower case, without the scheme's
// default port, and with / for no path. What is no URL stays as it is.
func normalURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return s
	}
	u.Host = strings.ToLower(u.Host)
	u.Host = strings.TrimSuffix(u.Host, map[string]string{"https": ":443", "http": ":80"}[u.Scheme])
	u.Path = cmp.Or(u.Path, "/")
	return u.String()
}

// CheckWebhookURL returns an error unless s can be given to the gateway as a webhook
// URL. s is sent in a header, so it must be printable ASCII. The gateway takes https
// only; http to this computer is for the sandbox. The error is the rule that s breaks
// and quotes nothing of s.
func CheckWebhookURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || OriginOf(u) == "" ||
		strings.HasSuffix(u.Host, ":") || len(s) > 2000 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errWebhook
	}
	return nil
}

// IsLoopback reports whether host is localhost or a loopback address.
func IsLoopback(host string) bool {
	host = normalHost(host)
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// IsPublic reports whether host may be one on the internet: no name or address of this
// computer or of a network that it is in, for which a name without a dot is one. Systems
// take a name whose last part is a number for an old form of an IPv4 address, as in 127.1.
func IsPublic(host string) bool {
	host = normalHost(host)
	addr, err := netip.ParseAddr(host)
	if err != nil {
		last := host[strings.LastIndexByte(host, '.')+1:]
		first, _ := utf8.DecodeRuneInString(last)
		return last != host && unicode.IsLetter(first) && !slices.Contains([]string{"localhost", "local", "localdomain", "internal", "lan"}, last)
	}
	addr = addr.Unmap()
	if ssrf.IPv6NAT64Prefix.Contains(addr) { // the IPv4 address that it holds counts (RFC 6052)
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	return publicAddresses.SafeAddr(addr) == nil
}

// isExample reports whether host is an address that examples have in place of a public one
// (RFC 5737 and RFC 3849).
func isExample(host string) bool {
	addr, _ := netip.ParseAddr(host)
	return slices.ContainsFunc(exampleAddresses, func(p netip.Prefix) bool { return p.Contains(addr) })
}

var exampleAddresses = []netip.Prefix{
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32"),
}

var publicAddresses = ssrf.New(ssrf.WithAnyPort(), ssrf.WithDeniedV4Prefixes(
	netip.MustParsePrefix("168.63.129.16/32"), // Azure's metadata and platform services
))

// isOwn reports whether address is a URL with the gateway's scheme, host and port, to
// which the key may be sent.
func (c *Client) isOwn(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.User == nil && OriginOf(u) == c.origin && len(address) <= maxURLLength
}

// Origin returns the gateway's origin in normal form, such as
// https://gateway.pixazo.ai.
func (c *Client) Origin() string { return c.origin }

// Account returns the hash of the current key, "" if there is none. The journal keeps
// it with a job, as only the same key can ask for it.
func (c *Client) Account() string {
	key, err := c.config.Key()
	if err != nil {
		return ""
	}
	return key.Hash()
}
