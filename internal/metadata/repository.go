package metadata

import (
	"database/sql"
	"encoding/json"
	"strconv"
	"strings"

	"berth/internal/registry"
)

const repositoryColumns = `uid, account, region, name, created_at, deleted_at, mutability, filters, scan_on_push,
	encryption_type, kms_key, tags, images, protected, deleted_by, policy`

// scanRepository reads the repositoryColumns of a row.
func scanRepository(scan func(...any) error) (*registry.Repository, error) {
	var r registry.Repository
	var created, deleted, scanOnPush, protected int64
	var filters, tags string
	if err := scan(&r.UID, &r.Account, &r.Region, &r.Name, &created, &deleted, &r.Mutability.Mode, &filters, &scanOnPush,
		&r.Encryption.Type, &r.Encryption.Key, &tags, &r.Images, &protected, &r.DeletedBy, &r.Policy); err != nil {
		return nil, err
	}
	r.CreatedAt, r.DeletedAt = fromMicros(created), fromMicros(deleted)
	r.ScanOnPush, r.Protected = scanOnPush != 0, protected != 0
	r.Mutability.Filters = strings.Fields(filters)
	if tags == "{}" {
		return &r, nil
	}
	return &r, json.Unmarshal([]byte(tags), &r.Tags)
}

// oneRepository reads the row of a query, or nil.
func (tx *Tx) oneRepository(query string, args ...any) (*registry.Repository, error) {
	var found *registry.Repository
	err := tx.rows(query, args, func(r *sql.Rows) error {
		var err error
		found, err = scanRepository(r.Scan)
		return err
	})
	return found, err
}

// noRepository are values for repositoryColumns.
const noRepository = `'', '', '', '', 0, 0, '', '', 0, '', '', '{}', 0, 0, '', ''`

// Repository implements [registry.RepositoryReader]. The registry's policy, which
// every decision about a repository needs, comes along in a row of its own, so that
// it takes as many queries to refuse what there is not.
func (tx *Tx) Repository(ref registry.Ref, lock registry.Lock) (*registry.Repository, error) {
	const (
		before = `SELECT ` + repositoryColumns + `, '' FROM (SELECT * FROM repositories WHERE account = $1 AND region = $2 AND name = $3 AND deleted_at = 0`
		after  = `) AS one UNION ALL SELECT ` + noRepository + `,
			COALESCE((SELECT document FROM registry_configurations WHERE account = $1 AND region = $2 AND name = '` + registryPolicy + `'), '""')`
	)
	k := memoKey{"repository", ref.Account, ref.Region, string(ref.Name)}
	r, err := remember(tx, k, repositorySize, func() (*registry.Repository, error) {
		var found *registry.Repository
		var text string
		err := tx.rows(before+tx.locks[lock]+after, []any{ref.Account, ref.Region, string(ref.Name)}, func(r *sql.Rows) error {
			var policy string
			one, err := scanRepository(func(dest ...any) error { return r.Scan(append(dest, &policy)...) })
			if err != nil || one.UID != "" {
				found = one
				return err
			}
			return json.Unmarshal([]byte(policy), &text)
		})
		if err == nil && tx.memo == nil {
			tx.policy, tx.policyOf = &text, ref.ID
		}
		return found, err
	})
	return copied(r), err
}

// repositorySize is roughly what a repository takes in memory.
func repositorySize(r *registry.Repository) int {
	if r == nil {
		return 0
	}
	return 500 + len(r.Policy)
}

// copied returns a copy of what is remembered, for the caller to change.
func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// RepositoryByUID implements [registry.RepositoryReader].
func (tx *Tx) RepositoryByUID(uid string) (*registry.Repository, error) {
	return tx.oneRepository(`SELECT `+repositoryColumns+` FROM repositories WHERE uid = $1 AND deleted_at = 0`, uid)
}

