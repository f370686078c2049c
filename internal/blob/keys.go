package blob

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// KeyWrapper wraps data keys: the keys that objects are sealed under, one each.
// It is safe for concurrent use, and quick: it may be called inside a
// transaction.
//
// The key is "" for the key of a registry that derives from the master key, or
// the ARN of a KMS key. What it must return about is authenticated with the data
// key: what was wrapped about one thing is never unwrapped about another.
//
// A key that must not be used now, or by this caller, is a [*KeyError]. A wrapped
// data key that is not authentic is ErrDamaged. Other errors say nothing about the
// key.
type KeyWrapper interface {
	Wrap(ctx context.Context, key string, dataKey []byte, about string) (wrapped []byte, err error)
	Unwrap(ctx context.Context, key string, wrapped []byte, about string) (dataKey []byte, err error)
}

// Currency is a KeyWrapper that can tell whether a data key is wrapped as it would
// be wrapped now. If the key must not be used now, that is the error, as of Unwrap.
type Currency interface {
	Current(ctx context.Context, key string, wrapped []byte) (bool, error)
}

// KeyError says that a key cannot be used: nothing is wrong with what it sealed.
type KeyError struct {
	Reason string // the exception of KMS: DisabledException, NotFoundException ...
	Err    error  // for the log; may be nil
}

// Error returns the reason and the cause.
func (e *KeyError) Error() string {
	if e.Err == nil {
		return "key cannot be used: " + e.Reason
	}
	return "key cannot be used: " + e.Reason + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *KeyError) Unwrap() error { return e.Err }

// Domain is a key domain: whose bytes may be stored once, and what they are sealed
// under.
type Domain struct {
	Name   string // account/region/encryption type/key; unique
	Key    string // what a KeyWrapper is to use: "", or the ARN of a KMS key
	Double bool   // two layers, under data keys of their own
}

// errAbout is returned where a context could be taken for another one.
var errAbout = errors.New("a key domain or a digest with a line break")

// about is what a data key is bound to: the purpose with format and layer, and
// further fields, one to a line.
func about(purpose string, format, layer int, fields ...string) (string, error) {
	b := fmt.Sprintf("berth %s, format %d, layer %d", purpose, format, layer)
	for _, f := range fields {
		if strings.ContainsAny(f, "\r\n") {
			return "", errAbout
		}
		b += "\n" + f
	}
	return b, nil
}

// about is what the data key of one of the object's layers is bound to.
func (o *Object) about(layer int) (string, error) {
	return about("object", o.Format, layer, o.Domain.Name, string(o.Digest), strconv.FormatInt(o.Size, 10))
}

// about is what the data key of one of the upload's layers is bound to.
func (u *Upload) about(layer int) (string, error) {
	return about("upload", u.Format, layer, u.Domain.Name)
}

// wrapKeys wraps the data key of each layer.
func (s *Store) wrapKeys(ctx context.Context, d Domain, keys dataKeys, about func(layer int) (string, error)) ([][]byte, error) {
	var out [][]byte
	for i, k := range keys {
		a, err := about(i)
		if err != nil {
			return nil, err
		}
		w, err := s.keys.Wrap(ctx, d.Key, k, a)
		if err != nil {
			return nil, fmt.Errorf("wrap a data key: %w", err)
		}
		out = append(out, w)
	}
	return out, nil
}

// unwrapKeys undoes wrapKeys.
func (s *Store) unwrapKeys(ctx context.Context, d Domain, format int, wrapped [][]byte, about func(layer int) (string, error)) (dataKeys, error) {
	if s.keys == nil {
		return nil, errors.New("sealed bytes, and no keys to open them")
	}
	if len(wrapped) != layersOf(format) {
		return nil, fmt.Errorf("%w: %d data keys for format %d", ErrDamaged, len(wrapped), format)
	}
	var out dataKeys
	for i, w := range wrapped {
		a, err := about(i)
		if err != nil {
			return nil, err
		}
		k, err := s.keys.Unwrap(ctx, d.Key, w, a)
		if err != nil {
			return nil, fmt.Errorf("unwrap a data key: %w", err)
		}
		if len(k) != dataKeySize {
			return nil, fmt.Errorf("%w: a data key of %d bytes", ErrDamaged, len(k))
		}
		out = append(out, k)
	}
	return out, nil
}
