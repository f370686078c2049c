package metadata

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date, each step in a transaction. It refuses a
// database that a newer Berth has been at.
func migrate(ctx context.Context, dialect goose.Dialect, db *sql.DB) error {
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	var options []goose.ProviderOption
	if dialect == goose.DialectPostgres {
		if steps, err = inPostgres(steps); err != nil {
			return err
		}
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	p, err := goose.NewProvider(dialect, db, steps, options...)
	if err != nil {
		return err
	}
	at, known, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if at > known {
		return fmt.Errorf("the database has schema version %d, this berth knows versions up to %d: run a newer berth", at, known)
	}
	if at == known {
		return nil
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	return nil
}

var toPostgres = strings.NewReplacer(
	" TEXT", ` TEXT COLLATE "C"`,
	" INTEGER", " BIGINT",
	" BLOB", " BYTEA",
	" WITHOUT ROWID", "",
)

// inPostgres returns the steps in PostgreSQL's words.
func inPostgres(steps fs.FS) (fs.FS, error) {
	out := fstest.MapFS{}
	names, err := fs.Glob(steps, "*.sql")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := fs.ReadFile(steps, name)
		if err != nil {
			return nil, err
		}
		out[name] = &fstest.MapFile{Data: []byte(toPostgres.Replace(string(text)))}
	}
	return out, nil
}
