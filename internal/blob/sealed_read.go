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
	if o.Key == "" {
		plain, err := s.openContent(ctx, o)
		if err != nil {
			return nil, err
		}
		return memory{bytes.NewReader(plain)}, nil
	}
	keys, ps, err := s.unbind(ctx, o)
	if err != nil {
		return nil, err
	}
	from, err := s.openStored(ctx, o.Key, sealedSize(o.Size, o.Format))
	if err != nil {
		return nil, err
	}
	return &sealedReader{from: from, size: o.Size, format: o.Format, keys: keys, pieces: ps, held: -1, piece: -1}, nil
}

// openContent returns the bytes of a sealed object that is kept in the database.
func (s *Store) openContent(ctx context.Context, o Object) ([]byte, error) {
	c, err := s.contentCipher(ctx, o)
	if err != nil {
		return nil, err
	}
	sealed := o.Content
	if len(c.layers) > 1 {
		sealed = bytes.Clone(sealed) // open overwrites it
	}
	plain, err := c.open(make([]byte, len(sealed)), sealed, 0, true)
	if err == nil && int64(len(plain)) != o.Size {
		err = fmt.Errorf("%w: %d bytes instead of %d", ErrDamaged, len(plain), o.Size)
	}
	return plain, err
}

// unbind returns the data keys of a sealed object, and its pieces, of which there is
// at least one.
func (s *Store) unbind(ctx context.Context, o Object) (dataKeys, pieces, error) {
	wrapped, box, err := cutWrapped(o.WrappedKey)
	if err != nil {
		return nil, nil, err
	}
	keys, err := s.unwrapKeys(ctx, o.Domain, o.Format, wrapped, o.about)
	if err != nil {
		return nil, nil, err
	}
	list, err := keys.openBox(box, "pieces", "")
	if err != nil {
		return nil, nil, err
	}
	ps, rest, err := cutPieces(list)
	if err == nil && (len(ps) == 0 || len(rest) > 0) {
		err = fmt.Errorf("%w: malformed pieces", ErrDamaged)
	}
	return keys, ps, err
}

// chunkBuffers are for one chunk each.
var chunkBuffers = sync.Pool{New: func() any { return new([maxChunk]byte) }}

// sealedReader reads a sealed object from a bucket. No byte leaves it that is not
// authentic. Whole chunks are read and opened in the memory of who reads, if that has
// room for their tags too; of one that is asked for in part it keeps the rest.
type sealedReader struct {
	from   Reader
	size   int64 // of the plain bytes
	format int
	keys   dataKeys
	pieces pieces

	at     int64           // the next plain byte
	stored int64           // the next byte of from
	buffer *[maxChunk]byte // for a chunk as it is stored; nil until one is needed
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

// Read implements [io.Reader]. It goes on to a further chunk only if p has room for all
// of it: the rest would have to be kept.
func (r *sealedReader) Read(p []byte) (n int, err error) {
	if r.from == nil {
		return 0, errClosed
	}
	for n < len(p) && r.at < r.size && (n == 0 || len(p)-n >= r.length()) {
		k, err := r.readChunk(p[n:])
		n += k
		r.at += int64(k)
		if err != nil {
			r.failed = err
			return n, err
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// length returns how many plain bytes the chunk has that the next byte is in.
func (r *sealedReader) length() int { return int(min(r.size-r.at/ChunkSize*ChunkSize, ChunkSize)) }

// readChunk reads what p has room for of the chunk that the next byte is in.
func (r *sealedReader) readChunk(p []byte) (int, error) {
	n := r.at / ChunkSize
	if n != r.held {
		length := r.length()
		into := p
		if r.at%ChunkSize != 0 || len(p) < length {
			into = nil
		}
		plain, err := r.load(n, length, into)
		if err != nil || into != nil {
			return len(plain), err
		}
		r.plain, r.held = plain, n
	}
	return copy(p, r.plain[r.at-n*ChunkSize:]), nil
}

// load reads chunk n, which has so many plain bytes, and opens it into p, or in the
// buffer if that is nil.
func (r *sealedReader) load(n int64, length int, p []byte) ([]byte, error) {
	tags := tagSize * layersOf(r.format)
	sealed := p
	if len(p) < length+tags {
		if r.buffer == nil {
			r.buffer = chunkBuffers.Get().(*[maxChunk]byte)
		}
		sealed, r.held = r.buffer[:], -1 // what was in the buffer goes
	}
	sealed = sealed[:length+tags]
	if start := n * int64(ChunkSize+tags); start != r.stored {
		if _, err := r.from.Seek(start, io.SeekStart); err != nil {
			return nil, err
		}
		r.stored = start
	}
	k, err := io.ReadFull(r.from, sealed)
	r.stored += int64(k)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("%w: it ends in chunk %d", ErrDamaged, n)
	}
	if err != nil {
		return nil, err
	}
	if p == nil {
		p = sealed
	}
	if i := r.pieces.of(n); i != r.piece {
		r.cipher, r.piece = newChunkCipher(r.keys, r.pieces[i], r.format), i
	}
	return r.cipher.open(p, sealed, n, n == chunksOf(r.size)-1)
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
