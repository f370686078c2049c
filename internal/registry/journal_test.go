package registry_test

import (
	"context"
	"errors"
	"testing"

	"berth/internal/access"
	"berth/internal/registry"
)

// spoiled is a store whose transactions cannot take records, or events.
type spoiled struct {
	registry.Store
	record, emit error
}

// Update implements [registry.Store].
func (s spoiled) Update(ctx context.Context, fn func(registry.Tx) error) error {
	return s.Store.Update(ctx, func(tx registry.Tx) error { return fn(spoiledTx{tx, s}) })
}

// Relaxed implements [registry.Store].
func (s spoiled) Relaxed(ctx context.Context, fn func(registry.Tx) error) error {
	return s.Store.Relaxed(ctx, func(tx registry.Tx) error { return fn(spoiledTx{tx, s}) })
}

type spoiledTx struct {
	registry.Tx
	spoiled spoiled
}

// Record implements [registry.Journal].
func (tx spoiledTx) Record(r access.Record) error {
	if tx.spoiled.record != nil {
		return tx.spoiled.record
	}
	return tx.Tx.Record(r)
}

// Emit implements [registry.Journal].
func (tx spoiledTx) Emit(e registry.Event) error {
	if tx.spoiled.emit != nil {
		return tx.spoiled.emit
	}
	return tx.Tx.Emit(e)
}

func TestAChangeWithoutItsRecordOrItsEventDoesNotTakePlace(t *testing.T) {
	t.Parallel()
	failure := errors.New("the journal is full")
	for name, spoil := range map[string]spoiled{"record": {record: failure}, "event": {emit: failure}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := open(t, func(s registry.Store) registry.Store {
				spoil.Store = s
				return spoil
			})
			_, err := r.CreateRepository(t.Context(), caller, registry.CreateRepositoryInput{Ref: registry.Ref{ID: home, Name: "app"}})
			if !errors.Is(err, failure) {
				t.Errorf("CreateRepository = %v, want the journal's error", err)
			}
			if names, err := r.RepositoryNames(t.Context(), caller, home, "", 10); err != nil || len(names) != 0 {
				t.Errorf("RepositoryNames = %v, %v, want none", names, err)
			}
			setting := registry.Setting{ID: home, Name: registry.BlobMounting, Value: "DISABLED"}
			if err := r.PutAccountSetting(t.Context(), caller, setting); !errors.Is(err, failure) {
				t.Errorf("PutAccountSetting = %v, want the journal's error", err)
			}
			if got, err := r.GetAccountSetting(t.Context(), caller, home, registry.BlobMounting); err != nil || got.Value != "ENABLED" {
				t.Errorf("GetAccountSetting = %v, %v, want the old value", got, err)
			}
		})
	}
}
