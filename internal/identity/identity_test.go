// These tests hold who is taken, and what a refusal says.

package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	publicURL = "https://mcp.example.com/mcp"
	issuerURL = "https://id.example"
)

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// fakeIssuer is an authorization server without a network.
type fakeIssuer struct {
	mu      sync.Mutex
	down    bool
	hangs   bool
	junk    bool
	kid     string
	key     *ecdsa.PrivateKey
	fetches map[string]int
}

func newFakeIssuer() *fakeIssuer {
	f := &fakeIssuer{fetches: map[string]int{}}
	f.rotate("first")
	return f
}

func (f *fakeIssuer) rotate(kid string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kid, f.key = kid, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
}

func (f *fakeIssuer) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fetches[r.URL.Path]++
	if f.hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if f.down {
		return nil, errors.New("connection refused")
	}
	w := httptest.NewRecorder()
	switch x, y := f.key.X.FillBytes(make([]byte, 32)), f.key.Y.FillBytes(make([]byte, 32)); {
	case r.URL.Host != "id.example" || r.Header.Get("Authorization") != "":
		w.WriteHeader(http.StatusBadRequest)
	case f.junk:
		_, _ = w.WriteString("<html>")
	case r.URL.Path == "/.well-known/openid-configuration":
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, issuerURL, issuerURL+"/jwks")
	case r.URL.Path == "/jwks":
		n := rsaKey().N.Bytes()
		fmt.Fprintf(w, `{"keys":[{"kty":"EC","crv":"P-256","kid":%q,"x":%q,"y":%q},{"kty":"RSA","kid":"rsa","n":%q,"e":"AQAB"}]}`, f.kid, encode(x), encode(y), encode(n))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
	return w.Result(), nil
}

