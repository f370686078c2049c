package blob

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sort"
)

// The sealed formats.
//
// An object is cut into chunks of ChunkSize bytes, of which the last is shorter if
// it must be and never empty, but for the one chunk of an empty object. Chunk n
// takes the place of bytes n*ChunkSize ff., with a tag of 16 bytes for each layer
// after it. What is kept in the database is one chunk, whatever its size.
//
// A piece is the chunks that one Append, or Finish, has sealed. It has a salt, and
// with it keys of its own. The salt of an Append is random: what is written again,
// because the first time was never recorded, is sealed under another key, and the
// first version does not open. The salt of a Finish derives from the data key and
// from what the whole content is: one that is done again, because nobody knows
// whether it was done, seals the same bytes in the same way.
//
// An object is known by its data keys, which no other one has: where it is stored is
// not authenticated, and it can be moved.
const (
	FormatSealed       = 1 // AES-256-GCM, one layer
	FormatDoublySealed = 2 // the same twice, under independent data keys

	// ChunkSize is how many plain bytes are sealed, and opened, at once.
	ChunkSize = 64 << 10

	// Algorithm is what seals.
	Algorithm = "AES-256-GCM"

	dataKeySize = 32
	saltSize    = 16
	tagSize     = 16
	maxPieces   = 1 << 14
	maxChunk    = ChunkSize + 2*tagSize
)

// layersOf returns how many times a format seals, 0 for plain and unknown ones.
func layersOf(format int) int {
	switch format {
	case FormatSealed:
		return 1
	case FormatDoublySealed:
		return 2
	}
	return 0
}

// chunksOf returns how many chunks n bytes in a bucket are, and sealedSize how many
// bytes they are there.
func chunksOf(n int64) int64 { return (n + ChunkSize - 1) / ChunkSize }

func sealedSize(n int64, format int) int64 { return n + chunksOf(n)*int64(tagSize*layersOf(format)) }

// dataKeys are an object's data keys, one for each layer, the innermost first.
type dataKeys [][]byte

func newDataKeys(format int) dataKeys {
	keys := make(dataKeys, layersOf(format))
	for i := range keys {
		keys[i] = make([]byte, dataKeySize)
		rand.Read(keys[i]) // never fails, see crypto/rand
	}
	return keys
}

// derived returns the cipher under the key that derives from a data key for a
// purpose.
func derived(dataKey, salt []byte, purpose string) cipher.AEAD {
	k, err := hkdf.Key(sha256.New, dataKey, salt, "berth "+purpose, dataKeySize)
	if err != nil {
		panic(err) // only for lengths beyond 8,160 bytes
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		panic(err) // only for a wrong key size
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // only for a block size other than AES's
	}
	return aead
}

// piece is a row of chunks that were sealed in one go.
type piece struct {
	first int64 // chunk
	salt  [saltSize]byte
}

func newPiece(first int64) piece {
	p := piece{first: first}
	rand.Read(p.salt[:])
	return p
}

// lastPiece is the piece of the last chunk of an upload whose bytes have that hash.
func lastPiece(keys dataKeys, size int64, hash []byte) piece {
	p := piece{first: max(chunksOf(size)-1, 0)}
	salt, err := hkdf.Key(sha256.New, keys[0], hash, "berth last chunk", saltSize)
	if err != nil {
		panic(err) // only for lengths beyond 8,160 bytes
	}
	copy(p.salt[:], salt)
	return p
}

// pieces are those of an object, in order. The first begins with chunk 0.
type pieces []piece

// of returns the place of the piece that a chunk is in.
func (ps pieces) of(chunk int64) int {
	return sort.Search(len(ps), func(i int) bool { return ps[i].first > chunk }) - 1
}

// chunkCipher seals and opens the chunks of one piece.
type chunkCipher struct {
	layers []cipher.AEAD
	nonce  [12]byte
	bound  [11]byte // what is authenticated besides: format, layer, final, chunk
}

// boundFormat begins what is authenticated with a chunk.
func boundFormat(format int) [11]byte { return [11]byte{byte(format)} }

func newChunkCipher(keys dataKeys, p piece, format int) *chunkCipher {
	c := &chunkCipher{bound: boundFormat(format)}
	for _, k := range keys {
		c.layers = append(c.layers, derived(k, p.salt[:], "chunks"))
	}
	return c
}

// at prepares for a chunk. Its number is its nonce.
func (c *chunkCipher) at(chunk int64, final bool) {
	binary.BigEndian.PutUint64(c.nonce[4:], uint64(chunk))
	binary.BigEndian.PutUint64(c.bound[3:], uint64(chunk))
	c.bound[2] = 0
	if final {
		c.bound[2] = 1
	}
}

// seal appends a chunk to dst, sealed.
func (c *chunkCipher) seal(dst, plain []byte, chunk int64, final bool) []byte {
	c.at(chunk, final)
	begin := len(dst)
	for i, l := range c.layers {
		c.bound[1] = byte(i)
		dst = l.Seal(dst[:begin], c.nonce[:], plain, c.bound[:])
		plain = dst[begin:]
	}
	return dst
}

// open opens a chunk into p, which has room for its plain bytes and is either where the
// chunk is or apart from it. The chunk is overwritten if there are layers.
func (c *chunkCipher) open(p, sealed []byte, chunk int64, final bool) ([]byte, error) {
	c.at(chunk, final)
	for i := len(c.layers) - 1; i >= 0; i-- {
		c.bound[1] = byte(i)
		into := sealed
		if i == 0 {
			into = p
		}
		var err error
		if sealed, err = c.layers[i].Open(into[:0], c.nonce[:], sealed, c.bound[:]); err != nil {
			return nil, fmt.Errorf("%w: chunk %d is not authentic", ErrDamaged, chunk)
		}
	}
	return sealed, nil
}

// sealBox seals bytes under keys that derive from the data keys, with random
// nonces, and openBox opens them.
func (keys dataKeys) sealBox(plain []byte, purpose, bound string) []byte {
	for _, k := range keys {
		nonce := make([]byte, 12, 12+len(plain)+tagSize)
		rand.Read(nonce)
		plain = derived(k, nil, purpose).Seal(nonce, nonce, plain, []byte(bound))
	}
	return plain
}

func (keys dataKeys) openBox(sealed []byte, purpose, bound string) ([]byte, error) {
	for i := len(keys) - 1; i >= 0; i-- {
		if len(sealed) < 12+tagSize {
			return nil, fmt.Errorf("%w: too few bytes of %s", ErrDamaged, purpose)
		}
		var err error
		if sealed, err = derived(keys[i], nil, purpose).Open(nil, sealed[:12], sealed[12:], []byte(bound)); err != nil {
			return nil, fmt.Errorf("%w: its %s are not authentic", ErrDamaged, purpose)
		}
	}
	return sealed, nil
}
