package metadata

import (
	"database/sql"
	"time"

	"berth/internal/gc"
	"berth/internal/registry"
)

// EndRepository implements [gc.Deleted].
func (tx *Tx) EndRepository(before time.Time) (string, error) {
	var uid string
	found, err := tx.row(`SELECT uid FROM repositories WHERE deleted_at <> 0 AND (deleted_at <= $1 OR ended <> 0)
		ORDER BY deleted_at, uid LIMIT 1`+tx.locks[registry.LockDelete], []any{micros(before)}, &uid)
	if err != nil || !found {
		return "", err
	}
	// Whoever has restored it meanwhile keeps it.
	n, err := tx.exec(`UPDATE repositories SET ended = 1 WHERE uid = $1 AND deleted_at <> 0`, uid)
	if n == 0 {
		uid = ""
	}
	return uid, err
}

// removeParts delete some rows of what a repository has beside images and layers: by whole
// primary keys, as one layer may have as many rows as there are images.
var removeParts = []string{
	`DELETE FROM tags WHERE repository = $1 AND name IN (SELECT name FROM tags WHERE repository = $1 LIMIT $2)`,
	`DELETE FROM image_layers WHERE (repository, digest, image) IN (SELECT repository, digest, image FROM image_layers WHERE repository = $1 LIMIT $2)`,
	`DELETE FROM image_children WHERE (repository, digest, image) IN (SELECT repository, digest, image FROM image_children WHERE repository = $1 LIMIT $2)`,
	`DELETE FROM tag_history WHERE (repository, tag, number) IN (SELECT repository, tag, number FROM tag_history WHERE repository = $1 LIMIT $2)`,
	`DELETE FROM lifecycle_preview_results WHERE repository = $1 AND digest IN (SELECT digest FROM lifecycle_preview_results WHERE repository = $1 LIMIT $2)`,
	`DELETE FROM past_images WHERE repository = $1 AND uid IN (SELECT uid FROM past_images WHERE repository = $1 LIMIT $2)`,
	`DELETE FROM lifecycle_previews WHERE repository = $1 AND repository IN (SELECT repository FROM lifecycle_previews WHERE repository = $1 LIMIT $2)`,
	`DELETE FROM lifecycle_policies WHERE repository = $1 AND repository IN (SELECT repository FROM lifecycle_policies WHERE repository = $1 LIMIT $2)`,
	`DELETE FROM public_catalog WHERE repository = $1 AND repository IN (SELECT repository FROM public_catalog WHERE repository = $1 LIMIT $2)`,
}

// RemoveRepository implements [gc.Deleted]. Rows that others refer to come last.
func (tx *Tx) RemoveRepository(uid string, at, due time.Time, limit int) (gc.Removed, bool, error) {
	ref, found, err := tx.lockedHolder(uid)
	if err != nil || !found {
		return gc.Removed{}, true, err
	}
	var done gc.Removed
	var rows int64
	for _, part := range removeParts {
		n, err := tx.exec(part, uid, limit)
		if err != nil {
			return done, false, err
		}
		if rows += n; n >= int64(limit) {
			return done.Looked(rows), false, nil
		}
	}
	for _, remove := range []func() (int64, error){
		func() (int64, error) { return tx.removeUploads(uid, due, limit) },
		func() (int64, error) {
			n, err := tx.removeAllImages(uid, holder(ref), at, limit)
			done.Images += n
			return n, err
		},
		func() (int64, error) {
			n, err := tx.removeAllLayers(uid, holder(ref), at, limit)
			done.Layers += n
			return n, err
		},
	} {
		n, err := remove()
		if err != nil {
			return done, false, err
		}
		if rows += n; n > 0 {
			return done.Looked(rows), false, nil
		}
	}
	return done.Looked(rows), true, tx.change(`DELETE FROM repositories WHERE uid = $1 AND ended <> 0`, uid)
}

