// These tests hold what a tokens file may say, and that changes are seen.

package identity

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func newToken(t *testing.T, name string) (token, line string) {
	t.Helper()
	token, line, err := NewToken(name)
	if err != nil {
		t.Fatal(err)
	}
	return token, line
}

func TestTokensFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	alice, aliceLine := newToken(t, "alice")
	bob, bobLine := newToken(t, "bob@example.com")
	write(t, path, "\ufeff# the team\n\n"+aliceLine+"\n  "+strings.Replace(bobLine, " ", " \t", 1)+"\r\n")
	var log bytes.Buffer
	v, err := New(Options{TokensFile: path, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	carol, carolLine := newToken(t, "carol")
	expect := func(token, owner string) {
		t.Helper()
		u, refusal := identify(v, token)
		if u.Owner != owner || (refusal == nil) != (owner != "") {
			t.Errorf("got %+v, %+v, want %s", u, refusal, owner)
		}
		if refusal != nil && (refusal.Status != 401 || refusal.Challenge != `Bearer error="invalid_token"`) {
			t.Errorf("%+v", refusal)
		}
	}
	unread := func() { // nobody is told that their token is bad
		t.Helper()
		if _, refusal := identify(v, carol); refusal == nil || refusal.Status != 503 || refusal.Challenge != "" {
			t.Errorf("%+v", refusal)
		}
	}
	expect(alice, "token:alice")
	expect(bob, "token:bob@example.com")
	expect(alice+"x", "")
	expect(strings.TrimPrefix(aliceLine, "alice sha256:"), "") // its hash is no token
	if _, refusal := identify(v, ""); refusal == nil || refusal.Challenge != "Bearer" {
		t.Errorf("%+v", refusal)
	}

	// Alice is taken out, and somebody slips.
	write(t, path, bobLine+"\nalice "+alice+"\n"+carolLine+"\n")
	expect(alice, "")
	expect(bob, "token:bob@example.com")
	expect(carol, "token:carol")
	expect(carol, "token:carol")
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "line 2") || strings.Contains(got, alice) {
		t.Errorf("log: %s", got)
	}

	// A change of the same size and time is told by the file's number.
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path+".new", carolLine+"\n"+strings.Repeat("#", int(info.Size())-len(carolLine)-1))
	if err := os.Chtimes(path+".new", time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	expect(bob, "")
	expect(carol, "token:carol")

	if runtime.GOOS != "windows" {
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		unread()
		if _, err := New(Options{TokensFile: path}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Error(err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	unread()
	write(t, path, aliceLine)
	expect(alice, "token:alice")
}

// PowerShell's > writes UTF-16, Notepad UTF-8 with a byte order mark.
func TestTokensFileIsReadByItsByteOrderMark(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	token, line := newToken(t, "alice")
	wide := "\xff\xfe"
	for _, c := range line + "\r\n" {
		wide += string(c) + "\x00"
	}
	for _, content := range []string{"\ufeff" + line + "\r\n", wide} {
		write(t, path, content)
		v, err := New(Options{TokensFile: path})
		if err != nil {
			t.Errorf("%.20q: %v", content, err)
			continue
		}
		if u, refusal := identify(v, token); refusal != nil || u.Owner != "token:alice" {
			t.Errorf("%.20q: %+v, %v", content, u, refusal)
		}
	}
}

func TestTokensFileRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	token, line := newToken(t, "alice")
	for content, want := range map[string]string{
		"alice " + token:                          "line 1: the token must be given as sha256:",
		"alice sha256:abc":                        "line 1: the token must be given as sha256:",
		"alice":                                   "line 1: must be a name and sha256:",
		line + " x":                               "line 1: must be a name and sha256:",
		"\n" + line + "\n" + line:                 "line 3: a name or token that an earlier line has",
		line + "\nbob" + line[len("alice"):]:      "line 2: a name or token that an earlier line has",
		"../x" + line[len("alice"):]:              "line 1: a name must be of",
		"Alice" + line[len("alice"):]:             "line 1: a name must be of",
		"a\u202ex" + line[len("alice"):]:          "line 1: a name must be of",
		strings.Repeat("a", 65) + line[5:]:        "line 1: a name must be of",
		strings.Repeat("# much\n", 200_000):       "larger than 1024 KiB",
		"-" + line + "\n# " + line + "\n-" + line: "line 1: a name must be of",
	} {
		write(t, path, content)
		if _, err := New(Options{TokensFile: path}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), token) {
			t.Errorf("%.60q: %v", content, err)
		}
	}
	if _, err := New(Options{TokensFile: path + "x"}); err == nil {
		t.Error("no file")
	}
	for _, name := range []string{"", "A", "a b", "-a", "a.", "a/b", "ü"} {
		if _, _, err := NewToken(name); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

func TestBothKindsOfUsersAreTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	token, line := newToken(t, "ci")
	write(t, path, line)
	f := newFakeIssuer()
	o := newVerifier(t, f).o
	o.TokensFile = path
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if u, refusal := identify(v, token); refusal != nil || u.Owner != "token:ci" {
		t.Errorf("%+v, %v", u, refusal)
	}
	if u, refusal := identify(v, f.sign("ES256", "first", claims(nil))); refusal != nil || len(u.Owner) != 64 {
		t.Errorf("%+v, %v", u, refusal)
	}
	if _, refusal := identify(v, token+"x"); refusal == nil || refusal.Status != 401 {
		t.Errorf("%+v", refusal)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, refusal := identify(v, token); refusal == nil || refusal.Status != 503 {
		t.Errorf("without the file: %+v", refusal)
	}
	if u, refusal := identify(v, f.sign("ES256", "first", claims(nil))); refusal != nil || len(u.Owner) != 64 {
		t.Errorf("a user of the issuer without the file: %+v, %v", u, refusal)
	}
}
