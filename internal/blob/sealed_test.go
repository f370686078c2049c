package blob_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"berth/internal/blob"
	"berth/internal/blob/dirbucket"
	"berth/internal/seal"

	"github.com/opencontainers/go-digest"
)

// wrapper wraps data keys under one key, and can be told to refuse.
type wrapper struct {
	key     *seal.Key
	refused error
}

func newWrapper() *wrapper { return &wrapper{key: seal.NewMaster().Key("test")} }

func (w *wrapper) Wrap(_ context.Context, _ string, dataKey []byte, about string) ([]byte, error) {
	return w.key.Seal(dataKey, about), w.refused
}

func (w *wrapper) Unwrap(_ context.Context, _ string, wrapped []byte, about string) ([]byte, error) {
	if w.refused != nil {
		return nil, w.refused
	}
	k, err := w.key.Open(wrapped, about)
	if err != nil {
		err = errors.Join(blob.ErrDamaged, err)
	}
	return k, err
}

var (
	single = blob.Domain{Name: "123456789012/us-east-1/AES256/"}
	double = blob.Domain{Name: "123456789012/us-east-1/KMS_DSSE/k", Key: "k", Double: true}
)

// sealing returns a store in a directory that seals.
func sealing(t testing.TB) (*blob.Store, string, *wrapper) {
	t.Helper()
	dir := t.TempDir()
	b, err := dirbucket.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	w := newWrapper()
	return blob.NewSealing(b, w, true), dir, w
}

// random returns n bytes that differ from place to place.
func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8(sha256.Sum256([]byte{byte(n), byte(n >> 8), byte(n >> 16)}))
	_, _ = r.Read(b) // never fails
	return b
}