// removeUploads deletes uploads of a repository; their bytes go later.
func (tx *Tx) removeUploads(repository string, due time.Time, limit int) (int64, error) {
	keys, err := tx.strings(`DELETE FROM uploads WHERE id IN (SELECT id FROM uploads WHERE repository = $1 ORDER BY id LIMIT $2) RETURNING key`,
		repository, limit)
	for _, key := range keys {
		if err == nil && key != "" {
			err = tx.PutLeftover(key, due)
		}
	}
	return int64(len(keys)), err
}

// removeAllImages deletes images of a repository that has ended.
func (tx *Tx) removeAllImages(repository, holder string, at time.Time, limit int) (int64, error) {
	return tx.removeHolders(`DELETE FROM images WHERE uid IN (SELECT uid FROM images WHERE repository = $1 LIMIT $2) RETURNING uid, digest, object, manifest_size`,
		gc.Removal{RemovedAt: at, Kind: "image", Reason: "its repository was deleted", Holder: holder}, repository, limit)
}

// removeAllLayers is removeAllImages for layers.
func (tx *Tx) removeAllLayers(repository, holder string, at time.Time, limit int) (int64, error) {
	return tx.removeHolders(`DELETE FROM layers WHERE repository = $1 AND digest IN (SELECT digest FROM layers WHERE repository = $1 LIMIT $2)
		RETURNING repository || ' ' || digest, digest, object, 0`,
		gc.Removal{RemovedAt: at, Kind: "layer", Reason: "its repository was deleted", Holder: holder}, repository, limit)
}

