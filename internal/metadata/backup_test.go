package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"berth/internal/backup"
	"berth/internal/blob"
	"berth/internal/metadata/pgtest"
	"berth/internal/move"

	"github.com/google/go-cmp/cmp"
)

// everyTable puts a row into every table of a database in SQLite. All texts are the same
// one, so that whatever refers to something finds it.
func everyTable(t *testing.T, db *sql.DB) []table {
	t.Helper()
	tables, err := tablesOf(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	for n, table := range tables {
		var values []any
		for i, kind := range table.types {
			switch kind {
			case "INTEGER":
				values = append(values, int64(n+i)*1_000_003)
			case "TEXT":
				values = append(values, "käse")
			case "BLOB":
				values = append(values, []any{[]byte{}, []byte{0, 255}}[i%2])
			default:
				t.Fatalf("%s.%s has the type %s", table.name, table.columns[i], kind)
			}
		}
		if _, err := db.ExecContext(t.Context(), table.clear()); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), table.insert(), values...); err != nil {
			t.Fatalf("%s: %v", table.name, err)
		}
	}
	return tables
}

// rowsOf returns all rows of the facts in a file, by table.
func rowsOf(t *testing.T, path string, tables []table) map[string][]string {
	t.Helper()
	db, err := sql.Open("sqlite", sqliteURL(path, url.Values{"mode": {"ro"}}))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	out := map[string][]string{}
	for _, table := range tables {
		err := (&Tx{ctx: t.Context(), conn: db}).rows(table.all(), nil, func(rows *sql.Rows) error {
			values, err := table.scan(rows)
			out[table.name] = append(out[table.name], fmt.Sprintf("%#v", values))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// From SQLite to PostgreSQL and back: nothing is lost and nothing becomes something else.
func TestFactsAreTheSameInEitherDatabase(t *testing.T) {
	t.Parallel()
	dir, target := t.TempDir(), pgtest.URL(t)
	path := filepath.Join(dir, "berth.db")
	db, err := newFacts(t.Context(), path, must(knownSchema()))
	if err != nil {
		t.Fatal(err)
	}
	tables := everyTable(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	source, err := SQLiteSource(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	first, ready, last := filepath.Join(dir, "first.db"), filepath.Join(dir, "ready.db"), filepath.Join(dir, "last.db")
	if err := errors.Join(source.Snapshot(t.Context(), first), Prepare(t.Context(), first, ready, blob.InS3, "restored"),
		EmptyPostgres(t.Context(), target), ImportPostgres(t.Context(), ready, target)); err != nil {
		t.Fatal(err)
	}
	cluster, err := PostgresSource(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	if err := cluster.Snapshot(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	was, is := rowsOf(t, first, tables), rowsOf(t, last, tables)
	for _, name := range []string{"sealers", "leases", "uploads", "leftovers", "sessions", "maintenance"} {
		if len(was[name]) != 1 || len(is[name]) != 0 {
			t.Errorf("%s: %v is restored as %v", name, was[name], is[name])
		}
		delete(was, name)
	}
	for _, name := range []string{"jobs", "objects"} { // which change
		if len(is[name]) != 1 {
			t.Errorf("%s: %v is restored as %v", name, was[name], is[name])
		}
		delete(was, name)
		if name == "objects" && !strings.Contains(is[name][0], `"s3:käse"`) {
			t.Errorf("objects: %v", is[name])
		}
		delete(is, name)
	}
	if want := `[]interface {}{"database", "\"restored\""}`; !slices.Contains(is["gc_state"], want) {
		t.Errorf("gc_state: %v, want %s among it", is["gc_state"], want)
	}
	is["gc_state"] = slices.DeleteFunc(is["gc_state"], func(row string) bool { return strings.Contains(row, `"database"`) })
	if diff := cmp.Diff(was, is); diff != "" {
		t.Errorf("rows (-first +restored):\n%s", diff)
	}
	if err := errors.Join(EmptyPostgres(t.Context(), target)); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("a database with facts is %v", err)
	}
	if err := ImportPostgres(t.Context(), ready, target); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("facts are put where there are facts: %v", err)
	}
}

func must[V any](v V, err error) V {
	if err != nil {
		panic(err)
	}
	return v
}

func TestBytesAreNotRemovedWhileABackupHoldsThem(t *testing.T) {
	t.Parallel()
	hold := func(t *testing.T, s *Source, db *DB) {
		t.Helper()
		claim := func(at time.Time) (keys []string) {
			t.Helper()
			if err := For[move.Tx, move.Tx](db).Update(t.Context(), func(tx move.Tx) error {
				var err error
				keys, err = tx.ClaimLeftovers(blob.InDirectory, at, 10)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return keys
		}
		if err := For[move.Tx, move.Tx](db).Update(t.Context(), func(tx move.Tx) error { return tx.PutLeftover("aa", now) }); err != nil {
			t.Fatal(err)
		}
		until := now.Add(time.Minute)
		if err := errors.Join(s.Hold(t.Context(), "dead", true, now.Add(-time.Hour), now.Add(-time.Minute)), s.Hold(t.Context(), "one", true, now, until)); err != nil {
			t.Fatal(err)
		}
		if keys := claim(until.Add(-time.Second)); len(keys) > 0 {
			t.Errorf("%v are claimed", keys)
		}
		if err := s.Hold(t.Context(), "one", false, now, until.Add(time.Minute)); err != nil {
			t.Error(err)
		}
		if keys := claim(until); len(keys) > 0 {
			t.Errorf("%v are claimed", keys)
		}
		if err := s.Release(t.Context(), "one"); err != nil {
			t.Error(err)
		}
		if keys := claim(until); !slices.Equal(keys, []string{"aa"}) {
			t.Errorf("%v are claimed when nothing holds them", keys)
		}
		for _, name := range []string{"one", "dead"} {
			if err := s.Hold(t.Context(), name, false, now, until); !errors.Is(err, backup.ErrLost) {
				t.Errorf("to hold on to what is not held = %v", err)
			}
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "berth.db")
		db := opener(func(ctx context.Context) (*DB, error) { return OpenSQLite(ctx, path) })(t)
		s, err := SQLiteSource(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		hold(t, s, db)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		url := pgtest.URL(t)
		db := opener(func(ctx context.Context) (*DB, error) { return OpenPostgres(ctx, url) })(t)
		s, err := PostgresSource(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		hold(t, s, db)
	})
}

// What a newer version has made is neither backed up nor restored by this one.
func TestFactsOfANewerVersionAreRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "berth.db")
	db, err := newFacts(t.Context(), path, must(knownSchema()))
	if err == nil {
		_, err = db.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)`)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	_, source := SQLiteSource(t.Context(), path)
	_, facts := OpenFacts(t.Context(), path)
	for _, err := range []error{source, facts, Prepare(t.Context(), path, path+".ready", "", "")} {
		if err == nil || !strings.Contains(err.Error(), "the database has schema version 999") {
			t.Errorf("facts of a newer version: %v", err)
		}
	}
}

// Servers look at a backup's lease by clocks that are not that of the machine it is made on.
func TestABackupGoesByTheClockOfTheDatabase(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	opener(func(ctx context.Context) (*DB, error) { return OpenPostgres(ctx, url) })(t)
	s, err := PostgresSource(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, wrong := range []time.Duration{-time.Hour, 0, time.Hour} {
		local := func() time.Time { return time.Now().Add(wrong) }
		clock, err := s.Clock(t.Context(), local)
		if err != nil {
			t.Fatal(err)
		}
		if off := time.Until(clock()).Abs(); off > time.Minute {
			t.Errorf("the clock is wrong by %s, and was by %s", off, wrong)
		}
	}
}
