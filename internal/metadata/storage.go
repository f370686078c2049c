package metadata

import "berth/internal/registry"

// StorageUsed implements [registry.StorageReader].
func (tx *Tx) StorageUsed(q registry.StorageQuota) (int64, error) {
	var bytes int64
	_, err := tx.row(`SELECT bytes FROM storage_quotas WHERE account = $1 AND prefix = $2`, []any{q.Account, q.Prefix}, &bytes)
	return bytes, err
}

// CountStorage implements [registry.StorageWriter].
func (tx *Tx) CountStorage(q registry.StorageQuota) error {
	var one int
	found, err := tx.row(`SELECT 1 FROM storage_quotas WHERE account = $1 AND prefix = $2`, []any{q.Account, q.Prefix}, &one)
	if err != nil || found {
		return err
	}
	// Who adds to repository_storage looks for sums to add to after that: from
	// here on they wait, and then find this one.
	if err := tx.exclude("repository_storage"); err != nil {
		return err
	}
	return tx.change(`INSERT INTO storage_quotas (account, prefix, bytes)
		SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM repository_storage
		WHERE account = $1 AND ($2 = '' OR name = $2 OR name > $2 || '/' AND name < $2 || '0')
		ON CONFLICT (account, prefix) DO NOTHING`, q.Account, q.Prefix)
}

// store counts the bytes of a layer that the repository holds from now on.
func (tx *Tx) store(r *registry.Repository, bytes int64) error {
	if bytes == 0 {
		return nil
	}
	if err := tx.change(`INSERT INTO repository_storage (repository, account, name, bytes) VALUES ($1, $2, $3, $4)
		ON CONFLICT (repository) DO UPDATE SET bytes = repository_storage.bytes + excluded.bytes`,
		r.UID, r.Account, string(r.Name), bytes); err != nil {
		return err
	}
	return tx.addStorage(r.Account, string(r.Name), bytes)
}

// release counts the bytes of a layer that a repository holds no more. Those of
// a deleted repository were released when it was deleted.
func (tx *Tx) release(repository string, bytes int64) error {
	var account, name string
	found, err := tx.row(`UPDATE repository_storage SET bytes = bytes - $2 WHERE repository = $1 RETURNING account, name`,
		[]any{repository, bytes}, &account, &name)
	if err != nil || !found {
		return err
	}
	return tx.addStorage(account, name, -bytes)
}

// releaseAll releases what a repository holds that is deleted.
func (tx *Tx) releaseAll(r *registry.Repository) error {
	var bytes int64
	found, err := tx.row(`DELETE FROM repository_storage WHERE repository = $1 RETURNING bytes`, []any{r.UID}, &bytes)
	if err != nil || !found {
		return err
	}
	return tx.addStorage(r.Account, string(r.Name), -bytes)
}

// addStorage adds to the sums that a repository is part of.
func (tx *Tx) addStorage(account, name string, bytes int64) error {
	return tx.change(`UPDATE storage_quotas SET bytes = bytes + $3
		WHERE account = $1 AND (prefix = '' OR prefix = $2 OR substr($2, 1, length(prefix) + 1) = prefix || '/')`,
		account, name, bytes)
}
