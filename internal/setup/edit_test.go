// These tests hold that nothing of a client's configuration changes but our
// entry, and the comments that go with it.

package setup

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/tailscale/hujson"
)

var ourArgs = []string{"--output-dir=/out"}

// putOurs does what install does with a document.
func putOurs(d *document) error {
	return d.put("pixazo", entry{Command: "/opt/pixazo-mcp", Args: mergeArgs(d.entries["pixazo"].Args, ourArgs)}, "")
}

// putTests are configurations before and after.
var putTests = []struct{ name, before, after string }{
	{"empty file", "", `{
  "mcpServers": {
    "pixazo": {
      "command": "/opt/pixazo-mcp",
      "args": ["--output-dir=/out"]
    }
  }
}
`},
	{"white space", " \n", `{
  "mcpServers": {
    "pixazo": {
      "command": "/opt/pixazo-mcp",
      "args": ["--output-dir=/out"]
    }
  }
}
`},
	{"empty object", "{}", `{
  "mcpServers": {
    "pixazo": {
      "command": "/opt/pixazo-mcp",
      "args": ["--output-dir=/out"]
    }
  }
}`},
	{"tabs, another server", "{\n\t\"theme\": \"dark\",\n\t\"mcpServers\": {\n\t\t\"other\": {\"command\": \"x\"}\n\t}\n}\n",
		"{\n\t\"theme\": \"dark\",\n\t\"mcpServers\": {\n\t\t\"other\": {\"command\": \"x\"},\n\t\t\"pixazo\": {\n\t\t\t\"command\": \"/opt/pixazo-mcp\",\n\t\t\t\"args\": [\"--output-dir=/out\"]\n\t\t}\n\t}\n}\n"},
	{"mark and CRLF", "\ufeff{\r\n    \"a\": 1\r\n}\r\n",
		"\ufeff{\r\n    \"a\": 1,\r\n    \"mcpServers\": {\r\n        \"pixazo\": {\r\n            \"command\": \"/opt/pixazo-mcp\",\r\n            \"args\": [\"--output-dir=/out\"]\r\n        }\r\n    }\r\n}\r\n"},
	{"comments and trailing commas", `// mine
{
  /* a */ "a": 1, // about a
  "mcpServers": {
    // about other
    "other": {"command": "x",}, // after other
    // last words
  }, // after servers
  // the end
} // bye`, `// mine
{
  /* a */ "a": 1, // about a
  "mcpServers": {
    // about other
    "other": {"command": "x",}, // after other
    "pixazo": {
      "command": "/opt/pixazo-mcp",
      "args": ["--output-dir=/out"]
    },
    // last words
  }, // after servers
  // the end
} // bye`},
	{"comment without a comma", `{
  "mcpServers": {
    "other": {} // here
  }
}`, `{
  "mcpServers": {
    "other": {}, // here
    "pixazo": {
      "command": "/opt/pixazo-mcp",
      "args": ["--output-dir=/out"]
    }
  }
}`},
	{"one line", `{"a":1,"mcpServers":{"o":{}}}`,
		`{"a":1,"mcpServers":{"o":{},
    "pixazo": {
      "command": "/opt/pixazo-mcp",
      "args": ["--output-dir=/out"]
    }
  }}`},
	{"empty servers", "{\n  \"mcpServers\": {}\n}\n", `{
  "mcpServers": {
    "pixazo": {
      "command": "/opt/pixazo-mcp",
      "args": ["--output-dir=/out"]
    }
  }
}
`},
	{"only a comment in servers", "{\n  \"mcpServers\": { // none\n  }\n}\n", `{
  "mcpServers": { // none
    "pixazo": {
      "command": "/opt/pixazo-mcp",
      "args": ["--output-dir=/out"]
    }
  }
}
`},
	{"ours, with what a user added", `{
  "mcpServers": {
    "pixazo": {
      "env": {"PIXAZO_LOG_LEVEL": "debug"}, // for a while
      "args": ["--max-wait", "40s", "--output-dir", "/elsewhere", "--files-dir=/a"], // mine
      "disabled": false,
      "command": "/old/pixazo-mcp" // moved
    }
  }
}`, `{
  "mcpServers": {
    "pixazo": {
      "env": {"PIXAZO_LOG_LEVEL": "debug"}, // for a while
      "args": ["--output-dir=/out", "--max-wait", "40s", "--files-dir=/a"], // mine
      "disabled": false,
      "command": "/opt/pixazo-mcp" // moved
    }
  }
}`},
	{"ours, without arguments", `{"mcpServers": {"pixazo": {"command": "C:\\x y\\Pixazo-MCP.exe"}}}`,
		`{"mcpServers": {"pixazo": {"command": "/opt/pixazo-mcp",
      "args": ["--output-dir=/out"]
    }}}`},
	{"ours, the same with comments", `{
  "mcpServers": {
    "pixazo": {
      "command": "/opt/pixazo-mcp",
      "args": [
        "--output-dir=/out", // large
        "--max-wait=40s", // slow
      ]
    }
  }
}`, `{
  "mcpServers": {
    "pixazo": {
      "command": "/opt/pixazo-mcp",
      "args": [
        "--output-dir=/out", // large
        "--max-wait=40s", // slow
      ]
    }
  }
}`},
}

