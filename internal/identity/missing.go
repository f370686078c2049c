package identity

import (
	"strings"

	"berth/internal/access"
	"berth/internal/policy"
)

var _ access.PrincipalSource = (*Directory)(nil)

// MissingPrincipals implements [access.PrincipalSource]. Of an account that is not
// here nothing is known: none of its principals is missing.
func (d *Directory) MissingPrincipals(tx access.PrincipalReader, arns []string) ([]string, error) {
	var missing []string
	for _, arn := range arns {
		there, err := d.mayBe(tx, arn)
		if err != nil {
			return nil, err
		}
		if !there {
			missing = append(missing, arn)
		}
	}
	return missing, nil
}

// mayBe reports whether an ARN is that of a principal that there is, or may be.
func (d *Directory) mayBe(tx access.PrincipalReader, arn string) (bool, error) {
	a, ok := policy.ParseARN(arn)
	kind, name, named := strings.Cut(a.Resource, "/")
	if !ok || !named {
		return true, nil // an account, or its root
	}
	if a.Account != d.account {
		there, err := tx.HasAccount(a.Account)
		if err != nil || !there {
			return true, err
		}
	}
	switch kind {
	case string(User), string(Role):
		name = name[strings.LastIndexByte(name, '/')+1:]
		found, err := tx.PrincipalARN(a.Account, kind, nameKey(name))
		return found == arn, err
	case "assumed-role":
		name, _, _ = strings.Cut(name, "/")
		found, err := tx.PrincipalARN(a.Account, string(Role), nameKey(name))
		return found[strings.LastIndexByte(found, '/')+1:] == name, err
	}
	return true, nil
}
