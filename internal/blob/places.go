package blob

import (
	"context"
	"errors"
	"fmt"
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
// among At is out of reach: to use it is ErrNotDone, and to delete it changes nothing.
type Places struct {
	New string            // where what is new goes
	At  map[string]Bucket // by name
}

var (
	_ Bucket    = (*Places)(nil)
	_ Presigner = (*Places)(nil)
	_ Reapable  = (*Places)(nil)
	_ Namer     = (*Places)(nil)
	_ Classer   = (*Places)(nil)
)

// place returns the name of the place that a key is of.
func place(key string) string { return key[:strings.IndexByte(key, ':')+1] }

// find returns the bucket that a key is of, nil if it is out of reach, and the key
// there.
func (p *Places) find(key string) (Bucket, string) {
	at := place(key)
	return p.At[at], key[len(at):]
}

func (p *Places) reach(key string) (Bucket, string, error) {
	b, key := p.find(key)
	if b == nil {
		return nil, "", fmt.Errorf("%w: what is asked for is in a place that this server does not have", ErrNotDone)
	}
	return b, key, nil
}

// NewKey implements [Namer].
func (p *Places) NewKey() string { return p.New + randomKey() }

// Open implements [Bucket].
func (p *Places) Open(ctx context.Context, key string) (Reader, error) {
	b, key, err := p.reach(key)
	if err != nil {
		return nil, err
	}
	return b.Open(ctx, key)
}

// Stat implements [Bucket].
func (p *Places) Stat(ctx context.Context, key string) (int64, error) {
	b, key, err := p.reach(key)
	if err != nil {
		return 0, err
	}
	return b.Stat(ctx, key)
}

// Upload implements [Bucket].
func (p *Places) Upload(ctx context.Context, key string, size int64, state []byte) (Writer, error) {
	b, rest, err := p.reach(key)
	if err != nil {
		return nil, err
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

// Sole implements [Sole].
func (w placed) Sole() {
	if w, ok := w.Writer.(Sole); ok {
		w.Sole()
	}
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

// CopyToClass implements [Classer]. Both keys must be of one place.
func (p *Places) CopyToClass(ctx context.Context, from, to string, archived bool) error {
	b, source, err := p.reach(from)
	if err != nil {
		return err
	}
	c, ok := b.(Classer)
	if !ok || place(from) != place(to) {
		return errors.New("the object is in a place that has no classes, or is to leave it")
	}
	_, target := p.find(to)
	return c.CopyToClass(ctx, source, target, archived)
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
