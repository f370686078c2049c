package metadata

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"strings"
	"testing/fstest"

	"berth/internal/crash"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date, each step in a transaction. It refuses a
// database that a newer Berth has been at, and one that lacks a step before its
// last: steps are made in their order only. A database that is up to date is only
// read. Of the processes that open a PostgreSQL database at once, one does it and
// the others wait.
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
	p, err := goose.NewProvider(dialect, crash.Statements("metadata.migrate", db), steps)
	if err != nil {
		return err
	}
	at, known, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if at > known {
		return errNewer(at, known)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	return nil
}

func errNewer(at, known int64) error {
	return fmt.Errorf("the database has schema version %d, this berth knows versions up to %d: run a newer berth, or restore a backup from before; nothing was changed", at, known)
}

// lockSchema waits until no other process migrates the schema. Goose's own lock
// asks again every few seconds only, and is one for all schemas of a server.
func lockSchema(ctx context.Context, db *sql.DB) (unlock func(), err error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	var schema string
	if err := c.QueryRowContext(ctx, `SELECT COALESCE(current_schema(), '')`).Scan(&schema); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	h := fnv.New64a()
	h.Write([]byte("berth migrations of " + schema))
	key := int64(h.Sum64())
	if _, err := c.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, key); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return func() {
		// A connection that fails is not used again, and its lock ends with it.
		_, _ = c.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, key)
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
