package blob_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"os"
	"strconv"
	"testing"
	"time"

	"berth/internal/blob"
	"berth/internal/blob/buckettest"
	"berth/internal/blob/s3bucket"

	"github.com/opencontainers/go-digest"
)

// What one upload in flight may take of the memory.
const largeMemory = 64 << 20

// A blob of LARGE_BLOB GiB, of 100 MiB without that, is pushed in three requests, read
// whole, and read around all that is a boundary near its end. Not parallel: nobody else
// may use memory meanwhile.
func TestALargeBlobTakesNoMoreMemoryThanASmallOne(t *testing.T) {
	size := int64(100<<20 + 4711)
	if gib, err := strconv.ParseInt(os.Getenv("LARGE_BLOB"), 10, 64); err == nil {
		size = gib<<30 + 4711
	}
	h := sha256.New()
	_, _ = io.Copy(h, &zeros{0, size}) // neither fails
	want := digest.NewDigest(digest.SHA256, h)
	t.Run("plain", func(t *testing.T) {
		store, b := sparseBucket(t)
		store.holds(func(at int64) io.Reader { return &zeros{at, size} })
		pushAndPull(t, blob.NewStore(b), size, want, func(blob.Object) {})
	})
	t.Run("sealed", func(t *testing.T) {
		store, b := sparseBucket(t)
		s := blob.NewSealing(b, newWrapper(), true)
		pushAndPull(t, s, size, want, func(o blob.Object) {
			store.holds(func(at int64) io.Reader { return sealedZeros(t, s, o, at) })
		})
	})
}

func sparseBucket(t *testing.T) (*sparse, blob.Bucket) {
	store, url := startSparse(t)
	b, err := s3bucket.Open(t.Context(), s3bucket.Options{
		Bucket: "berth", Endpoint: url, PathStyle: true, AccessKeyID: "access", SecretAccessKey: "the secret",
	})
	if err != nil {
		t.Fatal(err)
	}
	return store, b
}

// pushAndPull pushes a blob, tells what it is stored as, and pulls it.
func pushAndPull(t *testing.T, s *blob.Store, size int64, want digest.Digest, stored func(blob.Object)) {
	most, begin := buckettest.PeakMemory(), time.Now()
	o := pushLarge(t, s, size, want)
	report(t, "push", size, begin, most())
	stored(o)

	most, begin = buckettest.PeakMemory(), time.Now()
	if err := s.Verify(t.Context(), o); err != nil {
		t.Errorf("Verify = %v", err)
	}
	report(t, "pull", size, begin, most())

	most, begin = buckettest.PeakMemory(), time.Now()
	n := readEnds(t, s, o)
	report(t, strconv.Itoa(n)+" ranges", size, begin, most())
}

func report(t *testing.T, what string, size int64, begin time.Time, most int64) {
	t.Helper()
	t.Logf("%s of %d MiB: %.1f MiB of memory at most, %s", what, size>>20, float64(most)/(1<<20), time.Since(begin).Round(time.Second))
	if most > largeMemory {
		t.Errorf("%s of %d MiB took %d MiB of memory, want at most %d", what, size>>20, most>>20, largeMemory>>20)
	}
}

// pushLarge pushes in three requests, none of which ends where a part or a chunk does.
func pushLarge(t *testing.T, s *blob.Store, size int64, want digest.Digest) blob.Object {
	t.Helper()
	u := blob.Upload{Domain: single}
	for _, end := range []int64{size/5*3 + 1, size/50*49 - 12345, size} {
		if err := s.Append(t.Context(), &u, &zeros{u.Size, end}); err != nil {
			t.Fatalf("Append at %d bytes: %v", u.Size, err)
		}
	}
	o, err := s.Finish(t.Context(), u, want)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(t.Context(), u); err != nil {
		t.Errorf("Settle = %v", err)
	}
	return o
}

// readEnds reads a little around the boundaries of the last chunks, and of the last MiBs.
func readEnds(t *testing.T, s *blob.Store, o blob.Object) (n int) {
	t.Helper()
	r, err := s.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	last := (o.Size - 1) / blob.ChunkSize * blob.ChunkSize
	boundaries := []int64{0, o.Size}
	for i := range int64(4) {
		boundaries = append(boundaries, last-i*blob.ChunkSize, last-i<<20, last-i<<24)
	}
	for _, b := range boundaries {
		for _, around := range []int64{-blob.ChunkSize - 1, -1, 0, 1} {
			for _, length := range []int64{1, 2, blob.ChunkSize, 2*blob.ChunkSize + 1} {
				at := b + around
				if at < 0 {
					continue
				}
				n++
				got, want := make([]byte, length), make([]byte, length)
				k, _ := io.ReadFull(&zeros{at, o.Size}, want) // it may end before
				if _, err := r.Seek(at, io.SeekStart); err != nil {
					t.Fatal(err)
				}
				gotK, err := io.ReadFull(r, got)
				if gotK != k || k == len(want) && err != nil || !bytes.Equal(got[:gotK], want[:k]) {
					t.Errorf("%d bytes at %d of %d: %d bytes, want %d, or they differ: %v", length, at, o.Size, gotK, k, err)
				}
			}
		}
	}
	return n
}

// sealedZeros returns a reader of what is stored of an object of zeros.
func sealedZeros(t *testing.T, s *blob.Store, o blob.Object, at int64) io.Reader {
	seal, err := s.Sealer(context.Background(), o)
	if err != nil {
		t.Error(err)
		return bytes.NewReader(nil)
	}
	const stored = blob.ChunkSize + 16
	n := at / stored
	r := &sealedReader{plain: &zeros{n * blob.ChunkSize, o.Size}, seal: seal, next: n}
	_, _ = io.CopyN(io.Discard, r, at%stored) // it is in the chunk
	return r
}

type sealedReader struct {
	plain *zeros
	seal  func(dst, plain []byte, n int64) []byte
	next  int64  // chunk
	left  []byte // of the one before

	chunk  [blob.ChunkSize]byte
	sealed [blob.ChunkSize + 16]byte
}

// Read implements [io.Reader].
func (r *sealedReader) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		k, err := io.ReadFull(r.plain, r.chunk[:])
		if k == 0 {
			return 0, err
		}
		r.left = r.seal(r.sealed[:0], r.chunk[:k], r.next)
		r.next++
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}
