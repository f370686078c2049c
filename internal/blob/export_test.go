package blob

import "context"

// Sealer returns what seals chunk n of a stored object as it was sealed.
func (s *Store) Sealer(ctx context.Context, o Object) (func(dst, plain []byte, n int64) []byte, error) {
	keys, ps, err := s.unbind(ctx, o)
	if err != nil {
		return nil, err
	}
	var c *chunkCipher
	piece := -1
	return func(dst, plain []byte, n int64) []byte {
		if i := ps.of(n); i != piece {
			c, piece = newChunkCipher(keys, ps[i], o.Format), i
		}
		return c.seal(dst, plain, n, n == chunksOf(o.Size)-1)
	}, nil
}
