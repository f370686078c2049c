package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// schemaVersion returns the version of a database's schema.
func schemaVersion(ctx context.Context, db *sql.DB) (at int64, err error) {
	err = db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version`).Scan(&at)
	if err == nil && at == 0 {
		err = errors.New("it is not the database of a berth")
	}
	if err != nil {
		err = fmt.Errorf("read the schema's version: %w", err)
	}
	return at, err
}

// knownSchema returns the version of the schema that this program makes.
func knownSchema() (last int64, err error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	for _, name := range names {
		n, failure := goose.NumericComponent(name)
		last, err = max(last, n), errors.Join(err, failure)
	}
	return last, err
}

// exportPostgres writes the facts of a PostgreSQL database at one moment to a file in
// SQLite, with the same schema.
func exportPostgres(ctx context.Context, from *sql.DB, path string) (err error) {
	tx, err := from.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing was changed
	var at int64
	if err := tx.QueryRowContext(ctx, `SELECT MAX(version_id) FROM goose_db_version`).Scan(&at); err != nil {
		return err
	}
	to, err := newFacts(ctx, path, at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	return fillTables(ctx, to, func(into *sql.Tx, t table) error { return t.insertInto(ctx, tx, into) })
}

// fillTables has insert put rows in all tables of a database in SQLite, each after those that it
// refers to, in place of what is in them.
func fillTables(ctx context.Context, db *sql.DB, insert func(into *sql.Tx, t table) error) error {
	tables, err := tablesOf(ctx, db)
	if err != nil {
		return err
	}
	into, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer into.Rollback() // does nothing after a commit
	for _, t := range slices.Backward(tables) {
		if _, err := into.ExecContext(ctx, t.clear()); err != nil { // what migrations put there
			return err
		}
	}
	for _, t := range tables {
		if err := insert(into, t); err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	return into.Commit()
}

// newFacts makes a file with a schema. What is written to it is not synced.
func newFacts(ctx context.Context, path string, version int64) (*sql.DB, error) {
	db, err := sql.Open("sqlite", sqliteURL(path, url.Values{"_pragma": {"journal_mode(OFF)", "synchronous(OFF)"}}))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	steps, err := fs.Sub(migrations, "migrations")
	if err == nil {
		var p *goose.Provider
		if p, err = goose.NewProvider(goose.DialectSQLite3, db, steps); err == nil {
			_, err = p.UpTo(ctx, version)
		}
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// table is a table of the schema, with its columns in order.
type table struct {
	name    string
	columns []string
	types   []string // INTEGER, TEXT, BLOB
	refers  []string // to these tables
}

// tablesOf returns the tables of a database in SQLite, each after those that it refers to.
func tablesOf(ctx context.Context, db *sql.DB) ([]table, error) {
	tx := &Tx{ctx: ctx, conn: db}
	names, err := tx.strings(`SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'goose_db_version' AND substr(name, 1, 7) <> 'sqlite_' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	var found []table
	for _, name := range names {
		t := table{name: name}
		if err := tx.rows(`SELECT name, type FROM pragma_table_info($1) ORDER BY cid`, []any{name}, func(rows *sql.Rows) error {
			var column, kind string
			err := rows.Scan(&column, &kind)
			t.columns, t.types = append(t.columns, column), append(t.types, kind)
			return err
		}); err != nil {
			return nil, err
		}
		if t.refers, err = tx.strings(`SELECT DISTINCT "table" FROM pragma_foreign_key_list($1)`, name); err != nil {
			return nil, err
		}
		found = append(found, t)
	}
	return inOrder(found)
}

// inOrder puts tables after those that they refer to.
func inOrder(tables []table) (out []table, err error) {
	placed := map[string]bool{}
	for len(tables) > 0 {
		n := len(tables)
		tables = slices.DeleteFunc(tables, func(t table) bool {
			if slices.ContainsFunc(t.refers, func(r string) bool { return r != t.name && !placed[r] }) {
				return false
			}
			placed[t.name], out = true, append(out, t)
			return true
		})
		if len(tables) == n {
			return nil, fmt.Errorf("the table %s refers to itself through others", tables[0].name)
		}
	}
	return out, nil
}

// clear returns the statement that empties the table, and all the one that reads it.
func (t table) clear() string { return `DELETE FROM ` + quote(t.name) }

func (t table) all() string { return `SELECT ` + t.list("") + ` FROM ` + quote(t.name) }

func (t table) insert() string {
	return `INSERT INTO ` + quote(t.name) + ` (` + t.list("") + `) VALUES (?` + strings.Repeat(", ?", len(t.columns)-1) + `)`
}

// fromSnapshot returns the statement that copies all rows. Columns have their table before
// them: else SQLite takes one that is not there for a text.
func (t table) fromSnapshot() string {
	return `INSERT INTO main.` + quote(t.name) + ` (` + t.list("") + `) SELECT ` + t.list("s.") + ` FROM snapshot.` + quote(t.name) + ` AS s`
}

// list returns the names of the columns, with what is before each.
func (t table) list(before string) string {
	names := make([]string, len(t.columns))
	for i, name := range t.columns {
		names[i] = before + quote(name)
	}
	return strings.Join(names, ", ")
}

