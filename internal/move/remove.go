package move

import (
	"context"
	"errors"
	"time"

	"berth/internal/crash"
)

const (
	// removed is how many leftovers are claimed at once.
	removed = 100
	// maxUnremoved is how many of them a store may refuse to delete before it is asked
	// for no more.
	maxUnremoved = 5
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

// deleteAll deletes what is under keys. It returns those under which there is nothing
// any more.
func (m *Mover) deleteAll(ctx context.Context, keys []string, until time.Time) (gone []string, _ error) {
	var refused []error
	for _, key := range keys {
		if len(refused) == maxUnremoved || ctx.Err() != nil || !until.IsZero() && time.Now().After(until) {
			break
		}
		if err := m.Places.Delete(ctx, key); err != nil {
			refused = append(refused, err)
		} else {
			gone = append(gone, key)
		}
		crash.Point("move.removed")
	}
	return gone, errors.Join(refused...)
}

func (m *Mover) forget(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	return m.Store.Update(ctx, func(tx Tx) error {
		for _, key := range keys {
			if err := tx.DeleteLeftover(key); err != nil {
				return err
			}
		}
		return nil
	})
}
