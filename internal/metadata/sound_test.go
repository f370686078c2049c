package metadata

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"berth/internal/fault"
	"berth/internal/metadata/sqlitetest"
	"berth/internal/registry"
)

// After the disk has failed to keep the log, nothing is acknowledged on the strength of
// it: first all that is in it is written into the database, for which readers of the old
// state must have ended.
func TestALogThatWasNotKeptIsNotTrusted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "berth.db")
	sqlitetest.Migrated(t, path, OpenSQLite)
	db := opener(func(ctx context.Context) (*DB, error) { return OpenSQLite(ctx, path) })(t)
	s := For[registry.ReadTx, registry.Tx](db)
	add := func(name string, then func()) error {
		return s.Update(t.Context(), func(tx registry.Tx) error {
			defer then()
			return insert(tx, repository(name))
		})
	}
	logged := func() int64 {
		t.Helper()
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	writer := db.engine.(*sqlite).writer
	err := s.View(t.Context(), func(tx registry.ReadTx) error {
		if _, err := tx.Templates(home, []string{"x"}); err != nil { // reads the state of now
			return err
		}
		if err := add("before", func() {
			writer.unsound = true
			if err := writer.run("PRAGMA busy_timeout = 1"); err != nil { // readers would be waited for
				t.Error(err)
			}
		}); err != nil {
			t.Errorf("before: %v", err)
		}
		if err := add("while", func() {}); !errors.Is(err, fault.ErrAway) {
			t.Errorf("while the log is needed: %v, want %v", err, fault.ErrAway)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	before := logged()
	if err := add("after", func() {}); err != nil {
		t.Errorf("after: %v", err)
	}
	if after := logged(); after > before {
		t.Errorf("the log has %d bytes after %d, want it begun anew", after, before)
	}
	if writer.unsound {
		t.Error("the log is still not trusted")
	}
}
