// These tests hold what http takes and refuses.

package config

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// secretFile writes a file of that mode.
func secretFile(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	return path
}

const (
	testSecret   = "0123456789abcdef0123456789abcdef-secret"
	testDatabase = "postgres://pixazo:hunter2hunter2@db.example/pixazo"
)

func TestHTTPDefaults(t *testing.T) {
	s := mustParse(t, []string{"http"}, homeLine(t.TempDir()))
	h := s.HTTP
	if h.Address != "127.0.0.1:8080" || h.MaxVideosPerUser != 20 || h.MaxCallsPerMinute != 120 || h.MaxWaits != 2000 || h.MaxBody != 8<<20 ||
		h.MetricsAddress != "127.0.0.1:9090" || h.DrainTime != time.Minute || h.DatabaseURL.Reveal() != "" || h.Origin() != "http://127.0.0.1:8080" {
		t.Errorf("%+v", h)
	}
	if s.OutputDir != "" || s.StateDir == "" || s.MaxVideosPerHour != 20 || s.KeepDays != 0 {
		t.Errorf("%+v", s)
	}
	if s := mustParse(t, nil, "PIXAZO_ADDRESS=nonsense", "PIXAZO_TOKENS_FILE=~bob"); s.HTTP.Address != "" {
		t.Error("stdio reads the settings of http")
	}
}

func TestHTTPTakesFlagsAndVariables(t *testing.T) {
	secret, database := secretFile(t, testSecret+"\n", 0o640), secretFile(t, testDatabase+"\n", 0o600)
	s := mustParse(t, []string{"http", "--address=:8443", "--public-url=https://mcp.example.com/mcp", "--oauth-issuer", "https://id.example/", "--oauth-scopes=videos:read, videos:create",
		"--webhook-secret-file", secret, "--usage-token-file", secret, "--metrics-address=none", "--drain-time=0", "--max-waits=0", "--allowed-origins=https://app.example", "--output-dir=/v", "--keep-days=90"},
		homeLine(t.TempDir()), "PIXAZO_MAX_BODY=0", "PIXAZO_MAX_CALLS_PER_MINUTE=7", "PIXAZO_MAX_VIDEOS_PER_USER=0", "PIXAZO_DATABASE_URL_FILE="+database, "PIXAZO_TOKENS_FILE=~/tokens")
	h := s.HTTP
	if h.Address != ":8443" || h.Origin() != "https://mcp.example.com" || h.OAuthIssuer != "https://id.example/" || !slices.Equal(h.OAuthScopes, []string{"videos:read", "videos:create"}) ||
		h.WebhookSecret.Reveal() != testSecret || h.UsageToken.Reveal() != testSecret || h.MetricsAddress != "" || h.DrainTime != 0 || h.MaxWaits != 0 || h.AllowedOrigins[0] != "https://app.example" ||
		h.MaxBody != 64<<20 || h.MaxCallsPerMinute != 7 || h.MaxVideosPerUser != 0 || h.DatabaseURL.Reveal() != testDatabase || h.TokensFile != filepath.Join(s.Home, "tokens") {
		t.Errorf("%+v", h)
	}
	if s.StateDir != "" || s.KeepDays != 90 || s.OutputDir == "" {
		t.Errorf("%+v", s)
	}
	marshalled, _ := json.Marshal(h)
	for _, printed := range []string{fmt.Sprintf("%v %+v %#v %+v %#v", s, s, s, h, h), string(marshalled)} {
		if strings.Contains(printed, "hunter2") || strings.Contains(printed, testSecret) {
			t.Errorf("a secret is printed: %s", printed)
		}
	}
	other := "postgres://other/x"
	if s := mustParse(t, []string{"http", "--database-url-file", database}, "PIXAZO_DATABASE_URL= "+other+"\n"); s.HTTP.DatabaseURL.Reveal() != other {
		t.Error("the variable does not go first")
	}
	if s := mustParse(t, []string{"list", "--all"}, "PIXAZO_DATABASE_URL="+other); !s.Shell.All || s.HTTP.DatabaseURL.Reveal() != other {
		t.Errorf("%+v", s.Shell)
	}
	if s := mustParse(t, []string{"token", "alice"}); s.Command != Token || s.Token != "alice" {
		t.Errorf("%+v", s)
	}
}

