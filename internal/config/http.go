// This file holds the settings of the command http, the team server.

package config

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"pixazo-mcp/internal/disk"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

// helpHTTP is the text of http --help.
//
//go:embed http.txt
var helpHTTP string

const databaseVariable = "PIXAZO_DATABASE_URL"

// maxBodies is the largest request, and also the limit for all requests together.
const maxBodies = 64 << 20

// HTTPSettings are the settings of the command http. The command list has DatabaseURL,
// too. A limit of 0 means no limit.
type HTTPSettings struct {
	Address           string // host and port
	PublicURL         string // the URL of the endpoint exactly as users type it; "" for none
	DatabaseURL       Secret // of PostgreSQL; none means team.db in StateDir
	OAuthIssuer       string
	OAuthScopes       []string // the scope for reading, and the one for creating videos if it is another
	TokensFile        string
	MaxVideosPerUser  int // an hour
	MaxCallsPerMinute int // of a user
	MaxWaits          int
	MaxBody           int64  // bytes, at most 64 MiB
	WebhookSecret     Secret // none: the gateway is not asked to call back
	UsageToken        Secret // none: no GET /usage
	AllowedOrigins    []string
	MetricsAddress    string // "" for no metrics
	DrainTime         time.Duration
	Probe             bool // only ask a server with these settings whether it is ready
}

// Origin returns scheme, host and port of the URLs of callbacks and links.
func (h HTTPSettings) Origin() string {
	if h.PublicURL == "" {
		return "http://" + h.Address
	}
	u, _ := url.Parse(h.PublicURL) // can't fail: parsePublicURL has checked it
	return pixazo.OriginOf(u)
}

// Secret is a string that is never printed: fmt and JSON can't look into a function. The
// zero Secret is empty.
type Secret struct{ reveal func() string }

// NewSecret returns word as a Secret.
func NewSecret(word string) Secret { return Secret{func() string { return word }} }

// Reveal returns the string.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// httpTable returns the rows of the team server's flags.
func (p *parser) httpTable(h *HTTPSettings) []setting {
	rows := []setting{
		{name: "address", kind: "HOST:PORT", fallback: "127.0.0.1:8080", set: into(&h.Address, parseAddress)},
		{name: "public-url", kind: "URL", set: into(&h.PublicURL, parsePublicURL)},
		{name: "database-url-file", kind: "FILE", commands: []string{HTTP, List}, set: into(&h.DatabaseURL, p.secretIn(checkDatabaseURL))},
		{name: "oauth-issuer", kind: "URL", set: into(&h.OAuthIssuer, parseIssuer)},
		{name: "oauth-scopes", kind: "NAMES", set: into(&h.OAuthScopes, parseScopes)},
		{name: "tokens-file", kind: "FILE", set: into(&h.TokensFile, p.absolute)},
		{name: "max-videos-per-user", kind: "N", fallback: "20", set: into(&h.MaxVideosPerUser, parseLimit)},
		{name: "max-calls-per-minute", kind: "N", fallback: "120", set: into(&h.MaxCallsPerMinute, parseLimit)},
		{name: "max-waits", kind: "N", fallback: "2000", set: into(&h.MaxWaits, parseLimit)},
		{name: "max-body", kind: "SIZE", fallback: "8MB", set: into(&h.MaxBody, sizes(64<<10, maxBodies, maxBodies, "must be a size from 64KB to 64MB, such as 8MB, or 0 for the most"))},
		{name: "webhook-secret-file", kind: "FILE", set: into(&h.WebhookSecret, p.secretIn(checkLength))},
		{name: "usage-token-file", kind: "FILE", set: into(&h.UsageToken, p.secretIn(checkLength))},
		{name: "allowed-origins", kind: "URLS", set: into(&h.AllowedOrigins, parseAllowedOrigins)},
		{name: "metrics-address", kind: "HOST:PORT", fallback: "127.0.0.1:9090", set: into(&h.MetricsAddress, parseMetricsAddress)},
		{name: "drain-time", kind: "DURATION", fallback: "60s", set: into(&h.DrainTime, durations(0, time.Hour, "must be a duration of at most 1h, such as 60s"))},
	}
	for i := range rows {
		rows[i].team = true
		if rows[i].commands == nil {
			rows[i].commands = []string{HTTP}
		}
	}
	return rows
}

