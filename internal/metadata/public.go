package metadata

import (
	"encoding/json"
	"time"

	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

// Alias implements [registry.PublicReader].
func (tx *Tx) Alias(account string) (string, error) {
	return tx.publicName("alias", `SELECT alias FROM public_registries WHERE account = $1`, account)
}

// AccountByAlias implements [registry.PublicReader].
func (tx *Tx) AccountByAlias(alias string) (string, error) {
	return tx.publicName("account", `SELECT account FROM public_registries WHERE alias = $1`, alias)
}

// publicName returns the one value of a query with one argument, or "". Every
// pull from a public registry asks for it.
func (tx *Tx) publicName(name, query, arg string) (string, error) {
	k := memoKey{"public " + name, arg, "", ""}
	return remember(tx, k, some[string](300), func() (string, error) {
		value := ""
		_, err := tx.row(query, []any{arg}, &value)
		return value, err
	})
}

// InsertAlias implements [registry.PublicWriter].
func (tx *Tx) InsertAlias(account, alias string, at time.Time) error {
	tx.changed = true
	return tx.change(`INSERT INTO public_registries (account, alias, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		account, alias, micros(at))
}

// Catalog implements [registry.PublicReader].
func (tx *Tx) Catalog(repository string) (*registry.Catalog, error) {
	var c registry.Catalog
	document := ""
	found, err := tx.row(`SELECT document, logo_type, logo_digest FROM public_catalog WHERE repository = $1`,
		[]any{repository}, &document, &c.Logo.Type, &c.Logo.Digest)
	if err != nil || !found {
		return nil, err
	}
	c.Logo.Repository = repository
	return &c, json.Unmarshal([]byte(document), &c)
}

// Logo implements [registry.PublicReader].
func (tx *Tx) Logo(repository string, d digest.Digest) (registry.Logo, error) {
	l := registry.Logo{Repository: repository}
	found, err := tx.row(`SELECT logo_type, logo_digest, logo FROM public_catalog
		WHERE repository = $1 AND logo_digest = $2 AND EXISTS (SELECT 1 FROM repositories WHERE uid = $1 AND deleted_at = 0)`,
		[]any{repository, string(d)}, &l.Type, &l.Digest, &l.Content)
	if err != nil || !found {
		return registry.Logo{}, err
	}
	return l, nil
}

// PutCatalog implements [registry.PublicWriter].
func (tx *Tx) PutCatalog(repository string, c registry.Catalog) error {
	document, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return tx.change(`INSERT INTO public_catalog (repository, document, logo_type, logo_digest, logo) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (repository) DO UPDATE SET document = excluded.document, logo_type = excluded.logo_type,
			logo_digest = excluded.logo_digest, logo = excluded.logo`,
		repository, string(document), c.Logo.Type, string(c.Logo.Digest), c.Logo.Content)
}
