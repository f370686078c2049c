package metadata

import (
	"database/sql"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"berth/internal/blob"
	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

const imageColumns = `i.uid, i.repository, i.digest, i.media_type, i.artifact_type, i.subject, i.manifest_size, i.size,
	i.status, i.pushed_at, i.pulled_at, i.archived_at, i.activated_at`

// imageFields returns where the imageColumns of a row go.
func imageFields(i *registry.Image) []any {
	return []any{&i.UID, &i.Repository, &i.Digest, &i.MediaType, &i.ArtifactType, &i.Subject, &i.ManifestSize, &i.Size,
		&i.Status, (*instant)(&i.PushedAt), (*instant)(&i.PulledAt), (*instant)(&i.ArchivedAt), (*instant)(&i.ActivatedAt)}
}

// oneImage reads the row of a query for imageColumns, or nil. The query is about
// a repository and a second argument.
func (tx *Tx) oneImage(name, query, repository, arg string) (*registry.Image, error) {
	k := memoKey{name, repository, arg, ""}
	i, err := remember(tx, k, some[*registry.Image](700), func() (*registry.Image, error) {
		var i registry.Image
		found, err := tx.row(query, []any{repository, arg}, imageFields(&i)...)
		if err != nil || !found {
			return nil, err
		}
		return &i, nil
	})
	return copied(i), err
}

// Image implements [registry.ImageReader].
func (tx *Tx) Image(repository string, d digest.Digest) (*registry.Image, error) {
	return tx.oneImage("image", `SELECT `+imageColumns+` FROM images i WHERE i.repository = $1 AND i.digest = $2 AND i.deleted_at = 0`,
		repository, string(d))
}

// ImageByTag implements [registry.ImageReader].
func (tx *Tx) ImageByTag(repository, tag string) (*registry.Image, error) {
	return tx.oneImage("tag", `SELECT `+imageColumns+` FROM tags t JOIN images i ON i.uid = t.image
		WHERE t.repository = $1 AND t.name = $2`, repository, tag)
}

// Manifest implements [registry.ImageReader].
func (tx *Tx) Manifest(i *registry.Image) (blob.Object, error) {
	k := memoKey{"manifest", i.UID, "", ""}
	return remember(tx, k, func(o blob.Object) int { return 300 + len(o.Content) + len(o.WrappedKey) }, func() (blob.Object, error) {
		o := blob.Object{Digest: i.Digest, Size: i.ManifestSize}
		var damaged int64
		_, err := tx.row(`SELECT o.format, o.key, o.content, o.damaged_at, `+sealColumns+` FROM images i JOIN objects o ON o.uid = i.object WHERE i.uid = $1`,
			[]any{i.UID}, append([]any{&o.Format, &o.Key, &o.Content, &damaged}, sealFields(&o)...)...)
		o.Damaged, o.Domain.Double = damaged != 0, o.Format == blob.FormatDoublySealed
		return o, err
	})
}

// Images implements [registry.ImageReader].
func (tx *Tx) Images(repository string, f registry.Filter, after digest.Digest, limit int) ([]registry.Image, error) {
	var out []registry.Image
	err := tx.rows(`SELECT `+imageColumns+`,
			(SELECT COALESCE(string_agg(name, ','), '') FROM (SELECT name FROM tags WHERE image = i.uid ORDER BY name) AS t)
		FROM images i
		WHERE i.repository = $1 AND i.digest > $2 AND i.deleted_at = 0 AND ($3 = '' OR i.status = $3)`+tagCondition(f.TagStatus)+`
		ORDER BY i.digest LIMIT $4`,
		[]any{repository, string(after), string(f.Status), limit}, func(rows *sql.Rows) error {
			var i registry.Image
			var tags string
			if err := rows.Scan(append(imageFields(&i), &tags)...); err != nil {
				return err
			}
			i.Tags = split(tags)
			out = append(out, i)
			return nil
		})
	return out, err
}

// tagCondition returns the condition on images that a tag status is.
func tagCondition(s registry.TagStatus) string {
	switch s {
	case registry.Tagged:
		return ` AND EXISTS (SELECT 1 FROM tags x WHERE x.image = i.uid)`
	case registry.Untagged:
		return ` AND NOT EXISTS (SELECT 1 FROM tags x WHERE x.image = i.uid)`
	}
	return ""
}

// Parents implements [registry.ImageReader].
func (tx *Tx) Parents(repository string, child digest.Digest, limit int) ([]digest.Digest, error) {
	names, err := tx.strings(`SELECT i.digest FROM image_children c JOIN images i ON i.uid = c.image
		WHERE c.repository = $1 AND c.digest = $2 AND i.deleted_at = 0 ORDER BY i.digest LIMIT $3`,
		repository, string(child), limit)
	return digests(names), err
}

// LeadingTags implements [registry.ImageReader].
//
// A step goes up to the indexes that list an image (way 0) or over to its subject
// (way 1); a recursive query may name what it has found only once.
func (tx *Tx) LeadingTags(i *registry.Image, most int) ([]string, bool, error) {
	k := memoKey{"leading tags " + strconv.Itoa(most), i.UID, "", ""}
	tags, err := tx.joined(k, `WITH RECURSIVE
		ways (way) AS (SELECT 0 UNION ALL SELECT 1),
		above (uid, digest, subject) AS (
			SELECT uid, digest, subject FROM images WHERE uid = $1
			UNION
			SELECT i.uid, i.digest, i.subject FROM above l CROSS JOIN ways w
			LEFT JOIN image_children c ON w.way = 0 AND c.repository = $2 AND c.digest = l.digest
			JOIN images i ON i.uid = CASE w.way WHEN 0 THEN c.image ELSE
				(SELECT s.uid FROM images s WHERE s.repository = $2 AND s.digest = l.subject AND s.deleted_at = 0) END
			WHERE i.deleted_at = 0),
		reached (uid) AS (SELECT uid FROM above LIMIT $3),
		named (name) AS (SELECT DISTINCT t.name FROM reached r JOIN tags t ON t.image = r.uid ORDER BY t.name LIMIT $3)
		SELECT CASE WHEN (SELECT COUNT(*) FROM reached) = $3 THEN ',' ELSE (SELECT COALESCE(string_agg(name, ','), '') FROM named) END`,
		i.UID, i.Repository, most+1)
	if len(tags) > most || slices.Equal(tags, []string{"", ""}) { // too many images
		return nil, false, err
	}
	return tags, err == nil, err
}

// Children implements [registry.ImageReader].
func (tx *Tx) Children(index *registry.Image) ([]digest.Digest, error) {
	names, err := tx.strings(`SELECT digest FROM image_children WHERE image = $1 ORDER BY digest`, index.UID)
	return digests(names), err
}

func digests(names []string) []digest.Digest {
	out := make([]digest.Digest, len(names))
	for i, n := range names {
		out[i] = digest.Digest(n)
	}
	return out
}

// ActivatingImages implements [registry.ImageReader].
func (tx *Tx) ActivatingImages(limit int) ([]registry.Image, error) {
	var out []registry.Image
	err := tx.rows(`SELECT `+imageColumns+` FROM images i WHERE i.status = 'ACTIVATING' AND i.deleted_at = 0
		AND EXISTS (SELECT 1 FROM repositories r WHERE r.uid = i.repository AND r.deleted_at = 0) LIMIT $1`, []any{limit},
		func(rows *sql.Rows) error {
			var i registry.Image
			err := rows.Scan(imageFields(&i)...)
			out = append(out, i)
			return err
		})
	return out, err
}

// Referrers implements [registry.ImageReader].
func (tx *Tx) Referrers(repository string, subject digest.Digest, f registry.ReferrerFilter, after digest.Digest, limit int) ([]registry.Referrer, error) {
	k := memoKey{"referrers " + strconv.Itoa(limit), repository, string(subject) + " " + string(after), string(f.Status) + " " + strings.Join(f.ArtifactTypes, "\x00")}
	args := []any{repository, string(subject), string(after), string(f.Status), limit}
	types := "" // a condition on them
	for i, t := range f.ArtifactTypes {
		types += []string{" AND i.artifact_type IN (", ", "}[min(i, 1)] + "$" + strconv.Itoa(len(args)+1)
		args = append(args, t)
	}
	if types != "" {
		types += ")"
	}
	return remember(tx, k, sizeOfReferrers, func() ([]registry.Referrer, error) {
		var out []registry.Referrer
		err := tx.rows(`SELECT i.digest, i.media_type, i.artifact_type, i.manifest_size, i.annotations, i.sealed_annotations, i.status FROM images i
			WHERE i.repository = $1 AND i.subject = $2 AND i.digest > $3 AND i.subject <> '' AND i.deleted_at = 0
				AND ($4 = '' OR i.status = $4)`+types+`
			ORDER BY i.digest LIMIT $5`,
			args, func(rows *sql.Rows) error {
				r, err := scanReferrer(rows)
				out = append(out, r)
				return err
			})
		return out, err
	})
}

// sizeOfReferrers is roughly what referrers take in memory.
func sizeOfReferrers(found []registry.Referrer) int {
	n := 500 * len(found)
	for _, r := range found {
		n += len(r.Sealed)
		for k, v := range r.Annotations {
			n += 100 + len(k) + len(v)
		}
	}
	return n
}

func scanReferrer(rows *sql.Rows) (registry.Referrer, error) {
	var r registry.Referrer
	var annotations string
	if err := rows.Scan(&r.Digest, &r.MediaType, &r.ArtifactType, &r.Size, &annotations, &r.Sealed, &r.Status); err != nil || annotations == "" {
		return r, err
	}
	return r, json.Unmarshal([]byte(annotations), &r.Annotations)
}

// HasImages implements [registry.ImageReader].
func (tx *Tx) HasImages(repository string) (bool, error) {
	var one int
	return tx.row(`SELECT 1 FROM images WHERE repository = $1 AND deleted_at = 0 LIMIT 1`, []any{repository}, &one)
}

// InsertImage implements [registry.ImageWriter].
func (tx *Tx) InsertImage(repo *registry.Repository, i *registry.Image, refs registry.References, o blob.Object) error {
	tx.changed = true
	object, _, err := tx.object(repo.KeyDomain(), o, i.PushedAt)
	if err != nil {
		return err
	}
	annotations := ""
	if len(refs.Annotations) > 0 && refs.Sealed == nil {
		b, err := json.Marshal(refs.Annotations)
		if err != nil {
			return err
		}
		annotations = string(b)
	}
	if err := tx.change(`INSERT INTO images (uid, repository, digest, object, media_type, artifact_type, subject,
			annotations, manifest_size, size, status, pushed_at, sealed_annotations)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		i.UID, i.Repository, string(i.Digest), object, i.MediaType, i.ArtifactType, string(i.Subject),
		annotations, i.ManifestSize, i.Size, string(i.Status), micros(i.PushedAt), refs.Sealed); err != nil {
		return err
	}
	if err := tx.change(`UPDATE repositories SET images = images + $2 WHERE uid = $1`, i.Repository, counted(i.Status)); err != nil {
		return err
	}
	for _, l := range refs.Layers {
		if err := tx.change(`INSERT INTO image_layers (repository, digest, image, media_type) VALUES ($1, $2, $3, $4)
			ON CONFLICT (repository, digest, image) DO NOTHING`, i.Repository, string(l.Digest), i.UID, l.MediaType); err != nil {
			return err
		}
	}
	for _, d := range refs.Children {
		if err := tx.change(`INSERT INTO image_children (repository, digest, image) VALUES ($1, $2, $3)
			ON CONFLICT (repository, digest, image) DO NOTHING`, i.Repository, string(d), i.UID); err != nil {
			return err
		}
	}
	return nil
}

// counted is what an image adds to the count of its repository.
func counted(s registry.Status) int64 { return boolean(s != registry.Archived) }

// recount makes the count of a repository right before an image becomes one that
// counts as much as given.
func (tx *Tx) recount(i *registry.Image, becomes int64) error {
	tx.changed = true
	return tx.change(`UPDATE repositories SET images = images + $3
			- (SELECT COUNT(*) FROM images WHERE uid = $2 AND deleted_at = 0 AND status <> 'ARCHIVED')
		WHERE uid = $1`, i.Repository, i.UID, becomes)
}

// UpdateImage implements [registry.ImageWriter].
func (tx *Tx) UpdateImage(i *registry.Image) error {
	if err := tx.recount(i, counted(i.Status)); err != nil {
		return err
	}
	return tx.change(`UPDATE images SET status = $2, archived_at = $3, activated_at = $4 WHERE uid = $1`,
		i.UID, string(i.Status), micros(i.ArchivedAt), micros(i.ActivatedAt))
}

// RecordPull implements [registry.ImageWriter].
func (tx *Tx) RecordPull(image string, at time.Time) error {
	tx.changed = true
	return tx.change(`UPDATE images SET pulled_at = $2 WHERE uid = $1 AND pulled_at < $2`, image, micros(at))
}

// DeleteImage implements [registry.ImageWriter].
func (tx *Tx) DeleteImage(i *registry.Image, by registry.Stamp) error {
	if err := tx.recount(i, 0); err != nil {
		return err
	}
	tags, err := tx.Tags(i.UID)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		if err := tx.DeleteTag(i.Repository, tag, by); err != nil {
			return err
		}
	}
	return tx.change(`UPDATE images SET deleted_at = $2, expired = $3, deleted_by = $4, deleted_tags = $5 WHERE uid = $1`,
		i.UID, micros(by.Time), boolean(by.Policy), by.Principal, strings.Join(tags, ","))
}
