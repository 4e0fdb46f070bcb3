// These tests hold that a key is never printed, however it is printed.

package pixazo

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNewKeyTrimsAndChecks(t *testing.T) {
	for _, good := range []string{testSecret, "  " + testSecret + "\r\n", "\t" + testSecret, "!~", strings.Repeat("k", 512), " " + strings.Repeat("k", 512) + "\n"} {
		key, err := NewKey(good)
		if err != nil || key.IsZero() || key.value() != strings.TrimSpace(good) {
			t.Errorf("%q: %q, error %v", good, key.value(), err)
		}
	}
	for _, empty := range []string{"", " ", "\r\n\t"} {
		if key, err := NewKey(empty); err != nil || !key.IsZero() || key != (Key{}) || key.value() != "" {
			t.Errorf("%q: zero %t, error %v", empty, key.IsZero(), err)
		}
	}
	for _, bad := range []string{
		testSecret + " " + testSecret, testSecret + "\n" + testSecret, testSecret + "\x00", testSecret + "\x7f", testSecret + "\x1b[0m",
		testSecret + "ü", "“" + testSecret + "”", "\ufeff" + testSecret, testSecret + "\xff", strings.Repeat(testSecret, 17),
	} {
		key, err := NewKey(bad)
		if err == nil || !key.IsZero() {
			t.Errorf("%q is accepted", bad)
			continue
		}
		checkNoKey(t, "the error", err.Error())
	}
}

// TestWhatCantBeAKeyIsRefused: it would be sent, and answered 401, which reads as
// if the key was wrong.
func TestWhatCantBeAKeyIsRefused(t *testing.T) {
	for s, reason := range map[string]string{
		`"` + testSecret + `"`:                    "quotation mark",
		"'" + testSecret + "'":                    "quotation mark",
		"`" + testSecret + "`":                    "quotation mark",
		"<" + testSecret + ">":                    "bracket",
		"{" + testSecret + "}":                    "bracket",
		"${PIXAZO_API_KEY}":                       "bracket",
		"%PIXAZO_API_KEY%":                        "another sign",
		testSecret + ";":                          "another sign",
		testSecret + ",":                          "another sign",
		"PIXAZO_API_KEY=" + testSecret:            "a name and an equals sign",
		"key=" + testSecret + "==":                "a name and an equals sign",
		"export PIXAZO_API_KEY=" + testSecret:     "a space",
		"Bearer " + testSecret:                    "a space",
		"YOUR_KEY":                                "a placeholder",
		"your-api-key":                            "a placeholder",
		"YOUR_SUBSCRIPTION_KEY":                   "a placeholder",
		"YOUR_PIXAZO_API_KEY_HERE":                "a placeholder",
		"null":                                    "a placeholder",
		"None":                                    "a placeholder",
		"undefined":                               "a placeholder",
		"xxxxxxxx-xxxx-xxxx":                      "a placeholder",
		"********":                                "a placeholder",
		"...":                                     "a placeholder",
		"PIXAZO_API_KEY":                          "a placeholder",
		"Ocp-Apim-Subscription-Key:" + testSecret: "a placeholder",
		"api-key:" + testSecret:                   "a placeholder",
		"Bearer:" + testSecret:                    "a placeholder",
		"key:" + testSecret:                       "a placeholder",
		"Token:" + testSecret:                     "a placeholder",
		"=" + testSecret:                          "an equals sign",
		"==" + testSecret + "=":                   "an equals sign",
		"INSERT_KEY":                              "a placeholder",
		"replace-with-key":                        "a placeholder",
		testSecret + "\x00":                       "can't be seen",
		testSecret + "\u200b":                     "can't be seen",
		"[" + testSecret + "]":                    "bracket",
		"(key)":                                   "bracket",
		"https://api-console.pixazo.ai/api_keys":  "another sign",
		"~/.pixazo/api-key":                       "a placeholder",
		"/home/ann/.pixazo/api-key.txt":           "a placeholder",
		"my-api-key-2":                            "a placeholder",
		"YOUR-KEY-123":                            "a placeholder",
		"INSERT_KEY_HERE":                         "a placeholder",
		"paste-your-key-here":                     "a placeholder",
		"REPLACE_ME":                              "a placeholder",
		"REDACTED":                                "a placeholder",
		"000000":                                  "a placeholder",
		"TODO":                                    "a placeholder",
	} {
		key, err := NewKey(s)
		if err == nil || !key.IsZero() || !strings.Contains(err.Error(), reason) || strings.Contains(err.Error(), s) {
			t.Errorf("%q: error %v, want one with %q", s, err, reason)
		} else {
			checkNoKey(t, "the error", err.Error())
		}
	}
	for _, s := range []string{"sandbox", "here5c1f0e9a", "coherently", "/A5c1f0e9a", "secret-1", "insert5c1f0e", "entering1", "enterpriseKey", "pasteur", "dGVzdA==", "id:" + testSecret, "your5c1f0e9a", "sk-proj_A.b~c+d/e", "nullable-key-1"} {
		if key, err := NewKey(s); err != nil || key.value() != s {
			t.Errorf("%q: error %v", s, err)
		}
	}
}

