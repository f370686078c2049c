// Package blob keeps immutable bytes: it receives them in pieces, verifies
// their digest, makes them durable and reads them back.
//
// [Store] is the concrete type that everybody uses; a [Bucket] underneath is a
// small driver. Neither knows repositories. What a Store knows about bytes is
// in the values that it returns, [Upload] and [Object]: callers keep those with
// their facts, in a database.
package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"
	"syscall"
	"time"

	"berth/internal/fault"

	"github.com/opencontainers/go-digest"
)

// Inline is the greatest size of a blob, in bytes, that is kept in the database
// beside its facts instead of in the bucket.
const Inline = 64 << 10

// bufferSize is what one upload in flight costs in memory.
const bufferSize = 256 << 10

// Errors of a Store.
var (
	// ErrDigest: the bytes do not have the digest that was claimed.
	ErrDigest = errors.New("content does not match its digest")
	// ErrDamaged: the object at rest is not what was stored.
	ErrDamaged = errors.New("object is damaged")
	// ErrQuarantined: the object was found damaged before, and is not read. It is an
	// ErrDamaged, too.
	ErrQuarantined = fmt.Errorf("%w: it was found so", ErrDamaged)
	// ErrPoisoned: a write failed, so that the upload's content is unknown. It
	// must be abandoned.
	ErrPoisoned = errors.New("upload failed while writing")
)

// FormatPlain is the format of an object whose bytes are stored as they are.
const FormatPlain = 0

// Object says where the bytes of one digest are.
type Object struct {
	Digest  digest.Digest
	Size    int64
	Format  int    // FormatPlain, FormatSealed or FormatDoublySealed
	Key     string // in the bucket; "" if Content holds the bytes
	Content []byte // the bytes themselves, if there are at most Inline
	Damaged bool   // found missing or wrong: nobody is given them

	Domain     Domain // whose key wraps the data key, if the object is sealed
	WrappedKey []byte // an envelope of data keys; nil for a plain object
}

// Upload is all that is known of an unfinished blob: any process that shares
// the bucket can go on with it. The zero Upload is empty; what it will be sealed
// under is said by Domain, which is not kept with it.
type Upload struct {
	Size    int64  // bytes received and durable
	Hash    []byte // the SHA-256 state after Size bytes; nil while Content holds them, and if sealed
	Content []byte // the bytes themselves, until there are more than Inline; what is not in the bucket, if sealed
	Key     string // in the bucket; "" while Content holds the bytes
	State   []byte // the driver's

	Domain     Domain
	Format     int    // as of an Object; decided by the first Append
	WrappedKey []byte // an envelope of data keys; nil if plain
}

// Store is a bucket with digests. It is safe for concurrent use.
type Store struct {
	bucket Bucket
	keys   KeyWrapper // nil for none
	seal   bool       // all that is new
	opened opened
}

// NewStore returns a Store over a bucket that seals nothing and opens nothing that
// is sealed.
func NewStore(b Bucket) *Store { return &Store{bucket: b} }

// NewSealing returns a Store that opens what is sealed under keys, whatever it seals
// itself: with all everything that is new, without it what has a KMS key.
func NewSealing(b Bucket, keys KeyWrapper, all bool) *Store {
	return &Store{bucket: b, keys: keys, seal: all}
}

// Fits reports whether an object can be taken where bytes are to be stored for a key
// domain: what is stored in plain is not good enough for what is to be sealed.
func (s *Store) Fits(o Object, d Domain) bool {
	return o.Format != FormatPlain || s.sealedAs(d) == FormatPlain
}

// Append reads r to its end and adds what it reads to the upload. When it
// returns, u describes the upload as it is durable now: with all that was read
// if the error is nil, or one of r's; unchanged if the error is ErrUploadLost, or
// ErrNotDone or a KeyError, after which it can go on; worthless if it is ErrPoisoned.
// An error of r is returned as it is.
//
// The memory used does not depend on the number of bytes. No two calls may work
// on the same upload at once.
func (s *Store) Append(ctx context.Context, u *Upload, r io.Reader) error {
	if u.Size == 0 && u.Key == "" && u.WrappedKey == nil {
		u.Format = s.sealedAs(u.Domain)
	}
	if u.Format != FormatPlain {
		return s.appendSealed(ctx, u, r)
	}
	if u.Key == "" {
		content, err := io.ReadAll(io.LimitReader(r, Inline+1-int64(len(u.Content))))
		content = slices.Concat(u.Content, content)
		if err != nil || len(content) <= Inline {
			u.Content, u.Size = content, int64(len(content))
			return err
		}
		r = io.MultiReader(bytes.NewReader(content), r)
	}
	return s.appendToBucket(ctx, u, r)
}

