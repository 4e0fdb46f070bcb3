// These tests hold that of a client's configuration nothing changes but our
// entry.

package setup

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/tailscale/hujson"
)

func isOurs(command string) bool { return baseName(command) == "pixazo-mcp" }

var ourEntry = entry{name: "pixazo", command: "/opt/pixazo-mcp", args: []string{"--output-dir=/out"}}

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
    // last words
    "pixazo": {
      "command": "/opt/pixazo-mcp",
      "args": ["--output-dir=/out"]
    },
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
		`{"a":1,"mcpServers":{"o":{}, "pixazo": {"command": "/opt/pixazo-mcp", "args": ["--output-dir=/out"]}}}`},
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
      "args": ["--max-wait", "40s", /* old */ "--output-dir", "/elsewhere", "--files-dir=/a"],
      "disabled": false,
      "command": "/old/pixazo-mcp" // moved
    }
  }
}`, `{
  "mcpServers": {
    "pixazo": {
      "env": {"PIXAZO_LOG_LEVEL": "debug"}, // for a while
      "args": ["--max-wait", "40s", /* old */ "--files-dir=/a", "--output-dir=/out"],
      "disabled": false,
      "command": "/opt/pixazo-mcp" // moved
    }
  }
}`},
	{"ours, the same in two words", `{"mcpServers": {"pixazo": {"command": "/opt/pixazo-mcp", "args": ["--output-dir", "/out", "-x"]}}}`,
		`{"mcpServers": {"pixazo": {"command": "/opt/pixazo-mcp", "args": ["--output-dir", "/out", "-x"]}}}`},
	{"ours, without arguments", `{"mcpServers": {"pixazo": {"command": "C:\\x y\\Pixazo-MCP.exe"}}, "mcpServers": {"pixazo": {"command": "C:\\x y\\pixazo-mcp.EXE"}}}`,
		`{"mcpServers": {"pixazo": {"command": "C:\\x y\\Pixazo-MCP.exe"}}, "mcpServers": {"pixazo": {"command": "/opt/pixazo-mcp", "args": ["--output-dir=/out"]}}}`},
	{"arguments line by line", `{
  "mcpServers": {
    "pixazo": {
      "command": "/opt/pixazo-mcp",
      "args": [
        "--max-wait=40s", // slow
      ]
    }
  }
}`, `{
  "mcpServers": {
    "pixazo": {
      "command": "/opt/pixazo-mcp",
      "args": [
        "--max-wait=40s", // slow
        "--output-dir=/out",
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
				d, err := parse([]byte(text))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := d.put("mcpServers", ourEntry, isOurs); err != nil {
					t.Fatal(err)
				}
				if text = string(d.text()); text != tt.after {
					t.Errorf("%s time:\n%s\nwant\n%s", round, text, tt.after)
				}
			}
		})
	}
}

