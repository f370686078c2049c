package metadata

import (
	"testing"
	"time"

	"berth/internal/registry"
)

// However many transactions there are, each can look at something aside.
func TestAsideWaitsForNoTransaction(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, s store) {
		const views = 40 // more than there are connections
		done := make(chan error, views)
		look := func(tx registry.ReadTx) error {
			_, err := tx.RepositoryCount(home)
			return err
		}
		for range views {
			go func() {
				done <- s.View(t.Context(), func(tx registry.ReadTx) error {
					err := look(tx) // takes the connection
					if err != nil {
						return err
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