func (s *Store) appendToBucket(ctx context.Context, u *Upload, r io.Reader) error {
	next := *u
	if next.Key == "" {
		next = Upload{Key: newKey(s.bucket), Domain: u.Domain}
	}
	h, err := resumeHash(next.Hash)
	if err != nil {
		return err
	}
	up, err := s.open(ctx, next.Key, next.Size, next.State)
	if err != nil {
		return err
	}
	defer up.Close()

	n, readErr, err := copyHashed(up, h, r)
	if err != nil {
		return poisoned(err)
	}
	next.Size += n
	if next.State, err = up.Suspend(); err != nil {
		return poisoned(err)
	}
	if next.Hash, err = h.(encoding.BinaryMarshaler).MarshalBinary(); err != nil {
		return fmt.Errorf("%w: %w", ErrPoisoned, err)
	}
	*u = next
	return readErr
}

// open opens an upload, which changes nothing if it fails.
func (s *Store) open(ctx context.Context, key string, size int64, state []byte) (Writer, error) {
	up, err := s.bucket.Upload(ctx, key, size, state)
	if err != nil && !errors.Is(err, ErrUploadLost) {
		err = outage(ErrNotDone, err)
	}
	return up, err
}

// outage returns an error of the bucket as one of the Store's, with whether it is for
// want of room.
func outage(as, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w: %w", as, fault.ErrFull, err)
	}
	return fmt.Errorf("%w: %w: %w", as, fault.ErrAway, err)
}

// poisoned returns the error of a Writer, as ErrPoisoned unless it is ErrNotDone.
func poisoned(err error) error {
	if errors.Is(err, ErrNotDone) {
		return err
	}
	return outage(ErrPoisoned, err)
}

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// copyHashed copies r to w and h. It tells r's errors from w's.
func copyHashed(w io.Writer, h hash.Hash, r io.Reader) (n int64, readErr, writeErr error) {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	for {
		k, err := r.Read(buf[:])
		if k > 0 {
			if _, werr := w.Write(buf[:k]); werr != nil {
				return n, nil, werr
			}
			h.Write(buf[:k])
			n += int64(k)
		}
		if err == io.EOF {
			return n, nil, nil
		}
		if err != nil {
			return n, err, nil
		}
	}
}

func resumeHash(state []byte) (hash.Hash, error) {
	h := sha256.New()
	if state == nil {
		return h, nil
	}
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		return nil, fmt.Errorf("resume hash: %w", err)
	}
	return h, nil
}

// Finish turns the upload into an object of the digest want, durable under a
// key of its own. It returns ErrDigest if the bytes have another digest: the upload
// must then be abandoned by who owns it. After ErrNotDone it can be finished again.
// Nobody reaches the object until the caller has recorded it; until then it is an
// orphan, which a crash may leave behind.
func (s *Store) Finish(ctx context.Context, u Upload, want digest.Digest) (Object, error) {
	if u.Size == 0 && u.Key == "" && u.WrappedKey == nil {
		u.Format = s.sealedAs(u.Domain)
	}
	if u.Format != FormatPlain {
		return s.finishSealed(ctx, u, want)
	}
	o := Object{Digest: want, Size: u.Size, Key: u.Key, Content: u.Content, Domain: u.Domain}
	if u.Key == "" {
		if want.Algorithm().FromBytes(u.Content) != want {
			return Object{}, ErrDigest
		}
		return o, nil
	}
	if want.Algorithm() == digest.SHA256 {
		h, err := resumeHash(u.Hash)
		if err != nil {
			return Object{}, err
		}
		if hex.EncodeToString(h.Sum(nil)) != want.Encoded() {
			return Object{}, ErrDigest
		}
	}
	var err error
	if o.Key, err = s.finish(ctx, u); err != nil {
		return Object{}, err
	}
	if want.Algorithm() == digest.SHA256 {
		return o, nil
	}
	return s.verified(ctx, u, o)
}

// verified returns an object that has just been finished if it has its digest. Only
// a SHA-256 state is kept with an upload: another algorithm reads the bytes once
// more. The object stays: somebody else may have finished the same upload with
// another digest, and recorded it.
func (s *Store) verified(ctx context.Context, u Upload, o Object) (Object, error) {
	err := s.Verify(ctx, o)
	if errors.Is(err, ErrDamaged) {
		err = ErrDigest
	}
	if err != nil {
		if o.Key != u.Key {
			err = errors.Join(err, s.Remove(ctx, o))
		}
		return Object{}, err
	}
	return o, nil
}

func (s *Store) finish(ctx context.Context, u Upload) (key string, err error) {
	up, err := s.open(ctx, u.Key, u.Size, u.State)
	if err != nil {
		return "", err
	}
	defer up.Close()
	if key, err = up.Finish(); err != nil {
		return "", poisoned(err)
	}
	return key, nil
}

