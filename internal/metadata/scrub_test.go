package metadata

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/fault"
	"berth/internal/metadata/sqlitetest"

	"github.com/jackc/pgx/v5/pgconn"
)

// A page of objects holds few bytes, and all objects are on one.
func TestPagesOfObjectsAreBoundedByTheirContents(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(*testing.T) *DB) {
		db := open(t)
		const all = 7
		err := db.engine.update(t.Context(), false, func(tx *Tx) error {
			for i := range all {
				if err := tx.change(`INSERT INTO objects (uid, key_domain, digest, size, created_at, key, content, damaged_at) VALUES ($1, 'd', $1, 1, 1, '', $2, 1)`,
					fmt.Sprint(i), make([]byte, 3<<20)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for what, read := range map[string]func(*Tx, string) ([]string, error){
			"Objects": func(tx *Tx, after string) (uids []string, err error) {
				page, err := tx.Objects(after, 100)
				for _, o := range page {
					uids = append(uids, o.UID)
				}
				return uids, err
			},
			"DamagedObjects": func(tx *Tx, after string) (uids []string, err error) {
				page, err := tx.DamagedObjects(after, 100)
				for _, o := range page {
					uids = append(uids, o.UID)
				}
				return uids, err
			},
		} {
			n := 0
			err := db.engine.view(t.Context(), func(tx *Tx) error {
				n = 0
				for after := ""; ; n++ {
					uids, err := read(tx, after)
					if err != nil || len(uids) == 0 {
						return err
					}
					if len(uids) > 2 {
						t.Errorf("%s has %d objects of 3 MiB on a page", what, len(uids))
					}
					after = uids[len(uids)-1]
				}
			})
			if err != nil || n != 4 {
				t.Errorf("%s has %d pages, %v, want 4", what, n, err)
			}
		}
	})
}

// Copies are found by an index.
func TestCopiesAreFoundByTheirDigest(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "berth.db")
	sqlitetest.Migrated(t, path, OpenSQLite)
	db := opener(func(ctx context.Context) (*DB, error) { return OpenSQLite(ctx, path) })(t)
	plan := ""
	err := db.engine.view(t.Context(), func(tx *Tx) error {
		var a, b, c any
		_, err := tx.row(`EXPLAIN QUERY PLAN SELECT uid FROM objects WHERE digest = 'd' AND uid <> 'u' AND deleted_at = 0`, nil, &a, &b, &c, &plan)
		return err
	})
	if err != nil || !strings.Contains(plan, "objects_any_digest") {
		t.Errorf("the plan is %s, %v", plan, err)
	}
}

// What others got in the way of can be asked for again.
func TestATransactionThatOthersGotInTheWayOfIsTriedAgainAndThenAway(t *testing.T) {
	t.Parallel()
	for code, tries := range map[string]int{"40001": maxTries, "40P01": maxTries, "23503": maxTries, "25P03": 1} {
		n := 0
		err := outage(t.Context(), (&postgres{}).retry(context.Background(), func() error {
			n++
			return &pgconn.PgError{Code: code}
		}))
		if !errors.Is(err, fault.ErrAway) || n != tries {
			t.Errorf("%s was tried %d times: %v, want %d", code, n, err, tries)
		}
	}
}
