package metadata

import (
	"encoding/json"
	"fmt"
	"time"

	"berth/internal/registry"
)

// LockRegistry implements [registry.SettingWriter].
func (tx *Tx) LockRegistry(id registry.ID) error {
	return tx.change(`INSERT INTO registries (account, region) VALUES ($1, $2)
		ON CONFLICT (account, region) DO UPDATE SET account = excluded.account`, id.Account, id.Region)
}

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

// Configuration implements [registry.SettingReader].
func (tx *Tx) Configuration(id registry.ID, name string, into any) (bool, error) {
	var document string
	found, err := tx.row(`SELECT document FROM registry_configurations WHERE account = $1 AND region = $2 AND name = $3`,
		[]any{id.Account, id.Region, name}, &document)
	if err != nil || !found {
		return false, err
	}
	if err := json.Unmarshal([]byte(document), into); err != nil {
		return false, fmt.Errorf("read the %s configuration of %s in %s: %w", name, id.Account, id.Region, err)
	}
	return true, nil
}

// PutConfiguration implements [registry.SettingWriter].
func (tx *Tx) PutConfiguration(id registry.ID, name string, document any) error {
	text, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return tx.change(`INSERT INTO registry_configurations (account, region, name, document) VALUES ($1, $2, $3, $4)
		ON CONFLICT (account, region, name) DO UPDATE SET document = excluded.document`, id.Account, id.Region, name, string(text))
}

// DeleteConfiguration implements [registry.SettingWriter].
func (tx *Tx) DeleteConfiguration(id registry.ID, name string) error {
	return tx.change(`DELETE FROM registry_configurations WHERE account = $1 AND region = $2 AND name = $3`,
		id.Account, id.Region, name)
}

// registryPolicy is the name of the configuration that holds a registry's policy, as
// a JSON text.
const registryPolicy = "policy"

// RegistryPolicy implements [registry.SettingReader]. Where nothing is remembered
// between transactions, the registry's repository has mostly brought it along.
func (tx *Tx) RegistryPolicy(id registry.ID) (string, error) {
	if tx.policy != nil && tx.policyOf == id {
		return *tx.policy, nil
	}
	k := memoKey{"registry policy", id.Account, id.Region, ""}
	return remember(tx, k, func(text string) int { return 100 + len(text) }, func() (text string, err error) {
		_, err = tx.Configuration(id, registryPolicy, &text)
		return text, err
	})
}

// PutRegistryPolicy implements [registry.SettingWriter].
func (tx *Tx) PutRegistryPolicy(id registry.ID, text string) error {
	tx.changed, tx.policy = true, nil
	if text == "" {
		return tx.DeleteConfiguration(id, registryPolicy)
	}
	return tx.PutConfiguration(id, registryPolicy, text)
}

// PullTimeExcluded implements [registry.SettingReader].
func (tx *Tx) PullTimeExcluded(id registry.ID, principalARN string) (bool, error) {
	subject := registry.PullTimeSubject(principalARN)
	k := memoKey{"excluded", id.Account, id.Region, subject}
	return remember(tx, k, func(bool) int { return 100 }, func() (bool, error) {
		var one int
		return tx.row(`SELECT 1 FROM pull_time_exclusions WHERE account = $1 AND region = $2 AND subject = $3 LIMIT 1`,
			[]any{id.Account, id.Region, subject}, &one)
	})
}

// PullTimeExclusions implements [registry.SettingReader].
func (tx *Tx) PullTimeExclusions(id registry.ID, after string, limit int) ([]string, error) {
	return tx.strings(`SELECT principal FROM pull_time_exclusions
		WHERE account = $1 AND region = $2 AND principal > $3 ORDER BY principal LIMIT $4`, id.Account, id.Region, after, limit)
}

// InsertExclusion implements [registry.SettingWriter].
func (tx *Tx) InsertExclusion(id registry.ID, principalARN string, at time.Time) (bool, error) {
	tx.changed = true
	n, err := tx.exec(`INSERT INTO pull_time_exclusions (account, region, principal, subject, created_at)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT (account, region, principal) DO NOTHING`,
		id.Account, id.Region, principalARN, registry.PullTimeSubject(principalARN), micros(at))
	return n == 1, err
}

// DeleteExclusion implements [registry.SettingWriter].
func (tx *Tx) DeleteExclusion(id registry.ID, principalARN string) (bool, error) {
	tx.changed = true
	n, err := tx.exec(`DELETE FROM pull_time_exclusions WHERE account = $1 AND region = $2 AND principal = $3`,
		id.Account, id.Region, principalARN)
	return n == 1, err
}