// Settle removes what an upload has left behind whose object has been recorded.
func (s *Store) Settle(ctx context.Context, u Upload) error {
	b, ok := s.Reapable()
	if !ok || u.Key == "" {
		return nil
	}
	return b.Settle(ctx, u.Key, u.State)
}

// Abandon removes what the upload holds in the bucket.
func (s *Store) Abandon(ctx context.Context, u Upload) error {
	if u.Key == "" {
		return nil
	}
	return s.bucket.Delete(ctx, u.Key)
}

// Remove deletes the object's bytes from the bucket.
func (s *Store) Remove(ctx context.Context, o Object) error {
	if o.Key == "" {
		return nil
	}
	return s.bucket.Delete(ctx, o.Key)
}

// Open returns a reader of the object's bytes. It returns ErrNotFound if they
// are gone and ErrDamaged if there are more or fewer than there should be. A
// plain object in a directory is returned as a bare *os.File, so that the
// kernel can send it. Of a sealed object no byte is returned that is not authentic:
// Read returns ErrDamaged instead. Of one in quarantine nothing is: ErrQuarantined.
func (s *Store) Open(ctx context.Context, o Object) (Reader, error) {
	if o.Damaged {
		return nil, ErrQuarantined
	}
	return s.openAnyhow(ctx, o)
}

// openAnyhow is Open also for what is in quarantine.
func (s *Store) openAnyhow(ctx context.Context, o Object) (Reader, error) {
	switch {
	case layersOf(o.Format) > 0:
		return s.openSealed(ctx, o)
	case o.Format != FormatPlain:
		return nil, fmt.Errorf("%w: unknown format %d", ErrDamaged, o.Format)
	case o.Key == "":
		return memory{bytes.NewReader(o.Content)}, nil
	}
	return s.openStored(ctx, o.Key, o.Size)
}

// openStored opens what the bucket has under a key, which must be of that size.
func (s *Store) openStored(ctx context.Context, key string, want int64) (Reader, error) {
	r, err := s.bucket.Open(ctx, key)
	if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrNotDone) {
		err = outage(ErrNotDone, err)
	}
	if err != nil {
		return nil, err
	}
	size, err := r.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = r.Seek(0, io.SeekStart)
	}
	if err == nil && size != want {
		err = fmt.Errorf("%w: %d bytes instead of %d", ErrDamaged, size, want)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// URL returns a URL at which whoever has it can GET the object's bytes until life
// is over, or "" if only Open gives them: the bucket has no such URLs, or the
// object is not stored in it as it is.
func (s *Store) URL(ctx context.Context, o Object, life time.Duration) (string, error) {
	p, ok := s.bucket.(Presigner)
	if !ok || o.Key == "" || o.Format != FormatPlain || o.Damaged {
		return "", nil
	}
	return p.Presign(ctx, o.Key, life)
}

// Reapable returns the bucket if uploads can be left behind in it.
func (s *Store) Reapable() (Reapable, bool) {
	b, ok := s.bucket.(Reapable)
	return b, ok
}

type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

// Verify reads the object, in quarantine or not, and compares its digest. It returns
// ErrDamaged, or ErrNotFound, if it is not whole.
func (s *Store) Verify(ctx context.Context, o Object) error { return s.VerifyPaced(ctx, o, nil) }

// VerifyPaced is Verify at the pace of who is told how many bytes have been read since:
// reading goes on when progress returns.
func (s *Store) VerifyPaced(ctx context.Context, o Object, progress func(int)) error {
	r, err := s.openAnyhow(ctx, o)
	if err != nil {
		return err
	}
	defer r.Close()
	h := newHash(o.Digest.Algorithm())
	if _, readErr, _ := copyHashed(io.Discard, h, &steadyReader{ctx, r, progress}); readErr != nil {
		return readErr
	}
	if hex.EncodeToString(h.Sum(nil)) != o.Digest.Encoded() {
		return fmt.Errorf("%w: content has another digest", ErrDamaged)
	}
	return nil
}

// Reach reads the first byte that is stored of an object in the bucket, in quarantine or
// not. It returns ErrNotFound if there is no such object, another error if it is not read.
func (s *Store) Reach(ctx context.Context, o Object) error {
	r, err := s.bucket.Open(ctx, o.Key)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.ReadFull(r, make([]byte, 1))
	return err
}

func newHash(a digest.Algorithm) hash.Hash {
	if a == digest.SHA512 {
		return sha512.New()
	}
	return sha256.New()
}

// newKey returns a key in the bucket that was never used.
func newKey(b Bucket) string {
	if b, ok := b.(Namer); ok {
		return b.NewKey()
	}
	return randomKey()
}

// randomKey returns 128 random bits in hexadecimal.
// Keys say nothing of the content, so that deleting an old object can never hit
// a new push of the same digest.
func randomKey() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
