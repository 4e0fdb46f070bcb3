// These tests hold where the key comes from and what is said when it does not.

package config

import (
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
