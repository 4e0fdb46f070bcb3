// This file keeps the tables of tools and of error codes in ../README.md, and
// that of error codes in the troubleshooting guide, what the code says. After a
// change write them anew with
//
//	go test ./tools -update

package tools

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/pixazo"
)

func TestREADMEHasTheTableOfTools(t *testing.T) {
	checkTable(t, "../README.md", "<!-- tools:begin -->\n", "<!-- tools:end -->", toolsMarkdown(t, registered(t)))
}

func TestREADMEHasTheTableOfErrorCodes(t *testing.T) {
	var b strings.Builder
	b.WriteString("| code | meaning | charged? |\n|---|---|---|\n")
	for _, info := range pixazo.Codes {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", info.Code, info.Meaning, charged[info.Charged])
	}
	checkTable(t, "../README.md", "<!-- errors:begin -->\n", "<!-- errors:end -->", b.String())
}

func TestTroubleshootingGuideHasEveryErrorCode(t *testing.T) {
	var b strings.Builder
	for _, info := range pixazo.Codes {
		fmt.Fprintf(&b, "| `%s` | %s. | %s | %s |\n", info.Code, strings.ToUpper(info.Meaning[:1])+info.Meaning[1:], charged[info.Charged], info.Advice)
	}
	checkTable(t, "../resources/guides/troubleshooting.md", "| what to do |\n|---|---|---|---|\n", "\n## ", b.String())
}

// charged are the words for CodeInfo.Charged.
var charged = map[string]string{"no": "no", "maybe": "perhaps", "earlier": "not now, perhaps before"}

// checkTable wants the text between begin and end in a file to be want. With
// -update it writes it there.
func checkTable(t *testing.T, path, begin, end, want string) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A checkout may have given the file the line ends of its system.
	text := string(bytes.ReplaceAll(file, []byte("\r\n"), []byte("\n")))
	before, rest, found := strings.Cut(text, begin)
	got, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no %q followed by %q", path, strings.TrimSpace(begin), end)
	}
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("a table in %s differs from the code (-update writes it anew):\n%s", path, firstDifference(got, want))
	}
	if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// registered are the tools as a server has them, with their schemas.
func registered(t *testing.T) (tools []server.ServerTool) {
	t.Helper()
	for _, tool := range newHouse(t, accept).srv.ListTools() {
		tools = append(tools, *tool)
	}
	return tools
}

// property is what the table says of one property of an input schema.
type property struct {
	Type      string `json:"type"`
	Enum      []string
	Default   any
	MinLength *int
	MaxLength *int
	MaxItems  *int
	Minimum   *float64
	Maximum   *float64
	Items     *property
}

// toolsMarkdown is the table of tools, one row each, with the arguments in the
// order of their schema.
func toolsMarkdown(t *testing.T, tools []server.ServerTool) string {
	t.Helper()
	slices.SortFunc(tools, func(a, b server.ServerTool) int { return cmp.Compare(a.Tool.Name, b.Tool.Name) })
	var b strings.Builder
	b.WriteString("| tool | what it does | arguments | hints |\n|---|---|---|---|\n")
	for _, tool := range tools {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", tool.Tool.Name, tool.Tool.Title,
			strings.Join(argumentsMarkdown(t, tool.Tool.RawInputSchema), "<br>"), hintsMarkdown(tool.Tool.Annotations))
	}
	return b.String()
}

func argumentsMarkdown(t *testing.T, raw json.RawMessage) (lines []string) {
	t.Helper()
	var schema struct {
		Properties json.RawMessage
		Required   []string
	}
	if err := json.Unmarshal(raw, &schema); err != nil {
		t.Fatal(err)
	}
	// Read token by token, since a map would lose the order.
	properties := json.NewDecoder(bytes.NewReader(schema.Properties))
	if _, err := properties.Token(); err != nil {
		t.Fatal(err)
	}
	for properties.More() {
		name, err := properties.Token()
		if err != nil {
			t.Fatal(err)
		}
		var a property
		if err := properties.Decode(&a); err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("`%s` %s", name, a.describe())
		if slices.Contains(schema.Required, name.(string)) {
			line += ", **required**"
		}
		lines = append(lines, line)
	}
	return lines
}

// describe is the type of an argument with its limits and default.
func (a property) describe() string {
	s := a.Type
	if a.Items != nil {
		s += " of " + a.Items.describe() + "s"
	}
	if len(a.Enum) > 0 {
		s = "`" + strings.Join(a.Enum, "` or `") + "`"
	}
	switch {
	case a.MinLength != nil && a.MaxLength != nil:
		s += fmt.Sprintf(", %s to %s characters", thousands(*a.MinLength), thousands(*a.MaxLength))
	case a.MaxLength != nil:
		s += fmt.Sprintf(", at most %s characters", thousands(*a.MaxLength))
	}
	if a.MaxItems != nil {
		s += fmt.Sprintf(", at most %s", thousands(*a.MaxItems))
	}
	switch {
	case a.Minimum != nil && a.Maximum != nil:
		s += fmt.Sprintf(", %v to %v", *a.Minimum, *a.Maximum)
	case a.Minimum != nil:
		s += fmt.Sprintf(", at least %v", *a.Minimum)
	}
	if a.Default != nil {
		s += fmt.Sprintf(", default `%v`", a.Default)
	}
	return s
}

// thousands writes n as the texts of this project do: 10,000.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

func hintsMarkdown(a mcp.ToolAnnotation) string {
	var words []string
	for _, hint := range []struct {
		set  *bool
		word string
	}{
		{a.ReadOnlyHint, "read-only"}, {a.DestructiveHint, "destructive"}, {a.IdempotentHint, "idempotent"}, {a.OpenWorldHint, "open-world"},
	} {
		if *hint.set {
			words = append(words, hint.word)
		} else {
			words = append(words, "not "+hint.word)
		}
	}
	return strings.Join(words, ", ")
}
