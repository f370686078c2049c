package blob

import (
	"bytes"
	"context"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strconv"
	"sync"

	"berth/internal/fault"

	"github.com/opencontainers/go-digest"
)

// An upload that will be sealed is sealed already: full chunks are in the bucket
// once bytes come after them, and what is left, at most a chunk, is in its Content,
// with the state of the hash and the pieces. That is a box for the purpose
// "upload", bound to format, object key and size, in which there are
//
//	length of the hash state (uvarint), the state | the pieces | the bytes left
//
// Its WrappedKey is an envelope without pieces.

// progress is an upload, opened.
type progress struct {
	keys    dataKeys
	wrapped [][]byte // the keys
	hash    hash.Hash
	pieces  pieces
	tail    []byte
}

// sealedAs returns the format for new bytes of a key domain.
func (s *Store) sealedAs(d Domain) int {
	switch {
	case d.Double:
		return FormatDoublySealed
	case s.seal || d.Key != "":
		return FormatSealed
	}
	return FormatPlain
}

// boxBound is what an upload's box is bound to.
func (u *Upload) boxBound() string {
	return strconv.Itoa(u.Format) + "\n" + u.Key + "\n" + strconv.FormatInt(u.Size, 10)
}

// begin opens a sealed upload, or one that is to be sealed.
func (s *Store) begin(ctx context.Context, u *Upload) (*progress, error) {
	if u.WrappedKey == nil {
		h, err := resumeHash(nil)
		if err != nil {
			return nil, err
		}
		p := &progress{keys: newDataKeys(u.Format), hash: h}
		p.wrapped, err = s.wrapKeys(ctx, u.Domain, p.keys, u.about)
		return p, err
	}
	wrapped, rest, err := cutWrapped(u.WrappedKey)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: malformed data keys", ErrDamaged)
	}
	p := &progress{wrapped: wrapped}
	if p.keys, err = s.unwrapKeys(ctx, u.Domain, u.Format, wrapped, u.about); err != nil {
		return nil, err
	}
	box, err := p.keys.openBox(u.Content, "upload", u.boxBound())
	if err != nil {
		return nil, err
	}
	n, k := binary.Uvarint(box)
	if k <= 0 || n > uint64(len(box)-k) {
		return nil, fmt.Errorf("%w: malformed upload", ErrDamaged)
	}
	box = box[k:]
	if p.hash, err = resumeHash(box[:n]); err != nil {
		return nil, err
	}
	p.pieces, p.tail, err = cutPieces(box[n:])
	return p, err
}

// store writes the progress into the upload.
func (p *progress) store(u *Upload) error {
	state, err := p.hash.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return err
	}
	box := binary.AppendUvarint(nil, uint64(len(state)))
	box = append(box, state...)
	box = p.pieces.append(box)
	box = append(box, p.tail...)
	u.Content = p.keys.sealBox(box, "upload", u.boxBound())
	u.WrappedKey = appendWrapped(nil, p.wrapped)
	return nil
}

// appendSealed is Append for an upload that is sealed. It returns before it has
// read anything if the key cannot be used.
func (s *Store) appendSealed(ctx context.Context, u *Upload, r io.Reader) error {
	next := *u
	p, err := s.begin(ctx, &next)
	if err != nil {
		return err
	}
	if len(p.pieces) >= maxPieces {
		return fault.New(fault.Exhausted, "LimitExceededException", "An upload cannot be made of more than %d pieces", maxPieces)
	}
	w := &chunkWriter{ctx: ctx, store: s, upload: &next, progress: p}
	defer w.close()
	read, readErr, err := w.receive(r)
	if err != nil {
		return err
	}
	if read == 0 {
		return readErr // as if there had been no call
	}
	if err := w.suspend(); err != nil {
		return poisoned(err)
	}
	next.Size += read
	if err := p.store(&next); err != nil {
		return fmt.Errorf("%w: %w", ErrPoisoned, err)
	}
	*u = next
	return readErr
}

// batch is how many chunks are sealed and written at once.
const batch = bufferSize / ChunkSize

