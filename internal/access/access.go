// Package access says who is asking and decides whether they may.
//
// Every verb of every domain takes a [Caller] and asks [Authorizer.Decide]
// before it does, or says, anything else.
package access

import (
	"context"
	"net/netip"
	"time"

	"berth/internal/policy"
)

// Caller is the principal behind one request and what is known of the request
// itself. The zero Caller is anonymous.
type Caller struct {
	Account     string     // the account the principal belongs to
	ARN         string     // arn:aws:iam::123456789012:root
	ID          string     // the principal's unique id; for an account's root, the account
	AccessKeyID string     // the key that signed the request, or that the token was made with
	Type        Type       // what kind of principal it is
	SourceIP    netip.Addr // where the request came from, after trusted proxies
	Secure      bool       // whether the request came over TLS
	UserAgent   string     // as sent, cut to a bounded length
	RequestID   string     // the id that the response, the log and the audit record share
	// Policies are what the principal carries, as they were when it was
	// authenticated. They are nil for a root, and where nobody has read them.
	Policies *Policies
	// Session is nil if the credentials are not temporary.
	Session *Session
	// Revoked says which registry passwords of the principal no longer work; nil if
	// all do.
	Revoked *Revoked
	// Endpoint is the VPC endpoint that the request came through, nil if it came
	// another way.
	Endpoint *Endpoint
}

// Principal is the id of the role, the user or the root that the caller is, or is
// a session of.
func (c Caller) Principal() string {
	if c.Session != nil {
		return c.Session.Owner
	}
	return c.ID
}

// Endpoint is a VPC endpoint.
type Endpoint struct {
	ID, VPC string
	// Policy must allow whatever is asked for through the endpoint. Without one
	// everything is let through.
	Policy []policy.Attached
}

// policy returns the policy of the endpoint, if there is an endpoint that has one.
func (e *Endpoint) policy() []policy.Attached {
	if e == nil {
		return nil
	}
	return e.Policy
}

// Type is the kind of a principal, as userIdentity.type in CloudTrail.
type Type string

// The kinds of principals.
const (
	Anonymous     Type = ""
	Root          Type = "Root"
	User          Type = "IAMUser"
	AssumedRole   Type = "AssumedRole"
	FederatedUser Type = "FederatedUser"
	// WebIdentity is somebody with a token of a provider, before a role is assumed:
	// the ARN is the provider's, and there is no account.
	WebIdentity Type = "WebIdentityUser"
)

// Request is one question: may this caller do this to that?
type Request struct {
	Caller   Caller
	Action   string // ecr:PutImage
	Account  string // the account that owns the resource
	Resource string // the ARN asked for, or "*"
	// Context has the condition keys, and their values, that the service knows of.
	// The Authorizer adds what is known of the caller.
	Context map[string][]string
	// Repository and Registry are the policies of the resource.
	Repository, Registry []policy.Attached
	// Trust is the policy of the role that is to be assumed.
	Trust []policy.Attached
	// Key are the policy of the KMS key that is to be used, and what grants on it
	// come to.
	Key []policy.Attached
	// Services are services in whose name the caller may assume a role of its own
	// account, if nothing denies it to the caller: it is enough that one of them may.
	Services []string
	// Images, if set, finds out which images the request is about. It is called only
	// if a policy that has a say reads a condition key of images. The request is
	// allowed if it is for each of them.
	Images func() ([]Image, error)
	// Early says that of the images no more than the tags is known yet. Where that is
	// not enough nothing is decided, and [Authorizer.Decide] returns nil: the request
	// must be decided again.
	Early bool
	// RootRepairs lets the root of the owning account replace or delete a policy
	// of the resource that denies it that.
	RootRepairs bool
}

// PolicySource knows which policies a principal carries.
type PolicySource interface {
	// Policies returns the policies of the caller as they are now. A principal
	// that no longer exists has none.
	Policies(ctx context.Context, c Caller) (Policies, error)
}

// PrincipalSource knows which principals there are.
type PrincipalSource interface {
	// MissingPrincipals returns those of the principals' ARNs that name a user, a
	// role or a session of one that there is not, in an account that there is.
	MissingPrincipals(tx PrincipalReader, arns []string) ([]string, error)
}

// PrincipalReader is a transaction that reads principals.
type PrincipalReader interface {
	// HasAccount reports whether there is an account.
	HasAccount(id string) (bool, error)
	// PrincipalARN returns the ARN of an account's user or role, "" for none. The key
	// is its name as names are compared.
	PrincipalARN(account, kind, key string) (string, error)
}

// Policies are the policies that a principal carries.
type Policies struct {
	// Administrator is true of an account's root, which needs no policy in its own
	// account. A root of which it is not true may do nothing.
	Administrator bool
	// Identity are the policies of the principal and of its groups; Boundary, if
	// there is one, is the limit of what they allow.
	Identity, Boundary []policy.Attached
	// Session, if there are any, are limits too: those given when a session was made.
	Session []policy.Attached
	// Tags are the principal's, a session's over those of its role.
	Tags map[string]string
}

// Authorizer decides requests. It is safe for concurrent use.
type Authorizer struct {
	// Source is where identity policies come from.
	Source PolicySource
	// Organizations knows the organization that accounts are in; nil for none.
	Organizations Organizations
	// Observe, if set, is told of every decision that stands. It must be quick and safe for
	// concurrent use.
	Observe func(Request, error)
	// Now is the time that conditions are held against; time.Now if nil.
	Now func() time.Time
}

// Decide returns nil if the request is allowed, and AccessDeniedException if it
// is not. Any other error means that no decision could be made; it must be
// treated as a refusal.
func (a *Authorizer) Decide(ctx context.Context, r Request) error {
	err := a.decide(ctx, r)
	if a.Observe != nil && (err != nil || !r.Early) { // what is allowed early is decided again
		a.Observe(r, err)
	}
	return err
}

