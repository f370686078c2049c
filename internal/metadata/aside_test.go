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
	eachStore(t, func(t *testing.T, s store) {
		const views = 40 // more than there are connections
		done := make(chan error, views)
		look := func(tx registry.ReadTx) error {
			_, err := tx.Templates(home, []string{"x"})
			return err
		}
		var started atomic.Int64
		all := make(chan struct{}) // closed once so many have a connection that no more can
		time.AfterFunc(time.Second, func() { close(all) })
		for range views {
			go func() {
				done <- s.View(t.Context(), func(tx registry.ReadTx) error {
					err := look(tx) // takes the connection
					if err != nil {
						return err
					}
					started.Add(1)
					<-all
					return s.Aside(t.Context(), look)
				})
			}()
		}
		<-all
		if n := started.Load(); n == 0 || n == views {
			t.Fatalf("%d of %d transactions have a connection", n, views)
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
