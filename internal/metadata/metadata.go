// Package metadata keeps the facts of every domain in SQL: in SQLite, or in
// PostgreSQL. There is one set of queries for both; what differs between the two
// is in sqlite.go and postgres.go.
//
// A [DB] knows no domain. [For] makes it the Store of one: every domain's
// transaction type is a set of methods that [Tx] has.
package metadata

import (
	"context"
	"fmt"
	"time"
)

// DB is a database. It is safe for concurrent use.
type DB struct {
	engine  engine
	refusal error // of all that changes something for somebody; nil if it may be done
}

// engine is what SQLite and PostgreSQL do differently.
type engine interface {
	// view runs fn in a transaction that sees one state and changes nothing.
	view(ctx context.Context, fn func(*Tx) error) error
	// aside is view on connections that are kept for it.
	aside(ctx context.Context, fn func(*Tx) error) error
	// update runs fn in a transaction. A relaxed one does not wait for the disk.
	update(ctx context.Context, relaxed bool, fn func(*Tx) error) error
	// shred takes the backing keys that were deleted out of the files.
	shred(ctx context.Context) error
	// now is the time by the clock of the database.
	now(ctx context.Context) (time.Time, error)
	close() error
}

// Close waits for transactions under way and releases the database.
func (db *DB) Close() error { return db.engine.close() }

// Ping returns an error if the database does not answer.
func (db *DB) Ping(ctx context.Context) error {
	return outage(ctx, db.engine.view(ctx, func(tx *Tx) error {
		var one int
		_, err := tx.row("SELECT 1", nil, &one)
		return err
	}))
}

// Store is a DB as one domain sees it: R is the domain's read transaction, W its
// changing one. *Tx must implement both. The errors of its methods are [fault.ErrAway] or
// [fault.ErrFull] if the database is away or has no room; a transaction that changes
// something may then have happened all the same.
type Store[R, W any] struct {
	db *DB
}

// For returns the Store of a domain.
func For[R, W any](db *DB) Store[R, W] { return Store[R, W]{db} }

// View runs fn in a transaction that sees one state of the database and changes
// nothing.
func (s Store[R, W]) View(ctx context.Context, fn func(R) error) error {
	return outage(ctx, s.db.engine.view(ctx, counting(ctx, fn)))
}

// Aside is View for who may be in a transaction already: it does not wait until others
// end. fn must be short.
func (s Store[R, W]) Aside(ctx context.Context, fn func(R) error) error {
	return outage(ctx, s.db.engine.aside(ctx, func(tx *Tx) error { return fn(any(tx).(R)) }))
}

// Update runs fn in a transaction and returns when its changes are durable. fn
// may share its commit with others and may run more than once. While changes are refused
// nothing comes of it, and the error says why: see package maintenance.
func (s Store[R, W]) Update(ctx context.Context, fn func(W) error) error {
	return outage(ctx, s.db.engine.update(ctx, false, counting(ctx, guarded(s.db, fn))))
}

// Relaxed is Update without the wait for the disk.
func (s Store[R, W]) Relaxed(ctx context.Context, fn func(W) error) error {
	return outage(ctx, s.db.engine.update(ctx, true, counting(ctx, guarded(s.db, fn))))
}

// ShredKMSMaterials implements [keys.Store]: it takes what was deleted of backing keys
// out of the files of the database. In SQLite nothing is left of them then. PostgreSQL
// writes the table anew, and leaves it to the file system when the space of the old one
// is written over; it fails if others use the table for long, and what a transaction
// still sees, the log and its archives, and replicas, stay.
func (s Store[R, W]) ShredKMSMaterials(ctx context.Context) error { return s.db.engine.shred(ctx) }

// Now returns the time by the clock of the database, which is that of this machine for
// SQLite.
func (db *DB) Now(ctx context.Context) (time.Time, error) { return db.engine.now(ctx) }

// micros is how times are stored: microseconds since 1970, 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// instant is a time that is read from a column of microseconds.
type instant time.Time

// Scan implements [sql.Scanner].
func (t *instant) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("a time is stored as %T", v)
	}
	*t = instant(fromMicros(n))
	return nil
}

// boolean is how booleans are stored.
func boolean(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
