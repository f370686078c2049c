package metadata

import (
	"database/sql"

	"berth/internal/fsck"
)

var _ fsck.Tx = (*Tx)(nil)

// Objects implements [fsck.Tx].
func (tx *Tx) Objects(after string, limit int) ([]fsck.Object, error) {
	var out []fsck.Object
	err := tx.rows(`SELECT uid, digest, size, format, key, content FROM objects
		WHERE uid > $1 AND deleted_at = 0 ORDER BY uid LIMIT $2`, []any{after, limit}, func(rows *sql.Rows) error {
		var o fsck.Object
		err := rows.Scan(&o.UID, &o.Digest, &o.Size, &o.Format, &o.Key, &o.Content)
		out = append(out, o)
		return err
	})
	return out, err
}

// Uploads implements [fsck.Tx].
func (tx *Tx) Uploads(after string, limit int) ([]fsck.Upload, error) {
	var out []fsck.Upload
	err := tx.rows(`SELECT id, key, created_at FROM uploads WHERE id > $1 ORDER BY id LIMIT $2`,
		[]any{after, limit}, func(rows *sql.Rows) error {
			var u fsck.Upload
			var created int64
			err := rows.Scan(&u.ID, &u.Key, &created)
			u.CreatedAt = fromMicros(created)
			out = append(out, u)
			return err
		})
	return out, err
}