// Repositories implements [registry.RepositoryReader].
func (tx *Tx) Repositories(id registry.ID, after registry.RepositoryName, limit int) ([]registry.Repository, error) {
	var out []registry.Repository
	err := tx.rows(`SELECT `+repositoryColumns+` FROM repositories
		WHERE account = $1 AND region = $2 AND name > $3 AND deleted_at = 0 ORDER BY name LIMIT $4`,
		[]any{id.Account, id.Region, string(after), limit}, func(rows *sql.Rows) error {
			r, err := scanRepository(rows.Scan)
			if err == nil {
				out = append(out, *r)
			}
			return err
		})
	return out, err
}

// RepositoryNames implements [registry.RepositoryReader].
func (tx *Tx) RepositoryNames(id registry.ID, after string, limit int) ([]string, error) {
	k := memoKey{"repositories " + strconv.Itoa(limit), id.Account, id.Region, after}
	return tx.joined(k, `SELECT COALESCE(string_agg(name, ','), '') FROM (SELECT name FROM repositories
		WHERE account = $1 AND region = $2 AND name > $3 AND deleted_at = 0 ORDER BY name LIMIT $4) AS page`,
		id.Account, id.Region, after, limit)
}

// joined returns the parts of the one value of a query, in which they are joined
// by commas: a list of names costs one row.
func (tx *Tx) joined(k memoKey, query string, args ...any) ([]string, error) {
	return remember(tx, k, func(names []string) int { return 32 * len(names) }, func() ([]string, error) {
		var names string
		if _, err := tx.row(query, args, &names); err != nil || names == "" {
			return nil, err
		}
		return strings.Split(names, ","), nil
	})
}

// InsertRepository implements [registry.RepositoryWriter].
func (tx *Tx) InsertRepository(r *registry.Repository) (bool, error) {
	tags, err := json.Marshal(nonNil(r.Tags))
	if err != nil {
		return false, err
	}
	tx.changed = true
	n, err := tx.exec(`INSERT INTO repositories (uid, account, region, name, created_at, deleted_at, mutability, filters,
			scan_on_push, encryption_type, kms_key, key_domain, tags, policy)
		VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (account, region, name) WHERE deleted_at = 0 DO NOTHING`,
		r.UID, r.Account, r.Region, string(r.Name), micros(r.CreatedAt), string(r.Mutability.Mode),
		strings.Join(r.Mutability.Filters, " "), boolean(r.ScanOnPush), r.Encryption.Type, r.Encryption.Key,
		r.KeyDomain(), string(tags), r.Policy)
	if err != nil || n == 0 {
		return false, err
	}
	return true, tx.addRepository(r)
}

// addRepository counts a repository that lives from now on.
func (tx *Tx) addRepository(r *registry.Repository) error {
	return tx.change(`INSERT INTO registry_usage (account, region, repositories) VALUES ($1, $2, 1)
		ON CONFLICT (account, region) DO UPDATE SET repositories = registry_usage.repositories + 1`, r.Account, r.Region)
}

// UpdateRepository implements [registry.RepositoryWriter].
func (tx *Tx) UpdateRepository(r *registry.Repository) error {
	tags, err := json.Marshal(nonNil(r.Tags))
	if err != nil {
		return err
	}
	tx.changed = true
	if !r.DeletedAt.IsZero() {
		// It stops to count, unless it did before.
		if err := tx.change(`UPDATE registry_usage
			SET repositories = repositories - (SELECT COUNT(*) FROM repositories WHERE uid = $3 AND deleted_at = 0)
			WHERE account = $1 AND region = $2`, r.Account, r.Region, r.UID); err != nil {
			return err
		}
	}
	n, err := tx.exec(`UPDATE repositories SET deleted_at = $2, mutability = $3, filters = $4, scan_on_push = $5, tags = $6,
			protected = $7, deleted_by = $8, policy = $9 WHERE uid = $1 AND deleted_at = 0`,
		r.UID, micros(r.DeletedAt), string(r.Mutability.Mode), strings.Join(r.Mutability.Filters, " "),
		boolean(r.ScanOnPush), string(tags), boolean(r.Protected), r.DeletedBy, r.Policy)
	if err != nil || n == 0 || r.DeletedAt.IsZero() {
		return err
	}
	return tx.addAllStorage(r, -1)
}

// nonNil returns a map that is encoded as an object.
func nonNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
