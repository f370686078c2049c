package move

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"berth/internal/crash"
)

const (
	// removed is how many leftovers are claimed at once.
	removed = 100
	// maxUnremoved is how many of them a store may refuse to delete before it is asked
	// for no more, unless it has deleted more.
	maxUnremoved = 5
	// removers is how many are deleted at once.
	removers = 4
)

// Remove removes bytes that are to go. It may run in several processes at once.
func (m *Mover) Remove(ctx context.Context) error { return m.remove(ctx, time.Time{}) }

// remove removes them until a time, if it is not zero.
//
// They are claimed first, so that no copy that is to go becomes an object meanwhile.
// Who has claimed them and ends leaves them to the next one. Those that were claimed
// before come last: what the store does not delete keeps it from nothing else.
func (m *Mover) remove(ctx context.Context, until time.Time) error {
	var all error
	for place := range m.Places.At {
		refusal, err := m.removeFrom(ctx, place, until)
		if err != nil {
			return err
		}
		if refusal != nil {
			all = errStore(refusal, "What was copied from %s could not be removed", m.Names[place])
		}
	}
	return all
}

// removeFrom is remove for one place. What the store has refused is the first result.
func (m *Mover) removeFrom(ctx context.Context, place string, until time.Time) (refusal, _ error) {
	refused := map[string]bool{}
	for more := true; more; {
		var keys []string
		err := m.Store.Update(ctx, func(tx Tx) (err error) {
			keys, err = tx.ClaimLeftovers(place, m.Now(), removed)
			return err
		})
		if err != nil {
			return refusal, err
		}
		d := m.deleteAll(ctx, keys, until)
		for _, key := range d.tried {
			refused[key] = !slices.Contains(d.gone, key)
		}
		refusal = errors.Join(refusal, d.refusal)
		if err := m.forget(ctx, d.gone); err != nil {
			return refusal, err
		}
		if more = len(keys) == removed && len(d.gone) > 0 && !d.late; d.refusal != nil && len(d.gone) == 0 {
			return refusal, nil // it deletes nothing now
		}
	}
	again, err := m.removeClaimed(ctx, place, refused, until)
	return errors.Join(refusal, again), err
}

// removeClaimed removes what was claimed before, but for some keys. It goes on where it
// gave up the last time.
func (m *Mover) removeClaimed(ctx context.Context, place string, but map[string]bool, until time.Time) (refusal, _ error) {
	m.mu.Lock()
	after := m.tried[place]
	m.mu.Unlock()
	for more := true; more; {
		var keys []string
		err := m.Store.View(ctx, func(tx Tx) (err error) {
			keys, err = tx.ClaimedLeftovers(place, m.Now(), after, removed)
			return err
		})
		if err != nil {
			return refusal, err
		}
		last := ""
		if len(keys) == removed {
			last = keys[len(keys)-1]
		}
		keys = slices.DeleteFunc(keys, func(key string) bool { return but[key] })
		d := m.deleteAll(ctx, keys, until)
		refusal = errors.Join(refusal, d.refusal)
		if err := m.forget(ctx, d.gone); err != nil {
			return refusal, err
		}
		whole := len(d.tried) == len(keys)
		switch {
		case whole:
			after = last // "" at the end
		case len(d.tried) > 0:
			after = d.tried[len(d.tried)-1]
		}
		more = after != "" && !d.late && (len(d.gone) > 0 || d.refusal == nil && whole)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tried == nil {
		m.tried = map[string]string{}
	}
	m.tried[place] = after
	return refusal, nil
}

// deleted is what has come of deleting keys.
type deleted struct {
	tried   []string // the first ones
	gone    []string // those of them under which there is nothing any more
	refusal error
	late    bool // the time was over
}

// deleteAll deletes what is under keys, a few at once, unless the store does not.
func (m *Mover) deleteAll(ctx context.Context, keys []string, until time.Time) (d deleted) {
	var mu sync.Mutex
	var refused []error
	next := 0
	take := func() (key string, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		d.late = ctx.Err() != nil || !until.IsZero() && time.Now().After(until)
		if d.late || len(refused) >= maxUnremoved && len(refused) > len(d.gone) || next == len(keys) {
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
					d.gone = append(d.gone, key)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	d.tried, d.refusal = keys[:next], errors.Join(refused...)
	return d
}

func (m *Mover) forget(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	return m.Store.Update(ctx, func(tx Tx) error { return tx.DeleteLeftovers(keys) })
}
