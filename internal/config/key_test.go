// These tests hold where the key comes from and what is said when it does not.

package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"pixazo-mcp/pixazo"
)

func newKey(t *testing.T, s string) pixazo.Key {
	t.Helper()
	key, err := pixazo.NewKey(s)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestKeyComesFromVariableThenFile(t *testing.T) {
	home := t.TempDir()
	byDefault := filepath.Join(home, ".pixazo", "api-key")
	named := filepath.Join(home, "named")
	write(t, byDefault, "default-key\n")
	write(t, named, "\ufeff named-key\r\n")
	tests := []struct {
		name string
		args []string
		env  []string
		want string
	}{
		{"default file", nil, nil, "default-key"},
		{"named file", []string{"--api-key-file", named}, nil, "named-key"},
		{"variable", []string{"--api-key-file", named}, []string{"PIXAZO_API_KEY= variable-key\n"}, "variable-key"},
		{"empty variable", nil, []string{"PIXAZO_API_KEY= "}, "default-key"},
		{"placeholder", nil, []string{"PIXAZO_API_KEY=${PIXAZO_API_KEY}"}, "default-key"},
		{"second variable", nil, []string{"PIXAZO_SUBSCRIPTION_KEY=second-key", "PIXAZO_API_KEY="}, "second-key"},
		{"both variables", nil, []string{"PIXAZO_SUBSCRIPTION_KEY=second-key", "PIXAZO_API_KEY=variable-key"}, "variable-key"},
		{"no home", nil, []string{homeLine("")}, ""},
		{"other home", nil, []string{homeLine(t.TempDir())}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := mustParse(t, tt.args, append([]string{homeLine(home)}, tt.env...)...)
			got, err := s.Key()
			if err != nil || got != newKey(t, tt.want) {
				t.Errorf("another key than %q, or error %v", tt.want, err)
			}
		})
	}
}

func TestKeyIsReadAfresh(t *testing.T) {
	home := t.TempDir()
	s := mustParse(t, nil, homeLine(home))
	for _, content := range []string{"", "first", "second", ""} {
		if content != "" {
			write(t, s.APIKeyFile, content)
		} else {
			_ = os.Remove(s.APIKeyFile)
		}
		if got, err := s.Key(); err != nil || got != newKey(t, content) {
			t.Errorf("with %q in the file: another key, or error %v", content, err)
		}
	}
}

func TestKeyErrorsNameThePlaceAndTheRemedy(t *testing.T) {
	home := t.TempDir()
	named := filepath.Join(home, "named")
	const secret = "secret-part"
	tests := []struct {
		name    string
		content string // of the file; "-" for none
		env     []string
		want    []string
	}{
		{"missing", "-", nil, []string{"no such file"}},
		{"empty", " \n", nil, []string{"empty"}},
		{"two lines", secret + "\nmore", nil, []string{"line break"}},
		{"not ASCII", secret + "é", nil, []string{"outside ASCII"}},
		{"in quotation marks", `"` + secret + `"`, nil, []string{"quotation mark"}},
		{"with its name", "PIXAZO_API_KEY=" + secret, nil, []string{"a name and an equals sign"}},
		{"placeholder", "${PIXAZO_API_KEY}", nil, []string{"bracket"}},
		{"name of a variable", "$PIXAZO_API_KEY", nil, []string{"sign that does not belong"}},
		{"sample", "YOUR_KEY", nil, []string{"placeholder"}},
		{"null", "null\n", nil, []string{"placeholder"}},
		{"UTF-16 without its mark", "a\x00b\x00", nil, []string{"outside ASCII"}},
		{"second variable", "fine", []string{"PIXAZO_SUBSCRIPTION_KEY=null"}, []string{"PIXAZO_SUBSCRIPTION_KEY:", "placeholder"}},
		{"too long", strings.Repeat("x", 513), nil, []string{"512"}},
		{"too large", strings.Repeat(" ", maxKeyFile) + secret, nil, []string{"larger than 4 KiB"}},
		{"variable", "fine", []string{"PIXAZO_API_KEY=" + secret + " more"}, []string{"PIXAZO_API_KEY:", "space"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_ = os.Remove(named)
			want := tt.want
			if tt.env == nil {
				want = append(want, `"`+named+`"`, "--api-key-file (PIXAZO_API_KEY_FILE)", "or set PIXAZO_API_KEY")
			}
			if runtime.GOOS == "windows" {
				want = tt.want[:1] // quoting doubles the backslashes of the path
			}
			if tt.content != "-" {
				write(t, named, tt.content)
			}
			key, err := mustParse(t, []string{"--api-key-file", named}, tt.env...).Key()
			if err == nil || !key.IsZero() {
				t.Fatalf("Key() = %v, %v; want an error alone", key.IsZero(), err)
			}
			for _, w := range want {
				if !strings.Contains(err.Error(), w) && w != "no such file" {
					t.Errorf("error %q lacks %q", err, w)
				}
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows a part of the key: %v", err)
			}
		})
	}
}

func TestKeyFileAtDefaultPlace(t *testing.T) {
	home := t.TempDir()
	s := mustParse(t, nil, homeLine(home))
	write(t, s.APIKeyFile, "\n")
	if key, err := s.Key(); err != nil || !key.IsZero() {
		t.Errorf("empty: %v, want none and no error", err)
	}
	write(t, s.APIKeyFile, "two\nlines")
	if _, err := s.Key(); err == nil {
		t.Error("malformed: no error, so a user would be told that there is no key")
	}
}

