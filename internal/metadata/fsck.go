package metadata

import (
	"database/sql"

	"berth/internal/blob"
	"berth/internal/fsck"
)

var (
	_ fsck.Tx       = (*Tx)(nil)
	_ fsck.Repairer = (*Tx)(nil)
)

// Objects implements [fsck.Tx].
func (tx *Tx) Objects(after string, limit int) ([]fsck.Object, error) {
	return tx.objectsWhere(`uid > $1 AND deleted_at = 0 ORDER BY uid LIMIT $2`, after, limit)
}

// objectsWhere returns the objects for which a condition holds.
func (tx *Tx) objectsWhere(condition string, args ...any) (out []fsck.Object, _ error) {
	err := tx.rows(`SELECT uid, digest, size, format, key, content, damaged_at, `+sealColumns+` FROM objects o WHERE `+condition,
		args, func(rows *sql.Rows) error {
			var o fsck.Object
			var damaged int64
			err := rows.Scan(append([]any{&o.UID, &o.Digest, &o.Size, &o.Format, &o.Key, &o.Content, &damaged}, sealFields(&o.Object)...)...)
			o.Domain.Double, o.Damaged = o.Format == blob.FormatDoublySealed, damaged != 0
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

const imagesCounted = `(SELECT COUNT(*) FROM images i
	WHERE i.repository = repositories.uid AND i.deleted_at = 0 AND i.status <> 'ARCHIVED')`

// counts are the counts that are kept: a query for those that are wrong, of what,
// what is kept and what it should be, and statements that put them right.
var counts = []struct {
	wrong string
	right []string
}{
	{
		`SELECT 'images of ' || account || '/' || region || '/' || name, images, counted
			FROM (SELECT account, region, name, images, ` + imagesCounted + ` AS counted FROM repositories WHERE deleted_at = 0) AS c
			WHERE images <> counted ORDER BY 1`,
		[]string{`UPDATE repositories SET images = ` + imagesCounted + ` WHERE deleted_at = 0`},
	},
	{
		`SELECT 'repositories of ' || account || '/' || region, CAST(SUM(kept) AS BIGINT), CAST(SUM(counted) AS BIGINT)
			FROM (SELECT account, region, repositories AS kept, 0 AS counted FROM registry_usage
				UNION ALL SELECT account, region, 0, 1 FROM repositories WHERE deleted_at = 0) AS c
			GROUP BY account, region HAVING SUM(kept) <> SUM(counted) ORDER BY 1`,
		[]string{`DELETE FROM registry_usage`, `INSERT INTO registry_usage (account, region, repositories)
			SELECT account, region, COUNT(*) FROM repositories WHERE deleted_at = 0 GROUP BY account, region`},
	},
	{
		`SELECT 'bytes of ' || account || '/' || prefix, bytes, counted
			FROM (SELECT account, prefix, bytes, ` + storageCounted + ` AS counted FROM storage_quotas) AS c
			WHERE bytes <> counted ORDER BY 1`,
		[]string{`UPDATE storage_quotas SET bytes = ` + storageCounted},
	},
}

// WrongCounts implements [fsck.Tx].
func (tx *Tx) WrongCounts() ([]fsck.Count, error) {
	var out []fsck.Count
	for _, c := range counts {
		err := tx.rows(c.wrong, nil, func(rows *sql.Rows) error {
			var w fsck.Count
			err := rows.Scan(&w.Of, &w.Kept, &w.Counted)
			out = append(out, w)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Recount implements [fsck.Repairer].
func (tx *Tx) Recount() error {
	tx.changed = true
	for _, c := range counts {
		for _, statement := range c.right {
			if err := tx.change(statement); err != nil {
				return err
			}
		}
	}
	return nil
}
