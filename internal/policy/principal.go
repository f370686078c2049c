package policy

import (
	"regexp"
	"strings"
)

// Principal is who makes a request.
type Principal struct {
	Type PrincipalType
	// ARN is that of the user, of the role's or the federated user's session, or
	// of the account's root.
	ARN string
	// Parent is the ARN of a session's role, path included, or of the user that a
	// federated user's session was made by.
	Parent string
	// Account is what the principal belongs to; "" for Nobody, Service and Federated.
	Account string
	// Name is a service's name (ecs-tasks.amazonaws.com), or the provider of a
	// federated principal: its ARN, or the host name that trust policies use.
	Name string
	// ServiceLinked is true of sessions of service-linked roles, which an
	// organization's policies do not bind.
	ServiceLinked bool
}

// PrincipalType is a kind of principals.
type PrincipalType int

// The kinds of principals. The zero Principal is nobody.
const (
	Nobody        PrincipalType = iota // not authenticated
	Root                               // the root of an account
	User                               // a user, or a session of GetSessionToken
	AssumedRole                        // a session of a role
	FederatedUser                      // a session of GetFederationToken
	Service                            // an AWS service
	Federated                          // somebody with a token of a provider, before assuming a role
)

// entry is one principal that a statement names.
type entry struct {
	kind  entryKind
	value string // account id, ARN, service or provider
	arn   string // the ARN that the entry stands for, if it does
}

type entryKind int

const (
	everybody entryKind = iota
	anAccount           // the account itself, and so everybody in it as its policies say
	aUser
	aRole
	aSession // of a role or of a federated user
	aName    // of a service or a provider
)

// reach is how directly a resource's policy names a principal.
type reach int

const (
	toNobody    reach = iota
	toAccount         // the account is named: its identity policies decide
	toPrincipal       // a session's role or user is
	toSession         // everybody, or the user or the session itself: no other policy limits that
)

var (
	accountID = regexp.MustCompile(`^[0-9]{12}$`)
	rootARN   = regexp.MustCompile(`^arn:[a-z-]+:iam::([0-9]{12}):root$`)
	userARN   = regexp.MustCompile(`^arn:[a-z-]+:iam::[0-9]{12}:user/([!-.0-~]+/)*[A-Za-z0-9+=,.@_-]+$`)
	roleARN   = regexp.MustCompile(`^arn:[a-z-]+:iam::[0-9]{12}:role/([!-.0-~]+/)*[A-Za-z0-9+=,.@_-]+$`)
	stsARN    = regexp.MustCompile(`^arn:[a-z-]+:sts::[0-9]{12}:(assumed-role/[A-Za-z0-9+=,.@_-]+|federated-user)/[A-Za-z0-9+=,.@_-]+$`)
	service   = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?$`)
	provider  = regexp.MustCompile(`^(arn:[a-z-]+:iam::[0-9]{12}:(oidc-provider|saml-provider)/[!-~]+|[a-z0-9-]+(\.[a-z0-9-]+)+)$`)
)

// parseAWS reads an entry of "AWS". The error is a reason, in words.
func parseAWS(s string) (entry, string) {
	if s == "*" {
		return entry{kind: everybody}, ""
	}
	if accountID.MatchString(s) {
		return entry{anAccount, s, ARN{"aws", "iam", "", s, "root"}.String()}, ""
	}
	if m := rootARN.FindStringSubmatch(s); m != nil {
		return entry{anAccount, m[1], s}, ""
	}
	if strings.ContainsAny(s, "*?") {
		return entry{}, "has a wildcard: a principal is * or named in full (a condition on aws:PrincipalArn can have wildcards)"
	}
	switch {
	case userARN.MatchString(s):
		return entry{aUser, s, s}, ""
	case roleARN.MatchString(s):
		return entry{aRole, s, s}, ""
	case stsARN.MatchString(s):
		return entry{aSession, s, s}, ""
	}
	return entry{}, "is neither *, an account's id nor the ARN of an account's root, a user, a role or a session"
}

func parseService(s string) (entry, string) {
	if !service.MatchString(s) {
		return entry{}, "is not the name of a service, as in ecs-tasks.amazonaws.com"
	}
	return entry{kind: aName, value: s}, ""
}

func parseProvider(s string) (entry, string) {
	if !provider.MatchString(s) {
		return entry{}, "is neither the ARN of an identity provider nor the host name of one"
	}
	return entry{kind: aName, value: s}, ""
}

// reaches says how an entry names a principal.
func (e *entry) reaches(p *Principal) reach {
	switch e.kind {
	case everybody:
		return toSession
	case anAccount:
		if p.Account == e.value {
			return toAccount
		}
	case aName:
		if p.Name == e.value {
			return toPrincipal
		}
	default:
		if p.ARN == e.value && e.kind != aRole {
			return toSession
		}
		if p.ARN == e.value || p.Parent == e.value {
			return toPrincipal
		}
	}
	return toNobody
}

// mostDirect returns how directly an entry can name a principal.
func (e *entry) mostDirect() reach {
	switch e.kind {
	case anAccount:
		return toAccount
	case everybody, aUser, aSession:
		return toSession
	}
	return toPrincipal
}

// names says how a statement's Principal or NotPrincipal names a principal: a
// statement with NotPrincipal, which always denies, names whom it does not spare.
//
// As IAM documents it, nobody who has a boundary is spared.
func (s *statement) names(p *Principal, bounded bool) reach {
	if s.notPrincipal {
		if !bounded && s.spares(p) {
			return toNobody
		}
		return toPrincipal
	}
	best := toNobody
	for i := range s.principals {
		best = max(best, s.principals[i].reaches(p))
	}
	return best
}

// spares reports whether NotPrincipal names all that the principal is: a session
// is spared only if its role and its account are there too, a user only with the
// account.
func (s *statement) spares(p *Principal) bool {
	arn, parent, account := p.ARN == "" || p.Type == Root, p.Parent == "", p.Account == ""
	name := p.Name == ""
	for i := range s.principals {
		e := &s.principals[i]
		switch e.kind {
		case everybody:
			return true
		case anAccount:
			account = account || e.value == p.Account
		case aName:
			name = name || e.value == p.Name
		default:
			arn = arn || e.value == p.ARN
			parent = parent || e.value == p.Parent
		}
	}
	return arn && parent && account && name && p.Type != Nobody
}
