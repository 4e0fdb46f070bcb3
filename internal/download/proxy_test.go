// This file tests downloads through a proxy, a real one on this computer that
// tunnels as RFC 9110, section 9.3.6 says. Bugs it guards against: downloads that
// fail where everything else goes through the proxy, and a proxy that is asked
// for addresses within its network.

package download_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"pixazo-mcp/internal/download"
	"pixazo-mcp/pixazo"
)

// TestMain has this process trust the certificate of httptest, which is for
// example.com, as its environment would.
func TestMain(m *testing.M) {
	server := httptest.NewTLSServer(nil)
	server.Close()
	dir, err := os.MkdirTemp("", "")
	if err == nil {
		file := filepath.Join(dir, "roots.pem")
		err = os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600)
		_ = os.Setenv("SSL_CERT_FILE", file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// proxy tunnels to the addresses in hosts, and answers 403 for others.
type proxy struct {
	*httptest.Server
	hosts map[string]string

	mu    sync.Mutex
	asked []string // host and port of each CONNECT
	sent  http.Header
}

func newProxy(t testing.TB, hosts map[string]string) *proxy {
	p := &proxy{hosts: hosts}
	p.Server = httptest.NewServer(http.HandlerFunc(p.tunnel))
	t.Cleanup(p.Close)
	return p
}

func (p *proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked, p.sent = append(p.asked, r.Method+" "+r.Host), r.Header
	p.mu.Unlock()
	to, err := net.Dial("tcp", p.hosts[r.Host])
	if r.Method != http.MethodConnect || p.hosts[r.Host] == "" || err != nil {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	defer to.Close()
	from, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer from.Close()
	_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(to, buffered) }()
	_, _ = io.Copy(from, to)
}

func (p *proxy) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// behind is a house whose downloads go through p.
func behind(t testing.TB, p *proxy, gatewayURL string, links ...string) *house {
	t.Helper()
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, gatewayURL, links...)
	h.reopen(t, func(o *download.Options) { o.Proxy = http.ProxyURL(u) })
	return h
}

func TestDownloadThroughAProxy(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		t.Skip("the system's certificates can't be replaced there")
	}
	whole := video(100_000)
	media := newMedia(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if n == 1 {
			http.Redirect(w, r, "https://cdn.example.com/v.mp4?"+secret, http.StatusFound)
			return
		}
		serve(w, r, whole, "")
	})
	secure := httptest.NewTLSServer(media.Config.Handler)
	t.Cleanup(secure.Close)
	address := secure.Listener.Addr().String()
	p := newProxy(t, map[string]string{"media.example.com:443": address, "cdn.example.com:443": address})
	h := behind(t, p, "https://gateway.example", "https://media.example.com/v.mp4?"+secret)
	wantFile(t, h.mustSave(t, "v.mp4"), whole)
	if got, want := p.requests(), []string{"CONNECT media.example.com:443", "CONNECT cdn.example.com:443"}; !slices.Equal(got, want) {
		t.Errorf("the proxy was asked for %q, want %q", got, want)
	}
	for name := range p.sent {
		if name != "User-Agent" {
			t.Errorf("the proxy was sent a header %s", name)
		}
	}
}

// The gateway of a sandbox is on this computer, and stays there.
func TestProxyIsNotAskedForTheGateway(t *testing.T) {
	whole := video(1000)
	m := wellBehaved(t, whole)
	p := newProxy(t, nil)
	wantFile(t, behind(t, p, m.URL, m.link()).mustSave(t, ""), whole)
	if got := p.requests(); len(got) > 0 {
		t.Errorf("the proxy was asked for %q", got)
	}
}

