package backup

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"berth/internal/blob"
)

const (
	// copiers is how many objects are copied at once.
	copiers = 4
	// maxUnreadable is how many objects may fail to be read for other reasons than that
	// they are not there, before it is the bucket that fails, if no other object can be read.
	maxUnreadable = 20
	// maxKnown is how many objects are known that were read, or are in the backup.
	maxKnown = 8
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
	copied, copiedBytes, present int64           // guarded by mu
	done                         Progress        // guarded by mu
	missing                      []Missing       // guarded by mu
	unreadable                   int             // guarded by mu
	named                        map[string]bool // the UIDs of what is missing; guarded by mu
	known                        []string        // keys of some objects that should be readable; guarded by mu
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
	err := pages(ctx, inBucket(c.facts), func(objects []Object) error {
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
	c.know(o.Key)
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
	if !errors.Is(err, blob.ErrNotFound) && !errors.Is(err, blob.ErrDamaged) {
		if !c.answers(ctx, o.Key) {
			return fmt.Errorf("objects cannot be read, this one neither: %s: %w", o.Key, err)
		}
		err = fmt.Errorf("it cannot be read: %w", err)
	}
	m, failure := missing(ctx, c.facts, o, err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.missing = append(c.missing, m)
	if c.named == nil {
		c.named = map[string]bool{}
	}
	c.named[o.UID] = true
	return failure
}

// errQuarantined is why an object is named whose bytes, such as they are, were copied.
var errQuarantined = errors.New("it is in quarantine: where it is stored it is not whole")

// quarantined names what is known not to be whole. It was copied all the same: a copy that
// was made before may be.
func (c *copier) quarantined(ctx context.Context) error {
	return pages(ctx, c.facts.Quarantined, func(objects []Object) error {
		for _, o := range objects {
			if c.named[o.UID] {
				continue
			}
			m, err := missing(ctx, c.facts, o, errQuarantined)
			if err != nil {
				return err
			}
			c.missing = append(c.missing, m)
		}
		return nil
	})
}

// know keeps the keys of some objects, of all parts of the snapshot. c.mu must be held.
func (c *copier) know(key string) {
	if len(c.known) < maxKnown {
		c.known = append(c.known, key)
	} else if n := rand.Int64N(c.copied + c.present + 1); n < maxKnown {
		c.known[n] = key
	}
}

// answers reports whether the bucket is there, though the object of that key cannot be
// read: objects that were read together may be on one bad spot of a disk, others are not.
func (c *copier) answers(ctx context.Context, key string) bool {
	c.mu.Lock()
	c.unreadable++
	few, known := c.unreadable <= maxUnreadable, slices.Clone(c.known)
	c.mu.Unlock()
	for _, k := range known {
		if c.readable(ctx, k) {
			return true
		}
	}
	var other [16]byte
	crand.Read(other[:])
	for _, k := range []string{key, strings.TrimSuffix(key, bare(key)) + hex.EncodeToString(other[:])} {
		_, err := c.from.Stat(ctx, c.at(k))
		if few && (err == nil || errors.Is(err, blob.ErrNotFound)) {
			return true
		}
	}
	return false
}

// readable reports whether the beginning of an object can be read.
func (c *copier) readable(ctx context.Context, key string) bool {
	r, err := c.from.Open(ctx, c.at(key))
	if err != nil {
		return false
	}
	defer r.Close()
	_, err = r.Read(make([]byte, 1))
	return err == nil || err == io.EOF
}

// at returns the key in the bucket that is read.
func (c *copier) at(key string) string {
	if c.source == nil {
		return key
	}
	return c.source(key)
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
	r, err := c.from.Open(ctx, c.at(o.Key))
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
