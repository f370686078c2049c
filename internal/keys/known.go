package keys

import (
	"sync"
	"time"
)

const (
	knownLife = time.Second // how long a key works that another process has disabled
	maxKnown  = 10_000
)

// known remembers what the registry may do with keys. What it recalls was read after
// the last change that this process has made, and not long ago. The zero value is
// empty.
type known struct {
	mu         sync.Mutex
	generation uint64              // goes up with every change; guarded by mu
	changing   int                 // changes under way; guarded by mu
	standings  map[string]standing // guarded by mu
}

// get returns what is known under a name, and the generation to give to put.
func (k *known) get(name string, now time.Time) (standing, uint64, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, ok := k.standings[name]
	if ok && now.Sub(s.at).Abs() >= knownLife {
		delete(k.standings, name)
		ok = false
	}
	return s, k.generation, ok
}

// put remembers what was read since get, unless a change has come between.
func (k *known) put(name string, s standing, generation uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.generation != generation || k.changing > 0 {
		return
	}
	if k.standings == nil || len(k.standings) >= maxKnown {
		k.standings = map[string]standing{}
	}
	k.standings[name] = s
}

// change begins a change, and ends it when what it returns is called. Nothing is
// remembered meanwhile, and nothing that was known before is recalled after it.
func (k *known) change() func() {
	step := func(n int) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.generation++
		k.changing += n
		k.standings = nil
	}
	step(1)
	return func() { step(-1) }
}
