package blob

// WrappedKeys returns the data keys of an envelope as they were wrapped, the innermost
// first. It opens nothing: what wrapped them can be told from their bytes. An envelope
// that cannot be read is ErrDamaged.
func WrappedKeys(envelope []byte) ([][]byte, error) {
	wrapped, _, err := cutWrapped(envelope)
	return wrapped, err
}
