//go:build unix

package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"berth/internal/oidc/oidctest"

	"github.com/rogpeppe/go-internal/testscript"
)

// issuerKey finds what a script's issuer of identity tokens is made of.
type issuerKey struct{}

type issuer struct {
	t       testing.TB
	running *oidctest.Issuer // nil until the script starts it
	key     oidctest.Key
	foreign oidctest.Key // of somebody else, by the same name
}

// startIssuer starts an issuer and writes down what others need to know of it.
func startIssuer(ts *testscript.TestScript, neg bool, args []string) {
	i := ts.Value(issuerKey{}).(*issuer)
	if neg || len(args) > 0 || i.running != nil {
		ts.Fatalf("usage: issuer, once")
	}
	i.key, i.foreign = oidctest.RSA(i.t, "2026-1", 2048), oidctest.RSA(i.t, "2026-1", 2048)
	i.running = oidctest.Start(i.t, i.key)
	ts.Setenv("ISSUER", i.running.URL)
	ts.Setenv("ISSUER_HOST", strings.TrimPrefix(i.running.URL, "https://"))
	writeFile(ts, "issuer-ca.pem", i.running.CA)
	writeFile(ts, "issuer-keys.json", i.running.KeySet())
}

// A shape is what the tokens of a system look like: header and claims, without
// those that every token has.
type shape struct {
	header, claims map[string]any
}

// shapes are those of the systems that docs/keyless.md has examples of. The times
// of a token are added.
var shapes = map[string]shape{
	"github": {map[string]any{"x5t": "eBZ_cn3sXYAd0ch4THBKHIgOwOE"}, map[string]any{
		"iss": "https://token.actions.githubusercontent.com", "aud": "sts.amazonaws.com", "sub": "repo:octo-org/app:ref:refs/heads/main",
		"jti": "example-id", "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true", "sha": "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15",
		"repository": "octo-org/app", "repository_id": "74", "repository_owner": "octo-org", "repository_owner_id": "65", "repository_visibility": "private",
		"run_id": "28", "run_number": "10", "run_attempt": "2", "actor": "octocat", "actor_id": "12", "workflow": "push", "event_name": "push",
		"head_ref": "", "base_ref": "", "runner_environment": "github-hosted", "job_workflow_ref": "octo-org/app/.github/workflows/push.yml@refs/heads/main",
	}},
	"gitlab": {nil, map[string]any{
		"iss": "https://gitlab.com", "aud": "sts.amazonaws.com", "sub": "project_path:group/app:ref_type:branch:ref:main", "jti": "235b3a54",
		"namespace_id": "72", "namespace_path": "group", "project_id": "20", "project_path": "group/app", "user_id": "1", "user_login": "ada",
		"user_email": "ada@example.com", "pipeline_id": "574", "pipeline_source": "push", "job_id": "302", "ref": "main", "ref_type": "branch",
		"ref_path": "refs/heads/main", "ref_protected": "true", "runner_id": 1, "runner_environment": "self-hosted",
		"user_identities": []any{map[string]any{"provider": "github", "extern_uid": "2"}},
	}},
	"kubernetes": {map[string]any{"typ": nil}, map[string]any{
		"iss": "https://kubernetes.default.svc.cluster.local", "aud": []string{"sts.amazonaws.com"}, "sub": "system:serviceaccount:ci:builder",
		"kubernetes.io": map[string]any{
			"namespace": "ci", "pod": map[string]any{"name": "build-1", "uid": "5e0bd49b"}, "serviceaccount": map[string]any{"name": "builder", "uid": "14ee3fa4"},
		},
	}},
	"jenkins": {nil, map[string]any{
		"iss": "https://jenkins.example.com/oidc", "aud": "sts.amazonaws.com", "sub": "https://jenkins.example.com/job/team/job/app/", "build_number": 7,
	}},
}

// mint writes a token of a shape into a file. Further arguments are claims that
// are different: NAME=VALUE.
func mint(ts *testscript.TestScript, neg bool, args []string) {
	i := ts.Value(issuerKey{}).(*issuer)
	key, age := i.key, time.Duration(0)
	for ; len(args) > 0 && strings.HasPrefix(args[0], "-"); args = args[1:] {
		switch args[0] {
		case "-foreign":
			key = i.foreign
		case "-expired":
			age = time.Hour
		default:
			ts.Fatalf("there is no flag %s", args[0])
		}
	}
	if neg || len(args) < 2 || i.running == nil {
		ts.Fatalf("usage: issuer; idtoken [-foreign] [-expired] FILE SHAPE NAME=VALUE...")
	}
	s, ok := shapes[args[1]]
	if !ok {
		ts.Fatalf("there is no shape %s", args[1])
	}
	now := time.Now().Add(-age).Unix()
	claims := map[string]any{"iat": now, "nbf": now - 5, "exp": now + 600}
	maps.Copy(claims, s.claims)
	for _, arg := range args[2:] {
		name, value, _ := strings.Cut(arg, "=")
		claims[name] = value
		if list := []string(nil); json.Unmarshal([]byte(value), &list) == nil {
			claims[name] = list
		}
	}
	writeFile(ts, args[0], []byte(key.Token(s.header, claims)))
}

func writeFile(ts *testscript.TestScript, name string, text []byte) {
	ts.Check(os.WriteFile(ts.MkAbs(name), text, 0o600))
}

// The policies of docs/keyless.md are those that the script is run with.
func TestKeylessExamples(t *testing.T) {
	doc, err := os.ReadFile("../docs/keyless.md")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/webidentity.txtar")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(doc), "```json\n")[1:]
	if want := len(shapes) + 1; len(blocks) != want {
		t.Errorf("docs/keyless.md has %d policies, want %d", len(blocks), want)
	}
	for _, b := range blocks {
		text, _, _ := strings.Cut(b, "```")
		if !strings.Contains(string(script), ".json --\n"+text) {
			t.Errorf("testdata/webidentity.txtar does not have the policy\n%s", text)
		}
	}
}
