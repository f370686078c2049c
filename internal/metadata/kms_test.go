package metadata

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"berth/internal/keys"
)

// fileHas returns how often the files of a database have some bytes.
func fileHas(t *testing.T, path string, what []byte) int {
	t.Helper()
	n := 0
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		n += bytes.Count(b, what)
	}
	return n
}

// What was sealed of a key that was destroyed is nowhere in the files of SQLite: not
// where pages were split or merged either.
func TestDestroyedKeysAreShredded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "berth.db")
	db, err := OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	store := For[keys.ReadTx, keys.Tx](db)
	update := func(fn func(keys.Tx) error) {
		t.Helper()
		if err := store.Update(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	const n = 300
	random := rand.New(rand.NewPCG(1, 2))
	ids, sealed := make([]string, n), make([][]byte, n)
	insert := func(i int) {
		ids[i] = fmt.Sprintf("%016x", random.Uint64())
		for range 8 {
			sealed[i] = fmt.Appendf(sealed[i], "%016x", random.Uint64())
		}
		update(func(tx keys.Tx) error {
			if err := tx.InsertKMSKey(&keys.Key{ID: ids[i], Account: home.Account, Region: home.Region, CreatedAt: now}); err != nil {
				return err
			}
			return tx.InsertKMSMaterial(keys.Material{Key: ids[i], Number: 1, ID: ids[i], Sealed: sealed[i], CreatedAt: now})
		})
	}
	for i := range n {
		insert(i)
	}
	if fileHas(t, path, sealed[0]) == 0 {
		t.Fatal("what is stored is not in the files")
	}
	for i := range n {
		if i%7 != 0 { // pages are merged
			update(func(tx keys.Tx) error { return tx.DestroyKMSKey(ids[i]) })
		}
	}
	if err := store.ShredKMSMaterials(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := 0
	for i := range n {
		if found := fileHas(t, path, sealed[i]); i%7 != 0 && found > 0 {
			left++
		} else if i%7 == 0 && found == 0 {
			t.Errorf("%s is lost", ids[i])
		}
	}
	if left > 0 {
		t.Errorf("%d of %d destroyed keys are still in the files", left, n-n/7)
	}
}