// sign returns a JWT of the key that kid names; alg says how it is signed.
func (f *fakeIssuer) sign(alg, kid string, claims map[string]any) string {
	header := must(json.Marshal(map[string]any{"alg": alg, "kid": kid, "typ": "at+jwt"}))
	input := encode(header) + "." + encode(must(json.Marshal(claims)))
	sum := sha256.Sum256([]byte(input))
	var signature []byte
	switch alg {
	case "RS256":
		signature = must(rsa.SignPKCS1v15(rand.Reader, rsaKey(), crypto.SHA256, sum[:]))
	case "PS256":
		signature = must(rsa.SignPSS(rand.Reader, rsaKey(), crypto.SHA256, sum[:], nil))
	case "ES256":
		r, s, err := ecdsa.Sign(rand.Reader, f.key, sum[:])
		signature = append(must(r, err).FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case "HS256": // with the public key as the secret, as in the classic attack
		mac := hmac.New(sha256.New, rsaKey().N.Bytes())
		mac.Write([]byte(input))
		signature = mac.Sum(nil)
	case "none":
	}
	return input + "." + encode(signature)
}

func claims(changes map[string]any) map[string]any {
	c := map[string]any{"iss": issuerURL, "aud": publicURL, "sub": "alice", "exp": time.Now().Add(time.Hour).Unix(), "scope": "videos:read openid"}
	for name, v := range changes {
		c[name] = v
		if v == nil {
			delete(c, name)
		}
	}
	return c
}

func newVerifier(t *testing.T, f *fakeIssuer, scopes ...string) *Verifier {
	t.Helper()
	v, err := New(Options{PublicURL: publicURL, Issuer: issuerURL, Scopes: scopes, Transport: f, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// identify sends a token, "" for none.
func identify(v *Verifier, token string) (User, *Refusal) {
	r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	u, err := v.Identify(r)
	refusal, _ := errors.AsType[*Refusal](err)
	return u, refusal
}

func TestOnlyGoodTokensAreTaken(t *testing.T) {
	f := newFakeIssuer()
	v := newVerifier(t, f)
	other := newFakeIssuer()
	good := claims(nil)
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	for _, tt := range []struct {
		name  string
		token string
		taken bool
	}{
		{"ES256", f.sign("ES256", "first", good), true},
		{"RS256", f.sign("RS256", "rsa", good), true},
		{"PS256", f.sign("PS256", "rsa", good), true},
		{"a list of audiences", f.sign("ES256", "first", claims(map[string]any{"aud": []string{"x", publicURL}})), true},
		{"another audience", f.sign("ES256", "first", claims(map[string]any{"aud": "https://other.example/mcp"})), false},
		{"an audience with a slash", f.sign("ES256", "first", claims(map[string]any{"aud": publicURL + "/"})), false},
		{"the origin as the audience", f.sign("ES256", "first", claims(map[string]any{"aud": "https://mcp.example.com"})), false},
		{"no audience", f.sign("ES256", "first", claims(map[string]any{"aud": nil})), false},
		{"another issuer", f.sign("ES256", "first", claims(map[string]any{"iss": "https://evil.example"})), false},
		{"an issuer with a slash", f.sign("ES256", "first", claims(map[string]any{"iss": issuerURL + "/"})), false},
		{"expired", f.sign("ES256", "first", claims(map[string]any{"exp": at(-2 * time.Second)})), false},
		{"without an end", f.sign("ES256", "first", claims(map[string]any{"exp": nil})), false},
		{"not yet valid", f.sign("ES256", "first", claims(map[string]any{"nbf": at(time.Hour)})), false},
		{"no subject", f.sign("ES256", "first", claims(map[string]any{"sub": nil})), false},
		{"an empty subject", f.sign("ES256", "first", claims(map[string]any{"sub": ""})), false},
		{"a subject that is half a letter", f.sign("ES256", "first", claims(map[string]any{"sub": json.RawMessage(`"\ud800"`)})), false},
		{"a second subject in other letters", f.sign("ES256", "first", claims(map[string]any{"Sub": "bob"})), false},
		{"a subject with a long s", f.sign("ES256", "first", claims(map[string]any{"\u017fub": "bob"})), false},
		{"scopes in other letters", f.sign("ES256", "first", claims(map[string]any{"SCOPE": "videos:create"})), false},
		{"an audience in other letters", f.sign("ES256", "first", claims(map[string]any{"aud": nil, "Aud": publicURL})), false},
		{"claims that are none of those", f.sign("ES256", "first", claims(map[string]any{"Roles": "x", "Subject": "bob", "https://example.com/sub": "bob", "act": map[string]any{"Sub": "bob"}})), true},
		{"names of other types", f.sign("ES256", "first", claims(map[string]any{"email": []string{"x"}, "preferred_username": 7})), true},
		{"alg none", f.sign("none", "first", good), false},
		{"HS256", f.sign("HS256", "rsa", good), false},
		{"another key of that name", other.sign("ES256", "first", good), false},
		{"RS256 that says ES256", strings.Replace(f.sign("RS256", "rsa", good), ".", "x.", 1), false},
		{"no JWT", "abc", false},
		{"dots", "..", false},
		{"long", strings.Repeat("a", 20<<10), false},
	} {
		u, refusal := identify(v, tt.token)
		if (refusal == nil) != tt.taken || tt.taken && (len(u.Owner) != 64 || u.Name != "alice") {
			t.Errorf("%s: %+v, %v", tt.name, u, refusal)
		}
		if refusal != nil && (refusal.Status != 401 || strings.Contains(refusal.Message+refusal.Challenge, tt.token[max(0, len(tt.token)-20):]) ||
			refusal.Challenge != `Bearer error="invalid_token", resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"`) {
			t.Errorf("%s: %+v", tt.name, refusal)
		}
	}
	a, _ := identify(v, f.sign("ES256", "first", good))
	b, _ := identify(v, f.sign("ES256", "first", claims(map[string]any{"sub": "bob", "email": "bob@example.com"})))
	if a.Owner == b.Owner || b.Name != "bob@example.com" {
		t.Errorf("%+v, %+v", a, b)
	}
}

func TestTokensComeInOneHeaderAlone(t *testing.T) {
	f := newFakeIssuer()
	v := newVerifier(t, f, "videos:read", "videos:create")
	token := f.sign("ES256", "first", claims(nil))
	const where = `resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp", scope="videos:read videos:create"`
	for _, tt := range []struct {
		url     string
		headers []string
		want    string // the challenge
	}{
		{"/mcp", nil, "Bearer " + where},
		{"/mcp?access_token=" + token, nil, "Bearer " + where},
		{"/mcp", []string{"bearer " + token}, ""},
		{"/mcp", []string{"Basic " + token}, "Bearer " + where},
		{"/mcp", []string{"Bearer"}, `Bearer error="invalid_token", ` + where},
		{"/mcp", []string{token}, "Bearer " + where},
		{"/mcp", []string{"Bearer " + token, "Bearer " + token}, `Bearer error="invalid_token", ` + where},
	} {
		r := httptest.NewRequest(http.MethodPost, tt.url, nil)
		r.Header["Authorization"] = tt.headers
		_, err := v.Identify(r)
		challenge := ""
		if refusal, ok := errors.AsType[*Refusal](err); ok {
			challenge = refusal.Challenge
		}
		if challenge != tt.want {
			t.Errorf("%s, %d headers: %s", tt.url[:4], len(tt.headers), challenge)
		}
	}
}

func TestForgedKeysDoNotBotherTheIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer()
		v := newVerifier(t, f)
		if _, refusal := identify(v, f.sign("ES256", "first", claims(nil))); refusal != nil {
			t.Fatal(refusal)
		}
		for i := range 200 {
			if _, refusal := identify(v, f.sign("ES256", fmt.Sprint("forged", i), claims(nil))); refusal == nil || refusal.Status != 401 {
				t.Fatal(refusal)
			}
		}
		if f.fetches["/jwks"] != 1 || f.fetches["/.well-known/openid-configuration"] != 1 {
			t.Errorf("asked %v", f.fetches)
		}
		f.rotate("second")
		time.Sleep(11 * time.Second)
		if _, refusal := identify(v, f.sign("ES256", "second", claims(nil))); refusal != nil {
			t.Errorf("the new key: %v", refusal)
		}
		if _, refusal := identify(v, f.sign("ES256", "first", claims(nil))); refusal == nil {
			t.Error("the old key is still taken")
		}
	})
}

func TestIssuerMayBeDownAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeIssuer()
		f.down = true
		v := newVerifier(t, f)
		token := f.sign("ES256", "first", claims(nil))
		for range 50 {
			if _, refusal := identify(v, token); refusal == nil || refusal.Status != 503 || refusal.Challenge != "" {
				t.Fatalf("%+v", refusal)
			}
		}
		if f.fetches["/.well-known/openid-configuration"] != 1 {
			t.Errorf("asked %v", f.fetches)
		}
		f.down, f.junk = false, true
		time.Sleep(1100 * time.Millisecond)
		if _, refusal := identify(v, token); refusal == nil || refusal.Status != 503 {
			t.Fatalf("%+v", refusal)
		}
		f.junk = false
		time.Sleep(1100 * time.Millisecond)
		if _, refusal := identify(v, token); refusal != nil {
			t.Error(refusal)
		}
		f.down = true
		f.rotate("second")
		time.Sleep(11 * time.Second)
		if _, refusal := identify(v, f.sign("ES256", "second", claims(nil))); refusal == nil || refusal.Status != 503 {
			t.Errorf("keys that can't be asked for: %+v", refusal)
		}
		f.down, f.hangs = false, true
		time.Sleep(1100 * time.Millisecond)
		begun := time.Now()
		if _, refusal := identify(v, f.sign("ES256", "second", claims(nil))); refusal == nil || refusal.Status != 503 || time.Since(begun) > fetchTime {
			t.Errorf("an issuer that hangs: %+v after %s", refusal, time.Since(begun))
		}
		if _, refusal := identify(v, "a.b.c"); refusal == nil || refusal.Status != 401 {
			t.Errorf("nonsense: %+v", refusal)
		}
	})
}

