package metadata

import (
	"context"

	"berth/internal/maintenance"
	"berth/internal/registry"
)

var _ maintenance.Tx = (*Tx)(nil)

// ReadOnly returns the database for a server that changes nothing for anybody: why is what
// Update and Relaxed fail with.
func (db *DB) ReadOnly(why error) *DB { return &DB{db.engine, why} }

// guarded makes fn a change, which comes about only if changes are not refused. That is
// looked at last, so that who may not, or asks for something that cannot be, learns that.
func guarded[W any](db *DB, fn func(W) error) func(W) error {
	return func(w W) error {
		if err := fn(w); err != nil {
			return err
		}
		if db.refusal != nil {
			return db.refusal
		}
		return any(w).(*Tx).unlessMaintenance()
	}
}

// unlessMaintenance returns an error if changes are refused. If not, that stays so until the
// transaction ends: in PostgreSQL a locking read of the empty table locks the table, though
// no row, and BeginMaintenance waits for that. SQLite has one writer.
func (tx *Tx) unlessMaintenance() error {
	var reason string
	on, err := tx.row(`SELECT reason FROM maintenance`+tx.locks[registry.LockAdd], nil, &reason)
	if err == nil && on {
		err = maintenance.Refusal(reason)
	}
	return err
}

// Keep is Update for what is written while changes are refused, too: what is kept about
// those who read, and what servers keep about themselves.
func (s Store[R, W]) Keep(ctx context.Context, fn func(W) error) error {
	return outage(ctx, s.db.engine.update(ctx, false, counting(ctx, fn)))
}

// KeepRelaxed is Keep without the wait for the disk.
func (s Store[R, W]) KeepRelaxed(ctx context.Context, fn func(W) error) error {
	return outage(ctx, s.db.engine.update(ctx, true, counting(ctx, fn)))
}

// Keeper is a Store whose Update and Relaxed are Keep and KeepRelaxed.
type Keeper[R, W any] struct{ Store[R, W] }

// Keeper returns the Store of a domain that has nothing but what is written while changes
// are refused, too.
func (s Store[R, W]) Keeper() Keeper[R, W] { return Keeper[R, W]{s} }

// Update is Keep.
func (k Keeper[R, W]) Update(ctx context.Context, fn func(W) error) error { return k.Keep(ctx, fn) }

// Relaxed is KeepRelaxed.
func (k Keeper[R, W]) Relaxed(ctx context.Context, fn func(W) error) error {
	return k.KeepRelaxed(ctx, fn)
}

// Maintenance implements [maintenance.Tx].
func (tx *Tx) Maintenance() (*maintenance.State, error) {
	var s maintenance.State
	on, err := tx.row(`SELECT reason, since, principal FROM maintenance`, nil, &s.Reason, (*instant)(&s.Since), &s.Principal)
	if err != nil || !on {
		return nil, err
	}
	return &s, nil
}

// BeginMaintenance implements [maintenance.Tx]. It waits for no more than transactions that
// are about to commit, and those that come to it later wait for this one.
func (tx *Tx) BeginMaintenance(s maintenance.State) error {
	if tx.locks != nil {
		if err := tx.change(`SET LOCAL idle_in_transaction_session_timeout = '1min'; LOCK TABLE maintenance IN EXCLUSIVE MODE`); err != nil {
			return err
		}
	}
	return tx.change(`INSERT INTO maintenance (id, reason, since, principal) VALUES (1, $1, $2, $3) ON CONFLICT (id) DO UPDATE SET reason = excluded.reason`,
		s.Reason, micros(s.Since), s.Principal)
}

// EndMaintenance implements [maintenance.Tx].
func (tx *Tx) EndMaintenance() error { return tx.change(`DELETE FROM maintenance`) }
