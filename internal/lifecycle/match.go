package lifecycle

import (
	"slices"
	"strings"
)

// matcher is a rule's selection, prepared for many images.
type matcher struct {
	*Rule
	wanted   []pattern // prefixes and patterns
	excluded []pattern
}

func newMatcher(r *Rule) matcher {
	m := matcher{Rule: r}
	for _, p := range r.Selection.Prefixes {
		m.wanted = append(m.wanted, pattern{p, ""})
	}
	for _, p := range r.Selection.Patterns {
		m.wanted = append(m.wanted, newPattern(p))
	}
	for _, p := range r.Selection.Excluded {
		m.excluded = append(m.excluded, newPattern(p))
	}
	return m
}

// selects reports whether the rule is about the image: "identifies" it, in the
// words of the ECR User Guide.
func (m *matcher) selects(i *Image) bool {
	if (i.State == Archived) != (m.Selection.Class == Archive) {
		return false
	}
	if m.Selection.TagStatus == Tagged && len(i.Tags) == 0 || m.Selection.TagStatus == Untagged && len(i.Tags) > 0 {
		return false
	}
	for _, p := range m.wanted {
		if !slices.ContainsFunc(i.Tags, p.matches) {
			return false
		}
	}
	for _, p := range m.excluded {
		if slices.ContainsFunc(i.Tags, p.matches) {
			return false
		}
	}
	return true
}

// pattern is the parts of a pattern between its wildcards: the first begins a
// text, the last ends it, the others are found between them in their order.
type pattern []string

func newPattern(s string) pattern { return strings.Split(s, "*") }

// matches reports whether the whole of s matches. It takes time linear in s.
func (p pattern) matches(s string) bool {
	if len(p) == 1 {
		return s == p[0]
	}
	first, last := p[0], p[len(p)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range p[1 : len(p)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}
