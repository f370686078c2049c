package metadata

import (
	"database/sql"
	"time"

	"berth/internal/lifecycle"
	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

// noteTag adds to the history of a tag that it is on an image from now on, or on
// none. It is called wherever rows of tags change. The repository is locked, so
// that no other transaction takes the same number.
func (tx *Tx) noteTag(repository, tag string, on digest.Digest, by registry.Stamp) error {
	var number int64
	_, err := tx.row(`INSERT INTO tag_history (repository, tag, number, digest, changed_at, principal, policy)
		VALUES ($1, $2, (SELECT COALESCE(MAX(number), 0) + 1 FROM tag_history WHERE repository = $1 AND tag = $2), $3, $4, $5, $6)
		RETURNING number`,
		[]any{repository, tag, string(on), micros(by.Time), by.Principal, boolean(by.Policy)}, &number)
	if err != nil || number <= registry.TagHistoryLength {
		return err
	}
	return tx.change(`DELETE FROM tag_history WHERE repository = $1 AND tag = $2 AND number <= $3`,
		repository, tag, number-registry.TagHistoryLength)
}

// TagHistory implements [registry.HistoryReader].
func (tx *Tx) TagHistory(repository, tag string, before int64, limit int) ([]registry.TagChange, error) {
	var out []registry.TagChange
	err := tx.rows(`SELECT number, digest, changed_at, principal, policy FROM tag_history
		WHERE repository = $1 AND tag = $2 AND number < $3 ORDER BY number DESC LIMIT $4`,
		[]any{repository, tag, before, limit}, func(rows *sql.Rows) error {
			var c registry.TagChange
			var policy int64
			err := rows.Scan(&c.Number, &c.Digest, (*instant)(&c.Time), &c.Principal, &policy)
			c.Policy = policy != 0
			out = append(out, c)
			return err
		})
	return out, err
}

// LifecycleHistory implements [registry.HistoryReader].
func (tx *Tx) LifecycleHistory(repository string, since time.Time, most int) (*lifecycle.History, error) {
	h := &lifecycle.History{}
	byUID, byDigest := map[string]int{}, map[string]string{}
	// Two queries, because each has an index.
	if err := tx.pastImages(h, `i.deleted_at = 0`, repository, most+1); err != nil {
		return nil, err
	}
	if err := tx.pastImages(h, `i.deleted_at <> 0 AND i.deleted_at > $3`, repository, most+1, micros(since)); err != nil {
		return nil, err
	}
	if err := tx.goneImages(h, repository, since, most+1); err != nil {
		return nil, err
	}
	for n := range h.Images {
		byUID[h.Images[n].ID] = n
		byDigest[h.Images[n].Digest] = h.Images[n].Digest
	}
	if err := tx.pastTags(h, repository, since, most+1); err != nil {
		return nil, err
	}
	entries := 0
	err := tx.rows(`SELECT c.image, c.digest FROM image_children c JOIN images i ON i.uid = c.image
		WHERE c.repository = $1 AND (i.deleted_at = 0 OR i.deleted_at > $2) LIMIT $3`,
		[]any{repository, micros(since), 5*most + 1}, func(rows *sql.Rows) error {
			var parent, child string
			err := rows.Scan(&parent, &child)
			entries++
			if n, there := byUID[parent]; there && byDigest[child] != "" {
				h.Images[n].Children = append(h.Images[n].Children, byDigest[child]) // no copy for each index
			}
			return err
		})
	if err != nil || len(h.Images)+len(h.Tags) > most || entries > 5*most {
		return nil, err
	}
	return h, nil
}

// pastImages adds images that meet a condition. The first two arguments of the
// query are the repository and how many images at most.
func (tx *Tx) pastImages(h *lifecycle.History, condition string, args ...any) error {
	return tx.rows(`SELECT i.uid, i.digest, i.subject, i.status, i.pushed_at, i.pulled_at, i.archived_at, i.activated_at,
			i.deleted_at, i.expired, CASE WHEN i.subject = '' OR i.orphaned_at <> 0 THEN i.orphaned_at ELSE (SELECT COALESCE(MIN(s.deleted_at), 0) FROM images s
				WHERE s.repository = i.repository AND s.digest = i.subject AND s.deleted_at <> 0 AND s.deleted_at >= i.pushed_at) END
		FROM images i WHERE i.repository = $1 AND `+condition+` LIMIT $2`,
		args, func(rows *sql.Rows) error { return scanPast(h, rows) })
}

// goneImages adds images whose rows are gone.
func (tx *Tx) goneImages(h *lifecycle.History, repository string, since time.Time, limit int) error {
	return tx.rows(`SELECT uid, digest, subject, status, pushed_at, pulled_at, archived_at, activated_at, deleted_at, expired, orphaned_at
		FROM past_images WHERE repository = $1 AND deleted_at > $2 LIMIT $3`,
		[]any{repository, micros(since), limit}, func(rows *sql.Rows) error { return scanPast(h, rows) })
}

func scanPast(h *lifecycle.History, rows *sql.Rows) error {
	var p lifecycle.Past
	var status registry.Status
	var expired int64
	err := rows.Scan(&p.ID, &p.Digest, &p.Subject, &status, (*instant)(&p.PushedAt), (*instant)(&p.PulledAt), (*instant)(&p.ArchivedAt),
		(*instant)(&p.ActivatedAt), (*instant)(&p.DeletedAt), &expired, (*instant)(&p.OrphanedAt))
	p.State, p.Expired = status.Lifecycle(), expired != 0
	h.Images = append(h.Images, p)
	return err
}

// pastTags adds, for each tag, at most limit changes in all: the last one before
// the time given, unless the tag was on no image then, and those after it.
func (tx *Tx) pastTags(h *lifecycle.History, repository string, since time.Time, limit int) error {
	return tx.rows(`SELECT h.tag, h.digest, h.changed_at, h.policy FROM tag_history h
		WHERE h.repository = $1 AND (h.changed_at > $2 OR h.digest <> '' AND NOT EXISTS (SELECT 1 FROM tag_history n
			WHERE n.repository = h.repository AND n.tag = h.tag AND n.number = h.number + 1 AND n.changed_at <= $2))
		ORDER BY h.tag, h.number LIMIT $3`,
		[]any{repository, micros(since), limit}, func(rows *sql.Rows) error {
			var c lifecycle.TagChange
			var policy int64
			err := rows.Scan(&c.Tag, &c.Digest, (*instant)(&c.At), &policy)
			c.Policy = policy != 0
			h.Tags = append(h.Tags, c)
			return err
		})
}
