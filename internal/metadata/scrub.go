package metadata

import (
	"database/sql"
	"encoding/json"
	"strings"
	"time"

	"berth/internal/blob"
	"berth/internal/fsck"
	"berth/internal/registry"
	"berth/internal/scrub"
)

var _ scrub.Tx = (*Tx)(nil)

// damagedGrace is how long the bytes of what was replaced stay, for those who have begun
// to read them.
const damagedGrace = time.Hour

// damagedOf returns the key domain's objects of a digest that are in quarantine. Nobody
// else replaces them until the transaction ends.
func (tx *Tx) damagedOf(domain string, o blob.Object) ([]fsck.Object, error) {
	return tx.objectsWhere(`key_domain = $1 AND digest = $2 AND deleted_at = 0 AND damaged_at <> 0`+tx.locks[registry.LockChange], domain, string(o.Digest))
}

// replace puts an object in the place of damaged ones of its key domain and digest, for
// all that hold them. The result is as of object.
func (tx *Tx) replace(damaged []fsck.Object, domain string, o blob.Object, now time.Time) (uid string, taken bool, err error) {
	if o.Format != blob.FormatPlain && o.Domain.Name != domain {
		return "", false, errOtherDomain(o, domain)
	}
	tx.changed = true
	o.Domain.Name = domain
	for _, d := range damaged {
		if algorithm(d.Format) != algorithm(o.Format) {
			continue
		}
		uid, taken = d.UID, true
		if err := tx.change(`UPDATE objects SET size = $2, format = $3, key = $4, content = $5, key_id = $6, wrapped_key = $7, archived = 0, damaged_at = 0
			WHERE uid = $1`, d.UID, o.Size, o.Format, o.Key, o.Content, keyID(&o), o.WrappedKey); err != nil {
			return "", false, err
		}
	}
	if !taken {
		if uid, taken, err = tx.record(domain, o, now); err != nil {
			return "", false, err
		}
	}
	for _, d := range damaged {
		if d.UID != uid { // sealed in another way
			err = tx.supersede(d.UID, uid)
		}
		if err == nil && d.Key != "" && d.Key != o.Key {
			err = tx.PutLeftover(d.Key, now.Add(damagedGrace))
		}
		if err != nil {
			return "", false, err
		}
	}
	return uid, taken, tx.emitObject(registry.ObjectHealed, o, "", now)
}

// supersede has all that hold an object hold another one, and forgets it.
func (tx *Tx) supersede(uid, by string) error {
	for _, statement := range []string{
		`UPDATE layers SET object = $2 WHERE object = $1`,
		`UPDATE images SET object = $2 WHERE object = $1`,
	} {
		if err := tx.change(statement, uid, by); err != nil {
			return err
		}
	}
	return tx.change(`DELETE FROM objects WHERE uid = $1`, uid)
}

// emitObject writes an event about an object, in the registry that its key domain is of.
func (tx *Tx) emitObject(kind string, o blob.Object, detail string, at time.Time) error {
	account, rest, _ := strings.Cut(o.Domain.Name, "/")
	region, _, _ := strings.Cut(rest, "/")
	return tx.Emit(registry.Event{Kind: kind, Ref: registry.Ref{ID: registry.ID{Account: account, Region: region}}, Time: at, Digest: o.Digest, Detail: detail})
}

// HealObject implements [registry.LayerWriter].
func (tx *Tx) HealObject(repo *registry.Repository, o blob.Object, at time.Time) error {
	damaged, err := tx.objectsWhere(`key_domain = $1 AND digest = $2 AND deleted_at = 0`+tx.locks[registry.LockChange], repo.KeyDomain(), string(o.Digest))
	if err == nil {
		_, _, err = tx.replace(damaged, repo.KeyDomain(), o, at)
	}
	return err
}

