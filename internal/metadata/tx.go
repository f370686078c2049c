package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"berth/internal/crash"
	"berth/internal/registry"
)

// Tx is a transaction. It implements the transactions of every domain. It must
// not be used after the function that it was given to has returned.
//
// It holds the context that its statements run under, which is not the one of a
// single caller where callers share a commit.
type Tx struct {
	ctx   context.Context
	conn  queryer
	locks map[registry.Lock]string // what to add to a SELECT; nil if nothing

	memo       *memo  // what is remembered; nil in PostgreSQL, and when others in the group have changed that
	generation uint64 // of the memo, when the transaction began
	recalled   bool   // it has used what is remembered
	changed    bool   // the update has changed what views remember

	statements int64 // how many have run

	policy   *string // that of a registry, if the transaction has read it
	policyOf registry.ID
}

var _ registry.Tx = (*Tx)(nil)

// queryer runs statements on one connection.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// query runs a query. A view that has recalled facts must not add to them what
// is true of a later state: it is run again instead.
func (tx *Tx) query(query string, args []any) (*sql.Rows, error) {
	tx.statements++
	rows, err := tx.conn.QueryContext(tx.ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	if tx.recalled && tx.memo.now() != tx.generation {
		return nil, errors.Join(errMoved, rows.Close())
	}
	return rows, nil
}

// row reads the one row of a query into dest. It reports whether there was one.
func (tx *Tx) row(query string, args []any, dest ...any) (bool, error) {
	found := false
	err := tx.rows(query, args, func(r *sql.Rows) error {
		found = true
		return r.Scan(dest...)
	})
	return found, err
}

// rows calls scan for every row of a query.
func (tx *Tx) rows(query string, args []any, scan func(*sql.Rows) error) error {
	rows, err := tx.query(query, args)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fmt.Errorf("scan: %w", err)
		}
	}
	return rows.Err()
}

// strings returns the first column of every row.
func (tx *Tx) strings(query string, args ...any) ([]string, error) {
	var out []string
	err := tx.rows(query, args, func(r *sql.Rows) error {
		var s string
		err := r.Scan(&s)
		out = append(out, s)
		return err
	})
	return out, err
}

// exec runs a statement and returns how many rows it changed.
func (tx *Tx) exec(query string, args ...any) (int64, error) {
	tx.statements++
	res, err := tx.conn.ExecContext(tx.ctx, query, args...)
	if err != nil {
		return 0, fmt.Errorf("exec: %w", err)
	}
	crash.Point("metadata.statement")
	return res.RowsAffected()
}

// change runs a statement that changes what it changes.
func (tx *Tx) change(query string, args ...any) error {
	_, err := tx.exec(query, args...)
	return err
}
