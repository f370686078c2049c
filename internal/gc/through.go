package gc

import (
	"context"
	"errors"
	"slices"
	"time"
)

// recount looks through all layers and objects, and notes what is garbage and was not
// noted. It goes on where it was interrupted.
func (w *work) recount(ctx context.Context) error {
	var p position
	err := w.Store.View(ctx, func(tx Tx) error { return get(tx, stateRecount, false, &p) })
	if err != nil {
		return err
	}
	if p.StartedAt.IsZero() {
		p = position{StartedAt: w.now(), EndedAt: p.EndedAt}
	}
	for !p.Layers || !p.Objects {
		if err := w.recountPage(ctx, &p); err != nil {
			return err
		}
	}
	return nil
}

// recountPage looks at a page and stores where to go on.
func (w *work) recountPage(ctx context.Context, p *position) error {
	began := time.Now()
	next := *p
	var layers []LooseLayer
	var objects []string
	err := w.Store.View(ctx, func(tx Tx) error {
		next = *p
		var err error
		if !p.Layers {
			var last *LooseLayer
			if layers, last, err = tx.UnnotedLayers(p.Layer, w.Slices); last == nil {
				next.Layers, next.Layer = true, LooseLayer{}
			} else {
				next.Layer = *last
			}
			return err
		}
		objects, next.Object, err = tx.UnnotedObjects(p.Object, w.Slices)
		next.Objects = next.Object == ""
		return err
	})
	if err == nil {
		err = w.pause(ctx, time.Since(began))
	}
	if err != nil {
		return err
	}
	var found int64
	_, err = w.step(ctx, func(tx Tx) (Removed, error) {
		found = int64(len(objects))
		for _, l := range layers {
			noted, err := tx.NoteLayer(l, w.now())
			if err != nil {
				return Removed{}, err
			}
			if noted {
				found++
			}
		}
		for _, uid := range objects {
			if err := tx.NoteObject(uid, w.now()); err != nil {
				return Removed{}, err
			}
		}
		return Removed{}.Looked(int64(w.Slices)), put(tx, stateRecount, next)
	})
	w.run.Found += found
	w.counters.Found.Add(found)
	*p = next
	return err
}

// sweep looks through the bucket when all layers and objects have been looked through,
// and then all of that is done: if it is interrupted the next run begins it anew, if it fails
// the one of the next day.
func (w *work) sweep(ctx context.Context) error {
	var p position
	err := w.Store.View(ctx, func(tx Tx) error { return get(tx, stateRecount, false, &p) })
	if err != nil || !p.Layers || !p.Objects {
		return err
	}
	err = w.sweepAll(ctx)
	if errors.Is(err, ErrLost) || ctx.Err() != nil {
		return err
	}
	_, ended := w.step(ctx, func(tx Tx) (Removed, error) { return Removed{}, put(tx, stateRecount, position{EndedAt: w.now()}) })
	return errors.Join(err, ended)
}

// sweepAll looks for objects that nobody knows of, and has them removed some days later.
func (w *work) sweepAll(ctx context.Context) error {
	before := w.run.Orphans
	defer func() {
		if n := w.run.Orphans - before; n > 0 && w.Orphaned != nil {
			w.Orphaned(n, w.now().Add(orphansAfter))
		}
	}()
	var keys []string
	for e, err := range w.Bucket.List(ctx) {
		if err != nil {
			return err
		}
		if !e.Finished || w.age().Sub(e.ModTime) < orphanAge {
			continue // uploads are reaped by themselves
		}
		if keys = append(keys, e.Key); len(keys) == sweptAtOnce {
			if err := w.sweepKeys(ctx, keys); err != nil {
				return err
			}
			keys = keys[:0]
		}
	}
	return w.sweepKeys(ctx, keys)
}

const sweptAtOnce = 100

// sweepKeys has the bytes removed of those keys that nobody knows. Most often all are
// known, and nothing is written.
func (w *work) sweepKeys(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	began := time.Now()
	var known []string
	err := w.Store.View(ctx, func(tx Tx) error {
		var err error
		known, err = tx.KnownKeys(keys)
		return err
	})
	if err != nil {
		return err
	}
	w.run.Examined += int64(len(keys))
	if len(known) == len(keys) {
		return w.pause(ctx, time.Since(began))
	}
	var orphans int64
	_, err = w.step(ctx, func(tx Tx) (Removed, error) {
		orphans = 0
		known, err := tx.KnownKeys(keys)
		if err != nil {
			return Removed{}, err
		}
		for _, key := range keys {
			if slices.Contains(known, key) {
				continue
			}
			orphans++
			if err := tx.PutLeftover(key, w.now().Add(orphansAfter)); err != nil {
				return Removed{}, err
			}
		}
		return Removed{}, nil
	})
	w.run.Orphans += orphans
	w.counters.Orphans.Add(orphans)
	return err
}
