// Package identity authenticates the callers of the team server, by an OAuth access
// token or by a token of the tokens file. This file has users, refusals and the
// metadata by which a client finds the authorization server.
//
// Tokens are accepted in the Authorization header alone, never in a URL. They are in
// no log and no error, and are never passed on.
package identity

import (
	"cmp"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/mark3labs/mcp-go/server"
)

// Options configure a Verifier.
type Options struct {
	PublicURL  string       // the audience that access tokens must have; needed with Issuer
	Issuer     string       // URL of the OAuth issuer; "" for none
	Scopes     []string     // the scope that reading needs, then the one that creating needs if it differs; without any, no scope is needed
	TokensFile string       // path; "" for none
	Logger     *slog.Logger // nil for none

	Transport http.RoundTripper // for requests to the issuer; nil for http.DefaultTransport
}

// User is an authenticated caller.
type User struct {
	Owner  string // "token:NAME", or the hex of a hash of issuer and subject
	Name   string // for logs, on one short line
	Scopes []string
}

// Refusal is the HTTP answer to a call that is not allowed.
type Refusal struct {
	Status    int
	Challenge string // the WWW-Authenticate header; "" for none
	Message   string
}

// Error returns the message.
func (r *Refusal) Error() string { return r.Message }

// Verifier authenticates callers. A nil Verifier lets everybody call, as the owner
// "".
type Verifier struct {
	o      Options
	tokens *tokens // nil for none
	issuer *issuer // nil for none

	metadataParam string // resource_metadata="…" of challenges; "" without an issuer
}

// New returns a Verifier, nil when there is neither an issuer nor a tokens file. It
// reads the tokens file, and does not contact the issuer yet.
func New(o Options) (*Verifier, error) {
	if o.Issuer == "" && o.TokensFile == "" {
		return nil, nil
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	v := &Verifier{o: o}
	if o.TokensFile != "" {
		v.tokens = &tokens{path: o.TokensFile, log: o.Logger}
		if err := v.tokens.load(); err != nil {
			return nil, err
		}
	}
	if o.Issuer != "" {
		v.issuer = newIssuer(o)
		u, err := url.Parse(o.PublicURL)
		if err != nil {
			return nil, err
		}
		v.metadataParam = `resource_metadata="` + u.Scheme + "://" + u.Host + "/.well-known/oauth-protected-resource" + u.Path + `"`
	}
	return v, nil
}

// Bearer returns the bearer token of a request, "" unless there is exactly one. given
// is false when the request has no bearer token at all: the challenge must then name
// no error (RFC 6750, section 3.1).
func Bearer(r *http.Request) (token string, given bool) {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return "", len(headers) > 1
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	if token = strings.TrimSpace(token); len(token) > 16<<10 {
		token = ""
	}
	return token, true
}

// Identify returns the user who sent the request. The error is a *Refusal.
func (v *Verifier) Identify(r *http.Request) (User, error) {
	if v == nil {
		return User{}, nil
	}
	token, given := Bearer(r)
	if !given {
		return User{}, v.unauthorized("a bearer token is needed", "")
	}
	if token == "" {
		return User{}, v.unauthorized("the Authorization header must hold one bearer token", "invalid_token")
	}
	if v.tokens != nil {
		name, ok, readable := v.tokens.find(token)
		switch {
		case ok:
			return User{Owner: ownerOfToken + name, Name: name}, nil
		case !readable && (v.issuer == nil || !isJWT(token)):
			return User{}, &Refusal{Status: http.StatusServiceUnavailable, Message: "the tokens file can't be read; try again later"}
		}
	}
	if v.issuer == nil {
		return User{}, v.unauthorized("the token is not known here", "invalid_token")
	}
	user, why, err := v.issuer.user(r.Context(), token)
	switch {
	case err != nil:
		return User{}, &Refusal{Status: http.StatusServiceUnavailable, Message: "the issuer of tokens can't be asked; try again later"}
	case why != "":
		return User{}, v.unauthorized(why, "invalid_token")
	}
	return user, nil
}

// Allows returns a *Refusal when the user lacks the scope that a tool needs, else
// nil. generate_video needs the scope to create; every other tool needs the scope to
// read, which the scope to create includes.
func (v *Verifier) Allows(u User, tool string) error {
	if v == nil || len(v.o.Scopes) == 0 || strings.HasPrefix(u.Owner, ownerOfToken) {
		return nil
	}
	needed, enough := v.o.Scopes[:1], v.o.Scopes
	if tool == "generate_video" {
		needed = v.o.Scopes
		enough = needed[len(needed)-1:]
	}
	if slices.ContainsFunc(enough, func(scope string) bool { return slices.Contains(u.Scopes, scope) }) {
		return nil
	}
	return &Refusal{http.StatusForbidden, v.challenge("insufficient_scope", needed), "the token lacks the scope " + needed[len(needed)-1]}
}

func (v *Verifier) unauthorized(message, code string) *Refusal {
	return &Refusal{http.StatusUnauthorized, v.challenge(code, v.o.Scopes), message}
}

// challenge returns a WWW-Authenticate header that names an error code, "" for none,
// and the scopes that are needed.
func (v *Verifier) challenge(code string, scopes []string) string {
	var params []string
	if code != "" {
		params = append(params, `error="`+code+`"`)
	}
	if v.metadataParam != "" {
		params = append(params, v.metadataParam)
	}
	if len(scopes) > 0 {
		params = append(params, `scope="`+strings.Join(scopes, " ")+`"`)
	}
	return strings.TrimSpace("Bearer " + strings.Join(params, ", "))
}

// Metadata returns the handler of the protected resource metadata (RFC 9728). It
// needs no authentication: from it a client without a token learns where to get one.
// Without an issuer it answers 404.
func (v *Verifier) Metadata() http.Handler {
	if v == nil || v.issuer == nil {
		return http.NotFoundHandler()
	}
	document := server.NewProtectedResourceMetadataHandler(server.ProtectedResourceMetadataConfig{
		Resource:               v.o.PublicURL,
		ResourceName:           "Pixazo video",
		AuthorizationServers:   []string{v.o.Issuer},
		ScopesSupported:        v.o.Scopes,
		BearerMethodsSupported: []string{"header"},
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodOptions {
			document.ServeHTTP(w, r)
			return
		}
		// mcp-go's answer to the preflight request does not allow this header.
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Headers", "MCP-Protocol-Version")
		w.WriteHeader(http.StatusNoContent)
	})
}