// team reads the variable with the database's URL, and refuses combinations of the team
// server's settings that are not allowed.
func (p *parser) team() {
	h := &p.s.HTTP
	for _, v := range p.fromVariable(&setting{variable: databaseVariable}) {
		if err := checkDatabaseURL(v); err != nil {
			p.fail("database-url-file", fmt.Errorf("%s: %w", databaseVariable, err))
		}
		h.DatabaseURL = NewSecret(v)
	}
	refuse := func(when bool, name, rule string) {
		if when && p.s.Problem(name) == nil {
			p.fail(name, fmt.Errorf("%s: %s", p.find(name).label, rule))
		}
	}
	if h.DatabaseURL.Reveal() != "" {
		refuse(p.s.given("state-dir"), "state-dir", "must not be set beside a database, which holds the state")
		p.s.StateDir = ""
	}
	if p.s.Command != HTTP {
		return
	}
	for _, name := range []string{filesDir, "files-from-roots"} {
		refuse(p.s.given(name), name, "must not be set with http, where files of this computer are not attached")
	}
	refuse(p.s.given("webhook-url"), "webhook-url", "must not be set with http, which receives callbacks itself: see --webhook-secret-file")
	refuse(p.s.given("webhook-mode"), "webhook-mode", "must not be set with http, which is called back once, at the end of a video")
	open := h.OAuthIssuer == "" && h.TokensFile == ""
	public, _ := url.Parse(h.PublicURL)
	const who = "needs --oauth-issuer or --tokens-file, since without authentication only this computer may call"
	refuse(open && !isLoopback(h.Address), "address", "beyond this computer "+who)
	refuse(open && h.PublicURL != "" && !pixazo.IsLoopback(public.Hostname()), "public-url", who)
	if h.PublicURL == "" {
		refuse(h.OAuthIssuer != "", "oauth-issuer", "needs --public-url, for which tokens must have been issued")
		refuse(h.WebhookSecret.Reveal() != "", "webhook-secret-file", "needs --public-url, where the gateway calls back")
		refuse(p.s.OutputDir != "" && !isLoopback(h.Address), "output-dir", "needs --public-url, where saved videos are fetched")
	}
	refuse(h.OAuthIssuer == "" && h.OAuthScopes != nil, "oauth-scopes", "needs --oauth-issuer, which gives the scopes")
}

func parseAddress(v string) (string, error) {
	host, port, err := net.SplitHostPort(v)
	if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || strings.ContainsFunc(host, unicode.IsSpace) || strings.ContainsAny(host, "/@") {
		return "", errors.New("must be a host and a port, such as 127.0.0.1:8080, or :8080 for all of this computer's addresses")
	}
	return v, nil
}

func parseMetricsAddress(v string) (string, error) {
	if strings.EqualFold(v, "none") {
		return "", nil
	}
	return parseAddress(v)
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && pixazo.IsLoopback(host)
}

// reservedPaths are the first path elements of the server's other URLs.
var reservedPaths = []string{".well-known", "healthz", "readyz", "usage", "videos", "webhook"}

var publicPath = text.Pattern(`^[A-Za-z0-9._~/-]*$`)

// parsePublicURL accepts a URL only in its normal form, since clients and identity
// providers compare it as a string.
func parsePublicURL(v string) (string, error) {
	u := httpURL(v)
	if u == nil || pixazo.OriginOf(u)+u.Path != v || strings.ContainsFunc(v, func(r rune) bool { return r > unicode.MaxASCII }) || !publicPath().MatchString(u.Path) || strings.TrimSuffix(path.Clean("/"+u.Path), "/") != u.Path {
		return "", errors.New("must be an https URL (http only on this computer) such as https://mcp.example.com/mcp: the host in lower case and ASCII (xn--…), no port that goes without saying, no slash at the end, in the path only letters, digits and - . _ ~ /")
	}
	if first, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/"); slices.Contains(reservedPaths, first) {
		return "", errors.New("must be an https URL whose path does not begin with " + strings.Join(reservedPaths, ", ") + ": those are this server's other addresses")
	}
	return v, nil
}

func parseIssuer(v string) (string, error) {
	if httpURL(v) == nil {
		return "", errors.New("must be an https URL (http only on this computer) without user, query and fragment, exactly as in the issuer's tokens")
	}
	return v, nil
}

// httpURL parses an https URL, or an http URL of this computer. It returns nil for
// anything else.
func httpURL(v string) *url.URL {
	u, err := url.Parse(v)
	if err != nil || u.User != nil || strings.ContainsAny(v, "?#") || pixazo.OriginOf(u) == "" {
		return nil
	}
	return u
}

func parseAllowedOrigins(v string) ([]string, error) {
	if strings.Contains(v, "*") {
		return nil, errors.New("must be whole origins, without *")
	}
	return parseOrigins(v)
}

func parseScopes(v string) ([]string, error) {
	names := strings.FieldsFunc(v, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	if len(names) > 2 || strings.ContainsFunc(v, func(r rune) bool { return r > '~' || r == '"' || r == '\\' }) {
		return nil, errors.New("must be the name of the scope to read, and behind a comma that of the scope to create if it is another")
	}
	return names, nil
}

func checkDatabaseURL(v string) error {
	if !strings.HasPrefix(v, "postgres://") && !strings.HasPrefix(v, "postgresql://") {
		return errors.New("must hold a URL such as postgres://user:password@host/database (not shown, since it may hold a password)")
	}
	return nil
}

// checkLength refuses a secret that is short enough to be guessed.
func checkLength(v string) error {
	if len(v) < 32 {
		return errors.New("must hold at least 32 characters, such as those of openssl rand -hex 32")
	}
	return nil
}

// secretIn returns a function that reads a secret from a file and checks it.
func (p *parser) secretIn(check func(string) error) func(string) (Secret, error) {
	return func(path string) (Secret, error) {
		path, err := p.absolute(path)
		if err != nil {
			return Secret{}, err
		}
		content, err := disk.ReadSecret(path, maxKeyFile)
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			err = path.Err // without the path, which may be the secret itself by mistake
		}
		if err != nil {
			return Secret{}, fmt.Errorf("must be a file that can be read, of at most 4 KiB: %w", err)
		}
		word := strings.TrimSpace(content)
		return NewSecret(word), check(word)
	}
}
