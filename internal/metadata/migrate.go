package metadata

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing/fstest"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date, each step in a transaction. It refuses a
// database that a newer Berth has been at. Of the processes that open a
// PostgreSQL database at once, one does it and the others wait.
func migrate(ctx context.Context, dialect goose.Dialect, db *sql.DB) error {
	steps, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if dialect == goose.DialectPostgres {
		if steps, err = inPostgres(steps); err != nil {
			return err
		}
		unlock, err := lockSchema(ctx, db)
		if err != nil {
			return fmt.Errorf("lock the schema: %w", err)
		}
		defer unlock()
	}
	p, err := goose.NewProvider(dialect, db, steps)
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

// lockSchema waits until no other process migrates the schema. Goose's own lock
// asks again every few seconds only, and is one for all schemas of a server.
func lockSchema(ctx context.Context, db *sql.DB) (unlock func(), err error) {
	const key = `hashtextextended('berth migrations of ' || current_schema(), 0)`
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := c.ExecContext(ctx, `SELECT pg_advisory_lock(`+key+`)`); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return func() {
		// A connection that fails is not used again, and its lock ends with it.
		_, _ = c.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock(`+key+`)`)
		_ = c.Close()
	}, nil
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
