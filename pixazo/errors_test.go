// These tests hold what errors tell, to whom.

package pixazo

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// TestEveryCodeIsExplainedOnce reads the constants from the source: one that was
// added and not explained would be missing in the README, the guide and results.
func TestEveryCodeIsExplainedOnce(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[Code]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Code" {
				word, _ := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				declared[Code(word)] = true
			}
		}
		return true
	})
	if len(declared) != 19 || len(Codes) != len(declared) {
		t.Errorf("%d codes are declared and %d explained, want 19", len(declared), len(Codes))
	}
	for _, info := range Codes {
		if !declared[info.Code] {
			t.Errorf("%s is explained twice, or not declared", info.Code)
		}
		delete(declared, info.Code)
		if info.Meaning == "" || info.Meaning[0] < 'a' || info.Meaning[0] > 'z' || strings.HasSuffix(info.Meaning, ".") {
			t.Errorf("%s: meaning %q", info.Code, info.Meaning)
		}
		if !strings.HasSuffix(info.Advice, ".") {
			t.Errorf("%s: advice %q", info.Code, info.Advice)
		}
		switch info.Charged {
		case "no", "maybe", "earlier", "":
		default:
			t.Errorf("%s: charged %q", info.Code, info.Charged)
		}
		if info.Code.Info() != info {
			t.Errorf("%s is not found in its table", info.Code)
		}
	}
	if got := Code("other").Info(); got != (CodeInfo{Code: "other"}) {
		t.Errorf("an unknown code is explained as %+v", got)
	}
}
