package blob_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"berth/internal/blob"
	"berth/internal/blob/dirbucket"

	"github.com/opencontainers/go-digest"
)

// ledger has all that was ever sealed, recorded or not, and says what was sealed with a
// key and nonce that had sealed something else.
//
// GCM adds a stream to the plain bytes that key and nonce alone decide. So what is sealed
// gives away, to who knows the plain bytes, how the stream begins: two that begin alike
// are one key and nonce. With two layers the sum of both streams does the same.
type ledger struct {
	streams map[[16]byte][]byte // what was sealed with each
	nonces  map[string][]byte   // of boxes and wrapped keys, which have random ones
	reused  []string
}

func newLedger() *ledger { return &ledger{map[[16]byte][]byte{}, map[string][]byte{}, nil} }

// chunk records a chunk with its tags.
func (l *ledger) chunk(what string, sealed, plain []byte) {
	var stream [16]byte
	if len(plain) < len(stream) {
		return // too short to tell
	}
	for i := range stream {
		stream[i] = sealed[i] ^ plain[i]
	}
	if was, ok := l.streams[stream]; ok && !bytes.Equal(was, sealed) {
		l.reused = append(l.reused, what)
	}
	l.streams[stream] = bytes.Clone(sealed)
}

// box records what has a random nonce of its own.
func (l *ledger) box(what string, nonce, sealed []byte) {
	if was, ok := l.nonces[string(nonce)]; ok && !bytes.Equal(was, sealed) {
		l.reused = append(l.reused, what)
	}
	l.nonces[string(nonce)] = bytes.Clone(sealed)
}

// envelope records wrapped data keys, which the tests' wrapper seals as package seal
// does, and the box after them.
func (l *ledger) envelope(e []byte) {
	if len(e) == 0 {
		return
	}
	rest := e[1:]
	for range e[0] {
		n, k := binary.Uvarint(rest)
		w := rest[k : k+int(n)]
		l.box("a wrapped data key", w[5:17], w[17:])
		rest = rest[k+int(n):]
	}
	if len(rest) >= 12 {
		l.box("a box of pieces", rest[:12], rest[12:])
	}
}

// spied is a bucket that tells a ledger what is written to it, also what it loses.
type spied struct {
	blob.Bucket
	ledger *ledger
	tags   int    // bytes after a chunk
	plain  []byte // what the upload has when all is written
	left   int    // writes until one fails; negative for none
	open   []*spyingWriter
}

type spyingWriter struct {
	blob.Writer
	bucket *spied
	at     int64
	wrote  []byte
}

var errWrite = errors.New("no space left")

func (s *spied) Upload(ctx context.Context, key string, size int64, state []byte) (blob.Writer, error) {
	w, err := s.Bucket.Upload(ctx, key, size, state)
	if err != nil {
		return nil, err
	}
	spy := &spyingWriter{Writer: w, bucket: s, at: size}
	s.open = append(s.open, spy)
	return spy, nil
}

func (w *spyingWriter) Write(p []byte) (int, error) {
	w.wrote = append(w.wrote, p...)
	if w.bucket.left--; w.bucket.left == 0 {
		n, err := w.Writer.Write(p[:len(p)/2])
		return n, errors.Join(errWrite, err)
	}
	return w.Writer.Write(p)
}

// settle hands on what was written since the last time.
func (s *spied) settle() {
	for _, w := range s.open {
		stride := int64(chunk + s.tags)
		for b := w.wrote; len(b) > 0; {
			n := min(int64(len(b)), stride)
			from := w.at / stride * chunk
			s.ledger.chunk(fmt.Sprintf("chunk %d", w.at/stride), b[:n], s.plain[from:from+n-int64(s.tags)])
			w.at += n
			b = b[n:]
		}
	}
	s.open, s.left = nil, -1
}

// lengths are those that chunks make a difference to.
var lengths = []int{0, 1, 20, chunk - 1, chunk, chunk + 1, 3*chunk + 5, 4 * chunk, 5*chunk + 77}

