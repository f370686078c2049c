package gc

import (
	"context"
	"slices"
)

// A phase is about what was garbage when it began, or else it would not come to an end while
// more is deleted all the time, and the next one not to its turn.

// repositories removes those that were deleted and cannot be restored any more.
func (w *work) repositories(ctx context.Context) error {
	over := w.over()
	for {
		var uid string
		_, err := w.step(ctx, func(tx Tx) (Removed, error) {
			var err error
			uid, err = tx.EndRepository(over)
			return Removed{}, err
		})
		if err != nil || uid == "" {
			return err
		}
		for gone := false; !gone; {
			_, err := w.step(ctx, func(tx Tx) (done Removed, err error) {
				done, gone, err = tx.RemoveRepository(uid, w.now(), w.now().Add(w.Delay), w.Slices)
				return done, err
			})
			if err != nil {
				return err
			}
		}
		w.run.Repositories++
	}
}

// images removes those that were deleted and cannot be restored any more.
func (w *work) images(ctx context.Context) error {
	over := w.over()
	for {
		done, err := w.step(ctx, func(tx Tx) (Removed, error) { return tx.RemoveImages(over, w.now()) })
		if err != nil || done.Images == 0 {
			return err
		}
	}
}

// atOnce is how many layers of a repository are unlinked at once: meanwhile nobody can
// push an image there.
const atOnce = 100

// layers unlinks those that no image refers to.
func (w *work) layers(ctx context.Context) error {
	since := w.loose()
	for {
		var found []LooseLayer
		err := w.Store.View(ctx, func(tx Tx) error {
			var err error
			found, err = tx.LooseLayers(since, w.Slices)
			return err
		})
		if err != nil || len(found) == 0 {
			return err
		}
		in := map[string][]string{}
		for _, l := range found {
			in[l.Repository] = append(in[l.Repository], l.Digest)
		}
		for repository, digests := range in {
			for some := range slices.Chunk(digests, atOnce) {
				_, err := w.step(ctx, func(tx Tx) (Removed, error) { return tx.UnlinkLayers(repository, some, since, w.now()) })
				if err != nil {
					return err
				}
			}
		}
	}
}

// objects removes those that neither a layer nor an image has.
func (w *work) objects(ctx context.Context) error {
	var waiting int64
	err := w.Store.View(ctx, func(tx Tx) error {
		q, err := tx.GarbageQueue()
		waiting = q.Objects
		return err
	})
	if err != nil {
		return err
	}
	for ; waiting > 0; waiting -= atOnce {
		done, err := w.step(ctx, func(tx Tx) (Removed, error) {
			return tx.RemoveObjects(w.now(), w.now().Add(w.Delay), atOnce)
		})
		if err != nil || done.rows == 0 {
			return err
		}
	}
	return nil
}

// history forgets what has been known for long enough.
func (w *work) history(ctx context.Context) error {
	for _, forget := range []func(Tx) (int64, error){
		func(tx Tx) (int64, error) {
			return tx.ForgetRemovals(w.now().Add(-removalsLife), mostRemovals, w.Slices)
		},
		func(tx Tx) (int64, error) { return tx.ForgetPastImages(w.now().Add(-pastLife), w.Slices) },
	} {
		for more := true; more; {
			_, err := w.step(ctx, func(tx Tx) (Removed, error) {
				n, err := forget(tx)
				more = n > 0
				return Removed{}, err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// bytes removes those that are due.
func (w *work) bytes(ctx context.Context) error { return w.Bytes(ctx) }
