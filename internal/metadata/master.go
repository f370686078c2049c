package metadata

import (
	"time"

	"berth/internal/seal"
)

// MasterKeys returns the ids of the master keys that something is sealed under. A
// database from before they were recorded has them in its secrets.
func (tx *Tx) MasterKeys() ([]string, error) {
	ids, err := tx.strings(`SELECT id FROM master_keys ORDER BY first_used, id`)
	if err != nil || len(ids) > 0 {
		return ids, err
	}
	var secret []byte
	found, err := tx.row(`SELECT secret FROM access_keys ORDER BY id LIMIT 1`, nil, &secret)
	if err != nil || !found {
		return nil, err
	}
	return []string{seal.IDOf(secret)}, nil
}

// AddMasterKey records that something is sealed under a master key from now on.
func (tx *Tx) AddMasterKey(id string, at time.Time) error {
	return tx.change(`INSERT INTO master_keys (id, first_used) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`, id, micros(at))
}

// ForgetMasterKeys forgets all master keys but one: nothing is sealed under them any
// more.
func (tx *Tx) ForgetMasterKeys(but string) error {
	return tx.change(`DELETE FROM master_keys WHERE id <> $1`, but)
}