// wander uploads something, with all that can go wrong on the way, and returns how many
// times something did.
func wander(t *testing.T, s *blob.Store, b *spied, l *ledger, d blob.Domain, r *rand.Rand) (wrong int) {
	t.Helper()
	noise := rand.NewChaCha8([32]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
	recorded, have := blob.Upload{Domain: d}, []byte(nil) // as the database has them
	finish := func(a digest.Algorithm, left int) (blob.Object, error) {
		b.plain, b.left = have, left
		o, err := s.Finish(t.Context(), recorded, a.FromBytes(have))
		b.settle()
		l.envelope(o.WrappedKey)
		if err == nil && o.Key == "" {
			l.chunk("content", o.Content, have)
		}
		return o, err
	}
	for range 3 + r.IntN(6) {
		more := make([]byte, lengths[r.IntN(len(lengths))])
		_, _ = noise.Read(more) // never fails
		next := recorded
		next.Content, next.WrappedKey, next.State = bytes.Clone(next.Content), bytes.Clone(next.WrappedKey), bytes.Clone(next.State)
		b.plain, b.left = append(bytes.Clone(have), more...), -1
		body, what := io.Reader(bytes.NewReader(more)), r.IntN(6)
		switch what {
		case 1:
			b.left = 1 + r.IntN(3)
		case 2:
			body = io.MultiReader(body, iotest.ErrReader(errWrite)) // the client goes away
		case 3:
			finish(digest.SHA256, 1) // it fails if anything is written, and the upload goes on
			wrong++
			b.plain = append(bytes.Clone(have), more...)
		}
		err := s.Append(t.Context(), &next, body)
		b.settle()
		l.envelope(next.WrappedKey)
		if len(next.Content) >= 12 {
			l.box("what an upload has left", next.Content[:12], next.Content[12:])
		}
		switch {
		case errors.Is(err, blob.ErrPoisoned) || errors.Is(err, blob.ErrUploadLost) || what == 4: // 4: the answer of the database is lost
			wrong++
			continue
		case err != nil && what != 2:
			t.Fatalf("Append = %v", err)
		}
		recorded, have = next, append(have, more...)
		if what == 5 {
			if _, err := s.RewrapUpload(t.Context(), &recorded); err != nil {
				t.Fatal(err)
			}
			l.envelope(recorded.WrappedKey)
		}
	}
	if _, err := finish(digest.SHA256, 1); err != nil { // no byte is durable
		wrong++
	}
	o, err := finish(digest.SHA512, -1)
	if errors.Is(err, blob.ErrUploadLost) || errors.Is(err, blob.ErrPoisoned) {
		return wrong + 1 // a failed write before was the end of it
	}
	if err != nil {
		t.Fatalf("Finish = %v", err)
	}
	if got, err := readAll(t, s, o); err != nil || !bytes.Equal(got, have) {
		t.Fatalf("%d bytes read back as %d that differ: %v", len(have), len(got), err)
	}
	_, _ = finish(digest.SHA256, -1) // once more: what comes of it is the driver's business
	return wrong + 1
}

// Whatever is retried, suspended, lost or gone on with, no key and nonce seal two things.
func TestNoKeyAndNonceSealTwoThings(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]blob.Domain{"one layer": single, "two layers": double} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := dirbucket.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			l := newLedger()
			b := &spied{Bucket: dir, ledger: l, tags: 16, left: -1}
			if d.Double {
				b.tags = 32
			}
			s := blob.NewSealing(b, newWrapper(), true)
			wrong := 0
			for seed := range uint64(150) {
				wrong += wander(t, s, b, l, d, rand.New(rand.NewPCG(seed, 1)))
			}
			for _, what := range l.reused {
				t.Errorf("%s was sealed with a key and nonce that had sealed something else", what)
			}
			if len(l.streams) < 500 || len(l.nonces) < 500 || wrong < 300 {
				t.Errorf("%d chunks and %d boxes after %d interruptions are too few to tell", len(l.streams), len(l.nonces), wrong)
			}
			t.Logf("%d chunks, %d boxes, %d interruptions, sealed twice with one key and nonce = %d", len(l.streams), len(l.nonces), wrong, len(l.reused))
		})
	}
}

// The ledger notices what it is there for: other plain bytes, and the same as another
// kind of chunk.
func TestALedgerNoticesAReusedNonce(t *testing.T) {
	t.Parallel()
	l := newLedger()
	stream := random(16)
	seal := func(plain byte, tag byte) {
		p := bytes.Repeat([]byte{plain}, 16)
		c := make([]byte, 17)
		for i := range p {
			c[i] = p[i] ^ stream[i]
		}
		c[16] = tag
		l.chunk("c", c, p)
	}
	seal(1, 1)
	if seal(1, 1); len(l.reused) != 0 {
		t.Error("the same was noticed")
	}
	if seal(2, 1); len(l.reused) != 1 {
		t.Error("other plain bytes were not noticed")
	}
	if seal(2, 2); len(l.reused) != 2 {
		t.Error("another tag was not noticed")
	}
	l.box("b", []byte("n"), []byte("x"))
	if l.box("b", []byte("n"), []byte("y")); len(l.reused) != 3 {
		t.Error("another box was not noticed")
	}
}
