package metadata

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"berth/internal/metadata/pgtest"
	"berth/internal/rotate"
	"berth/internal/seal"
)

// A server that is not recorded changes nothing.
func TestOnlyASealerThatIsRecordedChangesTheDatabase(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(*testing.T) *DB) {
		db := open(t)
		all, as := For[rotate.Tx, rotate.Tx](db), For[rotate.Tx, rotate.Tx](db.SealingAs("a"))
		record := func(fn func(rotate.Tx) error) {
			t.Helper()
			if err := all.Update(t.Context(), fn); err != nil {
				t.Fatal(err)
			}
		}
		keys := func() (ids []string) {
			if err := as.View(t.Context(), func(tx rotate.Tx) (err error) {
				ids, err = tx.MasterKeys()
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return ids
		}
		record(func(tx rotate.Tx) error { return tx.AddMasterKey("known", now) })
		for n, update := range []func(context.Context, func(rotate.Tx) error) error{as.Update, as.Relaxed} {
			before, id := keys(), fmt.Sprint("k", n)
			add := func() error {
				return update(t.Context(), func(tx rotate.Tx) error { return tx.AddMasterKey(id, now) })
			}
			if err := add(); !errors.Is(err, rotate.ErrRemoved) || !slices.Equal(keys(), before) {
				t.Errorf("a change of a server that is not recorded is answered %v and leaves %v", err, keys())
			}
			record(func(tx rotate.Tx) error {
				_, err := tx.AddSealer(rotate.Sealer{ID: "a", Master: "known"})
				return err
			})
			if err := add(); err != nil || !slices.Contains(keys(), id) {
				t.Errorf("a change of one that is recorded is answered %v and leaves %v", err, keys())
			}
			record(func(tx rotate.Tx) error { return tx.DeleteSealer("a") })
		}
	})
}

// pausing does something before each commit, when all else was done.
type pausing struct {
	engine
	pause func()
}

func (e pausing) update(ctx context.Context, relaxed bool, fn func(*Tx) error) error {
	return e.engine.update(ctx, relaxed, func(tx *Tx) error {
		err := fn(tx)
		e.pause()
		return err
	})
}

