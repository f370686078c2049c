package identity

import (
	"context"
	"slices"
	"strings"

	"berth/internal/access"
	"berth/internal/page"
)

const maxAttached = 10 // managed policies of an entity

func attachCall(c access.Call, event string, k Kind, name, arn string) *request {
	return &request{
		call: c, event: event, params: params{k.parameter(): name, "policyArn": arn}, context: map[string][]string{"iam:PolicyARN": {arn}},
	}
}

// Attach gives a user, a group or a role a managed policy, if it has not got it.
// Errors: NoSuchEntity, LimitExceeded, InvalidInput, UnmodifiableEntity.
func (d *Directory) Attach(ctx context.Context, c access.Call, k Kind, name, arn string) error {
	q := attachCall(c, "Attach"+k.title()+"Policy", k, name, arn)
	return d.update(ctx, q, func(tx Tx) error {
		e, err := d.change(ctx, tx, q, k, name)
		if err != nil {
			return err
		}
		p, err := findPolicy(tx, c.Account, arn)
		if err != nil {
			return err
		}
		if p == nil || strings.HasPrefix(p.Path, serviceRolePath) {
			return errNotAttachable(arn)
		}
		all, err := tx.Attachments(e.ID)
		if err != nil || slices.Contains(all, arn) {
			return err
		}
		if len(all) >= maxAttached {
			return errQuota("PoliciesPer"+k.title(), maxAttached)
		}
		return tx.Attach(c.Account, e.ID, arn)
	})
}

// Detach takes a managed policy from an entity. Errors: NoSuchEntity,
// InvalidInput, UnmodifiableEntity.
func (d *Directory) Detach(ctx context.Context, c access.Call, k Kind, name, arn string) error {
	q := attachCall(c, "Detach"+k.title()+"Policy", k, name, arn)
	return d.update(ctx, q, func(tx Tx) error {
		e, err := d.change(ctx, tx, q, k, name)
		if err != nil {
			return err
		}
		if _, err := findPolicy(tx, c.Account, arn); err != nil {
			return err
		}
		there, err := tx.Detach(e.ID, arn)
		if err == nil && !there {
			err = errNoPolicy(arn)
		}
		return err
	})
}

// ListAttached returns the ARNs of the managed policies of an entity whose path
// begins with a prefix. Errors: NoSuchEntity.
func (d *Directory) ListAttached(ctx context.Context, c access.Call, k Kind, name, prefix string, p Page) (arns []string, next string, err error) {
	q := &request{call: c, event: "ListAttached" + k.title() + "Policies", params: params{k.parameter(): name}}
	err = d.view(ctx, q, func(tx ReadTx) error {
		e, err := d.open(ctx, tx, q, k, name)
		if err != nil {
			return err
		}
		l, err := d.listing(q, p, e.ID, prefix)
		if err != nil {
			return err
		}
		all, err := tx.Attachments(e.ID)
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(arn string) bool { return !strings.HasPrefix(pathOf(arn), prefix) })
		// An ARN is too long for a marker; its name, which comes first in the place,
		// and the beginning of the rest are not.
		place := func(arn string) string { return attachmentPlace(arn) }
		slices.SortFunc(all, func(a, b string) int { return strings.Compare(place(a), place(b)) })
		arns, next = page.Pick(l, all, place)
		return nil
	})
	return arns, next, err
}

// attachmentPlace is the name of a policy and whose it is: no two policies that an
// account can see have both in common.
func attachmentPlace(arn string) string {
	owner := "b"
	if strings.HasPrefix(arn, builtInPrefix) {
		owner = "a"
	}
	return nameKey(NameOf(arn)) + "/" + owner
}

// NameOf returns the name of the policy that an ARN is of.
func NameOf(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// pathOf returns the path of the policy that an ARN is of.
func pathOf(arn string) string {
	first, last := strings.IndexByte(arn, '/'), strings.LastIndexByte(arn, '/')
	if first < 0 {
		return ""
	}
	return arn[first : last+1]
}

// EntityFilter says which entities that have a policy are wanted.
type EntityFilter struct {
	Kind     Kind   // "" for all
	Prefix   string // of the path
	Boundary bool   // those whose boundary it is, instead of those that it is attached to
}

// ListEntitiesForPolicy returns the entities that have a policy, in no order that
// means anything. Errors: NoSuchEntity, InvalidInput.
func (d *Directory) ListEntitiesForPolicy(ctx context.Context, c access.Call, arn string, f EntityFilter, p Page) (out []Entity, next string, err error) {
	q := &request{call: c, event: "ListEntitiesForPolicy", params: params{"policyArn": arn}}
	err = d.view(ctx, q, func(tx ReadTx) error {
		e, err := d.openPolicy(ctx, tx, q, arn)
		if err != nil {
			return err
		}
		l, err := d.listing(q, p, e.ID, string(f.Kind), f.Prefix)
		if err != nil {
			return err
		}
		out = []Entity{}
		for after := l.After; len(out) <= l.Limit; {
			found, err := tx.AttachedTo(c.Account, arn, f.Boundary, after, l.Limit+1)
			if err != nil {
				return err
			}
			for _, e := range found {
				if (f.Kind == "" || e.Kind == f.Kind) && strings.HasPrefix(e.Path, f.Prefix) {
					out = append(out, e)
				}
			}
			if len(found) <= l.Limit {
				break
			}
			after = found[len(found)-1].ID
		}
		out, next = page.Cut(l, out, func(e Entity) string { return e.ID })
		return nil
	})
	return out, next, err
}

// checkBoundary checks the permissions boundary of an entity. Errors:
// NoSuchEntity, InvalidInput.
func (d *Directory) checkBoundary(tx ReadTx, e *Entity) error {
	if e.Boundary == "" {
		return nil
	}
	p, err := findPolicy(tx, e.Account, e.Boundary)
	if err == nil && (p == nil || strings.HasPrefix(p.Path, serviceRolePath)) {
		err = errNoSuch("Scope ARN: %s does not exist or is not attachable.", e.Boundary)
	}
	return err
}

// PutBoundary makes a managed policy the permissions boundary of a user or a role.
// Errors: NoSuchEntity, InvalidInput, UnmodifiableEntity.
func (d *Directory) PutBoundary(ctx context.Context, c access.Call, k Kind, name, arn string) error {
	q := &request{call: c, event: "Put" + k.title() + "PermissionsBoundary", params: params{k.parameter(): name}}
	q.addBoundary(arn)
	return d.update(ctx, q, func(tx Tx) error {
		e, err := d.change(ctx, tx, q, k, name)
		if err != nil {
			return err
		}
		e.Boundary = arn
		if err := d.checkBoundary(tx, e); err != nil {
			return err
		}
		return tx.UpdateEntity(e)
	})
}

// DeleteBoundary removes the permissions boundary of a user or a role. Errors:
// NoSuchEntity, UnmodifiableEntity.
func (d *Directory) DeleteBoundary(ctx context.Context, c access.Call, k Kind, name string) error {
	q := &request{call: c, event: "Delete" + k.title() + "PermissionsBoundary", params: params{k.parameter(): name}}
	return d.update(ctx, q, func(tx Tx) error {
		e, err := d.change(ctx, tx, q, k, name)
		if err != nil {
			return err
		}
		if e.Boundary == "" {
			return errNoSuch("%s %s does not have a permissions boundary.", k.title(), e.Name)
		}
		e.Boundary = ""
		return tx.UpdateEntity(e)
	})
}
