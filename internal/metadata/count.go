package metadata

import (
	"context"
	"sync/atomic"
)

type countKey struct{}

// Count returns a context whose transactions add to n how many statements they
// have run. What is recalled without asking the database does not count.
func Count(ctx context.Context, n *atomic.Int64) context.Context {
	return context.WithValue(ctx, countKey{}, n)
}

// counting makes what a domain does in a transaction what the engine runs.
func counting[T any](ctx context.Context, fn func(T) error) func(*Tx) error {
	n, count := ctx.Value(countKey{}).(*atomic.Int64)
	return func(tx *Tx) error {
		if count {
			defer func() { n.Add(tx.statements) }()
		}
		return fn(any(tx).(T))
	}
}
