package metadata

import (
	"database/sql"
	"encoding/json"
	"strings"
	"time"

	"berth/internal/keys"
	"berth/internal/registry"
)

var _ keys.Tx = (*Tx)(nil)

const kmsKeyColumns = `id, account, region, manager, state, description, policy, tags, created_at, deletion_at, deletion_days, rotation_days, rotation_at`

func (tx *Tx) kmsKeys(query string, args ...any) ([]keys.Key, error) {
	out := []keys.Key{}
	err := tx.rows(query, args, func(rows *sql.Rows) error {
		var k keys.Key
		err := rows.Scan(&k.ID, &k.Account, &k.Region, &k.Manager, &k.State, &k.Description, &k.Policy, document{&k.Tags}, (*instant)(&k.CreatedAt),
			(*instant)(&k.DeletionAt), &k.DeletionDays, &k.RotationDays, (*instant)(&k.RotationAt))
		out = append(out, k)
		return err
	})
	return out, err
}

// KMSKey implements [keys.KeyReader].
func (tx *Tx) KMSKey(id string) (*keys.Key, error) {
	found, err := tx.kmsKeys(`SELECT `+kmsKeyColumns+` FROM kms_keys WHERE id = $1`, id)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// KMSKeys implements [keys.KeyReader].
func (tx *Tx) KMSKeys(account, region, after string, limit int) ([]keys.Key, error) {
	return tx.kmsKeys(`SELECT `+kmsKeyColumns+` FROM kms_keys WHERE account = $1 AND region = $2 AND id > $3 ORDER BY id LIMIT $4`,
		account, region, after, limit)
}

// CountKMSKeys implements [keys.KeyReader].
func (tx *Tx) CountKMSKeys(account, region string) (int, error) {
	n := 0
	_, err := tx.row(`SELECT COUNT(*) FROM kms_keys WHERE account = $1 AND region = $2`, []any{account, region}, &n)
	return n, err
}

// KMSKeysToDelete implements [keys.KeyReader].
func (tx *Tx) KMSKeysToDelete(by time.Time, limit int) ([]keys.Key, error) {
	return tx.kmsKeys(`SELECT `+kmsKeyColumns+` FROM kms_keys WHERE deletion_at > 0 AND deletion_at <= $1 ORDER BY deletion_at, id LIMIT $2`,
		micros(by), limit)
}

// KMSKeysToRotate implements [keys.KeyReader].
func (tx *Tx) KMSKeysToRotate(by time.Time, limit int) ([]keys.Key, error) {
	return tx.kmsKeys(`SELECT `+kmsKeyColumns+` FROM kms_keys
		WHERE rotation_at > 0 AND rotation_at <= $1 AND state = $2 ORDER BY rotation_at, id LIMIT $3`, micros(by), string(keys.Enabled), limit)
}

// unusedGrant is what is said of a grant, of a time $1, if ECR has it for no repository.
const unusedGrant = `repository_uid <> '' AND created_at < $1 AND NOT EXISTS (
	SELECT 1 FROM repositories r WHERE r.uid = repository_uid AND r.deleted_at = 0)`

// KMSKeysWithUnusedGrants implements [keys.KeyReader].
func (tx *Tx) KMSKeysWithUnusedGrants(by time.Time, limit int) ([]keys.Key, error) {
	return tx.kmsKeys(`SELECT `+kmsKeyColumns+` FROM kms_keys
		WHERE id IN (SELECT key_id FROM kms_grants WHERE `+unusedGrant+`) ORDER BY id LIMIT $2`, micros(by), limit)
}

// KMSUnusedGrants implements [keys.GrantReader].
func (tx *Tx) KMSUnusedGrants(key string, by time.Time) ([]keys.Grant, error) {
	return tx.kmsGrants(`SELECT `+kmsGrantColumns+` FROM kms_grants WHERE `+unusedGrant+` AND key_id = $2 ORDER BY id`, micros(by), key)
}

// InsertKMSKey implements [keys.KeyWriter].
func (tx *Tx) InsertKMSKey(k *keys.Key) error {
	return tx.change(`INSERT INTO kms_keys (`+kmsKeyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		k.ID, k.Account, k.Region, k.Manager, string(k.State), k.Description, k.Policy, marshal(k.Tags), micros(k.CreatedAt),
		micros(k.DeletionAt), k.DeletionDays, k.RotationDays, micros(k.RotationAt))
}

// UpdateKMSKey implements [keys.KeyWriter].
func (tx *Tx) UpdateKMSKey(k *keys.Key) error {
	return tx.change(`UPDATE kms_keys SET state = $2, description = $3, policy = $4, tags = $5, deletion_at = $6, deletion_days = $7,
		rotation_days = $8, rotation_at = $9 WHERE id = $1`,
		k.ID, string(k.State), k.Description, k.Policy, marshal(k.Tags), micros(k.DeletionAt), k.DeletionDays, k.RotationDays, micros(k.RotationAt))
}

const kmsMaterialColumns = `key_id, number, id, origin, sealed, created_at`

// KMSMaterials implements [keys.MaterialReader].
func (tx *Tx) KMSMaterials(key string) ([]keys.Material, error) {
	out := []keys.Material{}
	err := tx.rows(`SELECT `+kmsMaterialColumns+` FROM kms_materials WHERE key_id = $1 ORDER BY number`, []any{key}, func(rows *sql.Rows) error {
		var m keys.Material
		err := rows.Scan(&m.Key, &m.Number, &m.ID, &m.Origin, &m.Sealed, (*instant)(&m.CreatedAt))
		out = append(out, m)
		return err
	})
	return out, err
}

// InsertKMSMaterial implements [keys.KeyWriter].
func (tx *Tx) InsertKMSMaterial(m keys.Material) error {
	return tx.change(`INSERT INTO kms_materials (`+kmsMaterialColumns+`) VALUES ($1, $2, $3, $4, $5, $6)`,
		m.Key, int64(m.Number), m.ID, m.Origin, m.Sealed, micros(m.CreatedAt))
}

// DestroyKMSKey implements [keys.KeyWriter].
func (tx *Tx) DestroyKMSKey(id string) error {
	for _, query := range []string{
		`DELETE FROM kms_materials WHERE key_id = $1`, `DELETE FROM kms_aliases WHERE key_id = $1`, `DELETE FROM kms_grants WHERE key_id = $1`,
		`DELETE FROM kms_keys WHERE id = $1`,
	} {
		if err := tx.change(query, id); err != nil {
			return err
		}
	}
	return nil
}

const kmsAliasColumns = `account, region, name, key_id, created_at, updated_at`

func (tx *Tx) kmsAliases(query string, args ...any) ([]keys.Alias, error) {
	out := []keys.Alias{}
	err := tx.rows(query, args, func(rows *sql.Rows) error {
		var a keys.Alias
		err := rows.Scan(&a.Account, &a.Region, &a.Name, &a.Key, (*instant)(&a.CreatedAt), (*instant)(&a.UpdatedAt))
		out = append(out, a)
		return err
	})
	return out, err
}

// KMSAlias implements [keys.AliasReader].
func (tx *Tx) KMSAlias(account, region, name string) (*keys.Alias, error) {
	found, err := tx.kmsAliases(`SELECT `+kmsAliasColumns+` FROM kms_aliases WHERE account = $1 AND region = $2 AND name = $3`, account, region, name)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// KMSAliases implements [keys.AliasReader].
func (tx *Tx) KMSAliases(account, region, after string, limit int) ([]keys.Alias, error) {
	return tx.kmsAliases(`SELECT `+kmsAliasColumns+` FROM kms_aliases WHERE account = $1 AND region = $2 AND name > $3 ORDER BY name LIMIT $4`,
		account, region, after, limit)
}

// KMSAliasesOf implements [keys.AliasReader].
func (tx *Tx) KMSAliasesOf(key string) ([]keys.Alias, error) {
	return tx.kmsAliases(`SELECT `+kmsAliasColumns+` FROM kms_aliases WHERE key_id = $1 ORDER BY name`, key)
}

// PutKMSAlias implements [keys.AliasWriter].
func (tx *Tx) PutKMSAlias(a keys.Alias) error {
	return tx.change(`INSERT INTO kms_aliases (`+kmsAliasColumns+`) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (account, region, name) DO UPDATE SET key_id = excluded.key_id, updated_at = excluded.updated_at`,
		a.Account, a.Region, a.Name, a.Key, micros(a.CreatedAt), micros(a.UpdatedAt))
}

// DeleteKMSAlias implements [keys.AliasWriter].
func (tx *Tx) DeleteKMSAlias(a keys.Alias) error {
	return tx.change(`DELETE FROM kms_aliases WHERE account = $1 AND region = $2 AND name = $3`, a.Account, a.Region, a.Name)
}

const kmsGrantColumns = `id, key_id, name, grantee, retiring, issuer, operations, subset, equal, repository, repository_uid, created_at`

func (tx *Tx) kmsGrants(query string, args ...any) ([]keys.Grant, error) {
	out := []keys.Grant{}
	err := tx.rows(query, args, func(rows *sql.Rows) error {
		var g keys.Grant
		err := rows.Scan(&g.ID, &g.Key, &g.Name, &g.Grantee, &g.Retiring, &g.Issuer, document{&g.Operations}, document{&g.Subset}, document{&g.Equal},
			&g.Repository, &g.RepositoryUID, (*instant)(&g.CreatedAt))
		out = append(out, g)
		return err
	})
	return out, err
}

// KMSGrant implements [keys.GrantReader].
func (tx *Tx) KMSGrant(id string) (*keys.Grant, error) {
	found, err := tx.kmsGrants(`SELECT `+kmsGrantColumns+` FROM kms_grants WHERE id = $1`, id)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// KMSGrants implements [keys.GrantReader].
func (tx *Tx) KMSGrants(key, grantee, after string, limit int) ([]keys.Grant, error) {
	if grantee == "" {
		return tx.kmsGrants(`SELECT `+kmsGrantColumns+` FROM kms_grants WHERE key_id = $1 AND id > $2 ORDER BY id LIMIT $3`, key, after, limit)
	}
	return tx.kmsGrants(`SELECT `+kmsGrantColumns+` FROM kms_grants WHERE key_id = $1 AND grantee = $2 AND id > $3 ORDER BY id LIMIT $4`,
		key, grantee, after, limit)
}

// KMSGrantsTo implements [keys.GrantReader].
func (tx *Tx) KMSGrantsTo(key string, grantees []string) ([]keys.Grant, error) {
	var out []keys.Grant
	for _, grantee := range grantees {
		found, err := tx.kmsGrants(`SELECT `+kmsGrantColumns+` FROM kms_grants WHERE key_id = $1 AND grantee = $2 AND repository = '' ORDER BY id`, key, grantee)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// KMSGrantsFor implements [keys.GrantReader].
func (tx *Tx) KMSGrantsFor(key, repository string) ([]keys.Grant, error) {
	return tx.kmsGrants(`SELECT `+kmsGrantColumns+` FROM kms_grants WHERE key_id = $1 AND repository = $2 AND repository <> ''`, key, repository)
}

// KMSRetirableGrants implements [keys.GrantReader].
func (tx *Tx) KMSRetirableGrants(retiring, account, region, after string, limit int) ([]keys.RetirableGrant, error) {
	out := []keys.RetirableGrant{}
	err := tx.rows(`SELECT g.id, g.key_id, g.name, g.grantee, g.issuer, g.operations, g.subset, g.equal, g.created_at, k.account, k.region
		FROM kms_grants g JOIN kms_keys k ON k.id = g.key_id
		WHERE g.retiring = $1 AND g.retiring <> '' AND g.id > $2 AND k.region = $3 AND ($4 = '' OR k.account = $4) ORDER BY g.id LIMIT $5`,
		[]any{retiring, after, region, account, limit}, func(rows *sql.Rows) error {
			g := keys.RetirableGrant{Grant: keys.Grant{Retiring: retiring}}
			err := rows.Scan(&g.ID, &g.Key, &g.Name, &g.Grantee, &g.Issuer, document{&g.Operations}, document{&g.Subset}, document{&g.Equal},
				(*instant)(&g.CreatedAt), &g.Account, &g.Region)
			out = append(out, g)
			return err
		})
	return out, err
}

// CountKMSGrants implements [keys.GrantReader].
func (tx *Tx) CountKMSGrants(key string) (int, error) {
	n := 0
	_, err := tx.row(`SELECT COUNT(*) FROM kms_grants WHERE key_id = $1`, []any{key}, &n)
	return n, err
}

// InsertKMSGrant implements [keys.GrantWriter].
func (tx *Tx) InsertKMSGrant(g keys.Grant) error {
	return tx.change(`INSERT INTO kms_grants (`+kmsGrantColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		g.ID, g.Key, g.Name, g.Grantee, g.Retiring, g.Issuer, marshal(g.Operations), texts(g.Subset), texts(g.Equal), g.Repository, g.RepositoryUID, micros(g.CreatedAt))
}

// DeleteKMSGrant implements [keys.GrantWriter].
func (tx *Tx) DeleteKMSGrant(id string) error {
	return tx.change(`DELETE FROM kms_grants WHERE id = $1`, id)
}

// RetireKeyGrants implements [registry.KeyGrantWriter].
func (tx *Tx) RetireKeyGrants(repo *registry.Repository) (int, error) {
	key := repo.Encryption.Key
	key = key[strings.LastIndexByte(key, '/')+1:]
	n := 0
	_, err := tx.row(`SELECT COUNT(*) FROM kms_grants WHERE key_id = $1 AND repository = $2 AND repository_uid = $3`,
		[]any{key, repo.ARN(), repo.UID}, &n)
	if err != nil || n == 0 {
		return 0, err
	}
	return n, tx.change(`DELETE FROM kms_grants WHERE key_id = $1 AND repository = $2 AND repository_uid = $3`, key, repo.ARN(), repo.UID)
}

// HasKeyGrants implements [registry.KeyGrantWriter].
func (tx *Tx) HasKeyGrants(ids []string) (bool, error) {
	for _, id := range ids {
		var one int
		if found, err := tx.row(`SELECT 1 FROM kms_grants WHERE id = $1`, []any{id}, &one); err != nil || !found {
			return false, err
		}
	}
	return true, nil
}

// texts returns what a document column holds of a map of texts.
func texts(m map[string]string) string {
	if len(m) == 0 {
		return "null"
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // texts only
	}
	return string(b)
}