func TestPutWritesTheTypeWhereItIsUsual(t *testing.T) {
	d, err := parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.put("servers", entry{name: "p", typed: true, command: "c"}, isOurs); err != nil {
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
		{"a bad literal", "{\n  \"a\": \"" + secret + "\x01\"}", "line 2, column 8: invalid literal"},
		{"an array", "[]", "not a JSON object"},
		{"servers an array", `{"mcpServers": []}`, `"mcpServers" in it is not an object`},
		{"servers null", `{"mcpServers": null}`, `"mcpServers" in it is not an object`},
		{"another program", `{"mcpServers": {"pixazo": {"command": "npx"}}}`, "starts something else"},
		{"a remote server", `{"mcpServers": {"pixazo": {"url": "https://` + secret + `"}}}`, "starts something else"},
		{"not an entry", `{"mcpServers": {"pixazo": "pixazo-mcp"}}`, "starts something else"},
		{"arguments in one string", `{"mcpServers": {"pixazo": {"command": "pixazo-mcp", "args": "--sandbox"}}}`, "not an array"},
		{"nested too deeply", strings.Repeat("[", maxNesting+1), "nested too deeply"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := parse([]byte(tt.content))
			if err == nil {
				_, err = d.put("mcpServers", ourEntry, isOurs)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), secret) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
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
    // about ours
    // gone
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
    /* before */ /* behind */
    "b": {} // b
  }
}`},
		{"comments at the end", `{"mcpServers": {"a": {}, "pixazo": {"command": "pixazo-mcp"} /* behind */,}}`, `{"mcpServers": {"a": {}, /* behind */}}`},
		{"the last", "{\n  \"mcpServers\": {\n    \"a\": {},\n    \"pixazo\": {\"command\": \"pixazo-mcp\"}\n  }\n}", "{\n  \"mcpServers\": {\n    \"a\": {}\n  }\n}"},
		{"the last, trailing comma", `{"mcpServers": {"a": {} , "pixazo": {"command": "pixazo-mcp"},},}`, `{"mcpServers": {"a": {} ,},}`},
		{"the last, after a space", `{"mcpServers": {"a": {} , "pixazo": {"command": "pixazo-mcp"}}}`, `{"mcpServers": {"a": {} }}`},
		{"the only one", "{\n  \"mcpServers\": {\n    \"pixazo\": {\"command\": \"pixazo-mcp\"}\n  }\n}", "{\n  \"mcpServers\": {}\n}"},
		{"none", `{"mcpServers": {"pixazo": {"command": "npx"}, "b": 1}}`, `{"mcpServers": {"pixazo": {"command": "npx"}, "b": 1}}`},
		{"no servers", `{}`, `{}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := parse([]byte(tt.before))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.remove("mcpServers", func(_, command string) bool { return isOurs(command) }); err != nil {
				t.Fatal(err)
			}
			if got := string(d.text()); got != tt.after {
				t.Errorf("got\n%s\nwant\n%s", got, tt.after)
			}
		})
	}
}

func TestMergeArgsKeepsWhatIsNotGiven(t *testing.T) {
	for _, tt := range []struct{ has, given, want []string }{
		{nil, nil, nil},
		{[]string{"-x"}, nil, []string{"-x"}},
		{[]string{"--sandbox", "--max-wait=1s"}, []string{"--sandbox"}, []string{"--sandbox", "--max-wait=1s"}},
		{[]string{"--sandbox=true"}, []string{"--sandbox"}, []string{"--sandbox=true"}},
		{[]string{"--sandbox", "true", "x"}, []string{"--sandbox=false"}, []string{"x", "--sandbox=false"}},
		{[]string{"--sandbox", "serve"}, []string{"--sandbox=false"}, []string{"serve", "--sandbox=false"}},
		{[]string{"--files-dir", "/a", "x", "--files-dir=/b"}, []string{"--files-dir=/a", "--files-dir=/b"}, []string{"--files-dir", "/a", "x", "--files-dir=/b"}},
		{[]string{"--files-dir", "/a", "x", "--files-dir=/b"}, []string{"--files-dir=/c"}, []string{"x", "--files-dir=/c"}},
		{[]string{"--output-dir", "--sandbox"}, []string{"--output-dir=/o"}, []string{"--sandbox", "--output-dir=/o"}},
	} {
		for range 2 {
			list := array(tt.has)
			if got := mergeArgs(list, tt.given); !slices.Equal(got, tt.want) {
				t.Errorf("%q with %q: %q, want %q", tt.has, tt.given, got, tt.want)
			}
			tt.has = tt.want // the second time changes nothing
		}
	}
}

