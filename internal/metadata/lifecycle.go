package metadata

import (
	"database/sql"
	"strings"
	"time"

	"berth/internal/lifecycle"
	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

const policyColumns = `repository, version, text, evaluated_at, due_at, changes`

// onePolicy reads the policyColumns of a query, or nil.
func (tx *Tx) onePolicy(query string, args ...any) (*registry.LifecyclePolicy, error) {
	var p registry.LifecyclePolicy
	found, err := tx.row(query, args, &p.Repository, &p.Version, &p.Text, (*instant)(&p.EvaluatedAt), (*instant)(&p.DueAt), &p.Changes)
	if err != nil || !found {
		return nil, err
	}
	return &p, nil
}

// LifecyclePolicy implements [registry.LifecycleReader].
func (tx *Tx) LifecyclePolicy(repository string) (*registry.LifecyclePolicy, error) {
	return tx.onePolicy(`SELECT `+policyColumns+` FROM lifecycle_policies WHERE repository = $1`, repository)
}

// DueLifecyclePolicy implements [registry.LifecycleReader].
func (tx *Tx) DueLifecyclePolicy(at, latest time.Time) (*registry.LifecyclePolicy, error) {
	p, err := tx.onePolicy(`SELECT `+policyColumns+` FROM lifecycle_policies WHERE evaluated_at = 0 AND due_at <= $1 ORDER BY due_at LIMIT 1`, micros(at))
	if err != nil || p != nil {
		return p, err
	}
	p, err = tx.onePolicy(`SELECT `+policyColumns+` FROM lifecycle_policies WHERE due_at <= $1 ORDER BY due_at LIMIT 1`, micros(at))
	if err != nil || p != nil {
		return p, err
	}
	return tx.onePolicy(`SELECT `+policyColumns+` FROM lifecycle_policies WHERE due_at > $1 ORDER BY due_at DESC LIMIT 1`, micros(latest))
}

// LifecycleRepositories implements [registry.LifecycleReader].
func (tx *Tx) LifecycleRepositories(id registry.ID, after registry.RepositoryName, limit int) ([]registry.Repository, error) {
	var out []registry.Repository
	err := tx.rows(`SELECT `+repositoryColumns+` FROM repositories r
		WHERE account = $1 AND region = $2 AND name > $3 AND deleted_at = 0
			AND EXISTS (SELECT 1 FROM lifecycle_policies p WHERE p.repository = r.uid)
		ORDER BY name LIMIT $4`,
		[]any{id.Account, id.Region, string(after), limit}, func(rows *sql.Rows) error {
			r, err := scanRepository(rows.Scan)
			if err == nil {
				out = append(out, *r)
			}
			return err
		})
	return out, err
}

// LifecycleImages implements [registry.LifecycleReader].
func (tx *Tx) LifecycleImages(repository string) ([]lifecycle.Image, error) {
	var out []lifecycle.Image
	byUID, byDigest := map[string]int{}, map[string]int{}
	err := tx.rows(`SELECT i.uid, i.digest, i.subject, i.status, i.pushed_at, i.pulled_at, i.archived_at, i.activated_at,
			CASE WHEN i.subject <> '' AND (i.orphaned_at <> 0 OR EXISTS (SELECT 1 FROM images s
				WHERE s.repository = i.repository AND s.digest = i.subject AND s.deleted_at <> 0 AND s.deleted_at >= i.pushed_at))
			THEN 1 ELSE 0 END
		FROM images i WHERE i.repository = $1 AND i.deleted_at = 0`,
		[]any{repository}, func(rows *sql.Rows) error {
			var i lifecycle.Image
			var status registry.Status
			var orphan int64
			err := rows.Scan(&i.ID, &i.Digest, &i.Subject, &status, (*instant)(&i.PushedAt), (*instant)(&i.PulledAt),
				(*instant)(&i.ArchivedAt), (*instant)(&i.ActivatedAt), &orphan)
			i.State, i.Orphan = status.Lifecycle(), orphan != 0
			byUID[i.ID], byDigest[i.Digest] = len(out), len(out)
			out = append(out, i)
			return err
		})
	if err != nil {
		return nil, err
	}
	var one, other string
	pairs := func(query string, add func()) error {
		return tx.rows(query, []any{repository}, func(rows *sql.Rows) error {
			err := rows.Scan(&one, &other)
			add()
			return err
		})
	}
	err = pairs(`SELECT image, name FROM tags WHERE repository = $1 ORDER BY name`, func() {
		if n, there := byUID[one]; there {
			out[n].Tags = append(out[n].Tags, other)
		}
	})
	if err != nil {
		return nil, err
	}
	err = pairs(`SELECT image, digest FROM image_children WHERE repository = $1`, func() {
		n, there := byUID[one]
		if c, listed := byDigest[other]; there && listed {
			out[n].Children = append(out[n].Children, out[c].Digest) // no copy for each index
		}
	})
	return out, err
}

// split returns the names that are joined by commas, nil if there are none.
func split(names string) []string {
	if names == "" {
		return nil
	}
	return strings.Split(names, ",")
}

const previewColumns = `repository, id, text, status, ended_at, due_at, expiring, transitioning`

// onePreview reads the previewColumns of a query, or nil.
func (tx *Tx) onePreview(query string, args ...any) (*registry.LifecyclePreview, error) {
	var p registry.LifecyclePreview
	found, err := tx.row(query, args, &p.Repository, &p.ID, &p.Text, &p.Status, (*instant)(&p.EndedAt), (*instant)(&p.DueAt), &p.Expiring, &p.Transitioning)
	if err != nil || !found {
		return nil, err
	}
	return &p, nil
}

// LifecyclePreview implements [registry.LifecycleReader].
func (tx *Tx) LifecyclePreview(repository string) (*registry.LifecyclePreview, error) {
	return tx.onePreview(`SELECT `+previewColumns+` FROM lifecycle_previews WHERE repository = $1`, repository)
}

// DueLifecyclePreview implements [registry.LifecycleReader].
func (tx *Tx) DueLifecyclePreview(at time.Time) (*registry.LifecyclePreview, error) {
	return tx.onePreview(`SELECT `+previewColumns+` FROM lifecycle_previews WHERE due_at <> 0 AND due_at <= $1 ORDER BY due_at LIMIT 1`, micros(at))
}

const resultColumns = `digest, tags, pushed_at, action, priority, class`

// results reads the resultColumns of a query. A tag status adds a condition to it.
func (tx *Tx) results(query string, t registry.TagStatus, order string, args ...any) ([]registry.LifecycleResult, error) {
	switch t {
	case registry.Tagged:
		query += ` AND tags <> ''`
	case registry.Untagged:
		query += ` AND tags = ''`
	}
	var out []registry.LifecycleResult
	err := tx.rows(query+order, args, func(rows *sql.Rows) error {
		var r registry.LifecycleResult
		var tags string
		err := rows.Scan(&r.Digest, &tags, (*instant)(&r.PushedAt), &r.Action, &r.Priority, &r.Class)
		r.Tags = split(tags)
		out = append(out, r)
		return err
	})
	return out, err
}

// LifecycleResults implements [registry.LifecycleReader].
func (tx *Tx) LifecycleResults(repository string, t registry.TagStatus, after digest.Digest, limit int) ([]registry.LifecycleResult, error) {
	return tx.results(`SELECT `+resultColumns+` FROM lifecycle_preview_results WHERE repository = $1 AND digest > $2`, t,
		` ORDER BY digest LIMIT $3`, repository, string(after), limit)
}

// LifecycleResult implements [registry.LifecycleReader].
func (tx *Tx) LifecycleResult(repository string, t registry.TagStatus, d digest.Digest) (*registry.LifecycleResult, error) {
	found, err := tx.results(`SELECT `+resultColumns+` FROM lifecycle_preview_results WHERE repository = $1 AND digest = $2`, t, "", repository, string(d))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// PutLifecyclePolicy implements [registry.LifecycleWriter].
func (tx *Tx) PutLifecyclePolicy(p *registry.LifecyclePolicy) error {
	return tx.change(`INSERT INTO lifecycle_policies (repository, version, text, evaluated_at, due_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (repository) DO UPDATE SET version = excluded.version, text = excluded.text,
			evaluated_at = excluded.evaluated_at, due_at = excluded.due_at`,
		p.Repository, p.Version, p.Text, micros(p.EvaluatedAt), micros(p.DueAt))
}

// DeleteLifecyclePolicy implements [registry.LifecycleWriter].
func (tx *Tx) DeleteLifecyclePolicy(repository string) error {
	return tx.change(`DELETE FROM lifecycle_policies WHERE repository = $1`, repository)
}

// PostponeLifecyclePolicy implements [registry.LifecycleWriter].
func (tx *Tx) PostponeLifecyclePolicy(p *registry.LifecyclePolicy, until time.Time) error {
	return tx.change(`UPDATE lifecycle_policies SET due_at = $4 WHERE repository = $1 AND version = $2 AND due_at = $3`,
		p.Repository, p.Version, micros(p.DueAt), micros(until))
}

// RenewLifecyclePolicies implements [registry.LifecycleWriter].
func (tx *Tx) RenewLifecyclePolicies(id registry.ID, at time.Time) error {
	return tx.change(`UPDATE lifecycle_policies SET due_at = $3 WHERE due_at > $3
		AND repository IN (SELECT uid FROM repositories WHERE account = $1 AND region = $2 AND deleted_at = 0)`,
		id.Account, id.Region, micros(at))
}

// LifecycleChanged implements [registry.LifecycleWriter].
func (tx *Tx) LifecycleChanged(repository string) error {
	return tx.change(`UPDATE lifecycle_policies SET changes = changes + 1 WHERE repository = $1`, repository)
}

// PostponeLifecyclePreview implements [registry.LifecycleWriter].
func (tx *Tx) PostponeLifecyclePreview(p *registry.LifecyclePreview, until time.Time) error {
	return tx.change(`UPDATE lifecycle_previews SET due_at = $4 WHERE repository = $1 AND id = $2 AND due_at = $3`,
		p.Repository, p.ID, micros(p.DueAt), micros(until))
}

// PutLifecyclePreview implements [registry.LifecycleWriter].
func (tx *Tx) PutLifecyclePreview(p *registry.LifecyclePreview) error {
	return tx.change(`INSERT INTO lifecycle_previews (repository, id, text, status, ended_at, due_at, expiring, transitioning)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (repository) DO UPDATE SET id = excluded.id, text = excluded.text, status = excluded.status,
			ended_at = excluded.ended_at, due_at = excluded.due_at, expiring = excluded.expiring, transitioning = excluded.transitioning`,
		p.Repository, p.ID, p.Text, string(p.Status), micros(p.EndedAt), micros(p.DueAt), p.Expiring, p.Transitioning)
}

// DeleteLifecyclePreview implements [registry.LifecycleWriter].
func (tx *Tx) DeleteLifecyclePreview(repository string) error {
	return tx.change(`DELETE FROM lifecycle_previews WHERE repository = $1`, repository)
}

// PutLifecycleResults implements [registry.LifecycleWriter].
func (tx *Tx) PutLifecycleResults(repository string, results []registry.LifecycleResult) error {
	for _, r := range results {
		if err := tx.change(`INSERT INTO lifecycle_preview_results (repository, digest, tags, pushed_at, action, priority, class)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (repository, digest) DO NOTHING`,
			repository, string(r.Digest), strings.Join(r.Tags, ","), micros(r.PushedAt), string(r.Action), r.Priority, string(r.Class)); err != nil {
			return err
		}
	}
	return nil
}

// DeleteLifecycleResults implements [registry.LifecycleWriter].
func (tx *Tx) DeleteLifecycleResults(repository string, limit int) (int64, error) {
	return tx.exec(`DELETE FROM lifecycle_preview_results WHERE repository = $1 AND digest IN
		(SELECT digest FROM lifecycle_preview_results WHERE repository = $1 ORDER BY digest LIMIT $2)`, repository, limit)
}

// Lease implements [registry.Leases].
func (tx *Tx) Lease(name, owner string, now, until time.Time) (bool, error) {
	n, err := tx.exec(`INSERT INTO leases (name, owner, lease_until) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, lease_until = excluded.lease_until
			WHERE leases.owner = excluded.owner OR leases.lease_until <= $4`, name, owner, micros(until), micros(now))
	return n == 1, err
}
