package blob_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"berth/internal/blob"

	"github.com/opencontainers/go-digest"
)

// keyService is a wrapper that knows whether its key may be used, and counts what it
// unwraps.
type keyService struct {
	*wrapper
	unwrapped int
}

func (k *keyService) Unwrap(ctx context.Context, key string, wrapped []byte, about string) ([]byte, error) {
	k.unwrapped++
	return k.wrapper.Unwrap(ctx, key, wrapped, about)
}

func (k *keyService) Current(context.Context, string, []byte) (bool, error) {
	return true, k.refused
}

// kept returns a store and an object that it keeps in the database.
func kept(t testing.TB, w blob.KeyWrapper, d blob.Domain, plain []byte) (*blob.Store, blob.Object) {
	t.Helper()
	s := blob.NewSealing(nil, w, true)
	o, err := s.Seal(t.Context(), d, digest.FromBytes(plain), plain)
	if err != nil {
		t.Fatal(err)
	}
	return s, o
}

// content reads an object that is kept in the database.
func content(t testing.TB, s *blob.Store, o blob.Object, want []byte) {
	t.Helper()
	if got, err := s.Content(t.Context(), o); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("Content = %q, %v, want %q", got, err, want)
	}
}

func TestAKeyThatIsRefusedOpensNothingThatIsRemembered(t *testing.T) {
	t.Parallel()
	w, plain := &keyService{wrapper: newWrapper()}, []byte("{}")
	s, o := kept(t, w, double, plain)
	for range 3 {
		content(t, s, o, plain)
	}
	if w.unwrapped != 2 {
		t.Errorf("%d data keys were unwrapped, want the 2 of the first read", w.unwrapped)
	}
	w.refused = &blob.KeyError{Reason: "DisabledException"}
	if _, err := s.Content(t.Context(), o); !errors.Is(err, w.refused) {
		t.Errorf("Content = %v, want the key's error", err)
	}
	w.refused = nil
	content(t, s, o, plain)
	if w.unwrapped != 4 {
		t.Errorf("%d data keys were unwrapped, want 4: what was refused is forgotten", w.unwrapped)
	}
}

// What cannot say whether a KMS key may be used is asked for the data key each time.
func TestWithoutCurrencyAKMSKeyUnwrapsEachTime(t *testing.T) {
	t.Parallel()
	w, plain := newWrapper(), []byte("{}")
	s, o := kept(t, w, double, plain)
	content(t, s, o, plain)
	w.refused = &blob.KeyError{Reason: "DisabledException"}
	if _, err := s.Content(t.Context(), o); !errors.Is(err, w.refused) {
		t.Errorf("Content = %v, want the key's error", err)
	}
}

func TestWhatIsRememberedOpensForItsFactsAlone(t *testing.T) {
	t.Parallel()
	for _, d := range []blob.Domain{single, double} {
		plain := []byte("{}")
		s, o := kept(t, &keyService{wrapper: newWrapper()}, d, plain)
		other, err := s.Seal(t.Context(), d, digest.FromString("[]"), []byte("[]"))
		if err != nil {
			t.Fatal(err)
		}
		for what, change := range map[string]func(*blob.Object){
			"the data key of another": func(o *blob.Object) { o.WrappedKey = other.WrappedKey },
			"the bytes of another":    func(o *blob.Object) { o.Content = other.Content },
			"the digest of another":   func(o *blob.Object) { o.Digest = other.Digest },
			"another size":            func(o *blob.Object) { o.Size++ },
			"another key domain":      func(o *blob.Object) { o.Domain.Name = "999999999999/us-east-1/AES256/" },
			"another format":          func(o *blob.Object) { o.Format = 3 - o.Format },
			"an altered envelope": func(o *blob.Object) {
				o.WrappedKey = bytes.Clone(o.WrappedKey)
				o.WrappedKey[len(o.WrappedKey)-1] ^= 1
			},
		} {
			content(t, s, o, plain)
			content(t, s, other, []byte("[]"))
			changed := o
			change(&changed)
			if _, err := s.Content(t.Context(), changed); !errors.Is(err, blob.ErrDamaged) {
				t.Errorf("Content in %s with %s = %v, want ErrDamaged", d.Name, what, err)
			}
		}
	}
}

// Chunks are opened where the reader has them put if there is room for their tags,
// and elsewhere if not.
func TestSealedObjectsAreReadIntoMemoryOfAnySize(t *testing.T) {
	t.Parallel()
	s, _, _ := sealing(t)
	for _, d := range []blob.Domain{single, double} {
		for _, tail := range []int{0, 1, 16, 33, chunk - 1} {
			plain := random(5*chunk + tail)
			o := keep(t, s, d, plain)
			for _, room := range []int{chunk - 1, chunk, chunk + 15, chunk + 16, chunk + 32, 4 * chunk, 4*chunk + 64} {
				if got, err := readWith(t, s, o, room); err != nil || !bytes.Equal(got, plain) {
					t.Errorf("%s: %d bytes read with room for %d differ: %v", d.Name, len(plain), room, err)
				}
			}
		}
	}
}

// readWith reads an object with Reads of that many bytes.
func readWith(t *testing.T, s *blob.Store, o blob.Object, room int) ([]byte, error) {
	t.Helper()
	r, err := s.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out []byte
	for {
		p := make([]byte, room)
		n, err := r.Read(p)
		if out = slices.Concat(out, p[:n]); err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
	}
}

// A manifest that is read again and again.
func BenchmarkContent(b *testing.B) {
	for _, d := range []blob.Domain{single, double} {
		b.Run(d.Name, func(b *testing.B) {
			s, o := kept(b, &keyService{wrapper: newWrapper()}, d, random(2000))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Content(b.Context(), o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
