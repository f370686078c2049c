package metadata

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"berth/internal/fault"
	"berth/internal/maintenance"
	"berth/internal/metadata/pgtest"
	"berth/internal/rotate"
)

// The switch waits for a transaction that has seen it off, and one that comes later waits
// for the switch.
func TestTheSwitchWaitsForWhoHasSeenItOff(t *testing.T) {
	t.Parallel()
	db, err := OpenPostgres(t.Context(), pgtest.Migrated(t, OpenPostgres))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	turn := For[maintenance.Tx, maintenance.Tx](db)
	add := func(db *DB, id string) error {
		return For[rotate.Tx, rotate.Tx](db).Update(t.Context(), func(tx rotate.Tx) error { return tx.AddMasterKey(id, now) })
	}
	var on, later error
	var both sync.WaitGroup
	about := &DB{engine: pausing{db.engine, func() { // it has seen that it may, and is about to commit
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := turn.Keep(ctx, func(tx maintenance.Tx) error { return tx.BeginMaintenance(maintenance.State{Since: now}) }); err == nil {
			t.Error("the switch did not wait")
		}
		locked := make(chan struct{})
		both.Go(func() {
			on = turn.Keep(t.Context(), func(tx maintenance.Tx) error {
				if err := tx.BeginMaintenance(maintenance.State{Reason: "r", Since: now}); err != nil {
					return err
				}
				both.Go(func() { close(locked); later = add(db, "later") })
				<-locked
				time.Sleep(50 * time.Millisecond) // so that it has to wait; if it is slower it is refused, too
				return nil
			})
		})
	}}}
	if err := add(about, "sooner"); err != nil {
		t.Errorf("a change that had seen the switch off: %v", err)
	}
	both.Wait()
	if on != nil || !fault.IsReadOnly(later) {
		t.Errorf("the switch: %v; a change after it: %v", on, later)
	}
	keys, err := masterKeysIn(t.Context(), db)
	if err != nil || len(keys) != 1 || keys[0] != "sooner" {
		t.Errorf("there are %v, %v", keys, err)
	}
}

func masterKeysIn(ctx context.Context, db *DB) (keys []string, err error) {
	err = For[rotate.Tx, rotate.Tx](db).View(ctx, func(tx rotate.Tx) (err error) {
		keys, err = tx.MasterKeys()
		return err
	})
	return keys, err
}

// A change that fails for another reason says that; what is kept is kept.
func TestWhatIsKeptInReadOnlyMode(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func() (*DB, error){
		"sqlite":   func() (*DB, error) { return OpenSQLite(t.Context(), t.TempDir()+"/berth.db") },
		"postgres": func() (*DB, error) { return OpenPostgres(t.Context(), pgtest.Migrated(t, OpenPostgres)) },
	} {
		db, err := open()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		turn, keys := For[maintenance.Tx, maintenance.Tx](db), For[rotate.Tx, rotate.Tx](db)
		for _, reason := range []string{"one", "another"} {
			if err := turn.Keep(t.Context(), func(tx maintenance.Tx) error {
				return tx.BeginMaintenance(maintenance.State{Reason: reason, Since: now, Principal: "p"})
			}); err != nil {
				t.Fatal(err)
			}
		}
		other := errors.New("another reason")
		if err := keys.Update(t.Context(), func(rotate.Tx) error { return other }); !errors.Is(err, other) {
			t.Errorf("%s: a change that fails = %v", name, err)
		}
		add := func(tx rotate.Tx) error { return tx.AddMasterKey("k", now) }
		for _, update := range []func(context.Context, func(rotate.Tx) error) error{keys.Update, keys.Relaxed, (&Store[rotate.Tx, rotate.Tx]{db.ReadOnly(maintenance.RefusalByOption())}).Update} {
			if err := update(t.Context(), add); !fault.IsReadOnly(err) {
				t.Errorf("%s: a change = %v", name, err)
			}
		}
		if there, err := masterKeysIn(t.Context(), db); err != nil || len(there) != 0 {
			t.Errorf("%s: there are %v, %v", name, there, err)
		}
		if err := errors.Join(keys.Keep(t.Context(), add), keys.Keeper().Relaxed(t.Context(), add), keys.Keeper().Update(t.Context(), add)); err != nil {
			t.Errorf("%s: what is kept: %v", name, err)
		}
		if err := turn.Keep(t.Context(), func(tx maintenance.Tx) error {
			if s, err := tx.Maintenance(); err != nil || *s != (maintenance.State{Reason: "another", Since: now, Principal: "p"}) {
				t.Errorf("%s: the switch says %v, %v", name, s, err)
			}
			return tx.EndMaintenance()
		}); err != nil {
			t.Fatal(err)
		}
		if err := keys.Update(t.Context(), add); err != nil {
			t.Errorf("%s: a change after it: %v", name, err)
		}
	}
}
