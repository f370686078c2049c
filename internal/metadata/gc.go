package metadata

import (
	"database/sql"
	"fmt"
	"slices"
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
	var bytes int64
	for _, l := range gone {
		if err := tx.letGo(l[1], at, "no image refers to the layer", holder(ref)); err != nil {
			return done, err
		}
		if err := tx.noteRemoval(gc.Removal{
			Item: repository + " " + l[0], RemovedAt: at, Kind: "layer", Digest: l[0], Bytes: sizes[l[0]],
			Reason: "no image of the repository referred to it any more", Holder: holder(ref),
		}); err != nil {
			return done, err
		}
		bytes += sizes[l[0]]
	}
	done.Layers = int64(len(gone))
	return done, tx.release(repository, bytes)
}

// noteRemoval has it known for a while that something was removed.
func (tx *Tx) noteRemoval(r gc.Removal) error {
	return tx.change(`INSERT INTO removals (item, removed_at, kind, digest, bytes, reason, holder, key, due_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (item, removed_at) DO NOTHING`,
		r.Item, micros(r.RemovedAt), r.Kind, r.Digest, r.Bytes, r.Reason, r.Holder, r.Key, micros(r.BytesUntil))
}

const (
	claimObjects = `DELETE FROM loose_objects WHERE object IN (SELECT object FROM loose_objects ORDER BY since, object LIMIT $1)
		RETURNING object, reason, holder`
	lockObjects   = `SELECT uid FROM objects WHERE uid IN (` + list1 + `)`
	removeObjects = `DELETE FROM objects WHERE uid IN (` + list1 + `)
			AND NOT EXISTS (SELECT 1 FROM layers l WHERE l.object = objects.uid)
			AND NOT EXISTS (SELECT 1 FROM images i WHERE i.object = objects.uid)
		RETURNING uid, digest, size, key`
)

// RemoveObjects implements [gc.Loose]. The notes are taken first: who lets go of an
// object meanwhile has written a note before, and this waits for that, or waits to
// write one. Then the objects are locked, against those who link them, and only then is
// it looked, by another statement, whether anything has them: it sees all that was
// linked before. What others have locked now is looked at another time.
func (tx *Tx) RemoveObjects(at, due time.Time, limit int) (gc.Removed, error) {
	type note struct{ reason, holder string }
	var busy int64
	notes, uids := map[string]note{}, []string{}
	err := tx.rows(claimObjects, []any{min(limit, inList)}, func(rows *sql.Rows) error {
		var uid string
		var n note
		err := rows.Scan(&uid, &n.reason, &n.holder)
		notes[uid], uids = n, append(uids, uid)
		return err
	})
	if err != nil || len(uids) == 0 {
		return gc.Removed{}, err
	}
	done := gc.Removed{}.Looked(int64(len(uids)))
	free, err := tx.lockedObjects(uids)
	if err != nil {
		return done, err
	}
	var gone []gc.Removal
	err = tx.rows(removeObjects, filled(free), func(rows *sql.Rows) error {
		r := gc.Removal{RemovedAt: at, Kind: "object"}
		err := rows.Scan(&r.Item, &r.Digest, &r.Bytes, &r.Key)
		r.Reason, r.Holder = notes[r.Item].reason, notes[r.Item].holder
		gone = append(gone, r)
		return err
	})
	if err != nil {
		return done, err
	}
	for _, r := range gone {
		if r.Key != "" {
			r.BytesUntil = due
			if err := tx.PutLeftover(r.Key, due); err != nil {
				return done, err
			}
		}
		if err := tx.noteRemoval(r); err != nil {
			return done, err
		}
		done.Objects++
		done.Bytes += r.Bytes
	}
	for _, uid := range uids {
		if slices.Contains(free, uid) {
			continue
		}
		n, err := tx.exec(`INSERT INTO loose_objects (object, since, reason, holder)
			SELECT uid, CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT) FROM objects WHERE uid = $1 ON CONFLICT (object) DO NOTHING`, uid, micros(at), notes[uid].reason, notes[uid].holder)
		if err != nil {
			return done, err
		}
		busy += n
	}
	return done.Looked(int64(len(uids)) - busy), nil
}

// lockedObjects locks those of the objects that nobody has locked, and returns them.
func (tx *Tx) lockedObjects(uids []string) ([]string, error) {
	if tx.locks == nil {
		return uids, nil
	}
	return tx.strings(lockObjects+tx.locks[registry.LockDelete]+` SKIP LOCKED`, filled(uids)...)
}
