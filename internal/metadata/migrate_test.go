package metadata

import (
	"context"
	"database/sql"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"berth/internal/metadata/pgtest"
	"berth/internal/registry"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"
)

// upgraded runs a test on both databases as they are after a version of the schema
// had facts put into it and was migrated.
func upgraded(t *testing.T, version int64, facts []string, test func(*testing.T, *DB)) {
	t.Helper()
	prepare := func(t *testing.T, driver, name string, dialect goose.Dialect) {
		t.Helper()
		db, err := sql.Open(driver, name)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		steps, err := fs.Sub(migrations, "migrations")
		if err == nil && dialect == goose.DialectPostgres {
			steps, err = inPostgres(steps)
		}
		if err != nil {
			t.Fatal(err)
		}
		p, err := goose.NewProvider(dialect, db, steps)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.UpTo(t.Context(), version); err != nil {
			t.Fatal(err)
		}
		for _, statement := range facts {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "berth.db")
		prepare(t, "sqlite", path, goose.DialectSQLite3)
		test(t, opener(func(ctx context.Context) (*DB, error) { return OpenSQLite(ctx, path) })(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		url := pgtest.URL(t)
		prepare(t, "pgx", url, goose.DialectPostgres)
		test(t, opener(func(ctx context.Context) (*DB, error) { return OpenPostgres(ctx, url) })(t))
	})
}

// versions returns the rows of the table of migrations.
func versions(t *testing.T, db *DB) []string {
	t.Helper()
	var out []string
	err := db.engine.view(t.Context(), func(tx *Tx) error {
		var err error
		out, err = tx.strings("SELECT CAST(version_id AS TEXT) FROM goose_db_version ORDER BY id")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestOpeningADatabaseAgainMigratesNothing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(*testing.T) *DB) {
		db := open(t)
		first := versions(t, db)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, versions(t, open(t))); diff != "" {
			t.Errorf("migrations of the second opening (-first +second):\n%s", diff)
		}
	})
}

func TestADatabaseOfANewerVersionIsRefused(t *testing.T) {
	t.Parallel()
	refused(t, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)",
		"the database has schema version 999, this berth knows versions up to ", "run a newer berth")
}

// A step that comes to be below the number of one that has been made would never
// be made.
func TestADatabaseThatLacksAnEarlierStepIsRefused(t *testing.T) {
	t.Parallel()
	refused(t, "DELETE FROM goose_db_version WHERE version_id = 6", "missing (out-of-order) migration", "version 6")
}

// refused opens a new database, runs the query in it, and fails the test unless
// it cannot be opened again, with an error that has all the texts.
func refused(t *testing.T, query string, texts ...string) {
	t.Helper()
	refuse := func(t *testing.T, driver, name string, open func(context.Context) (*DB, error)) {
		t.Helper()
		db, err := open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		raw, err := sql.Open(driver, name)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		if _, err := raw.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
		dialect := map[string]goose.Dialect{"sqlite": goose.DialectSQLite3, "pgx": goose.DialectPostgres}[driver]
		before := dump(t, raw, dialect)
		db, err = open(t.Context())
		if err == nil {
			_ = db.Close()
			t.Fatal("the database was opened")
		}
		if diff := cmp.Diff(before, dump(t, raw, dialect)); diff != "" {
			t.Errorf("a database that is refused (-before +after):\n%s", diff)
		}
		for _, text := range texts {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("open = %v, want %q", err, text)
			}
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "berth.db")
		refuse(t, "sqlite", path, func(ctx context.Context) (*DB, error) { return OpenSQLite(ctx, path) })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		url := pgtest.URL(t)
		refuse(t, "pgx", url, func(ctx context.Context) (*DB, error) { return OpenPostgres(ctx, url) })
	})
}

func TestOfProcessesThatStartAtOnceOneMigrates(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	var wg sync.WaitGroup
	dbs := make([]*DB, 6)
	for i := range dbs {
		wg.Go(func() {
			var err error
			if dbs[i], err = OpenPostgres(t.Context(), url); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	seen := map[string]bool{}
	for _, v := range versions(t, dbs[0]) {
		if seen[v] {
			t.Errorf("migration %s was made twice", v)
		}
		seen[v] = true
	}
	for _, db := range dbs {
		s := For[registry.ReadTx, registry.Tx](db)
		update(t, s, func(tx registry.Tx) error { return tx.PutSetting(home, "a", "b") })
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The order of names must not depend on the locale that the database has.
func TestEveryTextInPostgreSQLIsOrderedByBytes(t *testing.T) {
	t.Parallel()
	db, err := OpenPostgres(t.Context(), pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.engine.view(t.Context(), func(tx *Tx) error {
		columns, err := tx.strings(`SELECT table_name || '.' || column_name FROM information_schema.columns
			WHERE table_schema = current_schema() AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'`)
		if len(columns) > 0 {
			t.Errorf("columns that are ordered by a locale: %v", columns)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheFileOfADatabaseMayHaveAnyName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plain", "with space", "100%25", "50%", "what?", "a#b", "é", "a&b=c;d", "semi:colon"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), name)
			db := opener(func(ctx context.Context) (*DB, error) { return OpenSQLite(ctx, path) })(t)
			update(t, For[registry.ReadTx, registry.Tx](db), func(tx registry.Tx) error { return tx.PutSetting(home, "a", "b") })
			if found, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); err != nil || len(found) == 0 || found[0] != path {
				t.Errorf("files = %q, %v, want %q", found, err, path)
			}
		})
	}
}

// A commit waits for the disk if any of its updates wants it to.
func TestRelaxedUpdatesDoNotWaitForTheDiskAndOthersDo(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(*testing.T) *DB) {
		db := open(t)
		query, durable, relaxed := "PRAGMA synchronous", "2", "1"
		if _, ok := db.engine.(*postgres); ok {
			query, durable, relaxed = "SHOW synchronous_commit", "on", "off"
		}
		for i := range 10 {
			want := durable
			if i%3 != 0 {
				want = relaxed
			}
			err := db.engine.update(t.Context(), want == relaxed, func(tx *Tx) error {
				var got string
				_, err := tx.row(query, nil, &got)
				if got != want {
					t.Errorf("update %d: synchronous = %s, want %s", i, got, want)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}
