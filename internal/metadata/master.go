package metadata

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"berth/internal/registry"
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
	err = tx.rows(`SELECT id, last_sealer FROM master_keys ORDER BY id`, nil, func(rows *sql.Rows) error {
		var u rotate.Use
		err := rows.Scan(&u.Master, &u.Sealer)
		out = append(out, u)
		return err
	})
	return out, err
}

// AddMasterKey implements [rotate.MasterKeys].
func (tx *Tx) AddMasterKey(id string, at time.Time) error {
	return tx.change(`INSERT INTO master_keys (id, first_used) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING`, id, micros(at))
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

// AddSealer implements [rotate.MasterKeys].
func (tx *Tx) AddSealer(s rotate.Sealer) (bool, error) {
	n, err := tx.exec(`UPDATE master_keys SET last_sealer = $2 WHERE id = $1`, s.Master, s.ID)
	if err != nil || n == 0 {
		return false, err
	}
	return true, tx.change(`INSERT INTO sealers (id, name, master_key, until) VALUES ($1, $2, $3, $4)`, s.ID, s.Name, s.Master, micros(s.Until))
}

// RenewSealer implements [rotate.MasterKeys].
func (tx *Tx) RenewSealer(id string, until time.Time) (bool, error) {
	n, err := tx.exec(`UPDATE sealers SET until = $2 WHERE id = $1`, id, micros(until))
	return n > 0, err
}

// DeleteSealer implements [rotate.MasterKeys].
func (tx *Tx) DeleteSealer(id string) error {
	return tx.change(`DELETE FROM sealers WHERE id = $1`, id)
}

// DeleteExpiredSealers implements [rotate.MasterKeys]. It passes over rows that a transaction
// holds, and does not wait for it.
func (tx *Tx) DeleteExpiredSealers(now time.Time, but string) error {
	q := `SELECT id FROM sealers WHERE until <= $1 AND master_key <> $2`
	if tx.locks != nil {
		q += ` FOR UPDATE SKIP LOCKED`
	}
	ids, err := tx.strings(q, micros(now), but)
	for _, id := range ids {
		err = errors.Join(err, tx.DeleteSealer(id))
	}
	return err
}

// ForgetMasterKeys implements [rotate.MasterKeys].
func (tx *Tx) ForgetMasterKeys(but string) error {
	return tx.change(`DELETE FROM master_keys WHERE id <> $1`, but)
}

// SealingAs returns the database for a server that is recorded as a sealer: what it
// changes is refused with [rotate.ErrRemoved] unless that is so at the commit, and
// its record cannot be removed in between.
func (db *DB) SealingAs(id string) *DB { return &DB{sealing{db.engine, id}, db.refusal} }

type sealing struct {
	engine
	as string // the id of a sealer
}

// update implements engine.
func (e sealing) update(ctx context.Context, relaxed bool, fn func(*Tx) error) error {
	return e.engine.update(ctx, relaxed, func(tx *Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		var one int
		found, err := tx.row(`SELECT 1 FROM sealers WHERE id = $1`+tx.locks[registry.LockAdd], []any{e.as}, &one)
		if err == nil && !found {
			err = rotate.ErrRemoved
		}
		return err
	})
}
