package identity

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"berth/internal/access"
	"berth/internal/page"
	"berth/internal/policy"
)

// Simulation is what SimulatePrincipalPolicy and SimulateCustomPolicy are asked.
type Simulation struct {
	Source     string   // the ARN of a user, a group or a role; "" for a custom policy
	Policies   []string // documents beside those of the source
	Boundary   []string // one document at most, in place of the source's boundary
	Actions    []string
	Resources  []string // "*" if there are none
	Entries    []ContextEntry
	Resource   string // the policy that every resource has; "" for none
	Owner      string // the account of resources whose ARNs name none, or the ARN of its root
	Caller     string // the ARN of who calls; the source's if ""
	Handling   string // ResourceHandlingOption
	Exclusions int    // policies to leave out
	Page       Page
}

// ContextEntry is a condition key of a simulated request.
type ContextEntry struct {
	Key, Type string // the type is string, numeric, boolean, ip, binary or date, or such a one and List
	Values    []string
}

// Evaluation is the outcome of simulating an action.
type Evaluation struct {
	Action  string
	Outcome            // on all resources: the most restrictive, and what contributes to it
	Each    []Resource // if the simulation names resources
}

// Resource is the outcome on one resource.
type Resource struct {
	ARN string
	Outcome
}

// Outcome is what came of a simulated request.
type Outcome struct {
	Decision Verdict
	Matched  []MatchedStatement
	Missing  []string // condition keys that the policies read and the request has not
	Boundary *bool    // whether the boundary allows it; nil if there is none
	// Organization is whether the service control policies allow it; nil if the
	// account is in no organization.
	Organization *bool
}

// Verdict says whether a simulated request is allowed; the greater is the more
// restrictive.
type Verdict int

// The verdicts.
const (
	Allowed Verdict = iota
	ImplicitDeny
	ExplicitDeny
)

// String returns allowed, implicitDeny or explicitDeny.
func (v Verdict) String() string { return [...]string{"allowed", "implicitDeny", "explicitDeny"}[v] }

// MatchedStatement is a statement that led to a decision.
type MatchedStatement struct {
	Policy   string // PolicyInputList.1, ResourcePolicy, user_alice_push, ReadOnlyAccess
	Resource bool   // of the resource's policy
	// Start and End are where it is in the policy's text.
	Start, End policy.Position
}

// What bounds simulations.
const (
	// Of pairs of actions and resources, on a page.
	maxSimulatedPairs = 1000
	// Of statements that are asked, on a page.
	maxSimulatedStatements = 200_000
	// Of bytes of policies, times the bytes that they are held against, on a page.
	maxSimulatedWork = 1 << 30
)

// SimulatePrincipalPolicy decides requests by the policies of a user, a group or a
// role, of the groups of a user, and by those that are given. There is one
// Evaluation for an action. Errors: NoSuchEntity, InvalidInput.
func (d *Directory) SimulatePrincipalPolicy(ctx context.Context, c access.Call, in Simulation) (out []Evaluation, next string, err error) {
	q := &request{call: c, event: "SimulatePrincipalPolicy", params: in.params()}
	return d.simulated(ctx, q, in, func(tx ReadTx) (access.Caller, error) {
		e, err := d.openSource(ctx, tx, q, in.Source)
		if err != nil {
			return access.Caller{}, err
		}
		return subject(tx, e)
	})
}

// simulated simulates, and leaves the record. open decides the call and returns the
// caller of the simulated requests. No transaction is open while they are decided.
func (d *Directory) simulated(ctx context.Context, q *request, in Simulation, open func(ReadTx) (access.Caller, error)) (out []Evaluation, next string, err error) {
	q.readOnly = true
	var caller access.Caller
	err = d.store.View(ctx, func(tx ReadTx) (err error) {
		caller, err = open(tx)
		return err
	})
	if err == nil && !q.decided {
		err = errUndecided
	}
	if err == nil {
		out, next, err = d.simulate(ctx, q, in, caller)
	}
	d.auditor.Record(q.record(d.now(), err))
	return out, next, err
}

// SimulateCustomPolicy decides requests by policies that are given. Errors:
// InvalidInput.
func (d *Directory) SimulateCustomPolicy(ctx context.Context, c access.Call, in Simulation) (out []Evaluation, next string, err error) {
	q := &request{call: c, event: "SimulateCustomPolicy", params: in.params()}
	return d.simulated(ctx, q, in, func(ReadTx) (access.Caller, error) {
		caller := access.Caller{Account: c.Account, Type: access.User, Policies: &access.Policies{}}
		if err := d.decide(ctx, q, c.Account, "*", nil); err != nil {
			return caller, err
		}
		if in.Resource != "" && in.Caller == "" {
			return caller, errInput("CallerArn must be given with a resource policy.")
		}
		return caller, nil
	})
}

