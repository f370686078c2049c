package policy

import (
	"encoding/json"
	"slices"
	"strings"
)

// Explanation is a [Decision] and what each policy had to say.
type Explanation struct {
	Decision
	// Policies are all that were asked, in the order of Source.
	Policies []Testimony `json:"policies"`
	// Cut is true if the explanation was too long to be whole.
	Cut bool `json:"cut,omitempty"`
}

// Testimony is what one policy says to a request.
type Testimony struct {
	Kind   Kind   `json:"kind"`
	Level  int    `json:"level,omitempty"` // as in Source
	Index  int    `json:"index"`
	Policy string `json:"policy,omitempty"`
	// Statements are those about the request's action and resource.
	Statements []StatementTestimony `json:"statements"`
	// Missing are the condition keys that the request does not have and that these
	// statements read, or the resources of others about its action, as the policy
	// spells them.
	Missing []string `json:"missing,omitempty"`
}

// StatementTestimony is what a statement about the request's action and resource
// says to it.
type StatementTestimony struct {
	Statement  int               `json:"statement"`
	Sid        string            `json:"sid,omitempty"`
	Effect     string            `json:"effect"`    // Allow or Deny
	Principal  bool              `json:"principal"` // whether it is about the request's principal
	Applies    bool              `json:"applies"`   // to this request: the principal and all conditions
	Conditions []ConditionResult `json:"conditions,omitempty"`
	// Hidden is true if the statement reads what is not for the reader to know:
	// whether it applies, and its conditions, are then left out.
	Hidden bool `json:"hidden,omitempty"`

	// Start and End are where the statement is in the policy's text.
	Start Position `json:"-"`
	End   Position `json:"-"`

	finds []string // keys that Resource reads, in lower case
	reads []string // keys that the conditions read, in lower case
}

// ConditionResult is what came of one condition.
type ConditionResult struct {
	Operator string   `json:"operator"`
	Key      string   `json:"key"`
	Values   []string `json:"values"`            // the policy's
	Request  []string `json:"request,omitempty"` // the request's; none if the key is not there
	Holds    bool     `json:"holds"`
}

// Explain decides a request as [Decide] does, and says how every policy comes to
// what it says. It takes memory; it is not for the way of every request.
func Explain(r *Request, p *Policies) Explanation {
	e := Explanation{Decision: Decide(r, p), Policies: []Testimony{}}
	bounded := len(p.Boundary) > 0
	hear := func(k Kind, level int, list []Attached) {
		for i := range list {
			e.Policies = append(e.Policies, r.hear(Source{Kind: k, Level: level, Index: i + 1}, list[i], bounded))
		}
	}
	hear(Identity, 0, p.Identity)
	hear(Boundary, 0, p.Boundary)
	hear(Session, 0, p.Session)
	hear(Repository, 0, p.Repository)
	hear(Registry, 0, p.Registry)
	hear(Trust, 0, p.Trust)
	hear(Key, 0, p.Key)
	hear(Endpoint, 0, p.Endpoint)
	for i := range p.ServiceControl {
		hear(ServiceControl, i+1, p.ServiceControl[i])
	}
	for i := range p.ResourceControl {
		hear(ResourceControl, i+1, p.ResourceControl[i])
	}
	return e
}

// hear has a policy testify.
func (r *Request) hear(at Source, a Attached, bounded bool) Testimony {
	t := Testimony{Kind: at.Kind, Level: at.Level, Index: at.Index, Policy: a.Name, Statements: []StatementTestimony{}}
	if a.Policy == nil {
		return t
	}
	spans := a.spans()
	for i := range a.statements {
		s := &a.statements[i]
		read := s.resourceKeys()
		if s.concerns(r) {
			said := s.testify(i+1, r, bounded)
			if i < len(spans) {
				said.Start, said.End = spans[i].start, spans[i].end
			}
			t.Statements = append(t.Statements, said)
			read = append(read, s.conditionKeys()...)
		} else if !s.hasAction(r.Action) {
			continue
		}
		for _, key := range read {
			if len(r.Context.Values(key)) == 0 && !slices.Contains(t.Missing, key) {
				t.Missing = append(t.Missing, key)
			}
		}
	}
	return t
}

