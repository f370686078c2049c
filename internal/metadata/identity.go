package metadata

import (
	"database/sql"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"berth/internal/identity"
)

var _ identity.Tx = (*Tx)(nil)

// document is a column that holds JSON.
type document struct{ v any }

// Scan implements [sql.Scanner].
func (d document) Scan(v any) error {
	text, _ := v.(string)
	return json.Unmarshal([]byte(text), d.v)
}

// marshal returns what a document column holds of a list of strings or of tags,
// which is always JSON.
func marshal[T any](list []T) string {
	if list == nil {
		return "[]"
	}
	b, err := json.Marshal(list)
	if err != nil {
		panic(err) // strings only
	}
	return string(b)
}

// LockAccount implements [identity.AccountWriter].
func (tx *Tx) LockAccount(id string) error {
	if tx.locks == nil {
		return nil
	}
	return tx.rows(`SELECT id FROM accounts WHERE id = $1 FOR UPDATE`, []any{id}, func(*sql.Rows) error { return nil })
}

// InsertAccount implements [identity.AccountWriter].
func (tx *Tx) InsertAccount(a identity.Account) (bool, error) {
	n, err := tx.exec(`INSERT INTO accounts (id, alias, created_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING`,
		a.ID, a.Alias, micros(a.CreatedAt))
	return n > 0, err
}

// SetAlias implements [identity.AccountWriter].
func (tx *Tx) SetAlias(account, alias string) error {
	return tx.change(`UPDATE accounts SET alias = $2 WHERE id = $1`, account, alias)
}

// Account implements [identity.AccountReader].
func (tx *Tx) Account(id string) (*identity.Account, error) {
	return tx.account(`SELECT id, alias, created_at FROM accounts WHERE id = $1`, id)
}

// HasAccount implements [access.PrincipalReader].
func (tx *Tx) HasAccount(id string) (bool, error) {
	a, err := tx.Account(id)
	return a != nil, err
}

// PrincipalARN implements [access.PrincipalReader].
func (tx *Tx) PrincipalARN(account, kind, key string) (string, error) {
	e, err := tx.Entity(account, identity.Kind(kind), key)
	if e == nil || err != nil {
		return "", err
	}
	return e.ARN(), nil
}

// AccountOfAlias implements [identity.AccountReader].
func (tx *Tx) AccountOfAlias(alias string) (*identity.Account, error) {
	return tx.account(`SELECT id, alias, created_at FROM accounts WHERE alias = $1 AND alias <> ''`, alias)
}

func (tx *Tx) account(query, arg string) (*identity.Account, error) {
	var a identity.Account
	found, err := tx.row(query, []any{arg}, &a.ID, &a.Alias, (*instant)(&a.CreatedAt))
	if err != nil || !found {
		return nil, err
	}
	return &a, nil
}

const entityColumns = `e.id, e.account, e.kind, e.name, e.path, e.description, e.tags, e.boundary, e.trust, e.service, e.max_session,
	e.default_version, e.last_version, e.created_at, e.updated_at`

// scanEntity reads entityColumns, and what comes after them.
func scanEntity(rows *sql.Rows, more ...any) (identity.Entity, error) {
	var e identity.Entity
	err := rows.Scan(append([]any{&e.ID, &e.Account, &e.Kind, &e.Name, &e.Path, &e.Description, document{&e.Tags}, &e.Boundary, &e.Trust, &e.Service,
		&e.MaxSession, &e.DefaultVersion, &e.LastVersion, (*instant)(&e.CreatedAt), (*instant)(&e.UpdatedAt)}, more...)...)
	return e, err
}

func (tx *Tx) entities(query string, args ...any) ([]identity.Entity, error) {
	out := []identity.Entity{}
	err := tx.rows(query, args, func(rows *sql.Rows) error {
		e, err := scanEntity(rows)
		out = append(out, e)
		return err
	})
	return out, err
}

