package policy

import (
	"slices"
	"strings"
)

// Allows reports whether policies that only limit let the request through: those
// of a kind, each of their levels.
func (e Explanation) Allows(k Kind) bool {
	levels := map[int]bool{}
	for _, t := range e.Policies {
		if t.Kind != k {
			continue
		}
		levels[t.Level] = levels[t.Level] || slices.ContainsFunc(t.Statements, func(s StatementTestimony) bool { return s.Applies && s.Effect == "Allow" })
	}
	for _, allowed := range levels {
		if !allowed {
			return false
		}
	}
	return !e.Says("Deny", k)
}

// ofOperator are the kinds of policies that are for whoever runs the server, or the
// organization, to read.
var ofOperator = []Kind{Endpoint, ServiceControl, ResourceControl}

// ForMember returns the explanation that an account may see. Of policies that limit
// it and are not its own it says which there are, and not what is in them.
func (e Explanation) ForMember() Explanation {
	e.Policies = slices.Clone(e.Policies)
	for i, t := range e.Policies {
		if slices.Contains(ofOperator, t.Kind) {
			e.Policies[i] = Testimony{Kind: t.Kind, Level: t.Level, Index: t.Index, Policy: t.Policy, Statements: []StatementTestimony{}}
		}
	}
	for _, s := range []*Source{&e.By, &e.With} {
		if slices.Contains(ofOperator, s.Kind) {
			s.Statement, s.Sid = 0, ""
		}
	}
	return e
}

// ofOwner are the kinds of policies that belong to whoever owns the resource. The
// others belong to the principal's account.
var ofOwner = []Kind{Repository, Registry, Trust, Key, ResourceControl}

// Of the account of the one side, what the other may not know: the resource's
// tags and its images, and the principal's tags.
var (
	tagsOfResource = []string{
		"aws:resourcetag/", "ecr:resourcetag/", "ecr-public:resourcetag/", "iam:resourcetag/", "kms:resourcealiases",
		"ecr:image", "ecr:artifacttype", "ecr-public:image", "ecr-public:artifacttype",
	}
	tagsOfPrincipal = []string{"aws:principaltag/"}
)

// ForOwner returns the explanation that the account may see that owns the
// resource, if the principal is of another one: with the policies of the resource
// and without what they read of the principal's tags. Of the other policies it
// says no more than a refusal does.
func (e Explanation) ForOwner() Explanation {
	return e.side(func(k Kind) bool { return slices.Contains(ofOwner, k) }, tagsOfPrincipal)
}

// ForPrincipal is ForOwner for the principal's account.
func (e Explanation) ForPrincipal() Explanation {
	return e.side(func(k Kind) bool { return !slices.Contains(ofOwner, k) }, tagsOfResource)
}

func (e Explanation) side(own func(Kind) bool, secret []string) Explanation {
	out := Explanation{Decision: e.Decision, Policies: []Testimony{}, Cut: e.Cut}
	hidden := map[Source]bool{}
	for _, t := range e.Policies {
		if !own(t.Kind) {
			continue
		}
		all := t.Statements
		t.Statements = []StatementTestimony{}
		for _, s := range all {
			hide := reads(secret, s.reads)
			if hide || reads(secret, s.finds) {
				hidden[Source{t.Kind, t.Level, t.Index, t.Policy, s.Statement, s.Sid}] = true
			}
			if hide {
				s = StatementTestimony{Statement: s.Statement, Sid: s.Sid, Effect: s.Effect, Principal: s.Principal, Hidden: true, finds: s.finds, reads: s.reads}
			}
			if !reads(secret, s.finds) { // else it would tell that it is there
				t.Statements = append(t.Statements, s)
			}
		}
		t.Missing = slices.DeleteFunc(slices.Clone(t.Missing), func(key string) bool {
			key = strings.ToLower(key)
			return reads(secret, []string{key}) || !slices.ContainsFunc(t.Statements, func(s StatementTestimony) bool {
				return slices.Contains(s.reads, key) || slices.Contains(s.finds, key)
			})
		})
		out.Policies = append(out.Policies, t)
	}
	for _, s := range []*Source{&out.By, &out.With} {
		if !own(s.Kind) || hidden[*s] {
			*s = Source{Kind: s.Kind}
		}
	}
	return out
}

// reads reports whether one of some keys begins with one of some prefixes.
func reads(prefixes, keys []string) bool {
	return slices.ContainsFunc(keys, func(key string) bool {
		return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
	})
}
