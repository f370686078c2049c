package registry

import (
	"regexp"
	"strings"
	"testing"
)

// No region can be mistaken for that of the public registries.
func TestPublicRegionIsNoRegion(t *testing.T) {
	t.Parallel()
	if ValidRegion(PublicRegion) || !ValidRegion(PublicAPIRegion) {
		t.Error("the region of public registries is one, or that of their API is none")
	}
	public, private := Ref{ID{"123456789012", PublicRegion}, "app"}, Ref{ID{"123456789012", PublicAPIRegion}, "app"}
	if got, want := public.ARN(), "arn:aws:ecr-public::123456789012:repository/app"; got != want {
		t.Errorf("ARN = %s, want %s", got, want)
	}
	for _, r := range []Ref{public, private} {
		if got, err := ParseRepositoryARN(r.ARN()); got != r || err != nil {
			t.Errorf("ParseRepositoryARN(%s) = %v, %v, want %v", r.ARN(), got, err, r)
		}
	}
	if (&Repository{Ref: public}).KeyDomain() == (&Repository{Ref: private}).KeyDomain() {
		t.Error("a public and a private repository share a key domain")
	}
}

func TestAliases(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[a-z][a-z0-9]{7}$`)
	seen := map[string]bool{}
	for range 1000 {
		a := newAlias()
		if !form.MatchString(a) || checkAlias(a) != nil || seen[a] {
			t.Fatalf("newAlias = %q, want a new one of ECR's form", a)
		}
		seen[a] = true
	}
	for _, s := range []string{"", "a", "1a", "123456789012", "A1", "a_", "a__b", "a--b", "-a", "a/b", "a b", "ab\n", "é1", strings.Repeat("a", 51)} {
		if checkAlias(s) == nil {
			t.Errorf("checkAlias(%q) = nil, want an error", s)
		}
	}
	for _, s := range []string{"ab", "a1", "my-company", "ab.c_d-e", strings.Repeat("a", 50)} {
		if err := checkAlias(s); err != nil {
			t.Errorf("checkAlias(%q) = %v, want nil", s, err)
		}
	}
}
