package registry

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"berth/internal/fault"
)

func TestWildcards(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "A", false}, {"a", "ab", false}, {"a", "ba", false},
		{"*", "", true}, {"*", "anything", true}, {"**", "", true}, {"**", "ab", true},
		{"a*", "a", true}, {"a*", "ab", true}, {"a*", "ba", false}, {"*a", "a", true}, {"*a", "ba", true}, {"*a", "ab", false},
		{"a*b", "ab", true}, {"a*b", "axb", true}, {"a*b", "a", false}, {"a*b", "b", false}, {"a*a", "a", false}, {"a*a", "aa", true},
		{"ab*bc", "abc", false}, {"ab*bc", "abbc", true}, {"*b*", "abc", true}, {"*b*", "ac", false}, {"*bb*", "abbc", true},
		{"a*b*c", "abc", true}, {"a*b*c", "aXbYc", true}, {"a*b*c", "acb", false}, {"a*b*c", "abcX", false}, {"a**c", "ac", true},
		{"a.c", "abc", false}, {"a.c", "a.c", true}, {"v*.*", "v1.0", true}, {"v*.*", "v1", false}, {"*-rc*", "1.0-rc.1", true},
		{"*ab*ab", "ab", false}, {"*ab*ab", "abab", true}, {"*aab*", "aaab", true},
	} {
		if got := wildcard(tt.pattern, tt.s); got != tt.want {
			t.Errorf("wildcard(%q, %q) = %t, want %t", tt.pattern, tt.s, got, tt.want)
		}
	}
}

// Every pattern and text of up to five characters, against a regular expression.
func TestWildcardsAreThoseOfARegularExpression(t *testing.T) {
	t.Parallel()
	texts := []string{""}
	for i := 0; i < len(texts) && len(texts[i]) < 5; i++ {
		texts = append(texts, texts[i]+"a", texts[i]+"b")
	}
	patterns := []string{""}
	for i := 0; i < len(patterns) && len(patterns[i]) < 5; i++ {
		patterns = append(patterns, patterns[i]+"a", patterns[i]+"b", patterns[i]+"*")
	}
	for _, p := range patterns {
		re := regexp.MustCompile(`\A` + strings.ReplaceAll(p, "*", ".*") + `\z`)
		for _, s := range texts {
			if got, want := wildcard(p, s), re.MatchString(s); got != want {
				t.Fatalf("wildcard(%q, %q) = %t, want %t", p, s, got, want)
			}
		}
	}
}

func TestWildcardsTakeLinearTime(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	wildcard(strings.Repeat("*a", 50_000)+"b", strings.Repeat("a", 1_000_000))
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("wildcard took %v", took)
	}
}

func TestFrozenTags(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		m    Mutability
		tag  string
		want bool
	}{
		{Mutability{Mode: Mutable}, "v1", false},
		{Mutability{Mode: Immutable}, "v1", true},
		{Mutability{Mode: Immutable}, "latest", true},
		{Mutability{ImmutableWithExclusion, []string{"latest", "dev-*"}}, "latest", false},
		{Mutability{ImmutableWithExclusion, []string{"latest", "dev-*"}}, "dev-1", false},
		{Mutability{ImmutableWithExclusion, []string{"latest", "dev-*"}}, "v1", true},
		{Mutability{MutableWithExclusion, []string{"v*", "prod"}}, "v1", true},
		{Mutability{MutableWithExclusion, []string{"v*", "prod"}}, "prod", true},
		{Mutability{MutableWithExclusion, []string{"v*", "prod"}}, "latest", false},
	} {
		if got := tt.m.Frozen(tt.tag); got != tt.want {
			t.Errorf("%v.Frozen(%q) = %t, want %t", tt.m, tt.tag, got, tt.want)
		}
	}
}

func TestMutabilityRules(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 128)
	for _, tt := range []struct {
		m    Mutability
		want string // part of the message; "" if the rule is one of ECR's
	}{
		{Mutability{Mode: Mutable}, ""},
		{Mutability{Mode: Immutable}, ""},
		{Mutability{MutableWithExclusion, []string{"*"}}, ""},
		{Mutability{ImmutableWithExclusion, []string{"a", "b*", "*c", "*d*", long}}, ""},
		{Mutability{ImmutableWithExclusion, []string{"a-b_c.d*E9"}}, ""},
		{Mutability{}, "at 'imageTagMutability' failed to satisfy constraint: 'Member must satisfy enum value set"},
		{Mutability{Mode: "mutable"}, "at 'imageTagMutability' failed to satisfy constraint: 'Member must satisfy enum value set"},
		{Mutability{Mutable, []string{"a"}}, "can't be specified when imageTagMutability is set as MUTABLE'"},
		{Mutability{Immutable, []string{"a"}}, "can't be specified when imageTagMutability is set as IMMUTABLE'"},
		{Mutability{Mode: MutableWithExclusion}, "can't be null when imageTagMutability is set as MUTABLE_WITH_EXCLUSION'"},
		{Mutability{Mode: ImmutableWithExclusion}, "can't be null when imageTagMutability is set as IMMUTABLE_WITH_EXCLUSION'"},
		{Mutability{ImmutableWithExclusion, []string{"1", "2", "3", "4", "5", "6"}}, "less than or equal to 5'"},
		{Mutability{ImmutableWithExclusion, []string{""}}, "must satisfy regular expression"},
		{Mutability{ImmutableWithExclusion, []string{"a b"}}, "must satisfy regular expression"}, // filters are stored joined by spaces
		{Mutability{ImmutableWithExclusion, []string{"a/b"}}, "must satisfy regular expression"},
		{Mutability{ImmutableWithExclusion, []string{"a\n"}}, "must satisfy regular expression"},
		{Mutability{ImmutableWithExclusion, []string{long + "a"}}, "must satisfy regular expression"},
		{Mutability{ImmutableWithExclusion, []string{"***"}}, "at most 2 wildcards"},
		{Mutability{ImmutableWithExclusion, []string{"ok", "*a*b*"}}, "at most 2 wildcards"},
	} {
		err := tt.m.check()
		if tt.want == "" {
			if err != nil {
				t.Errorf("%v.check() = %v, want nil", tt.m, err)
			}
			continue
		}
		if fault.CodeOf(err) != "InvalidParameterException" || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v.check() = %v, want InvalidParameterException with %q", tt.m, err, tt.want)
		}
	}
}
