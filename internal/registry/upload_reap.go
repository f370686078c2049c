package registry

import (
	"context"
	"time"

	"berth/internal/blob"
)

const (
	// reapEvery is how often it is looked for uploads that were left behind.
	reapEvery = time.Hour
	// reapAge is how old they must be: an upload lives a day, and the database
	// knows its bytes only when the request that began it has ended.
	reapAge = uploadLife + 24*time.Hour
	// reapMost is how many are removed in one go, and reapPause what is between
	// two of them, so that the store has time for others.
	reapMost  = 1000
	reapPause = 50 * time.Millisecond
)

// ReapUploads removes uploads that nobody has finished, and what uploads have left
// behind in the bucket and the database does not know of: a process that ends at the
// wrong moment, or an answer of the store that is lost, can leave such things, and they
// cost money. It is called again and again; of all processes on one database one does
// it, every hour. For a bucket that is no [blob.Reapable] it does nothing.
func (r *Registry) ReapUploads(ctx context.Context) error {
	bucket, ok := r.blobs.Reapable()
	if !ok {
		return nil
	}
	mine := false
	now, owner := r.now(), newID()
	err := r.store.Relaxed(ctx, func(tx Tx) error {
		var err error
		mine, err = tx.Lease("reap uploads", owner, now, now.Add(reapEvery)) // ends by itself
		return err
	})
	if err != nil || !mine {
		return err
	}
	if err := r.expireUploads(ctx); err != nil {
		return err
	}
	removed := 0
	for e, err := range bucket.Uploads(ctx) {
		if err != nil {
			return err
		}
		if now.Sub(e.ModTime) < reapAge {
			continue
		}
		if err := r.refused(); err != nil {
			return err
		}
		known, err := r.reap(ctx, bucket, e.Key)
		if err != nil {
			return err
		}
		if known {
			continue
		}
		if removed++; removed == reapMost {
			return nil
		}
		select {
		case <-time.After(reapPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// reap removes what is left of an upload, unless the database knows it.
func (r *Registry) reap(ctx context.Context, bucket blob.Reapable, key string) (known bool, err error) {
	err = r.store.View(ctx, func(tx ReadTx) error {
		var err error
		known, err = tx.HasUploadKey(key)
		return err
	})
	if err != nil || known {
		return known, err
	}
	return false, bucket.Abort(ctx, key)
}

// expireUploads deletes the rows of uploads that are so old that nobody can go on with
// them.
func (r *Registry) expireUploads(ctx context.Context) error {
	for {
		var n int64
		err := r.store.Relaxed(ctx, func(tx Tx) error {
			var err error
			n, err = tx.ExpireUploads(r.now().Add(-reapAge), r.now(), reapMost)
			return err
		})
		if err != nil || n < reapMost {
			return err
		}
	}
}