func (s *statement) testify(number int, r *Request, bounded bool) StatementTestimony {
	_, applies := s.applies(r, bounded)
	t := StatementTestimony{
		Statement: number, Sid: s.sid, Effect: "Allow", Applies: applies,
		Principal: s.principals == nil || s.names(&r.Principal, bounded) != toNobody,
	}
	if s.deny {
		t.Effect = "Deny"
	}
	t.finds, t.reads = lower(s.resourceKeys()), lower(s.conditionKeys())
	for i := range s.conditions {
		c := &s.conditions[i]
		t.Conditions = append(t.Conditions, ConditionResult{
			Operator: c.written.operator, Key: c.written.key, Values: c.written.values,
			Request: r.Context.Values(c.key), Holds: c.holds(r.Context),
		})
	}
	return t
}

// conditionKeys are the keys that a statement's conditions read, variables
// included.
func (s *statement) conditionKeys() []string {
	var out []string
	for i := range s.conditions {
		c := &s.conditions[i]
		out = append(out, c.written.key)
		for j := range c.values {
			out = c.values[j].pattern.keys(out)
		}
	}
	return out
}

// resourceKeys are the keys of the variables in Resource.
func (s *statement) resourceKeys() []string {
	var out []string
	for i := range s.resources {
		out = s.resources[i].keys(out)
	}
	return out
}

func lower(list []string) []string {
	for i := range list {
		list[i] = strings.ToLower(list[i])
	}
	return list
}

// keys appends the keys of the pattern's variables, as they are written.
func (p *pattern) keys(to []string) []string {
	for i := range p.pieces {
		if key := p.pieces[i].key; key != "" {
			at := strings.Index(strings.ToLower(p.source), key)
			if at >= 0 && at+len(key) <= len(p.source) && strings.EqualFold(p.source[at:at+len(key)], key) {
				key = p.source[at : at+len(key)]
			}
			to = append(to, key)
		}
	}
	return to
}

// Length returns how long the policy's text is, in bytes.
func (p *Policy) Length() int {
	if p == nil {
		return 0
	}
	return len(p.text)
}

// Size returns the number of statements of a policy, none of nil.
func (p *Policy) Size() int {
	if p == nil {
		return 0
	}
	return len(p.statements)
}

// Missing returns the condition keys that policies of some kinds read and the
// request does not have, each once.
func (e Explanation) Missing(kinds ...Kind) []string {
	var out []string
	for _, t := range e.Policies {
		if !slices.Contains(kinds, t.Kind) {
			continue
		}
		for _, key := range t.Missing {
			if !slices.ContainsFunc(out, func(s string) bool { return strings.EqualFold(s, key) }) {
				out = append(out, key)
			}
		}
	}
	return out
}

// Says reports whether a statement with an effect, in a policy of a kind, applies.
func (e Explanation) Says(effect string, k Kind) bool {
	for _, t := range e.Policies {
		for _, s := range t.Statements {
			if t.Kind == k && s.Effect == effect && s.Applies {
				return true
			}
		}
	}
	return false
}

// What is left of long explanations.
const (
	cutValues = 8
	cutText   = 128
)

// Within returns the explanation, cut so that its JSON is no longer than most
// bytes: first long values are cut, then statements that do not apply are left
// out, then all policies. The decision itself stays.
func (e Explanation) Within(most int) Explanation {
	for _, cut := range []func(*Testimony){shorten, onlyApplying} {
		if e.fits(most) {
			return e
		}
		e.Cut, e.Policies = true, slices.Clone(e.Policies)
		for i := range e.Policies {
			cut(&e.Policies[i])
		}
	}
	if !e.fits(most) {
		e.Policies = []Testimony{}
	}
	return e
}

func (e Explanation) fits(most int) bool {
	b, err := json.Marshal(e)
	return err == nil && len(b) <= most
}

// shorten cuts the values of conditions.
func shorten(t *Testimony) {
	t.Statements = slices.Clone(t.Statements)
	for i := range t.Statements {
		s := &t.Statements[i]
		s.Conditions = slices.Clone(s.Conditions)
		for j := range s.Conditions {
			c := &s.Conditions[j]
			c.Values, c.Request, c.Key = shortened(c.Values), shortened(c.Request), shortText(c.Key)
		}
	}
	t.Missing = shortened(t.Missing)
}

func shortened(list []string) []string {
	out := slices.Clone(list[:min(len(list), cutValues)])
	for i := range out {
		out[i] = shortText(out[i])
	}
	if len(list) > cutValues {
		out = append(out, "...")
	}
	return out
}

func shortText(s string) string {
	if len(s) <= cutText {
		return s
	}
	return strings.ToValidUTF8(s[:cutText], "") + "..."
}

// onlyApplying leaves out what does not apply.
func onlyApplying(t *Testimony) {
	t.Statements = slices.DeleteFunc(slices.Clone(t.Statements), func(s StatementTestimony) bool { return !s.Applies })
	t.Missing = nil
}
