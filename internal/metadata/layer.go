package metadata

import (
	"database/sql"
	"fmt"
	"strings"
	"time"

	"berth/internal/blob"
	"berth/internal/registry"

	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"
)

// Layer implements [registry.LayerReader].
func (tx *Tx) Layer(repository string, d digest.Digest) (*registry.Layer, error) {
	l := registry.Layer{Repository: repository, Digest: d}
	l.Object.Digest = d
	var lease, damaged int64
	var use string
	found, err := tx.row(`SELECT l.object, l.lease_until, o.size, o.format, o.key, o.content, o.archived, o.damaged_at, `+sealColumns+`,
			COALESCE((SELECT 'ACTIVE ' || x.media_type FROM image_layers x JOIN images i ON i.uid = x.image
					WHERE x.repository = l.repository AND x.digest = l.digest AND i.status = 'ACTIVE' AND i.deleted_at = 0 LIMIT 1),
				(SELECT 'ARCHIVED ' || x.media_type FROM image_layers x JOIN images i ON i.uid = x.image
					WHERE x.repository = l.repository AND x.digest = l.digest AND i.deleted_at = 0 LIMIT 1), '')
		FROM layers l JOIN objects o ON o.uid = l.object WHERE l.repository = $1 AND l.digest = $2`,
		[]any{repository, string(d)}, append(append([]any{&l.ObjectUID, &lease, &l.Object.Size, &l.Object.Format, &l.Object.Key,
			&l.Object.Content, &l.Cheap, &damaged}, sealFields(&l.Object)...), &use)...)
	if err != nil || !found {
		return nil, err
	}
	l.Object.Domain.Double, l.Object.Damaged = l.Object.Format == blob.FormatDoublySealed, damaged != 0
	l.LeaseUntil = fromMicros(lease)
	l.Archived = strings.HasPrefix(use, "ARCHIVED ")
	_, l.MediaType, _ = strings.Cut(use, " ")
	return &l, nil
}

// LayerInUse implements [registry.LayerReader].
func (tx *Tx) LayerInUse(repository string, d digest.Digest) (bool, error) {
	var one int
	return tx.row(`SELECT 1 FROM image_layers l JOIN images i ON i.uid = l.image
		WHERE l.repository = $1 AND l.digest = $2 AND i.deleted_at = 0 LIMIT 1`, []any{repository, string(d)}, &one)
}

// LayerHolders implements [registry.LayerReader].
func (tx *Tx) LayerHolders(id registry.ID, domain string, d digest.Digest, limit int) ([]registry.Ref, error) {
	var out []registry.Ref
	err := tx.rows(`SELECT r.name FROM layers l JOIN repositories r ON r.uid = l.repository
		WHERE l.digest = $1 AND r.account = $2 AND r.region = $3 AND r.key_domain = $4 AND r.deleted_at = 0 LIMIT $5`,
		[]any{string(d), id.Account, id.Region, domain, limit}, func(rows *sql.Rows) error {
			ref := registry.Ref{ID: id}
			err := rows.Scan(&ref.Name)
			out = append(out, ref)
			return err
		})
	return out, err
}

// sealColumns are what an object needs to be opened that is sealed, and sealFields
// where they go.
const sealColumns = `o.key_domain, o.key_id, o.wrapped_key`

func sealFields(o *blob.Object) []any { return []any{&o.Domain.Name, &o.Domain.Key, &o.WrappedKey} }

// algorithm is what an object of a format is sealed with.
func algorithm(format int) string {
	if format == blob.FormatPlain {
		return ""
	}
	return blob.Algorithm
}

// keyID is the key that wraps an object's data keys.
func keyID(o *blob.Object) string {
	if o.Format == blob.FormatPlain {
		return ""
	}
	return o.Domain.Key
}

// object returns the id of the key domain's object of that digest, sealed or not as the
// given one is, and whether it is the given one, recorded now. The given one takes the
// place of what is damaged.
func (tx *Tx) object(domain string, o blob.Object, now time.Time) (string, bool, error) {
	damaged, err := tx.damagedOf(domain, o)
	if err != nil {
		return "", false, err
	}
	if len(damaged) > 0 {
		return tx.replace(damaged, domain, o, now)
	}
	return tx.record(domain, o, now)
}

// record is object where nothing is damaged.
func (tx *Tx) record(domain string, o blob.Object, now time.Time) (string, bool, error) {
	if o.Format != blob.FormatPlain && o.Domain.Name != domain {
		return "", false, errOtherDomain(o, domain)
	}
	for {
		uid := uuid.Must(uuid.NewV7()).String()
		n, err := tx.exec(`INSERT INTO objects (uid, key_domain, digest, size, format, created_at, key, content, algorithm, key_id, wrapped_key)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
			ON CONFLICT (key_domain, digest, algorithm) WHERE deleted_at = 0 DO NOTHING`,
			uid, domain, string(o.Digest), o.Size, o.Format, micros(now), o.Key, o.Content, algorithm(o.Format), keyID(&o), o.WrappedKey)
		if err != nil || n == 1 {
			return uid, n == 1, err
		}
		found, err := tx.row(`SELECT uid FROM objects WHERE key_domain = $1 AND digest = $2 AND algorithm = $3 AND deleted_at = 0`+tx.locks[registry.LockAdd],
			[]any{domain, string(o.Digest), algorithm(o.Format)}, &uid)
		if err != nil || found {
			return uid, false, err
		}
		// It was garbage and has been removed between the two statements.
	}
}

