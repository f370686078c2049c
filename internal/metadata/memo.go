package metadata

import (
	"strings"
	"sync"
)

// memo remembers what has been read of repositories, images and manifests, so
// that the same pull again costs no query. It is for a database that this
// process alone writes.
//
// It is right by construction. Its generation is odd while a commit that changes
// such facts is under way, and nothing is remembered or recalled then. What is
// recalled was read in the same even generation, with no such commit between. The one
// writer commits, so that none is under way while it goes by the memo: until a member of
// its group changes such facts it reads what was committed.
type memo struct {
	mu         sync.RWMutex
	generation uint64           // guarded by mu
	facts      map[memoKey]fact // of this generation; guarded by mu
	bytes      int              // that the facts hold; guarded by mu
	nothing    map[memoKey]fact // those that say that there is nothing; guarded by mu
}

// memoKey is a query by the name of its method, and its arguments.
type memoKey struct{ query, a, b, c string }

// clone returns the key with copies of the arguments: these come from requests, and
// would hold all that they were cut from.
func (k memoKey) clone() memoKey {
	return memoKey{k.query, strings.Clone(k.a), strings.Clone(k.b), strings.Clone(k.c)}
}

// fact is the answer to a query. It must not be changed.
type fact struct {
	value any
	size  int
}

// factSize is roughly what a fact takes in memory beside its key and its value.
const factSize = 128

// What a memo holds at most.
const (
	memoFacts = 20_000
	memoBytes = 16 << 20

	memoNothing    = 1000 // facts that there is nothing
	memoNothingKey = 1 << 10
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
	m.facts, m.bytes, m.nothing = nil, 0, nil
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
	if !ok {
		f, ok = m.nothing[k]
	}
	return f.value, ok
}

// put remembers what was read while the generation was the one given. That there is
// nothing has a place of its own: strangers can ask for as many things that are not
// there as they like, and must not drive out what there is.
func (m *memo) put(generation uint64, k memoKey, f fact) {
	m.mu.Lock()
	defer m.mu.Unlock()
	nothing, key := f.size == 0, len(k.query)+len(k.a)+len(k.b)+len(k.c)
	f.size += factSize + key
	if m.generation != generation || generation%2 == 1 || f.size > memoBytes/16 {
		return
	}
	if nothing {
		if key > memoNothingKey {
			return
		}
		if m.nothing == nil || len(m.nothing) >= memoNothing {
			m.nothing = map[memoKey]fact{}
		}
		m.nothing[k.clone()] = f
		return
	}
	if m.facts == nil || len(m.facts) >= memoFacts || m.bytes+f.size > memoBytes {
		m.facts, m.bytes = map[memoKey]fact{}, 0
	}
	m.facts[k.clone()] = f
	m.bytes += f.size
}

// remember returns what read returns, or what it has returned before in this
// generation: to an update until it changes such facts itself. size is roughly what the answer takes in memory, 0 for the answer that
// there is nothing.
func remember[T any](tx *Tx, k memoKey, size func(T) int, read func() (T, error)) (T, error) {
	if tx.memo == nil || tx.changed {
		return read()
	}
	if v, ok := tx.memo.get(tx.generation, k); ok {
		tx.recalled = true
		return v.(T), nil
	}
	v, err := read()
	if err != nil {
		return v, err
	}
	tx.memo.put(tx.generation, k, fact{v, size(v)})
	return v, nil
}

// some returns a size for remember: n unless there is nothing.
func some[T comparable](n int) func(T) int {
	return func(v T) int {
		if v == *new(T) {
			return 0
		}
		return n
	}
}
