package metadata

import (
	"fmt"

	"berth/internal/registry"
)

// StorageUsed implements [registry.StorageReader].
func (tx *Tx) StorageUsed(q registry.StorageQuota) (int64, error) {
	var bytes int64
	found, err := tx.row(`SELECT bytes FROM storage_quotas WHERE account = $1 AND prefix = $2`, []any{q.Account, q.Prefix}, &bytes)
	if err == nil && !found {
		err = fmt.Errorf("what the storage quota %s is about is not counted", q)
	}
	return bytes, err
}

// CountStorage implements [registry.StorageWriter].
func (tx *Tx) CountStorage(q registry.StorageQuota) error {
	var one int
	found, err := tx.row(`SELECT 1 FROM storage_quotas WHERE account = $1 AND prefix = $2`, []any{q.Account, q.Prefix}, &one)
	if err != nil || found {
		return err
	}
	// Who adds a layer, or deletes a repository, looks for sums to change after
	// that: from here on they wait, and then find this one.
	if err := tx.exclude("repositories, layers"); err != nil {
		return err
	}
	tx.changed = true
	if err := tx.change(`INSERT INTO storage_quotas (account, prefix, bytes) VALUES ($1, $2, 0)
		ON CONFLICT (account, prefix) DO NOTHING`, q.Account, q.Prefix); err != nil {
		return err
	}
	return tx.change(`UPDATE storage_quotas SET bytes = `+storageCounted+` WHERE account = $1 AND prefix = $2`, q.Account, q.Prefix)
}

// storageCounted is what the bytes of a row of storage_quotas are.
const storageCounted = `(SELECT CAST(COALESCE(SUM(o.size), 0) AS BIGINT)
	FROM repositories r JOIN layers l ON l.repository = r.uid JOIN objects o ON o.uid = l.object
	WHERE r.account = storage_quotas.account AND r.deleted_at = 0 AND (storage_quotas.prefix = '' OR r.name = storage_quotas.prefix
		OR substr(r.name, 1, length(storage_quotas.prefix) + 1) = storage_quotas.prefix || '/'))`

// addStorage adds to the sums that a repository is part of. What it is about must
// have been changed before. It locks the sums, so that it should come late in a
// transaction; always in the same order, so that none waits for another that waits
// for it.
func (tx *Tx) addStorage(account, name string, bytes int64) error {
	if bytes == 0 {
		return nil
	}
	prefixes, err := tx.storageOf(account, name)
	if err != nil {
		return err
	}
	for _, prefix := range prefixes {
		if err := tx.change(`UPDATE storage_quotas SET bytes = bytes + $3 WHERE account = $1 AND prefix = $2`, account, prefix, bytes); err != nil {
			return err
		}
	}
	return nil
}

// storageOf returns the prefixes of the sums that a repository is part of, in
// order.
func (tx *Tx) storageOf(account, name string) ([]string, error) {
	k := memoKey{"storage", account, name, ""}
	return remember(tx, k, func(prefixes []string) int { return 100 + 32*len(prefixes) }, func() ([]string, error) {
		return tx.strings(`SELECT prefix FROM storage_quotas
			WHERE account = $1 AND (prefix = '' OR prefix = $2 OR substr($2, 1, length(prefix) + 1) = prefix || '/') ORDER BY prefix`,
			account, name)
	})
}

// release takes the bytes of a layer that a repository holds no more out of the
// sums. Those of a deleted repository were taken out when it was deleted.
func (tx *Tx) release(repository string, bytes int64) error {
	r, err := tx.RepositoryByUID(repository)
	if err != nil || r == nil {
		return err
	}
	return tx.addStorage(r.Account, string(r.Name), -bytes)
}

// addAllStorage adds all that a repository holds, which has just come back, to the
// sums, or takes it out of them if it has just been deleted: factor is 1 or -1.
func (tx *Tx) addAllStorage(r *registry.Repository, factor int64) error {
	prefixes, err := tx.storageOf(r.Account, string(r.Name))
	if err != nil || len(prefixes) == 0 {
		return err // what costs as much as it holds layers is not needed
	}
	var bytes int64
	if _, err := tx.row(`SELECT CAST(COALESCE(SUM(o.size), 0) AS BIGINT) FROM layers l JOIN objects o ON o.uid = l.object
		WHERE l.repository = $1`, []any{r.UID}, &bytes); err != nil {
		return err
	}
	return tx.addStorage(r.Account, string(r.Name), factor*bytes)
}