func errOtherDomain(o blob.Object, domain string) error {
	return fmt.Errorf("object %s is sealed for the key domain %s, not for %s", o.Digest, o.Domain.Name, domain)
}

// LinkLayer implements [registry.LayerWriter].
func (tx *Tx) LinkLayer(repo *registry.Repository, o blob.Object, at, lease time.Time) (*registry.Layer, bool, error) {
	uid, added, err := tx.object(repo.KeyDomain(), o, at)
	if err != nil {
		return nil, false, err
	}
	l := &registry.Layer{Repository: repo.UID, Digest: o.Digest, ObjectUID: uid, Object: o, LeaseUntil: lease}
	return l, added, tx.linkObject(repo, l, at, lease)
}

// LinkObject implements [registry.LayerWriter]. The object is locked before it is
// linked: what is garbage is removed, and what is damaged marked, under a lock that excludes
// this one.
func (tx *Tx) LinkObject(repo *registry.Repository, from *registry.Layer, at, lease time.Time) (bool, error) {
	var one int
	there, err := tx.row(`SELECT 1 FROM objects WHERE uid = $1 AND damaged_at = 0`+tx.locks[registry.LockAdd], []any{from.ObjectUID}, &one)
	if err != nil || !there {
		return false, err
	}
	return true, tx.linkObject(repo, from, at, lease)
}

// linkObject makes a repository hold a layer whose object is locked. That no image
// refers to it yet is looked at when the lease is over.
func (tx *Tx) linkObject(repo *registry.Repository, from *registry.Layer, at, lease time.Time) error {
	for {
		n, err := tx.exec(`INSERT INTO layers (repository, digest, object, lease_until, loose_at) VALUES ($1, $2, $3, $4, $4)
			ON CONFLICT (repository, digest) DO NOTHING`, repo.UID, string(from.Digest), from.ObjectUID, micros(lease))
		if err != nil {
			return err
		}
		if n == 1 {
			return tx.addStorage(repo.Account, string(repo.Name), from.Object.Size)
		}
		var before string
		found, err := tx.row(`SELECT object FROM layers WHERE repository = $1 AND digest = $2`, []any{repo.UID, string(from.Digest)}, &before)
		if err != nil {
			return err
		}
		object := before
		if algorithm(from.Object.Format) != "" {
			object = from.ObjectUID
		}
		if found {
			n, err = tx.exec(`UPDATE layers SET lease_until = CASE WHEN lease_until > $3 THEN lease_until ELSE $3 END, object = $5
				WHERE repository = $1 AND digest = $2 AND object = $4`,
				repo.UID, string(from.Digest), micros(lease), before, object)
		}
		if err != nil || n == 1 {
			if err == nil && object != before {
				err = tx.letGo(before, at, "the layer is sealed now", holder(repo.Ref))
			}
			return err
		}
		// Somebody has unlinked it, or changed it, between the statements.
	}
}

// holder is what a repository is called where it is kept that it has let go of something.
func holder(r registry.Ref) string { return r.Account + "/" + r.Region + "/" + string(r.Name) }

// letGo notes that something does not hold an object any more, in the transaction in
// which that comes about. A note that is there already is written again, never left
// alone: who is looking into it must wait for this transaction, or this one for it.
func (tx *Tx) letGo(object string, at time.Time, reason, holder string) error {
	return tx.change(`INSERT INTO loose_objects (object, since, reason, holder) VALUES ($1, $2, $3, $4)
		ON CONFLICT (object) DO UPDATE SET since = excluded.since, reason = excluded.reason, holder = excluded.holder`,
		object, micros(at), reason, holder)
}

// LeaseLayer implements [registry.LayerWriter].
func (tx *Tx) LeaseLayer(l *registry.Layer, until time.Time) (bool, error) {
	n, err := tx.exec(`UPDATE layers SET lease_until = CASE WHEN lease_until > $3 THEN lease_until ELSE $3 END
		WHERE repository = $1 AND digest = $2`, l.Repository, string(l.Digest), micros(until))
	return n == 1, err
}

// UnlinkLayer implements [registry.LayerWriter].
func (tx *Tx) UnlinkLayer(ref registry.Ref, l *registry.Layer, at time.Time) error {
	var object string
	found, err := tx.row(`DELETE FROM layers WHERE repository = $1 AND digest = $2 RETURNING object`, []any{l.Repository, string(l.Digest)}, &object)
	if err != nil || !found {
		return err
	}
	if err := tx.letGo(object, at, "the layer was deleted", holder(ref)); err != nil {
		return err
	}
	return tx.release(l.Repository, l.Object.Size)
}
