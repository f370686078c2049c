package policy

import (
	"fmt"
	"slices"
)

// Decision is the answer to a Request, and why.
type Decision struct {
	Allowed bool   `json:"allowed"`
	Reason  Reason `json:"reason"`
	// By is the statement that allowed or denied; if none allowed, the kind of
	// policy (and the level) that had to.
	By Source `json:"by,omitzero"`
	// With is the statement of the resource's policy that allowed too, where both
	// it and an identity policy had to.
	With Source `json:"with,omitzero"`
}

// Source says where in the policies something is. Numbers count from 1; 0 is none.
type Source struct {
	Kind      Kind   `json:"kind"`
	Level     int    `json:"level,omitempty"`     // of an organization's policies
	Index     int    `json:"index,omitempty"`     // of the policy among those of its kind and level
	Policy    string `json:"policy,omitempty"`    // its name
	Statement int    `json:"statement,omitempty"` // in the policy
	Sid       string `json:"sid,omitempty"`       // its Sid, if it has one
}

// Reason is why a decision is as it is.
type Reason int

// The reasons. The zero Reason is that of the zero Decision, a refusal.
const (
	NoAllow      Reason = iota // no statement of a kind of policy allows it
	ExplicitDeny               // a statement denies it
	Statement                  // a statement allows it
	AccountRoot                // the account's root may do everything in it
	Everybody                  // everybody may, whatever policies say
)

var reasons = [...]string{"no-allow", "explicit-deny", "statement", "account-root", "everybody"}

// MarshalText returns no-allow, explicit-deny, statement, account-root or
// everybody.
func (r Reason) MarshalText() ([]byte, error) { return []byte(reasons[r]), nil }

// UnmarshalText reads what MarshalText returns.
func (r *Reason) UnmarshalText(text []byte) error {
	i := slices.Index(reasons[:], string(text))
	if i < 0 {
		return fmt.Errorf("there is no reason %s", quote(string(text)))
	}
	*r = Reason(i)
	return nil
}

// Because returns the end of the sentence in which AWS refuses an action, with a
// space before it; "" if the decision allows.
func (d Decision) Because(action string) string {
	switch {
	case d.Allowed:
		return ""
	case d.Reason != ExplicitDeny:
		return " because no " + d.By.Kind.String() + " allows the " + action + " action"
	case d.By.Kind == Identity:
		return " with an explicit deny in an " + d.By.Kind.String()
	}
	return " with an explicit deny in a " + d.By.Kind.String()
}
