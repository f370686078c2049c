package metadata

import (
	"database/sql"
	"strconv"

	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

// Tags implements [registry.TagReader].
func (tx *Tx) Tags(image string) ([]string, error) {
	return tx.strings(`SELECT name FROM tags WHERE image = $1 ORDER BY name`, image)
}

// TagNames implements [registry.TagReader].
func (tx *Tx) TagNames(repository, after string, limit int) ([]string, error) {
	k := memoKey{"tags " + strconv.Itoa(limit), repository, after, ""}
	return tx.joined(k, `SELECT COALESCE(string_agg(name, ','), '') FROM (SELECT name FROM tags
		WHERE repository = $1 AND name > $2 AND image NOT IN (
			SELECT uid FROM images WHERE repository = $1 AND status <> 'ACTIVE' AND deleted_at = 0)
		ORDER BY name LIMIT $3) AS page`, repository, after, limit)
}

// ImageIDs implements [registry.TagReader].
func (tx *Tx) ImageIDs(repository string, f registry.Filter, after registry.ImageID, limit int) ([]registry.ImageID, error) {
	var out []registry.ImageID
	err := tx.rows(`SELECT i.digest, COALESCE(t.name, '') FROM images i LEFT JOIN tags t ON t.image = i.uid
		WHERE i.repository = $1 AND i.digest >= $2 AND (i.digest > $2 OR COALESCE(t.name, '') > $3)
			AND i.deleted_at = 0 AND ($4 = '' OR i.status = $4)`+tagCondition(f.TagStatus)+`
		ORDER BY i.digest, t.name LIMIT $5`,
		[]any{repository, string(after.Digest), after.Tag, string(f.Status), limit}, func(rows *sql.Rows) error {
			var d, tag string
			err := rows.Scan(&d, &tag)
			out = append(out, registry.ImageID{Digest: digest.Digest(d), Tag: tag})
			return err
		})
	return out, err
}

// TaggedImages implements [registry.TagReader].
func (tx *Tx) TaggedImages(repository, after string, limit int) ([]registry.TaggedImage, error) {
	var out []registry.TaggedImage
	err := tx.rows(`SELECT t.name, t.tagged_at, `+imageColumns+` FROM tags t JOIN images i ON i.uid = t.image
		WHERE t.repository = $1 AND t.name > $2 ORDER BY t.name LIMIT $3`,
		[]any{repository, after, limit}, func(rows *sql.Rows) error {
			var t registry.TaggedImage
			err := rows.Scan(append([]any{&t.Tag, (*instant)(&t.TaggedAt)}, imageFields(&t.Image)...)...)
			out = append(out, t)
			return err
		})
	return out, err
}

// PutTag implements [registry.ImageWriter].
func (tx *Tx) PutTag(repository, tag string, i *registry.Image, by registry.Stamp) error {
	tx.changed = true
	if err := tx.change(`INSERT INTO tags (repository, name, image, tagged_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (repository, name) DO UPDATE SET image = excluded.image, tagged_at = excluded.tagged_at`,
		repository, tag, i.UID, micros(by.Time)); err != nil {
		return err
	}
	return tx.noteTag(repository, tag, i.Digest, by)
}

// DeleteTag implements [registry.ImageWriter].
func (tx *Tx) DeleteTag(repository, tag string, by registry.Stamp) error {
	tx.changed = true
	n, err := tx.exec(`DELETE FROM tags WHERE repository = $1 AND name = $2`, repository, tag)
	if err != nil || n == 0 {
		return err
	}
	return tx.noteTag(repository, tag, "", by)
}
