package metadata

import (
	"sync/atomic"
	"testing"
	"time"

	"berth/internal/registry"
)

// However many transactions there are, each can look at something aside.
func TestAsideWaitsForNoTransaction(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func(*testing.T) *DB) {
		db := open(t)
		s, connections := For[registry.ReadTx, registry.Tx](db), int64(0)
		switch e := db.engine.(type) {
		case *sqlite:
			connections = int64(cap(e.readers))
		case *postgres:
			connections = int64(e.db.Stats().MaxOpenConnections)
		}
		views := connections + 8
		done := make(chan error, views)
		look := func(tx registry.ReadTx) error {
			_, err := tx.Templates(home, []string{"x"})
			return err
		}
		var started atomic.Int64
		all := make(chan struct{}) // closed once so many have a connection that no more can
		for range views {
			go func() {
				done <- s.View(t.Context(), func(tx registry.ReadTx) error {
					err := look(tx) // takes the connection
					if err != nil {
						return err
					}
					if started.Add(1) == connections {
						close(all)
					}
					select {
					case <-all:
					case <-t.Context().Done():
					}
					return s.Aside(t.Context(), look)
				})
			}()
		}
		for range views {
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Fatal("a transaction waits for others")
			}
		}
	})
}
