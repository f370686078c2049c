package metadata

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"berth/internal/blob"
	"berth/internal/metadata/pgtest"
)

// Whoever can write where backups lie can put anything into the file of facts.
func TestOnlyRowsOfTablesThatThereAreAreRestored(t *testing.T) {
	t.Parallel()
	dir, target := t.TempDir(), pgtest.URL(t)
	path, ready := filepath.Join(dir, "facts.db"), filepath.Join(dir, "ready.db")
	db, err := newFacts(t.Context(), path, must(knownSchema()))
	if err != nil {
		t.Fatal(err)
	}
	everyTable(t, db)
	for _, statement := range []string{
		`CREATE TABLE "x""; CREATE TABLE injected (a TEXT); --" ("y""; --" TEXT)`,
		`CREATE TABLE plain (a TEXT)`,
		`CREATE VIEW seen AS SELECT * FROM accounts`,
		`CREATE TRIGGER again AFTER DELETE ON sessions BEGIN INSERT INTO plain VALUES ('again'); END`,
		`ALTER TABLE accounts ADD COLUMN more TEXT`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(db.Close(), Prepare(t.Context(), path, ready, blob.InDirectory, ""), ImportPostgres(t.Context(), ready, target)); err != nil {
		t.Fatal(err)
	}
	is, _, err := openSnapshot(t.Context(), ready)
	if err != nil {
		t.Fatal(err)
	}
	defer is.Close()
	for query, want := range map[string]string{
		`SELECT COUNT(*) FROM sqlite_master WHERE type IN ('view', 'trigger') OR name = 'plain' OR sql LIKE '%injected%' OR sql LIKE '%more TEXT%'`: "0",
		`SELECT COUNT(*) FROM accounts`: "1",
	} {
		if got, err := (&Tx{ctx: t.Context(), conn: is}).strings(query); err != nil || got[0] != want {
			t.Errorf("%s = %v, %v, want %s", query, got, err, want)
		}
	}
	s, err := PostgresSource(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, err := (&Tx{ctx: t.Context(), conn: s.db}).strings(`SELECT to_regclass('injected') IS NULL`); err != nil || got[0] != "true" {
		t.Errorf("a statement in the name of a table was run: %v, %v", got, err)
	}
}

// A name is a name, whatever is in it.
func TestANameThatEndsItsQuotesIsQuoted(t *testing.T) {
	t.Parallel()
	bad := table{name: `x"; DROP TABLE accounts; --`, columns: []string{`a"b`}}
	for _, got := range []string{bad.clear(), bad.all(), bad.insert(), bad.fromSnapshot()} {
		if !strings.Contains(got, `"x""; DROP TABLE accounts; --"`) {
			t.Error(got)
		}
	}
}

// A table that lacks a column is no table of a berth: SQLite would read a text instead.
func TestFactsThatLackAColumnAreRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "facts.db")
	db, err := newFacts(t.Context(), path, must(knownSchema()))
	if err == nil {
		_, err = db.ExecContext(t.Context(), `DROP INDEX objects_damaged; ALTER TABLE objects DROP COLUMN damaged_at`)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(t.Context(), path, path+".ready", "", ""); err == nil || !strings.Contains(err.Error(), "damaged_at") {
		t.Errorf("Prepare = %v", err)
	}
}

// Queries are those of the present schema. Snapshots are of any that there was.
func TestFactsOfEveryEarlierVersionAreRead(t *testing.T) {
	t.Parallel()
	known := must(knownSchema())
	for version := int64(1); version < known; version++ {
		path := filepath.Join(t.TempDir(), "facts.db")
		db, err := newFacts(t.Context(), path, version)
		if err != nil {
			t.Fatal(err)
		}
		made := must(schemaVersion(t.Context(), db))
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if made != version {
			continue // there is no step of that number
		}
		before := must(os.ReadFile(path))
		f, err := OpenFacts(t.Context(), path)
		if err != nil {
			t.Errorf("%d: %v", version, err)
			continue
		}
		s, err := f.Summary(t.Context())
		if err != nil || s.Schema != version {
			t.Errorf("%d: summary = %+v, %v", version, s, err)
		}
		for _, all := range []bool{false, true} {
			if _, err := f.Objects(t.Context(), "", 10, all); err != nil {
				t.Errorf("%d: objects: %v", version, err)
			}
		}
		if _, err := f.Held(t.Context(), "x"); err != nil {
			t.Errorf("%d: held: %v", version, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(f.temp); err == nil {
			t.Errorf("%d: %s is left", version, f.temp)
		}
		if string(before) != string(must(os.ReadFile(path))) {
			t.Errorf("%d: reading changes the snapshot", version)
		}
	}
}
