package registry

import (
	"context"
	"sync"
)

// keyedMutex is a mutex for each key. The zero value is ready for use.
type keyedMutex struct {
	mu   sync.Mutex
	held map[string]*keyLock // guarded by mu
}

type keyLock struct {
	token   chan struct{} // holds one element while nobody has the lock
	waiting int           // holder included; guarded by keyedMutex.mu
}

// lock waits until nobody holds key, or for the end of ctx. The function
// returned releases it.
func (m *keyedMutex) lock(ctx context.Context, key string) (func(), error) {
	m.mu.Lock()
	if m.held == nil {
		m.held = map[string]*keyLock{}
	}
	l := m.held[key]
	if l == nil {
		l = &keyLock{token: make(chan struct{}, 1)}
		l.token <- struct{}{}
		m.held[key] = l
	}
	l.waiting++
	m.mu.Unlock()

	select {
	case <-l.token:
		return func() { l.token <- struct{}{}; m.leave(key, l) }, nil
	case <-ctx.Done():
		m.leave(key, l)
		return nil, context.Cause(ctx)
	}
}

func (m *keyedMutex) leave(key string, l *keyLock) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.waiting--; l.waiting == 0 {
		delete(m.held, key)
	}
}
