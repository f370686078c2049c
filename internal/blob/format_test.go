package blob

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"
)

// counting returns n bytes 0, 1, 2 ...
func counting(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// What the formats are for fixed keys, computed once: they must never change.
func TestSealedFormatsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	p := piece{first: 2}
	copy(p.salt[:], counting(saltSize))
	keys := dataKeys{counting(32), bytes.Repeat([]byte{7}, 32)}
	for _, test := range []struct {
		format, chunk int
		final         bool
		want          string
	}{
		{FormatSealed, 2, false, "ea0bd3e3dc8fe1785fa2663f25968abd3c8568340306"},
		{FormatSealed, 3, true, "73d079cb39585445fbf620fb58e9aba017795f6ace82"},
		{FormatSealed, 0, true, "9853335e5d91d1ec1386efd36899868514223182f8b3"},
		{FormatDoublySealed, 3, true, "84e5f8b88d0923c299c4c7dc82825b8db575b0e8c322a74efec55b008965340fd5bd0b1548dd"},
	} {
		sealed := newChunkCipher(keys[:layersOf(test.format)], p, test.format).seal(nil, []byte("sealed"), int64(test.chunk), test.final)
		if got := hex.EncodeToString(sealed); got != test.want {
			t.Errorf("format %d, chunk %d = %s, want %s", test.format, test.chunk, got, test.want)
		}
	}
	list := pieces{p, {first: 300, salt: p.salt}}.append(nil)
	if got, want := hex.EncodeToString(list), "0202000102030405060708090a0b0c0d0e0fac02000102030405060708090a0b0c0d0e0f"; got != want {
		t.Errorf("pieces = %s, want %s", got, want)
	}
	last := lastPiece(keys, 3*ChunkSize+1, counting(32))
	if got, want := hex.EncodeToString(last.salt[:]), "841546782b7543e2d4e254833e00007b"; got != want || last.first != 3 {
		t.Errorf("the last piece begins with chunk %d and has the salt %s, want 3 and %s", last.first, got, want)
	}
}

func TestNoNonceIsUsedTwice(t *testing.T) {
	t.Parallel()
	c := newChunkCipher(newDataKeys(FormatSealed), newPiece(0), FormatSealed)
	seen := make(map[[12]byte]bool, 1_000_000)
	for n := range int64(1_000_000) {
		c.at(n, n%2 == 0)
		if seen[c.nonce] {
			t.Fatalf("chunk %d has the nonce of another", n)
		}
		seen[c.nonce] = true
	}
	salts := map[[saltSize]byte]bool{}
	for n := range int64(10_000) {
		salts[newPiece(n).salt] = true
	}
	if len(salts) != 10_000 {
		t.Errorf("10000 pieces have %d salts", len(salts))
	}
}

// made is a sealed object of zeros that is made up as it is read.
type made struct {
	cipher *chunkCipher
	size   int64 // plain
	at     int64
	chunk  int64 // that buffer has
	buffer []byte
}

func (m *made) Read(p []byte) (int, error) {
	const stride = ChunkSize + tagSize
	n := m.at / stride
	if n >= chunksOf(m.size) {
		return 0, io.EOF
	}
	if n != m.chunk || len(m.buffer) == 0 {
		plain := m.buffer[:0:cap(m.buffer)]
		plain = plain[:min(ChunkSize, m.size-n*ChunkSize)]
		clear(plain)
		m.buffer, m.chunk = m.cipher.seal(plain[:0], plain, n, n == chunksOf(m.size)-1), n
	}
	k := copy(p, m.buffer[m.at-n*stride:])
	m.at += int64(k)
	return k, nil
}

func (m *made) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		offset += sealedSize(m.size, FormatSealed)
	}
	m.at = offset
	return offset, nil
}

func (m *made) Close() error { return nil }

// madeUp is a bucket with one such object.
type madeUp struct {
	Bucket
	object *made
}

func (b madeUp) Open(context.Context, string) (Reader, error) { return b.object, nil }

// same is a KeyWrapper that wraps nothing.
type same struct{}

func (same) Wrap(_ context.Context, _ string, k []byte, _ string) ([]byte, error)   { return k, nil }
func (same) Unwrap(_ context.Context, _ string, k []byte, _ string) ([]byte, error) { return k, nil }

func TestHundredGiBAreReadInLittleMemory(t *testing.T) {
	const size = 100<<30 + 5
	keys, p := newDataKeys(FormatSealed), newPiece(0)
	o := Object{Size: size, Format: FormatSealed, Key: "000102030405060708090a0b0c0d0e0f"}
	object := &made{cipher: newChunkCipher(keys, p, FormatSealed), size: size, buffer: make([]byte, 0, maxChunk)}
	s := NewSealing(madeUp{object: object}, same{}, true)
	if err := s.bind(t.Context(), &o, keys, pieces{p}); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, zeros := make([]byte, 100_000), make([]byte, 100_000)
	random := rand.New(rand.NewPCG(3, 4))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range 300 {
		from := random.Int64N(size - int64(len(got)))
		if i == 0 {
			from = size - int64(len(got))
		}
		if _, err := r.Seek(from, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, zeros) {
			t.Fatalf("bytes at %d differ: %v", from, err)
		}
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("reading 300 ranges allocated %d bytes, want at most 1 MiB", used)
	}
	if end, err := r.Seek(0, io.SeekEnd); end != size || err != nil {
		t.Errorf("the end is %d, %v", end, err)
	}
}

