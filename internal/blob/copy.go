package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// ErrUnreadable: an object cannot be read where it is.
var ErrUnreadable = errors.New("the object cannot be read")

// StoredSize returns how many bytes the object is in a bucket.
func (o Object) StoredSize() int64 { return sealedSize(o.Size, o.Format) }

// Copy copies the bytes of an object, as they are stored, to a key that was never
// used, reads the copy back and holds it against the object's digest. It tells progress
// how many bytes have been copied since it last did. If the object's key cannot be used,
// the copy is not verified: then it is the same bytes, and as many as there should be.
//
// The error is ErrUnreadable, and the cause, if it is the object's: ErrNotFound, or
// ErrDamaged, if that is so. After an error there may be something under the key.
func (s *Store) Copy(ctx context.Context, o Object, to string, progress func(int)) (verified bool, err error) {
	sum, err := s.copyStored(ctx, o, to, progress)
	if err != nil {
		return false, err
	}
	c := o
	c.Key = to
	damage := s.Verify(ctx, c)
	if damage == nil {
		return true, nil
	}
	var locked *KeyError
	if !errors.As(damage, &locked) && !errors.Is(damage, ErrDamaged) {
		return false, fmt.Errorf("read the copy: %w", damage)
	}
	back, err := s.sumStored(ctx, c)
	if err == nil && !bytes.Equal(back, sum) {
		err = errors.New("it differs from what was written")
	}
	if err != nil {
		return false, fmt.Errorf("read the copy: %w", err)
	}
	if locked == nil {
		return false, fmt.Errorf("%w: %w", ErrUnreadable, damage) // the copy is as the object is
	}
	return false, nil
}

// copyStored copies what is under the object's key and returns its hash.
func (s *Store) copyStored(ctx context.Context, o Object, to string, progress func(int)) ([]byte, error) {
	size := sealedSize(o.Size, o.Format)
	r, err := s.openStored(ctx, o.Key, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	defer r.Close()
	w, err := s.bucket.Upload(ctx, to, 0, nil)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if w, ok := w.(Sole); ok {
		w.Sole()
	}
	h := sha256.New()
	n, readErr, err := copyHashed(w, h, &steadyReader{ctx, r, progress})
	if readErr == nil && err == nil && n != size {
		readErr = fmt.Errorf("%w: %d bytes instead of %d", ErrDamaged, n, size)
	}
	if readErr != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, readErr)
	}
	if err != nil {
		return nil, err
	}
	key, err := w.Finish()
	if err == nil && key != to {
		err = errors.Join(errors.New("the store has given the copy another key"), s.bucket.Delete(ctx, key))
	}
	return h.Sum(nil), err
}

// sumStored returns the hash of what is under the object's key.
func (s *Store) sumStored(ctx context.Context, o Object) ([]byte, error) {
	r, err := s.openStored(ctx, o.Key, sealedSize(o.Size, o.Format))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	h := sha256.New()
	_, err, _ = copyHashed(io.Discard, h, &steadyReader{ctx: ctx, r: r})
	return h.Sum(nil), err
}

// steadyReader reads until a context ends, and tells how far it has come.
type steadyReader struct {
	ctx      context.Context
	r        io.Reader
	progress func(int) // nil for none
}

func (r *steadyReader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	if r.progress != nil {
		r.progress(n)
	}
	return n, err
}
