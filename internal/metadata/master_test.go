package metadata

import (
	"errors"
	"slices"
	"testing"
	"time"

	"berth/internal/rotate"
	"berth/internal/seal"
)

func TestAFencedDatabaseChangesNothingThatItMayNot(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(*testing.T) *DB) {
		db := open(t)
		var may error
		fenced := For[rotate.Tx, rotate.Tx](db.Fenced(func() error { return may }))
		keys := func() (ids []string) {
			if err := fenced.View(t.Context(), func(tx rotate.Tx) (err error) {
				ids, err = tx.MasterKeys()
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return ids
		}
		for _, add := range []func(func(rotate.Tx) error) error{
			func(fn func(rotate.Tx) error) error { return fenced.Update(t.Context(), fn) },
			func(fn func(rotate.Tx) error) error { return fenced.Relaxed(t.Context(), fn) },
		} {
			before := keys()
			id := "k" + string(rune('0'+len(before)))
			may = errors.New("no")
			if err := add(func(tx rotate.Tx) error { return tx.AddMasterKey(id, now) }); !errors.Is(err, may) || !slices.Equal(keys(), before) {
				t.Errorf("a change that may not be is answered %v and leaves %v", err, keys())
			}
			may = nil
			if err := add(func(tx rotate.Tx) error { return tx.AddMasterKey(id, now) }); err != nil || !slices.Contains(keys(), id) {
				t.Errorf("a change that may be is answered %v and leaves %v", err, keys())
			}
		}
	})
}

func TestSealersAndTheirMasterKeys(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(*testing.T) *DB) {
		s := For[rotate.Tx, rotate.Tx](open(t))
		err := s.Update(t.Context(), func(tx rotate.Tx) error {
			put := func(id, master string, at time.Time, want bool) {
				ok, err := tx.PutSealer(rotate.Sealer{ID: id, Name: "server " + id, Master: master, Until: at.Add(time.Minute)}, at)
				if ok != want || err != nil {
					t.Errorf("PutSealer(%s, %s) = %t, %v, want %t", id, master, ok, err, want)
				}
			}
			put("a", "old", now, false)
			for _, k := range []string{"old", "new"} {
				if err := tx.AddMasterKey(k, now); err != nil {
					return err
				}
			}
			put("a", "old", now, true)
			put("b", "new", now, true)
			put("a", "old", now.Add(time.Second), true)
			if err := tx.AddMasterKey("old", now.Add(time.Hour)); err != nil { // known already
				return err
			}
			uses, err := tx.MasterKeyUses()
			if want := []rotate.Use{{Master: "new", At: now}, {Master: "old", At: now.Add(time.Second)}}; err != nil || !slices.Equal(uses, want) {
				t.Errorf("MasterKeyUses = %v, %v, want %v", uses, err, want)
			}
			sealers, err := tx.Sealers()
			want := []rotate.Sealer{
				{ID: "a", Name: "server a", Master: "old", Until: now.Add(time.Minute + time.Second)},
				{ID: "b", Name: "server b", Master: "new", Until: now.Add(time.Minute)},
			}
			if err != nil || !slices.Equal(sealers, want) {
				t.Errorf("Sealers = %v, %v, want %v", sealers, err, want)
			}
			if err := tx.ForgetMasterKeys("new"); err != nil {
				return err
			}
			put("a", "old", now, false)
			if sealers, err := tx.Sealers(); err != nil || len(sealers) != 1 || sealers[0].ID != "b" {
				t.Errorf("Sealers after old was forgotten = %v, %v", sealers, err)
			}
			return tx.DeleteSealer("b")
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// A database from before master keys were recorded tells which one it was.
func TestTheMasterKeyOfADatabaseThatDoesNotRecordItIsInItsSecrets(t *testing.T) {
	t.Parallel()
	m := seal.NewMaster()
	sealed := m.Key("access key").Seal([]byte("secret"), "id")
	for _, insert := range []string{
		`INSERT INTO access_keys (id, account, owner, secret, status, created_at) VALUES ('id', '1', '', $1, 'Active', 0)`,
		`INSERT INTO sessions (id, account, owner, operation, secret, token, terms, issued_at, expires_at) VALUES ('id', '1', '1', '', $1, $1, '{}', 0, 0)`,
	} {
		each(t, func(t *testing.T, open func(*testing.T) *DB) {
			db := open(t)
			err := db.engine.update(t.Context(), false, func(tx *Tx) error {
				if err := tx.change(`INSERT INTO accounts (id, alias, created_at) VALUES ('1', '', 0)`); err != nil {
					return err
				}
				if err := tx.change(insert, sealed); err != nil {
					return err
				}
				ids, err := tx.MasterKeys()
				if !slices.Equal(ids, []string{m.ID()}) {
					t.Errorf("MasterKeys = %v, want %s", ids, m.ID())
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
