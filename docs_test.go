package main

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// The picture of the rooms has the arrows of the table, but for those of main and
// those to text, disk and stack.
func TestArchitecture(t *testing.T) {
	const file, begin, end = "docs/architecture.md", "Architecture -update\n", "  %% end of imports\n"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	drawn, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no picture of the imports", file)
	}
	var lines []string
	for from, all := range arrows {
		from, ours := strings.CutPrefix(from, "pixazo-mcp/")
		if !ours || strings.HasPrefix(from, "packaging/") || strings.HasPrefix(from, "e2e/") || from == "tools/schemagen" {
			continue
		}
		for _, to := range all {
			if !slices.Contains([]string{"internal/text", "internal/disk", "internal/stack"}, to) {
				lines = append(lines, fmt.Sprintf("  %s --> %s\n", path.Base(from), path.Base(to)))
			}
		}
		if id := path.Base(from); !slices.Contains([]string{"text", "disk", "stack", "pgtest"}, id) && !strings.Contains(before, id+`["`+from) {
			t.Errorf("the picture of the rooms lacks %s", from)
		}
	}
	slices.SortFunc(lines, cmp.Compare[string])
	want := strings.Join(lines, "")
	if strings.ReplaceAll(drawn, "\r\n", "\n") == want {
		return
	}
	if !*update {
		t.Fatalf("the imports in %s are not those of the table of arrows (-update writes them anew); they would be\n%s", file, want)
	}
	if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
