package blob

import (
	"context"

	"github.com/opencontainers/go-digest"
)

// A sealed value is an envelope without pieces, and after it a box for the purpose
// "value", bound to what the value is.

// Value says what a small value is that is kept beside an object because it was
// taken out of it, and what it is sealed under.
type Value struct {
	Domain Domain
	Name   string
	Digest digest.Digest // of the object
}

func (v *Value) about(format int) func(layer int) (string, error) {
	return func(layer int) (string, error) {
		return about("value", format, layer, v.Domain.Name, v.Name, string(v.Digest))
	}
}

// SealValue returns the value as it is to be kept, or nil if the key domain's bytes
// are kept as they are.
func (s *Store) SealValue(ctx context.Context, v Value, plain []byte) ([]byte, error) {
	format := s.sealedAs(v.Domain)
	if format == FormatPlain {
		return nil, nil
	}
	keys := newDataKeys(format)
	wrapped, err := s.wrapKeys(ctx, v.Domain, keys, v.about(format))
	if err != nil {
		return nil, err
	}
	return append(appendWrapped(nil, wrapped), keys.sealBox(plain, "value", v.Name)...), nil
}

// OpenValue undoes SealValue.
func (s *Store) OpenValue(ctx context.Context, v Value, sealed []byte) ([]byte, error) {
	wrapped, box, err := cutWrapped(sealed)
	if err != nil {
		return nil, err
	}
	keys, err := s.unwrapKeys(ctx, v.Domain, len(wrapped), wrapped, v.about(len(wrapped)))
	if err != nil {
		return nil, err
	}
	return keys.openBox(box, "value", v.Name)
}

// RewrapValue is Rewrap for a value.
func (s *Store) RewrapValue(ctx context.Context, v Value, sealed *[]byte) (bool, error) {
	wrapped, _, err := cutWrapped(*sealed)
	if err != nil {
		return false, err
	}
	return s.rewrap(ctx, v.Domain, len(wrapped), sealed, v.about(len(wrapped)))
}
