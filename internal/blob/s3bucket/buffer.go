package s3bucket

import (
	"context"
	"fmt"
	"sync"

	"berth/internal/blob"

	"golang.org/x/sync/semaphore"
)

// allMemory is what the parts of all uploads may take together.
const allMemory = 256 << 20

// buffers are those of parts. They are used again at once: what only the garbage
// collector takes back is memory, too.
type buffers struct {
	room *semaphore.Weighted

	mu   sync.Mutex
	used int      // guarded by mu
	size int      // of those in free; guarded by mu
	free [][]byte // guarded by mu
}

func newBuffers(most int64) *buffers { return &buffers{room: semaphore.NewWeighted(most)} }

// get returns an empty buffer of that size, when there is room for it. Nobody waits for
// a second buffer while he fills a first one, and a buffer that is on its way comes back
// in the end: so there is always one who can go on.
func (b *buffers) get(ctx context.Context, size int) ([]byte, error) {
	if err := b.room.Acquire(ctx, int64(size)); err != nil {
		return nil, fmt.Errorf("%w: no memory for a part: %w", blob.ErrNotDone, context.Cause(ctx))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used++
	if size != b.size {
		b.size, b.free = size, nil
	}
	if n := len(b.free); n > 0 {
		p := b.free[n-1]
		b.free = b.free[:n-1]
		return p, nil
	}
	return make([]byte, 0, size), nil
}

// put takes a buffer back. It keeps no more than may soon be used.
func (b *buffers) put(p []byte) {
	size := cap(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used--
	switch {
	case b.used == 0:
		b.free = nil
	case size == b.size && len(b.free) < b.used+maxParallel:
		b.free = append(b.free, p[:0])
	}
	b.room.Release(int64(size))
}
