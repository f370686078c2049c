package registry

import (
	"context"
	"errors"
	"math/rand/v2"
	"regexp"

	"berth/internal/access"
)

// PublicRegion stands in an ID for the region of an account's public registry,
// which belongs to none. No region has such a name: see ValidRegion. Whatever
// is kept apart by account and region is so kept apart from all that is private.
const PublicRegion = "public"

// PublicAPIRegion is the one region in which the API of ECR Public answers.
const PublicAPIRegion = "us-east-1"

// maxPublicName is how long the name of a public repository can be.
const maxPublicName = 205

// Public reports whether the registry is a public one: everybody may pull from
// it.
func (id ID) Public() bool { return id.Region == PublicRegion }

// registryARN is the ARN of a public registry.
func (id ID) registryARN() string {
	return "arn:aws:ecr-public::" + id.Account + ":registry/" + id.Account
}

// service is the name of the service that the registry belongs to: the prefix of
// its actions.
func (id ID) service() string {
	if id.Public() {
		return "ecr-public"
	}
	return "ecr"
}

// apiRegion is the region in which calls about the registry are made.
func (id ID) apiRegion() string {
	if id.Public() {
		return PublicAPIRegion
	}
	return id.Region
}

const aliasPattern = `[a-z][a-z0-9]+(?:[._-][a-z0-9]+)*`

var aliasRegexp = regexp.MustCompile(`\A` + aliasPattern + `\z`)

// checkAlias returns InvalidParameterException if s cannot be an alias.
func checkAlias(s string) error {
	if len(s) < 2 || len(s) > 50 || !aliasRegexp.MatchString(s) {
		return invalidParameter("registryAliasName", "Member must satisfy regular expression pattern: "+aliasPattern)
	}
	return nil
}

// ResolveAlias returns the public registry that has an alias. Aliases are part
// of the URIs that everybody pulls from: everybody may ask. Errors:
// InvalidParameterException, RegistryNotFoundException.
func (r *Registry) ResolveAlias(ctx context.Context, alias string) (ID, error) {
	if err := checkAlias(alias); err != nil {
		return ID{}, err
	}
	account := ""
	err := r.store.View(ctx, func(tx ReadTx) error {
		var err error
		account, err = tx.AccountByAlias(alias)
		return err
	})
	if err == nil && account == "" {
		err = errRegistryNotFound(alias)
	}
	return ID{account, PublicRegion}, err
}

// publish makes a new repository, which is in a public registry, one that the
// public can find: with its catalog data, if there is any, in a registry with an
// alias.
func (r *Registry) publish(tx Tx, repo *Repository, c *Catalog) error {
	if len(repo.Name) > maxPublicName {
		return invalidParameter("repositoryName", "Member must have length less than or equal to 205")
	}
	if c != nil {
		if err := c.check(); err != nil {
			return err
		}
		if err := tx.PutCatalog(repo.UID, *c); err != nil {
			return err
		}
	}
	var err error
	repo.Alias, err = r.assignAlias(tx, repo.Account)
	return err
}

// assignAlias gives an account's public registry its default alias with its
// first repository, for good.
func (r *Registry) assignAlias(tx Tx, account string) (string, error) {
	for range 10 {
		alias, err := tx.Alias(account)
		if err != nil || alias != "" {
			return alias, err
		}
		if err := tx.InsertAlias(account, newAlias(), r.now()); err != nil {
			return "", err
		}
	}
	return "", errors.New("no random alias was free")
}

// withAlias fills in the alias of repositories, which are in one registry.
func withAlias(tx ReadTx, id ID, repos []Repository) error {
	if !id.Public() {
		return nil
	}
	alias, err := tx.Alias(id.Account)
	for i := range repos {
		repos[i].Alias = alias
	}
	return err
}

// newAlias returns a random alias of ECR's form: a letter, and seven letters or
// digits. It is no secret.
func newAlias() string {
	const letters, all = 26, "abcdefghijklmnopqrstuvwxyz0123456789"
	b := []byte{all[rand.IntN(letters)]}
	for len(b) < 8 {
		b = append(b, all[rand.IntN(len(all))])
	}
	return string(b)
}

// PublicRegistry is an account's public registry.
type PublicRegistry struct {
	ID
	Alias string // the default one, and the only one
}

// DescribeRegistriesInput is what DescribeRegistries is asked for.
type DescribeRegistriesInput struct {
	ID
	Page Page `json:"-"`
}

// DescribeRegistries returns the public registries of the account, of which
// there is one, from its first repository on. Errors: InvalidParameterException
// for a token: there are no further pages.
func (r *Registry) DescribeRegistries(ctx context.Context, c access.Caller, in DescribeRegistriesInput) ([]PublicRegistry, error) {
	var out []PublicRegistry
	q := request{caller: c, event: "DescribeRegistries", ref: Ref{ID: in.ID}, resource: in.registryARN(), params: in, readOnly: true}
	err := r.viewAll(ctx, q, func(tx ReadTx) error {
		out = nil
		if _, err := r.pages.open(in.Page.Token, "DescribeRegistries", in.ID); err != nil {
			return err
		}
		alias, err := tx.Alias(in.Account)
		if err == nil && alias != "" {
			out = []PublicRegistry{{in.ID, alias}}
		}
		return err
	})
	return out, err
}
