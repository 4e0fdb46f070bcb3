// This file verifies the access tokens of an OAuth issuer.

package identity

import (
	"bytes"
	"cmp"
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
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/time/rate"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const fetchTime = 10 * time.Second // the longest time for an answer of the issuer

// issuer verifies access tokens. It fetches the issuer's keys with the first token,
// so the issuer may be down when the server starts.
type issuer struct {
	url  string
	ctx  context.Context // holds the HTTP client of go-oidc
	cfg  oidc.Config
	log  *slog.Logger
	away rate.Sometimes // when it is logged that the issuer can't be asked

	mu   sync.Mutex
	keys oidc.KeySet // nil until the issuer has answered once
}

func newIssuer(o Options) *issuer {
	transport := &cache{base: cmp.Or(o.Transport, http.DefaultTransport), answers: map[string]answer{}}
	return &issuer{
		url:  o.Issuer,
		ctx:  oidc.ClientContext(context.Background(), &http.Client{Transport: transport}),
		cfg:  oidc.Config{ClientID: o.PublicURL, SupportedSigningAlgs: []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"}},
		log:  o.Logger,
		away: rate.Sometimes{Interval: time.Minute},
	}
}

// user returns the user of a token; or refusal, the words that say why the token is
// not accepted; or an error when the issuer can't be asked.
func (i *issuer) user(ctx context.Context, token string) (u User, refusal string, err error) {
	if !isJWT(token) {
		return u, "the token is not known here", nil
	}
	keys, err := i.find()
	if err != nil {
		return u, "", i.unreachable(err)
	}
	set := &keySet{KeySet: keys}
	verified, err := oidc.NewVerifier(i.url, set, &i.cfg).Verify(ctx, token)
	if ctx.Err() != nil {
		return u, "", ctx.Err()
	}
	if set.err != nil {
		return u, "", i.unreachable(set.err)
	}
	var claims struct {
		Name  any             `json:"preferred_username"` // some issuers write lists
		Email any             `json:"email"`
		Scope json.RawMessage `json:"scope"`
		Scp   json.RawMessage `json:"scp"`
	}
	if err == nil {
		err = verified.Claims(&claims)
	}
	if err == nil {
		err = checkClaims(verified)
	}
	if err != nil {
		i.log.Debug("a token was refused", "error", text.Clean(err.Error(), 300))
		if _, expired := errors.AsType[*oidc.TokenExpiredError](err); expired {
			return u, "the token has expired", nil
		}
		return u, "the token was not issued for this server, or is not valid", nil
	}
	u.Owner = fmt.Sprintf("%x", sha256.Sum256([]byte(i.url+"\x00"+verified.Subject)))
	for _, claim := range []any{claims.Name, claims.Email, verified.Subject} {
		if word, ok := claim.(string); ok && u.Name == "" {
			u.Name = text.Clean(word, 64)
		}
	}
	u.Scopes = append(scopes(claims.Scope), scopes(claims.Scp)...)
	return u, "", nil
}

// checkClaims returns an error for a token without a subject, or one that may name
// another user to its issuer than to this server. encoding/json takes the claim "Sub" for
// "sub", and some issuers let users add claims; it also reads halves of surrogate pairs,
// in which two subjects may differ, as U+FFFD.
func checkClaims(token *oidc.IDToken) error {
	var all map[string]json.RawMessage
	if err := token.Claims(&all); err != nil {
		return err
	}
	for name := range all {
		for _, exact := range []string{"iss", "sub", "aud", "exp", "nbf", "scope", "scp"} {
			if name != exact && strings.EqualFold(name, exact) {
				return fmt.Errorf("it has a claim %s, which could be taken for %s", text.Quote(name), exact)
			}
		}
	}
	if token.Subject == "" || strings.ContainsRune(token.Subject, utf8.RuneError) {
		return errors.New("it has no subject, or one that is not valid Unicode")
	}
	return nil
}

// unreachable returns err, and logs it unless an error was logged in the last minute.
func (i *issuer) unreachable(err error) error {
	i.away.Do(func() {
		i.log.Error("the issuer of tokens can't be asked", "error", text.Clean(err.Error(), 300))
	})
	return err
}

// isJWT reports whether a token has the three parts of a JWT.
func isJWT(token string) bool { return strings.Count(token, ".") == 2 }

// scopes returns the scopes in a claim, which may be a list, or one string of scopes
// separated by spaces.
func scopes(claim json.RawMessage) (list []string) {
	var joined string
	if json.Unmarshal(claim, &joined) == nil {
		return strings.Fields(joined)
	}
	_ = json.Unmarshal(claim, &list) // a claim of another type has no scopes
	return list
}

// find returns the issuer's keys. Until the issuer has answered once, it asks for
// their address.
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

// keySet is a KeySet that keeps the error of a failed request to the issuer in err.
// go-oidc's verifier takes over only the text of that error, so that it could not be
// told from the error of a bad token.
type keySet struct {
	oidc.KeySet
	err error
}

// VerifySignature implements oidc.KeySet.
func (k *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, token)
	if errors.Is(err, errIssuer) {
		k.err = err
	}
	return payload, err
}

// errIssuer says that the issuer did not answer, or not as it should.
var errIssuer = errors.New("issuer unavailable")

// cache is an http.RoundTripper that keeps each answer for 10 seconds, and each
// failure for one. go-oidc fetches the keys for every token that is signed with an
// unknown one, so without it forged tokens would flood the issuer. A redirect is a
// failure.
type cache struct {
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
func (c *cache) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	address := r.URL.String()
	a := c.answers[address]
	if time.Now().After(a.until) {
		body, err := c.fetch(r)
		a = answer{body: body, until: time.Now().Add(10 * time.Second)}
		if err != nil {
			a = answer{err: fmt.Errorf("%w: %w", errIssuer, err), until: time.Now().Add(time.Second)}
		}
		c.answers[address] = a
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

// fetch returns the body of the issuer's answer to r. Its time is limited here, since an
// http.Client with a timeout of its own would return an error that is not errIssuer.
func (c *cache) fetch(r *http.Request) ([]byte, error) {
	const most = 1 << 20
	if r.URL.Scheme != "https" && !pixazo.IsLoopback(r.URL.Hostname()) {
		return nil, fmt.Errorf("%s is not an https URL", text.Quote(r.URL.String()))
	}
	ctx, cancel := context.WithTimeout(r.Context(), fetchTime)
	defer cancel()
	resp, err := c.base.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err == nil && (len(body) > most || !json.Valid(body)) {
		err = errors.New("its answer is larger than 1 MiB, or is not JSON")
	}
	return body, err
}
