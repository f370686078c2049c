package metadata

import (
	"database/sql"

	"berth/internal/identity"
)

// InlinePolicies implements [identity.InlineReader].
func (tx *Tx) InlinePolicies(entity string) ([]identity.InlinePolicy, error) {
	var out []identity.InlinePolicy
	err := tx.rows(`SELECT name, document FROM iam_inline_policies WHERE entity = $1 ORDER BY name`, []any{entity}, func(rows *sql.Rows) error {
		var p identity.InlinePolicy
		err := rows.Scan(&p.Name, &p.Document)
		out = append(out, p)
		return err
	})
	return out, err
}

// PutInlinePolicy implements [identity.InlineWriter].
func (tx *Tx) PutInlinePolicy(entity string, p identity.InlinePolicy) error {
	return tx.change(`INSERT INTO iam_inline_policies (entity, name, document) VALUES ($1, $2, $3)
		ON CONFLICT (entity, name) DO UPDATE SET document = excluded.document`, entity, p.Name, p.Document)
}

// DeleteInlinePolicy implements [identity.InlineWriter].
func (tx *Tx) DeleteInlinePolicy(entity, name string) (bool, error) {
	n, err := tx.exec(`DELETE FROM iam_inline_policies WHERE entity = $1 AND name = $2`, entity, name)
	return n > 0, err
}

// Versions implements [identity.VersionReader].
func (tx *Tx) Versions(policy string) ([]identity.Version, error) {
	var out []identity.Version
	err := tx.rows(`SELECT version, document, created_at FROM iam_policy_versions WHERE policy = $1 ORDER BY version DESC`, []any{policy},
		func(rows *sql.Rows) error {
			var v identity.Version
			err := rows.Scan(&v.Number, &v.Document, (*instant)(&v.CreatedAt))
			out = append(out, v)
			return err
		})
	return out, err
}

// InsertVersion implements [identity.VersionWriter].
func (tx *Tx) InsertVersion(policy string, v identity.Version) error {
	return tx.change(`INSERT INTO iam_policy_versions (policy, version, document, created_at) VALUES ($1, $2, $3, $4)`,
		policy, v.Number, v.Document, micros(v.CreatedAt))
}

// DeleteVersion implements [identity.VersionWriter].
func (tx *Tx) DeleteVersion(policy string, number int64) error {
	return tx.change(`DELETE FROM iam_policy_versions WHERE policy = $1 AND version = $2`, policy, number)
}

// Attachments implements [identity.AttachmentReader].
func (tx *Tx) Attachments(entity string) ([]string, error) {
	return tx.strings(`SELECT policy FROM iam_attachments WHERE entity = $1 ORDER BY policy`, entity)
}

// AttachedTo implements [identity.AttachmentReader].
func (tx *Tx) AttachedTo(account, policy string, boundary bool, after string, limit int) ([]identity.Entity, error) {
	if boundary {
		return tx.entities(`SELECT `+entityColumns+` FROM iam_entities e
			WHERE e.account = $1 AND e.boundary = $2 AND e.boundary <> '' AND e.id > $3 ORDER BY e.id LIMIT $4`, account, policy, after, limit)
	}
	return tx.entities(`SELECT `+entityColumns+` FROM iam_attachments a JOIN iam_entities e ON e.id = a.entity
		WHERE a.account = $1 AND a.policy = $2 AND a.entity > $3 ORDER BY a.entity LIMIT $4`, account, policy, after, limit)
}

// CountAttachments implements [identity.AttachmentReader].
func (tx *Tx) CountAttachments(account, policy string) (attached, boundaries int64, err error) {
	_, err = tx.row(`SELECT (SELECT COUNT(*) FROM iam_attachments WHERE account = $1 AND policy = $2),
		(SELECT COUNT(*) FROM iam_entities WHERE account = $1 AND boundary = $2 AND boundary <> '')`,
		[]any{account, policy}, &attached, &boundaries)
	return attached, boundaries, err
}

// Attach implements [identity.AttachmentWriter].
func (tx *Tx) Attach(account, entity, policy string) error {
	return tx.change(`INSERT INTO iam_attachments (account, entity, policy) VALUES ($1, $2, $3)`, account, entity, policy)
}

// Detach implements [identity.AttachmentWriter].
func (tx *Tx) Detach(entity, policy string) (bool, error) {
	n, err := tx.exec(`DELETE FROM iam_attachments WHERE entity = $1 AND policy = $2`, entity, policy)
	return n > 0, err
}

const keyColumns = `id, account, owner, secret, status, created_at`

// The states of access keys.
const (
	keyActive   = "Active"
	keyInactive = "Inactive"
)

func keyStatus(active bool) string {
	if active {
		return keyActive
	}
	return keyInactive
}

func (tx *Tx) accessKeys(query string, args ...any) ([]identity.Key, error) {
	var out []identity.Key
	err := tx.rows(query, args, func(rows *sql.Rows) error {
		var k identity.Key
		status := ""
		err := rows.Scan(&k.ID, &k.Account, &k.Owner, &k.Sealed, &status, (*instant)(&k.CreatedAt))
		k.Active = status == keyActive
		out = append(out, k)
		return err
	})
	return out, err
}

// AccessKey implements [identity.KeyReader].
func (tx *Tx) AccessKey(id string) (*identity.Key, error) {
	found, err := tx.accessKeys(`SELECT `+keyColumns+` FROM access_keys WHERE id = $1`, id)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// AccessKeys implements [identity.KeyReader].
func (tx *Tx) AccessKeys(account, owner string) ([]identity.Key, error) {
	return tx.accessKeys(`SELECT `+keyColumns+` FROM access_keys WHERE account = $1 AND owner = $2 ORDER BY id`, account, owner)
}

// InsertAccessKey implements [identity.KeyWriter].
func (tx *Tx) InsertAccessKey(k identity.Key) error {
	return tx.change(`INSERT INTO access_keys (`+keyColumns+`) VALUES ($1, $2, $3, $4, $5, $6)`,
		k.ID, k.Account, k.Owner, k.Sealed, keyStatus(k.Active), micros(k.CreatedAt))
}

// SetAccessKeyStatus implements [identity.KeyWriter].
func (tx *Tx) SetAccessKeyStatus(id string, active bool) error {
	return tx.change(`UPDATE access_keys SET status = $2 WHERE id = $1`, id, keyStatus(active))
}

// DeleteAccessKey implements [identity.KeyWriter].
func (tx *Tx) DeleteAccessKey(id string) error {
	if err := tx.change(`DELETE FROM access_key_uses WHERE id = $1`, id); err != nil {
		return err
	}
	return tx.change(`DELETE FROM access_keys WHERE id = $1`, id)
}
