package access

import (
	"context"
	"crypto/rand"
	"strings"

	"berth/internal/fault"
	"berth/internal/policy"
)

// Refusal is a decision that refused access: what [fault.Error.Decision] is in the
// errors of [Authorizer.Decide]. It never changes. What it holds is not for who was
// refused.
type Refusal struct {
	ID       string
	Request  Request
	decision policy.Decision
	ask      policy.Request
	policies policy.Policies
	brief    bool
}

// Brief returns the refusal with an explanation that takes no work: the decision
// alone, without the statement that led to it.
func (r *Refusal) Brief() *Refusal {
	out := *r
	out.brief = true
	return &out
}

// Explain returns what the account may see that owns the resource, and what the
// caller's may, which is nil for callers without a login. If both are one account
// it sees all.
func (r *Refusal) Explain() (owner, caller *policy.Explanation) {
	e := policy.Explanation{Decision: r.decision, Policies: []policy.Testimony{}}
	if r.brief {
		e.Cut, e.By, e.With = true, policy.Source{Kind: r.decision.By.Kind, Level: r.decision.By.Level}, policy.Source{}
	} else if r.ask.Action != "" { // else it took no policy to decide
		e = policy.Explain(&r.ask, &r.policies)
		e.Decision = r.decision
		e = e.ForMember()
	}
	if r.Request.Caller.Type == Anonymous {
		return new(e.ForOwner()), nil
	}
	if r.Request.Account == r.Request.Caller.Account {
		return &e, &e
	}
	return new(e.ForOwner()), new(e.ForPrincipal())
}

// RefusalRecord is what is kept of a refusal.
type RefusalRecord struct {
	DecisionID string `json:"decisionId"`
	Action     string `json:"action,omitempty"`
	Resource   string `json:"resource,omitempty"`
	// Explanation is for the account that owns the resource, CallerExplanation for
	// the caller's, if that is another.
	Explanation       *policy.Explanation `json:"explanation,omitempty"`
	CallerExplanation *policy.Explanation `json:"callerExplanation,omitempty"`
}

// maxExplanation bounds the explanations of a record together, in bytes.
const maxExplanation = 16 << 10

// Record returns what is kept of the refusal. Of callers without a login it is the
// id alone: there is no end to them.
func (r *Refusal) Record() RefusalRecord {
	out := RefusalRecord{DecisionID: r.ID}
	if r.Request.Caller.Type == Anonymous {
		return out
	}
	out.Action, out.Resource = r.Request.Action, r.Request.Resource
	owner, caller := r.Explain()
	if owner == caller {
		out.Explanation = new(owner.Within(maxExplanation))
		return out
	}
	out.Explanation, out.CallerExplanation = new(owner.Within(maxExplanation/2)), new(caller.Within(maxExplanation/2))
	return out
}

// Explain decides a request as Decide does, and says why. Nothing is known of how
// the request would come (its address, its client, whether it is encrypted) but
// what given says: condition keys, which win over all others. Observe is not told.
func (a *Authorizer) Explain(ctx context.Context, r Request, given map[string][]string) (policy.Explanation, error) {
	decided := policy.Explanation{Policies: []policy.Testimony{}}
	if everybodyMay(r) {
		decided.Decision = policy.Decision{Allowed: true, Reason: policy.Everybody}
		return decided, nil
	}
	p, err := a.Source.Policies(ctx, r.Caller)
	if err != nil {
		return decided, err
	}
	if r.Caller.Type == Root && !p.Administrator {
		decided.Decision = noAllow(policy.Identity)
		return decided, nil
	}
	mine, owner, err := a.memberships(r)
	if err != nil {
		return decided, err
	}
	ask, having := a.ask(r, p, mine, owner, policy.AllKeys), policiesFor(r, p, mine, owner)
	for _, key := range []string{"aws:SourceIp", "aws:UserAgent", "aws:SecureTransport"} {
		ask.Context.Set(key)
	}
	for key, values := range given {
		ask.Context.Set(key, values...)
	}
	if p, ok := policy.PrincipalOf(r.Caller.ARN); ok && r.Caller.Type != Anonymous {
		p.ServiceLinked = ask.Principal.ServiceLinked
		ask.Principal = p
	}
	return policy.Explain(&ask, &having), nil
}

// RefusalOf returns the refusal that err stands for, nil if it is none.
func RefusalOf(err error) *Refusal {
	f, ok := fault.As(err)
	if !ok {
		return nil
	}
	r, _ := f.Decision.(*Refusal)
	return r
}

// NewDecisionID returns a random id that can be pasted: twenty letters and digits.
func NewDecisionID() string { return strings.ToLower(rand.Text()[:DecisionIDLength]) }

// DecisionIDLength is the length of the ids of decisions, which have 100 random
// bits.
const DecisionIDLength = 20

// denied returns ECR's refusal of r, which no policy was asked about.
func denied(r Request, d policy.Decision) *fault.Error {
	return refuse(&Refusal{Request: r, decision: d})
}

// deniedBy returns ECR's refusal of r by policies.
func deniedBy(r Request, d policy.Decision, ask policy.Request, p policy.Policies) *fault.Error {
	return refuse(&Refusal{Request: r, decision: d, ask: ask, policies: p})
}

func refuse(cause *Refusal) *fault.Error {
	cause.ID = NewDecisionID()
	cause.Request.Images = nil // the transaction that it reads in ends
	err := fault.New(fault.Denied, "AccessDeniedException", "%s", Sentence(cause.Request, cause.decision))
	err.DecisionID, err.Decision = cause.ID, cause
	return err
}

// Sentence returns what ECR says to a caller who may not.
func Sentence(r Request, d policy.Decision) string {
	who := r.Caller.ARN
	if who == "" {
		who = "anonymous"
	}
	return "User: " + who + " is not authorized to perform: " + r.Action + " on resource: " + r.Resource + d.Because(r.Action)
}
