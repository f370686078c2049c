package metadata

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

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
}

var _ registry.Tx = (*Tx)(nil)

// queryer runs statements on one connection.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// row reads the one row of a query into dest. It reports whether there was one.
func (tx *Tx) row(query string, args []any, dest ...any) (bool, error) {
	err := tx.conn.QueryRowContext(tx.ctx, query, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("query: %w", err)
	}
	return true, nil
}

// rows calls scan for every row of a query.
func (tx *Tx) rows(query string, args []any, scan func(*sql.Rows) error) error {
	rows, err := tx.conn.QueryContext(tx.ctx, query, args...)
	if err != nil {
		return fmt.Errorf("query: %w", err)
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
	res, err := tx.conn.ExecContext(tx.ctx, query, args...)
	if err != nil {
		return 0, fmt.Errorf("exec: %w", err)
	}
	return res.RowsAffected()
}

// change runs a statement that changes what it changes.
func (tx *Tx) change(query string, args ...any) error {
	_, err := tx.exec(query, args...)
	return err
}
