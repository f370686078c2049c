package keys

import (
	"context"
	"slices"
	"strings"

	"berth/internal/access"
	"berth/internal/page"
)

const (
	reserved      = "alias/aws/"
	maxAliases    = 50 // of a key
	aliasPage     = 50
	aliasPageMost = 100
)

func checkAlias(name string) error {
	switch {
	case !strings.HasPrefix(name, "alias/"):
		return errValidation(`Alias must start with the prefix "alias/". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html`)
	case strings.HasPrefix(name, reserved):
		return errAliasName("Aliases that begin with %s are reserved for AWS.", reserved)
	case !aliasText.MatchString(name):
		return errAliasName("The alias name %.256s is not valid.", name)
	}
	return nil
}

// aliasARN is what policies are asked about of an alias.
func (q *request) aliasARN(name string) string {
	if !aliasText.MatchString(name) {
		return "*"
	}
	return arnOf(q.call.Account, q.call.Region, name)
}

// CreateAlias gives a key of the account another name. Who asks must be allowed it on
// both. Errors: AlreadyExistsException, NotFoundException, InvalidAliasNameException,
// LimitExceededException, KMSInvalidStateException, ValidationException.
func (k *Keyring) CreateAlias(ctx context.Context, c access.Call, name, ref string) error {
	q := &request{call: c, event: "CreateAlias", params: params{"aliasName": name, "targetKeyId": ref}}
	return k.update(ctx, q, c.Account, func(tx Tx) error {
		if err := k.decide(ctx, q, c.Account, q.aliasARN(name)); err != nil {
			return err
		}
		key, err := k.aliased(ctx, tx, q, name, ref)
		if err != nil {
			return err
		}
		there, err := tx.KMSAlias(c.Account, c.Region, name)
		if err != nil {
			return err
		}
		if there != nil {
			return errAliasExists(there.ARN())
		}
		now := k.time()
		return tx.PutKMSAlias(Alias{c.Account, c.Region, name, key.ID, now, now})
	})
}

// aliased returns the key that is to have an alias.
func (k *Keyring) aliased(ctx context.Context, tx ReadTx, q *request, name, ref string) (*Key, error) {
	key, err := k.open(ctx, tx, q, ref)
	if err != nil {
		return nil, err
	}
	if err := checkAlias(name); err != nil {
		return nil, err
	}
	if err := key.changeable(); err != nil {
		return nil, err
	}
	others, err := tx.KMSAliasesOf(key.ID)
	others = slices.DeleteFunc(others, func(a Alias) bool { return a.Name == name })
	if err == nil && len(others) >= maxAliases {
		err = errLimit("The number of aliases of a key has reached the limit of %d.", maxAliases)
	}
	return key, err
}

// openAlias reads an alias, and decides the call about it and the key that it names.
func (k *Keyring) openAlias(ctx context.Context, tx ReadTx, q *request, name string) (*Alias, error) {
	if err := k.decide(ctx, q, q.call.Account, q.aliasARN(name)); err != nil {
		return nil, err
	}
	if err := checkAlias(name); err != nil {
		return nil, err
	}
	a, err := tx.KMSAlias(q.call.Account, q.call.Region, name)
	if err != nil {
		return nil, err
	}
	if a == nil {
		return nil, errNoAlias(q.aliasARN(name))
	}
	_, err = k.open(ctx, tx, q, a.Key)
	q.resource = a.ARN()
	return a, err
}

// UpdateAlias makes an alias name another key. Who asks must be allowed it on the
// alias and both keys. Errors: NotFoundException, LimitExceededException,
// KMSInvalidStateException, InvalidAliasNameException, ValidationException.
func (k *Keyring) UpdateAlias(ctx context.Context, c access.Call, name, ref string) error {
	q := &request{call: c, event: "UpdateAlias", params: params{"aliasName": name, "targetKeyId": ref}}
	return k.update(ctx, q, c.Account, func(tx Tx) error {
		a, err := k.openAlias(ctx, tx, q, name)
		if err != nil {
			return err
		}
		key, err := k.aliased(ctx, tx, q, name, ref)
		if err != nil {
			return err
		}
		a.Key, a.UpdatedAt = key.ID, k.time()
		return tx.PutKMSAlias(*a)
	})
}

// DeleteAlias takes a name away. Who asks must be allowed it on the alias and the key.
// Errors: NotFoundException, InvalidAliasNameException, ValidationException.
func (k *Keyring) DeleteAlias(ctx context.Context, c access.Call, name string) error {
	q := &request{call: c, event: "DeleteAlias", params: params{"aliasName": name}}
	return k.update(ctx, q, c.Account, func(tx Tx) error {
		a, err := k.openAlias(ctx, tx, q, name)
		if err != nil {
			return err
		}
		return tx.DeleteKMSAlias(*a)
	})
}

// ListAliases returns the aliases of the account and region, or of one key, by name.
// Errors: InvalidMarkerException, InvalidArnException, NotFoundException.
func (k *Keyring) ListAliases(ctx context.Context, c access.Call, ref string, p Page) (out []Alias, next string, err error) {
	q := &request{call: c, event: "ListAliases", params: params{"keyId": ref}}
	name := func(a Alias) string { return a.Name }
	err = k.view(ctx, q, func(tx ReadTx) error {
		if err := k.decide(ctx, q, c.Account, "*"); err != nil {
			return err
		}
		l, err := k.listing(q, p, aliasPage, aliasPageMost, ref)
		if err != nil {
			return err
		}
		if ref == "" {
			found, err := tx.KMSAliases(c.Account, c.Region, l.After, l.Limit+1)
			out, next = page.Cut(l, found, name)
			return err
		}
		t, err := k.find(tx, q, ref)
		if err != nil {
			return err
		}
		if t.key == nil || t.account != c.Account {
			return t.missing
		}
		found, err := tx.KMSAliasesOf(t.key.ID)
		out, next = page.Pick(l, found, name)
		return err
	})
	return out, next, err
}
