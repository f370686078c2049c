package identity

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"slices"

	"berth/internal/access"
	"berth/internal/page"
)

const maxKeys = 2 // of a user, or of an account's root

// newKey returns a fresh access key of AWS's shape and how it is stored.
func (d *Directory) newKey(account, owner string) (AccessKey, Key) {
	secret := make([]byte, 30)
	rand.Read(secret) // never fails, see crypto/rand
	k := AccessKey{"AKIA" + rand.Text()[:16], base64.StdEncoding.EncodeToString(secret)}
	return k, Key{
		ID: k.ID, Account: account, Owner: owner, Sealed: d.secrets.Seal([]byte(k.Secret), k.ID), Active: true, CreatedAt: d.time(),
	}
}

// owner is who the keys of a user, or of the root as self returns it, belong to.
func owner(e *Entity) string {
	if e.Kind != User {
		return ""
	}
	return e.ID
}

// keysOf returns the keys of a user, or of the root. The root of the first account
// has one that comes from the configuration.
func (d *Directory) keysOf(tx ReadTx, e *Entity) ([]Key, error) {
	keys, err := tx.AccessKeys(e.Account, owner(e))
	if owner(e) == "" && e.Account == d.account {
		keys = slices.Insert(keys, 0, Key{ID: d.root.ID, Account: d.account, Active: true, CreatedAt: e.CreatedAt})
	}
	return keys, err
}

// NewAccessKey is an access key and whose it is.
type NewAccessKey struct {
	AccessKey
	Key
	User string // "" for the account's root
}

// CreateAccessKey makes a key for a user, or without a name for who asks. The
// secret is never shown again. Errors: NoSuchEntity, LimitExceeded,
// ValidationException.
func (d *Directory) CreateAccessKey(ctx context.Context, c access.Call, user string) (out NewAccessKey, err error) {
	q := &request{call: c, event: "CreateAccessKey", params: params{"userName": user}}
	err = d.update(ctx, q, func(tx Tx) error {
		e, err := d.userOrSelf(ctx, tx, q, user)
		if err != nil {
			return err
		}
		keys, err := d.keysOf(tx, e)
		if err != nil {
			return err
		}
		if len(keys) >= maxKeys {
			return errQuota("AccessKeysPerUser", maxKeys)
		}
		out.User = e.Name
		out.AccessKey, out.Key = d.newKey(c.Account, owner(e))
		return tx.InsertAccessKey(out.Key)
	})
	if err != nil {
		return NewAccessKey{}, err
	}
	return out, nil
}

// ListAccessKeys returns the keys of a user, or without a name of who asks, and
// whose they are. Errors: NoSuchEntity, ValidationException.
func (d *Directory) ListAccessKeys(ctx context.Context, c access.Call, user string, p Page) (name string, keys []Key, next string, err error) {
	q := &request{call: c, event: "ListAccessKeys", params: params{"userName": user}}
	err = d.view(ctx, q, func(tx ReadTx) error {
		e, err := d.userOrSelf(ctx, tx, q, user)
		if err != nil {
			return err
		}
		l, err := d.listing(q, p, e.ID)
		if err != nil {
			return err
		}
		all, err := d.keysOf(tx, e)
		slices.SortFunc(all, func(a, b Key) int { return compare(a.ID, b.ID) })
		name = e.Name
		keys, next = page.Pick(l, all, func(k Key) string { return k.ID })
		return err
	})
	return name, keys, next, err
}

// UpdateAccessKey makes a key work, or no longer work. Errors: NoSuchEntity,
// ValidationException, UnmodifiableEntity for the key of the configuration.
func (d *Directory) UpdateAccessKey(ctx context.Context, c access.Call, user, id string, active bool) error {
	return d.changeKey(ctx, c, "UpdateAccessKey", user, id, func(tx Tx) error { return tx.SetAccessKeyStatus(id, active) })
}

// DeleteAccessKey deletes a key. Errors are those of UpdateAccessKey.
func (d *Directory) DeleteAccessKey(ctx context.Context, c access.Call, user, id string) error {
	return d.changeKey(ctx, c, "DeleteAccessKey", user, id, func(tx Tx) error { return tx.DeleteAccessKey(id) })
}

func (d *Directory) changeKey(ctx context.Context, c access.Call, event, user, id string, change func(Tx) error) error {
	q := &request{call: c, event: event, params: params{"userName": user, "accessKeyId": id}}
	return d.update(ctx, q, func(tx Tx) error {
		e, err := d.userOrSelf(ctx, tx, q, user)
		if err != nil {
			return err
		}
		keys, err := d.keysOf(tx, e)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(keys, func(k Key) bool { return k.ID == id })
		if i < 0 {
			return errNoKey(id)
		}
		if keys[i].Sealed == nil {
			return errUnmodifiable("The Access Key with id %s comes from the configuration of the server.", id)
		}
		return change(tx)
	})
}

// GetAccessKeyLastUsed returns when and for what a key of the account was used
// last, and the name of its user, "" for the root. Errors: NoSuchEntity.
func (d *Directory) GetAccessKeyLastUsed(ctx context.Context, c access.Call, id string) (user string, use Use, err error) {
	q := &request{call: c, event: "GetAccessKeyLastUsed", params: params{"accessKeyId": id}}
	err = d.view(ctx, q, func(tx ReadTx) error {
		e, err := d.keyOwner(tx, c.Account, id)
		if err != nil {
			return err
		}
		resource := "*"
		if e != nil {
			resource = e.ARN()
			user = e.Name
		}
		q.label = "access key " + id
		if err := d.decide(ctx, q, c.Account, resource, nil); err != nil {
			return err
		}
		if e == nil {
			return errNoKey(id)
		}
		use, err = tx.KeyUse(id)
		return err
	})
	if later, ok := d.uses.get(id); ok && later.At.After(use.At) {
		use = later
	}
	return user, use, err
}

// keyOwner returns whose key of an account it is, nil if it is nobody's there.
func (d *Directory) keyOwner(tx ReadTx, account, id string) (*Entity, error) {
	root := &Entity{Account: account, Kind: "root"}
	if id == d.root.ID && account == d.account {
		return root, nil
	}
	k, err := tx.AccessKey(id)
	if err != nil || k == nil || k.Account != account {
		return nil, err
	}
	if k.Owner == "" {
		return root, nil
	}
	return tx.EntityByID(k.Owner)
}
