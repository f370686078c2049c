package policy

// Request is one question: may this principal do this to that?
type Request struct {
	Principal Principal
	Action    string // ecr:PutImage
	Resource  string // an ARN, or "*" for actions that have no resource
	// ResourceAccount is the account that owns the resource. For actions without
	// a resource it is the principal's own.
	ResourceAccount string
	Context         Context
	// RootRepairs makes the denies of repository and registry policies not bind the
	// root of the owning account. It is for requests that replace or delete such a
	// policy: a policy that denies them to everybody would otherwise stay for ever.
	RootRepairs bool
}

// Policies are the policies that may have a say in a request.
type Policies struct {
	// Identity are those of the user, its groups, or the role.
	Identity []Attached
	// Boundary, if there are any, must allow what Identity allows.
	Boundary []Attached
	// Session, if there are any, must allow it too. Those of a federated user's
	// session count even if there are none: it then has no rights of its own.
	Session []Attached
	// Repository and Registry are those of the resource.
	Repository, Registry []Attached
	// Trust is that of the role that is to be assumed. If there is one it must
	// allow the request, even within one account.
	Trust []Attached
	// Key are those of the KMS key that is to be used, grants included. As with Trust,
	// one must allow the request: even to the root of the key's own account.
	Key []Attached
	// Endpoint is that of the VPC endpoint that the request came through. There is
	// none if it came another way.
	Endpoint []Attached
	// ServiceControl are those of the principal's account, level by level: the
	// organization's root, each unit down to the account, the account. Each level
	// must allow. An organization's management account has none: leave them out.
	ServiceControl [][]Attached
	// ResourceControl are those of the account that owns the resource.
	ResourceControl [][]Attached
}

// Decide decides a request. It allocates nothing but to remember an action that it
// meets for the first time, and may be called by many at once with the same policies.
//
// A Deny that applies wins wherever it is. Then the organization and the
// endpoint must allow, and then:
//   - within one account the identity policies or the resource's must allow, and
//     what they allow the boundary and the session policies must allow too, but for
//     what the resource's policy gives to everybody, or to the user or session by
//     its own name. A resource's policy that names the account leaves it to the
//     identity policies. The account's root needs no policy.
//   - of a role that is to be assumed and of a KMS key the policy must allow or name
//     the account whoever asks, the account's root included.
//   - across accounts the resource's policy must allow and, within their limits,
//     the identity policies; but for a root, these.
//   - nobody, services and federated principals need the resource's policy.
func Decide(r *Request, p *Policies) Decision {
	f := findings{bounded: len(p.Boundary) > 0}
	r.askOrganization(p, &f)
	r.askResource(p, &f)
	f.identity = r.ask(Identity, 0, p.Identity, f.bounded)
	f.boundary = r.ask(Boundary, 0, p.Boundary, f.bounded)
	f.session = r.ask(Session, 0, p.Session, f.bounded)
	f.inSession = len(p.Session) > 0 || r.Principal.Type == FederatedUser
	if len(p.Trust) > 0 {
		f.needs = Trust
	} else if len(p.Key) > 0 {
		f.needs = Key
	}
	for _, s := range [...]Source{f.limits.deny, f.resource.deny, f.identity.deny, f.boundary.deny, f.session.deny} {
		if s.Kind != 0 {
			return Decision{Reason: ExplicitDeny, By: s}
		}
	}
	if f.lacking.Kind != 0 {
		return lacks(f.lacking)
	}
	return r.grant(&f)
}

// WithinLimits reports whether the boundary and the session policies, where there
// are any, allow a request to its principal.
func WithinLimits(r *Request, p *Policies) bool {
	f := findings{bounded: len(p.Boundary) > 0, inSession: len(p.Session) > 0 || r.Principal.Type == FederatedUser}
	f.boundary = r.ask(Boundary, 0, p.Boundary, f.bounded)
	f.session = r.ask(Session, 0, p.Session, f.bounded)
	return f.withinLimits(Source{}).Allowed
}

// findings are what all policies say about a request.
type findings struct {
	limits                      finding // of the organization and the endpoint: denies alone
	lacking                     Source  // the first of those that does not allow
	resource                    finding
	identity, boundary, session finding
	bounded, inSession          bool
	needs                       Kind // of the resource's policies that must allow even within one account
}

// finding is what the policies of one kind say: the first statement that denies,
// and the one that allows and names the principal most directly.
type finding struct {
	deny, allow Source
	reach       reach // of allow
}

// or adds what other policies say. What was found first stays.
func (f *finding) or(g finding) {
	if f.deny.Kind == 0 {
		f.deny = g.deny
	}
	if g.reach > f.reach {
		f.allow, f.reach = g.allow, g.reach
	}
}

