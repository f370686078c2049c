package rotate

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// derived are the files that ask for keys of purposes that they make or are given, and
// how those begin: all that need the same key again are in kinds.
var derived = map[string][]string{
	"internal/server/keys.go":   {dataKeys},
	"internal/rotate/rotate.go": nil, // goes through kinds
	"internal/rotate/kind.go":   nil, // the same
	"internal/seal/seal.go":     nil, // the same purpose of earlier master keys
}

// purposes returns where the program asks for keys of which purposes.
func purposes(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(filepath.Dir(path), "test") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		seals := name == "internal/seal/seal.go" || slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"berth/internal/seal"` })
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "Key" {
				return true
			}
			text, literal := call.Args[0].(*ast.BasicLit)
			known, ok := derived[name]
			switch {
			case literal && text.Kind == token.STRING:
				purpose, _ := strconv.Unquote(text.Value) // it was parsed
				found[purpose] = name
			case ok:
				for _, p := range known {
					found[p] = name
				}
			case seals:
				t.Errorf("%s asks for a key whose purpose is not written there: add it to the table of this test", name)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// What is kept under a purpose that nobody seals anew is lost with the master key.
func TestEveryPurposeOfTheMasterKeyIsEitherSealedAnewOrPasses(t *testing.T) {
	t.Parallel()
	found := purposes(t, "../..")
	for purpose, where := range found {
		kept := slices.ContainsFunc(kinds, func(k kindOf) bool { return k.purpose == purpose })
		if _, passes := passing[purpose]; kept == passes {
			t.Errorf("%s seals for the purpose %q: is what it seals kept (then it belongs in kinds), or does it pass (then in passing)?", where, purpose)
		}
	}
	for _, k := range kinds {
		if found[k.purpose] == "" {
			t.Errorf("nothing is sealed for the purpose %q", k.purpose)
		}
	}
	for purpose := range passing {
		if found[purpose] == "" {
			t.Errorf("nothing is sealed for the purpose %q", purpose)
		}
	}
	text, err := os.ReadFile("../../docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	for purpose := range found {
		if !strings.Contains(string(text), "| `"+purpose) {
			t.Errorf("docs/format.md does not have the purpose %q", purpose)
		}
	}
}
