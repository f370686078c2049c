package identity

import (
	"context"

	"berth/internal/access"
	"berth/internal/page"
	"berth/internal/policy"
)

// maxInline is how many characters the inline policies of an entity may have
// together.
var maxInline = map[Kind]int{User: 2048, Group: 5120, Role: 10240}

func inlineCall(c access.Call, verb string, k Kind, name, inline string) *request {
	return &request{call: c, event: verb + k.title() + "Policy", params: params{k.parameter(): name, "policyName": inline}}
}

// PutInline makes a policy part of a user, a group or a role, in place of one of
// its name. Errors: NoSuchEntity, MalformedPolicyDocument, LimitExceeded,
// UnmodifiableEntity.
func (d *Directory) PutInline(ctx context.Context, c access.Call, k Kind, name string, p InlinePolicy) error {
	q := inlineCall(c, "Put", k, name, p.Name)
	return d.update(ctx, q, func(tx Tx) error {
		e, err := d.change(ctx, tx, q, k, name)
		if err != nil {
			return err
		}
		if err := checkDocument(policy.Identity, p.Document); err != nil {
			return err
		}
		all, err := tx.InlinePolicies(e.ID)
		if err != nil {
			return err
		}
		size := documentSize(p.Document)
		for _, there := range all {
			if there.Name != p.Name {
				size += documentSize(there.Document)
			}
		}
		if most := maxInline[k]; size > most {
			return errLimit("Maximum policy size of %d bytes exceeded for %s %s", most, k, e.Name)
		}
		return tx.PutInlinePolicy(e.ID, p)
	})
}

// GetInline returns a policy that is part of an entity, and the entity. Errors:
// NoSuchEntity.
func (d *Directory) GetInline(ctx context.Context, c access.Call, k Kind, name, inline string) (e *Entity, out InlinePolicy, err error) {
	q := inlineCall(c, "Get", k, name, inline)
	err = d.view(ctx, q, func(tx ReadTx) error {
		var err error
		if e, err = d.open(ctx, tx, q, k, name); err != nil {
			return err
		}
		all, err := tx.InlinePolicies(e.ID)
		if err != nil {
			return err
		}
		for _, out = range all {
			if out.Name == inline {
				return nil
			}
		}
		return errNoInline(k, inline)
	})
	return e, out, err
}

func errNoInline(k Kind, inline string) error {
	return errNoSuch("The %s policy with name %s cannot be found.", k, inline)
}

// DeleteInline removes a policy that is part of an entity. Errors: NoSuchEntity,
// UnmodifiableEntity.
func (d *Directory) DeleteInline(ctx context.Context, c access.Call, k Kind, name, inline string) error {
	q := inlineCall(c, "Delete", k, name, inline)
	return d.update(ctx, q, func(tx Tx) error {
		e, err := d.change(ctx, tx, q, k, name)
		if err != nil {
			return err
		}
		there, err := tx.DeleteInlinePolicy(e.ID, inline)
		if err == nil && !there {
			err = errNoInline(k, inline)
		}
		return err
	})
}

// ListInline returns the names of the policies that are part of an entity.
// Errors: NoSuchEntity.
func (d *Directory) ListInline(ctx context.Context, c access.Call, k Kind, name string, p Page) (names []string, next string, err error) {
	q := &request{call: c, event: "List" + k.title() + "Policies", params: params{k.parameter(): name}}
	err = d.view(ctx, q, func(tx ReadTx) error {
		e, err := d.open(ctx, tx, q, k, name)
		if err != nil {
			return err
		}
		l, err := d.listing(q, p, e.ID)
		if err != nil {
			return err
		}
		all, err := tx.InlinePolicies(e.ID)
		names = []string{}
		for _, there := range all {
			names = append(names, there.Name)
		}
		names, next = page.Pick(l, names, func(s string) string { return s })
		return err
	})
	return names, next, err
}
