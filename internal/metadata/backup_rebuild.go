package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
)

// openSnapshot opens a file of facts, to be read only, and returns the version of its
// schema. What is in the file may be anybody's work: it calls no function that does more
// than compute.
func openSnapshot(ctx context.Context, path string) (*sql.DB, int64, error) {
	db, err := sql.Open("sqlite", sqliteURL(path, url.Values{"mode": {"ro"}, "immutable": {"1"}, "_pragma": {"trusted_schema(OFF)"}}))
	if err != nil {
		return nil, 0, err
	}
	at, err := schemaVersion(ctx, db)
	known, failure := knownSchema()
	if err = errors.Join(err, failure); err == nil && at > known {
		err = errNewer(at, known)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return db, at, nil
}

// rebuild copies the rows of a file of facts to one that is not there yet, with the schema
// that this program makes for their version. Only its tables and columns are read: what else
// is in the file, tables of other names, views or triggers, does not come along.
func rebuild(ctx context.Context, from, to string) (err error) {
	old, version, err := openSnapshot(ctx, from)
	if err != nil {
		return err
	}
	if err := old.Close(); err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return err
	}
	db, err := newFacts(ctx, to, version)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	source := sqliteURL(from, url.Values{"mode": {"ro"}, "immutable": {"1"}})
	if _, err := db.ExecContext(ctx, `PRAGMA trusted_schema = OFF`); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, `ATTACH DATABASE $1 AS snapshot`, source); err != nil {
		return err
	}
	err = fillTables(ctx, db, func(into *sql.Tx, t table) error {
		_, err := into.ExecContext(ctx, t.fromSnapshot())
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return nil
}
