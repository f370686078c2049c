package policy

import "fmt"

// Kind is a kind of policy: what it is attached to, and so what it can say.
type Kind int

// The kinds of policies. The zero Kind is none.
const (
	Identity        Kind = iota + 1 // of a user, a group or a role
	Boundary                        // the limit of what identity policies can allow
	Session                         // given when a session was made; a limit too
	Repository                      // of one repository
	Registry                        // of all repositories of a registry
	Trust                           // of a role: who may assume it
	Endpoint                        // of a VPC endpoint
	ServiceControl                  // of an organization, on its principals
	ResourceControl                 // of an organization, on its resources
	Key                             // of a KMS key, or what a grant on one comes to
)

// kinds says how a kind is called, and what its documents are like.
var kinds = [...]struct {
	name, words string
	principal   presence
	resource    presence
	maxLength   int
	sids        bool // Sids are letters and digits, each once
}{
	Identity:        {"identity", "identity-based policy", forbidden, required, longDocument, true},
	Boundary:        {"boundary", "permissions boundary", forbidden, required, longDocument, true},
	Session:         {"session", "session policy", forbidden, required, longDocument, true},
	Repository:      {"repository", "resource-based policy", required, optional, registryDocument, false},
	Registry:        {"registry", "resource-based policy", required, required, registryDocument, false},
	Trust:           {"trust", "resource-based policy", required, forbidden, longDocument, true},
	Endpoint:        {"endpoint", "VPC endpoint policy", required, required, longDocument, false},
	ServiceControl:  {"serviceControl", "service control policy", forbidden, required, longDocument, true},
	ResourceControl: {"resourceControl", "resource control policy", required, required, longDocument, true},
	Key:             {"key", "resource-based policy", required, required, keyDocument, false},
}

// What a member of a statement is to a kind of policy.
type presence int

const (
	forbidden presence = iota
	optional
	required
)

// The longest documents, in bytes. IAM's own quotas on documents are lower and
// count differently (without white space, all of a user's together): they are
// for its verbs to check.
const (
	longDocument     = 131072
	registryDocument = 10240
	keyDocument      = 32768
)

// String returns what AWS calls policies of this kind in refusals.
func (k Kind) String() string {
	if k <= 0 || int(k) >= len(kinds) {
		return "policy"
	}
	return kinds[k].words
}

// MarshalText returns the kind's name in documents: identity, serviceControl.
func (k Kind) MarshalText() ([]byte, error) {
	if k <= 0 || int(k) >= len(kinds) {
		return []byte("none"), nil
	}
	return []byte(kinds[k].name), nil
}

// UnmarshalText reads what MarshalText returns.
func (k *Kind) UnmarshalText(text []byte) error {
	for i := range kinds {
		if i > 0 && kinds[i].name == string(text) {
			*k = Kind(i)
			return nil
		}
	}
	if string(text) != "none" {
		return fmt.Errorf("there is no kind of policies %s", quote(string(text)))
	}
	*k = 0
	return nil
}

// Policy is a policy document, parsed and ready to decide. What it says never
// changes, and it is safe for concurrent use.
type Policy struct {
	statements []statement
	text       string   // "" if the policy was not read from a text of its own
	keys       []string // that conditions and variables read, in lower case, each once
	some       Keys     // of keys
	actions    actionIndex
}

// Attached is a policy where it is attached.
type Attached struct {
	Name    string // what decisions call it; may be empty
	*Policy        // nil is a policy without statements
}

// statement is one statement, compiled.
type statement struct {
	sid          string
	deny         bool
	principals   []entry // nil if the statement names none
	best         reach   // how directly it can name a principal
	notPrincipal bool
	actions      []pattern
	notAction    bool
	resources    []pattern // nil if the statement names none: whatever it is attached to
	notResource  bool
	conditions   []condition
	cheap        int // so many conditions, the first ones, are quickly decided
}

// Actions returns the actions that the statements name, as they are written,
// wildcards and all, those of NotAction included.
func (p *Policy) Actions() []string {
	var out []string
	for i := range p.statements {
		for j := range p.statements[i].actions {
			out = append(out, p.statements[i].actions[j].source)
		}
	}
	return out
}

// Principals returns the ARNs of users, roles, sessions and accounts' roots that
// the statements name, those of NotPrincipal included. A caller that stores a
// policy can check that they exist.
func (p *Policy) Principals() []string {
	var out []string
	for i := range p.statements {
		for _, e := range p.statements[i].principals {
			if e.arn != "" {
				out = append(out, e.arn)
			}
		}
	}
	return out
}

// applies reports whether the statement is about the request, and how directly it
// names the request's principal. Bounded says whether the principal has a boundary.
func (s *statement) applies(r *Request, bounded bool) (reach, bool) {
	if !s.hasAction(r.Action) {
		return 0, false
	}
	return s.appliesTo(r, bounded)
}

// appliesTo is applies for a statement that is about the request's action.
func (s *statement) appliesTo(r *Request, bounded bool) (reach, bool) {
	for i := range s.cheap { // most statements are told apart by these
		if !s.conditions[i].holds(r.Context) {
			return 0, false
		}
	}
	if s.resources != nil && !s.hasResource(r) {
		return 0, false
	}
	how := toPrincipal
	if s.principals != nil {
		if how = s.names(&r.Principal, bounded); how == toNobody {
			return 0, false
		}
	}
	for i := s.cheap; i < len(s.conditions); i++ {
		if !s.conditions[i].holds(r.Context) {
			return 0, false
		}
	}
	return how, true
}

// concerns reports whether the statement is about the request's action and
// resource.
func (s *statement) concerns(r *Request) bool {
	return s.hasAction(r.Action) && (s.resources == nil || s.hasResource(r))
}

// hasAction reports whether an action is one of the statement's.
func (s *statement) hasAction(action string) bool {
	for i := range s.actions {
		if ok, _ := s.actions[i].match(action, Context{}); ok { // actions have no variables
			return !s.notAction
		}
	}
	return s.notAction
}

// hasResource reports whether the request's resource is one of the statement's.
// A variable that has no value matches nothing; in NotResource of an Allow it
// makes the statement void, so that it never widens access.
func (s *statement) hasResource(r *Request) bool {
	for i := range s.resources {
		ok, unclear := s.resources[i].match(r.Resource, r.Context)
		if ok {
			return !s.notResource
		}
		if unclear && s.notResource && !s.deny {
			return false
		}
	}
	return s.notResource
}