func TestMergeArgsKeepsComments(t *testing.T) {
	for _, tt := range []struct{ before, want string }{
		{`["--output-dir=/o" /* behind */, "x"]`, `[ /* behind */"x", "--output-dir=/out"]`},
		{`["x", /* before */ "--output-dir" /* mine */, "/o" /* behind */,]`, `["x", /* before */ /* mine */ /* behind */ "--output-dir=/out",]`},
	} {
		value, err := hujson.Parse([]byte(tt.before))
		if err != nil {
			t.Fatal(err)
		}
		mergeArgs(value.Value.(*hujson.Array), ourEntry.args)
		if got := value.String(); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// Brackets in strings made the count of nesting negative, and the parser, which
// recurses, ran out of stack.
func TestParseCountsTheBracketsOutsideOfStrings(t *testing.T) {
	deep := maxNesting * 2
	for name, content := range map[string]string{
		"closed in a string":   `{"a": "` + strings.Repeat("}", deep) + `", "b":` + strings.Repeat("[", deep),
		"closed in a comment":  "{ // " + strings.Repeat("}", deep) + "\n/*" + strings.Repeat("}", deep) + `*/ "b":` + strings.Repeat("[", deep),
		"closed before":        strings.Repeat("}", deep) + strings.Repeat("[", deep),
		"behind an escape":     `{"a\"": "\\", "b":` + strings.Repeat("[", deep),
		"objects and arrays":   strings.Repeat(`{"a":[`, deep),
		"behind many siblings": "[" + strings.Repeat("[],", deep) + strings.Repeat("[", deep),
	} {
		if _, err := parse([]byte(content)); err == nil || !strings.Contains(err.Error(), "nested too deeply") {
			t.Errorf("%s: %v", name, err)
		}
	}
	flat := `{"a": "` + strings.Repeat("[", deep) + `\"` + strings.Repeat("{", deep) + `", // ` + strings.Repeat("[", deep) + "\n" + `"b": [` + strings.Repeat("[],", deep) + `1]}`
	if _, err := parse([]byte(flat)); err != nil {
		t.Error(err)
	}
}

func FuzzPut(f *testing.F) {
	for _, tt := range putTests {
		f.Add([]byte(tt.before))
	}
	f.Add([]byte("{//\n}"))
	f.Add([]byte("{\"a\":[]//\n}"))
	f.Add([]byte("{\"mcpServers\":{\"pixazo\":{\"command\":\"pixazo-mcp\",\"args\":[\"--output-dir\",\"b\"//\n,]}}}"))
	f.Fuzz(func(t *testing.T, content []byte) {
		d, err := parse(content)
		if err != nil {
			return
		}
		others := func(d *document) (texts []string) {
			for _, m := range d.root.Members {
				if m.Name.Value.(hujson.Literal).String() != "mcpServers" {
					texts = append(texts, string(m.Name.Value.(hujson.Literal)), (hujson.Value{Value: m.Value.Value}).String())
				}
			}
			return texts
		}
		before := others(d)
		if _, err := d.put("mcpServers", ourEntry, isOurs); err != nil {
			return
		}
		once := d.text()
		again, err := parse(once)
		if err != nil {
			t.Fatalf("%q became %q: %v", content, once, err)
		}
		if after := others(again); !slices.Equal(before, after) {
			t.Errorf("%q became %q", content, once)
		}
		servers, _ := again.servers("mcpServers")
		own, _ := member(servers, "pixazo").Value.(*hujson.Object)
		if command, _ := stringMember(own, "command"); command != ourEntry.command {
			t.Errorf("%q became %q", content, once)
		}
		if _, err := again.put("mcpServers", ourEntry, isOurs); err != nil || string(again.text()) != string(once) {
			t.Errorf("%q became %q, then %q, %v", content, once, again.text(), err)
		}
		if _, err := again.remove("mcpServers", func(_, command string) bool { return isOurs(command) }); err != nil {
			t.Error(err)
		}
		if _, err := parse(again.text()); err != nil {
			t.Errorf("%q became %q: %v", once, again.text(), err)
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
		if strings.ContainsAny(quoted, "\n\t\x7f") || unquote(quoted+" # comment") != s {
			t.Errorf("%q became %s", s, quoted)
		}
	}
}
