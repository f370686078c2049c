package identity

import (
	"errors"
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
	generation uint64                // goes up with every change; guarded by mu
	changing   int                   // changes under way; guarded by mu
	keys       map[string]principal  // guarded by mu
	flights    map[flightKey]*flight // reads under way; guarded by mu
}

// flightKey is what reads have in common that may share what they find: none of
// them began before a change that another must see.
type flightKey struct {
	id         string
	generation uint64
}

// flight is a read that others wait for.
type flight struct {
	done chan struct{}
	p    principal
	err  error
}

// once reads the principal of a key, unless somebody does already: then it waits
// for what that finds. The generation is that of get.
func (k *known) once(id string, generation uint64, read func() (principal, error)) (principal, error) {
	key := flightKey{id, generation}
	k.mu.Lock()
	f := k.flights[key]
	if f != nil {
		k.mu.Unlock()
		<-f.done
		return f.p, f.err
	}
	f = &flight{done: make(chan struct{}), err: errNotRead}
	if k.flights == nil {
		k.flights = map[flightKey]*flight{}
	}
	k.flights[key] = f
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.flights, key)
		close(f.done)
	}()
	f.p, f.err = read()
	return f.p, f.err
}

// errNotRead is what those learn who wait for a read that has panicked.
var errNotRead = errors.New("the principal of a key was not read")

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