// The record of a server outlasts its transactions, and nobody waits for those.
func TestASealerIsNotRemovedBeforeItHasCommitted(t *testing.T) {
	t.Parallel()
	db, err := OpenPostgres(t.Context(), pgtest.Migrated(t, OpenPostgres))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	all := For[rotate.Tx, rotate.Tx](db)
	if err := all.Update(t.Context(), func(tx rotate.Tx) error {
		if err := tx.AddMasterKey("old", now); err != nil {
			return err
		}
		_, err := tx.AddSealer(rotate.Sealer{ID: "a", Master: "old", Until: now})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	removed := func() (gone bool) {
		if err := all.Update(t.Context(), func(tx rotate.Tx) error {
			if err := tx.DeleteExpiredSealers(now, ""); err != nil {
				return err
			}
			left, err := tx.Sealers()
			gone = len(left) == 0
			return err
		}); err != nil {
			t.Error(err)
		}
		return gone
	}
	pause := func() {
		if removed() {
			t.Error("a server was removed that is about to commit")
		}
		if err := all.Update(t.Context(), func(tx rotate.Tx) error {
			_, err := tx.RenewSealer("a", now)
			return err
		}); err != nil {
			t.Errorf("a server cannot renew its record while it commits: %v", err)
		}
	}
	as := For[rotate.Tx, rotate.Tx](&DB{engine: sealing{pausing{db.engine, pause}, "a"}})
	if err := as.Update(t.Context(), func(tx rotate.Tx) error { return tx.AddMasterKey("new", now) }); err != nil {
		t.Fatal(err)
	}
	if !removed() {
		t.Error("a server was not removed that has committed")
	}
}

func TestSealersAndTheirMasterKeys(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(*testing.T) *DB) {
		s := For[rotate.Tx, rotate.Tx](open(t))
		err := s.Update(t.Context(), func(tx rotate.Tx) error {
			add := func(id, master string, until time.Duration, want bool) {
				t.Helper()
				ok, err := tx.AddSealer(rotate.Sealer{ID: id, Name: "server " + id, Master: master, Until: now.Add(until)})
				if ok != want || err != nil {
					t.Errorf("AddSealer(%s, %s) = %t, %v, want %t", id, master, ok, err, want)
				}
			}
			sealers := func(want ...rotate.Sealer) {
				t.Helper()
				got, err := tx.Sealers()
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("Sealers = %v, %v, want %v", got, err, want)
				}
			}
			add("a", "old", time.Minute, false)
			for _, k := range []string{"old", "new", "unused"} {
				if err := tx.AddMasterKey(k, now); err != nil {
					return err
				}
			}
			add("a", "old", time.Minute, true)
			add("b", "new", 0, true)
			add("c", "old", time.Hour, true)
			if err := tx.AddMasterKey("old", now); err != nil { // known already
				return err
			}
			uses, err := tx.MasterKeyUses()
			if want := []rotate.Use{{Master: "new", Sealer: "b"}, {Master: "old", Sealer: "c"}, {Master: "unused"}}; err != nil || !slices.Equal(uses, want) {
				t.Errorf("MasterKeyUses = %v, %v, want %v", uses, err, want)
			}
			for id, want := range map[string]bool{"a": true, "x": false} {
				if ok, err := tx.RenewSealer(id, now.Add(2*time.Minute)); ok != want || err != nil {
					t.Errorf("RenewSealer(%s) = %t, %v, want %t", id, ok, err, want)
				}
			}
			a := rotate.Sealer{ID: "a", Name: "server a", Master: "old", Until: now.Add(2 * time.Minute)}
			b := rotate.Sealer{ID: "b", Name: "server b", Master: "new", Until: now}
			c := rotate.Sealer{ID: "c", Name: "server c", Master: "old", Until: now.Add(time.Hour)}
			sealers(a, b, c)
			for _, expire := range []struct {
				after time.Duration
				but   string
				left  []rotate.Sealer
			}{{time.Minute, "new", []rotate.Sealer{a, b, c}}, {2 * time.Minute, "new", []rotate.Sealer{b, c}}, {0, "", []rotate.Sealer{c}}} {
				if err := tx.DeleteExpiredSealers(now.Add(expire.after), expire.but); err != nil {
					return err
				}
				sealers(expire.left...)
			}
			if err := tx.DeleteSealer("c"); err != nil {
				return err
			}
			sealers()
			if err := tx.ForgetMasterKeys("new"); err != nil {
				return err
			}
			add("a", "old", time.Minute, false)
			return nil
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

// What begins with certain bytes is left out, and nothing else.
func TestSealedItemsThatDoNotBeginWithSomething(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(*testing.T) *DB) {
		err := open(t).engine.update(t.Context(), false, func(tx *Tx) error {
			if err := tx.change(`INSERT INTO accounts (id, alias, created_at) VALUES ('1', '', 0)`); err != nil {
				return err
			}
			for id, secret := range map[string][]byte{"a": {1, 2, 3}, "b": {1, 2}, "c": {1}, "d": {}, "e": {2, 1, 2}, "f": {1, 3, 2}} {
				if err := tx.change(`INSERT INTO access_keys (id, account, owner, secret, status, created_at) VALUES ($1, '1', '', $2, 'Active', 0)`, id, secret); err != nil {
					return err
				}
			}
			for want, but := range map[string][]byte{"abcdef": nil, "cdef": {1, 2}, "bcdef": {1, 2, 3}, "de": {1}} {
				items, err := tx.SealedItems(rotate.AccessKeys, "", 10, but)
				if err != nil {
					return err
				}
				got := ""
				for _, i := range items {
					got += i.ID
				}
				if got != want {
					t.Errorf("SealedItems but %v = %s, want %s", but, got, want)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