func TestKeysComeByHTTPSAlone(t *testing.T) {
	s := &cache{base: newFakeIssuer(), answers: map[string]answer{}}
	for address, taken := range map[string]bool{"https://id.example/jwks": true, "http://id.example/jwks": false, "https://id.example/nothing": false} {
		_, err := s.RoundTrip(httptest.NewRequest(http.MethodGet, address, nil))
		if (err == nil) != taken || err != nil && !errors.Is(err, errIssuer) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestScopes(t *testing.T) {
	f := newFakeIssuer()
	for _, tt := range []struct {
		scopes []string // of the server
		claims map[string]any
		tool   string
		want   string // the scopes of the challenge; "" when it is allowed
	}{
		{nil, nil, "generate_video", ""},
		{[]string{"r", "c"}, map[string]any{"scope": "r"}, "list_videos", ""},
		{[]string{"r", "c"}, map[string]any{"scope": "c"}, "list_videos", ""},
		{[]string{"r", "c"}, map[string]any{"scope": "c"}, "generate_video", ""},
		{[]string{"r", "c"}, map[string]any{"scope": nil, "scp": []string{"x", "c"}}, "generate_video", ""},
		{[]string{"r", "c"}, map[string]any{"scope": nil, "scp": "x r"}, "get_status", ""},
		{[]string{"r", "c"}, map[string]any{"scope": "r"}, "generate_video", "r c"},
		{[]string{"r", "c"}, map[string]any{"scope": "rc"}, "list_videos", "r"},
		{[]string{"r", "c"}, map[string]any{"scope": 7}, "list_videos", "r"},
		{[]string{"v"}, map[string]any{"scope": "v"}, "generate_video", ""},
		{[]string{"v"}, map[string]any{"scope": "x"}, "generate_video", "v"},
		{[]string{"v"}, map[string]any{"scope": "x"}, "get_status", "v"},
	} {
		v := newVerifier(t, f, tt.scopes...)
		u, refusal := identify(v, f.sign("ES256", "first", claims(tt.claims)))
		if refusal != nil {
			t.Fatal(refusal)
		}
		err := v.Allows(u, tt.tool)
		if refusal, ok := errors.AsType[*Refusal](err); ok != (tt.want != "") || ok && (refusal.Status != 403 ||
			refusal.Challenge != `Bearer error="insufficient_scope", resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp", scope="`+tt.want+`"` || !strings.HasSuffix(refusal.Message, " "+tt.want[len(tt.want)-1:])) {
			t.Errorf("%v, %v, %s: %+v", tt.scopes, tt.claims, tt.tool, refusal)
		}
		if err := v.Allows(User{Owner: "token:alice"}, tt.tool); err != nil {
			t.Error(err)
		}
	}
}

func TestMetadata(t *testing.T) {
	get := func(v *Verifier, method string) *http.Response {
		w := httptest.NewRecorder()
		v.Metadata().ServeHTTP(w, httptest.NewRequest(method, "/.well-known/oauth-protected-resource", nil))
		return w.Result()
	}
	v := newVerifier(t, newFakeIssuer(), "r", "c")
	var document map[string]any
	resp := get(v, http.MethodGet)
	if err := json.NewDecoder(resp.Body).Decode(&document); err != nil || resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%v, %v", err, resp.Header)
	}
	if document["resource"] != publicURL || fmt.Sprint(document["authorization_servers"]) != "["+issuerURL+"]" || fmt.Sprint(document["scopes_supported"]) != "[r c]" {
		t.Errorf("%v", document)
	}
	if resp := get(v, http.MethodOptions); resp.StatusCode != 204 {
		t.Error(resp.Status)
	}
	if resp := get(v, http.MethodPost); resp.StatusCode != 405 || resp.Header.Get("Allow") == "" {
		t.Error(resp.Status)
	}
	if resp := get(nil, http.MethodGet); resp.StatusCode != 404 {
		t.Error(resp.Status)
	}
}

func TestNobodyIsAskedWithoutAVerifier(t *testing.T) {
	v, err := New(Options{})
	if v != nil || err != nil {
		t.Fatal(v, err)
	}
	if u, err := v.Identify(httptest.NewRequest(http.MethodPost, "/mcp", nil)); u.Owner != "" || err != nil {
		t.Error(u, err)
	}
	if err := v.Allows(User{}, "generate_video"); err != nil {
		t.Error(err)
	}
}

func BenchmarkIdentify(b *testing.B) {
	f := newFakeIssuer()
	v := must(New(Options{PublicURL: publicURL, Issuer: issuerURL, Transport: f}))
	token := f.sign("ES256", "first", claims(nil))
	for b.Loop() {
		if _, refusal := identify(v, token); refusal != nil {
			b.Fatal(refusal)
		}
	}
}
