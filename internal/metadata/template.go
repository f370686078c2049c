package metadata

import (
	"database/sql"
	"encoding/json"
	"fmt"

	"berth/internal/registry"
)

// prefixed is the name of a table of JSON documents, by registry and prefix.
type prefixed[T any] string

const (
	templates  = prefixed[registry.Template]("repository_creation_templates")
	cacheRules = prefixed[registry.CacheRule]("pull_through_cache_rules")
)

// read returns the documents of a registry's rows that a condition selects.
func (t prefixed[T]) read(tx *Tx, id registry.ID, condition string, args ...any) ([]T, error) {
	var out []T
	query := `SELECT prefix, document FROM ` + string(t) + ` WHERE account = $1 AND region = $2 AND ` + condition
	err := tx.rows(query, append([]any{id.Account, id.Region}, args...), func(r *sql.Rows) error {
		var prefix, document string
		if err := r.Scan(&prefix, &document); err != nil {
			return err
		}
		var v T
		if err := json.Unmarshal([]byte(document), &v); err != nil {
			return fmt.Errorf("read %s of %s in %s: %s: %w", string(t), id.Account, id.Region, prefix, err)
		}
		out = append(out, v)
		return nil
	})
	return out, err
}

func (t prefixed[T]) some(tx *Tx, id registry.ID, prefixes []string) ([]T, error) {
	var out []T
	for _, p := range prefixes {
		found, err := t.read(tx, id, "prefix = $3", p)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

func (t prefixed[T]) after(tx *Tx, id registry.ID, prefix string, limit int) ([]T, error) {
	return t.read(tx, id, "prefix > $3 ORDER BY prefix LIMIT $4", prefix, limit)
}

func (t prefixed[T]) count(tx *Tx, id registry.ID) (int, error) {
	var n int
	_, err := tx.row(`SELECT COUNT(*) FROM `+string(t)+` WHERE account = $1 AND region = $2`, []any{id.Account, id.Region}, &n)
	return n, err
}

// insert reports whether the prefix was free.
func (t prefixed[T]) insert(tx *Tx, id registry.ID, prefix string, v T) (bool, error) {
	document, err := json.Marshal(v)
	if err != nil {
		return false, err
	}
	n, err := tx.exec(`INSERT INTO `+string(t)+` (account, region, prefix, document) VALUES ($1, $2, $3, $4)
		ON CONFLICT (account, region, prefix) DO NOTHING`, id.Account, id.Region, prefix, string(document))
	return n == 1, err
}

func (t prefixed[T]) update(tx *Tx, id registry.ID, prefix string, v T) error {
	document, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return tx.change(`UPDATE `+string(t)+` SET document = $4 WHERE account = $1 AND region = $2 AND prefix = $3`,
		id.Account, id.Region, prefix, string(document))
}

func (t prefixed[T]) remove(tx *Tx, id registry.ID, prefix string) error {
	return tx.change(`DELETE FROM `+string(t)+` WHERE account = $1 AND region = $2 AND prefix = $3`, id.Account, id.Region, prefix)
}

// Templates implements [registry.TemplateReader].
func (tx *Tx) Templates(id registry.ID, keys []string) ([]registry.Template, error) {
	return templates.some(tx, id, keys)
}

// TemplatesAfter implements [registry.TemplateReader].
func (tx *Tx) TemplatesAfter(id registry.ID, key string, limit int) ([]registry.Template, error) {
	return templates.after(tx, id, key, limit)
}

// TemplateCount implements [registry.TemplateReader].
func (tx *Tx) TemplateCount(id registry.ID) (int, error) { return templates.count(tx, id) }

// InsertTemplate implements [registry.TemplateWriter].
func (tx *Tx) InsertTemplate(id registry.ID, t registry.Template) (bool, error) {
	return templates.insert(tx, id, t.Key(), t)
}

// UpdateTemplate implements [registry.TemplateWriter].
func (tx *Tx) UpdateTemplate(id registry.ID, t registry.Template) error {
	return templates.update(tx, id, t.Key(), t)
}

// DeleteTemplate implements [registry.TemplateWriter].
func (tx *Tx) DeleteTemplate(id registry.ID, t registry.Template) error {
	return templates.remove(tx, id, t.Key())
}
