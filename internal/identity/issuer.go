// This file verifies the access tokens of an OAuth issuer.

package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

// issuer verifies tokens. The issuer is asked for its keys when the first token
// comes, so it may be down when the server starts.
type issuer struct {
	url string
	ctx context.Context // holds the client that go-oidc asks with
	cfg oidc.Config
	log *slog.Logger

	complain complaint

	mu   sync.Mutex
	keys oidc.KeySet // nil until the issuer was found
}

func newIssuer(o Options) *issuer {
	base := http.DefaultTransport
	if o.HTTPClient != nil && o.HTTPClient.Transport != nil {
		base = o.HTTPClient.Transport
	}
	client := &http.Client{Transport: &sparing{base: base, answers: map[string]answer{}}, Timeout: 10 * time.Second}
	return &issuer{
		url: o.Issuer,
		ctx: oidc.ClientContext(context.Background(), client),
		cfg: oidc.Config{ClientID: o.PublicURL, SupportedSigningAlgs: []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"}},
		log: o.Logger, complain: complaint{log: o.Logger},
	}
}

// user returns the user of a token, or why the token is refused, or an error when
// the issuer can't be asked.
func (i *issuer) user(ctx context.Context, token string) (u User, why string, err error) {
	if strings.Count(token, ".") != 2 {
		return u, "the token is not known here", nil
	}
	const away = "the issuer of tokens can't be asked"
	keys, err := i.find()
	if err != nil {
		i.complain.about(away, err)
		return u, "", err
	}
	noting := &notingKeys{KeySet: keys}
	verified, err := oidc.NewVerifier(i.url, noting, &i.cfg).Verify(ctx, token)
	if ctx.Err() != nil {
		return u, "", ctx.Err()
	}
	i.complain.about(away, noting.err)
	if noting.err != nil {
		return u, "", noting.err
	}
	var claims struct {
		Name  string          `json:"preferred_username"`
		Email string          `json:"email"`
		Scope json.RawMessage `json:"scope"`
		Scp   json.RawMessage `json:"scp"`
	}
	if err == nil {
		err = verified.Claims(&claims)
	}
	if err == nil && verified.Subject == "" {
		err = errors.New("it has no subject")
	}
	if err != nil {
		i.log.Debug("a token was refused", "error", text.Clean(err.Error(), 300))
		if _, expired := errors.AsType[*oidc.TokenExpiredError](err); expired {
			return u, "the token has expired", nil
		}
		return u, "the token was not issued for this server, or is not valid", nil
	}
	u.Owner = fmt.Sprintf("%x", sha256.Sum256([]byte(i.url+"\x00"+verified.Subject)))
	for _, name := range []string{claims.Name, claims.Email, verified.Subject} {
		if u.Name = text.Clean(name, 64); u.Name != "" {
			break
		}
	}
	u.Scopes = append(scopes(claims.Scope), scopes(claims.Scp)...)
	return u, "", nil
}

// scopes reads a claim that is a list, or one string with spaces in it.
func scopes(claim json.RawMessage) (list []string) {
	var joined string
	if json.Unmarshal(claim, &joined) == nil {
		return strings.Fields(joined)
	}
	_ = json.Unmarshal(claim, &list) // anything else gives no scopes
	return list
}

// find returns the issuer's keys. Until it was answered once, it asks the issuer
// where they are.
func (i *issuer) find() (oidc.KeySet, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.keys == nil {
		provider, err := oidc.NewProvider(i.ctx, i.url)
		if err != nil {
			return nil, err
		}
		var found struct {
			JWKS string `json:"jwks_uri"`
		}
		if err := provider.Claims(&found); err != nil {
			return nil, err
		}
		i.keys = oidc.NewRemoteKeySet(i.ctx, found.JWKS)
	}
	return i.keys, nil
}

// notingKeys keeps the error of a request to the issuer for its keys. The verifier of
// go-oidc puts only the text of it into its own error, which would then look like
// that of a bad token.
type notingKeys struct {
	oidc.KeySet
	err error
}

// VerifySignature implements oidc.KeySet.
func (n *notingKeys) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := n.KeySet.VerifySignature(ctx, token)
	if errors.Is(err, errIssuer) {
		n.err = err
	}
	return payload, err
}

// errIssuer is the error of an issuer that does not answer as it should.
var errIssuer = errors.New("issuer unavailable")

// sparing requests an address at most once in 10 seconds, and answers from memory
// otherwise: go-oidc fetches the keys for each token that is signed with an
// unknown one, so forged tokens would flood the issuer. A failure is remembered
// for a second. Redirects are not followed.
type sparing struct {
	base    http.RoundTripper
	mu      sync.Mutex
	answers map[string]answer
}

type answer struct {
	body  []byte
	err   error
	until time.Time
}

// RoundTrip implements http.RoundTripper.
func (s *sparing) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	address := r.URL.String()
	a := s.answers[address]
	if time.Now().After(a.until) {
		a.body, a.err = s.fetch(r)
		a.until = time.Now().Add(10 * time.Second)
		if a.err != nil {
			a.until = time.Now().Add(time.Second)
		}
		s.answers[address] = a
	}
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(bytes.NewReader(a.body)),
	}, nil
}

func (s *sparing) fetch(r *http.Request) ([]byte, error) {
	const most = 1 << 20
	if r.URL.Scheme != "https" && !pixazo.IsLoopback(r.URL.Hostname()) {
		return nil, fmt.Errorf("%w: %s is not an https URL", errIssuer, text.Quote(r.URL.String()))
	}
	resp, err := s.base.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errIssuer, err)
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: HTTP status %d", errIssuer, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err == nil && (len(body) > most || !json.Valid(body)) {
		err = errors.New("its answer is larger than 1 MiB, or is not JSON")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errIssuer, err)
	}
	return body, nil
}
