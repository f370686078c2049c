package move

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"berth/internal/blob"
)

const (
	// batch is how many objects a run moves at most, and batchBytes of how many bytes,
	// unless it is a single one.
	batch      = 8
	batchBytes = 64 << 20
	// atOnce is how many are copied at once: uploads need memory, too.
	atOnce = 2
	// runLife is how long the outcome of a run is kept for the step that asked for it.
	runLife = time.Minute
)

// run moves the objects after a position. Only one goes on at a time.
type run struct {
	after  Position
	copied atomic.Int64 // bytes
	ended  chan struct{}

	// What follows is for who has seen it end.
	at         time.Time // when it ended
	next       *Position // nil if nothing comes after it
	objects    int       // that have moved
	bytes      int64
	unverified int
	failed     []Failure
	err        error
}

// begin returns the run after a position, which it starts unless there is one, and
// whether it is that: another one must end first.
func (m *Mover) begin(from string, after Position, grace time.Duration) (_ *run, mine bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.run; r != nil {
		select {
		case <-r.ended:
			if r.after == after && time.Since(r.at) < runLife {
				return r, true
			}
		default:
			return r, r.after == after
		}
	}
	r := &run{after: after, ended: make(chan struct{})}
	m.run = r
	m.Go(func(ctx context.Context) {
		defer close(r.ended)
		r.err = m.move(ctx, from, grace, r)
		r.at = time.Now()
	})
	return r, true
}

// told forgets a run whose outcome a step tells.
func (m *Mover) told(r *run) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.run == r {
		m.run = nil
	}
}

// outcome is what came of an object. Its error is the object's, or the store's.
type outcome struct {
	verified bool
	err      error
}

func (m *Mover) move(ctx context.Context, from string, grace time.Duration, r *run) error {
	objects, err := m.next(ctx, from, r)
	if err != nil || len(objects) == 0 {
		return err
	}
	keys, err := m.reserve(ctx, len(objects))
	if err != nil {
		return err
	}
	outcomes, errs := make([]outcome, len(objects)), make([]error, len(objects))
	var all sync.WaitGroup
	var next atomic.Int64
	for range atOnce {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(objects)); i = next.Add(1) - 1 {
				outcomes[i], errs[i] = m.moveOne(ctx, objects[i], keys[i], grace, r)
			}
		})
	}
	all.Wait()
	for i, o := range objects {
		switch err := outcomes[i].err; {
		case errs[i] != nil:
		case err != nil:
			r.failed = append(r.failed, Failure{o.Domain.Name, string(o.Digest), err.Error()})
		default:
			r.objects++
			r.bytes += o.Size
			if !outcomes[i].verified {
				r.unverified++
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// One that a store does not take stays. If it takes none, others need not be tried.
	if len(objects) > 1 && !slices.ContainsFunc(outcomes, func(o outcome) bool { return !isStores(o.err) }) {
		return errStore(outcomes[0].err, "The layer %s could not be copied", objects[0].Digest)
	}
	return nil
}

// isStores reports whether what a copy failed with says more of a store than of the
// object.
func isStores(err error) bool {
	var file *fs.PathError
	return err != nil && !errors.Is(err, blob.ErrNotFound) && !errors.Is(err, blob.ErrDamaged) &&
		(!errors.Is(err, blob.ErrUnreadable) || !errors.As(err, &file))
}

// next returns the objects that a run is to move.
func (m *Mover) next(ctx context.Context, from string, r *run) (objects []Object, err error) {
	err = m.Store.View(ctx, func(tx Tx) error {
		objects, err = tx.PlacedObjects(from, r.after, batch)
		return err
	})
	more := len(objects) == batch
	var bytes int64
	for i, o := range objects {
		if bytes += o.Size; i > 0 && bytes > batchBytes {
			objects, more = objects[:i], true
			break
		}
	}
	if more {
		last := objects[len(objects)-1].position()
		r.next = &last
	}
	return objects, err
}

// reserve makes keys and records that what will be under them is to go, unless it
// becomes an object.
func (m *Mover) reserve(ctx context.Context, n int) ([]string, error) {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = m.Places.NewKey()
	}
	return keys, m.Store.Update(ctx, func(tx Tx) error {
		for _, key := range keys {
			if err := tx.PutLeftover(key, m.Now().Add(abandoned)); err != nil {
				return err
			}
		}
		return nil
	})
}

// moveOne copies an object to a key and has its row name the copy. If that does not
// come about, what is under the key is removed later.
func (m *Mover) moveOne(ctx context.Context, o Object, to string, grace time.Duration, r *run) (out outcome, err error) {
	out.verified, out.err = m.Blobs.Copy(ctx, o.Object, to, func(n int) { r.copied.Add(int64(n)) })
	if out.err != nil {
		err = m.Store.Update(context.WithoutCancel(ctx), func(tx Tx) error { return tx.PutLeftover(to, m.Now().Add(Grace)) })
		return out, errors.Join(context.Cause(ctx), err)
	}
	kept := false
	err = m.Store.Update(ctx, func(tx Tx) error {
		var err error
		if kept, err = tx.KeepLeftover(to); err != nil {
			return err
		}
		moved := false
		if kept {
			if moved, err = tx.Relocate(o.UID, o.Key, to); err != nil {
				return err
			}
		}
		if !moved { // another process was faster, or the object is gone, or the copy
			return tx.PutLeftover(to, m.Now().Add(Grace))
		}
		return tx.PutLeftover(o.Key, m.Now().Add(grace))
	})
	if err == nil && !kept {
		out.err = errors.New("the copy has taken so long that it was removed")
	}
	return out, err
}