// ask asks the policies of one kind.
func (r *Request) ask(kind Kind, level int, list []Attached, bounded bool) finding {
	var f finding
	needs, there := "", false // the key that was looked for last
	for i := range list {
		p := list[i].Policy
		if p == nil {
			continue
		}
		for _, c := range p.about(r.Action) {
			if c.needs != needs {
				needs, there = c.needs, len(r.Context.values[c.needs]) > 0
			}
			if needs != "" && !there {
				continue // most statements are told apart by this
			}
			s := &p.statements[c.index]
			if s.deny && f.deny.Kind != 0 || !s.deny && s.best <= f.reach {
				continue // it cannot add anything
			}
			how, applies := s.appliesTo(r, bounded)
			if !applies || !s.deny && how <= f.reach {
				continue
			}
			source := Source{kind, level, i + 1, list[i].Name, int(c.index) + 1, s.sid}
			if s.deny {
				f.deny = source
			} else {
				f.allow, f.reach = source, how
			}
		}
	}
	return f
}

// askOrganization asks the policies that only limit. Those of an organization do
// not bind service-linked roles, nor service control policies who is in no
// account.
func (r *Request) askOrganization(p *Policies, f *findings) {
	if !r.Principal.ServiceLinked {
		if r.Principal.Account != "" {
			for i := range p.ServiceControl {
				f.limit(ServiceControl, i+1, r.ask(ServiceControl, i+1, p.ServiceControl[i], f.bounded))
			}
		}
		for i := range p.ResourceControl {
			f.limit(ResourceControl, i+1, r.ask(ResourceControl, i+1, p.ResourceControl[i], f.bounded))
		}
	}
	if len(p.Endpoint) > 0 {
		f.limit(Endpoint, 0, r.ask(Endpoint, 0, p.Endpoint, f.bounded))
	}
}

func (f *findings) limit(kind Kind, level int, g finding) {
	f.limits.or(g)
	if g.reach == toNobody && f.lacking.Kind == 0 {
		f.lacking = Source{Kind: kind, Level: level}
	}
}

// askResource asks the policies of the resource.
func (r *Request) askResource(p *Policies, f *findings) {
	f.resource = r.ask(Repository, 0, p.Repository, f.bounded)
	f.resource.or(r.ask(Registry, 0, p.Registry, f.bounded))
	if r.RootRepairs && r.ownRoot() {
		f.resource.deny = Source{}
	}
	f.resource.or(r.ask(Trust, 0, p.Trust, f.bounded))
	f.resource.or(r.ask(Key, 0, p.Key, f.bounded))
}

// ownRoot reports whether the principal is the root of the account that owns the
// resource.
func (r *Request) ownRoot() bool {
	return r.Principal.Type == Root && r.Principal.Account != "" && r.Principal.Account == r.ResourceAccount
}

// grant decides a request that nothing denies.
func (r *Request) grant(f *findings) Decision {
	lacking := Source{Kind: Repository}
	if f.needs != 0 {
		lacking.Kind = f.needs
	}
	switch account := r.Principal.Account; {
	case r.Principal.Type == Nobody || r.Principal.Type == Service || r.Principal.Type == Federated || account == "":
		if f.resource.reach < toPrincipal {
			return lacks(lacking)
		}
		return allows(f.resource.allow)
	case account != r.ResourceAccount || f.needs != 0:
		if f.resource.reach == toNobody {
			return lacks(lacking)
		}
	}
	if r.Principal.Account == r.ResourceAccount {
		return r.grantWithin(f)
	}
	if r.Principal.Type == Root {
		return allows(f.resource.allow)
	}
	if f.identity.reach == toNobody {
		return lacks(Source{Kind: Identity})
	}
	d := f.withinLimits(f.identity.allow)
	if d.Allowed {
		d.With = f.resource.allow
	}
	return d
}

// grantWithin decides a request within one account.
func (r *Request) grantWithin(f *findings) Decision {
	switch {
	case r.Principal.Type == Root:
		return Decision{Allowed: true, Reason: AccountRoot}
	case f.resource.reach == toSession:
		return allows(f.resource.allow)
	case f.resource.reach == toPrincipal:
		return f.withinLimits(f.resource.allow)
	case f.identity.reach == toNobody:
		return lacks(Source{Kind: Identity})
	}
	d := f.withinLimits(f.identity.allow)
	if d.Allowed && f.needs != 0 {
		d.With = f.resource.allow
	}
	return d
}

// withinLimits allows what a statement allows if the boundary and the session
// policies allow it too.
func (f *findings) withinLimits(by Source) Decision {
	switch {
	case f.bounded && f.boundary.reach == toNobody:
		return lacks(Source{Kind: Boundary})
	case f.inSession && f.session.reach == toNobody:
		return lacks(Source{Kind: Session})
	}
	return allows(by)
}

func allows(by Source) Decision  { return Decision{Allowed: true, Reason: Statement, By: by} }
func lacks(kind Source) Decision { return Decision{Reason: NoAllow, By: kind} }
