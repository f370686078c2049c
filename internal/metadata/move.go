package metadata

import (
	"database/sql"
	"slices"
	"strings"
	"time"

	"berth/internal/blob"
	"berth/internal/fsck"
	"berth/internal/move"
)

var _ move.Tx = (*Tx)(nil)

// placed returns what the keys in a place lie between: those in the directory are
// hexadecimal, those in another place begin with its name.
func placed(place string) (first, end string) {
	if place == blob.InDirectory {
		return "0", "g"
	}
	return place, strings.TrimSuffix(place, ":") + ";"
}

// PlacedObjects implements [move.Tx]. Not the index of keys is to be used, which would
// have all of a place sorted each time, but that of digests.
func (tx *Tx) PlacedObjects(place string, after move.Position, limit int) ([]move.Object, error) {
	var out []move.Object
	first, end := placed(place)
	err := tx.rows(`SELECT o.uid, o.algorithm, o.digest, o.size, o.format, o.key, `+sealColumns+` FROM objects o
		WHERE (o.key_domain, o.digest, o.algorithm) > ($1, $2, $3) AND o.deleted_at = 0 AND o.key || '' >= $4 AND o.key || '' < $5
		ORDER BY o.key_domain, o.digest, o.algorithm LIMIT $6`,
		[]any{after.KeyDomain, after.Digest, after.Algorithm, first, end, limit}, func(rows *sql.Rows) error {
			var o move.Object
			err := rows.Scan(append([]any{&o.UID, &o.Algorithm, &o.Digest, &o.Size, &o.Format, &o.Key}, sealFields(&o.Object)...)...)
			o.Domain.Double = o.Format == blob.FormatDoublySealed
			out = append(out, o)
			return err
		})
	return out, err
}

// Placed implements [move.Tx].
func (tx *Tx) Placed(place string, since time.Time) (move.Left, error) {
	var l move.Left
	var until int64
	first, end := placed(place)
	_, err := tx.row(`SELECT (SELECT COUNT(*) FROM objects WHERE deleted_at = 0 AND key >= $1 AND key < $2 AND key <> ''),
			(SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM objects WHERE deleted_at = 0 AND key >= $1 AND key < $2 AND key <> ''),
			(SELECT COUNT(*) FROM uploads WHERE key >= $1 AND key < $2 AND created_at > $3),
			(SELECT COUNT(*) FROM leftovers WHERE key >= $1 AND key < $2),
			(SELECT COALESCE(MAX(due_at), 0) FROM leftovers WHERE key >= $1 AND key < $2)`,
		[]any{first, end, micros(since)}, &l.Objects, &l.Bytes, &l.Uploads, &l.Copied, &until)
	l.Until = fromMicros(until)
	return l, err
}

// HasPlaced implements [move.Tx].
func (tx *Tx) HasPlaced(place string) (bool, error) {
	var one int
	first, end := placed(place)
	return tx.row(`SELECT 1 FROM objects WHERE key >= $1 AND key < $2 AND key <> '' LIMIT 1`, []any{first, end}, &one)
}

// Relocate implements [move.Tx].
func (tx *Tx) Relocate(uid, from, to string, archived bool) (bool, error) {
	tx.changed = true
	n, err := tx.exec(`UPDATE objects SET key = $3, archived = $4 WHERE uid = $1 AND key = $2 AND deleted_at = 0`, uid, from, to, boolean(archived))
	return n == 1, err
}

// PutLeftover implements [move.Tx].
func (tx *Tx) PutLeftover(key string, due time.Time) error {
	return tx.change(`INSERT INTO leftovers (key, due_at) VALUES ($1, $2)
		ON CONFLICT (key) DO UPDATE SET due_at = excluded.due_at`, key, micros(due))
}

// KeepLeftover implements [move.Tx]. What is claimed is due at 0.
func (tx *Tx) KeepLeftover(key string) (bool, error) {
	n, err := tx.exec(`DELETE FROM leftovers WHERE key = $1 AND due_at <> 0`, key)
	return n == 1, err
}

// ClaimLeftovers implements [move.Tx]. What an object names is never claimed, and while a
// backup is made nothing is.
func (tx *Tx) ClaimLeftovers(place string, at time.Time, limit int) ([]string, error) {
	first, end := placed(place)
	return tx.strings(`UPDATE leftovers SET due_at = 0 WHERE due_at > 0 AND due_at <= $1 AND `+notHeld+` AND key IN (
			SELECT l.key FROM leftovers l WHERE l.due_at > 0 AND l.due_at <= $1 AND l.key >= $2 AND l.key < $3
				AND NOT EXISTS (SELECT 1 FROM objects o WHERE o.key = l.key AND o.key <> '') ORDER BY l.due_at, l.key LIMIT $4)
		RETURNING key`, micros(at), first, end, limit)
}

// ClaimedLeftovers implements [move.Tx].
func (tx *Tx) ClaimedLeftovers(place string, at time.Time, after string, limit int) ([]string, error) {
	first, end := placed(place)
	return tx.strings(`SELECT l.key FROM leftovers l WHERE l.due_at = 0 AND `+notHeld+` AND l.key > $2 AND l.key < $3
			AND NOT EXISTS (SELECT 1 FROM objects o WHERE o.key = l.key AND o.key <> '') ORDER BY l.key LIMIT $4`,
		micros(at), max(first, after), end, limit)
}

// DeleteLeftovers implements [move.Tx].
func (tx *Tx) DeleteLeftovers(keys []string) error {
	for some := range slices.Chunk(keys, inList) {
		if err := tx.change(`DELETE FROM leftovers WHERE due_at = 0 AND key IN (`+list1+`)`, filled(some)...); err != nil {
			return err
		}
	}
	return nil
}

// Leftovers implements [fsck.Tx].
func (tx *Tx) Leftovers(after string, limit int) ([]string, error) {
	return tx.strings(`SELECT key FROM leftovers WHERE key > $1 ORDER BY key LIMIT $2`, after, limit)
}

var _ fsck.Tx = (*Tx)(nil)
