package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
)

// content is a reproducible stream that costs the client almost nothing to
// make: a 1 MiB random block whose first 8 bytes count the blocks.
type content struct {
	seed uint64
	size int64
}

const block = 1 << 20

func fill(rng *rand.Rand, b []byte) {
	for i := 0; i < len(b); i += 8 {
		v := rng.Uint64()
		for j := i; j < min(i+8, len(b)); j++ {
			b[j], v = byte(v), v>>8
		}
	}
}

func (c *content) reader() io.Reader {
	b := make([]byte, block)
	fill(rand.New(rand.NewPCG(c.seed, 0xb10b)), b)
	return &contentReader{buf: b, left: c.size}
}

func (c *content) digest() string {
	h := sha256.New()
	_, _ = io.Copy(h, c.reader())
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

type contentReader struct {
	buf   []byte
	left  int64
	off   int
	block uint64
}

func (r *contentReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if r.off == 0 {
		for i := range 8 {
			r.buf[i] = byte(r.block >> (8 * i))
		}
		r.block++
	}
	n := copy(p, r.buf[r.off:min(int64(len(r.buf)), int64(r.off)+r.left)])
	r.off = (r.off + n) % len(r.buf)
	r.left -= int64(n)
	return n, nil
}

func digestOf(b []byte) string {
	s := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(s[:])
}
