package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"berth/internal/blob"
)

const (
	// copiers is how many objects are copied at once.
	copiers = 4
	// maxUnreadable is how many objects may fail to be read for other reasons than that
	// they are not there, before it is the bucket that fails.
	maxUnreadable = 20
)

// copier copies the objects of a snapshot from one bucket to another, as they are stored.
type copier struct {
	facts    Facts
	from, to blob.Bucket
	source   func(key string) string // the key in from; as it is if nil
	rename   func(key string) string // the key in to
	all      Summary
	progress func(Progress) // nil for none

	mu                           sync.Mutex
	copied, copiedBytes, present int64     // guarded by mu
	done                         Progress  // guarded by mu
	missing                      []Missing // guarded by mu
	unreadable                   int       // guarded by mu
}

// errSource is for what is wrong with the object that is copied, not with the copy.
type errSource struct{ err error }

func (e errSource) Error() string { return e.err.Error() }
func (e errSource) Unwrap() error { return e.err }

// run copies what is not there. Objects that are missing or not whole are noted.
func (c *copier) run(ctx context.Context) error {
	c.done.AllObjects, c.done.AllBytes = c.all.Objects, c.all.Bytes
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan Object)
	var wg sync.WaitGroup
	for range copiers {
		wg.Go(func() {
			for o := range work {
				if err := c.object(ctx, o); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := pages(ctx, c.facts, false, func(objects []Object) error {
		for _, o := range objects {
			select {
			case work <- o:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	close(work)
	wg.Wait()
	return errors.Join(err, context.Cause(ctx))
}

// object copies an object unless it is there.
func (c *copier) object(ctx context.Context, o Object) error {
	to := c.rename(o.Key)
	size, err := c.to.Stat(ctx, to)
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		return fmt.Errorf("look for %s: %w", to, err)
	}
	there := err == nil && size == o.StoredSize()
	if !there {
		if err == nil { // it was damaged since it was copied
			if err := c.to.Delete(ctx, to); err != nil {
				return err
			}
		}
		err := c.bytes(ctx, o, to)
		var source errSource
		if errors.As(err, &source) {
			return c.lost(ctx, o, source.err)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", to, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if there {
		c.present++
	} else {
		c.copied, c.copiedBytes = c.copied+1, c.copiedBytes+o.StoredSize()
	}
	c.done.Objects, c.done.Bytes = c.done.Objects+1, c.done.Bytes+o.Size
	if c.progress != nil {
		c.progress(c.done)
	}
	return nil
}

// lost notes an object that cannot be copied.
func (c *copier) lost(ctx context.Context, o Object, err error) error {
	if ctx.Err() != nil || errors.Is(err, blob.ErrNotDone) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !errors.Is(err, blob.ErrNotFound) && !errors.Is(err, blob.ErrDamaged) {
		if c.unreadable++; c.unreadable > maxUnreadable {
			return fmt.Errorf("%d objects cannot be read, the last one: %w", c.unreadable, err)
		}
	}
	m, failure := missing(ctx, c.facts, o, err)
	c.missing = append(c.missing, m)
	return failure
}

// missing says what of an object is not there, and who has it.
func missing(ctx context.Context, facts Facts, o Object, why error) (Missing, error) {
	reason := why.Error()
	if errors.Is(why, blob.ErrNotFound) {
		reason = fmt.Sprintf("its %d bytes are not there", o.StoredSize())
	}
	held, err := facts.Held(ctx, o.UID)
	return Missing{Digest: o.Digest.String(), Size: o.Size, Key: o.Key, Reason: reason, Held: held}, err
}

// bytes copies the bytes of an object.
func (c *copier) bytes(ctx context.Context, o Object, to string) error {
	from := o.Key
	if c.source != nil {
		from = c.source(from)
	}
	r, err := c.from.Open(ctx, from)
	if err != nil {
		return errSource{err}
	}
	defer r.Close()
	w, err := c.to.Upload(ctx, to, 0, nil)
	if err != nil {
		return err
	}
	defer w.Close()
	if w, ok := w.(blob.Sole); ok {
		w.Sole()
	}
	in := &reader{ctx: ctx, r: r}
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, in, make([]byte, 256<<10))
	if in.err == nil && err == nil && n != o.StoredSize() {
		in.err = fmt.Errorf("%w: %d bytes instead of %d", blob.ErrDamaged, n, o.StoredSize())
	}
	if in.err != nil {
		return errors.Join(errSource{in.err}, w.Close(), c.to.Delete(ctx, to))
	}
	if err != nil {
		return err
	}
	key, err := w.Finish()
	if err == nil && key != to {
		err = errors.Join(errors.New("the store has given it another key"), c.to.Delete(ctx, key))
	}
	return err
}

// reader reads until a context ends, and knows what of an error is its own.
type reader struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (r *reader) Read(p []byte) (int, error) {
	if r.err = context.Cause(r.ctx); r.err != nil {
		return 0, r.err
	}
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
