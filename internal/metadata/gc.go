package metadata

import (
	"database/sql"
	"fmt"
	"time"

	"berth/internal/gc"
	"berth/internal/registry"
)

var _ gc.Tx = (*Tx)(nil)

// GarbageState implements [gc.States].
func (tx *Tx) GarbageState(name string, lock bool) (string, error) {
	var document string
	query := `SELECT document FROM gc_state WHERE name = $1`
	if lock {
		query += tx.locks[registry.LockChange]
	}
	found, err := tx.row(query, []any{name}, &document)
	if err == nil && !found {
		err = fmt.Errorf("there is no state %s", name)
	}
	return document, err
}

// PutGarbageState implements [gc.States].
func (tx *Tx) PutGarbageState(name, document string) error {
	return tx.change(`UPDATE gc_state SET document = $2 WHERE name = $1`, name, document)
}

// GarbageDue implements [gc.States].
func (tx *Tx) GarbageDue(over, loose time.Time) (bool, error) {
	var due int
	_, err := tx.row(`SELECT CASE WHEN EXISTS (SELECT 1 FROM repositories WHERE deleted_at <> 0 AND deleted_at <= $1)
		OR EXISTS (SELECT 1 FROM images WHERE deleted_at <> 0 AND deleted_at <= $1)
		OR EXISTS (SELECT 1 FROM layers WHERE loose_at <> 0 AND loose_at <= $2)
		OR EXISTS (SELECT 1 FROM loose_objects) THEN 1 ELSE 0 END`, []any{micros(over), micros(loose)}, &due)
	return due != 0, err
}

// GarbageQueue implements [gc.States].
func (tx *Tx) GarbageQueue() (gc.Queue, error) {
	var q gc.Queue
	_, err := tx.row(`SELECT (SELECT COUNT(*) FROM repositories WHERE deleted_at <> 0), (SELECT COUNT(*) FROM images WHERE deleted_at <> 0),
			(SELECT COUNT(*) FROM layers WHERE loose_at <> 0), (SELECT COUNT(*) FROM loose_objects), (SELECT COUNT(*) FROM leftovers),
			(SELECT COALESCE(MAX(due_at), 0) FROM leftovers)`,
		nil, &q.Repositories, &q.Images, &q.Layers, &q.Objects, &q.Keys, (*instant)(&q.KeysUntil))
	return q, err
}

// LooseLayers implements [gc.Loose].
func (tx *Tx) LooseLayers(since time.Time, limit int) ([]gc.LooseLayer, error) {
	var out []gc.LooseLayer
	err := tx.rows(`SELECT repository, digest FROM layers WHERE loose_at <> 0 AND loose_at <= $1 ORDER BY loose_at LIMIT $2`,
		[]any{micros(since), limit}, func(rows *sql.Rows) error {
			var l gc.LooseLayer
			err := rows.Scan(&l.Repository, &l.Digest)
			out = append(out, l)
			return err
		})
	return out, err
}

// lockedHolder locks a repository, deleted or not, so that no image comes into it or
// comes back, and returns its name and whether it is there.
func (tx *Tx) lockedHolder(uid string) (r registry.Ref, found bool, err error) {
	found, err = tx.row(`SELECT account, region, name FROM repositories WHERE uid = $1`+tx.locks[registry.LockChange],
		[]any{uid}, &r.Account, &r.Region, &r.Name)
	return r, found, err
}

const (
	unlinkedLayers = `SELECT l.digest, l.object, o.size FROM layers l JOIN objects o ON o.uid = l.object
		WHERE l.repository = $1 AND l.digest IN (` + list2 + `)`
	unlinkLayers = `DELETE FROM layers WHERE repository = $1 AND loose_at <> 0 AND loose_at <= $2 AND lease_until <= $2
			AND digest IN (` + list3 + `)
			AND NOT EXISTS (SELECT 1 FROM image_layers x WHERE x.repository = layers.repository AND x.digest = layers.digest)
		RETURNING digest, object`
	// Layers that were unlinked are noted by their objects, which have the same digests.
	letGoOfLayers = `INSERT INTO loose_objects (object, since, reason, holder)
		SELECT uid, CAST($1 AS BIGINT), 'no image refers to the layer', CAST($2 AS TEXT) FROM objects WHERE uid IN (` + list3 + `)
		ON CONFLICT (object) DO UPDATE SET since = excluded.since, reason = excluded.reason, holder = excluded.holder`
	noteRemovedLayers = `INSERT INTO removals (item, removed_at, kind, digest, bytes, reason, holder, key, due_at)
		SELECT CAST($3 AS TEXT) || ' ' || digest, CAST($1 AS BIGINT), 'layer', digest, size, 'no image of the repository referred to it any more', CAST($2 AS TEXT), '', 0
		FROM objects WHERE uid IN (` + list4 + `) ON CONFLICT (item, removed_at) DO NOTHING`
	relookLayers = `UPDATE layers SET loose_at = CASE WHEN EXISTS (SELECT 1 FROM image_layers x
				WHERE x.repository = layers.repository AND x.digest = layers.digest) THEN 0 ELSE lease_until END
		WHERE repository = $1 AND loose_at <> 0 AND loose_at <= $2 AND digest IN (` + list3 + `)`
)

