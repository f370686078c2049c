package identity

import (
	"context"
	"fmt"
	"slices"

	"berth/internal/access"
	"berth/internal/policy"
)

// Policies implements [access.PolicySource]. A user's are those that [Directory.Principal]
// has found with its key, so that nothing is read while a call is decided.
func (d *Directory) Policies(ctx context.Context, c access.Caller) (access.Policies, error) {
	switch {
	case c.Policies != nil:
		return *c.Policies, nil
	case c.Type == access.Root:
		there, err := d.exists(ctx, c.Account)
		return access.Policies{Administrator: there}, err
	case c.Type != access.User:
		return access.Policies{}, nil
	}
	var out access.Policies
	err := d.store.View(ctx, func(tx ReadTx) error {
		user, err := tx.EntityByID(c.ID)
		if err != nil || user == nil {
			out = access.Policies{}
			return err
		}
		out, err = carried(tx, user)
		return err
	})
	return out, err
}

// carried returns the policies of a user or a role: its own, those of its groups,
// and its boundary.
func carried(tx ReadTx, e *Entity) (out access.Policies, err error) {
	owners := []Entity{*e}
	if e.Kind == User {
		groups, err := tx.GroupsOf(e.ID, "", maxCarriedGroups)
		if err != nil {
			return out, err
		}
		owners = append(owners, groups...)
	}
	for _, o := range owners {
		if out.Identity, err = appendOwned(tx, out.Identity, &o); err != nil {
			return out, err
		}
	}
	if e.Boundary != "" {
		limit, err := readManaged(tx, policy.Boundary, e.Account, e.Boundary)
		if err != nil {
			return out, err
		}
		out.Boundary = []policy.Attached{limit}
	}
	if len(e.Tags) > 0 {
		out.Tags = make(map[string]string, len(e.Tags))
		for _, t := range e.Tags {
			out.Tags[t.Key] = t.Value
		}
	}
	return out, nil
}

// maxCarriedGroups bounds the groups of a user, which are far fewer.
const maxCarriedGroups = 1000

// appendOwned appends the inline and the attached policies of an entity. The name
// of an inline policy is that of its entity and its own, as in user/alice/push;
// that of an attached one is its ARN.
func appendOwned(tx ReadTx, to []policy.Attached, e *Entity) ([]policy.Attached, error) {
	inline, err := tx.InlinePolicies(e.ID)
	if err != nil {
		return nil, err
	}
	for _, p := range inline {
		a, err := attachedIn(tx, policy.Identity, string(e.Kind)+"/"+e.Name+"/"+p.Name, p.Document)
		if err != nil {
			return nil, err
		}
		to = append(to, a)
	}
	arns, err := tx.Attachments(e.ID)
	if err != nil {
		return nil, err
	}
	for _, arn := range arns {
		a, err := readManaged(tx, policy.Identity, e.Account, arn)
		if err != nil {
			return nil, err
		}
		to = append(to, a)
	}
	return to, nil
}

// readManaged returns the default version of a managed policy. If there is none
// it has no statements: as a boundary it allows nothing.
func readManaged(tx ReadTx, k policy.Kind, account, arn string) (policy.Attached, error) {
	p, err := findPolicy(tx, account, arn)
	if err != nil || p == nil {
		return policy.Attached{Name: arn}, err
	}
	if isBuiltIn(p) {
		return attachedIn(tx, k, arn, builtInDocument(p))
	}
	versions, err := tx.Versions(p.ID)
	if err != nil {
		return policy.Attached{}, err
	}
	i := slices.IndexFunc(versions, func(v Version) bool { return v.Number == p.DefaultVersion })
	if i < 0 {
		return policy.Attached{}, fmt.Errorf("policy %s has no version %d", arn, p.DefaultVersion)
	}
	return attachedIn(tx, k, arn, versions[i].Document)
}

// attached parses a document that was good when it was stored. One that is not
// any more must not be passed over: it may deny.
func attached(k policy.Kind, name, document string) (policy.Attached, error) {
	p, err := policy.Parse(document, policy.Options{Kind: k})
	if err != nil {
		return policy.Attached{}, fmt.Errorf("read policy %s: %s", name, err.Error())
	}
	return policy.Attached{Name: name, Policy: p}, nil
}
