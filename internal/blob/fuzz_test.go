package blob

import (
	"bytes"
	"testing"
)

// What is in a database is read without harm, and what is read whole is written the
// same again.
func FuzzEnvelope(f *testing.F) {
	f.Add(appendWrapped(nil, [][]byte{{1, 2, 3}, {}}))
	f.Add(appendWrapped(nil, [][]byte{bytes.Repeat([]byte{9}, 300)}))
	f.Add(pieces{newPiece(0), newPiece(5), newPiece(1 << 40)}.append(nil))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if wrapped, rest, err := cutWrapped(b); err == nil {
			again, more, err := cutWrapped(append(appendWrapped(nil, wrapped), rest...))
			if err != nil || len(again) != len(wrapped) || !bytes.Equal(more, rest) {
				t.Errorf("%x is read as %x and %x, and then otherwise: %v", b, wrapped, rest, err)
			}
		}
		ps, rest, err := cutPieces(b)
		if err != nil {
			return
		}
		for i, p := range ps {
			if p.first < 0 || ps.of(p.first) != i {
				t.Errorf("%x has piece %d from chunk %d, which is in piece %d", b, i, p.first, ps.of(p.first))
			}
		}
		if again, more, err := cutPieces(append(ps.append(nil), rest...)); err != nil || len(again) != len(ps) || !bytes.Equal(more, rest) {
			t.Errorf("%x is read as %d pieces, and then otherwise: %v", b, len(ps), err)
		}
	})
}
