package policy_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/policy"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite the decisions in testdata")

// Each archive is one rule of how policies are evaluated. The file policies is
// shared by all its cases; a case has a file NAME/request, and policies of its
// own in NAME/policies if it needs them. The name begins with allow or deny, which
// the decision in NAME/decision must agree with. Each rule has both.
func TestRulesOfEvaluation(t *testing.T) {
	t.Parallel()
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("archives: %v, %v", archives, err)
	}
	cases := 0
	for _, name := range archives {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files := map[string][]byte{}
		for _, f := range a.Files {
			if files[f.Name] != nil {
				t.Errorf("%s: %s is there twice", name, f.Name)
			}
			files[f.Name] = f.Data
		}
		verdicts := map[string]bool{}
		out := &txtar.Archive{Comment: a.Comment}
		for _, f := range a.Files {
			n, kind, _ := strings.Cut(f.Name, "/")
			if kind == "decision" {
				continue
			}
			out.Files = append(out.Files, f)
			if kind != "request" {
				continue
			}
			cases++
			policies := files["policies"]
			if own := files[n+"/policies"]; own != nil {
				policies = own
			}
			got, allowed := decide(t, name+" "+n, f.Data, policies)
			if want := strings.HasPrefix(n, "allow"); allowed != want || !want && !strings.HasPrefix(n, "deny") {
				t.Errorf("%s %s: %s", name, n, got)
			}
			if want := files[n+"/decision"]; !*update && !bytes.Equal(got, want) {
				t.Errorf("%s %s: decision\n%swant\n%s", name, n, got, want)
			}
			verdicts[map[bool]string{true: "allow", false: "deny"}[allowed]] = true
			out.Files = append(out.Files, txtar.File{Name: n + "/decision", Data: got})
		}
		if !verdicts["allow"] || !verdicts["deny"] {
			t.Errorf("%s: a rule must have a case that allows and one that denies", name)
		}
		if *update {
			if err := os.WriteFile(name, txtar.Format(out), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d rules, %d cases", len(archives), cases)
}

func decide(t *testing.T, name string, request, policies []byte) (decision []byte, allowed bool) {
	t.Helper()
	text := `{"request": ` + string(request) + `, "policies": ` + string(policies) + `}`
	q, err := policy.ParseQuestion([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	d := q.Decide()
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n'), d.Allowed
}
