package metadata

import (
	"database/sql"
	"errors"

	"berth/internal/blob"
	"berth/internal/fsck"
)

var (
	_ fsck.Tx       = (*Tx)(nil)
	_ fsck.Repairer = (*Tx)(nil)
)

// Objects implements [fsck.Tx].
func (tx *Tx) Objects(after string, limit int) ([]fsck.Object, error) {
	return tx.objectPage(`uid > $1 AND deleted_at = 0 ORDER BY uid LIMIT $2`, after, limit)
}

// maxPageBytes is how many bytes of contents end a page of objects.
const maxPageBytes = 4 << 20

// objectPage returns the first objects for which a condition holds: not all, but one at
// least, if their contents are many bytes.
func (tx *Tx) objectPage(condition string, args ...any) (out []fsck.Object, _ error) {
	var bytes int
	err := tx.eachObject(condition, args, func(o fsck.Object) error {
		out = append(out, o)
		if bytes += len(o.Content); bytes >= maxPageBytes {
			return errPageFull
		}
		return nil
	})
	if errors.Is(err, errPageFull) {
		err = nil
	}
	return out, err
}

// errPageFull ends the reading of rows.
var errPageFull = errors.New("the page is full")

// objectsWhere returns the objects for which a condition holds.
func (tx *Tx) objectsWhere(condition string, args ...any) (out []fsck.Object, _ error) {
	err := tx.eachObject(condition, args, func(o fsck.Object) error {
		out = append(out, o)
		return nil
	})
	return out, err
}

// eachObject calls fn with the objects for which a condition holds.
func (tx *Tx) eachObject(condition string, args []any, fn func(fsck.Object) error) error {
	return tx.rows(`SELECT uid, digest, size, format, key, content, damaged_at, `+sealColumns+` FROM objects o WHERE `+condition,
		args, func(rows *sql.Rows) error {
			var o fsck.Object
			var damaged int64
			if err := rows.Scan(append([]any{&o.UID, &o.Digest, &o.Size, &o.Format, &o.Key, &o.Content, &damaged}, sealFields(&o.Object)...)...); err != nil {
				return err
			}
			o.Domain.Double, o.Damaged = o.Format == blob.FormatDoublySealed, damaged != 0
			return fn(o)
		})
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
