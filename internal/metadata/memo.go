package metadata

import "sync"

// memo remembers what views have read of repositories, images and manifests, so
// that the same pull again costs no query. It is for a database that this
// process alone writes.
//
// It is right by construction. Its generation is odd while a commit that changes
// such facts is under way, and nothing is remembered or recalled then. What is
// recalled was read in the same even generation, with no such commit between.
type memo struct {
	mu         sync.RWMutex
	generation uint64           // guarded by mu
	facts      map[memoKey]fact // of this generation; guarded by mu
	bytes      int              // that the facts hold; guarded by mu
}

// memoKey is a query by the name of its method, and its arguments.
type memoKey struct{ query, a, b, c string }

// fact is the answer to a query. It must not be changed.
type fact struct {
	value any
	size  int
}

// What a memo holds at most.
const (
	memoFacts = 20_000
	memoBytes = 16 << 20
)

// now returns the generation.
func (m *memo) now() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.generation
}

// step is called before and after a commit that changes facts. It forgets them
// all.
func (m *memo) step() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.generation++
	m.facts, m.bytes = nil, 0
}

// get returns what was remembered in the generation given, if that is still the
// present one.
func (m *memo) get(generation uint64, k memoKey) (any, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.generation != generation {
		return nil, false
	}
	f, ok := m.facts[k]
	return f.value, ok
}

// put remembers what was read while the generation was the one given.
func (m *memo) put(generation uint64, k memoKey, f fact) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.generation != generation || generation%2 == 1 || f.size > memoBytes/16 {
		return
	}
	if m.facts == nil || len(m.facts) >= memoFacts || m.bytes+f.size > memoBytes {
		m.facts, m.bytes = map[memoKey]fact{}, 0
	}
	m.facts[k] = f
	m.bytes += f.size
}

// remember returns what read returns, or what it has returned before in this
// generation. size is roughly what the answer takes in memory.
func remember[T any](tx *Tx, k memoKey, size func(T) int, read func() (T, error)) (T, error) {
	if tx.memo == nil {
		return read()
	}
	if v, ok := tx.memo.get(tx.generation, k); ok {
		tx.recalled = true
		return v.(T), nil
	}
	v, err := read()
	if err == nil {
		tx.memo.put(tx.generation, k, fact{v, size(v)})
	}
	return v, err
}
