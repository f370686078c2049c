package identity

import (
	"context"
	"strings"

	"berth/internal/access"
	"berth/internal/policy"
)

var _ access.PrincipalSource = (*Directory)(nil)

// MissingPrincipals implements [access.PrincipalSource]. Of an account that is not
// here nothing is known: none of its principals is missing.
func (d *Directory) MissingPrincipals(ctx context.Context, arns []string) ([]string, error) {
	if len(arns) == 0 {
		return nil, nil
	}
	var missing []string
	err := d.store.View(ctx, func(tx ReadTx) error {
		missing = nil
		for _, arn := range arns {
			there, err := d.mayBe(tx, arn)
			if err != nil {
				return err
			}
			if !there {
				missing = append(missing, arn)
			}
		}
		return nil
	})
	return missing, err
}

// mayBe reports whether an ARN is that of a principal that there is, or may be.
func (d *Directory) mayBe(tx ReadTx, arn string) (bool, error) {
	a, ok := policy.ParseARN(arn)
	kind, name, named := strings.Cut(a.Resource, "/")
	if !ok || !named {
		return true, nil // an account, or its root
	}
	if a.Account != d.account {
		there, err := tx.Account(a.Account)
		if err != nil || there == nil {
			return true, err
		}
	}
	switch kind {
	case string(User), string(Role):
		name = name[strings.LastIndexByte(name, '/')+1:]
		e, err := tx.Entity(a.Account, Kind(kind), nameKey(name))
		return e != nil && e.ARN() == arn, err
	case "assumed-role":
		name, _, _ = strings.Cut(name, "/")
		e, err := tx.Entity(a.Account, Role, nameKey(name))
		return e != nil && e.Name == name, err
	}
	return true, nil
}