// Would is Decide that nobody observes: it is for what a caller could do as well.
func (a *Authorizer) Would(ctx context.Context, r Request) error { return a.decide(ctx, r) }

func (a *Authorizer) decide(ctx context.Context, r Request) error {
	if everybodyMay(r) {
		return nil
	}
	if r.Caller.Type == Anonymous {
		return denied(r, strangerLacks(r))
	}
	if len(r.Trust) > 0 && r.Caller.Type == Root {
		return denied(r, noAllow(policy.Trust)) // roots assume no roles
	}
	p, err := a.Source.Policies(ctx, r.Caller)
	if err != nil {
		return err
	}
	if r.Caller.Type == Root && !p.Administrator {
		return denied(r, noAllow(policy.Identity))
	}
	mine, owner, err := a.memberships(r)
	if err != nil {
		return err
	}
	if unlimited(r, mine, owner) {
		return nil // what follows would say so too, after more work
	}
	having := policiesFor(r, p, mine, owner)
	ask := a.ask(r, p, mine, owner, having.Keys())
	d, err := decideImages(&ask, &having, r)
	if err != nil || d.Allowed {
		return err
	}
	ask = a.ask(r, p, mine, owner, policy.AllKeys) // what is refused is explained, with all keys
	if d, err = decideImages(&ask, &having, r); err == nil && !d.Allowed && !a.serviceMay(&r, &ask, having, d) {
		if r.Account != r.Caller.Account {
			d = having.Tellable(&ask, d)
		}
		err = deniedBy(r, d, ask, having)
	}
	return err
}

// serviceMay reports whether one of the services that the caller acts for may
// assume the role. What is denied to the caller stays denied, and so does what its
// limits do not allow.
func (a *Authorizer) serviceMay(r *Request, ask *policy.Request, all policy.Policies, d policy.Decision) bool {
	if d.Reason == policy.ExplicitDeny || r.Account != r.Caller.Account || len(r.Trust) == 0 ||
		d.By.Kind != policy.Identity && d.By.Kind != policy.Trust || !policy.WithinLimits(ask, &all) {
		return false
	}
	all.Identity, all.Boundary, all.Session, all.Endpoint = nil, nil, nil, nil // which have let the caller through
	for _, name := range r.Services {
		service := *ask
		service.Principal = policy.Principal{Type: policy.Service, Name: name}
		service.Context = a.serviceContext(*r, name)
		for of, key := range serviceKeys {
			service.Context.Set(of, ask.Context.Values(key)...)
		}
		if policy.Decide(&service, &all).Allowed {
			return true
		}
	}
	return false
}

// unlimited reports whether no policy has a say about the root of the account that
// owns the resource.
func unlimited(r Request, mine, owner *Membership) bool {
	return r.Caller.Type == Root && r.Account == r.Caller.Account &&
		len(r.Repository)+len(r.Registry)+len(r.Key)+len(r.Caller.Endpoint.policy())+len(mine.serviceControl())+len(owner.resourceControl(r.Action)) == 0
}

// ask is what the policy engine is asked about a request. The places in an
// organization are those of the caller's account and of the resource's. Condition
// keys are those that are read.
func (a *Authorizer) ask(r Request, p Policies, mine, owner *Membership, read policy.Keys) policy.Request {
	return policy.Request{
		Principal: principal(r.Caller), Action: r.Action, Resource: r.Resource, ResourceAccount: r.Account,
		Context: a.context(r, p, mine, owner, read), RootRepairs: r.RootRepairs,
	}
}

// policiesFor returns the policies that have a say in a request: all of them, wherever
// they come from.
func policiesFor(r Request, p Policies, mine, owner *Membership) policy.Policies {
	return policy.Policies{
		Identity: p.Identity, Boundary: p.Boundary, Session: p.Session, Repository: r.Repository, Registry: r.Registry, Trust: r.Trust, Key: r.Key,
		Endpoint: r.Caller.Endpoint.policy(), ServiceControl: mine.serviceControl(), ResourceControl: owner.resourceControl(r.Action),
	}
}

// strangerLacks is why a caller without a login may not.
func strangerLacks(r Request) policy.Decision {
	if r.Account == r.Caller.Account {
		return noAllow(policy.Identity)
	}
	return noAllow(policy.Repository)
}

func noAllow(k policy.Kind) policy.Decision {
	return policy.Decision{Reason: policy.NoAllow, By: policy.Source{Kind: k}}
}

// Record is one call and what came of it, for the audit log.
type Record struct {
	Time       time.Time
	Caller     Caller
	Event      string // the API operation: PutImage
	Service    string // the service that owns it: ecr
	Account    string // the account that owns the resource
	Region     string
	Resource   string // the resource's ARN, "" if none
	ReadOnly   bool
	Parameters any    // the request's parameters without secrets and payloads; encoded as JSON
	Response   any    // what the answer says that the caller cannot know before, without secrets; encoded as JSON
	Error      string // the exception's name, "" if the call succeeded
	Message    string // the exception's message
	// Refusal is why access was refused, if it was.
	Refusal *Refusal
	// Details are what the service did by itself; the record is then that of an
	// event and not of a call, and has no caller but the account.
	Details any
}

// RepositoryARN returns arn:aws:ecr:region:account:repository/name.
func RepositoryARN(account, region, name string) string {
	return policy.ARN{Partition: "aws", Service: "ecr", Region: region, Account: account, Resource: "repository/" + name}.String()
}

// Call is who makes an AWS API call, and in which region.
type Call struct {
	Caller
	Region string
}

// Auditor takes the audit records of reads, of refused and of failed calls. It
// must not block.
type Auditor interface {
	Record(Record)
}
