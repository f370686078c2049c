package metadata

import (
	"database/sql"

	"berth/internal/gc"
)

// imageFacts are the columns of an image i of a repository r; facts reads them.
const imageFacts = `i.uid, i.digest, r.account || '/' || r.region || '/' || r.name, i.pushed_at, i.deleted_at, r.deleted_at,
	CASE WHEN i.deleted_at = 0 THEN (SELECT COALESCE(string_agg(name, ','), '') FROM (SELECT name FROM tags WHERE image = i.uid ORDER BY name LIMIT 5) AS t) ELSE i.deleted_tags END,
	(SELECT COALESCE(string_agg(x, ','), '') FROM (SELECT p.digest || COALESCE(' (tag ' || (SELECT MIN(t.name) FROM tags t WHERE t.image = p.uid) || ')', '') AS x
		FROM image_children c JOIN images p ON p.uid = c.image WHERE c.repository = i.repository AND c.digest = i.digest AND p.deleted_at = 0 ORDER BY p.digest LIMIT 5) AS parents)`

func (tx *Tx) facts(query string, args ...any) ([]gc.ImageFact, error) {
	var out []gc.ImageFact
	err := tx.rows(query, args, func(rows *sql.Rows) error {
		var f gc.ImageFact
		var tags, indexes string
		err := rows.Scan(&f.UID, &f.Digest, &f.Holder, (*instant)(&f.PushedAt), (*instant)(&f.DeletedAt), (*instant)(&f.RepositoryDeletedAt), &tags, &indexes)
		f.Tags, f.Indexes = split(tags), split(indexes)
		out = append(out, f)
		return err
	})
	return out, err
}

// inRepository is a condition on r: a repository, if the name is not "".
const inRepository = ` AND ($4 = '' OR r.account = $2 AND r.region = $3 AND r.name = $4)`

// ImagesOf implements [gc.Explanations].
func (tx *Tx) ImagesOf(digest, account, region, repository string, limit int) ([]gc.ImageFact, error) {
	return tx.facts(`SELECT `+imageFacts+` FROM repositories r JOIN images i ON i.repository = r.uid
		WHERE i.object IN (SELECT uid FROM objects WHERE digest = $1) AND i.digest = $1`+inRepository+` ORDER BY i.deleted_at, i.uid LIMIT $5`,
		digest, account, region, repository, limit)
}

// LayersOf implements [gc.Explanations].
func (tx *Tx) LayersOf(digest, account, region, repository string, limit int) ([]gc.LayerFact, error) {
	var out []gc.LayerFact
	var uids []string
	err := tx.rows(`SELECT r.uid, r.account || '/' || r.region || '/' || r.name, l.lease_until, l.loose_at, r.deleted_at
		FROM layers l JOIN repositories r ON r.uid = l.repository WHERE l.digest = $1`+inRepository+` ORDER BY r.uid LIMIT $5`,
		[]any{digest, account, region, repository, limit}, func(rows *sql.Rows) error {
			f := gc.LayerFact{Digest: digest}
			var uid string
			err := rows.Scan(&uid, &f.Holder, (*instant)(&f.Lease), (*instant)(&f.Loose), (*instant)(&f.RepositoryOver))
			out, uids = append(out, f), append(uids, uid)
			return err
		})
	if err != nil {
		return nil, err
	}
	for n, uid := range uids {
		out[n].Images, err = tx.facts(`SELECT `+imageFacts+` FROM image_layers x JOIN images i ON i.uid = x.image JOIN repositories r ON r.uid = i.repository
			WHERE x.repository = $1 AND x.digest = $2 ORDER BY i.deleted_at, i.uid LIMIT $3`, uid, digest, limit+1)
		if err != nil {
			return nil, err
		}
		if len(out[n].Images) > limit {
			out[n].Images, out[n].More = out[n].Images[:limit], true
		}
	}
	return out, nil
}

// ObjectsOf implements [gc.Explanations].
func (tx *Tx) ObjectsOf(digest string, limit int) ([]gc.ObjectFact, error) {
	var out []gc.ObjectFact
	err := tx.rows(`SELECT o.uid, o.key_domain, o.size, o.created_at,
			(SELECT COUNT(*) FROM layers l WHERE l.object = o.uid) + (SELECT COUNT(*) FROM images i WHERE i.object = o.uid),
			(SELECT COUNT(*) FROM loose_objects n WHERE n.object = o.uid)
		FROM objects o WHERE o.digest = $1 ORDER BY o.uid LIMIT $2`, []any{digest, limit}, func(rows *sql.Rows) error {
		var f gc.ObjectFact
		var letGo int64
		err := rows.Scan(&f.UID, &f.KeyDomain, &f.Size, (*instant)(&f.CreatedAt), &f.Holders, &letGo)
		f.LetGo = letGo != 0
		out = append(out, f)
		return err
	})
	return out, err
}

// RemovalsOf implements [gc.Explanations].
func (tx *Tx) RemovalsOf(digest string, limit int) ([]gc.Removal, error) {
	var out []gc.Removal
	err := tx.rows(`SELECT item, kind, holder, bytes, reason, removed_at, key, due_at, CASE WHEN EXISTS (SELECT 1 FROM leftovers l WHERE l.key = removals.key) THEN 1 ELSE 0 END
		FROM removals WHERE digest = $1 ORDER BY removed_at DESC, kind DESC, item LIMIT $2`, []any{digest, limit}, func(rows *sql.Rows) error {
		r := gc.Removal{Digest: digest}
		var waiting int64
		err := rows.Scan(&r.Item, &r.Kind, &r.Holder, &r.Bytes, &r.Reason, (*instant)(&r.RemovedAt), &r.Key, (*instant)(&r.BytesUntil), &waiting)
		r.BytesGone = r.Kind == "object" && waiting == 0
		out = append(out, r)
		return err
	})
	return out, err
}
