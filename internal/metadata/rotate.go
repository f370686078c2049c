package metadata

import (
	"database/sql"
	"fmt"

	"berth/internal/blob"
	"berth/internal/rotate"
)

var _ rotate.Tx = (*Tx)(nil)

// sealedOf has a query for each kind of what is sealed, which leaves out what begins
// with bytes of some length, and the statement that replaces one. PostgreSQL takes
// IS NOT TRUE to hold for nearly all, and goes along the index of the ids: all pages
// together cost one pass, whether much is left out or little.
var sealedOf = map[rotate.Kind]struct{ items, reseal string }{
	rotate.Objects: {
		`SELECT o.uid, o.wrapped_key, o.key_domain, o.key_id, o.format, o.digest, o.size FROM objects o
			WHERE o.uid > $1 AND o.wrapped_key IS NOT NULL AND (substr(o.wrapped_key, 1, $3) = $4) IS NOT TRUE ORDER BY o.uid LIMIT $2`,
		`UPDATE objects SET wrapped_key = $3 WHERE uid = $1 AND wrapped_key = $2`,
	},
	rotate.Uploads: {
		`SELECT u.id, u.wrapped_key, r.key_domain, r.kms_key, u.format, '', 0 FROM uploads u
			JOIN repositories r ON r.uid = u.repository WHERE u.id > $1 AND u.wrapped_key IS NOT NULL AND (substr(u.wrapped_key, 1, $3) = $4) IS NOT TRUE ORDER BY u.id LIMIT $2`,
		`UPDATE uploads SET wrapped_key = $3 WHERE id = $1 AND wrapped_key = $2`,
	},
	rotate.Annotations: {
		`SELECT i.uid, i.sealed_annotations, r.key_domain, r.kms_key, 0, i.digest, 0 FROM images i
			JOIN repositories r ON r.uid = i.repository WHERE i.uid > $1 AND i.sealed_annotations IS NOT NULL AND (substr(i.sealed_annotations, 1, $3) = $4) IS NOT TRUE ORDER BY i.uid LIMIT $2`,
		`UPDATE images SET sealed_annotations = $3 WHERE uid = $1 AND sealed_annotations = $2`,
	},
	rotate.AccessKeys: {
		`SELECT id, secret, '', '', 0, '', 0 FROM access_keys WHERE id > $1 AND (substr(secret, 1, $3) = $4) IS NOT TRUE ORDER BY id LIMIT $2`,
		`UPDATE access_keys SET secret = $3 WHERE id = $1 AND secret = $2`,
	},
	rotate.Sessions: {
		`SELECT id, secret, '', '', 0, '', 0 FROM sessions WHERE id > $1 AND (substr(secret, 1, $3) = $4) IS NOT TRUE ORDER BY id LIMIT $2`,
		`UPDATE sessions SET secret = $3 WHERE id = $1 AND secret = $2`,
	},
	rotate.KMSKeys: {
		`SELECT key_id || ' ' || id, sealed, '', '', 0, '', 0 FROM kms_materials
			WHERE key_id || ' ' || id > $1 AND (substr(sealed, 1, $3) = $4) IS NOT TRUE ORDER BY 1 LIMIT $2`,
		`UPDATE kms_materials SET sealed = $3 WHERE key_id || ' ' || id = $1 AND sealed = $2`,
	},
}

// SealedItems implements [rotate.Tx].
func (tx *Tx) SealedItems(k rotate.Kind, after string, limit int, but []byte) ([]rotate.Item, error) {
	q, ok := sealedOf[k]
	if !ok {
		return nil, fmt.Errorf("nothing sealed is of the kind %q", k)
	}
	n := len(but)
	if n == 0 {
		but = []byte{0} // what no bytes at all are not
	}
	var out []rotate.Item
	err := tx.rows(q.items, []any{after, limit, n, but}, func(rows *sql.Rows) error {
		var i rotate.Item
		err := rows.Scan(&i.ID, &i.Sealed, &i.Domain.Name, &i.Domain.Key, &i.Format, &i.Digest, &i.Size)
		i.Domain.Double = i.Format == blob.FormatDoublySealed
		out = append(out, i)
		return err
	})
	return out, err
}

// Reseal implements [rotate.Tx].
func (tx *Tx) Reseal(k rotate.Kind, id string, was, is []byte) error {
	tx.changed = true
	return tx.change(sealedOf[k].reseal, id, was, is)
}
