package registry

import (
	"regexp"
	"strings"
)

// Mode is what a repository's rule about tags says in general.
type Mode string

// The modes of imageTagMutability.
const (
	Mutable                Mode = "MUTABLE"
	Immutable              Mode = "IMMUTABLE"
	MutableWithExclusion   Mode = "MUTABLE_WITH_EXCLUSION"   // tags that a filter matches are immutable
	ImmutableWithExclusion Mode = "IMMUTABLE_WITH_EXCLUSION" // tags that a filter matches are mutable
)

// Mutability is a repository's rule about which tags may be moved to another
// image.
type Mutability struct {
	Mode    Mode     `json:"mode"`
	Filters []string `json:"filters,omitempty"` // wildcards; only with exclusion
}

var filterRegexp = regexp.MustCompile(`\A[0-9a-zA-Z._*-]{1,128}\z`)

const maxFilters = 5

// check returns InvalidParameterException if the rule is not one of ECR's.
func (m Mutability) check() error {
	const field = "imageTagMutabilityExclusionFilters"
	switch m.Mode {
	case Mutable, Immutable:
		if len(m.Filters) > 0 {
			return invalidParameter(field, "ImageTagMutabilityExclusionFilters can't be specified when imageTagMutability is set as "+string(m.Mode))
		}
	case MutableWithExclusion, ImmutableWithExclusion:
		if len(m.Filters) == 0 {
			return invalidParameter(field, "ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as "+string(m.Mode))
		}
	default:
		return invalidParameter("imageTagMutability",
			"Member must satisfy enum value set: [IMMUTABLE, IMMUTABLE_WITH_EXCLUSION, MUTABLE, MUTABLE_WITH_EXCLUSION]")
	}
	if len(m.Filters) > maxFilters {
		return invalidParameter(field, "Member must have length less than or equal to 5")
	}
	for _, f := range m.Filters {
		if !filterRegexp.MatchString(f) {
			return invalidParameter(field, "must satisfy regular expression '^[0-9a-zA-Z._*-]{1,128}$'")
		}
		if strings.Count(f, "*") > 2 {
			return invalidParameter(field, "a filter can contain at most 2 wildcards (*)")
		}
	}
	return nil
}

// Frozen reports whether an existing tag must stay on its image.
func (m Mutability) Frozen(tag string) bool {
	switch m.Mode {
	case Immutable:
		return true
	case ImmutableWithExclusion:
		return !m.excludes(tag)
	case MutableWithExclusion:
		return m.excludes(tag)
	}
	return false
}

func (m Mutability) excludes(tag string) bool {
	for _, f := range m.Filters {
		if wildcard(f, tag) {
			return true
		}
	}
	return false
}

// wildcard reports whether s matches pattern as a whole, where * stands for any
// characters or none. It takes time linear in both.
func wildcard(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return s == pattern
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return true
}
