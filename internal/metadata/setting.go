package metadata

import (
	"encoding/json"

	"berth/internal/registry"
)

// Setting implements [registry.SettingReader].
func (tx *Tx) Setting(id registry.ID, name string) (string, error) {
	var value string
	_, err := tx.row(`SELECT value FROM account_settings WHERE account = $1 AND region = $2 AND name = $3`,
		[]any{id.Account, id.Region, name}, &value)
	return value, err
}

// PutSetting implements [registry.SettingWriter].
func (tx *Tx) PutSetting(id registry.ID, name, value string) error {
	return tx.change(`INSERT INTO account_settings (account, region, name, value) VALUES ($1, $2, $3, $4)
		ON CONFLICT (account, region, name) DO UPDATE SET value = excluded.value`, id.Account, id.Region, name, value)
}

// Templates implements [registry.SettingReader].
func (tx *Tx) Templates(id registry.ID, prefixes []string) ([]registry.Template, error) {
	var out []registry.Template
	for _, p := range prefixes {
		var document string
		found, err := tx.row(`SELECT document FROM repository_creation_templates WHERE account = $1 AND region = $2 AND prefix = $3`,
			[]any{id.Account, id.Region, p}, &document)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		var t registry.Template
		if err := json.Unmarshal([]byte(document), &t); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// InsertTemplate implements [registry.SettingWriter].
func (tx *Tx) InsertTemplate(id registry.ID, t registry.Template) (bool, error) {
	document, err := json.Marshal(t)
	if err != nil {
		return false, err
	}
	n, err := tx.exec(`INSERT INTO repository_creation_templates (account, region, prefix, document) VALUES ($1, $2, $3, $4)
		ON CONFLICT (account, region, prefix) DO NOTHING`, id.Account, id.Region, t.Prefix, string(document))
	return n == 1, err
}