func TestProxyIsNotAskedForPrivateAddresses(t *testing.T) {
	m := wellBehaved(t, video(1000))
	p := newProxy(t, map[string]string{"169.254.169.254:443": m.Listener.Addr().String()})
	for link, says := range map[string]string{
		"http://media.example.com/v.mp4":       "must be https",
		m.URL + "/v.mp4":                       "must be https", // not the gateway of this house
		"https://media.example.com:8443/v.mp4": "must be https on port 443",
		"https://media.example.com:80/v.mp4":   "must be https on port 443",
		"https://169.254.169.254/v.mp4":        `its host "169.254.169.254" is not one of the public internet`,
		"https://10.0.0.1/v.mp4":               "is not one of the public internet",
		"https://127.0.0.1:443/v.mp4":          "is not one of the public internet",
		"https://[::1]/v.mp4":                  "is not one of the public internet",
		"https://[fd00:ec2::254]/v.mp4":        "is not one of the public internet",
		"https://[::ffff:10.0.0.1]/v.mp4":      "is not one of the public internet",
		"https://[64:ff9b::a9fe:a9fe]/v.mp4":   "is not one of the public internet",
		"https://[fe80::1%25eth0]/v.mp4":       "is not one of the public internet",
		"https://168.63.129.16/v.mp4":          "is not one of the public internet",
		// The same in notations that a resolver may take.
		"https://127.1/v.mp4": "is not one of the public internet", "https://2130706433/v.mp4": "is not one of the public internet",
		"https://0x7f000001/v.mp4": "is not one of the public internet", "https://127.0.0.0x1/v.mp4": "is not one of the public internet",
		"https://0177.0.0.01/v.mp4": "is not one of the public internet", "https://127.0.0.1./v.mp4": "is not one of the public internet",
		"https://１２７.０.０.１/v.mp4": "is not one of the public internet", "https://127。0。0。1/v.mp4": "is not one of the public internet",
		// Names that are never public.
		"https://localhost/v.mp4": "is not one of the public internet", "https://LOCALHOST./v.mp4": "is not one of the public internet",
		"https://db.localhost/v.mp4": "is not one of the public internet", "https://metadata/v.mp4": "is not one of the public internet",
	} {
		h := behind(t, p, "https://gateway.example", link+"?"+secret)
		_, err := h.save(t, "", false)
		wantFailure(t, err, pixazo.DownloadFailed, says)
		wantTree(t, h.out)
	}
	if got := p.requests(); len(got) > 0 || len(m.requests()) > 0 {
		t.Errorf("the proxy was asked for %q", got)
	}
}

// A redirect is no way around the rules.
func TestProxyIsNotAskedForPrivateAddressesByARedirect(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		t.Skip("the system's certificates can't be replaced there")
	}
	gateway := wellBehaved(t, video(1000))
	for _, to := range []string{"https://169.254.169.254/v.mp4", "https://media.example.com:22/v.mp4", "http://media.example.com/v.mp4", "https://localhost/v.mp4", gateway.link()} {
		secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }))
		t.Cleanup(secure.Close)
		p := newProxy(t, map[string]string{"media.example.com:443": secure.Listener.Addr().String()})
		_, err := behind(t, p, gateway.URL, "https://media.example.com/v.mp4").save(t, "", false)
		wantFailure(t, err, pixazo.DownloadFailed, "")
		if got := p.requests(); len(got) != 1 || len(gateway.requests()) > 0 {
			t.Errorf("after a redirect to %s the proxy was asked for %q", to, got)
		}
	}
}

// What fails behind a proxy may be the proxy's doing, so it is named, without its
// password.
func TestFailureNamesTheProxy(t *testing.T) {
	p := newProxy(t, nil)
	h := newHouse(t, "https://gateway.example", "https://media.example.com/v.mp4")
	u, _ := url.Parse(strings.Replace(p.URL, "http://", "http://user:s3cr3t@", 1))
	h.reopen(t, func(o *download.Options) { o.Proxy = http.ProxyURL(u) })
	_, err := h.save(t, "", false)
	wantFailure(t, err, pixazo.DownloadFailed, "Forbidden (through the proxy "+p.Listener.Addr().String()+", by HTTPS_PROXY)")

	h.reopen(t, func(o *download.Options) { o.Proxy, o.Team = http.ProxyURL(u), true })
	if _, err = h.save(t, "", false); err == nil || strings.Contains(err.Error(), p.Listener.Addr().String()) || strings.Contains(err.Error(), "HTTPS_PROXY") {
		t.Errorf("a team is told %v", err)
	}

	h.reopen(t, func(o *download.Options) {
		o.Proxy = func(*http.Request) (*url.URL, error) { return nil, fmt.Errorf("invalid proxy address s3cr3t") }
	})
	_, err = h.save(t, "", false)
	wantFailure(t, err, pixazo.DownloadFailed, "the proxy setting (HTTPS_PROXY) can't be read")
}
