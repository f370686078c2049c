package metadata

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth/internal/registry"

	"github.com/opencontainers/go-digest"
)

// A layer may be part of all images, and a tag have a thousand changes: a step removes
// no more rows than it may all the same.
func TestAStepRemovesAFewRowsOfARepository(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(*testing.T) *DB) {
		db := open(t)
		s, own := For[registry.ReadTx, registry.Tx](db), For[*Tx, *Tx](db)
		repo, base := repository("app"), digest.FromString("base")
		update(t, s, func(tx registry.Tx) error { return insert(tx, repo) })
		err := own.Update(t.Context(), func(tx *Tx) error {
			err := tx.change(`UPDATE repositories SET deleted_at = 1, ended = 1 WHERE uid = $1`, repo.UID)
			for n := range 30 {
				img, o := image(repo, fmt.Sprint(n))
				err = errors.Join(err, tx.InsertImage(repo, img, registry.References{}, o),
					tx.change(`INSERT INTO image_layers (repository, digest, image, media_type) VALUES ($1, $2, $3, '')`, repo.UID, string(base), img.UID),
					tx.change(`INSERT INTO image_children (repository, digest, image) VALUES ($1, $2, $3)`, repo.UID, string(base), img.UID),
					tx.change(`INSERT INTO tag_history (repository, tag, number, digest, changed_at, principal, policy) VALUES ($1, 'v1', $2, '', 0, '', 0)`, repo.UID, n))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		count := func(tx *Tx) (all []int64, err error) {
			for _, table := range []string{"image_layers", "image_children", "tag_history"} {
				var n int64
				_, failure := tx.row(`SELECT COUNT(*) FROM `+table+` WHERE repository = $1`, []any{repo.UID}, &n)
				all, err = append(all, n), errors.Join(err, failure)
			}
			return all, err
		}
		before, gone, steps := []int64{30, 30, 30}, false, 0
		for ; !gone && steps < 100; steps++ {
			err := own.Update(t.Context(), func(tx *Tx) (err error) {
				if _, gone, err = tx.RemoveRepository(repo.UID, now, now, 10); err != nil {
					return err
				}
				after, err := count(tx)
				if sum(before)-sum(after) > 2*10 {
					t.Errorf("a step takes the rows from %v to %v", before, after)
				}
				before = after
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if !gone || !slices.Equal(before, []int64{0, 0, 0}) {
			t.Errorf("after %d steps, gone: %t, %v rows are left", steps, gone, before)
		}
	})
}

func sum(all []int64) (n int64) {
	for _, one := range all {
		n += one
	}
	return n
}

// What removes rows goes by keys. What PostgreSQL does depends on how much there is.
func TestStepsOfARemovalGoByKeys(t *testing.T) {
	t.Parallel()
	db, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "berth.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = For[*Tx, *Tx](db).View(t.Context(), func(tx *Tx) (err error) {
		for _, part := range removeParts {
			err = errors.Join(err, tx.rows(`EXPLAIN QUERY PLAN `+part, []any{"app", 10}, func(rows *sql.Rows) error {
				var id, parent, unused int64
				var detail string
				err := rows.Scan(&id, &parent, &unused, &detail)
				if strings.HasPrefix(detail, "SCAN") {
					t.Errorf("%s: %s", part, detail)
				}
				return err
			}))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