func TestHTTPRefuses(t *testing.T) {
	secret, short := secretFile(t, testSecret, 0o600), secretFile(t, "short", 0o600)
	const public, open = "--public-url=https://mcp.example.com/mcp", "--address=0.0.0.0:8080"
	for _, tt := range []struct {
		args []string
		env  string
		want string
	}{
		{[]string{open}, "", "--address (PIXAZO_ADDRESS): beyond this computer needs --oauth-issuer or --tokens-file"},
		{[]string{"--address=:8080"}, "", "--address (PIXAZO_ADDRESS): beyond this computer needs"},
		{nil, "PIXAZO_ADDRESS=host.example:80", "--address (PIXAZO_ADDRESS): beyond this computer needs"},
		{[]string{public}, "", "--public-url (PIXAZO_PUBLIC_URL): needs --oauth-issuer or --tokens-file"},
		{[]string{"--oauth-issuer=https://id.example"}, "", "--oauth-issuer (PIXAZO_OAUTH_ISSUER): needs --public-url"},
		{[]string{"--oauth-issuer=http://id.example", "--tokens-file=/t", public}, "", "--oauth-issuer (PIXAZO_OAUTH_ISSUER): must be an https URL"},
		{[]string{"--oauth-scopes=a", "--tokens-file=/t", public}, "", "--oauth-scopes (PIXAZO_OAUTH_SCOPES): needs --oauth-issuer"},
		{[]string{"--oauth-scopes=a b c"}, "", "--oauth-scopes (PIXAZO_OAUTH_SCOPES): must be the name"},
		{[]string{"--webhook-secret-file", secret}, "", "--webhook-secret-file (PIXAZO_WEBHOOK_SECRET_FILE): needs --public-url"},
		{[]string{"--webhook-secret-file", short}, "", "at least 32 characters"},
		{[]string{"--webhook-secret-file", short + "x"}, "", "must be a file that can be read"},
		{[]string{"--usage-token-file", short}, "", "at least 32 characters"},
		{[]string{"--usage-token-file", testSecret}, "", "must be a file that can be read"},
		{[]string{"--database-url-file", short}, "", "must hold a URL such as postgres://"},
		{[]string{"--database-url-file", testDatabase}, "", "must be a file that can be read"},
		{nil, "PIXAZO_DATABASE_URL=mysql://u:hunter2@h/x", "PIXAZO_DATABASE_URL: must hold a URL such as postgres://"},
		{[]string{"--state-dir=/s"}, "PIXAZO_DATABASE_URL=" + testDatabase, "--state-dir (PIXAZO_STATE_DIR): must not be set beside a database"},
		{[]string{"--files-dir=/f"}, "", "--files-dir (PIXAZO_FILES_DIR): must not be set with http"},
		{nil, "PIXAZO_FILES_FROM_ROOTS=true", "--files-from-roots (PIXAZO_FILES_FROM_ROOTS): must not be set with http"},
		{[]string{"--webhook-url=https://h.example/x"}, "", "--webhook-url (PIXAZO_WEBHOOK_URL): must not be set with http"},
		{nil, "PIXAZO_WEBHOOK_MODE=sync", "--webhook-mode (PIXAZO_WEBHOOK_MODE): must not be set with http"},
		{[]string{open, "--tokens-file=/t", "--output-dir=/v"}, "", "--output-dir (PIXAZO_OUTPUT_DIR): needs --public-url"},
		{[]string{"--address=8080"}, "", "must be a host and a port"},
		{[]string{"--address=http://h:80"}, "", "must be a host and a port"},
		{[]string{"--metrics-address=off"}, "", "must be a host and a port"},
		{[]string{"--max-body=65MB"}, "", "must be a size from 64KB to 64MB"},
		{[]string{"--max-waits=-1"}, "", "must be a whole number from 0 (no limit)"},
		{[]string{"--drain-time=2h"}, "", "must be a duration of at most 1h"},
		{[]string{"--allowed-origins=*"}, "", "must be whole origins"},
		{[]string{"--allowed-origins=http://app.example"}, "", "must be https origins"},
	} {
		var env []string
		if tt.env != "" {
			env = append(env, tt.env)
		}
		if runtime.GOOS == "windows" && tt.want == "must be a file that can be read" && tt.args[1] == testDatabase {
			tt.want = "must be a path" // none has a colon there
		}
		got := parseError(t, append([]string{"http"}, tt.args...), env...)
		if !strings.Contains(got, tt.want) || strings.Contains(got, "\n") || strings.Contains(got, "hunter2") || strings.Contains(got, testSecret) {
			t.Errorf("%q, %s: %s", tt.args, tt.env, got)
		}
	}
	for _, args := range [][]string{{"--address=:1"}, {"serve", "--tokens-file=x"}, {"list", "--public-url=https://h.example"}} {
		if got := parseError(t, args); !strings.Contains(got, "is a flag of http alone") {
			t.Errorf("%q: %s", args, got)
		}
	}
	parseError(t, []string{"token"})
	parseError(t, []string{"token", "a", "b"})
}

