package blob

import (
	"encoding/binary"
	"fmt"
)

// What is kept with a sealed object, beside its facts, is
//
//	number of layers (1 byte) | for each: length (uvarint), wrapped data key | the pieces, sealed
//
// and with an upload the same without pieces. Sealed are
//
//	number of pieces (uvarint) | for each: its first chunk (uvarint), its salt (16 bytes)
//
// as dataKeys.sealBox does for the purpose "pieces".

// appendWrapped begins an envelope.
func appendWrapped(b []byte, wrapped [][]byte) []byte {
	b = append(b, byte(len(wrapped)))
	for _, w := range wrapped {
		b = binary.AppendUvarint(b, uint64(len(w)))
		b = append(b, w...)
	}
	return b
}

// cutWrapped returns the wrapped data keys of an envelope, and the rest of it.
func cutWrapped(b []byte) (wrapped [][]byte, rest []byte, err error) {
	if len(b) == 0 || b[0] < 1 || b[0] > 2 {
		return nil, nil, fmt.Errorf("%w: malformed data keys", ErrDamaged)
	}
	n := int(b[0])
	b = b[1:]
	for range n {
		length, k := binary.Uvarint(b)
		if k <= 0 || length > uint64(len(b)-k) {
			return nil, nil, fmt.Errorf("%w: malformed data keys", ErrDamaged)
		}
		wrapped = append(wrapped, b[k:k+int(length)])
		b = b[k+int(length):]
	}
	return wrapped, b, nil
}

func (ps pieces) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(ps)))
	for _, p := range ps {
		b = binary.AppendUvarint(b, uint64(p.first))
		b = append(b, p.salt[:]...)
	}
	return b
}

// cutPieces reads what append has written.
func cutPieces(b []byte) (pieces, []byte, error) {
	damaged := fmt.Errorf("%w: malformed pieces", ErrDamaged)
	n, k := binary.Uvarint(b)
	if k <= 0 || n > maxPieces+1 {
		return nil, nil, damaged
	}
	b = b[k:]
	ps := make(pieces, 0, min(n, uint64(len(b)/saltSize)))
	for range n {
		first, k := binary.Uvarint(b)
		if k <= 0 || len(b) < k+saltSize || len(ps) == 0 && first != 0 || len(ps) > 0 && int64(first) <= ps[len(ps)-1].first {
			return nil, nil, damaged
		}
		p := piece{first: int64(first)}
		copy(p.salt[:], b[k:])
		ps = append(ps, p)
		b = b[k+saltSize:]
	}
	return ps, b, nil
}