// discarding is a bucket that keeps nothing.
type discarding struct{ Bucket }

func (discarding) Upload(context.Context, string, int64, []byte) (Writer, error) {
	return discardingWriter{}, nil
}

type discardingWriter struct{}

func (discardingWriter) Write(p []byte) (int, error) { return len(p), nil }
func (discardingWriter) Suspend() ([]byte, error)    { return nil, nil }
func (discardingWriter) Finish() (string, error)     { return "", nil }
func (discardingWriter) Close() error                { return nil }

func TestUploadsAreSealedInLittleMemory(t *testing.T) {
	s := NewSealing(discarding{}, same{}, true)
	u := Upload{Domain: Domain{Name: "a/b/c/"}}
	if err := s.Append(t.Context(), &u, io.LimitReader(zeros{}, 1<<20)); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := s.Append(t.Context(), &u, io.LimitReader(zeros{}, 256<<20)); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 || u.Size != 257<<20 {
		t.Errorf("an upload of %d bytes allocated %d, want at most 1 MiB", u.Size, used)
	}
}

func TestAnUploadOfTooManyPiecesCanBeFinished(t *testing.T) {
	t.Parallel()
	s := NewSealing(discarding{}, same{}, true)
	u := Upload{Domain: Domain{Name: "a/b/c/"}, Key: "000102030405060708090a0b0c0d0e0f", Format: FormatSealed}
	p, err := s.begin(t.Context(), &u)
	if err != nil {
		t.Fatal(err)
	}
	for n := range int64(maxPieces - 1) {
		p.pieces = append(p.pieces, newPiece(n))
	}
	u.Size, p.tail = maxPieces*ChunkSize, make([]byte, ChunkSize)
	if err := p.store(&u); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), &u, io.LimitReader(zeros{}, 1)); err != nil {
		t.Errorf("Append of the last piece = %v", err)
	}
	full := u
	if err := s.Append(t.Context(), &u, io.LimitReader(zeros{}, 1)); err == nil || u.Size != full.Size {
		t.Errorf("Append of one more = %v, and %d bytes, want a refusal", err, u.Size)
	}
	if p, err = s.begin(t.Context(), &u); err != nil {
		t.Fatal(err)
	}
	o, err := s.Finish(t.Context(), u, digest.NewDigest(digest.SHA256, p.hash))
	if err != nil {
		t.Fatalf("Finish = %v", err)
	}
	if len(o.WrappedKey) > 512<<10 {
		t.Errorf("the envelope has %d bytes, want at most 512 KiB", len(o.WrappedKey))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// The rates of sealing and opening, with and without the digest.
func BenchmarkAppend(b *testing.B) {
	for name, seal := range map[string]bool{"plain": false, "sealed": true} {
		b.Run(name, func(b *testing.B) {
			s := NewSealing(discarding{}, same{}, seal)
			b.SetBytes(64 << 20)
			for b.Loop() {
				u := Upload{Domain: Domain{Name: "a/b/c/"}}
				if err := s.Append(b.Context(), &u, io.LimitReader(zeros{}, 64<<20)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// stored is a bucket with one object in memory.
type stored struct {
	Bucket
	content []byte
}

func (b stored) Open(context.Context, string) (Reader, error) {
	return memory{bytes.NewReader(b.content)}, nil
}

func BenchmarkRead(b *testing.B) {
	const size = 64 << 20
	keys, p := newDataKeys(FormatSealed), newPiece(0)
	o := Object{Size: size, Format: FormatSealed, Key: "000102030405060708090a0b0c0d0e0f"}
	content, err := io.ReadAll(&made{cipher: newChunkCipher(keys, p, FormatSealed), size: size, buffer: make([]byte, 0, maxChunk)})
	if err != nil {
		b.Fatal(err)
	}
	s := NewSealing(stored{content: content}, same{}, true)
	if err := s.bind(b.Context(), &o, keys, pieces{p}); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for b.Loop() {
		r, err := s.Open(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
		_ = r.Close() // of memory
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	t.Parallel()
	var m opened
	for i := range uint32(2*maxOpened + 1) {
		o := Object{WrappedKey: binary.BigEndian.AppendUint32(nil, i)}
		if m.put(o, &openedObject{boundTo: o.boundTo()}); len(m.by) > maxOpened || m.get(o) == nil {
			t.Fatalf("%d are remembered, the last one: %t", len(m.by), m.get(o) != nil)
		}
	}
}
