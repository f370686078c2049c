package metadata

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"berth/internal/metadata/sqlitetest"
	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

// What a memo holds is bounded with the keys counted, which strangers choose.
func TestAMemoIsBounded(t *testing.T) {
	t.Parallel()
	var m memo
	long := strings.Repeat("x", 60_000)
	for i := range 20_000 {
		m.put(0, memoKey{"referrers", "repository", strconv.Itoa(i), long}, fact{nil, 1})
		held := 0
		for k := range m.facts {
			held += len(k.c)
		}
		if held > memoBytes || m.bytes > memoBytes {
			t.Fatalf("%d bytes of keys are held, %d counted, want at most %d", held, m.bytes, memoBytes)
		}
		if i == 1000 {
			break // it has been full a few times
		}
	}
	m.step()
	m.step()
	if len(m.facts) != 0 || m.bytes != 0 {
		t.Errorf("%d facts of %d bytes after a change, want none", len(m.facts), m.bytes)
	}
}

// A key does not hold what it was cut from.
func TestAMemoCopiesItsKeys(t *testing.T) {
	t.Parallel()
	var m memo
	line := "GET /v2/alias/app/manifests/v1"
	k := memoKey{"tag", line[4:9], line[10:20], line[21:]}
	m.put(0, k, fact{1, 1})
	if v, ok := m.get(0, k); !ok || v != 1 {
		t.Fatalf("get = %v, %t, want what was put", v, ok)
	}
	for held := range m.facts {
		for i, part := range []string{held.a, held.b, held.c} {
			if unsafe.StringData(part) == unsafe.StringData([]string{k.a, k.b, k.c}[i]) {
				t.Errorf("part %d of the key is the caller's", i)
			}
		}
	}
}

// Strangers can ask for endless things that are not there.
func TestWhatIsNotThereIsNotRemembered(t *testing.T) {
	t.Parallel()
	db, err := OpenSQLite(t.Context(), t.TempDir()+"/berth.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	var memory *memo
	err = For[registry.ReadTx, registry.Tx](db).View(t.Context(), func(tx registry.ReadTx) error {
		memory = tx.(*Tx).memo
		for i := range 100 {
			n := strconv.Itoa(i)
			if _, err := tx.Repository(registry.Ref{ID: home, Name: registry.RepositoryName("r" + n)}, registry.LockNone); err != nil {
				return err
			}
			if _, err := tx.AccountByAlias("a" + n); err != nil {
				return err
			}
			if _, err := tx.ImageByTag("uid", "v"+n); err != nil {
				return err
			}
			if _, err := tx.Referrers("uid", digest.FromString(n), registry.ReferrerFilter{}, "", 10); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || memory == nil || len(memory.facts) > 0 {
		t.Errorf("View = %v, the memo is %+v, want an empty one", err, memory)
	}
}

// An update goes by what is remembered, and by what it reads itself once it has changed
// something. What it has changed and not committed nobody is told.
func TestAnUpdateGoesByWhatIsRemembered(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/berth.db"
	sqlitetest.Migrated(t, path, OpenSQLite)
	db := opener(func(ctx context.Context) (*DB, error) { return OpenSQLite(ctx, path) })(t)
	s := For[registry.ReadTx, registry.Tx](db)
	read := func(tx registry.ReadTx) (*registry.Repository, int64) {
		t.Helper()
		before := tx.(*Tx).statements
		r, err := tx.Repository(registry.Ref{ID: home, Name: "app"}, registry.LockNone)
		if err != nil || r == nil {
			t.Fatalf("Repository = %v, %v, want one", r, err)
		}
		return r, tx.(*Tx).statements - before
	}
	update := func(fn func(tx registry.Tx) error) error {
		t.Helper()
		return s.Update(t.Context(), fn)
	}
	if err := update(func(tx registry.Tx) error { return insert(tx, repository("app")) }); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	for _, want := range []struct {
		policy string
		err    error
	}{{"never", refused}, {"one", nil}} {
		err := update(func(tx registry.Tx) error {
			read(tx)
			r, n := read(tx)
			if n != 0 || r.Policy != "" {
				t.Errorf("%d statements to read policy %q again, want none and no policy", n, r.Policy)
			}
			r.Policy = want.policy
			if err := tx.UpdateRepository(r); err != nil {
				return err
			}
			if r, n := read(tx); n == 0 || r.Policy != want.policy {
				t.Errorf("%d statements to read policy %q after it was put, want some and %q", n, r.Policy, want.policy)
			}
			return want.err
		})
		if !errors.Is(err, want.err) {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := update(func(tx registry.Tx) error {
			if r, _ := read(tx); r.Policy != "one" {
				t.Errorf("the policy is %q, want the one that was committed", r.Policy)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}