// Object implements [scrub.Tx].
func (tx *Tx) Object(uid string) (*fsck.Object, error) {
	found, err := tx.objectsWhere(`uid = $1 AND deleted_at = 0`, uid)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// LastObject implements [scrub.Tx].
func (tx *Tx) LastObject() (uid string, err error) {
	_, err = tx.row(`SELECT COALESCE(MAX(uid), '') FROM objects`, nil, &uid)
	return uid, err
}

// Neighbours implements [scrub.Tx].
func (tx *Tx) Neighbours(place, uid string, before bool, limit int) ([]fsck.Object, error) {
	if before {
		return tx.objectsWhere(inPlace+` AND uid < $2 ORDER BY uid DESC LIMIT $3`, place, uid, limit)
	}
	return tx.objectsWhere(inPlace+` AND uid > $2 ORDER BY uid LIMIT $3`, place, uid, limit)
}

// inPlace are the objects whose bytes should be in a place.
const inPlace = `key <> '' AND deleted_at = 0 AND damaged_at = 0
	AND CASE WHEN substr(key, 1, 3) = 's3:' THEN 's3:' ELSE '' END = $1`

// Copies implements [scrub.Tx]. Those of the same account come first.
func (tx *Tx) Copies(o fsck.Object, limit int) ([]fsck.Object, error) {
	account, _, _ := strings.Cut(o.Domain.Name, "/")
	return tx.objectsWhere(`digest = $1 AND uid <> $2 AND deleted_at = 0 AND damaged_at = 0 AND (key_id = '' OR key_domain >= $3 AND key_domain < $4)
		ORDER BY CASE WHEN key_domain >= $3 AND key_domain < $4 THEN 0 ELSE 1 END, uid LIMIT $5`,
		string(o.Digest), o.UID, account+"/", account+"0", limit)
}

// Quarantine implements [scrub.Tx].
func (tx *Tx) Quarantine(o fsck.Object, reason string, at time.Time) (bool, error) {
	tx.changed = true
	n, err := tx.exec(`UPDATE objects SET damaged_at = $2 WHERE uid = $1 AND key = $3 AND (content IS NULL OR content = $4)
		AND deleted_at = 0 AND damaged_at = 0`, o.UID, micros(at), o.Key, o.Content)
	if err != nil || n == 0 {
		return false, err
	}
	return true, tx.emitObject(registry.ObjectDamaged, o.Object, reason, at)
}

// Release implements [scrub.Tx].
func (tx *Tx) Release(o fsck.Object, at time.Time) (bool, error) {
	tx.changed = true
	n, err := tx.exec(`UPDATE objects SET damaged_at = 0 WHERE uid = $1 AND key = $2 AND damaged_at <> 0`, o.UID, o.Key)
	if err != nil || n == 0 {
		return false, err
	}
	return true, tx.emitObject(registry.ObjectHealed, o.Object, "", at)
}

// Heal implements [scrub.Tx].
func (tx *Tx) Heal(was fsck.Object, o blob.Object, at time.Time) (bool, error) {
	damaged, err := tx.damagedOf(was.Domain.Name, o)
	if err != nil || len(damaged) == 0 {
		return false, err
	}
	_, taken, err := tx.replace(damaged, was.Domain.Name, o, at)
	return taken, err
}

// DamagedCount implements [scrub.Tx].
func (tx *Tx) DamagedCount() (n int64, err error) {
	_, err = tx.row(`SELECT COUNT(*) FROM objects WHERE damaged_at <> 0 AND deleted_at = 0`, nil, &n)
	return n, err
}

// DamagedObjects implements [scrub.Tx].
func (tx *Tx) DamagedObjects(after string, limit int) ([]fsck.Object, error) {
	return tx.objectPage(`uid > $1 AND damaged_at <> 0 AND deleted_at = 0 ORDER BY uid LIMIT $2`, after, limit)
}

// Damaged implements [scrub.Tx].
func (tx *Tx) Damaged(limit int) (out []scrub.Damaged, _ error) {
	err := tx.rows(`SELECT uid, digest, key_domain, size, damaged_at FROM objects WHERE damaged_at <> 0 AND deleted_at = 0 ORDER BY uid LIMIT $1`,
		[]any{limit}, func(rows *sql.Rows) error {
			var d scrub.Damaged
			err := rows.Scan(&d.UID, &d.Digest, &d.KeyDomain, &d.Bytes, (*instant)(&d.Since))
			out = append(out, d)
			return err
		})
	for i := range out {
		if err != nil {
			break
		}
		out[i].Repositories, err = tx.objectHolders(out[i].UID)
	}
	return out, err
}

// maxHolders is how many repositories of an object are named.
const maxHolders = 10

// objectHolders returns the names of repositories that an object is a layer or a manifest of.
func (tx *Tx) objectHolders(uid string) ([]string, error) {
	return tx.strings(`SELECT r.name FROM repositories r WHERE r.deleted_at = 0 AND r.uid IN (
			SELECT repository FROM layers WHERE object = $1 UNION SELECT repository FROM images WHERE object = $1 AND deleted_at = 0)
		ORDER BY r.name LIMIT $2`, uid, maxHolders)
}

// ScrubState implements [scrub.Tx].
func (tx *Tx) ScrubState(name string, into any) error {
	var document string
	found, err := tx.row(`SELECT document FROM scrub_state WHERE name = $1`, []any{name}, &document)
	if err != nil || !found {
		return err
	}
	return json.Unmarshal([]byte(document), into)
}

// PutScrubState implements [scrub.Tx].
func (tx *Tx) PutScrubState(name string, state any) error {
	document, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return tx.change(`UPDATE scrub_state SET document = $2 WHERE name = $1`, name, string(document))
}
