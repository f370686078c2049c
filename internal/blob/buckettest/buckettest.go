// Package buckettest is the suite that every [blob.Bucket] passes.
package buckettest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"berth/internal/blob"

	"github.com/opencontainers/go-digest"
)

// Run tests the buckets that open returns, a new one for each subtest.
func Run(t *testing.T, open func(t *testing.T) blob.Bucket) {
	for name, test := range map[string]func(*testing.T, blob.Bucket){
		"an object reads back as it was written":            readsBack,
		"an upload is invisible until it is finished":       invisible,
		"a suspended upload goes on where it was":           resumes,
		"bytes after the last suspend are cut off":          cutsOff,
		"an upload that is gone is lost":                    lost,
		"delete removes objects and uploads, and is silent": deletes,
		"list finds objects and uploads":                    lists,
		"keys that are not keys are refused":                refusesKeys,
		"a store keeps small blobs out of the bucket":       onBoth(inline),
		"a store keeps and verifies any size":               sizes,
		"a store that seals keeps and verifies any size":    sealedSizes,
		"a store refuses a wrong digest and can go on":      onBoth(wrongDigest),
		"a store reads sha512 content once more":            onBoth(sha512),
		"a wrong digest takes nothing from who was faster":  onBoth(staysFinished),
		"a store keeps what came before a reader's error":   onBoth(readerError),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// onBoth runs a test on a store that does not seal and on one that does.
func onBoth(test func(*testing.T, blob.Bucket, *blob.Store)) func(*testing.T, blob.Bucket) {
	return func(t *testing.T, b blob.Bucket) {
		for _, kind := range kinds {
			test(t, b, kind.over(b))
		}
	}
}

const key = "000102030405060708090a0b0c0d0e0f"

// content returns n bytes that differ from place to place.
func content(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = r.Read(b) // never fails
	return b
}

func write(t *testing.T, b blob.Bucket, key string, p []byte) (object string) {
	t.Helper()
	w, err := b.Upload(t.Context(), key, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if key, err = w.Finish(); err != nil {
		t.Fatal(err)
	}
	return key
}

func readAll(t *testing.T, b blob.Bucket, key string) []byte {
	t.Helper()
	r, err := b.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func readsBack(t *testing.T, b blob.Bucket) {
	want := content(300_000)
	key := write(t, b, key, want)
	if got := readAll(t, b, key); !bytes.Equal(got, want) {
		t.Errorf("read %d bytes that differ from the %d written", len(got), len(want))
	}
	if n, err := b.Stat(t.Context(), key); err != nil || n != int64(len(want)) {
		t.Errorf("Stat = %d, %v, want %d", n, err, len(want))
	}
	r, err := b.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Seek(299_990, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want[299_990:]) {
		t.Errorf("the last ten bytes: %x, %v, want %x", got, err, want[299_990:])
	}
}

func invisible(t *testing.T, b blob.Bucket) {
	w, err := b.Upload(t.Context(), key, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content(10)); err != nil {
		t.Fatal(err)
	}
	absent(t, b)
	if _, err := w.Suspend(); err != nil {
		t.Fatal(err)
	}
	absent(t, b)
}

func absent(t *testing.T, b blob.Bucket) {
	t.Helper()
	if _, err := b.Open(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Open = %v, want ErrNotFound", err)
	}
	if _, err := b.Stat(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Stat = %v, want ErrNotFound", err)
	}
}

// suspend writes p after size bytes and suspends.
func suspend(t *testing.T, b blob.Bucket, size int64, state, p []byte) []byte {
	t.Helper()
	w, err := b.Upload(t.Context(), key, size, state)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	state, err = w.Suspend()
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func finish(t *testing.T, b blob.Bucket, size int64, state []byte) (object string) {
	t.Helper()
	w, err := b.Upload(t.Context(), key, size, state)
	if err != nil {
		t.Fatal(err)
	}
	if object, err = w.Finish(); err != nil {
		t.Fatal(err)
	}
	return object
}

func resumes(t *testing.T, b blob.Bucket) {
	want := content(100_000)
	state := suspend(t, b, 0, nil, want[:40_000])
	state = suspend(t, b, 40_000, state, want[40_000:90_000])
	state = suspend(t, b, 90_000, state, want[90_000:])
	object := finish(t, b, 100_000, state)
	if got := readAll(t, b, object); !bytes.Equal(got, want) {
		t.Error("the object differs from the parts written")
	}
}

func cutsOff(t *testing.T, b blob.Bucket) {
	want := content(1000)
	state := suspend(t, b, 0, nil, want[:500])
	w, err := b.Upload(t.Context(), key, 500, state)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("never acknowledged")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	state = suspend(t, b, 500, state, want[500:])
	object := finish(t, b, 1000, state)
	if got := readAll(t, b, object); !bytes.Equal(got, want) {
		t.Error("the object holds bytes that were never suspended")
	}
}

func lost(t *testing.T, b blob.Bucket) {
	if _, err := b.Upload(t.Context(), key, 10, nil); !errors.Is(err, blob.ErrUploadLost) {
		t.Errorf("Upload of nothing at 10 = %v, want ErrUploadLost", err)
	}
	state := suspend(t, b, 0, nil, content(5))
	if _, err := b.Upload(t.Context(), key, 6, state); !errors.Is(err, blob.ErrUploadLost) {
		t.Errorf("Upload of 5 bytes at 6 = %v, want ErrUploadLost", err)
	}
}

func deletes(t *testing.T, b blob.Bucket) {
	object := write(t, b, key, content(5))
	for range 2 {
		if err := b.Delete(t.Context(), object); err != nil {
			t.Errorf("Delete = %v", err)
		}
	}
	if _, err := b.Stat(t.Context(), object); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Stat = %v, want ErrNotFound", err)
	}
	state := suspend(t, b, 0, nil, content(5))
	if err := b.Delete(t.Context(), key); err != nil {
		t.Errorf("Delete of an upload = %v", err)
	}
	if _, err := b.Upload(t.Context(), key, 5, state); !errors.Is(err, blob.ErrUploadLost) {
		t.Errorf("Upload after Delete = %v, want ErrUploadLost", err)
	}
}

func lists(t *testing.T, b blob.Bucket) {
	other := strings.Repeat("f", 32)
	other = write(t, b, other, content(7))
	suspend(t, b, 0, nil, content(3))
	got := map[string]blob.Entry{}
	for e, err := range b.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got[e.Key] = e
	}
	if e := got[other]; len(got) != 2 || !e.Finished || e.Size != 7 || e.ModTime.IsZero() {
		t.Errorf("List = %+v, want an object of 7 bytes and an upload", got)
	}
	if e, ok := got[key]; !ok || e.Finished {
		t.Errorf("List[%s] = %+v, want an unfinished upload", key, e)
	}
}

func refusesKeys(t *testing.T, b blob.Bucket) {
	for _, k := range []string{
		"", "..", "../../etc/passwd", strings.Repeat("../", 10) + "aa", strings.Repeat("A", 32),
		strings.Repeat("a", 31) + "/", strings.Repeat("a", 31) + "\x00", strings.Repeat("a", 33), strings.Repeat("é", 16),
	} {
		if r, err := b.Open(t.Context(), k); err == nil {
			t.Errorf("Open(%q) succeeded", k)
			_ = r.Close()
		}
		if _, err := b.Stat(t.Context(), k); err == nil {
			t.Errorf("Stat(%q) succeeded", k)
		}
		if w, err := b.Upload(t.Context(), k, 0, nil); err == nil {
			t.Errorf("Upload(%q) succeeded", k)
			_ = w.Close()
		}
		if err := b.Delete(t.Context(), k); err == nil {
			t.Errorf("Delete(%q) succeeded", k)
		}
	}
}

func entries(t *testing.T, b blob.Bucket) (n int) {
	t.Helper()
	for _, err := range b.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func store(t *testing.T, s *blob.Store, parts ...[]byte) blob.Upload {
	t.Helper()
	var u blob.Upload
	for _, p := range parts {
		if err := s.Append(t.Context(), &u, bytes.NewReader(p)); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

func readObject(t *testing.T, s *blob.Store, o blob.Object) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func inline(t *testing.T, b blob.Bucket, s *blob.Store) {
	want := content(blob.Inline)
	o, err := s.Finish(t.Context(), store(t, s, want[:100], want[100:]), digest.FromBytes(want))
	if err != nil {
		t.Fatal(err)
	}
	if got := readObject(t, s, o); !bytes.Equal(got, want) {
		t.Error("a small blob reads back changed")
	}
	if n := entries(t, b); n != 0 {
		t.Errorf("%d entries in the bucket, want none", n)
	}
}

// unsealed is a KeyWrapper that wraps nothing.
type unsealed struct{}

func (unsealed) Wrap(_ context.Context, _ string, k []byte, _ string) ([]byte, error) { return k, nil }
func (unsealed) Unwrap(_ context.Context, _ string, k []byte, _ string) ([]byte, error) {
	return k, nil
}

func sizes(t *testing.T, b blob.Bucket) { keepsSizes(t, blob.NewStore(b)) }

func sealedSizes(t *testing.T, b blob.Bucket) {
	s := sealing(b)
	keepsSizes(t, s)
	// Bytes that were written and not recorded are written over.
	want := content(5 * blob.ChunkSize)
	u := store(t, s, want[:2*blob.ChunkSize+1])
	forgotten := u
	if err := s.Append(t.Context(), &forgotten, bytes.NewReader(content(2*blob.ChunkSize))); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), &u, bytes.NewReader(want[2*blob.ChunkSize+1:])); err != nil {
		t.Fatal(err)
	}
	o, err := s.Finish(t.Context(), u, digest.FromBytes(want))
	if err != nil {
		t.Fatal(err)
	}
	if got := readObject(t, s, o); !bytes.Equal(got, want) {
		t.Error("what was written twice reads back changed")
	}
}

func keepsSizes(t *testing.T, s *blob.Store) {
	t.Helper()
	for _, n := range []int{0, 1, blob.Inline, blob.Inline + 1, 1 << 20} {
		for _, cut := range []int{0, n / 3, n} {
			want := content(n)
			u := store(t, s, want[:cut], want[cut:])
			o, err := s.Finish(t.Context(), u, digest.FromBytes(want))
			if err != nil {
				t.Fatalf("Finish of %d bytes cut at %d: %v", n, cut, err)
			}
			if got := readObject(t, s, o); !bytes.Equal(got, want) || o.Size != int64(n) {
				t.Errorf("%d bytes cut at %d read back changed", n, cut)
			}
			if err := s.Verify(t.Context(), o); err != nil {
				t.Errorf("Verify = %v", err)
			}
		}
	}
}

func wrongDigest(t *testing.T, _ blob.Bucket, s *blob.Store) {
	for _, n := range []int{10, blob.Inline * 2} {
		p := content(n)
		u := store(t, s, p)
		for _, wrong := range []digest.Digest{digest.FromString("x"), digest.SHA512.FromString("x")} {
			if wrong.Algorithm() == digest.SHA512 && n > blob.Inline {
				continue // has to finish the upload to read it: the object is then gone
			}
			if _, err := s.Finish(t.Context(), u, wrong); !errors.Is(err, blob.ErrDigest) {
				t.Errorf("Finish of %d bytes as %s = %v, want ErrDigest", n, wrong.Algorithm(), err)
			}
		}
		if _, err := s.Finish(t.Context(), u, digest.FromBytes(p)); err != nil {
			t.Errorf("Finish after a refusal: %v", err)
		}
	}
}

func sha512(t *testing.T, b blob.Bucket, s *blob.Store) {
	p := content(blob.Inline * 2)
	o, err := s.Finish(t.Context(), store(t, s, p), digest.SHA512.FromBytes(p))
	if err != nil {
		t.Fatal(err)
	}
	if got := readObject(t, s, o); !bytes.Equal(got, p) {
		t.Error("content reads back changed")
	}
	before := entries(t, b)
	u := store(t, s, p)
	if _, err := s.Finish(t.Context(), u, digest.SHA512.FromString("x")); !errors.Is(err, blob.ErrDigest) {
		t.Errorf("Finish as another sha512 = %v, want ErrDigest", err)
	}
	if err := s.Abandon(t.Context(), u); err != nil {
		t.Errorf("Abandon = %v", err)
	}
	if n := entries(t, b); n != before {
		t.Errorf("%d entries after the refusal, want %d", n, before)
	}
}

// staysFinished finishes an upload once more, as a process does that does not know
// that another one has.
func staysFinished(t *testing.T, _ blob.Bucket, s *blob.Store) {
	for _, n := range []int{blob.Inline * 2, 6 << 20} {
		p := content(n)
		u := store(t, s, p)
		o, err := s.Finish(t.Context(), u, digest.FromBytes(p))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Finish(t.Context(), u, digest.SHA512.FromString("x")); err == nil {
			t.Error("Finish as another sha512 succeeded")
		}
		if got := readObject(t, s, o); !bytes.Equal(got, p) {
			t.Errorf("content of %d bytes reads back changed", n)
		}
	}
}

var errReader = errors.New("the client went away")

func readerError(t *testing.T, _ blob.Bucket, s *blob.Store) {
	for _, n := range []int{100, blob.Inline * 3} {
		want := content(n)
		var u blob.Upload
		r := io.MultiReader(bytes.NewReader(want[:n/2]), errorReader{})
		if err := s.Append(context.Background(), &u, r); !errors.Is(err, errReader) {
			t.Fatalf("Append = %v, want the reader's error", err)
		}
		if u.Size != int64(n/2) {
			t.Fatalf("Size = %d, want %d", u.Size, n/2)
		}
		if err := s.Append(t.Context(), &u, bytes.NewReader(want[n/2:])); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Finish(t.Context(), u, digest.FromBytes(want)); err != nil {
			t.Errorf("Finish = %v", err)
		}
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errReader }
