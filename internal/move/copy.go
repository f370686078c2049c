package move

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"berth/internal/blob"
)

// batch moves the next objects, all at once.
func (m *Mover) batch(ctx context.Context, from string, grace time.Duration, p *Progress) error {
	var objects []Object
	if err := m.Store.View(ctx, func(tx Tx) error {
		var err error
		objects, err = tx.PlacedObjects(from, *p.After, batch)
		return err
	}); err != nil {
		return err
	}
	keys := make([]string, len(objects))
	if len(objects) > 0 {
		if err := m.reserve(ctx, keys); err != nil {
			return err
		}
	}
	errs := make([]error, len(objects))
	var all sync.WaitGroup
	for i, o := range objects {
		all.Go(func() { errs[i] = m.move(ctx, o, keys[i], grace) })
	}
	all.Wait()
	for i, o := range objects {
		switch err := errs[i]; {
		case errors.Is(err, blob.ErrNotFound), errors.Is(err, blob.ErrDamaged):
			p.Failed = append(p.Failed, Failure{o.KeyDomain, string(o.Digest), err.Error()})
		case err != nil:
			return fmt.Errorf("move %s: %w", o.Digest, err)
		default:
			p.Objects++
			p.Bytes += o.Size
		}
	}
	p.After = nil
	if len(objects) == batch {
		last := objects[batch-1].position()
		p.After = &last
	}
	return nil
}

// reserve makes keys and records that what will be under them is to go, unless it
// becomes an object.
func (m *Mover) reserve(ctx context.Context, keys []string) error {
	for i := range keys {
		keys[i] = m.Places.NewKey(m.Places.New)
	}
	return m.Store.Update(ctx, func(tx Tx) error {
		for _, key := range keys {
			if err := tx.PutLeftover(key, m.Now().Add(abandoned)); err != nil {
				return err
			}
		}
		return nil
	})
}

// move copies an object to a key and has its row name the copy. If that does not
// come about, what is under the key is removed later.
func (m *Mover) move(ctx context.Context, o Object, to string, grace time.Duration) error {
	err := m.Places.Copy(ctx, o.Object, to)
	if err != nil && !errors.Is(err, blob.ErrNotFound) && !errors.Is(err, blob.ErrDamaged) && ctx.Err() == nil {
		err = errStore(err, "The layer %s could not be copied", o.Digest)
	}
	if err != nil {
		return errors.Join(err, m.Store.Update(context.WithoutCancel(ctx), func(tx Tx) error { return tx.PutLeftover(to, m.Now()) }))
	}
	return m.Store.Update(ctx, func(tx Tx) error {
		kept, err := tx.DeleteLeftover(to)
		if err != nil {
			return err
		}
		if !kept {
			return errors.New("the copy has taken so long that it was removed")
		}
		moved, err := tx.Relocate(o.UID, o.Key, to)
		if err != nil {
			return err
		}
		if !moved { // another process was faster, or the object is gone
			return tx.PutLeftover(to, m.Now())
		}
		return tx.PutLeftover(o.Key, m.Now().Add(grace))
	})
}
