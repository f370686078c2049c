package metadata

import (
	"database/sql"
	"math"
	"time"

	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

// before returns the time that what comes after a place was deleted at, or before.
func before(after registry.Deletion) int64 {
	if after.At.IsZero() {
		return math.MaxInt64
	}
	return micros(after.At)
}

// DeletedRepositories implements [registry.DeletedReader].
func (tx *Tx) DeletedRepositories(id registry.ID, since time.Time, after registry.Deletion, limit int) ([]registry.Repository, error) {
	var out []registry.Repository
	err := tx.rows(`SELECT `+repositoryColumns+` FROM repositories
		WHERE account = $1 AND region = $2 AND deleted_at <> 0 AND ended = 0 AND deleted_at > $3
			AND (deleted_at < $4 OR deleted_at = $4 AND uid < $5)
		ORDER BY deleted_at DESC, uid DESC LIMIT $6`,
		[]any{id.Account, id.Region, micros(since), before(after), after.UID, limit}, func(rows *sql.Rows) error {
			r, err := scanRepository(rows.Scan)
			if err == nil {
				out = append(out, *r)
			}
			return err
		})
	return out, err
}

// DeletedRepository implements [registry.DeletedReader].
func (tx *Tx) DeletedRepository(ref registry.Ref, uid string, lock registry.Lock) (*registry.Repository, error) {
	return tx.oneRepository(`SELECT `+repositoryColumns+` FROM repositories
		WHERE account = $1 AND region = $2 AND name = $3 AND deleted_at <> 0 AND ended = 0 AND ($4 = '' OR uid = $4)
		ORDER BY deleted_at DESC, uid DESC LIMIT 1`+tx.locks[lock], ref.Account, ref.Region, string(ref.Name), uid)
}

const deletedImageColumns = imageColumns + `, i.deleted_at, i.deleted_by, i.deleted_tags`

func scanDeletedImage(rows *sql.Rows) (registry.DeletedImage, error) {
	var d registry.DeletedImage
	var tags string
	err := rows.Scan(append(imageFields(&d.Image), (*instant)(&d.DeletedAt), &d.DeletedBy, &tags)...)
	d.Tags = split(tags)
	return d, err
}

// DeletedImages implements [registry.DeletedReader].
func (tx *Tx) DeletedImages(repository string, since time.Time, after registry.Deletion, limit int) ([]registry.DeletedImage, error) {
	var out []registry.DeletedImage
	err := tx.rows(`SELECT `+deletedImageColumns+` FROM images i
		WHERE i.repository = $1 AND i.deleted_at <> 0 AND i.deleted_at > $2
			AND (i.deleted_at < $3 OR i.deleted_at = $3 AND i.uid < $4)
			AND NOT EXISTS (SELECT 1 FROM images n WHERE n.repository = i.repository AND n.digest = i.digest AND n.deleted_at = 0)
			AND NOT EXISTS (SELECT 1 FROM images n WHERE n.repository = i.repository AND n.digest = i.digest AND n.deleted_at <> 0
				AND (n.deleted_at > i.deleted_at OR n.deleted_at = i.deleted_at AND n.uid > i.uid))
		ORDER BY i.deleted_at DESC, i.uid DESC LIMIT $5`,
		[]any{repository, micros(since), before(after), after.UID, limit}, func(rows *sql.Rows) error {
			d, err := scanDeletedImage(rows)
			out = append(out, d)
			return err
		})
	return out, err
}

// DeletedImage implements [registry.DeletedReader].
func (tx *Tx) DeletedImage(repository string, d digest.Digest) (*registry.DeletedImage, error) {
	var found *registry.DeletedImage
	err := tx.rows(`SELECT `+deletedImageColumns+` FROM images i WHERE i.repository = $1 AND i.digest = $2 AND i.deleted_at <> 0
		ORDER BY i.deleted_at DESC, i.uid DESC LIMIT 1`, []any{repository, string(d)}, func(rows *sql.Rows) error {
		i, err := scanDeletedImage(rows)
		found = &i
		return err
	})
	return found, err
}

// LayersNotHeld implements [registry.DeletedReader].
func (tx *Tx) LayersNotHeld(i *registry.Image) ([]digest.Digest, error) {
	names, err := tx.strings(`SELECT x.digest FROM image_layers x WHERE x.image = $1
		AND NOT EXISTS (SELECT 1 FROM layers l WHERE l.repository = x.repository AND l.digest = x.digest) ORDER BY x.digest`, i.UID)
	return digests(names), err
}

// UndeleteImage implements [registry.DeletedWriter].
func (tx *Tx) UndeleteImage(i *registry.Image) error {
	if err := tx.recount(i, counted(i.Status)); err != nil {
		return err
	}
	return tx.change(`UPDATE images SET deleted_at = 0, expired = 0, deleted_by = '', deleted_tags = '' WHERE uid = $1`, i.UID)
}

// UndeleteRepository implements [registry.DeletedWriter].
func (tx *Tx) UndeleteRepository(r *registry.Repository) (bool, error) {
	tx.changed = true
	// In PostgreSQL somebody may take the name meanwhile: that is a violation of
	// the index, after which the transaction is run again.
	n, err := tx.exec(`UPDATE repositories SET deleted_at = 0, deleted_by = '' WHERE uid = $1 AND deleted_at <> 0 AND NOT EXISTS (
			SELECT 1 FROM repositories n WHERE n.account = $2 AND n.region = $3 AND n.name = $4 AND n.deleted_at = 0)`,
		r.UID, r.Account, r.Region, string(r.Name))
	if err != nil || n == 0 {
		return false, err
	}
	if err := tx.addRepository(r); err != nil {
		return false, err
	}
	return true, tx.addAllStorage(r, 1)
}
