package move

import (
	"context"
	"errors"
	"sync"
	"time"

	"berth/internal/crash"
)

const (
	// removed is how many leftovers are claimed at once.
	removed = 100
	// maxUnremoved is how many of them a store may refuse to delete before it is asked
	// for no more.
	maxUnremoved = 5
	// removers is how many are deleted at once.
	removers = 4
)

// Remove removes bytes that are to go. It may run in several processes at once.
func (m *Mover) Remove(ctx context.Context) error { return m.remove(ctx, time.Time{}) }

// remove removes them until a time, if it is not zero.
//
// They are claimed first, so that no copy that is to go becomes an object meanwhile.
// Who has claimed them and ends leaves them to the next one.
func (m *Mover) remove(ctx context.Context, until time.Time) error {
	var all error
	for place := range m.Places.At {
		for more := true; more; {
			var keys []string
			err := m.Store.Update(ctx, func(tx Tx) error {
				var err error
				keys, err = tx.ClaimLeftovers(place, m.Now(), removed)
				return err
			})
			if err != nil {
				return err
			}
			gone, refusal := m.deleteAll(ctx, keys, until)
			if refusal != nil {
				all = errStore(refusal, "What was copied from %s could not be removed", m.Names[place])
			}
			if err := m.forget(ctx, gone); err != nil {
				return err
			}
			more = len(gone) == removed
		}
	}
	return all
}

// deleteAll deletes what is under keys, a few at once. It returns those under which
// there is nothing any more.
func (m *Mover) deleteAll(ctx context.Context, keys []string, until time.Time) (gone []string, _ error) {
	var mu sync.Mutex
	var refused []error
	next := 0
	take := func() (key string, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		over := len(refused) >= maxUnremoved || ctx.Err() != nil || !until.IsZero() && time.Now().After(until)
		if over || next == len(keys) {
			return "", false
		}
		next++
		return keys[next-1], true
	}
	var all sync.WaitGroup
	for range min(removers, len(keys)) {
		all.Go(func() {
			for key, ok := take(); ok; key, ok = take() {
				err := m.Places.Delete(ctx, key)
				crash.Point("move.removed")
				mu.Lock()
				if err != nil {
					refused = append(refused, err)
				} else {
					gone = append(gone, key)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return gone, errors.Join(refused...)
}

func (m *Mover) forget(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	return m.Store.Update(ctx, func(tx Tx) error { return tx.DeleteLeftovers(keys) })
}
