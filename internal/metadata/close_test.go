package metadata

import (
	"path/filepath"
	"testing"
)

func TestNothingIsLeftOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := OpenSQLite(t.Context(), filepath.Join(dir, "berth.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 {
		t.Errorf("%v, %v, want the database without its log, which ends with the last connection", left, err)
	}
}