func TestSecretFilesMustNotBeExposed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits")
	}
	for mode, taken := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o440: true, 0o640: true, 0o644: false, 0o660: false, 0o604: false, 0o602: false} {
		_, err := Parse([]string{"http", "--usage-token-file", secretFile(t, testSecret, mode)}, nil, testVersion, io.Discard)
		if (err == nil) != taken || err != nil && !strings.Contains(err.Error(), fmt.Sprintf("(mode %04o): run chmod 600 on it", mode)) {
			t.Errorf("%04o: %v", mode, err)
		}
	}
}

func TestPublicURLIsExact(t *testing.T) {
	for v, taken := range map[string]bool{
		"https://mcp.example.com/mcp": true, "https://mcp.example.com": true, "https://mcp.example.com:8443/a/mcp": true, "http://localhost:8080/mcp": true, "http://127.0.0.1:8080/mcp": true,
		"https://mcp.example.com/mcp/": false, "https://mcp.example.com/": false, "http://mcp.example.com/mcp": false, "https://MCP.example.com/mcp": false, "https://mcp.example.com:443/mcp": false,
		"https://mcp.example.com/mcp?x": false, "https://mcp.example.com/mcp#x": false, "https://u@mcp.example.com/mcp": false, "mcp.example.com/mcp": false, "https://mcp.example.com//mcp": false,
		"https://mcp.example.com/m%63p": false, "https://mcp.example.com./mcp": false, "ftp://mcp.example.com/mcp": false,
		"https://mcp.example.com/{x}": false, "https://mcp.example.com/a b": false, "https://mcp.example.com/a/../mcp": false, "https://mcp.example.com/healthz": false,
		"https://mcp.example.com/usage": false, "https://mcp.example.com/videos/mcp": false, "https://mcp.example.com/webhook/mcp": false, "https://mcp.example.com/.well-known/x": false, "https://mcp.example.com/videos2": true,
		"https://bücher.example/mcp": false, "https://xn--bcher-kva.example/mcp": true, // clients send the second for the first
	} {
		_, err := Parse([]string{"http", "--public-url", v, "--tokens-file=/t"}, nil, testVersion, io.Discard)
		if (err == nil) != taken || err != nil && !strings.Contains(err.Error(), "--public-url (PIXAZO_PUBLIC_URL): must be an https URL") {
			t.Errorf("%s: %v", v, err)
		}
	}
}
