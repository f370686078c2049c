package registry

import (
	"slices"
	"testing"
)

// templates is a transaction that knows nothing but templates.
type templates struct {
	ReadTx
	all   []Template
	asked []string
}

func (ts *templates) Templates(_ ID, prefixes []string) ([]Template, error) {
	ts.asked = prefixes
	return slices.DeleteFunc(slices.Clone(ts.all), func(t Template) bool { return !slices.Contains(prefixes, t.Prefix) }), nil
}

func TestTheTemplateWithTheLongestPrefixIsUsed(t *testing.T) {
	t.Parallel()
	push := []string{CreateOnPush}
	for name, tt := range map[string]struct {
		templates []Template
		name      RepositoryName
		want      string
	}{
		"none":                            {nil, "a/b", ""},
		"ROOT is for every name":          {[]Template{{Prefix: "ROOT", AppliedFor: push}}, "ab", "ROOT"},
		"the longest":                     {[]Template{{Prefix: "a", AppliedFor: push}, {Prefix: "a/b", AppliedFor: push}, {Prefix: "ROOT", AppliedFor: push}}, "a/b/c", "a/b"},
		"a longer one of another name":    {[]Template{{Prefix: "a", AppliedFor: push}, {Prefix: "a/x", AppliedFor: push}}, "a/b/c", "a"},
		"whole components only":           {[]Template{{Prefix: "te", AppliedFor: push}, {Prefix: "ROOT", AppliedFor: push}}, "team/app", "ROOT"},
		"a prefix is not the whole name":  {[]Template{{Prefix: "team/app", AppliedFor: push}}, "team/app", ""},
		"what it is not applied for":      {[]Template{{Prefix: "a", AppliedFor: []string{"REPLICATION"}}}, "a/b", ""},
		"the next one that is applied":    {[]Template{{Prefix: "a/b", AppliedFor: []string{"REPLICATION"}}, {Prefix: "a", AppliedFor: push}}, "a/b/c", "a"},
		"ROOT is shorter than any prefix": {[]Template{{Prefix: "ROOT", AppliedFor: push}, {Prefix: "a", AppliedFor: push}}, "a/b", "a"},
	} {
		got, err := template(&templates{all: tt.templates}, Ref{Name: tt.name}, CreateOnPush)
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case got == nil && tt.want != "", got != nil && got.Prefix != tt.want:
			t.Errorf("%s: template(%s) = %v, want %q", name, tt.name, got, tt.want)
		}
	}
}

func TestTemplatesAreLookedUpByThePrefixesOfAName(t *testing.T) {
	t.Parallel()
	ts := &templates{}
	if _, err := template(ts, Ref{Name: "a/bc/d"}, CreateOnPush); err != nil {
		t.Fatal(err)
	}
	if want := []string{"ROOT", "a", "a/bc"}; !slices.Equal(ts.asked, want) {
		t.Errorf("prefixes = %v, want %v", ts.asked, want)
	}
}
