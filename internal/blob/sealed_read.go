package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// openSealed opens a sealed object.
func (s *Store) openSealed(ctx context.Context, o Object) (Reader, error) {
	wrapped, box, err := cutWrapped(o.WrappedKey)
	if err != nil {
		return nil, err
	}
	keys, err := s.unwrapKeys(ctx, o.Domain, o.Format, wrapped, o.about)
	if err != nil {
		return nil, err
	}
	list, err := keys.openBox(box, "pieces", "")
	if err != nil {
		return nil, err
	}
	ps, rest, err := cutPieces(list)
	if err != nil {
		return nil, err
	}
	if len(ps) == 0 || len(rest) > 0 {
		return nil, fmt.Errorf("%w: malformed pieces", ErrDamaged)
	}
	if o.Key == "" {
		plain, err := newChunkCipher(keys, ps[0], o.Format).open(bytes.Clone(o.Content), 0, true)
		if err == nil && int64(len(plain)) != o.Size {
			err = fmt.Errorf("%w: %d bytes instead of %d", ErrDamaged, len(plain), o.Size)
		}
		if err != nil {
			return nil, err
		}
		return memory{bytes.NewReader(plain)}, nil
	}
	from, err := s.openStored(ctx, o.Key, sealedSize(o.Size, o.Format))
	if err != nil {
		return nil, err
	}
	return &sealedReader{from: from, size: o.Size, format: o.Format, keys: keys, pieces: ps, held: -1, piece: -1}, nil
}

// chunkBuffers are for one chunk each.
var chunkBuffers = sync.Pool{New: func() any { return new([maxChunk]byte) }}

// sealedReader reads a sealed object from a bucket. No byte leaves it that is not
// authentic. It holds one chunk.
type sealedReader struct {
	from   Reader
	size   int64 // of the plain bytes
	format int
	keys   dataKeys
	pieces pieces

	at     int64           // the next plain byte
	stored int64           // the next byte of from
	buffer *[maxChunk]byte // nil until the first Read
	plain  []byte          // of the chunk held, in buffer
	held   int64           // its number; -1 for none
	cipher *chunkCipher    // of the piece numbered piece
	piece  int
	failed error // what reading has ended with
}

// Err returns the error that reading has ended with, nil if it has not. Those who
// only copy the bytes to a client, which gets too few, do not see it.
func (r *sealedReader) Err() error { return r.failed }

var errClosed = errors.New("read of a closed object")

// Read implements [io.Reader].
func (r *sealedReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := r.next()
	if err != nil {
		return 0, err
	}
	n := copy(p, b)
	r.at += int64(n)
	return n, nil
}

// Chunked is a Reader that hands out bytes without copying them.
type Chunked interface {
	// Next returns the next bytes, some but at most as many as given, and moves on.
	// They are good until the next call of any method. At the end it returns io.EOF.
	Next(most int64) ([]byte, error)
}

// Next implements [Chunked].
func (r *sealedReader) Next(most int64) ([]byte, error) {
	b, err := r.next()
	b = b[:min(int64(len(b)), most)]
	r.at += int64(len(b))
	return b, err
}

// next returns the rest of the chunk that the next byte is in.
func (r *sealedReader) next() ([]byte, error) {
	if r.from == nil {
		return nil, errClosed
	}
	if r.at >= r.size {
		return nil, io.EOF
	}
	if n := r.at / ChunkSize; n != r.held {
		if err := r.load(n); err != nil {
			r.failed = err
			return nil, err
		}
	}
	return r.plain[r.at-r.held*ChunkSize:], nil
}

// load reads and opens chunk n.
func (r *sealedReader) load(n int64) error {
	if r.buffer == nil {
		r.buffer = chunkBuffers.Get().(*[maxChunk]byte)
	}
	r.held = -1 // what is in the buffer goes
	tags := tagSize * layersOf(r.format)
	if start := n * int64(ChunkSize+tags); start != r.stored {
		if _, err := r.from.Seek(start, io.SeekStart); err != nil {
			return err
		}
		r.stored = start
	}
	sealed := r.buffer[:int(min(r.size-n*ChunkSize, ChunkSize))+tags]
	k, err := io.ReadFull(r.from, sealed)
	r.stored += int64(k)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ends in chunk %d", ErrDamaged, n)
	}
	if err != nil {
		return err
	}
	if p := r.pieces.of(n); p != r.piece {
		r.cipher, r.piece = newChunkCipher(r.keys, r.pieces[p], r.format), p
	}
	if r.plain, err = r.cipher.open(sealed, n, n == chunksOf(r.size)-1); err != nil {
		return err
	}
	r.held = n
	return nil
}

// Seek implements [io.Seeker].
func (r *sealedReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, errors.New("seek to a place before the first byte")
	}
	r.at = offset
	return offset, nil
}

// Close implements [io.Closer].
func (r *sealedReader) Close() error {
	if r.from == nil {
		return nil
	}
	if r.buffer != nil {
		chunkBuffers.Put(r.buffer)
	}
	from := r.from
	r.from, r.buffer, r.plain, r.held = nil, nil, nil, -1
	return from.Close()
}