// chunkBuffer is what one upload in flight costs in memory: a batch of chunks and what
// comes after it, and the batch sealed.
type chunkBuffer struct {
	plain  [(batch + 1) * ChunkSize]byte
	sealed [batch * maxChunk]byte
}

var uploadBuffers = sync.Pool{New: func() any { return new(chunkBuffer) }}

// chunkWriter seals what comes after an upload's tail. A full chunk is sealed when
// there is a byte after it: else it could be the last.
type chunkWriter struct {
	ctx      context.Context
	store    *Store
	upload   *Upload
	progress *progress

	buffer *chunkBuffer
	fill   int          // bytes in buffer.plain
	base   int64        // the chunk that they begin with
	cipher *chunkCipher // nil until a chunk is sealed
	to     Writer       // likewise
}

// receive reads r to its end. Errors of r and its own are told apart.
func (w *chunkWriter) receive(r io.Reader) (n int64, readErr, err error) {
	w.buffer = uploadBuffers.Get().(*chunkBuffer)
	w.base = (w.upload.Size - int64(len(w.progress.tail))) / ChunkSize
	w.fill = copy(w.buffer.plain[:], w.progress.tail)
	for {
		k, readErr := r.Read(w.buffer.plain[w.fill:])
		w.progress.hash.Write(w.buffer.plain[w.fill : w.fill+k])
		w.fill += k
		n += int64(k)
		if w.fill > batch*ChunkSize || readErr != nil {
			if err := w.flush(); err != nil {
				return n, nil, err
			}
		}
		if readErr == io.EOF {
			return n, nil, nil
		}
		if readErr != nil {
			return n, readErr, nil
		}
	}
}

// flush seals and writes the chunks that bytes come after, and keeps the rest.
func (w *chunkWriter) flush() error {
	chunks := (w.fill - 1) / ChunkSize
	if chunks <= 0 {
		return nil
	}
	if err := w.begin(); err != nil {
		return err
	}
	sealed := w.buffer.sealed[:0]
	for i := range chunks {
		chunk := w.buffer.plain[i*ChunkSize : (i+1)*ChunkSize]
		sealed = w.cipher.seal(sealed, chunk, w.base+int64(i), false)
	}
	if _, err := w.to.Write(sealed); err != nil {
		return poisoned(err)
	}
	w.base += int64(chunks)
	w.fill = copy(w.buffer.plain[:], w.buffer.plain[chunks*ChunkSize:w.fill])
	return nil
}

// begin begins a piece, and opens the upload.
func (w *chunkWriter) begin() (err error) {
	if w.to != nil {
		return nil
	}
	if w.upload.Key == "" {
		w.upload.Key = newKey(w.store.bucket)
	}
	p := newPiece(w.base)
	w.progress.pieces = append(w.progress.pieces, p)
	w.cipher = newChunkCipher(w.progress.keys, p, w.upload.Format)
	w.to, err = w.store.open(w.ctx, w.upload.Key, sealedSize(w.base*ChunkSize, w.upload.Format), w.upload.State)
	return err
}

// suspend makes what was written durable and takes the tail out of the buffer.
func (w *chunkWriter) suspend() (err error) {
	if w.to != nil {
		w.upload.State, err = w.to.Suspend()
	}
	w.progress.tail = bytes.Clone(w.buffer.plain[:w.fill])
	return err
}

func (w *chunkWriter) close() {
	if w.to != nil {
		_ = w.to.Close() // after Suspend that does nothing
	}
	if w.buffer != nil {
		uploadBuffers.Put(w.buffer)
	}
}