// quote returns a name as both databases take it, whatever is in it.
func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// scan reads a row as it is to be written.
func (t table) scan(rows *sql.Rows) ([]any, error) {
	values, into := make([]any, len(t.columns)), make([]any, len(t.columns))
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		return nil, err
	}
	for i, v := range values {
		switch v := v.(type) {
		case []byte:
			if t.types[i] == "TEXT" {
				values[i] = string(v)
			} else if v == nil {
				values[i] = []byte{} // no bytes are something else than none
			}
		case string:
			if t.types[i] == "BLOB" {
				values[i] = []byte(v)
			}
		}
	}
	return values, nil
}

// insertInto copies all rows into a database in SQLite.
func (t table) insertInto(ctx context.Context, from queryer, to *sql.Tx) error {
	insert, err := to.PrepareContext(ctx, t.insert())
	if err != nil {
		return err
	}
	defer insert.Close()
	return (&Tx{ctx: ctx, conn: from}).rows(t.all(), nil, func(rows *sql.Rows) error {
		values, err := t.scan(rows)
		if err == nil {
			_, err = insert.ExecContext(ctx, values...)
		}
		return err
	})
}

// ErrNotEmpty: a database that is to be restored into has facts.
var ErrNotEmpty = errors.New("the database is not empty")

// EmptyPostgres returns ErrNotEmpty if a server has ever started with the database at a URL.
func EmptyPostgres(ctx context.Context, url string) error {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, name := range []string{"accounts", "repositories"} {
		var there bool
		if err := db.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, name).Scan(&there); err != nil {
			return err
		}
		if !there {
			continue
		}
		if err := emptyTable(ctx, db, name); err != nil {
			return err
		}
	}
	return nil
}

// emptyTable returns ErrNotEmpty if the table has a row.
func emptyTable(ctx context.Context, db queryer, name string) error {
	n, err := (&Tx{ctx: ctx, conn: db}).strings(`SELECT 'x' FROM ` + name + ` LIMIT 1`)
	if err == nil && len(n) > 0 {
		err = ErrNotEmpty
	}
	return err
}

// ImportPostgres puts facts in a file, such as Prepare has made, into an empty PostgreSQL
// database, all or none. It gives that the schema of the file.
func ImportPostgres(ctx context.Context, path, target string) (err error) {
	from, err := sql.Open("sqlite", sqliteURL(path, url.Values{"mode": {"ro"}}))
	if err != nil {
		return err
	}
	defer from.Close()
	tables, err := tablesOf(ctx, from)
	if err != nil {
		return err
	}
	db, err := sql.Open("pgx", target)
	if err != nil {
		return err
	}
	defer db.Close()
	version, err := schemaVersion(ctx, from)
	if err != nil {
		return err
	}
	if err := migratePostgres(ctx, db, version); err != nil {
		return err
	}
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Raw(func(driver any) error {
		conn, ok := driver.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the driver of the database is %T", driver)
		}
		return pgx.BeginFunc(ctx, conn.Conn(), func(tx pgx.Tx) error { return importRows(ctx, from, tx, tables) })
	})
}

// migratePostgres makes the schema of a version.
func migratePostgres(ctx context.Context, db *sql.DB, version int64) error {
	steps, err := fs.Sub(migrations, "migrations")
	if err == nil {
		steps, err = inPostgres(steps)
	}
	if err != nil {
		return err
	}
	unlock, err := lockSchema(ctx, db)
	if err != nil {
		return fmt.Errorf("lock the schema: %w", err)
	}
	defer unlock()
	p, err := goose.NewProvider(goose.DialectPostgres, db, steps)
	if err == nil {
		_, err = p.UpTo(ctx, version)
	}
	return err
}

// importRows copies all rows of all tables, before which nobody else puts any there.
func importRows(ctx context.Context, from *sql.DB, to pgx.Tx, tables []table) error {
	if _, err := to.Exec(ctx, `LOCK TABLE accounts, repositories, sealers IN ACCESS EXCLUSIVE MODE`); err != nil {
		return err
	}
	var rows int64
	if err := to.QueryRow(ctx, `SELECT (SELECT COUNT(*) FROM accounts) + (SELECT COUNT(*) FROM repositories) + (SELECT COUNT(*) FROM sealers)`).Scan(&rows); err != nil {
		return err
	}
	if rows > 0 {
		return ErrNotEmpty
	}
	for _, t := range slices.Backward(tables) {
		if _, err := to.Exec(ctx, t.clear()); err != nil { // what migrations put there
			return err
		}
	}
	for _, t := range tables {
		rows, err := from.QueryContext(ctx, t.all())
		if err != nil {
			return err
		}
		_, err = to.CopyFrom(ctx, pgx.Identifier{t.name}, t.columns, pgx.CopyFromFunc(func() ([]any, error) {
			if !rows.Next() {
				return nil, rows.Err()
			}
			return t.scan(rows)
		}))
		if err := errors.Join(err, rows.Close()); err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	return nil
}
