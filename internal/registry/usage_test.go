package registry

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// usageStore is a store of usage and nothing else.
type usageStore struct {
	Store
	err  error
	rows []Usage
}

// KeepRelaxed implements Store.
func (s *usageStore) KeepRelaxed(_ context.Context, fn func(Tx) error) error {
	if s.err != nil {
		return s.err
	}
	return fn(&usageTx{store: s})
}

type usageTx struct {
	Tx
	store *usageStore
}

// AddUsage implements Journal.
func (tx *usageTx) AddUsage(u Usage) error {
	tx.store.rows = append(tx.store.rows, u)
	return nil
}

func TestUsageIsAddedUpAndKeptUntilItIsStored(t *testing.T) {
	t.Parallel()
	store := &usageStore{err: errors.New("the database is away")}
	r := New(Options{Store: store, Now: func() time.Time { return time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC) }})
	r.meter.add(Usage{RepositoryUID: "a", Principal: "p", Pulls: 1, BytesOut: 10})
	r.meter.add(Usage{RepositoryUID: "a", Principal: "p", Pulls: 1, BytesOut: 10, BytesStored: 5})
	if err := r.FlushUsage(t.Context()); !errors.Is(err, store.err) {
		t.Errorf("FlushUsage = %v, want the store's error", err)
	}
	r.meter.add(Usage{RepositoryUID: "a", Principal: "p", Pulls: 1})
	store.err = nil
	for range 2 { // the second time there is nothing to store
		if err := r.FlushUsage(t.Context()); err != nil {
			t.Errorf("FlushUsage = %v, want nil", err)
		}
	}
	want := Usage{RepositoryUID: "a", Principal: "p", Day: time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC), Pulls: 3, BytesOut: 20, BytesStored: 5}
	if len(store.rows) != 1 || store.rows[0] != want {
		t.Errorf("stored %+v, want %+v", store.rows, want)
	}
}

func TestAMeterHoldsABoundedNumberOfCounters(t *testing.T) {
	t.Parallel()
	var m meter
	for i := range maxUsageKeys + 10 {
		m.add(Usage{RepositoryUID: fmt.Sprint(i), Pulls: 1})
	}
	m.add(Usage{RepositoryUID: "0", Pulls: 1}) // one that is there is counted still
	if m.lost != 10 {
		t.Errorf("%d uses lost, want 10", m.lost)
	}
	counts := m.take()
	if len(counts) != maxUsageKeys || counts[usageKey{"0", ""}].Pulls != 2 {
		t.Errorf("%d counters, %d pulls of the first, want %d and 2", len(counts), counts[usageKey{"0", ""}].Pulls, maxUsageKeys)
	}
}
