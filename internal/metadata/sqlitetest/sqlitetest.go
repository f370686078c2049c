// Package sqlitetest gives tests SQLite databases whose schema is up to date.
package sqlitetest

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// template is the content of a migrated database, once there is one.
var template struct {
	sync.Once
	content []byte
	err     error
}

// Migrated writes a file with a database that open, called once in a process, has
// brought up to date: to copy it takes a fraction of the time. All calls in a
// process must be given the same open.
func Migrated[DB io.Closer](t testing.TB, path string, open func(context.Context, string) (DB, error)) {
	t.Helper()
	template.Do(func() { template.content, template.err = migrate(open) })
	if template.err != nil {
		t.Fatalf("migrate a database: %v", template.err)
	}
	if err := os.WriteFile(path, template.content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func migrate[DB io.Closer](open func(context.Context, string) (DB, error)) ([]byte, error) {
	dir, err := os.MkdirTemp("", "berth-sqlite-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "template.db")
	db, err := open(context.Background(), path)
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil { // which writes all of it into the one file
		return nil, err
	}
	return os.ReadFile(path)
}
