//go:build unix

package crash

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver
)

// earlier is a repository of the first version of the schema.
const earlier = `INSERT INTO repositories (uid, account, region, name, created_at, mutability, filters, scan_on_push, encryption_type, kms_key, key_domain, tags)
	VALUES ('1', '123456789012', 'us-east-1', 'earlier', 1, 'MUTABLE', '', 0, 'AES256', '', '123456789012/us-east-1/AES256', '{}')`

// schemas returns worlds that begin with a database of each earlier version: it must
// come to have the schema of the empty one, and what was in it.
func schemas(t *testing.T, empty string) []*world {
	t.Helper()
	want, err := schemaOf(empty)
	if err != nil || len(want) == 0 {
		t.Fatalf("the schema: %v, %v", want, err)
	}
	steps := os.DirFS("../../internal/metadata/migrations")
	names, err := filepath.Glob("../../internal/metadata/migrations/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("migrations: %v", err)
	}
	var out []*world
	for i := range names[1:] {
		dir := t.TempDir()
		version, err := migrated(filepath.Join(dir, "berth.db"), i+1, func(db *sql.DB) (*goose.Provider, error) {
			return goose.NewProvider(goose.DialectSQLite3, db, steps)
		})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, &world{
			name: fmt.Sprintf("schema %d", version), from: dir, env: plain,
			players: func() []*player {
				p := newPlayer(nil)
				p.ledger.sure["repository earlier"], p.begun = "there", true
				return []*player{p}
			},
			only: func(p pair) bool { return p.point == "metadata.migrate" },
			end: func(l *life) error {
				got, err := schemaOf(l.dir)
				if err == nil && !slices.Equal(got, want) {
					err = fmt.Errorf("the schema is %v, want %v", got, want)
				}
				return err
			},
		})
	}
	return out
}

// migrated makes a database with the first steps of the schema, and facts since the
// first, and returns its version.
func migrated(path string, steps int, open func(*sql.DB) (*goose.Provider, error)) (version int64, err error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)")
	if err != nil {
		return 0, err
	}
	defer db.Close()
	p, err := open(db)
	if err != nil {
		return 0, err
	}
	for i := range steps {
		step, err := p.UpByOne(context.Background())
		if err == nil && i == 0 {
			_, err = db.Exec(earlier)
		}
		if err != nil {
			return 0, err
		}
		version = step.Source.Version
	}
	return version, nil
}

// schemaOf returns the tables and indexes of a database that no process has open.
func schemaOf(dir string) (out []string, err error) {
	db, err := sql.Open("sqlite", filepath.Join(dir, "berth.db"))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.Query("SELECT type || ' ' || name || ' ' || COALESCE(sql, '') FROM sqlite_schema ORDER BY 1")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}
