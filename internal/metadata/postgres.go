package metadata

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"time"

	"berth/internal/crash"
	"berth/internal/registry"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	"github.com/pressly/goose/v3"
)

// OpenPostgres opens the database at a URL and brings its schema up to date. Any
// number of processes may use it at once.
func OpenPostgres(ctx context.Context, url string) (*DB, error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return nil, err
	}
	spare, err := sql.Open("pgx", url)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	spare.SetMaxOpenConns(2)
	spare.SetConnMaxIdleTime(5 * time.Minute)
	db.SetMaxOpenConns(32)
	db.SetMaxIdleConns(32)
	db.SetConnMaxIdleTime(5 * time.Minute)
	if err := migrate(ctx, goose.DialectPostgres, db); err != nil {
		return nil, errors.Join(err, db.Close(), spare.Close())
	}
	return &DB{engine: &postgres{db, spare}}, nil
}

// postgres runs each transaction on a connection of its own. Updates read what
// is committed and take row locks; PostgreSQL groups their commits.
type postgres struct {
	db    *sql.DB
	spare *sql.DB // for aside
}

// locks make the transactions on one repository take turns. They must be taken
// before anything else is read.
var locks = map[registry.Lock]string{
	registry.LockAdd:    " FOR KEY SHARE",
	registry.LockChange: " FOR NO KEY UPDATE",
	registry.LockDelete: " FOR UPDATE",
}

// exclude makes the writers of tables wait for the end of the transaction, after
// it has waited for them. If its process stops, that is soon. In SQLite there is no
// other writer.
func (tx *Tx) exclude(tables string) error {
	if tx.locks == nil {
		return nil
	}
	return tx.change(`SET LOCAL idle_in_transaction_session_timeout = '1min'; LOCK TABLE ` + tables + ` IN SHARE ROW EXCLUSIVE MODE`)
}

// view implements engine.
func (e *postgres) view(ctx context.Context, fn func(*Tx) error) error {
	opts := sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	return e.retry(ctx, func() error { return e.transact(ctx, &opts, "", &Tx{}, fn) })
}

// aside implements engine.
func (e *postgres) aside(ctx context.Context, fn func(*Tx) error) error {
	return (&postgres{db: e.spare}).view(ctx, fn)
}

// shred implements engine.
func (e *postgres) shred(ctx context.Context) error {
	c, err := e.spare.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.ExecContext(ctx, "SET lock_timeout = '1s'"); err != nil { // which would keep others waiting, too
		return err
	}
	_, err = c.ExecContext(ctx, "VACUUM (FULL) kms_materials")
	crash.Point("metadata.shred")
	_, reset := c.ExecContext(ctx, "RESET lock_timeout")
	return errors.Join(err, reset)
}

// now implements engine.
func (e *postgres) now(ctx context.Context) (time.Time, error) {
	var micros int64
	err := e.spare.QueryRowContext(ctx, "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint").Scan(&micros)
	return fromMicros(micros), err
}

// update implements engine.
func (e *postgres) update(ctx context.Context, relaxed bool, fn func(*Tx) error) error {
	first := ""
	if relaxed {
		first = "SET LOCAL synchronous_commit = off"
	}
	err := e.retry(ctx, func() error {
		return e.transact(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted}, first, &Tx{locks: locks}, func(tx *Tx) error {
			crash.Point("metadata.begin")
			err := call(fn, tx)
			crash.Point("metadata.commit")
			return err
		})
	})
	crash.Point("metadata.committed")
	return err
}

func (e *postgres) transact(ctx context.Context, opts *sql.TxOptions, first string, tx *Tx, fn func(*Tx) error) error {
	t, err := e.db.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	defer t.Rollback() // does nothing after a commit
	if first != "" {
		if _, err := t.ExecContext(ctx, first); err != nil {
			return err
		}
	}
	tx.ctx, tx.conn = ctx, t
	if err := fn(tx); err != nil {
		return err
	}
	return t.Commit()
}

// tryAgain are the SQLSTATEs of a transaction that another one got in the way of.
var tryAgain = map[string]bool{"40001": true, "40P01": true, "23505": true, "23503": true}

// maxTries bounds how often a transaction is run that others got in the way of.
const maxTries = 10

// retry runs a transaction again that PostgreSQL has given up in favour of
// another one: after a deadlock, a failure to serialize, or when the other one has
// taken a name that was free, or removed what was there.
func (e *postgres) retry(ctx context.Context, run func() error) error {
	for try := 1; ; try++ {
		err := run()
		var pg *pgconn.PgError
		if try == maxTries || !errors.As(err, &pg) || !tryAgain[pg.Code] {
			return err
		}
		select {
		case <-time.After(rand.N(time.Duration(try) * 10 * time.Millisecond)):
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// close implements engine.
func (e *postgres) close() error { return errors.Join(e.db.Close(), e.spare.Close()) }