// keep stores the parts as one object.
func keep(t testing.TB, s *blob.Store, d blob.Domain, parts ...[]byte) blob.Object {
	t.Helper()
	u := blob.Upload{Domain: d}
	for _, p := range parts {
		if err := s.Append(t.Context(), &u, bytes.NewReader(p)); err != nil {
			t.Fatal(err)
		}
		u.Content, u.WrappedKey = bytes.Clone(u.Content), bytes.Clone(u.WrappedKey) // as from a database
	}
	o, err := s.Finish(t.Context(), u, digest.FromBytes(bytes.Join(parts, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func readAll(t testing.TB, s *blob.Store, o blob.Object) ([]byte, error) {
	t.Helper()
	r, err := s.Open(t.Context(), o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

const chunk = blob.ChunkSize

func TestSealedObjectsReadBackAsTheyWere(t *testing.T) {
	t.Parallel()
	s, _, _ := sealing(t)
	for _, d := range []blob.Domain{single, double} {
		for _, n := range []int{0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk, 3*chunk - 1, 4 * chunk, 4*chunk + 1, 5 * chunk, 9*chunk + 7} {
			want := random(n)
			for _, cut := range []int{0, 1, chunk - 1, chunk, chunk + 1, 2*chunk + 5, n} {
				cut = min(cut, n)
				o := keep(t, s, d, want[:cut], want[cut:])
				if got, err := readAll(t, s, o); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%d bytes cut at %d read back as %d that differ: %v", n, cut, len(got), err)
				}
				if err := s.Verify(t.Context(), o); err != nil {
					t.Errorf("Verify of %d bytes cut at %d = %v", n, cut, err)
				}
				if inline := o.Key == ""; inline != (n <= blob.Inline) || o.Format == blob.FormatPlain {
					t.Errorf("%d bytes: format %d, in the database: %t", n, o.Format, inline)
				}
			}
		}
	}
}

func TestSealedObjectsCanBeReadInRanges(t *testing.T) {
	t.Parallel()
	s, _, _ := sealing(t)
	want := random(3*chunk + 100)
	o := keep(t, s, single, want[:chunk+10], want[chunk+10:])
	r, err := s.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	check := func(from, to int) {
		t.Helper()
		if _, err := r.Seek(int64(from), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, to-from)
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want[from:to]) {
			t.Errorf("bytes %d to %d differ: %v", from, to, err)
		}
	}
	for n := range 4 {
		for _, from := range []int{n*chunk - 1, n * chunk, n*chunk + 1} {
			for _, length := range []int{1, 2, chunk - 1, chunk, chunk + 1, 2 * chunk} {
				if from >= 0 {
					check(from, min(from+length, len(want)))
				}
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		from := random.IntN(len(want))
		check(from, from+1+random.IntN(len(want)-from))
	}
	if end, err := r.Seek(0, io.SeekEnd); end != int64(len(want)) || err != nil {
		t.Errorf("Seek to the end = %d, %v, want %d", end, err, len(want))
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read at the end = %d, %v, want EOF", n, err)
	}
}

// path returns the file of an object.
func path(dir string, o blob.Object) string {
	return filepath.Join(dir, "objects", o.Key[:2], o.Key)
}

// damage has an object changed by f, and expects that no wrong byte is read of it.
func damage(t *testing.T, what string, s *blob.Store, dir string, o blob.Object, plain []byte, f func([]byte) []byte) {
	t.Helper()
	good, err := os.ReadFile(path(dir, o))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path(dir, o), f(bytes.Clone(good)), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readAll(t, s, o)
	if !errors.Is(err, blob.ErrDamaged) || !bytes.HasPrefix(plain, got) {
		t.Errorf("%s: read %d bytes, %v, want ErrDamaged and nothing wrong", what, len(got), err)
	}
	if err := os.WriteFile(path(dir, o), good, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsNotAsItWasSealedIsRefused(t *testing.T) {
	t.Parallel()
	s, dir, _ := sealing(t)
	const stored = chunk + 16
	plain := random(3*chunk + 5)
	o := keep(t, s, single, plain[:2*chunk+1], plain[2*chunk+1:])
	other := keep(t, s, single, random(3*chunk+5))
	otherBytes, err := os.ReadFile(path(dir, other))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		for _, at := range []int{n * stored, n*stored + 4, len(otherBytes) - 1} {
			damage(t, "a flipped bit", s, dir, o, plain, func(b []byte) []byte { b[at] ^= 1; return b })
		}
		damage(t, "cut off between chunks", s, dir, o, plain, func(b []byte) []byte { return b[:n*stored] })
	}
	damage(t, "one byte less", s, dir, o, plain, func(b []byte) []byte { return b[:len(b)-1] })
	damage(t, "one byte more", s, dir, o, plain, func(b []byte) []byte { return append(b, 0) })
	damage(t, "another object's bytes", s, dir, o, plain, func([]byte) []byte { return otherBytes })
	damage(t, "another object's chunk", s, dir, o, plain, func(b []byte) []byte {
		copy(b[stored:2*stored], otherBytes[stored:])
		return b
	})
	damage(t, "two chunks in each other's place", s, dir, o, plain, func(b []byte) []byte {
		first := bytes.Clone(b[:stored])
		copy(b, b[stored:2*stored])
		copy(b[stored:], first)
		return b
	})
	damage(t, "a chunk twice", s, dir, o, plain, func(b []byte) []byte { copy(b[stored:], b[:stored]); return b })
}

func TestFactsOfAnotherObjectOpenNothing(t *testing.T) {
	t.Parallel()
	s, _, _ := sealing(t)
	for _, n := range []int{100, 2*chunk + 5} {
		o, other := keep(t, s, single, random(n)), keep(t, s, single, append(random(n-1), 'x'))
		for what, change := range map[string]func(*blob.Object){
			"the data key of another":  func(o *blob.Object) { o.WrappedKey = other.WrappedKey },
			"the bytes of another":     func(o *blob.Object) { o.Key, o.Content = other.Key, other.Content },
			"the digest of another":    func(o *blob.Object) { o.Digest = other.Digest },
			"another size":             func(o *blob.Object) { o.Size-- },
			"a size at a chunk's end":  func(o *blob.Object) { o.Size = o.Size / chunk * chunk },
			"another key domain":       func(o *blob.Object) { o.Domain.Name = "999999999999/us-east-1/AES256/" },
			"another format":           func(o *blob.Object) { o.Format = blob.FormatDoublySealed },
			"an unknown format":        func(o *blob.Object) { o.Format = 9 },
			"no data key":              func(o *blob.Object) { o.WrappedKey = nil },
			"half an envelope":         func(o *blob.Object) { o.WrappedKey = o.WrappedKey[:len(o.WrappedKey)/2] },
			"an envelope and one byte": func(o *blob.Object) { o.WrappedKey = append(bytes.Clone(o.WrappedKey), 0) },
		} {
			changed := o
			change(&changed)
			if got, err := readAll(t, s, changed); err == nil {
				t.Errorf("%d bytes with %s: read %d bytes", n, what, len(got))
			}
		}
	}
}

// Chunks that were sealed and then not recorded, as by a process that was killed,
// are worth nothing when others have taken their place.
func TestWhatWasNeverRecordedIsNeverRead(t *testing.T) {
	t.Parallel()
	s, dir, _ := sealing(t)
	first, lost, kept := random(chunk+10), random(2*chunk), random(2*chunk+1)
	u := blob.Upload{Domain: single}
	if err := s.Append(t.Context(), &u, bytes.NewReader(first)); err != nil {
		t.Fatal(err)
	}
	forgotten := u
	if err := s.Append(t.Context(), &forgotten, bytes.NewReader(lost)); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(filepath.Join(dir, "uploads", u.Key))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), &u, bytes.NewReader(kept)); err != nil {
		t.Fatal(err)
	}
	plain := append(bytes.Clone(first), kept...)
	o, err := s.Finish(t.Context(), u, digest.FromBytes(plain))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(t, s, o); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("the object differs: %v", err)
	}
	const stored = chunk + 16
	damage(t, "a chunk that was never recorded", s, dir, o, plain, func(b []byte) []byte {
		copy(b[stored:2*stored], old[stored:2*stored])
		return b
	})
}

func TestARefusedKeyChangesNothing(t *testing.T) {
	t.Parallel()
	s, _, w := sealing(t)
	plain := random(2 * chunk)
	o := keep(t, s, single, plain)
	u := blob.Upload{Domain: single}
	if err := s.Append(t.Context(), &u, bytes.NewReader(plain)); err != nil {
		t.Fatal(err)
	}
	before := u
	w.refused = &blob.KeyError{Reason: "DisabledException"}
	refused := func(what string, err error) {
		t.Helper()
		if k := (*blob.KeyError)(nil); !errors.As(err, &k) || k.Reason != "DisabledException" {
			t.Errorf("%s = %v, want the key's error", what, err)
		}
	}
	body := bytes.NewReader(plain)
	refused("Append", s.Append(t.Context(), &u, body))
	if body.Len() != len(plain) || u.Size != before.Size || !bytes.Equal(u.Content, before.Content) {
		t.Error("Append has read or changed something")
	}
	_, err := s.Finish(t.Context(), u, digest.FromBytes(plain))
	refused("Finish", err)
	_, err = s.Open(t.Context(), o)
	refused("Open", err)
	_, err = s.Seal(t.Context(), single, digest.FromString("{}"), []byte("{}"))
	refused("Seal", err)
	w.refused = nil
	if _, err := s.Finish(t.Context(), u, digest.FromBytes(plain)); err != nil {
		t.Errorf("Finish later = %v", err)
	}
	if _, err := readAll(t, s, o); err != nil {
		t.Errorf("Open later = %v", err)
	}
}

func TestRewrapChangesTheWrappingAlone(t *testing.T) {
	t.Parallel()
	s, _, w := sealing(t)
	plain := random(2*chunk + 1)
	o := keep(t, s, double, plain)
	before := o.WrappedKey
	if due, err := s.Rewrap(t.Context(), &o); err != nil || !due || bytes.Equal(o.WrappedKey, before) {
		t.Fatalf("Rewrap = %t, %v", due, err)
	}
	if got, err := readAll(t, s, o); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("after Rewrap the object differs: %v", err)
	}
	old := w.key
	w.key = seal.NewMaster().Key("test")
	if _, err := readAll(t, s, o); !errors.Is(err, blob.ErrDamaged) {
		t.Errorf("read under another key = %v, want ErrDamaged", err)
	}
	w.key = old
}

func TestWhatIsNotToBeSealedIsPlain(t *testing.T) {
	t.Parallel()
	sealed, dir, w := sealing(t)
	b, err := dirbucket.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	off := blob.NewSealing(b, w, false)
	plain := random(2 * chunk)
	was, is, kms := keep(t, sealed, single, plain), keep(t, off, single, plain), keep(t, off, double, plain)
	if is.Format != blob.FormatPlain || kms.Format != blob.FormatDoublySealed {
		t.Errorf("formats %d and %d, want plain without a KMS key and sealed with one", is.Format, kms.Format)
	}
	for _, o := range []blob.Object{was, is, kms} {
		for _, s := range []*blob.Store{sealed, off} {
			if got, err := readAll(t, s, o); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("format %d reads back changed: %v", o.Format, err)
			}
		}
	}
	r, err := off.Open(t.Context(), is)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, ok := r.(*os.File); !ok {
		t.Errorf("a plain object is read through a %T, want *os.File", r)
	}
}

func TestNothingPlainIsInAnUpload(t *testing.T) {
	t.Parallel()
	s, dir, _ := sealing(t)
	marker := bytes.Repeat([]byte("a marker that must not be found."), 5000)
	for _, n := range []int{20, 40, 1000, chunk, len(marker)} {
		u := blob.Upload{Domain: single}
		if err := s.Append(t.Context(), &u, bytes.NewReader(marker[:n])); err != nil {
			t.Fatal(err)
		}
		kept := bytes.Join([][]byte{u.Content, u.Hash, u.State, u.WrappedKey}, nil)
		if u.Key != "" {
			b, err := os.ReadFile(filepath.Join(dir, "uploads", u.Key))
			if err != nil {
				t.Fatal(err)
			}
			kept = append(kept, b...)
		}
		if bytes.Contains(kept, marker[:20]) {
			t.Errorf("an upload of %d bytes holds them in plain", n)
		}
	}
}

func TestUploadsWithADifferentBoxAreRefused(t *testing.T) {
	t.Parallel()
	s, _, _ := sealing(t)
	u := blob.Upload{Domain: single}
	if err := s.Append(t.Context(), &u, bytes.NewReader(random(2*chunk+9))); err != nil {
		t.Fatal(err)
	}
	old := u
	if err := s.Append(t.Context(), &u, bytes.NewReader(random(chunk))); err != nil {
		t.Fatal(err)
	}
	u.Content = old.Content
	if err := s.Append(t.Context(), &u, bytes.NewReader(random(5))); !errors.Is(err, blob.ErrDamaged) {
		t.Errorf("Append with an older box = %v, want ErrDamaged", err)
	}
}

func TestKnownDigest(t *testing.T) {
	t.Parallel()
	s, _, _ := sealing(t)
	p := random(2*chunk + 3)
	o := keep(t, s, single, p)
	sum := sha256.Sum256(p)
	if o.Digest.Encoded() != hex.EncodeToString(sum[:]) || o.Size != int64(len(p)) {
		t.Errorf("the object is %s of %d bytes", o.Digest, o.Size)
	}
	u := blob.Upload{Domain: single}
	if err := s.Append(t.Context(), &u, bytes.NewReader(p)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Finish(t.Context(), u, digest.FromString("x")); !errors.Is(err, blob.ErrDigest) {
		t.Errorf("Finish as another digest = %v, want ErrDigest", err)
	}
	if o, err := s.Finish(t.Context(), u, digest.SHA512.FromBytes(p)); err != nil || s.Verify(t.Context(), o) != nil {
		t.Errorf("Finish as SHA-512 = %v", err)
	}
}

// An envelope without data keys says that nothing is to be authenticated.
func TestAValueWithoutDataKeysIsRefused(t *testing.T) {
	t.Parallel()
	s, _, _ := sealing(t)
	for _, d := range []blob.Domain{single, double} {
		v := blob.Value{Domain: d, Name: "annotations", Digest: digest.FromString("x")}
		sealed, err := s.SealValue(t.Context(), v, []byte("value"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.OpenValue(t.Context(), v, sealed); err != nil || string(got) != "value" {
			t.Errorf("OpenValue = %q, %v", got, err)
		}
		other := v
		other.Digest = digest.FromString("y")
		if got, err := s.OpenValue(t.Context(), other, sealed); !errors.Is(err, blob.ErrDamaged) {
			t.Errorf("OpenValue for another object = %q, %v, want ErrDamaged", got, err)
		}
		if got, err := s.OpenValue(t.Context(), v, []byte("\x00value")); !errors.Is(err, blob.ErrDamaged) {
			t.Errorf("OpenValue without data keys = %q, %v, want ErrDamaged", got, err)
		}
	}
}

// What is kept in the database may be remembered as it is: reading does not change it.
func TestReadingAContentLeavesItAsItIs(t *testing.T) {
	t.Parallel()
	s, _, _ := sealing(t)
	for _, d := range []blob.Domain{single, double} {
		plain := random(5000)
		o, err := s.Seal(t.Context(), d, digest.FromBytes(plain), plain)
		if err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(o.Content)
		for range 2 {
			got, err := s.Content(t.Context(), o)
			if err != nil || !bytes.Equal(got, plain) || !bytes.Equal(o.Content, before) {
				t.Errorf("Content in %s = %d bytes, %v, want the %d that were sealed, and those as they were", d.Name, len(got), err, len(plain))
			}
		}
		o.Size--
		if _, err := s.Content(t.Context(), o); !errors.Is(err, blob.ErrDamaged) {
			t.Errorf("Content in %s of another size = %v, want ErrDamaged", d.Name, err)
		}
	}
}
