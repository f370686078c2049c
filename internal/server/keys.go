package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"berth/internal/blob"
	"berth/internal/fault"
	"berth/internal/seal"
)

// dataKeys wrap the data keys of sealed objects. Each registry, an account in a
// region, has a key of its own that derives from the master key.
type dataKeys struct {
	master *seal.Master
	mu     sync.Mutex
	keys   map[string]*seal.Key // by what they are for; guarded by mu
}

var (
	_ blob.KeyWrapper = (*dataKeys)(nil)
	_ blob.Currency   = (*dataKeys)(nil)
)

func newDataKeys(m *seal.Master) *dataKeys {
	return &dataKeys{master: m, keys: map[string]*seal.Key{}}
}

// keyService wraps data keys under KMS keys. Its errors are faults with KMS's
// exceptions.
type keyService interface {
	blob.KeyWrapper
	blob.Currency
}

// keyring wraps data keys under KMS keys and, for what has none, under those that
// derive from the master key.
type keyring struct {
	own *dataKeys
	kms keyService
}

var (
	_ blob.KeyWrapper = (*keyring)(nil)
	_ blob.Currency   = (*keyring)(nil)
)

// byService begins a data key that the key service has wrapped. A value that a master
// key has sealed begins with another byte.
const byService = 2

// Wrap implements [blob.KeyWrapper].
func (k *keyring) Wrap(ctx context.Context, key string, dataKey []byte, about string) ([]byte, error) {
	if key == "" {
		return k.own.Wrap(ctx, key, dataKey, about)
	}
	wrapped, err := k.kms.Wrap(ctx, key, dataKey, about)
	return append([]byte{byService}, wrapped...), keyError(err)
}

// Unwrap implements [blob.KeyWrapper].
func (k *keyring) Unwrap(ctx context.Context, key string, wrapped []byte, about string) ([]byte, error) {
	if key == "" {
		return k.own.Unwrap(ctx, key, wrapped, about)
	}
	if len(wrapped) == 0 || wrapped[0] != byService {
		return nil, fmt.Errorf("%w: a data key that no KMS key has wrapped", blob.ErrDamaged)
	}
	dataKey, err := k.kms.Unwrap(ctx, key, wrapped[1:], about)
	return dataKey, keyError(err)
}

// Current implements [blob.Currency].
func (k *keyring) Current(ctx context.Context, key string, wrapped []byte) (bool, error) {
	if key == "" {
		return k.own.Current(ctx, key, wrapped)
	}
	if len(wrapped) == 0 || wrapped[0] != byService {
		return false, fmt.Errorf("%w: a data key that no KMS key has wrapped", blob.ErrDamaged)
	}
	current, err := k.kms.Current(ctx, key, wrapped[1:])
	return current, keyError(err)
}

// keyError returns what package blob is told of an error of the key service.
func keyError(err error) error {
	f, ok := fault.As(err)
	switch {
	case errors.Is(err, seal.ErrOpen): // a backing key
		return errors.Join(blob.ErrDamaged, err)
	case !ok:
		return err
	case f.Code == "InvalidCiphertextException" || f.Code == "IncorrectKeyException":
		return errors.Join(blob.ErrDamaged, err)
	}
	return &blob.KeyError{Reason: f.Code, Err: err}
}

// newKeyWrapper returns what wraps data keys.
func newKeyWrapper(m *seal.Master, kms keyService) blob.KeyWrapper {
	return &keyring{newDataKeys(m), kms}
}

// maxDataKeys bounds how many keys are kept ready.
const maxDataKeys = 10_000

// of returns the key for what a data key is wrapped about.
func (d *dataKeys) of(about string) (*seal.Key, error) {
	lines := strings.SplitN(about, "\n", 3)
	if len(lines) < 2 {
		return nil, fmt.Errorf("no key domain in %q", about)
	}
	domain := strings.SplitN(lines[1], "/", 3)
	if len(domain) < 3 {
		return nil, fmt.Errorf("no registry in the key domain %q", lines[1])
	}
	purpose := "data keys of " + domain[0] + "/" + domain[1]
	d.mu.Lock()
	defer d.mu.Unlock()
	k, ok := d.keys[purpose]
	if !ok {
		if len(d.keys) >= maxDataKeys {
			clear(d.keys)
		}
		k = d.master.Key(purpose)
		d.keys[purpose] = k
	}
	return k, nil
}

// Wrap implements [blob.KeyWrapper].
func (d *dataKeys) Wrap(_ context.Context, _ string, dataKey []byte, about string) ([]byte, error) {
	k, err := d.of(about)
	if err != nil {
		return nil, err
	}
	return k.Seal(dataKey, about), nil
}

// Unwrap implements [blob.KeyWrapper].
func (d *dataKeys) Unwrap(_ context.Context, _ string, wrapped []byte, about string) ([]byte, error) {
	k, err := d.of(about)
	if err != nil {
		return nil, err
	}
	dataKey, err := k.Open(wrapped, about)
	if err != nil {
		return nil, errors.Join(blob.ErrDamaged, err)
	}
	return dataKey, nil
}

// Current implements [blob.Currency].
func (d *dataKeys) Current(_ context.Context, _ string, wrapped []byte) (bool, error) {
	return d.master.Current(wrapped), nil
}