func (tx *Tx) entity(query string, args ...any) (*identity.Entity, error) {
	found, err := tx.entities(query, args...)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// Entity implements [identity.EntityReader].
func (tx *Tx) Entity(account string, k identity.Kind, key string) (*identity.Entity, error) {
	return tx.entity(`SELECT `+entityColumns+` FROM iam_entities e WHERE e.account = $1 AND e.kind = $2 AND e.name_key = $3`,
		account, string(k), key)
}

// EntityByID implements [identity.EntityReader].
func (tx *Tx) EntityByID(id string) (*identity.Entity, error) {
	return tx.entity(`SELECT `+entityColumns+` FROM iam_entities e WHERE e.id = $1`, id)
}

// Entities implements [identity.EntityReader].
func (tx *Tx) Entities(account string, k identity.Kind, prefix, after string, limit int) ([]identity.Entity, error) {
	return tx.entities(`SELECT `+entityColumns+` FROM iam_entities e
		WHERE e.account = $1 AND e.kind = $2 AND e.name_key > $3 AND substr(e.path, 1, $4) = $5 ORDER BY e.name_key LIMIT $6`,
		account, string(k), after, utf8.RuneCountInString(prefix), prefix, limit)
}

// CountEntities implements [identity.EntityReader].
func (tx *Tx) CountEntities(account string, k identity.Kind) (int, error) {
	n := 0
	_, err := tx.row(`SELECT COUNT(*) FROM iam_entities WHERE account = $1 AND kind = $2`, []any{account, string(k)}, &n)
	return n, err
}

// MembersOf implements [identity.EntityReader].
func (tx *Tx) MembersOf(group, after string, limit int) ([]identity.Entity, error) {
	return tx.entities(`SELECT `+entityColumns+` FROM iam_members m JOIN iam_entities e ON e.id = m.user_id
		WHERE m.group_id = $1 AND e.name_key > $2 ORDER BY e.name_key LIMIT $3`, group, after, limit)
}

// GroupsOf implements [identity.EntityReader].
func (tx *Tx) GroupsOf(user, after string, limit int) ([]identity.Entity, error) {
	return tx.entities(`SELECT `+entityColumns+` FROM iam_members m JOIN iam_entities e ON e.id = m.group_id
		WHERE m.user_id = $1 AND e.name_key > $2 ORDER BY e.name_key LIMIT $3`, user, after, limit)
}

// InsertEntity implements [identity.EntityWriter].
func (tx *Tx) InsertEntity(e *identity.Entity) error {
	return tx.change(`INSERT INTO iam_entities (id, account, kind, created_at, name_key, name, path, description, tags, boundary, trust,
		service, max_session, default_version, last_version, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
		e.ID, e.Account, string(e.Kind), micros(e.CreatedAt), strings.ToLower(e.Name), e.Name, e.Path, e.Description, marshal(e.Tags), e.Boundary, e.Trust,
		e.Service, e.MaxSession, e.DefaultVersion, e.LastVersion, micros(e.UpdatedAt))
}

// UpdateEntity implements [identity.EntityWriter].
func (tx *Tx) UpdateEntity(e *identity.Entity) error {
	return tx.change(`UPDATE iam_entities SET name_key = $2, name = $3, path = $4, description = $5, tags = $6, boundary = $7,
		trust = $8, max_session = $9, default_version = $10, last_version = $11, updated_at = $12 WHERE id = $1`,
		e.ID, strings.ToLower(e.Name), e.Name, e.Path, e.Description, marshal(e.Tags), e.Boundary, e.Trust, e.MaxSession, e.DefaultVersion, e.LastVersion,
		micros(e.UpdatedAt))
}

// DeleteEntity implements [identity.EntityWriter].
func (tx *Tx) DeleteEntity(id string) error {
	for _, query := range []string{
		`DELETE FROM iam_policy_versions WHERE policy = $1`, `DELETE FROM service_bindings WHERE principal = $1`,
		`DELETE FROM revocations WHERE owner = $1`,
	} {
		if err := tx.change(query, id); err != nil {
			return err
		}
	}
	return tx.change(`DELETE FROM iam_entities WHERE id = $1`, id)
}

// AddMember implements [identity.EntityWriter].
func (tx *Tx) AddMember(group, user string) error {
	return tx.change(`INSERT INTO iam_members (group_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, group, user)
}

// RemoveMember implements [identity.EntityWriter].
func (tx *Tx) RemoveMember(group, user string) (bool, error) {
	n, err := tx.exec(`DELETE FROM iam_members WHERE group_id = $1 AND user_id = $2`, group, user)
	return n > 0, err
}

// Provider implements [identity.ProviderReader].
func (tx *Tx) Provider(account, url string) (*identity.Provider, error) {
	found, err := tx.providers(`SELECT account, url, clients, thumbprints, tags, created_at FROM oidc_providers WHERE account = $1 AND url = $2`,
		account, url)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// Providers implements [identity.ProviderReader].
func (tx *Tx) Providers(account string) ([]identity.Provider, error) {
	return tx.providers(`SELECT account, url, clients, thumbprints, tags, created_at FROM oidc_providers WHERE account = $1 ORDER BY url`, account)
}

func (tx *Tx) providers(query string, args ...any) ([]identity.Provider, error) {
	out := []identity.Provider{}
	err := tx.rows(query, args, func(rows *sql.Rows) error {
		var p identity.Provider
		err := rows.Scan(&p.Account, &p.URL, document{&p.Clients}, document{&p.Thumbprints}, document{&p.Tags}, (*instant)(&p.CreatedAt))
		out = append(out, p)
		return err
	})
	return out, err
}

// PutProvider implements [identity.ProviderWriter].
func (tx *Tx) PutProvider(p identity.Provider) error {
	return tx.change(`INSERT INTO oidc_providers (account, url, clients, thumbprints, tags, created_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (account, url) DO UPDATE SET clients = excluded.clients, thumbprints = excluded.thumbprints, tags = excluded.tags`,
		p.Account, p.URL, marshal(p.Clients), marshal(p.Thumbprints), marshal(p.Tags), micros(p.CreatedAt))
}

// DeleteProvider implements [identity.ProviderWriter].
func (tx *Tx) DeleteProvider(account, url string) error {
	return tx.change(`DELETE FROM oidc_providers WHERE account = $1 AND url = $2`, account, url)
}

// KeyUse implements [identity.KeyReader].
func (tx *Tx) KeyUse(id string) (identity.Use, error) {
	var u identity.Use
	_, err := tx.row(`SELECT at, region, service FROM access_key_uses WHERE id = $1`, []any{id}, (*instant)(&u.At), &u.Region, &u.Service)
	return u, err
}

// RecordKeyUse implements [identity.KeyWriter].
func (tx *Tx) RecordKeyUse(id string, u identity.Use) error {
	return tx.change(`INSERT INTO access_key_uses (id, at, region, service) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET at = excluded.at, region = excluded.region, service = excluded.service
		WHERE access_key_uses.at < excluded.at`, id, micros(u.At), u.Region, u.Service)
}
