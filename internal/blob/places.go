package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"
)

// The names of places. They are part of the keys that are recorded, and never change.
const (
	InDirectory = ""
	InS3        = "s3:"
)

// Places are buckets that are used as one. A key says where its object or upload is:
// it is a bucket's key after the name of the place. What is under a place that is not
// among At is out of reach: its objects are an error, its uploads are lost, and to
// delete what is there changes nothing.
type Places struct {
	New string            // where what is new goes
	At  map[string]Bucket // by name
}

var (
	_ Bucket    = (*Places)(nil)
	_ Presigner = (*Places)(nil)
	_ Reapable  = (*Places)(nil)
)

// place returns the name of the place that a key is of.
func place(key string) string { return key[:strings.IndexByte(key, ':')+1] }

// find returns the bucket that a key is of, nil if it is out of reach, and the key
// there.
func (p *Places) find(key string) (Bucket, string) {
	at := place(key)
	return p.At[at], key[len(at):]
}

func (p *Places) object(key string) (Bucket, string, error) {
	b, key := p.find(key)
	if b == nil {
		return nil, "", errors.New("the object is in a place that is not configured")
	}
	return b, key, nil
}

// NewKey returns a key in a place that was never used.
func (p *Places) NewKey(place string) string { return place + randomKey() }

// Open implements [Bucket].
func (p *Places) Open(ctx context.Context, key string) (Reader, error) {
	b, key, err := p.object(key)
	if err != nil {
		return nil, err
	}
	return b.Open(ctx, key)
}

// Stat implements [Bucket].
func (p *Places) Stat(ctx context.Context, key string) (int64, error) {
	b, key, err := p.object(key)
	if err != nil {
		return 0, err
	}
	return b.Stat(ctx, key)
}

// Upload implements [Bucket].
func (p *Places) Upload(ctx context.Context, key string, size int64, state []byte) (Writer, error) {
	b, rest := p.find(key)
	if b == nil {
		return nil, ErrUploadLost
	}
	w, err := b.Upload(ctx, rest, size, state)
	if err != nil {
		return nil, err
	}
	return placed{w, place(key)}, nil
}

// placed is a Writer at a place.
type placed struct {
	Writer
	place string
}

func (w placed) Finish() (string, error) {
	key, err := w.Writer.Finish()
	return w.place + key, err
}

// Delete implements [Bucket].
func (p *Places) Delete(ctx context.Context, key string) error {
	b, key := p.find(key)
	if b == nil {
		return nil
	}
	return b.Delete(ctx, key)
}

// List implements [Bucket].
func (p *Places) List(ctx context.Context) iter.Seq2[Entry, error] {
	return p.all(func(b Bucket) iter.Seq2[Entry, error] { return b.List(ctx) })
}

// all returns the entries of all places.
func (p *Places) all(list func(Bucket) iter.Seq2[Entry, error]) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for name, b := range p.At {
			for e, err := range list(b) {
				e.Key = name + e.Key
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

// Presign implements [Presigner]. The URL is "" where there are none.
func (p *Places) Presign(ctx context.Context, key string, life time.Duration) (string, error) {
	b, key := p.find(key)
	if b, ok := b.(Presigner); ok {
		return b.Presign(ctx, key, life)
	}
	return "", nil
}

// Uploads implements [Reapable].
func (p *Places) Uploads(ctx context.Context) iter.Seq2[Entry, error] {
	return p.all(func(b Bucket) iter.Seq2[Entry, error] {
		if b, ok := b.(Reapable); ok {
			return b.Uploads(ctx)
		}
		return func(func(Entry, error) bool) {}
	})
}

// Settle implements [Reapable].
func (p *Places) Settle(ctx context.Context, key string, state []byte) error {
	b, key := p.find(key)
	if b, ok := b.(Reapable); ok {
		return b.Settle(ctx, key, state)
	}
	return nil
}

// Abort implements [Reapable].
func (p *Places) Abort(ctx context.Context, key string) error {
	b, key := p.find(key)
	if b, ok := b.(Reapable); ok {
		return b.Abort(ctx, key)
	}
	return nil
}

// Copy copies the bytes of an object, as they are stored, to a key that was never
// used, and reads the copy back. It returns ErrNotFound or ErrDamaged if the object
// is not whole, as far as its digest shows that: of what is not stored as it is, the
// copy is the same, whole or not. After an error there may be something under the key.
func (p *Places) Copy(ctx context.Context, o Object, to string) error {
	r, err := p.Open(ctx, o.Key)
	if err != nil {
		return err
	}
	defer r.Close()
	b, key := p.find(to)
	if b == nil {
		return fmt.Errorf("copy to %s: the place is not configured", to)
	}
	w, err := b.Upload(ctx, key, 0, nil)
	if err != nil {
		return err
	}
	defer w.Close()
	if s, ok := w.(Sole); ok {
		s.Sole()
	}
	h := newHash(o.Digest.Algorithm())
	n, readErr, err := copyHashed(w, h, whileReader{ctx, r})
	if err = errors.Join(readErr, err); err != nil {
		return err
	}
	sum := h.Sum(nil)
	if o.Format == FormatPlain && (n != o.Size || fmt.Sprintf("%x", sum) != o.Digest.Encoded()) {
		return fmt.Errorf("%w: its %d bytes have another digest", ErrDamaged, n)
	}
	finished, err := w.Finish()
	if err != nil {
		return err
	}
	if finished != key {
		return fmt.Errorf("the copy is under %s instead of %s", finished, key)
	}
	back, err := b.Open(ctx, key)
	if err != nil {
		return fmt.Errorf("read the copy: %v", err) // the copy is not the object
	}
	defer back.Close()
	h.Reset()
	if _, err, _ := copyHashed(io.Discard, h, whileReader{ctx, back}); err != nil || !bytes.Equal(h.Sum(nil), sum) {
		return fmt.Errorf("the copy differs from what was written: %v", err)
	}
	return nil
}

// whileReader reads until a context ends.
type whileReader struct {
	ctx context.Context
	r   io.Reader
}

func (r whileReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