// UnlinkLayers implements [gc.Loose].
func (tx *Tx) UnlinkLayers(repository string, digests []string, since, at time.Time) (gc.Removed, error) {
	done := gc.Removed{}.Looked(int64(len(digests)))
	ref, found, err := tx.lockedHolder(repository)
	if err != nil || !found {
		return done, err
	}
	sizes := map[string]int64{}
	err = tx.rows(unlinkedLayers, filled(digests, repository), func(rows *sql.Rows) error {
		var digest, object string
		var size int64
		err := rows.Scan(&digest, &object, &size)
		sizes[digest] = size
		return err
	})
	if err != nil {
		return done, err
	}
	var gone [][2]string
	err = tx.rows(unlinkLayers, filled(digests, repository, micros(since)), func(rows *sql.Rows) error {
		var l [2]string
		err := rows.Scan(&l[0], &l[1])
		gone = append(gone, l)
		return err
	})
	if err != nil {
		return done, err
	}
	if err := tx.change(relookLayers, filled(digests, repository, micros(since))...); err != nil {
		return done, err
	}
	var objects []string
	var bytes int64
	for _, l := range gone {
		objects = append(objects, l[1])
		bytes += sizes[l[0]]
	}
	if done.Layers = int64(len(gone)); len(gone) == 0 {
		return done, nil
	}
	if err := tx.change(letGoOfLayers, filled(objects, micros(at), holder(ref))...); err != nil {
		return done, err
	}
	if err := tx.change(noteRemovedLayers, filled(objects, micros(at), holder(ref), repository)...); err != nil {
		return done, err
	}
	return done, tx.release(repository, bytes)
}

// noteRemoval has it known for a while that something was removed.
func (tx *Tx) noteRemoval(r gc.Removal) error {
	return tx.change(`INSERT INTO removals (item, removed_at, kind, digest, bytes, reason, holder, key, due_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (item, removed_at) DO NOTHING`,
		r.Item, micros(r.RemovedAt), r.Kind, r.Digest, r.Bytes, r.Reason, r.Holder, r.Key, micros(r.BytesUntil))
}

const (
	claimObjects = `UPDATE loose_objects SET since = since WHERE object IN (SELECT object FROM loose_objects ORDER BY since, object LIMIT $1)
		RETURNING object`
	lockObjects    = `SELECT uid FROM objects WHERE uid IN (` + list1 + `)`
	garbageObjects = `SELECT uid, size FROM objects WHERE uid IN (` + list1 + `)
			AND NOT EXISTS (SELECT 1 FROM layers l WHERE l.object = objects.uid)
			AND NOT EXISTS (SELECT 1 FROM images i WHERE i.object = objects.uid)`
	keysToRemove = `INSERT INTO leftovers (key, due_at) SELECT key, CAST($1 AS BIGINT) FROM objects WHERE key <> '' AND uid IN (` + list2 + `)
		ON CONFLICT (key) DO UPDATE SET due_at = excluded.due_at`
	noteRemovedObjects = `INSERT INTO removals (item, removed_at, kind, digest, bytes, reason, holder, key, due_at)
		SELECT o.uid, CAST($1 AS BIGINT), 'object', o.digest, o.size, n.reason, n.holder, o.key, CASE WHEN o.key = '' THEN 0 ELSE CAST($2 AS BIGINT) END
		FROM objects o JOIN loose_objects n ON n.object = o.uid WHERE o.uid IN (` + list3 + `) ON CONFLICT (item, removed_at) DO NOTHING`
	removeObjects = `DELETE FROM objects WHERE uid IN (` + list1 + `)`
	forgetHeld    = `DELETE FROM loose_objects WHERE object IN (` + list1 + `)`
	forgetGone    = `DELETE FROM loose_objects WHERE object IN (` + list1 + `) AND NOT EXISTS (SELECT 1 FROM objects o WHERE o.uid = loose_objects.object)`
)

// RemoveObjects implements [gc.Loose]. The notes are locked first: who lets go of an
// object meanwhile has written a note before, and this waits for that, or waits to
// write one. Then the objects are locked, against those who link them, and only then is
// it looked, by another statement, whether anything has them: it sees all that was
// linked before. What others have locked now is looked at another time.
func (tx *Tx) RemoveObjects(at, due time.Time, limit int) (gc.Removed, error) {
	noted, err := tx.strings(claimObjects, min(limit, inList))
	if err != nil || len(noted) == 0 {
		return gc.Removed{}, err
	}
	free, err := tx.lockedObjects(noted)
	if err != nil {
		return gc.Removed{}, err
	}
	done := gc.Removed{}.Looked(int64(len(free)))
	var gone []string
	err = tx.rows(garbageObjects, filled(free), func(rows *sql.Rows) error {
		var uid string
		var size int64
		err := rows.Scan(&uid, &size)
		gone = append(gone, uid)
		done.Objects++
		done.Bytes += size
		return err
	})
	if err != nil {
		return done, err
	}
	for _, step := range []struct {
		query string
		list  []string
		args  []any
	}{
		{keysToRemove, gone, []any{micros(due)}}, {noteRemovedObjects, gone, []any{micros(at), micros(due)}},
		{removeObjects, gone, nil}, {forgetHeld, free, nil}, {forgetGone, noted, nil},
	} {
		if err := tx.change(step.query, filled(step.list, step.args...)...); err != nil {
			return done, err
		}
	}
	return done, nil
}

// lockedObjects locks those of the objects that nobody has locked, and returns them.
func (tx *Tx) lockedObjects(uids []string) ([]string, error) {
	if tx.locks == nil {
		return uids, nil
	}
	return tx.strings(lockObjects+tx.locks[registry.LockDelete]+` SKIP LOCKED`, filled(uids)...)
}
