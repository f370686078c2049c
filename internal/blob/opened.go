package blob

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"
)

// maxOpened bounds how many objects are remembered: each takes some 2 KiB.
const maxOpened = 4096

// opened remembers how objects open that are kept in the database, as manifests are
// that are read again and again: unwrapping and deriving keys costs ten times what
// opening a few kilobytes does. The zero value is empty.
type opened struct {
	mu sync.RWMutex
	by map[string]*openedObject // by envelope; guarded by mu
}

// openedObject is what an envelope was found to have in it, and whose it is.
type openedObject struct {
	boundTo
	wrapped []byte        // the innermost data key
	layers  []cipher.AEAD // of the one piece
}

// boundTo is all that the data keys of an object are authenticated with, and what they
// are wrapped under.
type boundTo struct {
	domain Domain
	digest digest.Digest
	size   int64
	format int
}

func (o *Object) boundTo() boundTo { return boundTo{o.Domain, o.Digest, o.Size, o.Format} }

func (m *opened) get(o Object) *openedObject {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if e := m.by[string(o.WrappedKey)]; e != nil && e.boundTo == o.boundTo() {
		return e
	}
	return nil
}

func (m *opened) put(o Object, e *openedObject) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.by == nil || len(m.by) >= maxOpened {
		m.by = map[string]*openedObject{}
	}
	m.by[string(o.WrappedKey)] = e
}

func (m *opened) drop(o Object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.by, string(o.WrappedKey))
}

// contentCipher returns what opens a sealed object that is kept in the database. Whether
// its key may be used is found out each time.
func (s *Store) contentCipher(ctx context.Context, o Object) (*chunkCipher, error) {
	if e := s.opened.get(o); e != nil {
		if err := s.stillUsable(ctx, o, e); err != nil {
			return nil, err
		}
		return &chunkCipher{layers: e.layers, bound: boundFormat(o.Format)}, nil
	}
	keys, ps, err := s.unbind(ctx, o)
	if err != nil {
		return nil, err
	}
	c := newChunkCipher(keys, ps[0], o.Format)
	if _, ok := s.keys.(Currency); ok || o.Domain.Key == "" {
		wrapped, err := WrappedKeys(o.WrappedKey)
		if err != nil {
			return nil, err
		}
		s.opened.put(o, &openedObject{boundTo: o.boundTo(), wrapped: wrapped[0], layers: c.layers})
	}
	return c, nil
}

// stillUsable returns why the KMS key of an object that is remembered must not be used.
// An object whose key that is, is forgotten.
func (s *Store) stillUsable(ctx context.Context, o Object, e *openedObject) error {
	if o.Domain.Key == "" {
		return nil
	}
	_, err := s.keys.(Currency).Current(ctx, o.Domain.Key, e.wrapped)
	if err == nil {
		return nil
	}
	if refused := (*KeyError)(nil); errors.As(err, &refused) {
		s.opened.drop(o)
	}
	return fmt.Errorf("unwrap a data key: %w", err)
}
