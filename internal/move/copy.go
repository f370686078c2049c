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
	"berth/internal/crash"
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
	after Position
	ended chan struct{}

	copying atomic.Int64 // bytes of objects that have not moved yet

	mu      sync.Mutex
	outcome Progress // what no step has told yet; guarded by mu

	// What follows is for who has seen it end.
	at   time.Time // when it ended
	next *Position // nil if nothing comes after it
	err  error
}

// tell adds to p what has come of the run since it was last told.
func (r *run) tell(p *Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.Objects += r.outcome.Objects
	p.Bytes += r.outcome.Bytes
	p.Unverified += r.outcome.Unverified
	p.Failed = append(p.Failed, r.outcome.Failed...)
	r.outcome = Progress{}
}

// count counts an object that has moved, or has failed to.
func (r *run) count(o Object, verified bool, failure error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if failure != nil {
		r.outcome.Failed = append(r.outcome.Failed, Failure{o.Domain.Name, string(o.Digest), failure.Error()})
		return
	}
	r.outcome.Objects++
	r.outcome.Bytes += o.Size
	if !verified {
		r.outcome.Unverified++
	}
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

// move makes a run. What is wrong with single objects it counts.
func (m *Mover) move(ctx context.Context, from string, grace time.Duration, r *run) error {
	objects, err := m.next(ctx, from, r)
	if err != nil || len(objects) == 0 {
		return err
	}
	keys, err := reserve(ctx, m.Store, m.Places, m.Now(), len(objects))
	if err != nil {
		return err
	}
	crash.Point("move.reserved")
	failures, errs := make([]error, len(objects)), make([]error, len(objects))
	var all sync.WaitGroup
	var next atomic.Int64
	for range atOnce {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(objects)); i = next.Add(1) - 1 {
				failures[i], errs[i] = m.moveOne(ctx, objects[i], keys[i], grace, r)
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// One that a store does not take stays. If it takes none, others need not be tried.
	if len(objects) > 1 && !slices.ContainsFunc(failures, func(err error) bool { return !isStores(err) }) {
		return errStore(failures[0], "The layer %s could not be copied", objects[0].Digest)
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
func reserve(ctx context.Context, s Store, places *blob.Places, now time.Time, n int) ([]string, error) {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = places.NewKey()
	}
	return keys, s.Update(ctx, func(tx Tx) error {
		for _, key := range keys {
			if err := tx.PutLeftover(key, now.Add(abandoned)); err != nil {
				return err
			}
		}
		return nil
	})
}

// moveOne copies an object to a key and has its row name the copy. If that does not
// come about, what is under the key is removed later. A failure is the object's, or a
// store's.
func (m *Mover) moveOne(ctx context.Context, o Object, to string, grace time.Duration, r *run) (failure, err error) {
	var copied int64
	verified, failure := m.Blobs.Copy(ctx, o.Object, to, func(n int) {
		copied += int64(n)
		r.copying.Add(int64(n))
	})
	defer func() { r.copying.Add(-copied) }()
	crash.Point("move.copied")
	if failure != nil {
		err = m.Store.Update(context.WithoutCancel(ctx), func(tx Tx) error { return tx.PutLeftover(to, m.Now().Add(Grace)) })
		err = errors.Join(context.Cause(ctx), err)
	} else {
		failure, err = m.flip(ctx, o, to, grace)
	}
	if err == nil {
		r.count(o, verified, failure)
	}
	return failure, err
}

// flip has the row of an object name its copy, unless another process was faster, or the
// object is gone, or the copy.
func (m *Mover) flip(ctx context.Context, o Object, to string, grace time.Duration) (failure, err error) {
	err = m.Store.Update(ctx, func(tx Tx) error {
		failure = nil
		kept, err := tx.KeepLeftover(to)
		if err != nil {
			return err
		}
		moved := false
		if !kept {
			failure = errors.New("the copy has taken so long that it was removed")
		} else if moved, err = tx.Relocate(o.UID, o.Key, to, false); err != nil {
			return err
		}
		if !moved {
			return tx.PutLeftover(to, m.Now().Add(Grace))
		}
		return tx.PutLeftover(o.Key, m.Now().Add(grace))
	})
	crash.Point("move.switched")
	return failure, err
}
