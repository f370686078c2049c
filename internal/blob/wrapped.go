package blob

import "encoding/binary"

// WrappedKeys returns the data keys of an envelope as they were wrapped, the innermost
// first. It opens nothing: what wrapped them can be told from their bytes. An envelope
// that cannot be read is ErrDamaged.
func WrappedKeys(envelope []byte) ([][]byte, error) {
	wrapped, _, err := cutWrapped(envelope)
	return wrapped, err
}

// EnvelopePrefix returns how envelopes begin that have one data key, if what wrap makes
// of any is of one length, and the same in its first n bytes.
func EnvelopePrefix(wrap func(dataKey []byte) []byte, n int) []byte {
	wrapped := wrap(make([]byte, dataKeySize))
	return append(binary.AppendUvarint([]byte{1}, uint64(len(wrapped))), wrapped[:n]...)
}
