package metadata

import (
	"database/sql"
	"time"

	"berth/internal/gc"
)

// UnnotedLayers implements [gc.Recounts].
func (tx *Tx) UnnotedLayers(after gc.LooseLayer, limit int) (out []gc.LooseLayer, last *gc.LooseLayer, err error) {
	n := 0
	err = tx.rows(`SELECT repository, digest, CASE WHEN loose_at = 0 AND NOT EXISTS (SELECT 1 FROM image_layers x
				WHERE x.repository = layers.repository AND x.digest = layers.digest) THEN 1 ELSE 0 END
		FROM layers WHERE (repository, digest) > ($1, $2) ORDER BY repository, digest LIMIT $3`,
		[]any{after.Repository, after.Digest, limit}, func(rows *sql.Rows) error {
			var l gc.LooseLayer
			var loose int64
			err := rows.Scan(&l.Repository, &l.Digest, &loose)
			n++
			if last = &l; loose != 0 {
				out = append(out, l)
			}
			return err
		})
	if n < limit {
		last = nil
	}
	return out, last, err
}

// UnnotedObjects implements [gc.Recounts].
func (tx *Tx) UnnotedObjects(after string, limit int) (out []string, last string, err error) {
	n := 0
	err = tx.rows(`SELECT uid, CASE WHEN NOT EXISTS (SELECT 1 FROM layers l WHERE l.object = objects.uid)
				AND NOT EXISTS (SELECT 1 FROM images i WHERE i.object = objects.uid)
				AND NOT EXISTS (SELECT 1 FROM loose_objects n WHERE n.object = objects.uid) THEN 1 ELSE 0 END
		FROM objects WHERE uid > $1 ORDER BY uid LIMIT $2`,
		[]any{after, limit}, func(rows *sql.Rows) error {
			var loose int64
			err := rows.Scan(&last, &loose)
			if n++; loose != 0 {
				out = append(out, last)
			}
			return err
		})
	if n < limit {
		last = ""
	}
	return out, last, err
}

// NoteLayer implements [gc.Recounts].
func (tx *Tx) NoteLayer(l gc.LooseLayer, at time.Time) (bool, error) {
	n, err := tx.exec(`UPDATE layers SET loose_at = $3 WHERE repository = $1 AND digest = $2 AND loose_at = 0
		AND NOT EXISTS (SELECT 1 FROM image_layers x WHERE x.repository = layers.repository AND x.digest = layers.digest)`,
		l.Repository, l.Digest, micros(at))
	return n == 1, err
}

// NoteObject implements [gc.Recounts].
func (tx *Tx) NoteObject(uid string, at time.Time) error {
	return tx.letGo(uid, at, "nothing had it when all was looked through", "")
}

const knownKeys = `SELECT key FROM objects WHERE key <> '' AND key IN (` + list1 + `)
	UNION SELECT key FROM uploads WHERE key <> '' AND key IN (` + list1 + `)
	UNION SELECT key FROM leftovers WHERE key IN (` + list1 + `)`

// KnownKeys implements [gc.Keys].
func (tx *Tx) KnownKeys(keys []string) (known []string, err error) {
	for len(keys) > 0 {
		n := min(len(keys), inList)
		some, err := tx.strings(knownKeys, filled(keys[:n])...)
		if err != nil {
			return nil, err
		}
		known, keys = append(known, some...), keys[n:]
	}
	return known, nil
}
