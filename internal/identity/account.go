package identity

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"regexp"

	"berth/internal/access"
)

var accountID = regexp.MustCompile(`\A[0-9]{12}\z`)

// CreateAccount makes an account with the id given, or a random one, and returns
// its id and the access key of its root, which is never shown again. It joins the
// root of the organization, if there is one. It is for the
// administrator: the root of the first account. Errors: AccessDeniedException,
// InvalidInput, EntityAlreadyExists.
func (d *Directory) CreateAccount(ctx context.Context, c access.Call, id string) (string, AccessKey, error) {
	q := &request{call: c, service: "organizations", event: "CreateAccount", params: params{"accountId": id}}
	var key AccessKey
	made := id
	err := d.update(ctx, q, func(tx Tx) error {
		if err := d.decide(ctx, q, d.account, "*", nil); err != nil {
			return err
		}
		if id != "" && !accountID.MatchString(id) {
			return errInput("An account id has twelve digits.")
		}
		for {
			if id == "" {
				made = randomAccount()
			}
			inserted, err := tx.InsertAccount(Account{ID: made, CreatedAt: d.time()})
			if err != nil {
				return err
			}
			if inserted {
				break
			}
			if id != "" {
				return errExists("The account %s already exists.", id)
			}
		}
		q.params["accountId"] = made
		if err := d.join(tx, made); err != nil {
			return err
		}
		var stored Key
		key, stored = d.newKey(made, "")
		return tx.InsertAccessKey(stored)
	})
	if err != nil {
		return "", AccessKey{}, err
	}
	d.reread(ctx)
	return made, key, nil
}

func randomAccount() string {
	n, err := rand.Int(rand.Reader, big.NewInt(900_000_000_000))
	if err != nil {
		panic(err) // never, see crypto/rand
	}
	return fmt.Sprint(n.Int64() + 100_000_000_000)
}

// exists reports whether there is an account. Accounts are never deleted.
func (d *Directory) exists(ctx context.Context, account string) (bool, error) {
	if account == d.account {
		return true, nil
	}
	if _, ok := d.accounts.Load(account); ok {
		return true, nil
	}
	var a *Account
	err := d.store.View(ctx, func(tx ReadTx) error {
		var err error
		a, err = tx.Account(account)
		return err
	})
	if err == nil && a != nil {
		d.accounts.Store(account, true)
	}
	return a != nil, err
}

// CreateAccountAlias gives the account an alias, in place of the one it has.
// Errors: EntityAlreadyExists, InvalidInput.
func (d *Directory) CreateAccountAlias(ctx context.Context, c access.Call, alias string) error {
	q := &request{call: c, event: "CreateAccountAlias", params: params{"accountAlias": alias}}
	return d.update(ctx, q, func(tx Tx) error {
		if err := d.decide(ctx, q, c.Account, "*", nil); err != nil {
			return err
		}
		if accountID.MatchString(alias) {
			return errInput("An account alias must not be an account id.")
		}
		there, err := tx.AccountOfAlias(alias)
		if err != nil {
			return err
		}
		if there != nil {
			return errExists("The account alias %s already exists.", alias)
		}
		return tx.SetAlias(c.Account, alias)
	})
}

// DeleteAccountAlias takes the account's alias away. Errors: NoSuchEntity.
func (d *Directory) DeleteAccountAlias(ctx context.Context, c access.Call, alias string) error {
	q := &request{call: c, event: "DeleteAccountAlias", params: params{"accountAlias": alias}}
	return d.update(ctx, q, func(tx Tx) error {
		if err := d.decide(ctx, q, c.Account, "*", nil); err != nil {
			return err
		}
		a, err := tx.Account(c.Account)
		if err != nil {
			return err
		}
		if a == nil || a.Alias != alias {
			return errNoSuch("The account alias with name %s cannot be found.", alias)
		}
		return tx.SetAlias(c.Account, "")
	})
}

// AccountAlias returns the account's alias, "" if it has none.
func (d *Directory) AccountAlias(ctx context.Context, c access.Call) (alias string, err error) {
	q := &request{call: c, event: "ListAccountAliases"}
	err = d.view(ctx, q, func(tx ReadTx) error {
		if err := d.decide(ctx, q, c.Account, "*", nil); err != nil {
			return err
		}
		a, err := tx.Account(c.Account)
		if err == nil && a != nil {
			alias = a.Alias
		}
		return err
	})
	return alias, err
}

// AccountSummary returns how much there is of what in the account, and what the
// limits are, by IAM's names.
func (d *Directory) AccountSummary(ctx context.Context, c access.Call) (map[string]int32, error) {
	q := &request{call: c, event: "GetAccountSummary"}
	out := map[string]int32{
		"AccessKeysPerUserQuota": maxKeys, "GroupsPerUserQuota": maxGroups, "VersionsPerPolicyQuota": maxVersions, "PolicySizeQuota": maxManaged,
		"AttachedPoliciesPerUserQuota": maxAttached, "AttachedPoliciesPerGroupQuota": maxAttached, "AttachedPoliciesPerRoleQuota": maxAttached,
		"UserPolicySizeQuota": int32(maxInline[User]), "GroupPolicySizeQuota": int32(maxInline[Group]), "RolePolicySizeQuota": int32(maxInline[Role]),
		"AssumeRolePolicySizeQuota": maxTrust,
	}
	err := d.view(ctx, q, func(tx ReadTx) error {
		if err := d.decide(ctx, q, c.Account, "*", nil); err != nil {
			return err
		}
		for k, most := range maxEntities {
			n, err := tx.CountEntities(c.Account, k)
			if err != nil {
				return err
			}
			out[k.plural()], out[k.plural()+"Quota"] = int32(n), int32(most)
		}
		keys, err := d.keysOf(tx, &Entity{Account: c.Account, Kind: "root"})
		if err != nil {
			return err
		}
		out["AccountAccessKeysPresent"] = int32(min(len(keys), 1))
		providers, err := tx.Providers(c.Account)
		out["Providers"] = int32(len(providers))
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// begin makes the first account, if there is none.
func (d *Directory) begin(ctx context.Context) error {
	err := d.store.Keep(ctx, func(tx Tx) error {
		made, err := tx.InsertAccount(Account{ID: d.account, CreatedAt: d.time()})
		if err == nil && made {
			err = d.join(tx, d.account)
		}
		return err
	})
	if err != nil {
		return err
	}
	return d.readOrganization(ctx, rosterLife)
}
