package metadata

import (
	"database/sql"
	"encoding/json"

	"berth/internal/registry"
)

// prefixed is the name of a table of JSON documents, by registry and prefix.
type prefixed[T any] string

const (
	templates  = prefixed[registry.Template]("repository_creation_templates")
	cacheRules = prefixed[registry.CacheRule]("pull_through_cache_rules")
)

// documents returns what the rows of a query for the document say.
func documents[T any](tx *Tx, query string, args ...any) ([]T, error) {
	var out []T
	err := tx.rows(query, args, func(r *sql.Rows) error {
		var document string
		if err := r.Scan(&document); err != nil {
			return err
		}
		var v T
		err := json.Unmarshal([]byte(document), &v)
		out = append(out, v)
		return err
	})
	return out, err
}

func (t prefixed[T]) some(tx *Tx, id registry.ID, prefixes []string) ([]T, error) {
	var out []T
	for _, p := range prefixes {
		found, err := documents[T](tx, `SELECT document FROM `+string(t)+` WHERE account = $1 AND region = $2 AND prefix = $3`,
			id.Account, id.Region, p)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

func (t prefixed[T]) after(tx *Tx, id registry.ID, prefix string, limit int) ([]T, error) {
	return documents[T](tx, `SELECT document FROM `+string(t)+` WHERE account = $1 AND region = $2 AND prefix > $3
		ORDER BY prefix LIMIT $4`, id.Account, id.Region, prefix, limit)
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
