package identity

import (
	"context"

	"berth/internal/access"
	"berth/internal/page"
)

// Get returns a user, a group or a role. Without a name it is the user who asks;
// of an account's root the account is returned as a user without a name. Errors:
// NoSuchEntity, ValidationException.
func (d *Directory) Get(ctx context.Context, c access.Call, k Kind, name string) (*Entity, error) {
	q := &request{call: c, event: "Get" + k.title(), params: params{k.parameter(): name}}
	var out *Entity
	err := d.view(ctx, q, func(tx ReadTx) (err error) {
		if name == "" && k == User {
			out, err = d.self(ctx, tx, q)
		} else {
			out, err = d.open(ctx, tx, q, k, name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// self opens the user who asks. An account's root is an entity without a kind and
// a name, whose id is the account.
func (d *Directory) self(ctx context.Context, tx ReadTx, q *request) (*Entity, error) {
	c := q.call
	if c.Type != access.User {
		if err := d.decide(ctx, q, c.Account, q.arn("root"), nil); err != nil {
			return nil, err
		}
		if c.Type != access.Root {
			return nil, errValidation("Must specify userName when calling with non-User credentials")
		}
		a, err := tx.Account(c.Account)
		if err != nil || a == nil {
			return nil, err
		}
		return &Entity{ID: c.ID, Account: c.Account, Kind: "root", CreatedAt: a.CreatedAt}, nil
	}
	e, err := tx.EntityByID(c.ID)
	if err != nil {
		return nil, err
	}
	if e == nil { // it has been deleted since the request was signed
		err := d.decide(ctx, q, c.Account, c.ARN, nil)
		if err == nil {
			err = errNoSuch("The user with name %s cannot be found.", c.ARN)
		}
		return nil, err
	}
	return e, d.decide(ctx, q, c.Account, e.ARN(), e.conditions())
}

// userOrSelf opens the user named, or who asks.
func (d *Directory) userOrSelf(ctx context.Context, tx ReadTx, q *request, name string) (*Entity, error) {
	if name == "" {
		return d.self(ctx, tx, q)
	}
	return d.open(ctx, tx, q, User, name)
}

// List returns the users, groups or roles whose path begins with a prefix, by
// name.
func (d *Directory) List(ctx context.Context, c access.Call, k Kind, prefix string, p Page) (out []Entity, next string, err error) {
	if prefix == "" {
		prefix = "/"
	}
	q := &request{call: c, event: "List" + k.plural(), params: params{"pathPrefix": prefix}}
	err = d.view(ctx, q, func(tx ReadTx) error {
		if err := d.decide(ctx, q, c.Account, q.arn(string(k)+prefix), nil); err != nil {
			return err
		}
		l, err := d.listing(q, p, prefix)
		if err != nil {
			return err
		}
		found, err := tx.Entities(c.Account, k, prefix, l.After, l.Limit+1)
		out, next = page.Cut(l, found, entityKey)
		return err
	})
	return out, next, err
}

// Rename gives a user or a group another name, another path, or both; what is ""
// stays. Errors: NoSuchEntity, EntityAlreadyExists.
func (d *Directory) Rename(ctx context.Context, c access.Call, k Kind, name, newName, newPath string) error {
	q := &request{call: c, event: "Update" + k.title(), params: params{k.parameter(): name, "new" + k.title() + "Name": newName, "newPath": newPath}}
	return d.update(ctx, q, func(tx Tx) error {
		e, err := d.change(ctx, tx, q, k, name)
		if err != nil {
			return err
		}
		after := *e
		if newName != "" {
			after.Name = newName
		}
		if newPath != "" {
			after.Path = newPath
		}
		if err := d.decide(ctx, q, c.Account, after.ARN(), e.conditions()); err != nil {
			return err
		}
		if err := checkPath(after.Path); err != nil {
			return err
		}
		if nameKey(after.Name) != nameKey(e.Name) {
			there, err := tx.Entity(c.Account, k, nameKey(after.Name))
			if err != nil {
				return err
			}
			if there != nil {
				return errEntityExists(k, after.Name)
			}
		}
		after.UpdatedAt = d.time()
		return tx.UpdateEntity(&after)
	})
}

// Delete deletes a user, a group or a role that nothing depends on. Errors:
// NoSuchEntity, DeleteConflict, UnmodifiableEntity.
func (d *Directory) Delete(ctx context.Context, c access.Call, k Kind, name string) error {
	q := &request{call: c, event: "Delete" + k.title(), params: params{k.parameter(): name}}
	return d.update(ctx, q, func(tx Tx) error {
		e, err := d.change(ctx, tx, q, k, name)
		if err != nil {
			return err
		}
		if err := conflict(tx, e); err != nil {
			return err
		}
		return tx.DeleteEntity(e.ID)
	})
}

// conflict returns DeleteConflict if something depends on the entity.
func conflict(tx ReadTx, e *Entity) error {
	if err := linked(tx, e); err != nil {
		return err
	}
	inline, err := tx.InlinePolicies(e.ID)
	if err != nil {
		return err
	}
	if len(inline) > 0 {
		return errDeleteConflict("Cannot delete entity, must delete policies first.")
	}
	attached, err := tx.Attachments(e.ID)
	if err != nil {
		return err
	}
	if len(attached) > 0 {
		return errDeleteConflict("Cannot delete entity, must detach all policies first.")
	}
	return nil
}

// linked is conflict for keys and memberships.
func linked(tx ReadTx, e *Entity) error {
	var members []Entity
	var err error
	switch e.Kind {
	case User:
		keys, err := tx.AccessKeys(e.Account, e.ID)
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			return errDeleteConflict("Cannot delete entity, must delete access keys first.")
		}
		members, err = tx.GroupsOf(e.ID, "", 1)
		if err != nil {
			return err
		}
	case Group:
		if members, err = tx.MembersOf(e.ID, "", 1); err != nil {
			return err
		}
	}
	if len(members) > 0 {
		return errDeleteConflict("Cannot delete entity, must remove users from group first.")
	}
	return nil
}