// removeHolders runs a query that deletes what has objects, and notes what is gone.
func (tx *Tx) removeHolders(query string, as gc.Removal, args ...any) (int64, error) {
	var gone []gc.Removal
	objects := map[string]bool{}
	err := tx.rows(query, args, func(rows *sql.Rows) error {
		r := as
		var object string
		err := rows.Scan(&r.Item, &r.Digest, &object, &r.Bytes)
		gone, objects[object] = append(gone, r), true
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, r := range gone {
		if err := tx.noteRemoval(r); err != nil {
			return 0, err
		}
	}
	for object := range objects {
		if err := tx.letGo(object, as.RemovedAt, as.Kind+" removed: "+as.Reason, as.Holder); err != nil {
			return 0, err
		}
	}
	return int64(len(gone)), nil
}

// These are about images of one repository, by a list of their uids.
const (
	noteOrphans = `UPDATE images SET orphaned_at = (SELECT MIN(s.deleted_at) FROM images s
				WHERE s.uid IN (` + list2 + `) AND s.digest = images.subject AND s.deleted_at >= images.pushed_at)
			WHERE repository = $1 AND subject <> '' AND orphaned_at = 0
				AND subject IN (SELECT s.digest FROM images s WHERE s.uid IN (` + list2 + `))
				AND EXISTS (SELECT 1 FROM images s WHERE s.uid IN (` + list2 + `) AND s.digest = images.subject AND s.deleted_at >= images.pushed_at)`
	noteLivingOrphans  = noteOrphans + ` AND deleted_at = 0`
	noteDeletedOrphans = noteOrphans + ` AND deleted_at <> 0`

	notePastImages = `INSERT INTO past_images (uid, repository, digest, subject, status, pushed_at, pulled_at, archived_at, activated_at, deleted_at, expired, orphaned_at)
			SELECT uid, repository, digest, subject, status, pushed_at, pulled_at, archived_at, activated_at, deleted_at, expired, orphaned_at
			FROM images WHERE uid IN (` + list1 + `) ON CONFLICT (uid) DO NOTHING`
	noteLooseLayers = `UPDATE layers SET loose_at = $2 WHERE repository = $1
			AND digest IN (SELECT x.digest FROM image_layers x WHERE x.image IN (` + list3 + `))
			AND NOT EXISTS (SELECT 1 FROM image_layers x WHERE x.repository = layers.repository AND x.digest = layers.digest
				AND x.image NOT IN (` + list3 + `))`
	noteRemovedImages = `INSERT INTO removals (item, removed_at, kind, digest, bytes, reason, holder, key, due_at)
			SELECT uid, CAST($1 AS BIGINT), 'image', digest, manifest_size,
				CASE WHEN expired <> 0 THEN 'a lifecycle policy had deleted it' ELSE 'it had been deleted' END || ', and the time to restore it was over', CAST($2 AS TEXT), '', 0
			FROM images WHERE uid IN (` + list3 + `) ON CONFLICT (item, removed_at) DO NOTHING`
	letGoOfManifests = `INSERT INTO loose_objects (object, since, reason, holder)
			SELECT object, CAST($1 AS BIGINT), 'image removed: the time to restore it was over', CAST($2 AS TEXT) FROM images WHERE uid IN (` + list3 + `) GROUP BY object
			ON CONFLICT (object) DO UPDATE SET since = excluded.since, reason = excluded.reason, holder = excluded.holder`
	removeImageLayers   = `DELETE FROM image_layers WHERE image IN (` + list1 + `)`
	removeImageChildren = `DELETE FROM image_children WHERE image IN (` + list1 + `)`
	removeImages        = `DELETE FROM images WHERE uid IN (` + list1 + `)`
)

// RemoveImages implements [gc.Deleted]. The repository is locked, so that nothing that is
// looked at changes: neither what is restored nor what refers to a layer.
func (tx *Tx) RemoveImages(before, at time.Time) (gc.Removed, error) {
	var repository string
	found, err := tx.row(`SELECT repository FROM images WHERE deleted_at <> 0 AND deleted_at <= $1 ORDER BY deleted_at, uid LIMIT 1`,
		[]any{micros(before)}, &repository)
	if err != nil || !found {
		return gc.Removed{}, err
	}
	ref, _, err := tx.lockedHolder(repository)
	if err != nil {
		return gc.Removed{}, err
	}
	uids, err := tx.strings(`SELECT uid FROM images WHERE repository = $1 AND deleted_at <> 0 AND deleted_at <= $2 ORDER BY deleted_at, uid LIMIT $3`,
		repository, micros(before), inList)
	if err != nil || len(uids) == 0 {
		return gc.Removed{}, err
	}
	for _, step := range []struct {
		query string
		args  []any
	}{
		{noteLivingOrphans, []any{repository}}, {noteDeletedOrphans, []any{repository}}, {notePastImages, nil},
		{noteLooseLayers, []any{repository, micros(at)}}, {noteRemovedImages, []any{micros(at), holder(ref)}},
		{letGoOfManifests, []any{micros(at), holder(ref)}},
		{removeImageLayers, nil}, {removeImageChildren, nil}, {removeImages, nil},
	} {
		if err := tx.change(step.query, filled(uids, step.args...)...); err != nil {
			return gc.Removed{}, err
		}
	}
	n := int64(len(uids))
	return gc.Removed{Images: n}.Looked(n), nil
}

// ForgetRemovals implements [gc.Deleted].
func (tx *Tx) ForgetRemovals(before time.Time, most, limit int) (int64, error) {
	n, err := tx.exec(`DELETE FROM removals WHERE (item, removed_at) IN (
		SELECT item, removed_at FROM removals WHERE removed_at < $1 ORDER BY removed_at LIMIT $2)`, micros(before), limit)
	if err != nil || n > 0 {
		return n, err
	}
	return tx.exec(`DELETE FROM removals WHERE (item, removed_at) IN (
		SELECT item, removed_at FROM removals ORDER BY removed_at LIMIT (SELECT CASE WHEN COUNT(*) > $1 THEN CASE WHEN COUNT(*) - $1 > $2 THEN $2 ELSE COUNT(*) - $1 END ELSE 0 END FROM removals))`,
		most, limit)
}

// ForgetPastImages implements [gc.Deleted].
func (tx *Tx) ForgetPastImages(before time.Time, limit int) (int64, error) {
	return tx.exec(`DELETE FROM past_images WHERE uid IN (SELECT uid FROM past_images WHERE deleted_at < $1 ORDER BY deleted_at LIMIT $2)`, micros(before), limit)
}
