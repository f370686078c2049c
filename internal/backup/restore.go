package backup

import (
	"context"
	"errors"
	"fmt"

	"berth/internal/blob"
)

// Restore brings the objects of a snapshot back.
type Restore struct {
	From     *Target
	Facts    Facts
	To       blob.Bucket
	Place    string // in To
	Progress func(Progress)
}

// ErrForeign: where objects are to be restored to there is something else.
var ErrForeign = errors.New("there is something else where objects are to be restored to")

// Check changes nothing. It returns the objects that are not in the backup, or not whole.
// What is in the bucket already must be objects of the snapshot: of a restore that was
// interrupted.
func (r *Restore) Check(ctx context.Context) ([]Missing, error) {
	lost, keys := []Missing{}, map[string]bool{}
	err := pages(ctx, inBucket(r.Facts), func(objects []Object) error {
		for _, o := range objects {
			keys[bare(o.Key)] = true
			m, err := present(ctx, r.From.bucket, r.Facts, o)
			if err != nil {
				return err
			}
			if m != nil {
				lost = append(lost, *m)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for e, err := range r.To.List(ctx) {
		if err != nil {
			return nil, err
		}
		if !keys[bare(e.Key)] {
			return nil, fmt.Errorf("%w: %s", ErrForeign, e.Key)
		}
	}
	return lost, nil
}

// present looks for an object in a backup, by its size.
func present(ctx context.Context, in blob.Bucket, facts Facts, o Object) (*Missing, error) {
	size, err := in.Stat(ctx, bare(o.Key))
	if err == nil && size != o.StoredSize() {
		err = fmt.Errorf("%w: %d bytes instead of %d", blob.ErrDamaged, size, o.StoredSize())
	}
	if err == nil {
		return nil, nil
	}
	if !errors.Is(err, blob.ErrNotFound) && !errors.Is(err, blob.ErrDamaged) {
		return nil, err
	}
	m, err := missing(ctx, facts, o, err)
	return &m, err
}

// Copied is what a restore has done.
type Copied struct {
	Objects int64     `json:"objects"`
	Bytes   int64     `json:"bytes"`
	Present int64     `json:"present"` // objects that were there, of an attempt before
	Missing []Missing `json:"missing"`
}

// Run copies all objects that are there.
func (r *Restore) Run(ctx context.Context) (Copied, error) {
	all, err := r.Facts.Summary(ctx)
	if err != nil {
		return Copied{}, err
	}
	c := &copier{
		facts: r.Facts, from: r.From.bucket, to: r.To, all: all, progress: r.Progress, missing: []Missing{},
		source: bare, rename: func(key string) string { return r.Place + bare(key) },
	}
	err = c.run(ctx)
	return Copied{c.copied, c.copiedBytes, c.present, c.missing}, err
}

// Verified is what verifying a snapshot has found.
type Verified struct {
	Objects int64     `json:"objects"` // looked at
	Bytes   int64     `json:"bytes"`
	Sealed  int64     `json:"sealedUnread"` // of these, sealed under a key that is not to be had: their sizes are right
	Lost    []Missing `json:"lost"`         // not there, or not what was backed up
	Removed int64     `json:"removed"`      // of these, so that the next backup copies them again
}

// Verify reads and hashes all objects of a snapshot. Of those that are sealed it takes only
// the sizes, if keys is nil or cannot open them. With repair it removes those that are not
// what was backed up, once it has read them twice: what has the right size, no backup copies
// again.
func Verify(ctx context.Context, t *Target, facts Facts, keys blob.KeyWrapper, repair bool, progress func(Progress)) (Verified, error) {
	v, store := Verified{Lost: []Missing{}}, blob.NewSealing(t.bucket, keys, false)
	all, err := facts.Summary(ctx)
	if err != nil {
		return v, err
	}
	err = pages(ctx, everything(facts), func(objects []Object) error {
		for _, o := range objects {
			m, err := v.object(ctx, t, store, facts, o, keys != nil)
			if m != nil && err == nil && repair {
				err = v.repair(ctx, t, store, o)
			}
			if err != nil {
				return err
			}
			if m != nil {
				v.Lost = append(v.Lost, *m)
			}
			v.Objects, v.Bytes = v.Objects+1, v.Bytes+o.Size
			if progress != nil {
				progress(Progress{v.Objects, all.Objects, v.Bytes, all.Bytes})
			}
		}
		return nil
	})
	return v, err
}

// repair removes an object if it is still found to be damaged.
func (v *Verified) repair(ctx context.Context, t *Target, store *blob.Store, o Object) error {
	if o.Key = bare(o.Key); o.Key == "" {
		return nil
	}
	size, err := t.bucket.Stat(ctx, o.Key)
	if errors.Is(err, blob.ErrNotFound) {
		return nil
	}
	if err == nil && size == o.StoredSize() {
		err = store.Verify(ctx, o.Object)
		if !errors.Is(err, blob.ErrDamaged) {
			return err
		}
	}
	v.Removed++
	return t.bucket.Delete(ctx, o.Key)
}

// object verifies one object.
func (v *Verified) object(ctx context.Context, t *Target, store *blob.Store, facts Facts, o Object, keys bool) (*Missing, error) {
	stored := o
	o.Key = bare(o.Key)
	if o.Format == blob.FormatPlain || keys {
		var locked *blob.KeyError
		err := store.Verify(ctx, o.Object)
		if errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrDamaged) {
			m, err := missing(ctx, facts, stored, err)
			return &m, err
		}
		if !errors.As(err, &locked) {
			return nil, err
		}
	}
	v.Sealed++
	if o.Key == "" {
		return nil, nil // it is in the facts, which are whole
	}
	return present(ctx, t.bucket, facts, stored)
}