// params are what the audit record says of a simulation.
func (in Simulation) params() params {
	const most = 20
	p := params{"actionNames": in.Actions[:min(len(in.Actions), most)], "resourceArns": in.Resources[:min(len(in.Resources), most)]}
	if in.Source != "" {
		p["policySourceArn"] = in.Source
	}
	return p
}

var sourceARN = regexp.MustCompile(`\Aarn:aws:iam::[0-9]{12}:(user|group|role)/([!-.0-~]+/)*[A-Za-z0-9+=,.@_-]+\z`)

// openSource decides a call about the policies of a user, a group or a role that
// is named by its ARN, and returns it.
func (d *Directory) openSource(ctx context.Context, tx ReadTx, q *request, arn string) (*Entity, error) {
	owner := q.call.Account
	var e *Entity
	var conditions map[string][]string
	valid := sourceARN.MatchString(arn)
	if valid {
		a, _ := policy.ParseARN(arn)
		if owner = a.Account; owner == q.call.Account {
			kind, _, _ := strings.Cut(a.Resource, "/")
			found, err := tx.Entity(owner, Kind(kind), nameKey(arn[strings.LastIndexByte(arn, '/')+1:]))
			if err != nil {
				return nil, err
			}
			if found != nil && found.ARN() == arn {
				e, conditions = found, found.conditions()
			}
		}
	}
	if err := d.decide(ctx, q, owner, arn, conditions); err != nil {
		return nil, err
	}
	if !valid {
		return nil, errInput("Invalid Entity Arn: %.128q does not clearly define entity type and name.", arn)
	}
	if e == nil {
		return nil, errNoSuch("The entity %s cannot be found.", arn)
	}
	return e, nil
}

// subject is an entity as the caller of a hypothetical request, with its policies
// as they are now. A group stands for a user who is nothing but a member of it.
func subject(tx ReadTx, e *Entity) (access.Caller, error) {
	policies, err := carried(tx, e)
	c := access.Caller{Account: e.Account, ID: e.ID, ARN: e.ARN(), Type: access.User, Policies: &policies}
	switch e.Kind {
	case Group:
		c.ARN, c.ID = "", ""
	case Role:
		c.Type = access.AssumedRole
		if e.Service != "" {
			c.Session = &access.Session{Owner: e.ID, Parent: c.ARN, ServiceLinked: true}
		}
	}
	return c, err
}

// simulator decides the requests of a simulation.
type simulator struct {
	auth     *access.Authorizer
	own      oneAccount // that of who asks
	caller   access.Caller
	policies access.Policies
	resource []policy.Attached
	owner    string
	context  map[string][]string // by key in lower case
}

// oneAccount knows the place of one account.
type oneAccount struct {
	account string
	place   *access.Membership
}

// Membership implements [access.Organizations].
func (o oneAccount) Membership(account string, _ bool) (*access.Membership, error) {
	if account != o.account {
		return nil, nil
	}
	return o.place, nil
}

func (d *Directory) simulate(ctx context.Context, q *request, in Simulation, c access.Caller) ([]Evaluation, string, error) {
	s := &simulator{caller: c, policies: *c.Policies, context: map[string][]string{}}
	s.own.account = q.call.Account
	if d.auth.Organizations != nil && in.Source != "" {
		var err error
		if s.own.place, err = d.auth.Organizations.Membership(q.call.Account, true); err != nil {
			return nil, "", err
		}
	}
	s.auth = &access.Authorizer{Source: d.auth.Source, Now: d.auth.Now, Organizations: s.own}
	if err := s.prepare(in); err != nil {
		return nil, "", err
	}
	l, err := d.listing(q, in.Page, fmt.Sprintf("%q %q", in.Actions, in.Resources))
	if err != nil {
		return nil, "", err
	}
	type numbered struct {
		place, action string
	}
	var all []numbered
	for i, a := range in.Actions {
		all = append(all, numbered{fmt.Sprintf("%09d", i), a})
	}
	shown, next := page.Pick(l, all, func(n numbered) string { return n.place })
	pairs := len(shown) * max(len(in.Resources), 1)
	statements, bytes := s.size()
	if pairs > maxSimulatedPairs || pairs*statements > maxSimulatedStatements || pairs*bytes > maxSimulatedWork/s.length(in) {
		return nil, "", errInput("The simulation is too large: give fewer actions, resources or policies, or a smaller MaxItems.")
	}
	out := []Evaluation{}
	for _, n := range shown {
		e, err := s.evaluate(ctx, n.action, in.Resources)
		if err != nil {
			return nil, "", err
		}
		out = append(out, e)
	}
	return out, next, nil
}