// finishSealed is Finish for an upload that is sealed.
func (s *Store) finishSealed(ctx context.Context, u Upload, want digest.Digest) (Object, error) {
	p, err := s.begin(ctx, &u)
	if err != nil {
		return Object{}, err
	}
	if want.Algorithm() == digest.SHA256 && hex.EncodeToString(p.hash.Sum(nil)) != want.Encoded() ||
		u.Key == "" && want.Algorithm().FromBytes(p.tail) != want {
		return Object{}, ErrDigest
	}
	last := lastPiece(p.keys, u.Size, p.hash.Sum(nil))
	p.pieces = append(p.pieces, last)
	o := Object{Digest: want, Size: u.Size, Format: u.Format, Key: u.Key, Domain: u.Domain}
	if err := s.bind(ctx, &o, p.keys, p.pieces); err != nil {
		return Object{}, err
	}
	tail := newChunkCipher(p.keys, last, o.Format).seal(nil, p.tail, last.first, true)
	if o.Key == "" {
		o.Content = tail
		return o, nil
	}
	up, err := s.open(ctx, u.Key, sealedSize(last.first*ChunkSize, u.Format), u.State)
	if err != nil {
		return Object{}, err
	}
	defer up.Close()
	if _, err = up.Write(tail); err == nil {
		o.Key, err = up.Finish()
	}
	if err != nil {
		return Object{}, poisoned(err)
	}
	if want.Algorithm() == digest.SHA256 {
		return o, nil
	}
	return s.verified(ctx, u, o)
}

// bind wraps the data keys for an object that is otherwise complete.
func (s *Store) bind(ctx context.Context, o *Object, keys dataKeys, ps pieces) error {
	wrapped, err := s.wrapKeys(ctx, o.Domain, keys, o.about)
	if err != nil {
		return err
	}
	o.WrappedKey = append(appendWrapped(nil, wrapped), keys.sealBox(ps.append(nil), "pieces", "")...)
	return nil
}

// Seal returns the object of a content that is kept in the database whatever its
// size, as the key domain has it: a manifest. The digest must be the content's.
func (s *Store) Seal(ctx context.Context, d Domain, want digest.Digest, content []byte) (Object, error) {
	o := Object{Digest: want, Size: int64(len(content)), Format: s.sealedAs(d), Domain: d, Content: content}
	if o.Format == FormatPlain {
		return o, nil
	}
	keys, p := newDataKeys(o.Format), newPiece(0)
	if err := s.bind(ctx, &o, keys, pieces{p}); err != nil {
		return Object{}, err
	}
	o.Content = newChunkCipher(keys, p, o.Format).seal(nil, content, 0, true)
	return o, nil
}

// Content returns the bytes of an object that is small enough to be held in memory, and
// as a rule kept in the database. They must not be changed.
func (s *Store) Content(ctx context.Context, o Object) ([]byte, error) {
	if o.Damaged {
		return nil, ErrQuarantined
	}
	if o.Key != "" { // it was stored as a layer
		return s.readAll(ctx, o)
	}
	if o.Format == FormatPlain {
		return o.Content, nil
	}
	return s.openContent(ctx, o)
}

// Rewrap wraps the data keys of an object anew, as its key wraps them now, and
// reports whether that was due. The bytes stay as they are.
func (s *Store) Rewrap(ctx context.Context, o *Object) (bool, error) {
	return s.rewrap(ctx, o.Domain, o.Format, &o.WrappedKey, o.about)
}

// RewrapUpload is Rewrap for an upload.
func (s *Store) RewrapUpload(ctx context.Context, u *Upload) (bool, error) {
	return s.rewrap(ctx, u.Domain, u.Format, &u.WrappedKey, u.about)
}

func (s *Store) rewrap(ctx context.Context, d Domain, format int, envelope *[]byte, about func(int) (string, error)) (bool, error) {
	if layersOf(format) == 0 || len(*envelope) == 0 {
		return false, nil
	}
	wrapped, rest, err := cutWrapped(*envelope)
	if err != nil {
		return false, err
	}
	current, err := s.current(ctx, d, wrapped)
	if err != nil || current {
		return false, err
	}
	keys, err := s.unwrapKeys(ctx, d, format, wrapped, about)
	if err != nil {
		return false, err
	}
	if wrapped, err = s.wrapKeys(ctx, d, keys, about); err != nil {
		return false, err
	}
	*envelope = append(appendWrapped(nil, wrapped), rest...)
	return true, nil
}

// current reports whether all of an object's data keys are known to be wrapped as
// they would be now.
func (s *Store) current(ctx context.Context, d Domain, wrapped [][]byte) (bool, error) {
	c, ok := s.keys.(Currency)
	if !ok {
		return false, nil
	}
	for _, w := range wrapped {
		if current, err := c.Current(ctx, d.Key, w); err != nil || !current {
			return false, err
		}
	}
	return true, nil
}
