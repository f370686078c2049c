package rotate

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"berth/internal/crash"
	"berth/internal/fault"
	"berth/internal/seal"
)

// A server that shares its database is recorded there, with the master key that it
// seals under, and commits nothing unless it is: a key that nobody is recorded with is
// not used. Others remove a server that has not renewed its record for leaseLife. If it
// was only cut off, or clocks differ, nothing is lost: it is refused until it has
// recorded itself again.
const (
	leaseLife = 15 * time.Minute
	longGone  = 24 * time.Hour // records of servers are removed then, whatever their key

	// RenewInterval is how often a Lease is to be renewed.
	RenewInterval = 10 * time.Second
)

// ErrRemoved is what the changes of a server are refused with that is not recorded.
var ErrRemoved = fault.New(fault.Unavailable, "ServiceUnavailable", "This server has lost touch with the others that share its database. Try again later.")

// Sealer is a server that seals.
type Sealer struct {
	ID     string // of this run of it
	Name   string // where it runs
	Master string // the id of the master key that it seals under
	Until  time.Time
}

// Use says which server was the last to be recorded with a master key, "" for none.
type Use struct {
	Master, Sealer string // their ids
}

// MasterKeys are the part of a transaction that is about master keys, by their ids.
type MasterKeys interface {
	// LockMasterKeys makes transactions that do so, and those that change what is
	// known of master keys, take turns. It comes before anything else is read.
	LockMasterKeys() error
	// MasterKeys returns those that something is sealed under.
	MasterKeys() ([]string, error)
	// MasterKeyUses returns the same with their last uses.
	MasterKeyUses() ([]Use, error)
	// AddMasterKey records that something is sealed under one from now on.
	AddMasterKey(id string, at time.Time) error
	// Sealers returns the servers that are recorded.
	Sealers() ([]Sealer, error)
	// AddSealer records a server. It reports whether its master key is one that
	// something may be sealed under, and else does nothing.
	AddSealer(s Sealer) (bool, error)
	// RenewSealer puts off until when a server is recorded. It reports whether it is.
	RenewSealer(id string, until time.Time) (bool, error)
	// DeleteSealer removes a server, once its transactions have ended.
	DeleteSealer(id string) error
	// DeleteExpiredSealers removes servers whose time is over, but none with one master key,
	// and none that has a transaction under way.
	DeleteExpiredSealers(now time.Time, but string) error
	// ForgetMasterKeys forgets all master keys but one.
	ForgetMasterKeys(but string) error
}

// MissingError says that something is sealed under a master key that a server was not
// given.
type MissingError struct {
	Missing, Given string // ids
}

// Error names both keys.
func (e *MissingError) Error() string {
	return fmt.Sprintf("what is stored is sealed under the master key %s, and the one given is %s", e.Missing, e.Given)
}

// Check returns a [*MissingError] unless a master key and those before it have among
// them all that something is sealed under.
func Check(m *seal.Master, known []string) error {
	for _, id := range known {
		if !slices.Contains(m.IDs(), id) {
			return &MissingError{Missing: id, Given: m.ID()}
		}
	}
	return nil
}

// Lease is the record of a server that seals under its master key.
type Lease struct {
	store  Store
	now    func() time.Time
	sealer Sealer
}

// Begin checks, as Check does, that a server may seal under its master key, and records
// that it does: of servers that begin at once with different keys one fails. A server
// that has the database to itself has no name, and is not recorded.
func Begin(ctx context.Context, s Store, m *seal.Master, name string, now func() time.Time) (*Lease, error) {
	l := &Lease{store: s, now: now, sealer: Sealer{ID: rand.Text(), Name: name, Master: m.ID()}}
	return l, s.Update(ctx, func(tx Tx) error {
		if err := tx.LockMasterKeys(); err != nil {
			return err
		}
		known, err := tx.MasterKeys()
		if err != nil {
			return err
		}
		if err := Check(m, known); err != nil {
			return err
		}
		for _, id := range append(known, m.ID()) {
			if err := tx.AddMasterKey(id, now()); err != nil {
				return err
			}
		}
		crash.Point("rotate.begin")
		if name == "" {
			return nil
		}
		if err := tx.DeleteExpiredSealers(now().Add(-longGone), ""); err != nil {
			return err
		}
		return l.add(tx)
	})
}

// ID returns the id of the server.
func (l *Lease) ID() string { return l.sealer.ID }

// add records the server.
func (l *Lease) add(tx Tx) error {
	l.sealer.Until = l.now().Add(leaseLife)
	ok, err := tx.AddSealer(l.sealer)
	if err == nil && !ok {
		err = fmt.Errorf("the master key %s was retired while this server was not recorded with it: give it the one in use and start it again", l.sealer.Master)
	}
	return err
}

// Renew says again that the server seals under its master key, and records it again if
// it was removed. It fails if that key was retired meanwhile.
func (l *Lease) Renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, RenewInterval)
	defer cancel()
	var recorded bool
	err := l.store.Update(ctx, func(tx Tx) (err error) {
		recorded, err = tx.RenewSealer(l.sealer.ID, l.now().Add(leaseLife))
		return err
	})
	if err != nil || recorded {
		return err
	}
	return l.store.Update(ctx, func(tx Tx) error {
		if err := tx.LockMasterKeys(); err != nil {
			return err
		}
		return l.add(tx)
	})
}

// End says that the server seals no more: it commits nothing afterwards.
func (l *Lease) End(ctx context.Context) error {
	return l.store.Update(ctx, func(tx Tx) error { return tx.DeleteSealer(l.sealer.ID) })
}
