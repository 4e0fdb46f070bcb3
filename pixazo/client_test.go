// These tests hold what a client may be made of.

package pixazo

import (
	"net/http"
	"strings"
	"testing"
)

func TestGatewayURLMustBeAnHTTPSOriginOrLoopback(t *testing.T) {
	for url, origin := range map[string]string{
		"":                              "https://gateway.pixazo.ai",
		"https://gateway.pixazo.ai":     "https://gateway.pixazo.ai",
		"https://gateway.pixazo.ai//":   "https://gateway.pixazo.ai",
		"HTTPS://proxy.example:8443/":   "https://proxy.example:8443",
		"http://127.0.0.1:8080":         "http://127.0.0.1:8080",
		"http://127.9.9.9":              "http://127.9.9.9",
		"http://localhost:1/":           "http://localhost:1",
		"http://[::1]:8080":             "http://[::1]:8080",
		"http://LOCALHOST":              "http://localhost",
		"https://Gateway.example:443":   "https://gateway.example", // two names of one gateway would be two in the journal
		"http://127.0.0.1:080":          "http://127.0.0.1",
		"http://127.0.0.1:443":          "http://127.0.0.1:443",
		"http://[::1]:80":               "http://[::1]",
		"https://[2001:DB8::1]:8443":    "https://[2001:db8::1]:8443",
		"https://[2001:db8:0:0::1]":     "https://[2001:db8::1]",
		"https://GATEWAY.example.":      "https://gateway.example",
		"https://gateway.example.:443/": "https://gateway.example",
		"https://gateway.example:0443":  "https://gateway.example",
		"https://gateway.example:080":   "https://gateway.example:80",
		"http://localhost.:80":          "http://localhost",
	} {
		c, err := NewClient(Config{GatewayURL: url})
		if err != nil || c.Origin() != origin {
			t.Errorf("%q: %v, error %v, want %s", url, c, err, origin)
		}
	}
	for _, url := range []string{
		"http://gateway.pixazo.ai", "http://example.com:80", "http://127.0.0.1.example.com", "http://localhost.example.com", "http://0.0.0.0", "http://10.0.0.1",
		"http://169.254.169.254", "http://[::]", "http://2130706433", "http://:8080",
		"https://user@gateway.pixazo.ai", "https://user:pass@gateway.pixazo.ai", "http://u@127.0.0.1",
		"https://gateway.pixazo.ai/v2", "https://gateway.pixazo.ai/?a=b", "https://gateway.pixazo.ai/#a", "https://gateway.pixazo.ai/%2e",
		"https://", "https://:443", "https:", "gateway.pixazo.ai", "//gateway.pixazo.ai", "/", " ", "ftp://gateway.pixazo.ai", "file:///tmp", "unix:///tmp/s",
		"https://gateway.pixazo.ai:port", "https://gate way", "https://gateway.pixazo.ai\n", "https:gateway.pixazo.ai", "\x1b[31mhttps://x",
		"https://h.example?", "https://h.example#", "https://h.example:", "https://.", "https://.:443", "http://127.0.0.1..", "https://h.example:0", "https://h.example:65536", "https://h.example/%zz",
	} {
		_, err := NewClient(Config{GatewayURL: url})
		if e := checkError(t, err, InvalidArgument); !strings.HasPrefix(e.Message, "gateway URL must be an https URL of just a host and perhaps a port (http only to this computer), such as https://gateway.pixazo.ai; got ") {
			t.Errorf("%q: %q", url, e.Message)
		}
	}
}

func TestWebhookMustBeHTTPSOrLocalWithAKnownMode(t *testing.T) {
	for _, tt := range []struct {
		url, mode string
		want      string // the refusal's field; "" when there is none
	}{
		{"", "", ""},
		{"https://hooks.example.com/a?b=c", "", ""},
		{"https://hooks.example.com", "terminal", ""},
		{"https://hooks.example.com", "sync", ""},
		{"https://h.example/" + strings.Repeat("a", 2000-len("https://h.example/")), "", ""},
		{"https://h.example/" + strings.Repeat("a", 2001-len("https://h.example/")), "", "webhook URL"},
		{"http://hooks.example.com", "", "webhook URL"},
		{"http://127.0.0.1:8080/x", "", ""},
		{"http://localhost", "", ""},
		{"http://127.0.0.1.example", "", "webhook URL"},
		{"hooks.example.com", "", "webhook URL"},
		{"https://", "", "webhook URL"},
		{"https:hooks", "", "webhook URL"},
		{"https:///x", "", "webhook URL"},
		{"https://hooks.example.com:", "", "webhook URL"},
		{"https://hooks.example.com:0", "", "webhook URL"},
		{"https://hooks.example.com/ü", "", "webhook URL"},
		{"https://hooks.example.com/a b", "", "webhook URL"},
		{"ftp://hooks.example.com", "", "webhook URL"},
		{"https://hooks.example.com/\r\nX-Evil: 1", "", "webhook URL"},
		{"https://hooks.example.com", "always", "webhook mode"},
		{"https://hooks.example.com", "Sync", "webhook mode"},
		{"https://hooks.example.com", "sync\r\nX-Evil: 1", "webhook mode"},
	} {
		_, err := NewClient(Config{WebhookURL: tt.url, WebhookMode: tt.mode})
		if tt.want == "" {
			checkError(t, err, "")
		} else if e := checkError(t, err, InvalidArgument); !strings.HasPrefix(e.Message, tt.want+" must be ") {
			t.Errorf("%q %q: %q", tt.url, tt.mode, e.Message)
		}
	}
}

func TestClientsHaveTransportsOfTheirOwn(t *testing.T) {
	a, err := NewClient(Config{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewClient(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if a.http.Transport == b.http.Transport || a.http.Transport == http.DefaultTransport || a.http.Transport == nil {
		t.Error("a transport is shared")
	}
	if a.http.Jar != nil {
		t.Error("cookies are kept")
	}
}