func TestPutChangesNothingButOurEntry(t *testing.T) {
	for _, tt := range putTests {
		t.Run(tt.name, func(t *testing.T) {
			text := tt.before
			for _, round := range []string{"first", "second"} {
				content := []byte(text)
				d, err := parse(content, "mcpServers")
				if err != nil {
					t.Fatal(err)
				}
				if err := putOurs(d); err != nil {
					t.Fatal(err)
				}
				if string(content) != text { // of which a copy is kept
					t.Errorf("%s time: what was read was changed to %s", round, content)
				}
				if text = string(d.text()); text != tt.after {
					t.Errorf("%s time:\n%s\nwant\n%s", round, text, tt.after)
				}
			}
		})
	}
}

func TestPutWritesTheTypeWhereItIsUsual(t *testing.T) {
	d, err := parse(nil, "servers")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.put("p", entry{Command: "c"}, "stdio"); err != nil {
		t.Fatal(err)
	}
	if got, want := string(d.text()), "{\n  \"servers\": {\n    \"p\": {\n      \"type\": \"stdio\",\n      \"command\": \"c\",\n      \"args\": []\n    }\n  }\n}\n"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestPutRefuses(t *testing.T) {
	const secret = "sk-of-somebody-else"
	for _, tt := range []struct{ name, content, want string }{
		{"not JSON", "mcpServers: 1", "line 1, column 1"},
		{"cut off", "{\n  \"a\": {\n", "line 3"},
		{"a bad literal", "{\n  \"a\": \"" + secret + "\x01\"}", "line 2, column 8: it is not valid JSON"},
		{"an array", "[]", "not a JSON object"},
		{"servers an array", `{"mcpServers": []}`, `"mcpServers" in it is not an object`},
		{"servers null", `{"mcpServers": null}`, `"mcpServers" in it is not an object`},
		{"servers twice", `{"mcpServers": {}, "mcpServers": {"a": {"command": "` + secret + `"}}}`, "by hand"},
		{"ours twice", `{"mcpServers": {"pixazo": {"command": "pixazo-mcp"}, "pixazo": {"command": "pixazo-mcp"}}}`, "by hand"},
		{"ours twice, once escaped", `{"mcpServers": {"pixazo": {"command": "pixazo-mcp"}, "pixaz\u006f": {"command": "pixazo-mcp"}}}`, "by hand"},
		{"command twice", `{"mcpServers": {"pixazo": {"command": "a", "command": "pixazo-mcp"}}}`, "by hand"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := parse([]byte(tt.content), "mcpServers")
			if err == nil {
				err = putOurs(d)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), secret) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}

// removeOurs does what uninstall does with a document.
func removeOurs(d *document) error {
	var names []string
	for name, e := range d.entries {
		if baseName(e.Command) == "pixazo-mcp" {
			names = append(names, name)
		}
	}
	return d.remove(names)
}

func TestRemoveTakesOutOursAlone(t *testing.T) {
	for _, tt := range []struct{ name, before, after string }{
		{"among others", `{
  "mcpServers": {
    "a": {"command": "x"}, // about a
    // about ours
    "pixazo": {
      "command": "/opt/pixazo-mcp"
    },
    "pixazo-sandbox": {"command": "pixazo-mcp.exe"}, // gone
    "b": {"command": "y"}
  }
}`, `{
  "mcpServers": {
    "a": {"command": "x"}, // about a
    "b": {"command": "y"}
  }
}`},
		{"comments before the comma", `{
  "mcpServers": {
    /* before */ "pixazo": {"command": "pixazo-mcp" /* inside */} /* behind */,
    "b": {} // b
  }
}`, `{
  "mcpServers": {
    "b": {} // b
  }
}`},
		{"comments at the end", `{"mcpServers": {"a": {}, "pixazo": {"command": "pixazo-mcp"} /* behind */,}}`, `{"mcpServers": {"a": {},}}`},
		{"the last", "{\n  \"mcpServers\": {\n    \"a\": {},\n    \"pixazo\": {\"command\": \"pixazo-mcp\"}\n  }\n}", "{\n  \"mcpServers\": {\n    \"a\": {}\n  }\n}"},
		{"the last behind comments, with a line break at the end", "{\n  \"mcpServers\": {\n      \"a\": {}, // about a\n\n      // ours\n      \"pixazo\": {\"command\": \"pixazo-mcp\"} // behind\n      // more\n  }\n}\n",
			"{\n  \"mcpServers\": {\n      \"a\": {} // about a\n\n      // more\n  }\n}\n"},
		{"the last, trailing comma", `{"mcpServers": {"a": {} , "pixazo": {"command": "pixazo-mcp"},},}`, `{"mcpServers": {"a": {} ,},}`},
		{"the last, after a space", `{"mcpServers": {"a": {} , "pixazo": {"command": "pixazo-mcp"}}}`, `{"mcpServers": {"a": {} }}`},
		{"the last, after a comment", `{"mcpServers": {"a": {} /* a */, "pixazo": {"command": "pixazo-mcp"}}}`, `{"mcpServers": {"a": {} /* a */}}`},
		{"two at the end", `{"mcpServers": {"a": {} , "pixazo": {"command": "pixazo-mcp"} , "p": {"command": "pixazo-mcp"}}}`, `{"mcpServers": {"a": {} }}`},
		{"a name with a slash", `{"mcpServers": {"a/b~c": {"command": "pixazo-mcp"}, "a": {"b~c": 1}}}`, `{"mcpServers": { "a": {"b~c": 1}}}`},
		{"the only one", "{\n  \"mcpServers\": {\n    \"pixazo\": {\"command\": \"pixazo-mcp\"}\n  }\n}", "{\n  \"mcpServers\": {}\n}"},
		{"on lines of its own among others in one line", "{\"mcpServers\": { \"a\": {},\n    \"pixazo\": {\"command\": \"pixazo-mcp\"}\n  }}", "{\"mcpServers\": { \"a\": {}\n  }}"},
		{"the last before a brace in an unusual place", "{ \"x\": 1,\n    \"mcpServers\":\n    {\n        \"a\": {}, // a\n        \"pixazo\": {\"command\": \"pixazo-mcp\"}\n    }}",
			"{ \"x\": 1,\n    \"mcpServers\":\n    {\n        \"a\": {} // a\n    }}"},
		{"none", `{"mcpServers": {"pixazo": {"command": "npx"}, "b": 1}}`, `{"mcpServers": {"pixazo": {"command": "npx"}, "b": 1}}`},
		{"no servers", `{}`, `{}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			content := []byte(tt.before)
			d, err := parse(content, "mcpServers")
			if err != nil {
				t.Fatal(err)
			}
			if err := removeOurs(d); err != nil {
				t.Fatal(err)
			}
			if string(content) != tt.before {
				t.Errorf("what was read was changed to %s", content)
			}
			if got := string(d.text()); got != tt.after {
				t.Errorf("got\n%s\nwant\n%s", got, tt.after)
			}
		})
	}
}

func TestPutAndRemoveKeepComments(t *testing.T) {
	for _, before := range []string{
		"{\"mcpServers\": { /* keep */ }}",
		"{\"mcpServers\": { // keep\n}}",
		"{\"mcpServers\": {\n  // this, and keep\n  // that\n}}",
		"{\"mcpServers\": {\"a\": {} /* keep */}}",
		"{\"mcpServers\": {\"a\": {}, /* keep */\n}}",
		"{\"mcpServers\": {\"a\": {} /* two\n lines, keep */ // and this\n}}",
		"{\"mcpServers\": {\"a\": {}\n  // keep\n}}",
		"{\"a\": 1 /* keep */}",
	} {
		d, err := parse([]byte(before), "mcpServers")
		if err == nil {
			err = putOurs(d)
		}
		if err == nil {
			err = removeOurs(d)
		}
		if err != nil || !bytes.Contains(d.text(), []byte("keep")) {
			t.Errorf("%s became %s, %v", before, d.text(), err)
		}
	}
}

// An entry that is added and taken out again leaves no other space behind.
func TestPutAndRemoveRestoreTheLayout(t *testing.T) {
	for _, before := range []string{
		"{\n  \"mcpServers\": {\n    \"a\": {}\n  }\n}\n",
		"{\n  \"mcpServers\": {\n    \"a\": {},\n  },\n}\n",
		"{\n  \"mcpServers\": {\n    \"a\": {} // mine\n  }\n}\n",
		"{\r\n\t\"mcpServers\": {\r\n\t\t\"a\": {}, // mine\r\n\t},\r\n}\r\n",
		"{\n  \"mcpServers\": {\n    \"a\": {},\n    // mine\n  }\n}\n",
	} {
		d, err := parse([]byte(before), "mcpServers")
		if err == nil {
			err = putOurs(d)
		}
		if err == nil {
			err = removeOurs(d)
		}
		if err != nil || string(d.text()) != before {
			t.Errorf("%q became %q, %v", before, d.text(), err)
		}
	}
}

func TestMergeArgsKeepsWhatIsNotGiven(t *testing.T) {
	for _, tt := range []struct{ has, given, want []string }{
		{nil, nil, nil},
		{[]string{"-x"}, nil, []string{"-x"}},
		{[]string{"--sandbox", "--max-wait=1s"}, []string{"--sandbox"}, []string{"--sandbox", "--max-wait=1s"}},
		{[]string{"--max-wait", "40s", "--output-dir", "/a b"}, []string{"--output-dir=/o"}, []string{"--output-dir=/o", "--max-wait", "40s"}},
		{[]string{"--sandbox", "true", "x"}, []string{"--sandbox=false"}, []string{"--sandbox=false", "x"}},
		{[]string{"--sandbox", "--files-from-roots"}, []string{"--sandbox=false"}, []string{"--sandbox=false", "--files-from-roots"}},
		{[]string{"--files-dir", "/a", "x", "--files-dir=/b"}, []string{"--files-dir=/c", "--files-dir=/d"}, []string{"--files-dir=/c", "--files-dir=/d", "x"}},
		{[]string{"--output-dir", "--sandbox"}, []string{"--output-dir=/o"}, []string{"--output-dir=/o", "--sandbox"}},
	} {
		for range 2 {
			got := mergeArgs(tt.has, tt.given)
			if !slices.Equal(got, tt.want) {
				t.Errorf("%q with %q: %q, want %q", tt.has, tt.given, got, tt.want)
			}
			tt.has = got // the second time changes nothing
		}
	}
}

func FuzzPut(f *testing.F) {
	for _, tt := range putTests {
		f.Add([]byte(tt.before))
	}
	f.Add([]byte(`{"mcpServers": {"a": {} , "b": 1 }, "c": [1 ] }`))
	f.Add([]byte("{//\n}"))
	f.Add([]byte("{\"a\":[]//\n}"))
	f.Add([]byte("{\"mcpServers\":{\"pixazo\":{\"command\":\"pixazo-mcp\",\"args\":[\"--output-dir\",\"b\"//\n,]}}}"))
	f.Fuzz(func(t *testing.T, content []byte) {
		d, err := parse(content, "mcpServers")
		if err != nil {
			return
		}
		others := func(d *document) (texts []string) {
			for _, m := range d.value.Value.(*hujson.Object).Members {
				if m.Name.Value.(hujson.Literal).String() != "mcpServers" {
					texts = append(texts, string(m.Name.Value.(hujson.Literal)), (hujson.Value{Value: m.Value.Value}).String())
				}
			}
			return texts
		}
		before, standard := others(d), d.value.IsStandard()
		if err := putOurs(d); err != nil {
			return
		}
		once := d.text()
		if standard && !json.Valid(bytes.TrimPrefix(once, []byte("\ufeff"))) {
			t.Errorf("%q became %q, which is not standard any more", content, once)
		}
		again, err := parse(once, "mcpServers")
		if err != nil {
			t.Fatalf("%q became %q: %v", content, once, err)
		}
		if after := others(again); !slices.Equal(before, after) {
			t.Errorf("%q became %q", content, once)
		}
		if again.entries["pixazo"].Command != "/opt/pixazo-mcp" {
			t.Errorf("%q became %q", content, once)
		}
		if err := putOurs(again); err != nil || string(again.text()) != string(once) {
			t.Errorf("%q became %q, then %q, %v", content, once, again.text(), err)
		}
		if err := removeOurs(again); err != nil {
			return
		}
		if rest, err := parse(again.text(), "mcpServers"); err != nil || !slices.Equal(before, others(rest)) {
			t.Errorf("%q became %q: %v", once, again.text(), err)
		}
		if standard && !json.Valid(bytes.TrimPrefix(again.text(), []byte("\ufeff"))) {
			t.Errorf("%q became %q, which is not standard any more", once, again.text())
		}
	})
}

func TestQuoteIsReadBackEverywhere(t *testing.T) {
	for _, s := range []string{`C:\Users\A B\pixazo-mcp.exe`, `a"b`, "tab\tline\n", "é…", "\x7f", "<&>", ""} {
		quoted := quote(s)
		var fromJSON string
		if err := json.Unmarshal([]byte(quoted), &fromJSON); err != nil || fromJSON != s {
			t.Errorf("%s: %q, %v", quoted, fromJSON, err)
		}
		if strings.ContainsAny(quoted, "\n\t\x7f") { // which TOML and YAML refuse or fold
			t.Errorf("%q became %s", s, quoted)
		}
	}
}