func TestKeysCompareByValue(t *testing.T) {
	a, _ := NewKey("secret-1")
	b, _ := NewKey(" secret-1 ")
	c, _ := NewKey("secret-2")
	if a != b || a == c || a == (Key{}) {
		t.Error("equal keys differ, or different ones are equal")
	}
}

func TestKeyIsRedactedInEveryFormat(t *testing.T) {
	key, err := testKey()
	if err != nil {
		t.Fatal(err)
	}
	type exported struct{ Key Key }
	type unexported struct{ key Key }
	type embedded struct{ Key }
	for _, tt := range []struct {
		name    string
		v       any
		redacts bool // fmt can reach the key's own methods
	}{
		{"value", key, true},
		{"pointer", &key, true},
		{"exported field", exported{key}, true},
		{"pointer to struct", &exported{key}, true},
		{"embedded", embedded{key}, true},
		{"slice", []Key{key}, true},
		{"map value", map[string]Key{"k": key}, true},
		{"map key", map[Key]int{key: 1}, true},
		{"interface", []any{key}, true},
		// fmt calls no method of what lies in an unexported field.
		{"unexported field", unexported{key}, false},
		{"pointer to unexported field", &unexported{key}, false},
		{"map in an unexported field", struct{ m map[string]Key }{map[string]Key{"k": key}}, false},
		{"pointer in an unexported field", struct{ k *Key }{&key}, false},
		{"configuration", Config{Key: testKey}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, verb := range "vsqxXdobOcUeEfFgGtpTw" {
				for _, flags := range []string{"", "+", "#", "-", " ", "0", "+#", "# ", "200", ".3", "-60.40"} {
					format := "%" + flags + "[1]" + string(verb) // the index, since a value left over is printed by %v
					got := fmt.Sprintf(format, tt.v)
					checkNoKey(t, format, got)
					if tt.redacts && strings.ContainsRune("vsqxXd", verb) && !strings.Contains(got, "[redacted]") {
						t.Errorf("%s prints %s", format, got)
					}
				}
			}
			for what, got := range map[string]string{
				"Sprint":   fmt.Sprint(tt.v),
				"Sprintln": fmt.Sprintln(tt.v),
				"Errorf":   fmt.Errorf("with %v", tt.v).Error(),
			} {
				checkNoKey(t, what, got)
			}
			for _, handler := range []func(*bytes.Buffer) slog.Handler{
				func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
				func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
			} {
				var b bytes.Buffer
				log := slog.New(handler(&b))
				log.Info("m", "key", tt.v, slog.Group("g", "key", tt.v))
				log.With("key", tt.v).WithGroup("g").Info("m")
				checkNoKey(t, "slog", b.String())
			}
			if b, err := json.Marshal(tt.v); err == nil {
				checkNoKey(t, "JSON", string(b))
			}
			if b, err := xml.Marshal(tt.v); err == nil {
				checkNoKey(t, "XML", string(b))
			}
		})
	}
}

func TestKeyMethodsRedact(t *testing.T) {
	key, _ := testKey()
	text, err := key.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(map[Key]Key{key: key})
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != "[redacted]" {
		t.Errorf("MarshalText gives %q", text)
	}
	if string(asJSON) != `{"[redacted]":"[redacted]"}` {
		t.Errorf("JSON %s", asJSON)
	}
	// The zero Key prints alike: whether there is a key is nobody's business.
	if got := fmt.Sprintf("%v %+v %#v %s", Key{}, Key{}, Key{}, Key{}); got != "[redacted] [redacted] [redacted] [redacted]" {
		t.Errorf("the zero key prints %s", got)
	}
}

// How a key can be written is in the tests of internal/text.
func TestKeyCleansAndHides(t *testing.T) {
	key, _ := testKey()
	short, _ := NewKey("sandbox")
	for _, tt := range []struct {
		key     Key
		s, want string
	}{
		{key, "key " + testSecret[:9] + "\u200b" + testSecret[9:] + "\n was  revoked", "key [redacted] was…"},
		{key, "a\x00 b", "a b"},
		{short, "sandbox_1", "sandbox_1"}, // may be a word
		{Key{}, "a\tb", "a b"},
	} {
		if got := tt.key.Clean(tt.s, 18); got != tt.want {
			t.Errorf("%q becomes %q, want %q", tt.s, got, tt.want)
		}
	}
}
