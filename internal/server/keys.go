package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"berth/internal/blob"
	"berth/internal/seal"
)

// dataKeys wrap the data keys of sealed objects. Each registry, an account in a
// region, has a key of its own that derives from the master key; what is said to be
// sealed under a KMS key has one that derives for it and that registry.
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

// keyWrapper returns what wraps data keys.
func (s *Server) keyWrapper(m *seal.Master) blob.KeyWrapper {
	var w blob.KeyWrapper = newDataKeys(m)
	if s.options.Keys != nil {
		w = s.options.Keys(w)
	}
	return w
}

// maxDataKeys bounds how many keys are kept ready.
const maxDataKeys = 10_000

// of returns the key for what a data key is wrapped about.
func (d *dataKeys) of(key, about string) (*seal.Key, error) {
	lines := strings.SplitN(about, "\n", 3)
	if len(lines) < 2 {
		return nil, fmt.Errorf("no key domain in %q", about)
	}
	domain := strings.SplitN(lines[1], "/", 3)
	if len(domain) < 3 {
		return nil, fmt.Errorf("no registry in the key domain %q", lines[1])
	}
	purpose := "data keys of " + domain[0] + "/" + domain[1]
	if key != "" {
		purpose += " under " + key
	}
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
func (d *dataKeys) Wrap(_ context.Context, key string, dataKey []byte, about string) ([]byte, error) {
	k, err := d.of(key, about)
	if err != nil {
		return nil, err
	}
	return k.Seal(dataKey, about), nil
}

// Unwrap implements [blob.KeyWrapper].
func (d *dataKeys) Unwrap(_ context.Context, key string, wrapped []byte, about string) ([]byte, error) {
	k, err := d.of(key, about)
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
