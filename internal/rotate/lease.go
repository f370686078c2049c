package rotate

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"berth/internal/fault"
	"berth/internal/seal"
)

// A server that shares its database says there which master key it seals under, again
// and again. Nobody retires that key until the server has ended, or has not said so
// for leaseLife; and the server changes nothing in the database if it has not been
// able to say so for holdLife. The difference is what clocks may differ, which requests
// with signatures allow less of, and how long a commit may take.
const (
	leaseLife = 15 * time.Minute
	holdLife  = 5 * time.Minute

	// RenewInterval is how often a Lease is to be renewed.
	RenewInterval = 10 * time.Second
)

// Sealer is a server that seals.
type Sealer struct {
	ID     string // of this run of it
	Name   string // where it runs
	Master string // the id of the master key that it seals under
	Until  time.Time
}

// Use says when a master key was last used for sealing, as far as servers said so.
type Use struct {
	Master string
	At     time.Time
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
	// Sealers returns the servers that share the database.
	Sealers() ([]Sealer, error)
	// PutSealer records a server, and the use of its master key. It reports whether
	// that key is one that something may be sealed under.
	PutSealer(s Sealer, at time.Time) (bool, error)
	// DeleteSealer removes a server.
	DeleteSealer(id string) error
	// ForgetMasterKeys forgets all master keys but one, and the servers that sealed
	// under them.
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

// Lease is the right of a server to seal under its master key. It is safe for
// concurrent use.
type Lease struct {
	store   Store
	now     func() time.Time
	sealer  Sealer
	renewed atomic.Pointer[time.Time] // by the machine's clock; nil once it has ended
}

// Begin checks, as Check does, that a server may seal under its master key, and records
// that it does: of servers that begin at once with different keys one fails. A server
// that has the database to itself has no name, and a Lease that need not be renewed.
func Begin(ctx context.Context, s Store, m *seal.Master, name string, now func() time.Time) (*Lease, error) {
	l := &Lease{store: s, now: now, sealer: Sealer{ID: rand.Text(), Name: name, Master: m.ID()}}
	start := time.Now()
	err := s.Update(ctx, func(tx Tx) error {
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
		if name == "" {
			return nil
		}
		_, err = tx.PutSealer(l.until(), now())
		return err
	})
	l.renewed.Store(&start)
	return l, err
}

// until returns the server as it is recorded now.
func (l *Lease) until() Sealer {
	s := l.sealer
	s.Until = l.now().Add(leaseLife)
	return s
}

// Renew says again that the server seals under its master key. It fails, and so will
// Err in the end, if that key was retired meanwhile.
func (l *Lease) Renew(ctx context.Context) error {
	start := time.Now()
	err := l.store.Update(ctx, func(tx Tx) error {
		ok, err := tx.PutSealer(l.until(), l.now())
		if err == nil && !ok {
			err = fmt.Errorf("the master key %s was retired while this server could not say that it seals under it: give it the one in use and start it again", l.sealer.Master)
		}
		return err
	})
	if err == nil {
		l.renewed.Store(&start)
	}
	return err
}

// Err returns an error if the server must not change anything that is stored: its
// master key may have been retired. A clock that was stopped with the machine counts
// as well as one that was set.
func (l *Lease) Err() error {
	at := l.renewed.Load()
	if at == nil || time.Since(*at) > holdLife || time.Now().Round(0).Sub(at.Round(0)) > holdLife {
		return fault.New(fault.Unavailable, "ServiceUnavailable", "This server has lost touch with the others that share its database. Try again later.")
	}
	return nil
}

// End says that the server seals no more.
func (l *Lease) End(ctx context.Context) error {
	l.renewed.Store(nil)
	return l.store.Update(ctx, func(tx Tx) error { return tx.DeleteSealer(l.sealer.ID) })
}
