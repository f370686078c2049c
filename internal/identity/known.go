package identity

import (
	"sync"
	"time"

	"berth/internal/access"
)

// principal is whom a key belongs to.
type principal struct {
	caller access.Caller
	secret string
	at     time.Time // when it was read
}

const (
	knownLife = time.Second // how long a key works that another replica has deleted
	maxKnown  = 10_000
)

// known remembers the principals of keys. What it recalls was read after the last
// change that this process has made, and not long ago. The zero value is empty.
type known struct {
	mu         sync.Mutex
	generation uint64               // goes up with every change; guarded by mu
	changing   int                  // changes under way; guarded by mu
	keys       map[string]principal // guarded by mu
}

// get returns the principal of a key, if it is known, and the generation to give
// to put.
func (k *known) get(id string, now time.Time) (principal, uint64, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p, ok := k.keys[id]
	if ok && now.Sub(p.at).Abs() >= knownLife {
		delete(k.keys, id)
		ok = false
	}
	return p, k.generation, ok
}

// put remembers what was read since get, unless a change has come between.
func (k *known) put(id string, p principal, generation uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.generation != generation || k.changing > 0 {
		return
	}
	if k.keys == nil || len(k.keys) >= maxKnown {
		k.keys = map[string]principal{}
	}
	k.keys[id] = p
}

// change begins a change, and ends it when what it returns is called. Nothing is
// remembered meanwhile, and nothing that was known before is recalled after it.
func (k *known) change() func() {
	step := func(n int) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.generation++
		k.changing += n
		k.keys = nil
	}
	step(1)
	return func() { step(-1) }
}
