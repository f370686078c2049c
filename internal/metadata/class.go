package metadata

import (
	"database/sql"
	"errors"
	"strings"
	"time"

	"berth/internal/move"
)

// classed is what a move.Classed is read from, and classedFields where it goes. An object
// that no image refers to may stay as it is. Images of deleted repositories count as
// they were.
const (
	classed = `o.uid, o.key, o.digest, o.archived, CASE
			WHEN EXISTS (SELECT 1 FROM layers h JOIN image_layers u ON u.repository = h.repository AND u.digest = h.digest
				JOIN images j ON j.uid = u.image WHERE h.object = o.uid AND j.deleted_at = 0 AND j.status <> 'ARCHIVED') THEN 0
			WHEN EXISTS (SELECT 1 FROM layers h JOIN image_layers u ON u.repository = h.repository AND u.digest = h.digest
				JOIN images j ON j.uid = u.image WHERE h.object = o.uid AND j.deleted_at = 0) THEN 1
			ELSE o.archived END,
		COALESCE((SELECT MAX(h.lease_until) FROM layers h WHERE h.object = o.uid), 0)`
	inS3 = `o.deleted_at = 0 AND o.key >= 's3:' AND o.key < 's3;'`
)

func classedFields(c *move.Classed) []any {
	return []any{&c.UID, &c.Key, &c.Digest, &c.Archived, &c.Wanted, (*instant)(&c.LeaseUntil)}
}

// NoteClassChange implements [registry.ImageWriter].
func (tx *Tx) NoteClassChange(image string, at time.Time) error {
	return tx.change(`INSERT INTO class_changes (image, due_at, changes) VALUES ($1, $2, 1)
		ON CONFLICT (image) DO UPDATE SET due_at = excluded.due_at, changes = class_changes.changes + 1`, image, micros(at))
}

// ClassChanges implements [move.Tx].
func (tx *Tx) ClassChanges(at time.Time, limit int) ([]move.ClassChange, error) {
	var out []move.ClassChange
	err := tx.rows(`SELECT image, changes FROM class_changes WHERE due_at <= $1 ORDER BY due_at, image LIMIT $2`,
		[]any{micros(at), limit}, func(rows *sql.Rows) error {
			var c move.ClassChange
			err := rows.Scan(&c.Image, &c.Changes)
			out = append(out, c)
			return err
		})
	return out, err
}

// SettleClassChange implements [move.Tx].
func (tx *Tx) SettleClassChange(c move.ClassChange, next time.Time) error {
	if next.IsZero() {
		return tx.change(`DELETE FROM class_changes WHERE image = $1 AND changes = $2`, c.Image, c.Changes)
	}
	return tx.change(`UPDATE class_changes SET due_at = $3 WHERE image = $1 AND changes = $2`, c.Image, c.Changes, micros(next))
}

// ClassedObjects implements [move.Tx].
func (tx *Tx) ClassedObjects(image string, least int64) ([]move.Classed, error) {
	var out []move.Classed
	err := tx.rows(`SELECT `+classed+` FROM image_layers x JOIN layers l ON l.repository = x.repository AND l.digest = x.digest
		JOIN objects o ON o.uid = l.object WHERE x.image = $1 AND o.size >= $2 AND `+inS3+` ORDER BY o.uid`,
		[]any{image, least}, func(rows *sql.Rows) error {
			var c move.Classed
			err := rows.Scan(classedFields(&c)...)
			out = append(out, c)
			return err
		})
	return out, err
}

// ClassedObject implements [move.Tx].
func (tx *Tx) ClassedObject(uid string) (*move.Classed, error) {
	var c move.Classed
	found, err := tx.row(`SELECT `+classed+` FROM objects o WHERE o.uid = $1 AND `+inS3, []any{uid}, classedFields(&c)...)
	if err != nil || !found {
		return nil, err
	}
	return &c, nil
}

// NoteUnarchived implements [move.Tx]. A position is a repository and an image.
func (tx *Tx) NoteUnarchived(after string, least int64, at time.Time, limit int) (next string, err error) {
	repository, image, _ := strings.Cut(after, " ")
	return tx.noteEach(at, limit, `SELECT i.repository || ' ' || i.uid, CASE WHEN EXISTS (
			SELECT 1 FROM image_layers x JOIN layers l ON l.repository = x.repository AND l.digest = x.digest JOIN objects o ON o.uid = l.object
			WHERE x.image = i.uid AND o.archived = 0 AND o.size >= $4 AND `+inS3+`) THEN i.uid ELSE '' END
		FROM images i WHERE i.status <> 'ACTIVE' AND i.deleted_at = 0 AND (i.repository, i.uid) > ($1, $2)
		ORDER BY i.repository, i.uid LIMIT $3`, repository, image, limit, least)
}

// NoteArchived implements [move.Tx]. A position is an object.
func (tx *Tx) NoteArchived(after string, at time.Time, limit int) (next string, err error) {
	return tx.noteEach(at, limit, `SELECT o.uid, COALESCE((SELECT j.uid FROM layers h
			JOIN image_layers u ON u.repository = h.repository AND u.digest = h.digest JOIN images j ON j.uid = u.image
			WHERE h.object = o.uid AND j.deleted_at = 0 AND j.status <> 'ARCHIVED' LIMIT 1), '')
		FROM objects o WHERE o.archived <> 0 AND o.uid > $1 ORDER BY o.uid LIMIT $2`, after, limit)
}

// noteEach notes the images in the second column of a query that are not noted yet. It
// returns what the last row has in the first one, "" if there are fewer than limit.
func (tx *Tx) noteEach(at time.Time, limit int, query string, args ...any) (next string, err error) {
	var images []string
	n := 0
	err = tx.rows(query, args, func(rows *sql.Rows) error {
		var image string
		n++
		err := rows.Scan(&next, &image)
		if image != "" {
			images = append(images, image)
		}
		return err
	})
	for _, image := range images {
		err = errors.Join(err, tx.change(`INSERT INTO class_changes (image, due_at, changes) VALUES ($1, $2, 1)
			ON CONFLICT (image) DO NOTHING`, image, micros(at)))
	}
	if n < limit {
		next = ""
	}
	return next, err
}
