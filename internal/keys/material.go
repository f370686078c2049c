package keys

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"
)

// newMaterial makes a backing key for a key. It may ask a remote service, and so must
// be called outside of transactions.
func (k *Keyring) newMaterial(ctx context.Context, key *Key, number uint32, origin string) (Material, error) {
	plain := make([]byte, backingSize)
	rand.Read(plain)
	m := Material{Key: key.ID, Number: number, ID: randomID(), Origin: origin, CreatedAt: k.time()}
	var err error
	m.Sealed, err = k.master.Seal(ctx, plain, m.About())
	return m, err
}

// backing returns a backing key that was read. Likewise.
func (k *Keyring) backing(ctx context.Context, m Material) ([]byte, error) {
	now := k.now()
	if b := k.opened.get(m, now); b != nil {
		return b, nil
	}
	b, err := k.master.Open(ctx, m.Sealed, m.About())
	if err != nil {
		return nil, err
	}
	k.opened.put(m, b, now)
	return b, nil
}

// openedLife is how long an opened backing key is kept: a remote service need not be
// asked meanwhile. That it may be used is found out every time.
const (
	openedLife = 5 * time.Minute
	maxOpened  = 10_000
)

// opened remembers backing keys. The zero value is empty.
type opened struct {
	mu   sync.Mutex
	keys map[string]openedKey // by the id of the backing key; guarded by mu
}

type openedKey struct {
	key   string
	plain []byte
	at    time.Time
}

func (o *opened) get(m Material, now time.Time) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e, ok := o.keys[m.ID]; ok && e.key == m.Key && now.Sub(e.at).Abs() < openedLife {
		return e.plain
	}
	return nil
}

func (o *opened) put(m Material, plain []byte, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.keys == nil || len(o.keys) >= maxOpened {
		o.keys = map[string]openedKey{}
	}
	o.keys[m.ID] = openedKey{m.Key, plain, now}
}

// drop forgets the backing keys of a key, and all that are old. Who is using one goes
// on: its bytes are no longer reachable after that.
func (o *opened) drop(key string, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, e := range o.keys {
		if e.key == key || now.Sub(e.at).Abs() >= openedLife {
			delete(o.keys, id)
		}
	}
}

// numbered returns the backing key with a number.
func numbered(all []Material, n uint32) (Material, bool) {
	i := slices.IndexFunc(all, func(m Material) bool { return m.Number == n })
	if i < 0 {
		return Material{}, false
	}
	return all[i], true
}
