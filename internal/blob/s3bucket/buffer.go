package s3bucket

import (
	"context"
	"fmt"
	"sync"

	"berth/internal/blob"
)

// allMemory is what the parts of all uploads may take together.
const allMemory = 256 << 20

// pools hold buffers of each size that parts have.
var pools = map[int]*sync.Pool{
	minPart: {New: func() any { return new([minPart]byte) }},
	midPart: {New: func() any { return new([midPart]byte) }},
	maxPart: {New: func() any { return new([maxPart]byte) }},
}

// newBuffer returns a buffer of one of these sizes, empty, when there is memory for
// it. Nobody waits for a second buffer while he fills a first one, and a buffer that
// is on its way comes back in the end: so there is always one who can go on.
func (b *Bucket) newBuffer(ctx context.Context, size int) ([]byte, error) {
	if err := b.memory.Acquire(ctx, int64(size)); err != nil {
		return nil, fmt.Errorf("%w: no memory for a part: %w", blob.ErrNotDone, context.Cause(ctx))
	}
	switch p := pools[size].Get().(type) {
	case *[minPart]byte:
		return p[:0], nil
	case *[midPart]byte:
		return p[:0], nil
	case *[maxPart]byte:
		return p[:0], nil
	}
	panic("s3bucket: a pool holds something else")
}

// freeBuffer takes a buffer back.
func (b *Bucket) freeBuffer(p []byte) {
	p = p[:cap(p)]
	switch len(p) {
	case minPart:
		pools[minPart].Put((*[minPart]byte)(p))
	case midPart:
		pools[midPart].Put((*[midPart]byte)(p))
	case maxPart:
		pools[maxPart].Put((*[maxPart]byte)(p))
	}
	b.memory.Release(int64(len(p)))
}
