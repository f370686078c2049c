package identity

import (
	"crypto/rand"
	"strings"
	"time"
)

// Kind is a kind of entity, as ARNs have it.
type Kind string

// The kinds of entities. They are what has a name, a path and an id of its own.
const (
	User   Kind = "user"
	Group  Kind = "group"
	Role   Kind = "role"
	Policy Kind = "policy"
)

// title is the kind in the names of operations.
func (k Kind) title() string { return strings.ToUpper(string(k[:1])) + string(k[1:]) }

// plural is the kind in the names of operations that list.
func (k Kind) plural() string {
	if k == Policy {
		return "Policies"
	}
	return k.title() + "s"
}

// idPrefixes are what the ids of entities begin with, as AWS has it.
var idPrefixes = map[Kind]string{User: "AIDA", Group: "AGPA", Role: "AROA", Policy: "ANPA"}

// Tag is a tag of an entity.
type Tag struct{ Key, Value string }

// Entity is a user, a group, a role or a managed policy.
type Entity struct {
	ID, Account string
	Kind        Kind
	Name, Path  string
	Description string
	Tags        []Tag  // in the order of their keys
	Boundary    string // the ARN of the policy that is its permissions boundary; "" for none
	CreatedAt   time.Time
	UpdatedAt   time.Time

	// Of a role.
	Trust      string // who may assume it
	Service    string // that it is linked to; "" for none
	MaxSession int64  // seconds

	// Of a managed policy.
	DefaultVersion, LastVersion int64
}

// ARN returns the entity's name in the whole of AWS.
func (e *Entity) ARN() string {
	return "arn:aws:iam::" + e.Account + ":" + string(e.Kind) + e.Path + e.Name
}

// newID returns a fresh id of AWS's shape: a prefix and 17 letters and digits.
func newID(k Kind) string { return idPrefixes[k] + rand.Text()[:17] }

// nameKey is what must be unique about a name.
func nameKey(name string) string { return strings.ToLower(name) }

// conditions are the condition keys that an entity with tags sets.
func (e *Entity) conditions() map[string][]string {
	out := map[string][]string{}
	for _, t := range e.Tags {
		out["aws:ResourceTag/"+t.Key] = []string{t.Value}
		out["iam:ResourceTag/"+t.Key] = []string{t.Value}
	}
	return out
}