// size is how many statements are asked about a request, and the length of their
// policies.
func (s *simulator) size() (statements, bytes int) {
	lists := [][]policy.Attached{s.policies.Identity, s.policies.Boundary, s.resource}
	if m := s.own.place; m != nil {
		lists = slices.Concat(lists, m.ServiceControl, m.ResourceControl)
	}
	for _, list := range lists {
		for _, a := range list {
			statements, bytes = statements+1+a.Size(), bytes+a.Length()
		}
	}
	return statements, bytes
}

// length is how many bytes policies are held against.
func (s *simulator) length(in Simulation) int {
	n := 1
	for _, r := range in.Resources {
		n = max(n, len(r))
	}
	for _, values := range s.context {
		for _, v := range values {
			n += len(v)
		}
	}
	return n
}

// evaluate simulates an action on some resources, or on * if there are none.
func (s *simulator) evaluate(ctx context.Context, action string, resources []string) (Evaluation, error) {
	e := Evaluation{Action: action}
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	var outcomes []Outcome
	for _, r := range resources {
		if err := context.Cause(ctx); err != nil {
			return e, err
		}
		o, err := s.ask(ctx, action, r)
		if err != nil {
			return e, err
		}
		outcomes = append(outcomes, o)
		if len(resources) > 1 || r != "*" {
			e.Each = append(e.Each, Resource{r, o})
		}
	}
	e.Outcome = together(outcomes)
	return e, nil
}

// together is the outcome on several resources.
func together(all []Outcome) Outcome {
	var out Outcome
	for _, o := range all {
		out.Decision = max(out.Decision, o.Decision)
	}
	for _, o := range all {
		if o.Decision == out.Decision {
			out.Matched = union(out.Matched, o.Matched)
		}
		out.Missing = union(out.Missing, o.Missing)
		if o.Boundary != nil && (out.Boundary == nil || *out.Boundary) {
			out.Boundary = o.Boundary
		}
		if o.Organization != nil && (out.Organization == nil || *out.Organization) {
			out.Organization = o.Organization
		}
	}
	return out
}

// union adds to a list what it does not have.
func union[T comparable](to, from []T) []T {
	have := make(map[T]bool, len(to))
	for _, v := range to {
		have[v] = true
	}
	for _, v := range from {
		if !have[v] {
			have[v] = true
			to = append(to, v)
		}
	}
	return to
}

// ask decides one request of a simulation.
func (s *simulator) ask(ctx context.Context, action, resource string) (Outcome, error) {
	// Without a policy of the resource there is nothing that another account could
	// have a say with.
	account := s.caller.Account
	if s.resource != nil {
		account = s.owner
		if a, ok := policy.ParseARN(resource); ok && a.Account != "" {
			account = a.Account
		}
	}
	c := s.caller
	c.Policies = &s.policies
	e, err := s.auth.Explain(ctx, access.Request{
		Caller: c, Action: action, Resource: resource, Account: account, Repository: s.resource,
	}, s.context)
	if err != nil {
		return Outcome{}, err
	}
	o := Outcome{Decision: ImplicitDeny, Missing: e.Missing(policy.Identity, policy.Boundary, policy.Repository)}
	effect := ""
	switch {
	case e.Allowed:
		o.Decision, effect = Allowed, "Allow"
	case e.Reason == policy.ExplicitDeny:
		o.Decision, effect = ExplicitDeny, "Deny"
	}
	o.Matched = matched(e, effect)
	if len(s.policies.Boundary) > 0 {
		allows := e.Says("Allow", policy.Boundary) && !e.Says("Deny", policy.Boundary)
		o.Boundary = &allows
	}
	if s.own.place != nil && c.Account == s.own.account {
		linked := c.Session != nil && c.Session.ServiceLinked // no organization limits these
		o.Organization = new(linked || e.Allows(policy.ServiceControl))
	}
	return o, nil
}

// matched are the statements with an effect, of identity policies and of the
// resource's, that apply.
func matched(e policy.Explanation, effect string) []MatchedStatement {
	var out []MatchedStatement
	for _, t := range e.Policies {
		if t.Kind != policy.Identity && t.Kind != policy.Repository {
			continue
		}
		for _, s := range t.Statements {
			if s.Applies && s.Effect == effect {
				out = append(out, MatchedStatement{sourceID(t.Policy), t.Kind == policy.Repository, s.Start, s.End})
			}
		}
	}
	return out
}

// sourceID is what IAM's simulator calls a policy: a managed one by its name, an
// inline one as in user_alice_push.
func sourceID(name string) string {
	if strings.HasPrefix(name, "arn:") {
		return name[strings.LastIndexByte(name, '/')+1:]
	}
	return strings.ReplaceAll(name, "/", "_")
}