func TestKeyRefusesWhatIsNotAFile(t *testing.T) {
	_, err := mustParse(t, []string{"--api-key-file", t.TempDir()}).Key()
	if err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("folder: error %v", err)
	}
}

// chmod 600 on a folder would lock its files away; Key says what is wrong.
func TestKeyWarningSpeaksOfRegularFilesOnly(t *testing.T) {
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if w := mustParse(t, []string{"--api-key-file", folder}).KeyWarning(); w != "" {
		t.Errorf("folder: %q", w)
	}
	if runtime.GOOS != "windows" {
		if w := mustParse(t, []string{"--api-key-file", os.DevNull}).KeyWarning(); w != "" {
			t.Errorf("device: %q", w)
		}
	}
}

func TestKeyWarningTellsOpenPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits")
	}
	home := t.TempDir()
	s := mustParse(t, nil, homeLine(home))
	if w := s.KeyWarning(); w != "" {
		t.Errorf("no file: %q", w)
	}
	write(t, s.APIKeyFile, "key")
	for mode, warned := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true, 0o620: true} {
		if err := os.Chmod(s.APIKeyFile, mode); err != nil {
			t.Fatal(err)
		}
		w := s.KeyWarning()
		if (w != "") != warned || (warned && !strings.Contains(w, s.APIKeyFile)) {
			t.Errorf("mode %o: warning %q", mode, w)
		}
		if w := mustParse(t, nil, homeLine(home), "PIXAZO_API_KEY=x").KeyWarning(); w != "" {
			t.Errorf("mode %o, file not in use: %q", mode, w)
		}
	}
}

func TestSettingsNeverShowTheKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(testKey), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, env := range []string{"PIXAZO_API_KEY=" + testKey, "PIXAZO_API_KEY_FILE=" + file} {
		s := mustParse(t, nil, env)
		if key, err := s.Key(); err != nil || key.IsZero() {
			t.Fatalf("no key to hide: %v", err)
		}
		var out bytes.Buffer
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
			fmt.Fprintf(&out, format+format, s, &s)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("", "settings", s)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("", "settings", s)
		if err := json.NewEncoder(&out).Encode(s); err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{testKey, fmt.Sprintf("%x", testKey)} {
			if strings.Contains(out.String(), secret) {
				t.Errorf("%s: printing shows the key: %s", env[:19], out.String())
			}
		}
	}
}

func TestKeyOfFileIsZeroWhereAKeyCanBePut(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]string{"": "", " \n": "", "k3y\n": "k3y", "two words": "error"} {
		path := filepath.Join(dir, "k")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := KeyOfFile(path)
		if (err != nil) != (want == "error") || key.IsZero() != (want != "k3y") {
			t.Errorf("%q: %v, %v", content, key, err)
		}
	}
	if key, err := KeyOfFile(filepath.Join(dir, "none")); err != nil || !key.IsZero() {
		t.Errorf("%v, %v", key, err)
	}
}

// PowerShell's > writes UTF-16, Notepad UTF-8 with a byte order mark.
func TestKeyFileIsReadByItsByteOrderMark(t *testing.T) {
	s := mustParse(t, nil, homeLine(t.TempDir()))
	for name, content := range map[string]string{
		"UTF-8":                "\xef\xbb\xbfk3y\r\n",
		"UTF-16 little endian": "\xff\xfek\x003\x00y\x00\r\x00\n\x00",
		"UTF-16 big endian":    "\xfe\xff\x00k\x003\x00y\x00\r\x00\n",
	} {
		write(t, s.APIKeyFile, content)
		if got, err := s.Key(); err != nil || got != newKey(t, "k3y") {
			t.Errorf("%s: another key, or error %v", name, err)
		}
	}
}

func TestKeyFileWithAnEndingIsNamed(t *testing.T) {
	home := t.TempDir()
	for _, args := range [][]string{nil, {"--api-key-file", filepath.Join(home, "key")}} {
		s := mustParse(t, args, homeLine(home))
		write(t, s.APIKeyFile+".txt", "k3y")
		if _, err := s.Key(); err == nil || !strings.Contains(err.Error(), filepath.Base(s.APIKeyFile)+".txt is: take .txt off its name") {
			t.Errorf("%q: %v", args, err)
		}
		write(t, s.APIKeyFile, "k3y")
		if _, err := s.Key(); err != nil {
			t.Errorf("%q: with the file in place: %v", args, err)
		}
	}
}

// The key must not go to another gateway than the one that was meant.
func TestNoKeyWhileItIsInDoubtWhereItGoes(t *testing.T) {
	for _, tt := range []struct {
		arg  string
		none bool
	}{
		{"--gateway-url=http://gateway.example", true},
		{"--sandbox=maybe", true},
		{"--sandbx", true},
		{"--output-dir=$HOME", false},
		{"--api-key-file=$HOME/key", false}, // the variable goes first
	} {
		s, err := Parse([]string{tt.arg}, []string{"PIXAZO_API_KEY=" + testKey}, testVersion, io.Discard)
		key, keyErr := s.Key()
		if err == nil || key.IsZero() != tt.none || (keyErr != nil) != tt.none {
			t.Errorf("%s: no key: %t, %v", tt.arg, key.IsZero(), keyErr)
		}
	}
	s, _ := Parse([]string{"--api-key-file=$HOME/key"}, nil, testVersion, io.Discard)
	if _, err := s.Key(); err == nil || !strings.Contains(err.Error(), "--api-key-file (PIXAZO_API_KEY_FILE): must be a path as it is") {
		t.Errorf("refused key file: %v", err)
	}
}
