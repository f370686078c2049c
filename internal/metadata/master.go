package metadata

import (
	"context"
	"database/sql"
	"time"

	"berth/internal/rotate"
	"berth/internal/seal"
)

// LockMasterKeys implements [rotate.MasterKeys].
func (tx *Tx) LockMasterKeys() error { return tx.exclude("master_keys") }

// MasterKeys implements [rotate.MasterKeys]. A database from before they were recorded
// has the one in its secrets.
func (tx *Tx) MasterKeys() ([]string, error) {
	ids, err := tx.strings(`SELECT id FROM master_keys ORDER BY first_used, id`)
	if err != nil || len(ids) > 0 {
		return ids, err
	}
	var secret []byte
	found, err := tx.row(`SELECT secret FROM access_keys UNION ALL SELECT secret FROM sessions LIMIT 1`, nil, &secret)
	if err != nil || !found {
		return nil, err
	}
	return []string{seal.IDOf(secret)}, nil
}

// MasterKeyUses implements [rotate.MasterKeys].
func (tx *Tx) MasterKeyUses() (out []rotate.Use, err error) {
	err = tx.rows(`SELECT id, last_used FROM master_keys ORDER BY id`, nil, func(rows *sql.Rows) error {
		var u rotate.Use
		err := rows.Scan(&u.Master, (*instant)(&u.At))
		out = append(out, u)
		return err
	})
	return out, err
}

// AddMasterKey implements [rotate.MasterKeys].
func (tx *Tx) AddMasterKey(id string, at time.Time) error {
	return tx.change(`INSERT INTO master_keys (id, first_used, last_used) VALUES ($1, $2, $2) ON CONFLICT (id) DO NOTHING`, id, micros(at))
}

// Sealers implements [rotate.MasterKeys].
func (tx *Tx) Sealers() (out []rotate.Sealer, err error) {
	err = tx.rows(`SELECT id, name, master_key, until FROM sealers ORDER BY name, id`, nil, func(rows *sql.Rows) error {
		var s rotate.Sealer
		err := rows.Scan(&s.ID, &s.Name, &s.Master, (*instant)(&s.Until))
		out = append(out, s)
		return err
	})
	return out, err
}

// PutSealer implements [rotate.MasterKeys].
func (tx *Tx) PutSealer(s rotate.Sealer, at time.Time) (bool, error) {
	n, err := tx.exec(`UPDATE master_keys SET last_used = $2 WHERE id = $1`, s.Master, micros(at))
	if err != nil || n == 0 {
		return false, err
	}
	return true, tx.change(`INSERT INTO sealers (id, name, master_key, until) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET until = excluded.until`, s.ID, s.Name, s.Master, micros(s.Until))
}

// DeleteSealer implements [rotate.MasterKeys].
func (tx *Tx) DeleteSealer(id string) error {
	return tx.change(`DELETE FROM sealers WHERE id = $1`, id)
}

// ForgetMasterKeys implements [rotate.MasterKeys].
func (tx *Tx) ForgetMasterKeys(but string) error {
	if err := tx.change(`DELETE FROM sealers WHERE master_key <> $1`, but); err != nil {
		return err
	}
	return tx.change(`DELETE FROM master_keys WHERE id <> $1`, but)
}

// Fenced returns the database for those who may change something only as long as may
// returns nil. It is asked before each commit.
func (db *DB) Fenced(may func() error) *DB { return &DB{fenced{db.engine, may}} }

type fenced struct {
	engine
	may func() error
}

// update implements engine.
func (f fenced) update(ctx context.Context, relaxed bool, fn func(*Tx) error) error {
	return f.engine.update(ctx, relaxed, func(tx *Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return f.may()
	})
}
