package s3bucket

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"time"

	"berth/internal/blob"
)

const (
	// allMemory is what the parts of all uploads may take together.
	allMemory = 256 << 20
	// chunkSize is how much of it an upload takes at a time, when it has bytes for it: who
	// sends slowly holds no more than was sent.
	chunkSize = 256 << 10
)

// errMemory is returned to who has waited for memory for long enough.
var errMemory = errors.New("no memory for a part")

// buffers are the memory for parts. Half of it is for whoever comes. If that is
// taken, those who wait would hold what the others wait for: so the other half is for a
// few of them, each of whom has the right to fill a part from it, however large.
//
// Chunks are used again at once: what only the garbage collector takes back is memory,
// too. Where that can be they are not in the heap, which the collector lets become twice
// as large as what is in it.
type buffers struct {
	taken  chan struct{} // an element for each chunk of the first half
	rights chan struct{} // one for each right that somebody has
	wait   time.Duration // so long does anybody wait

	mu   sync.Mutex
	used int      // chunks; guarded by mu
	free [][]byte // guarded by mu
	cold [][]byte // likewise; they take no memory until they are used
}

func newBuffers(most int64, wait time.Duration) *buffers {
	rights := max(most/2/maxPart, 1)
	return &buffers{
		taken: make(chan struct{}, max(most-rights*maxPart, 0)/chunkSize), rights: make(chan struct{}, rights), wait: wait,
	}
}

// fill appends to a buffer until it has most bytes, and waits for memory if there is
// none.
func (m *buffers) fill(ctx context.Context, b *buffer, p []byte, most int) (n int, err error) {
	for n < len(p) && b.size < most {
		if b.size == len(b.chunks)*chunkSize {
			if err := m.admit(ctx, b); err != nil {
				return n, err
			}
			b.chunks = append(b.chunks, m.chunk())
		}
		last := &b.chunks[len(b.chunks)-1]
		k := min(len(p)-n, chunkSize-len(*last), most-b.size)
		*last = append(*last, p[n:n+k]...)
		b.size += k
		n += k
	}
	return n, nil
}

func (m *buffers) chunk() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used++
	from := &m.free
	if len(m.free) == 0 {
		from = &m.cold
	}
	if n := len(*from); n > 0 {
		p := (*from)[n-1]
		*from = (*from)[:n-1]
		return p
	}
	return newChunk()
}

// shelve keeps a chunk without its memory, if that can be.
func (m *buffers) shelve(p []byte) {
	if cool(p) {
		m.cold = append(m.cold, p)
	}
}

// admit makes sure that there is memory for another chunk of a buffer: from the first
// half, unless the buffer has a right, or gets one.
func (m *buffers) admit(ctx context.Context, b *buffer) error {
	if b.right {
		return nil
	}
	select {
	case m.taken <- struct{}{}:
		b.common++
		return nil
	default:
	}
	wait := time.NewTimer(m.wait)
	defer wait.Stop()
	select {
	case m.taken <- struct{}{}:
		b.common++
	case m.rights <- struct{}{}:
		b.right = true
	case <-wait.C:
		return fmt.Errorf("%w: %w", blob.ErrNotDone, errMemory)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w: %w", blob.ErrNotDone, errMemory, context.Cause(ctx))
	}
	return nil
}

// kept is how many chunks are kept that nobody uses, besides as many as are used.
const kept = maxParallel * minPart / chunkSize

// put takes a buffer's memory back. It keeps no more than may soon be used.
func (m *buffers) put(b *buffer) {
	m.mu.Lock()
	m.used -= len(b.chunks)
	for _, p := range b.chunks {
		if len(m.free) < m.used+kept {
			m.free = append(m.free, p[:0])
		} else {
			m.shelve(p[:0])
		}
	}
	if m.used == 0 {
		for _, p := range m.free {
			m.shelve(p)
		}
		m.free = nil
	}
	m.mu.Unlock()
	for range b.common {
		<-m.taken
	}
	if b.right {
		<-m.rights
	}
	*b = buffer{}
}

// buffer is a part that is being filled, or sent. The zero buffer is empty.
type buffer struct {
	chunks [][]byte // all are full but the last
	size   int
	common int  // chunks that are of the first half
	right  bool // to the other half
}

// crc goes on with the CRC of what was before the bytes.
func (b *buffer) crc(before uint32, table *crc32.Table) uint32 {
	for _, p := range b.chunks {
		before = crc32.Update(before, table, p)
	}
	return before
}

// sum returns the CRC-32C as S3 writes it.
func (b *buffer) sum() string { return sumText(b.crc(0, castagnoli)) }

// body returns the bytes as a body that can be sent again.
func (b *buffer) body() io.ReadSeeker { return io.NewSectionReader(b, 0, int64(b.size)) }

// ReadAt implements [io.ReaderAt].
func (b *buffer) ReadAt(p []byte, at int64) (n int, err error) {
	for n < len(p) {
		if at >= int64(b.size) {
			return n, io.EOF
		}
		k := copy(p[n:], b.chunks[at/chunkSize][at%chunkSize:])
		n += k
		at += int64(k)
	}
	return n, nil
}
